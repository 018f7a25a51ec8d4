"""
Tests of L{txsessions.live.callbacks}, and of how sessions use it.
"""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import AlreadyCalled

from tests.live.sites import LiveCase
from txsessions.live.callbacks import MAX_CALLBACKS


class CallbackTests(LiveCase):
    """
    Expiry callbacks.
    """

    def setUp(self):
        """
        Have a session that is kept.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.ran = []

    def note(self, what, then=None):
        """
        Register a callback that notes that it ran.
        """

        def callback():
            self.ran.append(what)
            return None if then is None else then()

        self.session.notifyOnExpire(callback)

    def test_afterwards(self):
        """
        They run once, in order, when the session is gone from here and the
        store.
        """
        session = self.session

        def look():
            self.ran.append((len(self.live.sessions), self.record(session)))

        session.notifyOnExpire(look)
        self.note("second")
        session.expire()
        self.assertEqual(self.ran, [(0, None), "second"])
        session.expire()
        self.advance(2000)
        self.assertEqual(len(self.ran), 2)

    def test_raising(self):
        """
        One that raises, whatever it raises, or whose Deferred fails, stops
        neither the end nor the others; it is logged without the uid.
        """
        uid = self.session.uid.decode("ascii")
        for error in (ValueError, KeyboardInterrupt, SystemExit, GeneratorExit):

            def raising(error=error):
                raise error("no")

            self.note(error.__name__, raising)
        self.note("failing", lambda: fail(LookupError("late")))
        self.note("own", lambda: self.live.sessions[self.session.uid])
        self.note("last")
        self.successResultOf(self.session.expire())
        self.assertEqual(len(self.ran), 7)
        self.assertEqual(self.ran[-1], "last")
        self.assertIs(self.record(self.session), None)
        self.assertEqual(len(self.flushLoggedErrors()), 6)
        self.assertEqual(self.logs("an expiry callback failed"), 1)
        self.assertNotIn(uid, "".join(self.logged))

    def test_neverReturns(self):
        """
        Nobody waits for one whose Deferred does not fire.
        """
        self.note("slow", Deferred)
        self.successResultOf(self.session.expire())

    def test_usesTheSession(self):
        """
        One may expire or touch the session or take it from the site, without
        end or error.
        """
        self.note("expire", self.session.expire)
        self.note("touch", lambda: self.assertRaises(AlreadyCalled, self.session.touch))
        self.note(
            "get",
            lambda: self.assertRaises(KeyError, self.live.getSession, b"0" * 64),
        )
        self.note("pop", lambda: self.live.sessions.pop(self.session.uid, None))
        self.successResultOf(self.session.expire())
        self.assertEqual(self.ran, ["expire", "touch", "get", "pop"])

    def test_addedMeanwhile(self):
        """
        One that is added while they run is run once after them; what that one
        adds is not.
        """
        self.note("a", lambda: self.note("c", lambda: self.note("d")))
        self.note("b", lambda: self.session.notifyOnExpire(self.session.expire))
        self.session.expire()
        self.assertEqual(self.ran, ["a", "b", "c"])
        self.assertEqual(self.session.expireCallbacks, [])

    def test_bounded(self):
        """
        A hundred thousand registrations are bounded, with one warning.
        """
        ran = self.ran

        def callback():
            ran.append(1)

        for _ in range(100_000):
            self.session.notifyOnExpire(callback)
        self.assertLess(sys.getsizeof(self.session.expireCallbacks), 20_000)
        self.assertEqual(self.logs("takes no more"), 1)
        self.session.expire()
        self.assertEqual(len(self.ran), MAX_CALLBACKS)

    def test_listOfTheApplication(self):
        """
        What an application puts into C{expireCallbacks} itself is run, all of
        it.
        """
        self.session.expireCallbacks = [lambda: self.ran.append(1)] * 2000
        self.session.expire()
        self.assertEqual(len(self.ran), 2000)

    def test_byTimer(self):
        """
        They run when time is up.
        """
        self.session.sessionTimeout = 30
        self.note("timer")
        self.advance(29)
        self.assertEqual(self.ran, [])
        self.advance(1)
        self.assertEqual(self.ran, ["timer"])

    def test_timerAndLogout(self):
        """
        The timer and a logout in the same moment end it once.
        """
        self.session.sessionTimeout = 30
        self.note("once")
        self.clock.callLater(30, self.session.expire)
        self.heard.told()
        self.advance(30)
        self.advance(30)
        self.assertEqual(self.ran, ["once"])
        self.assertEqual(self.heard.told(), ["expired idle"])

    def test_atTheDeadline(self):
        """
        A logout in the moment of the deadline, before the timer rings, ends it
        once too.
        """
        self.session.sessionTimeout = 30
        self.note("once")
        self.clock.rightNow += 30
        self.heard.told()
        self.session.expire()
        self.advance(30)
        self.assertEqual(self.ran, ["once"])
        self.assertEqual(self.heard.told(), ["expired idle"])

    def test_elsewhere(self):
        """
        They run when the session is found to have been ended elsewhere.
        """
        self.note("gone")
        other = self.another()
        self.load(other, self.session).expire()
        self.assertEqual(self.ran, [])
        self.assertIs(self.load(self.live, self.session), None)
        self.assertEqual(self.ran, ["gone"])

    def test_shutdown(self):
        """
        They do not run when the process ends, and leave no timer.
        """
        self.note("never")
        self.live.stopFactory()
        self.assertEqual(self.ran, [])
        self.assertEqual(self.timers(), 0)
        self.assertEqual(self.scheduled(), [])
        self.assertTrue(self.record(self.session))
