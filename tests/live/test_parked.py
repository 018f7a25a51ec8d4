"""
Tests of L{txsessions.live.parked}: callbacks whose session has left memory.
"""

from __future__ import annotations

import gc
import weakref

from attrs import evolve
from twisted.internet.defer import succeed

from tests.live.sites import NOW, LiveCase
from txsessions.errors import StoreUnavailable
from txsessions.live.parked import RETRY


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
        If another process ends it they are run by the deadline that was known
        here, or when this one looks.
        """
        self.find(self.another()).expire()
        self.assertEqual(self.ran, [])
        self.advance(1000, 10)
        self.assertEqual(len(self.ran), 1)

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
        self.advance(RETRY + 40, 10)
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
