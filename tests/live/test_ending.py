"""
Tests of L{txsessions.live.ending}: how the end of a session gets into the store.
"""

from __future__ import annotations

from tests.live.sites import LiveCase, Waits
from txsessions.errors import StoreUnavailable


class EndingTests(LiveCase):
    """
    The deletion of one session.
    """

    def setUp(self):
        """
        Have a session that the store has.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.heard.told()

    def test_waits(self):
        """
        The session is gone here at once; C{expire} fires when the store has
        acknowledged it, for each who asked.
        """
        self.store.hold()
        first, second = self.session.expire(), self.session.expire()
        self.assertNotIn(self.session._uid, self.live.sessions)
        self.assertIs(self.load(self.live, self.session), None)
        self.assertNoResult(first)
        self.assertEqual(self.store.names(), ["delete"])
        self.store.release()
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.session.expire())
        self.assertEqual(self.calls()[-1], "delete")
        self.assertEqual(self.heard.told(), ["ended expire"])

    def test_fails(self):
        """
        If the store cannot be told, C{expire} fails, for all who ask, and the
        session is refused here all the same.
        """
        self.store.hold()
        first = self.session.expire()
        waiter = Waits()
        self.session._entry.settle(waiter)
        self.store.fail(StoreUnavailable("down"))
        self.failureResultOf(first, StoreUnavailable)
        self.failureResultOf(self.session.expire(), StoreUnavailable)
        self.assertEqual(waiter.heard, ["StoreUnavailable"])
        second = Waits()
        self.assertFalse(self.session._entry.settle(second))
        self.assertEqual(second.heard, ["StoreUnavailable"])
        self.assertIs(self.load(self.live, self.session), None)

    def test_deletedLater(self):
        """
        Once it was told after all, nobody need wait any more.
        """
        self.store.down = StoreUnavailable("down")
        self.failureResultOf(self.session.expire(), StoreUnavailable)
        self.store.down = None
        self.clock.advance(1)
        self.assertIs(self.record(self.session), None)

    def test_neverStored(self):
        """
        Of one that the store never had it is told nothing.
        """
        session = self.live.makeSession()
        session["a"] = 1
        del self.store.calls[:]
        self.successResultOf(session.expire())
        self.assertEqual(self.store.calls, [])
        self.assertEqual(self.heard.told(), [])

    def test_stale(self):
        """
        One that was dropped because of a failure is deleted too: what the store
        has is unknown.
        """
        for done in (True, False):
            session = self.live.makeSession()
            session["a"] = 1
            self.store.hold()
            session.save()
            self.store.fail(StoreUnavailable("down"), done=done)
            self.store.holding = frozenset()
            self.successResultOf(session.expire())
            self.assertEqual(self.calls()[-1], "delete")
            self.assertIs(self.record(session), None)
            self.assertIs(self.load(self.another(), session), None)

    def test_elsewhere(self):
        """
        One that is gone already is not deleted again.
        """
        self.load(self.another(), self.session).expire()
        self.assertIs(self.load(self.live, self.session), None)
        self.successResultOf(self.session.expire())
        self.assertNotIn("delete", self.store.calls)
