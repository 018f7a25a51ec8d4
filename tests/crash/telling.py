"""
What a server tells of the ends of its sessions.

Owns the pages that register expiry callbacks and that tell which were called, and
which events a listener has heard.
"""

from __future__ import annotations

import time

from zope.interface import implementer

from txsessions.interfaces import ISessionListener


@implementer(ISessionListener)
class Heard:
    """
    What was heard, in order.

    @ivar events: For each event its kind, reason, session, and when it came.
    @ivar calls: For each callback that was called its session, and when.
    """

    def __init__(self):
        self.events = []
        self.calls = []

    def sessionEvent(self, event):
        """
        See L{ISessionListener.sessionEvent}.
        """
        self.events.append((event.kind.value, event.reason, event.tag, time.time()))

    def called(self, tag):
        """
        A callback was called.
        """
        self.calls.append((tag, time.time()))


class Telling:
    """
    Pages of the L{Counter<tests.crash.server.Counter>}.

    @ivar heard: What was heard.
    """

    def do_register(self, request):
        """
        Register a callback; tell the session's tag.
        """
        session = request.getSession()
        tag = session.tag
        session.notifyOnExpire(lambda: self.heard.called(tag))
        return self._answer(tag=tag)

    def do_heard(self, request):
        """
        Tell what was heard.
        """
        return self._answer(events=self.heard.events, calls=self.heard.calls)

    def do_relogin(self, request):
        """
        Sign in with a new session in the place of the one before, which ends.
        """
        request.getSession().expire()
        session = request.getSession()
        session.sessionNamespaces["user"] = self._argument(request, "name")
        return self._tell(request, session)


__all__ = ["Heard", "Telling"]
