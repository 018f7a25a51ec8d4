"""
The Redis store: what it keeps in the server, and what others put there.
"""

from __future__ import annotations

import random

from msgspec.structs import replace as evolve
from twisted.internet.defer import CancelledError

from tests.stores.redis_case import IDLE, RedisTestCase
from tests.stores.valkeys import shared
from txsessions.core.forks import FORKS
from txsessions.core.record import ROTATED, UNCHANGED, SignInLimit
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    SessionTooLarge,
    StoreUnavailable,
)
from txsessions.interfaces import ROTATION_MARKER
from txsessions.stores import _redis_resp
from txsessions.stores._redis_keys import Keys, shardOf
from txsessions.stores._redis_rows import GRACE, LIMIT, TIMES
from txsessions.testing._case import steps

TWISTED = b"S1" + b"\xff" * 60
"""A head whose numbers are none."""


class StoreCase(RedisTestCase):
    """
    Tests on one store of the shared server.
    """

    def setUp(self):
        """
        Empty the server.
        """
        super().setUp()
        self.shared = shared()
        self.command = self.shared.command
        self.names = Keys("txsessions")

    def on(self, **options):
        """
        Open a store.
        """
        return self.opened(self.shared.address, **options)

    def commands(self):
        """
        How often each command was run, those inside of scripts too.
        """
        info = self.command("INFO", "commandstats").decode()
        return {
            line.split(":")[0].removeprefix("cmdstat_"): int(
                line.split("calls=")[1].split(",")[0]
            )
            for line in info.splitlines()
            if line.startswith("cmdstat_")
        }


