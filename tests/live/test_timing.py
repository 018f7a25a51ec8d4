"""
Tests of L{txsessions.live.timing}: the two limits of a session and its last use.
"""

from __future__ import annotations

from twisted.internet.error import AlreadyCalled
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python import threadable
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import server
from zope.interface.verify import verifyObject

from tests.live.sites import NOW
from txsessions import Session
from txsessions.errors import ConfigurationError, WrongThread
from txsessions.live.phases import ENDED
from txsessions.live.timing import demandThread, takeLimits


class LimitTests(SynchronousTestCase):
    """
    C{sessionTimeout} and C{sessionLifetime}.
    """

    def make(self, cls=Session):
        """
        A session by itself, with a clock.
        """
        clock = Clock()
        clock.advance(NOW)
        session = cls(None, b"0", clock)
        session.startCheckingExpiration()
        return session, clock

    def test_standard(self):
        """
        They are 900 s, and nothing in particular.
        """
        session, _clock = self.make()
        self.assertEqual(session.sessionTimeout, 900)
        self.assertEqual(Session.sessionTimeout, 900)
        self.assertIs(session.sessionLifetime, None)
        self.assertIs(Session.sessionLifetime, None)
        self.assertEqual(session._expireCall.getTime(), NOW + 900)

    def test_ofTwistedsClass(self):
        """
        What a program sets on Twisted's class is for ours too.
        """
        self.patch(server.Session, "sessionTimeout", 60)
        session, _ = self.make()
        self.assertEqual(session.sessionTimeout, 60)
        self.assertEqual(session._expireCall.getTime(), NOW + 60)

    def test_ofOurClass(self):
        """
        What a program sets on our class, or a class derived from it, is used,
        and an instance can still have its own.
        """

        class Derived(Session):
            """
            Has no limit of its own.
            """

        Session.sessionTimeout = 60
        self.addCleanup(delattr, Session, "sessionTimeout")
        for _ in range(2):
            for cls in (Session, Derived):
                session, _clock = self.make(cls)
                self.assertEqual(session._expireCall.getTime(), NOW + 60)
                session.sessionTimeout = 10
                session.touch()
                self.assertEqual(session._expireCall.getTime(), NOW + 10)
                self.assertEqual(cls.sessionTimeout, 60)
            takeLimits(Session)
        session.sessionTimeout = 20
        self.assertEqual(session._expireCall.getTime(), NOW + 20)

    def test_ofASubclass(self):
        """
        A class may say it, also one that changes its mind.
        """

        class Long(Session):
            """
            Has limits.
            """

            sessionTimeout = 5000
            sessionLifetime = 6000

        class Longer(Long):
            """
            Has another.
            """

            sessionTimeout = 5500.5

        session, clock = self.make(Longer)
        self.assertEqual(session._expireCall.getTime(), NOW + 5500.5)
        clock.advance(3000)
        session.touch()
        self.assertEqual(session._expireCall.getTime(), NOW + 6000)
        Long.sessionLifetime = 7000
        self.assertEqual(session.sessionLifetime, 7000)

    def test_change(self):
        """
        A change counts from now, be it shorter or longer.
        """
        session, clock = self.make()
        clock.advance(500)
        session.sessionTimeout = 60
        self.assertEqual(session._expireCall.getTime(), NOW + 560)
        self.assertEqual(session.lastModified, NOW + 500)
        session.sessionTimeout = 2000
        self.assertEqual(session._expireCall.getTime(), NOW + 2500)
        clock.advance(1000)
        session.touch()
        self.assertEqual(session._expireCall.getTime(), NOW + 3500)
        del session.sessionTimeout
        self.assertEqual(session._expireCall.getTime(), NOW + 2400)
        clock.advance(899)
        self.assertNotEqual(session._phase, ENDED)
        clock.advance(1)
        self.assertEqual(session._phase, ENDED)

    def test_changeOfTheLifetime(self):
        """
        So does one of the absolute limit, which counts from the beginning.
        """
        session, clock = self.make()
        session.sessionLifetime = 100
        self.assertEqual(session._expireCall.getTime(), NOW + 100)
        session.sessionLifetime = None
        self.assertEqual(session._expireCall.getTime(), NOW + 900)
        session.sessionLifetime = 50
        clock.advance(50)
        self.assertEqual(session._phase, ENDED)

    def test_tooLate(self):
        """
        What has run out is not brought back by a change.
        """
        session, clock = self.make()
        clock.rightNow += 900
        session.sessionTimeout = 5000
        clock.advance(0)
        self.assertEqual(session._phase, ENDED)
        session.sessionTimeout = 10
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_beforeTheStart(self):
        """
        A change before the session is started is used when it is.
        """
        clock = Clock()
        session = Session(None, b"0", clock)
        session.sessionTimeout = 5
        self.assertEqual(clock.getDelayedCalls(), [])
        session.startCheckingExpiration()
        self.assertEqual(session._expireCall.getTime(), 5)

    def test_wrong(self):
        """
        What is no number of seconds is refused, on an instance and a class.
        """
        session, _ = self.make()
        for wrong in (0, -5, "60", float("nan"), float("inf"), None, True):
            error = self.assertRaises(
                ConfigurationError, setattr, session, "sessionTimeout", wrong
            )
            self.assertIn("sessionTimeout", str(error))
        self.assertRaises(ConfigurationError, setattr, session, "sessionLifetime", 0)
        for name in ("sessionTimeout", "sessionLifetime"):
            self.assertRaises(ConfigurationError, type, "X", (Session,), {name: -1})
        self.assertEqual(session._expireCall.getTime(), NOW + 900)

    def test_property(self):
        """
        A class may compute it.
        """

        class Computed(Session):
            """
            Has a property.
            """

            @property
            def sessionTimeout(self):
                """
                So many seconds.
                """
                return 17

        session, _ = self.make(Computed)
        self.assertEqual(session._expireCall.getTime(), NOW + 17)


