"""
Tests of L{txsessions.live.timing}, of what the limits do to sessions that are kept.
"""

from __future__ import annotations

import os
import time

from twisted.internet.interfaces import IDelayedCall
from twisted.web import server
from zope.interface.verify import verifyObject

from tests.live.sites import NOW, Holds, LiveCase
from txsessions.live.phases import ENDED


class OwnCall(server.Session):
    """
    A class that starts its own timer.
    """

    def startCheckingExpiration(self):
        """
        As stock Twisted does.
        """
        self._expireCall = self._reactor.callLater(self.sessionTimeout, self.expire)


class Short(server.Session):
    """
    An application's own class, as Twisted's manual shows it.
    """

    sessionTimeout = 30


class LifetimeTests(LiveCase):
    """
    What the limits do to sessions that are kept.
    """

    def test_idle(self):
        """
        The idle limit is exact where the session is held: alive before, dead at
        it and after.
        """
        for store, end in ((None, 900), (self.store, 30)):
            for offset, alive in ((-1, True), (-0.001, True), (0, False), (1, False)):
                site = self.site(store)
                session = self.saved(site, a=1)
                session.sessionTimeout = end
                self.successResultOf(session.save())
                self.clock.rightNow += end + offset
                found = self.load(site, session)
                self.assertIs(found, session if alive else None, (end, offset))
                live = session._uid in site.sessions
                self.assertEqual(live, alive)
                session.expire()

    def test_busy(self):
        """
        A session in use every half of the idle time lives on.
        """
        for store in (None, self.store):
            site = self.site(store)
            session = self.saved(site, a=1)
            for _ in range(6):
                self.clock.advance(450)
                found = self.load(site, session)
                self.assertTrue(found, "alive")
                found.touch()

    def test_lifetime(self):
        """
        The absolute limit is exact however busy it is, and neither a touch nor
        a new uid moves it.
        """
        for store in (None, self.store):
            site = self.site(store)
            session = self.saved(site, a=1)
            for step in range(72):
                self.clock.advance(599)
                session.touch()
                if step == 30:
                    site._live.rotate(session)
            self.assertIs(self.load(site, session), session)
            self.clock.advance(43200 - 72 * 599 - 0.5)
            self.assertIs(self.load(site, session), session)
            self.heard.told()
            self.clock.advance(0.5)
            self.assertEqual(session._phase, ENDED)
            self.assertEqual(self.heard.told(), ["expired lifetime"])
            self.assertIs(self.load(site, session), None)

    def test_lifetimeElsewhere(self):
        """
        It is exact in a process that did not make the session, too.
        """
        session = self.saved(self.site(), a=1)
        session.sessionLifetime = 1000
        self.successResultOf(session.save())
        process = self.another()
        self.clock.advance(500)
        other = self.load(process, session)
        self.assertEqual(other.sessionLifetime, 1000)
        other.touch()
        self.clock.rightNow += 499
        self.assertIs(self.load(process, session), other)
        self.clock.rightNow += 1
        self.assertIs(self.load(process, session), None)

    def test_idleElsewhere(self):
        """
        In a process that does not hold the session it ends a touch interval
        late at most.
        """
        session = self.saved(self.site(), a=1)
        for after, alive in ((899, True), (959, True), (960, False), (1000, False)):
            process = self.another()
            self.clock.rightNow = NOW + after
            self.assertEqual(bool(self.load(process, session)), alive, after)

    def test_kept(self):
        """
        Limits of an instance are kept with it, and others are not.
        """
        site = self.site()
        session = self.saved(site)
        session.sessionTimeout = 60
        session.sessionLifetime = 5000.5
        self.successResultOf(session.save())
        other = self.restart(site, session)
        self.assertEqual(other.sessionTimeout, 60)
        self.assertEqual(other.sessionLifetime, 5000.5)
        self.assertEqual(other.__dict__, {})
        self.assertEqual(other._expireCall.getTime(), NOW + 60)

    def test_ofTheClass(self):
        """
        So is what the class said when it was made.
        """
        site = self.site()
        site.sessionFactory = Short
        session = self.saved(site, a=1)
        self.assertEqual(session.sessionTimeout, 30)
        self.assertEqual(self.record(session).expiresAt, NOW + 32)
        self.clock.rightNow += 20
        other = self.load(self.another(), session)
        self.assertEqual(other.sessionTimeout, 30)
        Short.sessionTimeout = 40
        self.addCleanup(setattr, Short, "sessionTimeout", 30)
        self.assertEqual(session.sessionTimeout, 40)
        self.assertEqual(other.sessionTimeout, 30)

    def test_changeIsSaved(self):
        """
        A change is noticed though nothing else was changed.
        """
        site = self.site()
        session = self.saved(site, a=1)
        session.sessionTimeout = 5000
        self.assertEqual(self.store.calls[-1], "insert")
        self.successResultOf(session.save())
        self.assertEqual(self.store.calls[-1], "replace")
        self.assertEqual(self.record(session).expiresAt, NOW + 5060)

    def test_changeOfTheClassIsNoticed(self):
        """
        So is one of the class, when the session is next saved.
        """
        site = self.site()
        site.sessionFactory = Short
        session = self.saved(site, a=1)
        Short.sessionTimeout = 10
        self.addCleanup(setattr, Short, "sessionTimeout", 30)
        self.successResultOf(session.save())
        self.assertEqual(session._expireCall.getTime(), NOW + 10)

    def test_ownCall(self):
        """
        A class that starts its own timer has ours instead, which touches move.
        """
        site = self.site(None)
        site.sessionFactory = OwnCall
        session = site.makeSession()
        verifyObject(IDelayedCall, session._expireCall)
        self.clock.advance(500)
        session.touch()
        self.clock.advance(500)
        self.assertNotEqual(session._phase, ENDED)
        self.clock.advance(400)
        self.assertEqual(session._phase, ENDED)

    def test_anotherCall(self):
        """
        A call of something else is not taken for it.
        """
        session = self.site(None).makeSession()
        called = []
        session._expireCall = self.clock.callLater(5, called.append, 1)
        self.assertEqual(session._expireCall.getTime(), NOW + 900)
        self.clock.advance(5)
        self.assertEqual(called, [1])

    def test_oneTimer(self):
        """
        All sessions of all sites of a reactor have one timer, and none is left
        when they are gone.
        """
        site, other = self.site(None), self.site(None)
        before = len(self.clock.getDelayedCalls())
        sessions = [which.makeSession() for which in (site, other) * 50]
        self.assertEqual(len(self.clock.getDelayedCalls()), before + 1)
        for session in sessions:
            session.expire()
        self.assertEqual(len(self.clock.getDelayedCalls()), before)
        self.assertEqual(self.timers(), 0)

    def test_clockJumps(self):
        """
        A clock that jumps ends sessions early, or late by as much as it jumped;
        nothing raises, and what is gone stays so.
        """
        site = self.site()
        session = self.saved(site, a=1)
        gone = self.saved(site, a=1)
        gone.expire()
        for jump in (-3600, -1.5e9, 1.5e9, 3600 - 3600):
            self.clock.rightNow += jump
            self.clock.advance(0)
            for process in (site, self.another()):
                found = self.load(process, session)
                self.assertIs(self.load(process, gone), None)
                if found is not None:
                    found.touch()
                    self.assertGreaterEqual(found.lastModified, 1e8)
                    found["jump"] = jump
                    found.save().addErrback(lambda _: None)
        self.clock.advance(50_000)
        self.assertIs(self.load(self.another(), session), None)

    def test_timezones(self):
        """
        The year 2038 and another time zone change nothing.
        """
        self.clock.rightNow = 2.0**31 - 100
        before = os.environ.get("TZ")
        self.addCleanup(time.tzset)
        self.addCleanup(
            lambda: (
                os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
            )
        )
        site = self.site()
        session = self.saved(site, a=1)
        for zone in ("Pacific/Kiritimati", "America/Los_Angeles"):
            os.environ["TZ"] = zone
            time.tzset()
            self.clock.advance(100)
            other = self.load(self.another(), session)
            self.assertEqual(other._createdAt, 2.0**31 - 100)
            other.touch()
        self.clock.advance(899)
        self.assertIsNot(self.load(site, session), None)