class KeptTests(StoreCase):
    """
    What is in the server.
    """

    @steps
    async def test_oneHashTagAShard(self):
        """
        All keys of a session are in one slot of a cluster, of 64.
        """
        store = await self.on(prefix="p")
        for number in range(300):
            await self.keep(store, str(number))
        tags = {key[: key.index(b"}") + 1] for key in self.shared.names()}
        self.assertEqual(tags, {b"{p:%02d}" % n for n in range(64)})
        keys = Keys("p")
        for key in (b"", b"\xff" * 32, b"}{", b"*\r\n"):
            names = keys.all(key)
            self.assertEqual(len({n[: n.index(b"}")] for n in names}), 1)
            self.assertTrue(all(n.startswith(b"{p:") for n in names))

    @steps
    async def test_nothingIsLeft(self):
        """
        A session that ended leaves nothing in the server, however it ended.
        """
        store = await self.on()
        await store.delete((await self.keep(store)).key)
        self.assertEqual(self.shared.names(), [])
        record = await self.keep(store, expiresAt=self.now)
        await store.claimExpired(self.now, 9, 60.0)
        await store.acknowledge([record.key])
        self.assertEqual(self.shared.names(), [])
        record = await self.keep(store)
        new = self.record("new", version=2)
        await store.rename(record.key, new, 1, self.now)
        await store.delete(new.key)
        left = [self.names.became(record.key), self.names.record(record.key)]
        self.assertEqual(self.shared.names(), left)

    @steps
    async def test_timeToLive(self):
        """
        The server drops by itself what nobody swept, after a grace; the marker of
        a rotation soon after its minute.
        """
        store = await self.on()
        record = await self.keep(store)
        name = self.names.record(record.key)

        def left(extra):
            return self.command("PTTL", name) / 1000 - extra

        self.assertApproximates(left(GRACE), IDLE, 5)
        await store.touch(record.key, self.now + 50, self.now + 50 + IDLE, self.now)
        self.assertApproximates(left(GRACE), IDLE + 50, 5)
        longer = evolve(record, version=2, expiresAt=self.now + 9 * IDLE)
        await store.replace(longer, 1, self.now)
        self.assertApproximates(left(GRACE), 9 * IDLE, 5)
        past = await self.keep(store, "past", expiresAt=self.now - 1e7)
        self.assertGreater(self.command("PTTL", self.names.record(past.key)), 80_000e3)
        await store.rename(record.key, self.record("new"), 2, self.now)
        self.assertApproximates(left(0), ROTATION_MARKER, 6)
        self.assertGreater(left(0), ROTATION_MARKER - 1)

    @steps
    async def test_farAway(self):
        """
        Deadlines that no calendar has are kept.
        """
        store = await self.on()
        for name, at in (("9999", 253402300800.0), ("far", 1e15), ("never", 2.0**63)):
            record = await self.keep(store, name, expiresAt=at)
            self.assertEqual(await store.load(record.key, self.now), record)

    @steps
    async def test_oneRoundTrip(self):
        """
        Each verb is one command, and none looks for keys by a pattern.
        """
        store = await self.on()
        await store.load(b"first", self.now)
        record = self.record()
        changed = evolve(record, version=2)
        new = self.record("new", version=3)
        later = self.now + 1
        for call in (
            lambda: store.insert(record, self.now),
            lambda: store.load(record.key, self.now),
            lambda: store.load(record.key, self.now, 1),
            lambda: store.replace(changed, 1, self.now),
            lambda: store.touch(record.key, later, later, self.now),
            lambda: store.rename(record.key, new, 2, self.now),
            lambda: store.delete(new.key),
        ):
            self.command("CONFIG", "RESETSTAT")
            info = self.command("INFO", "stats").decode()
            before = int(info.split("total_commands_processed:")[1].split()[0])
            await call()
            self.assertEqual(self.commands()["evalsha"], 1)
            info = self.command("INFO", "stats").decode()
            spent = int(info.split("total_commands_processed:")[1].split()[0]) - before
            self.assertLessEqual(spent, 15)
        self.command("CONFIG", "RESETSTAT")
        for number in range(20):
            await self.keep(store, f"another {number}", expiresAt=self.now)
        await store.scan(None, 100)
        await store.countSessions(self.now)
        await store.claimExpired(self.now, 100, 1.0)
        self.assertEqual(
            set(self.commands()) & {"keys", "scan", "sscan", "hscan", "zscan"}, set()
        )

    @steps
    async def test_versionsThatNoneHas(self):
        """
        Numbers beyond 64 bits are no version's.
        """
        store = await self.on()
        record = await self.keep(store)
        for version in (2**63, 2**80, -(2**63) - 1):
            self.assertEqual(await store.load(record.key, self.now, version), record)
            replaced = store.replace(evolve(record, version=2), version, self.now)
            await self.fails(replaced, SessionConflict)

    @steps
    async def test_tooLarge(self):
        """
        What could not be read again is not written.
        """
        store = await self.on()
        record = await self.keep(store)
        large = evolve(record, version=2, payload=b"x" * LIMIT)
        await self.fails(store.replace(large, 1, self.now), SessionTooLarge)
        other = self.record("other", payload=b"x" * LIMIT)
        await self.fails(store.insert(other, self.now), SessionTooLarge)
        renamed = store.rename(record.key, other, 1, self.now)
        await self.fails(renamed, SessionTooLarge)
        self.assertEqual(await store.load(record.key, self.now), record)
        almost = evolve(record, version=2, payload=b"x" * (LIMIT - 100))
        await store.replace(almost, 1, self.now)
        self.assertEqual(await store.load(record.key, self.now), almost)

    @steps
    async def test_sweepOfMany(self):
        """
        A sweep of many goes in slices; each is claimed once, none is left.
        """
        store = await self.on()
        names = [str(number) for number in range(3000)]
        await self.outcomes([self.keep_(store, name) for name in names])
        claimed = []
        while found := await store.claimExpired(self.now, 700, 60.0):
            self.assertLessEqual(len(found), 700)
            claimed += found
            await store.acknowledge([record.key for record in found])
        self.assertEqual(len({record.key for record in claimed}), 3000)
        self.assertEqual(len(claimed), 3000)
        self.assertEqual(self.shared.names(), [])

    def keep_(self, store, name):
        """
        Insert an expired record, not waiting.
        """
        return store.insert(self.record(name, expiresAt=self.now), self.now)

    @steps
    async def test_largeRecordsAreClaimedInParts(self):
        """
        One script hands out a bounded number of bytes, the call all of them.
        """
        store = await self.on()
        size = 300_000
        for number in range(12):
            key = bytes([64, number]) * 16
            await self.keep(store, key=key, payload=b"x" * size, expiresAt=self.now)
        found = await store.claimExpired(self.now, 100, 60.0)
        self.assertEqual(len({record.key for record in found}), 12)


