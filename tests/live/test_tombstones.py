"""
Tests of L{txsessions.live.tombstones}: deletions that have to wait.
"""

from __future__ import annotations

import itertools

from tests.live.sites import LiveCase
from txsessions.errors import StoreUnavailable
from txsessions.live import tombstones
from txsessions.live.lifecycle import DRAIN
from txsessions.live.tombstones import AT_ONCE, LAST_RETRY


class TombstoneTests(LiveCase):
    """
    A logout while the store is down.
    """

    def setUp(self):
        """
        Have a session that the store has.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.stones = self.live._live.tombstones

    def logout(self, *sessions):
        """
        Log out while the store is down.
        """
        self.store.down = StoreUnavailable("down")
        for session in sessions or (self.session,):
            self.failureResultOf(session.expire(), StoreUnavailable)

    def test_refused(self):
        """
        The session is refused here from then on, whatever the store says.
        """
        self.logout()
        self.store.down = StoreUnavailable("down")
        self.assertIs(self.load(self.live, self.session), None)
        self.assertTrue(self.record(self.session))
        self.assertEqual(len(self.stones), 1)
        self.assertIn(self.record(self.session).key, self.stones)
        self.assertEqual(self.store.calls.count("load"), 0)

    def test_retried(self):
        """
        The deletion is tried again after ever longer times.
        """
        self.logout()
        times, before = [], self.store.calls.count("delete")
        while len(times) < 8:
            self.clock.advance(0.5)
            if self.store.calls.count("delete") > before:
                before += 1
                times.append(self.clock.seconds())
        gaps = [b - a for a, b in itertools.pairwise(times)]
        self.assertEqual(gaps, [2, 4, 8, 16, 30, 30, 30])
        self.assertEqual(max(gaps), LAST_RETRY)

    def test_deleted(self):
        """
        When the store is back the record is deleted, and nothing is left.
        """
        self.logout()
        self.store.down = None
        self.clock.advance(1)
        self.assertIs(self.record(self.session), None)
        self.assertEqual(len(self.stones), 0)
        self.assertIs(self.load(self.live, self.session), None)

    def test_many(self):
        """
        Many of them are deleted a bounded number at a time.
        """
        sessions = [self.saved(self.live, a=1) for _ in range(2 * AT_ONCE + 5)]
        self.logout(*sessions)
        self.store.down = None
        self.store.hold("delete")
        self.clock.advance(1)
        self.assertEqual(self.store.releaseInTurns(self.clock), [AT_ONCE, AT_ONCE, 5])
        self.assertEqual(len(self.stones), 0)

    def test_someFail(self):
        """
        If the store fails in the middle, the rest waits.
        """
        sessions = [self.saved(self.live, a=1) for _ in range(3)]
        self.logout(*sessions)
        self.store.down = None
        self.store.hold("delete")
        self.clock.advance(1)
        self.store.release(1)
        self.store.fail(StoreUnavailable("again"))
        self.assertEqual(len(self.stones), 2)
        self.store.holding = frozenset()
        self.clock.advance(LAST_RETRY)
        self.assertEqual(len(self.stones), 0)

    def test_bounded(self):
        """
        The oldest are given up when there are too many; they run out by
        themselves.
        """
        self.patch(tombstones, "MAX_TOMBSTONES", 3)
        sessions = [self.saved(self.live, a=1) for _ in range(5)]
        self.logout(*sessions)
        self.assertEqual(len(self.stones), 3)
        self.store.down = None
        self.clock.advance(1)
        left = [bool(self.record(session)) for session in sessions]
        self.assertEqual(left, [True, True, False, False, False])

    def test_boundedUnread(self):
        """
        First those are given up of which nobody knows whether there is such a session:
        whoever makes ids up takes no logout back that was of one.
        """
        self.patch(tombstones, "MAX_TOMBSTONES", 3)
        self.logout()
        for number in range(5):
            key = b"%032d" % number
            self.stones.expect(key)
            self.failureResultOf(self.stones.bury([key], marks=True), StoreUnavailable)
        self.assertEqual(len(self.stones), 3)
        self.assertIn(self.record(self.session).key, self.stones)
        self.assertIn(key, self.stones)
        self.store.down = None
        self.clock.advance(1)
        self.assertIs(self.record(self.session), None)
        self.assertEqual((len(self.stones), len(self.stones._unread)), (0, 0))

    def test_givenUpLate(self):
        """
        One that was given up is not tried again when its answer comes.
        """
        self.patch(tombstones, "MAX_TOMBSTONES", 1)
        other = self.saved(self.live, a=1)
        self.store.hold("delete")
        self.session.expire()
        other.expire()
        self.store.fail(StoreUnavailable("down"))
        self.assertEqual(len(self.stones), 1)
        self.store.holding = frozenset()
        self.clock.advance(1)
        self.assertTrue(self.record(self.session))
        self.assertIs(self.record(other), None)

    def test_closing(self):
        """
        What is left is tried once more at the end; no timer is left, and a
        store that is opened again is told.
        """
        self.logout()
        self.store.down = StoreUnavailable("down")
        closed = self.live.closed()
        self.successResultOf(closed)
        self.assertGreaterEqual(self.store.calls.count("delete"), 2)
        self.assertEqual(
            [call for call in self.clock.getDelayedCalls() if "_again" in str(call)],
            [],
        )
        self.store.down = None
        self.live.startFactory()
        self.clock.advance(0)
        self.assertIs(self.record(self.session), None)
        self.assertEqual(len(self.stones), 0)

    def test_answersAfterTheEnd(self):
        """
        An answer that comes when the store is closed starts nothing.
        """
        self.store.hold("delete")
        self.session.expire()
        closed = self.live.closed()
        self.clock.advance(DRAIN)
        self.successResultOf(closed)
        self.store.fail(StoreUnavailable("closed"))
        self.assertEqual(self.scheduled(), [])
        self.assertEqual(len(self.stones), 1)

    def test_closingWell(self):
        """
        If that works the next process does not find the session.
        """
        self.logout()
        self.store.down = None
        self.successResultOf(self.live.closed())
        self.assertIs(self.load(self.another(), self.session), None)

    def test_two(self):
        """
        A session that is being given a new uid is refused under both.
        """
        old = self.session._uid
        self.store.hold()
        self.live._live.rotate(self.session)
        self.session.expire()
        self.assertEqual(len(self.stones), 2)
        for uid in (old, self.session._uid):
            self.assertIs(self.successResultOf(self.live.loadSession(uid)), None)
        self.store.fail(StoreUnavailable("down"), done=True)
        self.store.fail(StoreUnavailable("down"))
        self.store.holding = frozenset()
        self.clock.advance(5)
        self.assertEqual(len(self.stones), 0)
        process = self.another()
        for uid in (old, self.session._uid):
            self.assertIs(self.successResultOf(process.loadSession(uid)), None)
