"""
Tests of L{txsessions.live.sweeper}.
"""

from __future__ import annotations

from twisted.internet.defer import succeed

from tests.live.sites import NOW, OTHER_KEYS, LiveCase
from txsessions.errors import StoreUnavailable
from txsessions.live.sweeper import AT_ONCE, INTERVAL, LEASE, SLICE


class SweeperTests(LiveCase):
    """
    Expired records are taken out of the store, and told of once.
    """

    def setUp(self):
        """
        Have a site that sweeps.
        """
        super().setUp()
        self.live = self.site()

    def departed(self, count=1, **namespaces):
        """
        Sessions that are in the store only.
        """
        sessions = [self.saved(self.live, **namespaces) for _ in range(count)]
        self.clock.advance(60)
        self.assertEqual(dict(self.live.sessions), {})
        self.heard.told()
        return sessions

    def test_rhythm(self):
        """
        It sweeps once a minute, also if there is nothing.
        """
        self.advance(300, 1)
        self.assertEqual(self.store.calls.count("claimExpired"), 300 // INTERVAL)

    def test_swept(self):
        """
        A record that has run out is removed, and that is told with the reason
        and when the session was made.
        """
        (session,) = self.departed()
        self.advance(840, 60)
        self.assertTrue(self.record(session))
        self.advance(120, 60)
        self.assertIs(self.record(session), None)
        (event,) = self.heard.events
        self.assertEqual(
            (event.kind.value, event.tag, event.reason, event.createdAt),
            ("expired", session.tag, "idle", NOW),
        )

    def test_lifetime(self):
        """
        The reason may be the absolute limit.
        """
        session = self.saved(self.live, a=1)
        session.sessionLifetime = 100
        self.departed()
        self.advance(120, 60)
        self.assertEqual(self.heard.told(), ["expired lifetime"])

    def test_otherSite(self):
        """
        The record of another site is swept too; why it has run out cannot be
        read.
        """
        other = self.another(siteName=b"other", keys=OTHER_KEYS)
        self.saved(other, a=1)
        self.successResultOf(other.closed())
        self.advance(1200, 60)
        self.assertEqual(self.heard.told(), ["expired"])
        self.assertEqual(self.inner._slots, {})

    def test_once(self):
        """
        Of several processes one tells.
        """
        self.departed(5)
        others = [self.another() for _ in range(3)]
        self.advance(1200, 60)
        told = self.heard.told() + [t for other in others for t in other.heard.told()]
        self.assertEqual(told, ["expired idle"] * 5)

    def test_slices(self):
        """
        Many are dealt with in slices, one after the other.
        """
        self.departed(2 * SLICE + 30)
        self.clock.rightNow += 1000
        self.store.hold("claimExpired")
        self.clock.advance(0)
        told = []
        while self.store.pending:
            self.store.release()
            told.append(len(self.heard.told()))
            self.clock.advance(0)
        self.assertEqual(told, [SLICE, SLICE, 30])
        self.assertEqual(self.inner._slots, {})

    def slowly(self, event):
        """
        Hear of an event, and take time for it.
        """
        self.heard.events.append(event)
        self.clock.rightNow += AT_ONCE / 2.5

    def turn(self):
        """
        Make the one call that the sweeper waits for.
        """
        sweeper = self.live._live.lifecycle._sweeper
        (call,) = (
            call
            for call in self.clock.getDelayedCalls()
            if getattr(call.func, "__self__", None) is sweeper
        )
        function = call.func
        call.cancel()
        function()

    def test_turns(self):
        """
        Telling of a slice takes as many turns of the reactor as it has to, and what
        was told is acknowledged at once.
        """
        self.departed(10)
        self.clock.rightNow += 1000
        self.heard.sessionEvent = self.slowly
        told = []
        while sum(told) < 10:
            del self.store.calls[:]
            self.turn()
            told.append(len(self.heard.told()))
            self.assertEqual("acknowledge" in self.store.calls, sum(told) == 10)
        self.assertEqual(told, [3, 3, 3, 1])
        self.assertEqual(self.inner._slots, {})

    def test_stopsBetween(self):
        """
        One that stops in the middle has acknowledged what it told; another tells of
        the others after the lease.
        """
        self.departed(10)
        other = self.another()
        self.clock.rightNow += 1000
        self.heard.sessionEvent = self.slowly
        self.turn()
        self.assertEqual(len(self.heard.told()), 3)
        self.live._live.lifecycle._sweeper.stop()
        self.assertEqual(len(self.inner._slots), 7)
        self.advance(180, 10)
        self.assertEqual(self.heard.told(), [])
        self.assertEqual(other.heard.told(), ["expired idle"] * 7)

    def test_soon(self):
        """
        Asked to, it sweeps before its time, and once more if it is asked meanwhile.
        """
        sweeper = self.live._live.lifecycle._sweeper
        self.store.hold("claimExpired")
        for _ in range(3):
            sweeper.sweepSoon()
        self.clock.advance(0)
        self.assertEqual(self.store.names(), ["claimExpired"])
        sweeper.sweepSoon()
        self.store.release()
        self.clock.advance(0)
        self.assertEqual(self.store.names(), ["claimExpired"])
        self.store.release()
        self.clock.advance(1)
        self.assertEqual(self.store.names(), [])

    def test_lease(self):
        """
        What was claimed by a process that died is claimed again after the
        lease.
        """
        (session,) = self.departed()
        self.clock.rightNow += 1000
        now = self.clock.seconds()
        claimed = self.successResultOf(self.inner.claimExpired(now, 10, LEASE))
        self.assertEqual(len(claimed), 1)
        self.clock.advance(0)
        self.assertEqual(self.heard.told(), [])
        self.advance(120, 60)
        self.assertEqual(self.heard.told(), ["expired idle"])
        self.assertIs(self.record(session), None)

    def test_live(self):
        """
        A record that has run out though its session is live ends that, once.
        """
        session = self.saved(self.live, a=1)
        session._expireCall.cancel()
        session["pin"] = object()
        self.successResultOf(session.save())
        ran = []
        session.notifyOnExpire(lambda: ran.append(1))
        self.heard.told()
        self.advance(1200, 60)
        self.assertEqual(self.heard.told(), ["expired idle"])
        self.assertEqual(ran, [1])
        self.assertEqual(dict(self.live.sessions), {})

    def test_rotated(self):
        """
        A session that got a new uid is found by its present one.
        """
        session = self.saved(self.live, a=1)
        session["pin"] = object()
        self.successResultOf(self.live._live.rotate(session))
        self.assertEqual(list(self.live._live.byKey), [self.record(session).key])
        session._expireCall.cancel()
        self.heard.told()
        self.advance(1200, 60)
        self.assertEqual(self.heard.told(), ["expired idle"])

    def test_fails(self):
        """
        A store that fails is told of, and swept the next time.
        """
        self.departed()
        self.advance(840, 60)
        self.store.down = StoreUnavailable("down")
        self.advance(120, 60)
        self.assertEqual(self.heard.told(), ["unavailable down"] * 2)
        self.store.down = None
        self.advance(60, 60)
        self.assertEqual(self.heard.told(), ["expired idle"])

    def test_used(self):
        """
        A session in use is never swept.
        """
        session = self.saved(self.live, a=1)
        for _ in range(100):
            self.clock.advance(40)
            session.touch()
        self.assertTrue(self.record(session))
        self.assertEqual(self.heard.told(), ["created"])

    def test_stops(self):
        """
        It stops with the site; also while the store is being asked.
        """
        self.store.hold("claimExpired")
        self.clock.advance(60)
        self.live.stopFactory()
        self.store.pass_()
        self.assertEqual(self.scheduled(), [])

    def test_acknowledgeFails(self):
        """
        If the removal fails the records are claimed again after the lease.
        """
        self.departed()
        self.clock.rightNow += 1000
        self.store.hold("acknowledge")
        self.clock.advance(0)
        self.store.fail(StoreUnavailable("down"))
        self.store.holding = frozenset()
        self.assertEqual(self.heard.told(), ["expired idle", "unavailable down"])
        self.advance(120, 60)
        self.assertEqual(self.inner._slots, {})

    def test_nothing(self):
        """
        Where there is nothing there is nothing to acknowledge.
        """
        sweeper = self.live._live.lifecycle._sweeper
        self.assertEqual(self.successResultOf(sweeper.sweepSlice()), 0)
        self.assertNotIn("acknowledge", self.store.calls)
        sweeper.start()
        self.inner.claimExpired = lambda *_: succeed([])
        self.clock.advance(60)