class ForeignTests(StoreCase):
    """
    What others did to the records.
    """

    async def refuses(self, store, record):
        """
        Nobody can use this record.
        """
        told = []
        self.patchLog(told)
        for known in (None, 1):
            self.assertIsNone(await store.load(record.key, self.now, known))
        self.assertEqual(told, [record.tag] * 2)
        changed = evolve(record, version=2)
        later = self.now + 1
        await self.fails(store.replace(changed, 1, self.now), SessionGone)
        touched = store.touch(record.key, later, later + IDLE, self.now)
        await self.fails(touched, SessionGone)
        renamed = store.rename(record.key, self.record("new"), 1, self.now)
        await self.fails(renamed, SessionGone)
        await self.fails(store.insert(record, self.now), SessionExists)

    def patchLog(self, told):
        """
        Hear what the operator is told.
        """
        from txsessions.stores import _redis_loading, _redis_sweeping, _redis_verbs

        def report(key):
            told.append(key[:8].hex())

        for module in (_redis_loading, _redis_verbs, _redis_sweeping):
            self.patch(module, "reportDamage", report)

    @steps
    async def test_replaced(self):
        """
        A value of another type, an empty one, a huge one, nonsense: absent, told,
        never swept, and gone by a logout.
        """
        store = await self.on()
        for number, change in enumerate(
            (
                ("LPUSH", "x"),
                ("SADD", "x"),
                ("HSET", "x", "y"),
                ("SET", ""),
                ("SET", "x"),
                ("SET", b"S1" + b"\0" * 20),
                ("SET", b"X" * 500),
                ("SET", TWISTED),
                ("SETRANGE", LIMIT + 9, "x"),
                ("SETRANGE", 64 << 20, "x"),
            )
        ):
            record = await self.keep(store, str(number), expiresAt=self.now + 1)
            bystander = await self.keep(store, f"bystander {number}")
            name = self.names.record(record.key)
            self.command("DEL", name)
            self.command(change[0], name, *change[1:])
            if change[-1] != TWISTED:
                await self.refuses(store, record)
            told = []
            self.patchLog(told)
            self.assertIsNone(await store.load(record.key, self.now))
            self.assertEqual(told, [record.tag], change)
            found = await store.claimExpired(self.now + 1, 100, 1.0)
            self.assertEqual(found, [], change)
            self.assertEqual(await store.claimExpired(self.now + 99, 100, 1.0), [])
            self.assertEqual(told, [record.tag] * 2, "told by one sweep, not again")
            page, _ = await store.scan(None, 100)
            self.assertEqual([r.key for r in page], [bystander.key], change)
            self.assertIs(await store.delete(record.key), True, change)
            self.assertIsNone(await store.load(record.key, self.now))
            await store.delete(bystander.key)
            self.assertEqual(self.shared.names(), [], change)

    @steps
    async def test_everyBitOfAHead(self):
        """
        A flipped bit is found, wherever it is.
        """
        store = await self.on()
        for signIn in ({}, {"principal": b"w" * 32, "handle": b"h" * 16}):
            await self.flip(store, await self.keep(store, payload=b"p" * 20, **signIn))

    async def flip(self, store, record):
        """
        Turn each bit of a record over.
        """
        name = self.names.record(record.key)
        whole = self.command("GET", name)
        self.patchLog([])
        for place in range(len(whole)):
            for bit in range(8):
                flipped = bytearray(whole)
                flipped[place] ^= 1 << bit
                self.command("SET", name, bytes(flipped))
                found = await store.load(record.key, self.now)
                self.assertIsNone(found, (place, bit))
                if place < TIMES:
                    # What is behind is not looked at where the version is known.
                    found = await store.load(record.key, self.now, 1)
                    self.assertIsNone(found, (place, bit))
        self.command("SET", name, whole)
        self.assertEqual(await store.load(record.key, self.now), record)
        await store.delete(record.key)

    @steps
    async def test_swapped(self):
        """
        A record under another's key is damaged.
        """
        store = await self.on()
        one, two = await self.keep(store), await self.keep(store, "two")
        told = []
        self.patchLog(told)
        self.command("COPY", *map(self.names.record, (one.key, two.key)), "REPLACE")
        self.assertIsNone(await store.load(two.key, self.now))
        self.assertEqual(told, [two.tag])

    @steps
    async def test_droppedByTheServer(self):
        """
        A record that the server dropped by itself is no error; what is left of it
        goes with the next sweep.
        """
        store = await self.on()
        record = await self.keep(store)
        self.command("DEL", self.names.record(record.key))
        told = []
        self.patchLog(told)
        self.assertIsNone(await store.load(record.key, self.now))
        self.assertIsNone(await store.load(record.key, self.now, 1))
        touched = store.touch(record.key, self.now + 1, self.now + 9, self.now)
        await self.fails(touched, SessionGone)
        self.assertEqual((await store.scan(None, 9))[0], [])
        self.assertEqual(await store.claimExpired(self.now + IDLE, 9, 1.0), [])
        self.assertEqual(self.shared.names(), [])
        self.assertIs(await store.delete(record.key), False)
        self.assertEqual(told, [])

    @steps
    async def test_indexOfAnotherType(self):
        """
        A stranger's value in the place of the deadlines: the store is unavailable,
        and says why.
        """
        store = await self.on()
        record = await self.keep(store)
        due = self.names.due[shardOf(record.key)]
        self.command("DEL", due)
        self.command("LPUSH", due, "x")
        changed = evolve(record, version=2)
        error = await self.fails(store.replace(changed, 1, self.now), StoreUnavailable)
        self.assertIn("something else", str(error))
        await self.fails(store.countSessions(self.now), StoreUnavailable)
        await self.fails(store.claimExpired(self.now, 9, 1.0), StoreUnavailable)

    @steps
    async def test_emptied(self):
        """
        FLUSHALL: all are anonymous, nothing fails, and life goes on.
        """
        store = await self.on()
        record = await self.keep(store)
        self.shared.empty()
        self.assertIsNone(await store.load(record.key, self.now))
        self.assertIsNone(await store.load(record.key, self.now, 1))
        changed = evolve(record, version=2)
        await self.fails(store.replace(changed, 1, self.now), SessionGone)
        self.assertIs(await store.delete(record.key), False)
        self.assertEqual(await store.claimExpired(self.now + 9e9, 9, 1.0), [])
        await store.acknowledge([record.key])
        self.assertEqual(await store.countSessions(self.now), 0)
        await store.insert(record, self.now)
        self.assertEqual(await store.load(record.key, self.now), record)

    @steps
    async def test_scriptsForgotten(self):
        """
        SCRIPT FLUSH: every verb sends its script once more.
        """
        store = await self.on()
        record, new = self.record(), self.record("new", version=3)
        later, limit = self.now + 1, SignInLimit(most=1, refuses=True)
        signIn = {"principal": b"w" * 32, "handle": b"h" * 16}
        signed, again = self.record("in", **signIn), self.record("again", **signIn)
        for call, expected in (
            (lambda: store.insert(record, self.now), None),
            (lambda: store.load(record.key, self.now, 1), UNCHANGED),
            (lambda: store.replace(evolve(record, version=2), 1, self.now), None),
            (lambda: store.touch(record.key, later, later, self.now), None),
            (lambda: store.rename(record.key, new, 2, self.now), None),
            (lambda: store.load(record.key, self.now, 1), ROTATED),
            (lambda: store.delete(new.key), True),
            (lambda: store.claimExpired(self.now, 9, 1.0), []),
            (lambda: store.acknowledge([record.key]), None),
            (lambda: store.insert(signed, self.now, limit), None),
            (lambda: store.rename(signed.key, again, 1, self.now, limit), None),
            (lambda: store.sessionsOf(b"w" * 32, self.now), ([again], None)),
            (lambda: store.endPrincipal(b"w" * 32, self.now), 1),
            (lambda: store.endSession(b"w" * 32, b"h" * 16, self.now), False),
            (lambda: store.erasePrincipal(b"w" * 32), 0),
            (store.verifyIndex, (0, b"\x01")),
        ):
            self.command("SCRIPT", "FLUSH")
            self.assertEqual(await call(), expected)


