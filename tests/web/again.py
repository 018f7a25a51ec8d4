"""
A site that can be started again, for tests of what an application brings with it.
"""

from __future__ import annotations

from tests.slowstore import SlowStore
from tests.web.oracle import WebCase


def count(request):
    """
    Count the visits of a session.
    """
    session = request.getSession()
    session["count"] = session.sessionNamespaces.get("count", 0) + 1
    return b"%d" % session["count"]


class AgainCase(WebCase):
    """
    A site that can be started again.
    """

    def restart(self, root=count, **how):
        """
        Start another site on what the store holds.

        @return: The site.
        """
        for site in self.sites:
            site.stopFactory()
        self.store = SlowStore(self.store.inner)
        return self.serve(root, **how)

    def again(self, client, site):
        """
        The same browser, at another site.
        """
        return self.client(jar=client.jar, site=site)

    def only(self):
        """
        The one live session.
        """
        [session] = self.sites[-1].sessions.values()
        return session
