"""
Tests of L{txsessions.live.parked}: callbacks whose session has left memory.
"""

from __future__ import annotations

import gc
import weakref

from msgspec.structs import replace as evolve
from twisted.internet.defer import succeed

from tests.live.sites import NOW, LiveCase
from txsessions.errors import StoreUnavailable
from txsessions.live.watching import WATCH_INTERVAL


class ParkedTests(LiveCase):
    """
    Expiry callbacks that outlive their session's stay in memory.
    """

    def setUp(self):
        """
        Let a session leave that has some.
        """
        super().setUp()
        self.live = self.site()
        session = self.saved(self.live, a=1)
        self.uid, self.key = session._uid, self.record(session).key
        self.ran = []
        session.notifyOnExpire(lambda: self.ran.append(self.clock.seconds()))
        self.held = weakref.ref(session)
        self.clock.advance(60)
        self.assertEqual(dict(self.live.sessions), {})
        del session
        gc.collect()

    def find(self, site):
        """
        Load the session.
        """
        return self.successResultOf(site.loadSession(self.uid))

    def test_pinsNothing(self):
        """
        They pin nothing but themselves.
        """
        self.assertIs(self.held(), None)
        self.assertEqual(len(self.live._live.parked), 1)

    def test_runOut(self):
        """
        They are run when the session runs out, once.
        """
        self.advance(899, 1)
        self.assertEqual(self.ran, [])
        self.advance(2000, 10)
        self.assertEqual(len(self.ran), 1)
        self.assertLessEqual(self.ran[0], NOW + 960 + 60)
        self.assertEqual(self.live._live.parked, {})

    def test_usedElsewhere(self):
        """
        While another process uses it they wait.
        """
        other = self.find(self.another())
        for _ in range(40):
            self.clock.advance(50)
            other.touch()
        self.assertEqual(self.ran, [])
        self.advance(1100, 10)
        self.assertEqual(len(self.ran), 1)

    def test_comesBack(self):
        """
        If the session comes back they are its own again.
        """
        session = self.find(self.live)
        self.assertEqual(self.live._live.parked, {})
        self.assertEqual(len(session.expireCallbacks), 1)
        session.expire()
        self.assertEqual(len(self.ran), 1)
        self.advance(2000, 100)
        self.assertEqual(len(self.ran), 1)

    def test_endedElsewhere(self):
        """
        If another process ends it they are run within a touch interval.
        """
        other = self.another()
        for _ in range(5):
            self.clock.advance(50)
            self.find(other).touch()
        self.find(other).expire()
        self.assertEqual(self.ran, [])
        ended = self.clock.seconds()
        self.advance(100, 1)
        (ran,) = self.ran
        self.assertLessEqual(ran, ended + WATCH_INTERVAL)

    def test_asks(self):
        """
        The store is asked each ten seconds, for no more than the version; not at all
        while nobody else has changed anything.
        """
        del self.store.calls[:]
        self.advance(300, 10)
        self.assertNotIn("load", self.store.calls)
        self.store.sharedWithOthers = True
        asked = []
        load = self.inner.load
        self.inner.load = lambda *args: asked.append(args) or load(*args)
        self.advance(300, 10)
        self.assertEqual({known for _, _, known in asked}, {1})
        self.assertEqual(len(asked), 300 // WATCH_INTERVAL)
        self.assertEqual(self.ran, [])

    def test_changedElsewhere(self):
        """
        What another process changes is no end.
        """
        other = self.another()
        for number in range(5):
            session = self.find(other)
            session["a"] = number
            self.successResultOf(session.save())
            self.clock.advance(60)
        self.assertEqual(self.ran, [])

    def test_swept(self):
        """
        They are run when this process sweeps the record away.
        """
        parked = self.live._live.parked[self.key]
        parked._due = None
        self.advance(1020, 10)
        self.assertEqual(len(self.ran), 1)

    def test_storeIsDown(self):
        """
        A store that cannot tell is asked again; nothing has ended by that.
        """
        self.store.down = StoreUnavailable("down")
        self.advance(2000, 100)
        self.assertEqual(self.ran, [])
        self.store.down = None
        self.advance(WATCH_INTERVAL + 40, 10)
        self.assertEqual(len(self.ran), 1)

    def test_otherClock(self):
        """
        A store whose clock is behind is not asked without end.
        """
        record = evolve(self.inner._slots[self.key].record, expiresAt=NOW)
        self.inner.load = lambda key, now, known=None: succeed(record)
        self.store.holding = frozenset({"claimExpired"})
        self.advance(950, 50)
        before = self.store.calls.count("load")
        self.clock.advance(10)
        self.assertLessEqual(self.store.calls.count("load"), before + 10)
        self.assertEqual(self.ran, [])

    def test_lateAnswers(self):
        """
        Answers that come when the session is back change nothing.
        """
        self.store.sharedWithOthers = True
        for answer in ("fails", "there", "gone"):
            self.store.hold("load")
            parked = self.live._live.parked[self.key]
            parked._deadlinePassed()
            self.store.holding = frozenset()
            session = self.find(self.live)
            if answer == "fails":
                self.store.fail(StoreUnavailable("down"))
            elif answer == "gone":
                self.store.pending.pop().answer.callback(None)
            else:
                self.store.pass_()
            self.assertEqual(len(session.expireCallbacks), 1)
            session.touch()
            self.clock.advance(60)
        self.assertEqual(self.ran, [])

    def test_closing(self):
        """
        When the process ends they are not run, and leave no timer.
        """
        self.live.stopFactory()
        self.assertEqual(self.ran, [])
        self.assertEqual(self.live._live.parked, {})
        self.assertEqual(self.scheduled(), [])
