"""
The dropin that gives Twisted's own C{web} command its C{--session} options.

Owns one thing: that C{twistd web} and C{twist web} find their options and their
service in L{txsessions.tap}.  Knows nothing of sessions, and is cheap, since any
search for plugins may import it.

There is still only one C{web} command, Twisted's: of two service makers of one
name, which one wins would depend on the order in C{dropin.cache}, and C{twistd
--help} would list both.  So its L{ServiceMaker
<twisted.application.service.ServiceMaker>} is pointed at our module instead,
which is one step behind Twisted's own and does the same until it is asked for
sessions.

That takes effect only if this module is imported before the command is looked
up, and C{dropin.cache} exists to spare such imports.  It imports us all the
same: the cache lists what each plugin provides, L{ISessionOptions} stands in that
list, and the cache, a pickle, keeps an interface as the name of its module.
Whoever reads the cache imports us; where there is no cache, or an old one, the
search imports each dropin itself.  (Being a plugin at all is what keeps this
dropin's entry in the cache from being empty, and with it this module from being
passed over on the second run.)
"""

from __future__ import annotations

from twisted.plugin import IPlugin

# The module, and not TwistedWeb from it: whatever plugin has a name in a dropin is
# one of that dropin's, so there would be two called web.
from twisted.plugins import twisted_web
from zope.interface import implementer


class ISessionOptions(IPlugin):
    """
    The marker of this dropin.  It must live in this module: see above.
    """


@implementer(ISessionOptions)
class SessionOptions:
    """
    The plugin that keeps this dropin in C{dropin.cache}.
    """


sessionOptions = SessionOptions()

twisted_web.TwistedWeb.module = "txsessions.tap"

__all__ = ["ISessionOptions", "SessionOptions", "sessionOptions"]