class ManyTests(StoreCase):
    """
    Many calls on one connection.
    """

    makeReader = staticmethod(_redis_resp.makeReader)

    @steps
    async def test_noReplyIsShifted(self):
        """
        48,000 reads, a fifth of them cancelled at random: each gets its own.
        """
        self.patch(_redis_resp, "makeReader", self.makeReader)
        store = await self.on()
        records = [await self.keep(store, str(number)) for number in range(100)]
        chance = random.Random(20260101)
        counts = {"found": 0, "cancelled": 0}
        for _ in range(160):
            calls, wanted = [], []
            for _ in range(300):
                record = chance.choice(records)
                known = 1 if chance.random() < 0.1 else None
                call = store.load(record.key, self.now, known)
                calls.append(call)
                wanted.append(UNCHANGED if known else record)
            for call in calls:
                if chance.random() < 0.2:
                    call.cancel()
            found = await self.outcomes(calls)
            for got, want in zip(found, wanted, strict=True):
                if isinstance(got, CancelledError):
                    counts["cancelled"] += 1
                else:
                    self.assertEqual(got, want)
                    counts["found"] += 1
        self.assertEqual(sum(counts.values()), 48_000)
        self.assertGreater(counts["cancelled"], 9000)


class PureManyTests(ManyTests):
    """
    The same without hiredis.
    """

    makeReader = _redis_resp.PureReader