class HeldTests(LiveCase):
    """
    Touching a session that others may have used.
    """

    def test_heldByARequest(self):
        """
        While a request holds the session a touch is not written at once.
        """
        site = self.site()
        session = self.saved(site, a=1)
        holds = Holds(session)
        self.clock.advance(100)
        session.touch()
        self.assertNotIn("touch", self.store.calls)
        holds.release()

    def test_outside(self):
        """
        Outside a request it is written once a touch interval.
        """
        site = self.site()
        session = self.saved(site, a=1)
        for _ in range(200):
            self.clock.advance(10)
            session.touch()
            record = self.record(session)
            self.assertLess(session.lastModified - record.touchedAt, 60)
        self.assertLessEqual(self.store.calls.count("touch"), 34)
        self.assertIs(site.sessions[session._uid], session)

    def test_outsideWithAChange(self):
        """
        What was changed goes with it.
        """
        site = self.site()
        session = self.saved(site)
        session.sessionTimeout = 150
        self.successResultOf(session.save())
        del self.store.calls[:]
        session["a"] = 2
        self.clock.advance(9)
        session.touch()
        self.assertEqual(self.store.calls, [])
        self.clock.advance(1)
        session.touch()
        self.assertEqual(self.store.calls, ["replace"])
        session["a"] = "\ud800"
        self.clock.advance(10)
        session.touch()
        self.assertEqual(self.logs("cannot be saved"), 1)
