"""
Tests of L{txsessions.live.resting}: how long sessions stay in memory.
"""

from __future__ import annotations

import gc
import weakref

from tests.live.sites import NOW, Holds, LiveCase
from txsessions.errors import StoreUnavailable
from txsessions.live import resting
from txsessions.live.deadlines import AT_ONCE
from txsessions.live.phases import ENDED, NEW, STALE, STORED


class RestingTests(LiveCase):
    """
    Sessions of a site with a store.
    """

    def setUp(self):
        """
        Have one that the store has.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)

    def isLive(self, session=None):
        """
        Whether a session is in memory.
        """
        return (session or self.session)._uid in self.live.sessions

    def test_leaves(self):
        """
        A session leaves memory 60 s after its last request, and nothing has
        ended; without references it is freed.
        """
        self.heard.told()
        self.clock.advance(59.9)
        self.assertTrue(self.isLive())
        self.clock.advance(0.1)
        self.assertFalse(self.isLive())
        self.assertEqual(self.session._phase, STORED)
        self.assertEqual(self.heard.told(), [])
        self.assertEqual(self.live._live.byKey, {})
        held, self.session = weakref.ref(self.session), None
        gc.collect()
        self.assertIs(held(), None)
        self.assertEqual(len(self.live._live.resting.departed), 0)
        self.assertEqual(self.timers(), 0)

    def test_afterTheLastRequest(self):
        """
        The 60 s begin when the last request has let go of it.
        """
        one, two = Holds(self.session), Holds(self.session)
        self.clock.advance(300)
        one.release()
        self.clock.advance(300)
        self.assertTrue(self.isLive())
        two.release()
        self.clock.advance(59)
        self.assertTrue(self.isLive())
        self.clock.advance(1)
        self.assertFalse(self.isLive())

    def test_requestsGoOn(self):
        """
        A request every now and then keeps it there.
        """
        for _ in range(10):
            self.clock.advance(50)
            Holds(self.session).release()
        self.assertTrue(self.isLive())
        self.clock.advance(60)
        self.assertFalse(self.isLive())

    def test_released(self):
        """
        Who is let go of rests anew, also where it did not rest, unless it has ended.
        """
        order = self.live._live.resting._order
        other = self.saved(self.live, a=1)
        self.assertEqual(list(order), [self.session._entry, other._entry])
        self.clock.advance(0.5)
        Holds(self.session).release()
        self.assertEqual(list(order), [other._entry, self.session._entry])
        self.assertEqual(self.session._entry.restsUntil, NOW + 60.5)
        self.live._live.leave(self.session)
        self.assertEqual(list(order), [other._entry])
        Holds(self.session).release()
        self.assertEqual(list(order), [other._entry, self.session._entry])
        self.session.expire()
        Holds(self.session).release()
        self.assertEqual(list(order), [other._entry])

    def test_clockSetBack(self):
        """
        Where the clock was set back, the minute begins by what it says now.
        """
        self.clock.rightNow -= 1000
        Holds(self.session).release()
        self.assertEqual(self.session._entry.restsUntil, NOW - 1000 + 60)

    def test_order(self):
        """
        Each leaves in its time, however they were used.
        """
        others = []
        for _ in range(4):
            others.append(self.saved(self.live, a=1))
            self.clock.advance(10)
        Holds(others[0]).release()
        self.clock.advance(20)
        self.assertEqual([self.isLive(other) for other in others], [True] * 4)
        self.clock.advance(10)
        self.assertEqual(
            [self.isLive(other) for other in others], [True, False, True, True]
        )
        self.clock.advance(20)
        self.assertEqual(
            [self.isLive(other) for other in others], [True, False, False, False]
        )
        self.clock.advance(10)
        self.assertEqual(dict(self.live.sessions), {})

    def test_savesFirst(self):
        """
        What nobody has saved yet is saved before it leaves.
        """
        self.session["a"] = 2
        self.store.hold()
        self.clock.advance(60)
        self.assertTrue(self.isLive())
        self.assertEqual(self.store.names(), ["replace"])
        self.store.pass_()
        self.assertFalse(self.isLive())
        self.assertEqual(self.load(self.another(), self.session)["a"], 2)

    def test_newOne(self):
        """
        So is one that was made by hand.
        """
        session = self.live.makeSession()
        session["a"] = 1
        self.clock.advance(60)
        self.assertFalse(self.isLive(session))
        self.assertEqual(self.load(self.another(), session)["a"], 1)

    def test_empty(self):
        """
        One that was made by hand and is empty stays for whoever made it, until
        its time is up.
        """
        session = self.live.makeSession()
        self.clock.advance(899)
        self.assertTrue(self.isLive(session))
        self.assertEqual(session._phase, NEW)
        self.clock.advance(1)
        self.assertFalse(self.isLive(session))
        self.assertEqual(self.store.calls.count("insert"), 1)

    def test_usedWhileItIsSaved(self):
        """
        One that is used again while it is saved stays.
        """
        for use in (
            lambda: Holds(self.session),
            lambda: Holds(self.session).release(),
            self.session.touch,
        ):
            self.session["a"] += 1
            self.store.hold()
            self.clock.advance(60)
            self.assertEqual(self.store.names(), ["replace"])
            held = use()
            self.store.pass_()
            self.assertTrue(self.isLive())
            if held is not None:
                held.release()
            Holds(self.session).release()

    def test_cannotBeSaved(self):
        """
        If it cannot be saved that is told, and the object is dropped.
        """
        self.session["a"] = 2
        self.store.down = StoreUnavailable("down")
        self.heard.told()
        self.clock.advance(60)
        self.assertEqual(self.session._phase, STALE)
        self.assertIn("unavailable down", self.heard.told())
        other = self.saved_(2)
        other["a"] = "\ud800"
        self.clock.advance(60)
        self.assertEqual(other._phase, STALE)
        self.assertEqual(self.logs("cannot be saved"), 1)

    def saved_(self, value):
        """
        Another one, once the store is up.
        """
        self.store.down = None
        return self.saved(self.live, a=value)

    def test_goneMeanwhile(self):
        """
        If it turns out to be gone it has ended.
        """
        self.load(self.another(), self.session).expire()
        self.session["a"] = 2
        self.clock.advance(60)
        self.assertEqual(self.session._phase, ENDED)

    def test_endedMeanwhile(self):
        """
        If it ends here while it is saved it has ended.
        """
        self.session["a"] = 2
        self.store.hold()
        self.clock.advance(60)
        self.session.expire()
        self.store.pass_()
        self.assertEqual(self.session._phase, ENDED)
        self.assertEqual(len(self.live._live.resting.departed), 0)
        self.assertIs(self.record(self.session), None)

    def test_changedMeanwhile(self):
        """
        If it changes while it is saved, that is saved too, when it is next
        settled.
        """
        self.session["a"] = 2
        self.store.hold()
        self.clock.advance(60)
        self.session["a"] = 3
        saved = self.session.save()
        self.store.pass_()
        self.successResultOf(saved)
        self.assertEqual(self.load(self.another(), self.session)["a"], 3)

    def test_tooMany(self):
        """
        Beyond so many the longest unused leaves first, and none that a request
        holds.
        """
        self.patch(resting, "MAX_LIVE", 5)
        held = Holds(self.session)
        sessions = []
        for _ in range(4):
            self.clock.advance(1)
            sessions.append(self.saved(self.live, a=1))
        Holds(sessions[0]).release()
        self.assertTrue(all(map(self.isLive, sessions)))
        sessions.append(self.saved(self.live, a=1))
        sessions.append(self.saved(self.live, a=1))
        self.assertTrue(self.isLive())
        self.assertEqual(
            [self.isLive(session) for session in sessions],
            [True, False, False, True, True, True],
        )
        held.release()
        for session in sessions:
            self.assertEqual(self.load(self.another(), session)["a"], 1)

    def test_allHeld(self):
        """
        If requests hold them all, there are more for a while.
        """
        self.patch(resting, "MAX_LIVE", 2)
        holds = [Holds(self.saved(self.live, a=1)) for _ in range(4)]
        self.assertGreaterEqual(len(self.live.sessions), 4)
        for hold in holds:
            hold.release()
        self.clock.advance(60)
        self.assertEqual(dict(self.live.sessions), {})

    def test_tenThousand(self):
        """
        There are ten thousand of them by default.
        """
        self.assertEqual(resting.MAX_LIVE, 10_000)
        self.assertEqual(resting.LINGER, 60)

    def test_boundedWork(self):
        """
        A bounded number leaves in one turn of the reactor.
        """
        for _ in range(AT_ONCE + 50):
            self.saved(self.live, a=1)
        self.clock.rightNow += 60
        table = self.live._live
        table.resting._due = None
        table.resting._deadlinePassed()
        self.assertEqual(len(self.live.sessions), 51)
        self.clock.advance(0)
        self.assertEqual(len(self.live.sessions), 0)

    def test_requestIsForgotten(self):
        """
        A request that never lets go holds no more once it is forgotten itself.
        """
        hold = Holds(self.session)
        self.clock.advance(300)
        self.assertTrue(self.isLive())
        hold.held = None
        self.session._visits = {lambda: None: None}
        self.clock.advance(60)
        self.assertFalse(self.isLive())

    def test_withoutAStore(self):
        """
        Without a store they stay until they end.
        """
        site = self.site(None)
        session = site.makeSession()
        self.clock.advance(890)
        self.assertIs(site.getSession(session._uid), session)