class ClockTests(SynchronousTestCase):
    """
    C{_reactor}, C{_expireCall}, C{startCheckingExpiration}, C{touch}.
    """

    def setUp(self):
        """
        Make a session.
        """
        self.clock = Clock()
        self.clock.advance(NOW)
        self.session = Session(None, b"0", self.clock)

    def test_twiceIsOnce(self):
        """
        Started twice it has one timer, and ends once.
        """
        self.session.startCheckingExpiration()
        self.session.startCheckingExpiration()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(899)
        self.session.startCheckingExpiration()
        self.clock.advance(1)
        self.assertEqual(self.session._phase, ENDED)
        self.session.startCheckingExpiration()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_exact(self):
        """
        It ends at its deadline, and not before.
        """
        self.session.startCheckingExpiration()
        self.clock.advance(899.999)
        self.assertNotEqual(self.session._phase, ENDED)
        self.clock.advance(0.001)
        self.assertEqual(self.session._phase, ENDED)
        self.assertIs(self.session._expireCall, None)

    def test_fromTheStart(self):
        """
        Its time begins when it is started.
        """
        self.clock.advance(500)
        self.session.startCheckingExpiration()
        self.assertEqual(self.session._expireCall.getTime(), NOW + 1400)

    def test_touch(self):
        """
        A touch moves the deadline and says when it was.
        """
        self.session.startCheckingExpiration()
        for _ in range(6):
            self.clock.advance(450)
            self.session.touch()
        self.assertEqual(self.session.lastModified, NOW + 2700)
        self.assertEqual(self.session._expireCall.getTime(), NOW + 3600)
        self.clock.advance(900)
        self.assertEqual(self.session._phase, ENDED)

    def test_touchTheDead(self):
        """
        A dead session cannot be touched.
        """
        self.session.expire()
        self.assertRaises(AlreadyCalled, self.session.touch)

    def test_touchAtTheDeadline(self):
        """
        Nor one whose deadline is there, though the timer has not rung yet.
        """
        self.session.startCheckingExpiration()
        self.clock.rightNow += 900
        self.assertRaises(AlreadyCalled, self.session.touch)
        self.assertEqual(self.session._phase, ENDED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_touchBeforeTheStart(self):
        """
        One that was not started has no deadline.
        """
        self.clock.advance(5000)
        self.session.touch()
        self.assertEqual(self.session.lastModified, NOW + 5000)
        self.assertIs(self.session._expireCall, None)

    def test_replacedReactor(self):
        """
        The reactor may be replaced, before the start and after.
        """
        other = Clock()
        other.advance(NOW + 70_000_000)
        self.session._reactor = other
        self.session.startCheckingExpiration()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        other.advance(400)
        third = Clock()
        self.session._reactor = third
        self.assertIs(self.session._reactor, third)
        self.assertEqual(other.getDelayedCalls(), [])
        third.advance(400)
        self.session.touch()
        self.assertEqual(self.session.lastModified, 400)
        third.advance(899)
        self.assertNotEqual(self.session._phase, ENDED)
        third.advance(1)
        self.assertEqual(self.session._phase, ENDED)

    def test_expireCall(self):
        """
        C{_expireCall} is there while the session waits for its end, and moves
        it.
        """
        self.assertIs(self.session._expireCall, None)
        self.session.startCheckingExpiration()
        call = self.session._expireCall
        verifyObject(IDelayedCall, call)
        self.assertTrue(call.active())
        call.reset(10)
        self.clock.advance(10)
        self.assertEqual(self.session._phase, ENDED)
        self.assertFalse(call.active())

    def test_expireCallIsBounded(self):
        """
        It cannot be moved beyond the absolute limit.
        """
        self.session.startCheckingExpiration()
        self.session._expireCall.delay(10**9)
        self.assertEqual(self.session._expireCall.getTime(), NOW + 43200)

    def test_cancel(self):
        """
        Once it is cancelled the session lives on.
        """
        self.session.startCheckingExpiration()
        self.session._expireCall.cancel()
        self.clock.advance(10_000)
        self.session.touch()
        self.assertNotEqual(self.session._phase, ENDED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_setToNone(self):
        """
        So it does when it is set to None, as stock code does to break a cycle.
        """
        self.session._expireCall = None
        self.session.startCheckingExpiration()
        self.session._expireCall = None
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wrongThread(self):
        """
        Each member that changes something fails in another thread, and says
        what to use.
        """
        self.patch(threadable, "ioThread", -1)
        session = self.session
        for use in (
            session.touch,
            session.expire,
            session.startCheckingExpiration,
            session.save,
            lambda: session.rotate(None),
            lambda: session.notifyOnExpire(None),
            lambda: session.getComponent(IDelayedCall),
            lambda: session.setComponent(IDelayedCall, 1),
        ):
            error = self.assertRaises(WrongThread, use)
            self.assertIn("reactor.callFromThread", str(error))
        self.assertNotEqual(session._phase, ENDED)

    def test_noThread(self):
        """
        Before the reactor runs every thread will do.
        """
        self.patch(threadable, "ioThread", None)
        demandThread()
