"""
Whole requests through a real channel, in memory, and what must be true after each.

Owns the client that writes and reads HTTP/1 bytes, and the invariants that hold
in every case: no unhandled error, no answer of another kind than expected, at
most one clean session cookie, no cookie set or cleared by an outage, no uid in
a log or a page, and nothing left over when the site stops.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import task
from twisted.internet.task import Clock, Cooperator
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.slowstore import SlowStore
from tests.web.browsing import NOW, TICK, Answer, Client
from tests.web.pages import Page
from txsessions import Site
from txsessions.core.keyring import KeyRing
from txsessions.stores.memory import MemoryStore

FINE = frozenset(
    {
        200,
        201,
        204,
        206,
        302,
        303,
        304,
        307,
        400,
        403,
        404,
        405,
        409,
        416,
        429,
        501,
        503,
    }
)
"""What may be answered; 500 only where a case expects it."""


class WebCase(SynchronousTestCase):
    """
    A site with a store that answers when it is told to.

    @ivar clock: The reactor.
    @ivar store: The store, which holds nothing at first.
    @ivar site: The site, once L{serve} has been called.
    @ivar expects500: Whether a 500 is right in this case.
    @ivar expectsDeletion: Whether an outage may delete the cookie, because the
        client has asked for a logout.
    @ivar tellsIds: Whether pages may tell an id, as those for programs do.
    """

    expects500 = False
    tellsIds = False
    expectsDeletion = False

    def setUp(self) -> None:
        """
        Watch the log; no work is done outside the clock.
        """
        self.clock = Clock()
        self.clock.advance(NOW)
        self.patch(
            task,
            "_theCooperator",
            Cooperator(
                scheduler=lambda work: self.clock.callLater(TICK, work),
                terminationPredicateFactory=lambda: lambda: True,
            ),
        )
        self.store = SlowStore(MemoryStore())
        self.stores = [self.store]
        self.keys = KeyRing.random(os.urandom)
        self.site: Any = None
        self.sites: list[Any] = []
        self.uids: list[bytes] = []
        self.logged: list[dict[str, Any]] = []
        self.clients: list[Client] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)
        self.addCleanup(self._checkEnd)

    # -- the site

    def serve(self, root: Any, factory: Any = Site, **how: Any) -> Any:
        """
        Make the site and start it.

        @param root: The root resource, or a function that renders it.
        """
        resource = root if hasattr(root, "getChildWithDefault") else Page(root)
        if how.setdefault("store", self.store) is self.store:
            how.setdefault("keys", self.keys)
        site = factory(resource, reactor=self.clock, **how)
        draw = site._entropy

        def drawAndNote(size: int) -> bytes:
            drawn: bytes = draw(size)
            self.uids.append(drawn.hex().encode("ascii"))
            return drawn

        site._entropy = drawAndNote
        site.startFactory()
        if self.site is None:
            self.site = site
        self.sites.append(site)
        return site

    def serveElsewhere(self, root: Any, **how: Any) -> Any:
        """
        Make the site of another process, on the same sessions.

        @return: It; its C{slow} is its store.
        """
        slow = SlowStore(self.store.inner)
        slow.sharedWithOthers = self.store.sharedWithOthers = True
        site = self.serve(root, store=slow, keys=self.keys, **how)
        site.slow = slow
        self.stores.append(slow)
        return site

    def client(self, **how: Any) -> Client:
        """
        Connect a client.
        """
        client = Client(self, **how)
        self.clients.append(client)
        return client

    def turn(self, times: int = 1) -> None:
        """
        Let the reactor turn.
        """
        for _ in range(times):
            self.clock.advance(TICK)

    # -- looking

    def stored(self) -> int:
        """
        How many sessions the store holds.
        """
        return self.successResultOf(
            self.store.inner.countSessions(self.clock.seconds())
        )

    def counted(self, kind: str) -> int:
        """
        How often an event was told.
        """
        return self.site._live.announcer.counts[kind]

    def warned(self, text: str) -> int:
        """
        How many messages hold this text.
        """
        return sum(text in _messageOf(event) for event in self.logged)

    # -- the oracle

    def check(self, answer: Answer) -> None:
        """
        What is true of every response.
        """
        fine = FINE | {500} if self.expects500 else FINE
        self.assertIn(answer.code, fine)
        cookies = answer.cookies.values()
        for cookie in cookies:
            self.assertIn("HttpOnly", cookie.attributes)
            self.assertIn("no-store", answer.get("cache-control") or "")
        if answer.code == 503:
            self.assertFalse(answer.sets, "an outage sets no cookie")
            self.assertEqual(len(answer.all("set-cookie")), len(cookies))
            if not self.expectsDeletion:
                self.assertEqual(answer.all("set-cookie"), [])
            self.assertEqual(answer.get("retry-after"), "2")
        if answer.code == 429:
            self.assertFalse(answer.sets, "who is refused gets no cookie")
            self.assertGreater(int(answer.get("retry-after") or 0), 0)
        for uid in [] if self.tellsIds else self.uids:
            self.assertNotIn(uid, answer.body)

    def _checkEnd(self) -> None:
        """
        What is true after every case.
        """
        for client in self.clients:
            client.leave()
        for store in self.stores:
            store.down = None
            store.pass_()
        for site in self.sites:
            site.stopFactory()
            self.successResultOf(site.closed())
        self.clock.advance(0)
        left = [str(call) for call in self.clock.getDelayedCalls()]
        self.assertEqual(left, [], "timers are left over")
        for event in self.logged:
            message = _messageOf(event).encode("utf-8", "replace")
            for uid in self.uids:
                self.assertNotIn(uid, message, "a uid in the log")


def _messageOf(event: dict[str, Any]) -> str:
    """
    All that is said in a log event.
    """
    message = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None:
        message += failure.getTraceback()
    return message


__all__ = ["WebCase"]
