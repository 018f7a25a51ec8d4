"""
What a Redis server has of anonymous sessions, beyond the contract.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve

from tests.stores.test_redis import StoreCase
from txsessions.stores._redis_keys import shardOf
from txsessions.testing._case import steps


class AnonymousTests(StoreCase):
    """
    The sets of the anonymous.
    """

    def anonymous(self, record):
        """
        The set in which a record belongs.
        """
        return self.names.anonymous[shardOf(record.key)]

    def left(self):
        """
        How many entries there are.
        """
        return sum([self.command("ZCARD", name) for name in self.names.anonymous])

    @steps
    async def test_theSetsLiveAndDieWithTheRecords(self):
        """
        After each way that a session can end nothing is left of it.
        """
        store = await self.on()
        deleted = await self.keep(store, "deleted")
        rotated = await self.keep(store, "rotated")
        evicted = await self.keep(store, "evicted", expiresAt=self.now + 800)
        signed = await self.keep(store, "signed")
        swept = await self.keep(store, "swept", expiresAt=self.now + 1)
        self.assertEqual(self.left(), 5)
        await store.delete(deleted.key)
        became = self.record("became", version=2)
        await store.rename(rotated.key, became, 1, self.now)
        self.assertEqual(self.left(), 4)
        who = self.record("who", version=2, principal=b"p" * 32, handle=b"h" * 16)
        await store.rename(signed.key, who, 1, self.now)
        self.assertEqual(self.left(), 3)
        claimed = await store.claimExpired(self.now + 2, 10, 60.0)
        self.assertEqual(claimed, [swept])
        await store.acknowledge([swept.key])
        self.assertEqual(self.left(), 2)
        found = await store.evictAnonymous(1, self.now, 10)
        self.assertEqual(found, ([evicted], False))
        self.assertEqual(self.left(), 1)
        await store.delete(rotated.key)
        self.assertEqual(self.left(), 0)

    @steps
    async def test_whatTheServerDroppedIsNoError(self):
        """
        An entry without a record, or of somebody who is signed in, goes where it is
        met, and no session in its place.
        """
        store = await self.on()
        dropped = await self.keep(store, "dropped", expiresAt=self.now + 700)
        wrong = self.record(
            "wrong", principal=b"p" * 32, handle=b"h" * 16, expiresAt=self.now + 750
        )
        await store.insert(wrong, self.now)
        kept = await self.keep(store, "kept")
        self.command("DEL", self.names.record(dropped.key))
        at = b"%d" % int(self.now + 750)
        self.command("ZADD", self.anonymous(wrong), at, wrong.key)
        found = await store.evictAnonymous(1, self.now, 10)
        self.assertEqual(found, ([], False))
        self.assertEqual(await store.load(kept.key, self.now), kept)
        self.assertEqual(await store.load(wrong.key, self.now), wrong)
        self.assertEqual(self.left(), 1)
        gone = await self.keep(store, "gone", expiresAt=self.now + 1)
        self.command("DEL", self.names.record(gone.key))
        await store.claimExpired(self.now + 2, 10, 60.0)
        self.assertEqual(self.left(), 1)

    @steps
    async def test_theOldestOfAllShards(self):
        """
        If many of the oldest are in one shard, those go before younger ones of others.
        """
        store = await self.on()
        old = [
            await self.keep(
                store,
                f"old {n}",
                key=b"\0" + bytes([n]) * 31,
                expiresAt=self.now + n + 1,
            )
            for n in range(40)
        ]
        young = [
            await self.keep(store, f"young {n}", key=bytes([n + 1]) * 32)
            for n in range(5)
        ]
        evicted = []
        more = True
        while more:
            some, more = await store.evictAnonymous(10, self.now, 100)
            evicted += some
        self.assertEqual(evicted, old[:35])
        for record in (*old[35:], *young):
            self.assertEqual(await store.load(record.key, self.now), record)

    @steps
    async def test_whatEarlierCodeMoved(self):
        """
        A session whose deadline was moved by code that knew of no set is taken for what
        it is.
        """
        store = await self.on()
        used = await self.keep(store, "used")
        fresh = await self.keep(store, "fresh", expiresAt=self.now + 910)
        later = self.now + 100
        await store.touch(used.key, later, later + 900, later)
        at = b"%d" % int(self.now + 900)
        self.command("ZADD", self.anonymous(used), at, used.key)
        found = await store.evictAnonymous(1, later, 10)
        self.assertEqual(found, ([fresh], False))
        there = await store.load(used.key, later)
        self.assertEqual(there, evolve(used, touchedAt=later, expiresAt=later + 900))