class OpeningTests(StoreCase):
    """
    Opening and closing.
    """

    @steps
    async def test_once(self):
        """
        Openings at the same time are one; so are closings.
        """
        store = self.store(self.shared.address)
        await self.outcomes([store.open() for _ in range(5)])

        async def one():
            clients = self.command("CLIENT", "LIST").decode()
            self.assertEqual(clients.count("name=txsessions"), 1)

        await self.until(one)
        await self.outcomes([store.close() for _ in range(5)])
        await store.close()

    @steps
    async def test_closedWhileOpening(self):
        """
        Then the opening fails, and nothing stays.
        """
        store = self.store(self.shared.address)
        opening = store.open()
        closing = store.close()
        await self.fails(opening, StoreUnavailable)
        await closing
        await store.open()
        self.assertIsNone(await store.load(b"x", self.now))

    @steps
    async def test_openedWhileClosing(self):
        """
        Then it is open afterwards.
        """
        store = await self.on()
        calls = [store.load(b"x", self.now) for _ in range(9)]
        closing, opening = store.close(), store.open()
        await self.fails(store.load(b"x", self.now), StoreUnavailable)
        self.assertEqual(await self.outcomes(calls), [None] * 9)
        await closing
        await opening
        self.assertIsNone(await store.load(b"x", self.now))

    @steps
    async def test_acceptedIsFinished(self):
        """
        What was accepted before the closing is done.
        """
        store = await self.on()
        await store.load(b"x", self.now)
        record = self.record()
        inserted = store.insert(record, self.now)
        await store.close()
        await inserted
        await store.open()
        self.assertEqual(await store.load(record.key, self.now), record)

    @steps
    async def test_anotherProcess(self):
        """
        A store that was opened before a fork is not used after it, and can be
        opened there.
        """
        store = await self.on()
        self.assertIsNone(await store.load(b"x", self.now))
        calls = store._calls
        parent = self.patch(FORKS, "count", FORKS.count + 1)
        error = await self.fails(store.load(b"x", self.now), StoreUnavailable)
        self.assertIn("fork", str(error))
        await store.open()
        self.assertIsNone(await store.load(b"x", self.now))
        await store.close()
        parent.restore()
        await calls.client.stop()
