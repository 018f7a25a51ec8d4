"""
The server's clock, and machines whose clocks are others.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.redis_case import IDLE, RedisTestCase
from tests.stores.valkeys import shared
from txsessions.core.record import ROTATED
from txsessions.errors import StoreUnavailable
from txsessions.interfaces import ROTATION_MARKER
from txsessions.stores import _redis_clock
from txsessions.stores._redis_clock import INTERVAL, STEP, TOLERANCE, ServerClock
from txsessions.stores._redis_resp import ReplyError
from txsessions.testing._case import steps


class MeasuringTests(SynchronousTestCase):
    """
    L{ServerClock}.
    """

    def setUp(self):
        """
        Make one.
        """
        self.asked = []
        self.time = 100.0
        self.clock = ServerClock(self.send, lambda: self.time, 3)

    def send(self, command):
        """
        Ask the server.
        """
        self.asked.append(Deferred())
        return self.asked[-1]

    def say(self, seconds):
        """
        The server tells its time.
        """
        whole = int(seconds)
        micros = round((seconds - whole) * 1e6)
        self.asked.pop().callback([b"%d" % whole, b"%d" % micros])

    def test_firstCallWaits(self):
        """
        The first call that brings a time waits, and all behind it do, in order.
        """
        made = []
        self.assertFalse(self.clock.mustWait(None))
        held = []
        for name, now in (("a", 50.0), ("b", None), ("c", 60.0)):
            self.assertTrue(self.clock.mustWait(now))
            call = lambda name=name: succeed(made.append(name))  # noqa: E731
            held.append(self.clock.hold(call))
        self.failureResultOf(self.clock.hold(None), StoreUnavailable)
        held[1].addErrback(lambda _: None)
        held[1].cancel()
        self.say(1050)
        self.assertEqual(made, ["a", "c"])
        self.assertEqual(self.clock.offset, 1000.0)
        self.assertFalse(self.clock.mustWait(70.0))

    def test_cannotBeMade(self):
        """
        A call that cannot be made fails, and those behind it are made.
        """
        self.assertTrue(self.clock.mustWait(50.0))
        wrong = self.clock.hold(lambda: 1 // 0)
        right = self.clock.hold(lambda: succeed("made"))
        self.say(1050)
        self.failureResultOf(wrong, ZeroDivisionError)
        self.assertEqual(self.successResultOf(right), "made")

    def test_againEachMinute(self):
        """
        After that it is measured once a minute, beside what goes on.
        """
        self.clock.mustWait(50.0)
        self.say(50)
        self.time += INTERVAL - 1
        self.clock.mustWait(50.0 + INTERVAL - 1)
        self.assertEqual(self.asked, [])
        self.time += 1
        self.assertFalse(self.clock.mustWait(50.0 + INTERVAL))
        self.assertFalse(self.clock.mustWait(50.0 + INTERVAL))
        self.assertEqual(len(self.asked), 1)
        self.say(55 + INTERVAL)
        self.assertEqual(self.clock.offset, 5.0)

    def test_wholeSteps(self):
        """
        An offset is a whole number of steps, or adding it would lose digits.
        """
        self.clock.mustWait(50.0)
        self.say(1050.123457)
        self.assertApproximates(self.clock.offset, 1000.123457, 1 / STEP)
        self.assertTrue((self.clock.offset * STEP).is_integer())

    def test_newConnection(self):
        """
        Another connection may lead to another server.
        """
        self.clock.mustWait(50.0)
        self.say(50)
        self.clock.connected()
        self.assertTrue(self.clock.mustWait(50.0))
        self.say(80)
        self.assertEqual(self.clock.offset, 30.0)

    def test_stays(self):
        """
        What a slow answer and small drifts can explain moves nothing.
        """
        self.clock.mustWait(50.0)
        self.say(50 + TOLERANCE * 0.9)
        self.assertEqual(self.clock.offset, 0.0)
        self.clock.connected()
        self.clock.mustWait(50.0)
        self.time += 3
        self.say(50.0)
        self.assertEqual(self.clock.offset, 0.0)
        self.clock.connected()
        self.clock.mustWait(50.0)
        self.time += 2
        self.say(61.0)
        self.assertEqual(self.clock.offset, 10.0)

    def test_notTold(self):
        """
        Where the server does not tell, calls go on with what is known; where the
        connection is lost, the next call asks again.
        """
        made = []
        self.clock.mustWait(50.0)
        self.clock.hold(lambda: succeed(made.append(1)))
        self.asked.pop().errback(ReplyError("NOPERM no"))
        self.assertEqual(made, [1])
        self.assertFalse(self.clock.mustWait(50.0))
        self.clock.connected()
        self.clock.mustWait(50.0)
        self.asked.pop().errback(StoreUnavailable("gone"))
        self.assertTrue(self.clock.mustWait(50.0))
        self.say(50)
        self.clock.connected()
        self.patch(self.clock, "_send", lambda _: fail(StoreUnavailable("gone")))
        self.assertFalse(self.clock.mustWait(50.0))

    @settings(deadline=None)
    @given(
        st.floats(1e9, 4e9).map(lambda t: round(t * 2**21) / 2**21),
        st.integers(-(10**9), 10**9),
    )
    def test_thereAndBack(self, time, steps):
        """
        A time that was moved to the server's clock and back is the same.
        """
        offset = steps / STEP / 64
        offset = round(offset * STEP) / STEP
        self.assertEqual(time + offset - offset, time)


class SkewTests(RedisTestCase):
    """
    Machines and servers whose clocks differ.
    """

    @steps
    async def test_serverAhead(self):
        """
        A server whose clock is ten minutes ahead, or behind: sessions live as long
        as they should, and their times come back as they went in.
        """
        for shift in (600, -600):
            proxy = self.proxy(shared())
            proxy.shift = shift
            store = await self.opened(proxy.address)
            record = await self.keep(store, createdAt=1.1, touchedAt=self.now + 0.3)
            self.assertEqual(await store.load(record.key, self.now), record)
            last = record.expiresAt - 0.01
            self.assertEqual(await store.load(record.key, last), record)
            self.assertIsNone(await store.load(record.key, record.expiresAt))
            self.assertEqual(await store.claimExpired(self.now + IDLE - 1, 9, 1.0), [])
            self.assertEqual(
                await store.claimExpired(self.now + IDLE, 9, 1.0), [record]
            )
            self.assertApproximates(store._calls.clock.offset, shift, 0.5)

    @steps
    async def test_twoMachines(self):
        """
        Two machines, five minutes apart: what one writes lives as long for the
        other.
        """
        server = shared()
        here, there = [await self.opened(server.address) for _ in range(2)]
        ahead = 300.0
        await here.load(b"x", self.now)
        await there.load(b"x", self.now + ahead)
        record = await self.keep(here)
        seen = await there.load(record.key, self.now + ahead)
        for name in ("createdAt", "touchedAt", "expiresAt"):
            moved = getattr(seen, name) - getattr(record, name)
            self.assertLess(abs(moved - ahead), 0.5)
        late = self.now + ahead + IDLE
        self.assertIsNotNone(await there.load(record.key, late - 1))
        self.assertIsNone(await there.load(record.key, late + 1))
        self.assertIsNone(await here.load(record.key, self.now + IDLE))
        later = self.now + ahead + 60
        await there.touch(record.key, later, later + IDLE, later)
        touched = await here.load(record.key, self.now + 60)
        self.assertLess(abs(touched.touchedAt - self.now - 60), 0.5)
        changed = evolve(touched, version=2, payload=b"changed")
        await here.replace(changed, 1, self.now + 60)
        seen = await there.load(record.key, later)
        self.assertEqual(seen.payload, b"changed")
        self.assertEqual(await there.countSessions(later), 1)
        self.assertEqual(await there.claimExpired(later + IDLE - 2, 9, 1.0), [])

    @steps
    async def test_markerOfAnotherMachine(self):
        """
        The minute of a rotation is the same minute for both.
        """
        server = shared()
        here, there = [await self.opened(server.address) for _ in range(2)]
        await here.load(b"x", self.now)
        await there.load(b"x", self.now - 300)
        record = await self.keep(here)
        await here.rename(record.key, self.record("new"), 1, self.now)
        theirs = self.now - 300
        self.assertIs(await there.load(record.key, theirs), ROTATED)
        last = theirs + ROTATION_MARKER
        self.assertIs(await there.load(record.key, last - 1), ROTATED)
        self.assertIsNone(await there.load(record.key, last + 1))

    @steps
    async def test_failoverToAnotherClock(self):
        """
        A new primary with another clock: measured before anything is read there.
        """
        proxy = self.proxy(shared())
        store = await self.opened(proxy.address)
        record = await self.keep(store)
        proxy.shift = 5000
        proxy.cut()
        await self.until(lambda: store.load(b"x", self.now))
        self.assertIsNone(await store.load(record.key, self.now))
        again = await self.keep(store, "again")
        self.assertEqual(await store.load(again.key, self.now), again)

    @steps
    async def test_measuredBeside(self):
        """
        A measurement of every minute holds nobody up.
        """
        proxy = self.proxy(shared())
        store = await self.opened(proxy.address)
        record = await self.keep(store)
        self.patch(_redis_clock, "INTERVAL", 0.0)
        asked = proxy.asked.count(b"TIME")
        for _ in range(3):
            store._calls.clock.lookAt = self.now
            self.assertEqual(await store.load(record.key, self.now), record)
        self.assertGreater(proxy.asked.count(b"TIME"), asked)
