"""
Who is signed in, in a Redis server: what it costs and what is kept for how long.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve

from tests.stores.redis_case import IDLE
from tests.stores.redis_principals_case import ONE, WHO, PrincipalsCase
from tests.stores.valkeys import REDIS, shared
from txsessions.core.record import PREFIX_BYTES
from txsessions.stores import _redis_sweeping
from txsessions.stores._redis_keys import SHARDS, shardOf
from txsessions.stores._redis_rows import GRACE
from txsessions.testing._case import steps

DAYS = 1.5 * GRACE
"""Longer than an index lives on by itself."""


class CostTests(PrincipalsCase):
    """
    What is sent, and what the server does.
    """

    async def cost(self, store, call):
        """
        Make a call.

        @return: How many commands were sent, and which the server ran in them.
        """
        sent, client = [], store._calls.client
        tell = client.tell
        client.tell = lambda *args: (sent.append(args), tell(*args))[1]
        self.command("CONFIG", "RESETSTAT")
        await call()
        client.tell = tell
        done = self.commands()
        for aside in ("config|resetstat", "config", "info", "time"):
            done.pop(aside, None)
        return len(sent), done

    @steps
    async def test_anonymous(self):
        """
        A session in which nobody is signed in is one round trip a verb, and costs the
        server no command for principals; one for the set of the anonymous.
        """
        store = await self.on()
        await store.load(b"first", self.now)
        record = self.record()
        new = self.record("new", version=3)
        later = self.now + 1
        sets = {"set": 1, "zadd": 3, "zrem": 1}
        for call, expected in (
            (lambda: store.insert(record, self.now), sets),
            (lambda: store.insert(self.record("2"), self.now, ONE), sets),
            (lambda: store.load(record.key, self.now), {"getrange": 1}),
            (lambda: store.load(record.key, self.now, 1), {"getrange": 1}),
            (lambda: store.load(record.key, self.now, 7), {"getrange": 2}),
            (
                lambda: store.replace(evolve(record, version=2), 1, self.now),
                {"getrange": 1, "set": 1, "zadd": 2},
            ),
            (
                lambda: store.touch(record.key, later, later, self.now),
                {"getrange": 1, "setrange": 1, "pexpireat": 1, "zadd": 2},
            ),
            (
                lambda: store.rename(record.key, new, 2, self.now),
                {"getrange": 1, "set": 3, "zadd": 3, "zrem": 5},
            ),
            (lambda: store.delete(new.key), {"getrange": 1, "del": 1, "zrem": 4}),
        ):
            sent, done = await self.cost(store, call)
            self.assertEqual((sent, done), (1, {"evalsha": 1, **expected}))

    @steps
    async def test_signedIn(self):
        """
        One in which somebody is, is one round trip, too, with a limit or without; a
        load asks for two things more, a change five.
        """
        store = await self.on()
        await store.load(b"first", self.now)
        record = self.signedIn()
        new = evolve(record, key=self.record("new").key, version=3)
        later, handle = self.now + 1, record.handle
        anonymous = await self.keep(store, "anonymous")
        last = self.signedIn("last", version=2)
        for call in (
            lambda: store.insert(record, self.now, ONE),
            lambda: store.replace(evolve(record, version=2), 1, self.now),
            lambda: store.touch(record.key, later, later, self.now),
            lambda: store.rename(record.key, new, 2, self.now),
            lambda: store.rename(anonymous.key, last, 1, self.now, ONE),
            lambda: store.sessionsOf(WHO, self.now),
            lambda: store.endPrincipal(WHO, self.now, last.key),
            lambda: store.endEverybody(b"of some other site"[:PREFIX_BYTES]),
            lambda: store.endSession(WHO, handle, self.now),
            lambda: store.delete(last.key),
            lambda: store.erasePrincipal(WHO),
        ):
            sent, done = await self.cost(store, call)
            self.assertEqual((sent, done["evalsha"]), (1, 1))
        record = await self.signIn(store, "another")
        for known in (None, 1):
            cost = await self.cost(
                store, lambda known=known: store.load(record.key, self.now, known)
            )
            self.assertEqual(cost, (1, {"evalsha": 1, "getrange": 3}))
        for call, expected in (
            (
                lambda: store.touch(record.key, later, later, self.now),
                {"getrange": 3, "setrange": 1, "pexpireat": 1, "zadd": 2, "pttl": 2},
            ),
            (
                lambda: store.replace(evolve(record, version=2), 1, self.now),
                {"getrange": 3, "set": 1, "zadd": 2, "pttl": 2},
            ),
        ):
            cost = await self.cost(store, call)
            self.assertEqual(cost, (1, {"evalsha": 1, **expected}))

    @steps
    async def test_everybody(self):
        """
        Everybody's end is one round trip, and no more work where they are many.  The
        sessions are counted one by one only for as long as the last of those that ended
        might have lived.
        """
        store = await self.on()
        for many in (1, 150):
            records = self.inOneShard(many)
            for record in records:
                await store.insert(record, self.now)
            sent, done = await self.cost(
                store, lambda: store.endEverybody(WHO[:PREFIX_BYTES])
            )
            done.pop("set")
            expected = {"evalsha": 1, "zrange": SHARDS, "getrange": SHARDS}
            self.assertEqual((sent, done), (1, expected))
            self.shared.empty()
        records = self.inOneShard(150)
        for record in records[:140]:
            await store.insert(record, self.now)
        await store.endEverybody(WHO[:PREFIX_BYTES])
        for record in records[140:]:
            await store.insert(record, self.now)
        await self.keep(store, "anonymous")
        flag = self.names.ended[0]
        left = self.command("PTTL", flag) / 1000
        self.assertApproximates(left, IDLE, 5)
        counted = []

        async def count():
            counted.append(await store.countSessions(self.now))

        sent, done = await self.cost(store, count)
        self.assertEqual((counted, done["evalsha"]), ([11], 3))
        for record in records[:140]:
            await store.delete(record.key)
        self.command("DEL", flag)
        sent, done = await self.cost(store, count)
        self.assertEqual((counted, sent), ([11, 11], 2 * SHARDS))
        self.assertNotIn("evalsha", done)


class KeptTests(PrincipalsCase):
    """
    What is in the server, and for how long.
    """

    @steps
    async def test_nothingIsLeft(self):
        """
        However the sessions of a principal go, what was known of it goes with them.
        """
        store = await self.on()

        async def sweep(records):
            await store.claimExpired(self.now + 9e6, 99, 60.0)
            await store.acknowledge([record.key for record in records])

        async def deleteEach(records):
            for record in records:
                await store.delete(record.key)

        async def endEach(records):
            for record in records:
                await store.endSession(WHO, record.handle, self.now)

        async def erase(_):
            await store.erasePrincipal(WHO)

        async def signOut(records):
            for number, record in enumerate(records):
                out = self.record(f"out {number}", version=2)
                await store.delete(record.key)
                await store.insert(record, self.now)
                await store.rename(record.key, out, 1, self.now)

        for ways in (sweep, deleteEach, endEach, erase, signOut):
            records = [await self.signIn(store, str(n), n) for n in range(9)]
            await store.endPrincipal(WHO, self.now)
            records.append(await self.signIn(store, "after"))
            await ways(records)
            left = [name for name in self.shared.names() if WHO in name]
            self.assertEqual(left, [], ways)
            if ways is not signOut:
                self.assertEqual(self.shared.names(), [], ways)

    @steps
    async def test_theIndexLivesLongEnough(self):
        """
        As long as the longest of its sessions, whichever write made it so long.
        """
        store = await self.on()
        one, two, three, _ = records = self.inOneShard(4)

        def left():
            times = [self.command("PTTL", self.names.record(r.key)) for r in records]
            index = self.command("PTTL", self.index(one))
            self.assertGreater(index, 0)
            self.assertGreaterEqual(index, max(times) - 5)
            return index / 1000 - 2 * GRACE

        await store.insert(one, self.now)
        self.assertApproximates(left(), IDLE, 5)
        two = evolve(two, expiresAt=self.now + DAYS)
        await store.insert(two, self.now)
        self.assertApproximates(left(), DAYS, 5)
        await store.touch(one.key, self.now + 1, self.now + DAYS + GRACE - 9, self.now)
        self.assertApproximates(left(), DAYS, 5, "it lives long enough")
        await store.touch(one.key, self.now + 2, self.now + 3 * DAYS, self.now)
        self.assertApproximates(left(), 3 * DAYS, 5)
        longer = evolve(one, version=2, expiresAt=self.now + 5 * DAYS)
        await store.replace(longer, 1, self.now)
        self.assertApproximates(left(), 5 * DAYS, 5)
        three = evolve(three, version=2, expiresAt=self.now + 7 * DAYS)
        await store.rename(two.key, three, 1, self.now)
        self.assertApproximates(left(), 7 * DAYS, 5)
        await store.endPrincipal(WHO, self.now)
        epoch = self.command("PTTL", self.epoch(one)) / 1000 - GRACE
        self.assertApproximates(epoch, GRACE + 7 * DAYS, 5)

    @steps
    async def test_farAway(self):
        """
        Also where no calendar has the deadline.
        """
        store = await self.on()
        record = await self.signIn(store, expiresAt=2.0**63)
        self.assertEqual(await store.endPrincipal(WHO, self.now), 1)
        self.assertGreater(self.command("PTTL", self.epoch(record)), 9e13)
        self.assertIsNone(await store.load(record.key, self.now))

    @steps
    async def test_theEpochOutlivesTheNextEnd(self):
        """
        A second end does not shorten the time for which the first is remembered.
        """
        store = await self.on()
        one, two, *_ = self.inOneShard(2)
        await store.insert(evolve(one, expiresAt=self.now + 9 * IDLE), self.now)
        await store.endPrincipal(WHO, self.now)
        await store.insert(two, self.now)
        await store.endPrincipal(WHO, self.now)
        left = self.command("PTTL", self.epoch(one)) / 1000 - GRACE
        self.assertApproximates(left, GRACE + 9 * IDLE, 5)

    @steps
    async def test_aLostEpoch(self):
        """
        Where one was lost, those who signed in under it are not out of reach of the
        next, though it counts from nothing.
        """
        store = await self.on()
        first, second, *_ = self.inOneShard(2)
        await store.insert(first, self.now)
        await store.endPrincipal(WHO, self.now)
        await store.insert(second, self.now)
        self.assertEqual(self.command("DEL", self.epoch(first)), 1)
        self.assertEqual(await store.load(second.key, self.now), second)
        await store.endPrincipal(WHO, self.now)
        for record in (first, second):
            self.assertIsNone(await store.load(record.key, self.now))

    @steps
    async def test_aLostEndOfEverybody(self):
        """
        So it is where the end of everybody was lost, or that of a principal beside it,
        whichever comes next: neither makes up for the other.
        """
        store = await self.on()
        for lost, following in ((0, 0), (0, 1), (1, 0), (1, 1)):
            (record,) = self.inOneShard(1)
            await store.insert(record, self.now)
            await store.endPrincipal(WHO, self.now)
            await store.endEverybody(WHO[:PREFIX_BYTES])
            new = evolve(record, key=record.key[::-1])
            new = evolve(new, key=b"\0" + new.key[1:], handle=b"n" * 16)
            await store.insert(new, self.now)
            of = (self.epoch(record), self.names.epochs(WHO[:PREFIX_BYTES])[0])
            self.assertEqual(self.command("DEL", of[lost]), 1)
            self.assertEqual(await store.load(new.key, self.now), new)
            self.assertIsNone(await store.load(record.key, self.now))
            if following:
                await store.endEverybody(WHO[:PREFIX_BYTES])
            else:
                await store.endPrincipal(WHO, self.now)
            self.assertIsNone(await store.load(new.key, self.now))
            self.shared.empty()

    @steps
    async def test_whatEverybodysEndLeaves(self):
        """
        One number a shard, for good; else nothing, once the sessions are swept.
        """
        store = await self.on()
        for record in self.inOneShard(3):
            await store.insert(record, self.now)
        await store.endEverybody(WHO[:PREFIX_BYTES])
        epochs = self.names.epochs(WHO[:PREFIX_BYTES])
        self.assertEqual({self.command("PTTL", name) for name in epochs}, {-1})
        claimed = await store.claimExpired(self.now + IDLE, 999, 60.0)
        await store.acknowledge([each.key for each in claimed])
        self.command("DEL", self.names.ended[0])
        self.assertCountEqual(self.shared.names(), epochs)

    @steps
    async def test_manyInAllShards(self):
        """
        Hundreds of sessions end at once, are listed in pages and swept at their time.
        """
        store = await self.on()
        records = [self.signedIn(str(n), n % 256) for n in range(400)]
        await self.outcomes([store.insert(record, self.now) for record in records])
        self.assertEqual(len({shardOf(record.key) for record in records}), 64)
        listed, cursor = await store.sessionsOf(WHO, self.now, None, 9999)
        self.assertEqual(len(listed), _redis_sweeping.PAGE)
        while cursor is not None:
            page, cursor = await store.sessionsOf(WHO, self.now, cursor, 77)
            listed += page
        records.sort(key=lambda record: record.handle)
        self.assertEqual(listed, records)
        kept = records[7]
        self.assertEqual(await store.countSessions(self.now), 400)
        self.assertEqual(await store.endPrincipal(WHO, self.now, kept.key), 399)
        self.assertEqual(await store.countSessions(self.now), 1)
        self.assertEqual(await self.listOf(store), [kept])
        self.assertEqual(await store.claimExpired(self.now, 999, 60.0), [])
        claimed = await store.claimExpired(kept.expiresAt, 999, 60.0)
        self.assertEqual(len({record.key for record in claimed}), 400)
        await store.acknowledge([record.key for record in claimed])
        self.assertEqual(self.shared.names(), [])

    @steps
    async def test_largeRecordsAreListedInParts(self):
        """
        One script hands out a bounded number of bytes, the call all of them.
        """
        store = await self.on()
        for number in range(8):
            await self.signIn(store, str(number), number, payload=b"x" * 300_000)
        sent, client = [], store._calls.client
        send = client.send
        client.send = lambda *args: (sent.append(args), send(*args))[1]
        self.assertEqual(len(await self.listOf(store)), 8)
        self.assertEqual(len(sent), 2)


if REDIS is not None:

    class RedisKeptTests(KeptTests):
        """
        The same on the Redis that is installed here.
        """

        def setUp(self):
            """
            Take that server.
            """
            super().setUp()
            self.shared = shared(REDIS)
            self.command = self.shared.command
