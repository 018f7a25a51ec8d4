"""
The part of the store contract that is about anonymous sessions that become too many:
which go, and that nobody who is signed in does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred

from txsessions.core.record import UNCHANGED, Record
from txsessions.errors import SessionGone
from txsessions.testing._case import IDLE, SOMEONE_ELSE, ContractCase, steps


class EvictingContract(ContractCase):
    """
    The anonymous with the least time left, and no others.
    """

    async def _aged(self, count: int, name: str = "aged") -> list[Record]:
        """
        Have the store keep anonymous sessions, the first of which has the least time
        left; in another order than that.
        """
        records = [
            self.record(
                f"{name} {number}",
                createdAt=self.now - 60 + number,
                touchedAt=self.now - 60 + number,
                expiresAt=self.now - 60 + number + IDLE,
            )
            for number in range(count)
        ]
        for record in records[1::2] + records[::2]:
            await self.store.insert(record, self.now)
        return records

    async def _evict(
        self, most: int, now: float | None = None, limit: int = 100
    ) -> list[Record]:
        """
        Evict until no more have to go.
        """
        when = self.now if now is None else now
        evicted: list[Record] = []
        for _ in range(100):
            some, more = await self.store.evictAnonymous(most, when, limit)
            self.assertLessEqual(len(some), limit)
            evicted += some
            if not more:
                return evicted
        raise self.failureException("there are always more to evict")

    async def _left(self, records: list[Record], now: float | None = None) -> list[int]:
        """
        Which of the sessions are there, by their places.
        """
        found = [await self.load(record, now) for record in records]
        return [n for n, each in enumerate(found) if isinstance(each, Record)]

    @steps
    async def test_thoseWithTheLeastTimeLeftGo(self) -> None:
        """
        They are told, and are as absent as deleted ones; the others stay as they were.
        """
        records = await self._aged(9)
        evicted = await self._evict(6)
        self.assertEqual(evicted, records[:3])
        for record in records[:3]:
            await self.isDead(record)
            self.assertFalse(await self.store.delete(record.key))
        for record in records[3:]:
            self.assertEqual(await self.load(record), record)
        self.assertEqual(await self.store.countSessions(self.now), 6)

    @steps
    async def test_enoughIsEnough(self) -> None:
        """
        Where there are no more than may be, none goes and nothing has changed.
        """
        records = await self._aged(4)
        before = self.store.changes()
        for most in (4, 5, 50_000):
            found = await self.store.evictAnonymous(most, self.now, 10)
            self.assertEqual(found, ([], False))
        if before is not None:
            self.assertEqual(self.store.changes(), before)
        self.assertEqual(await self._left(records), [0, 1, 2, 3])
        self.assertEqual(await self._evict(0), records)
        self.assertEqual(await self._evict(0), [])

    @steps
    async def test_inSlices(self) -> None:
        """
        No more go at a time than is said, and the oldest go first in each.
        """
        records = await self._aged(11)
        for limit in (1, 3):
            some, more = await self.store.evictAnonymous(2, self.now, limit)
            self.assertTrue(some)
            self.assertLessEqual(len(some), limit)
            self.assertTrue(more)
            self.assertEqual(some, records[: len(some)])
            del records[: len(some)]
        evicted = await self._evict(2, limit=2)
        self.assertEqual(evicted, records[:-2])
        self.assertEqual(await self._left(records[-2:]), [0, 1])

    @steps
    async def test_whoIsSignedInStays(self) -> None:
        """
        Sessions in which somebody is signed in neither go nor count, however they came
        to be so and however old they are.
        """
        old: dict[str, Any] = {"createdAt": self.now - 800, "touchedAt": self.now - 800}
        old["expiresAt"] = self.now + 100
        signed = [await self.signIn(f"signed {n}", **old) for n in range(3)]
        anonymous = await self._aged(6)
        renamed = self.signedIn("renamed", SOMEONE_ELSE, version=2, **old)
        await self.other.rename(anonymous[0].key, renamed, 1, self.now)
        self.assertEqual(await self._evict(5), [])
        self.assertEqual(await self._evict(2), anonymous[1:4])
        self.assertEqual(await self._evict(0), anonymous[4:])
        kept = [*signed, renamed]
        found = [await self.load(record) for record in kept]
        # Who was renamed was in use later.
        self.assertEqual(found[:3], signed)
        self.assertIsInstance(found[3], Record)
        self.assertEqual(await self.store.countSessions(self.now), 4)
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_whatIsGoneDoesNotCount(self) -> None:
        """
        Neither sessions that were deleted, swept or erased nor the markers of
        rotations take the place of those that are there.
        """
        records = await self._aged(4)
        gone = await self._aged(4, "gone")
        for record in gone[:2]:
            await self.store.delete(record.key)
        renamed = await self.rename(gone[2], "renamed once")
        renamed = await self.rename(renamed, "renamed twice")
        await self.other.delete(gone[2].key)
        await self.insert("brief", expiresAt=self.now + 1)
        later = self.now + 2
        claimed = await self.claimAll(later)
        await self.store.acknowledge([record.key for record in claimed])
        await self.store.delete(gone[3].key)
        await self.store.insert(gone[3], later)
        self.assertEqual(await self._evict(5, later), [])
        self.assertEqual(len(await self._evict(4, later)), 1)
        self.assertEqual(await self.store.countSessions(later), 4)
        self.assertIsNone(await self.load(renamed, later))
        left = await self._left([*records, gone[3]], later)
        self.assertEqual(len(left), 4)

    @steps
    async def test_theExpiredAreTheSweepers(self) -> None:
        """
        Sessions that have run out do not count, and whoever claims them gets them.
        """
        records = await self._aged(3)
        expired = [
            await self.insert(f"expired {n}", expiresAt=self.now + n + 1)
            for n in range(5)
        ]
        later = self.now + 10
        self.assertEqual(await self._evict(3, later), [])
        self.assertEqual(await self._evict(2, later), records[:1])
        claimed = await self.claimAll(later)
        self.assertEqual({r.key for r in claimed}, {r.key for r in expired})
        self.assertEqual(await self._evict(1, later), records[1:2])
        await self.store.acknowledge([record.key for record in claimed])
        self.assertEqual(await self._left(records, later), [2])

    @steps
    async def test_whoIsInUseStaysLonger(self) -> None:
        """
        What counts is the deadline as it was moved last, by a touch, a change or a new
        key, wherever; also if the first one has passed since.
        """
        records = await self._aged(8)
        at = self.now + 500
        until = at + IDLE
        await self.store.touch(records[0].key, at, until, at)
        changed = evolve(records[1], version=2, touchedAt=at + 1, expiresAt=until + 1)
        await self.other.replace(changed, 1, at)
        moved = self.record("moved", version=2, touchedAt=at + 2, expiresAt=until + 2)
        await self.store.rename(records[2].key, moved, 1, at)
        self.assertEqual(await self._evict(6, at), records[3:5])
        self.assertEqual(await self._evict(3, at), records[5:])
        late = self.now + IDLE + 100
        young = await self.insert("young", expiresAt=late + 1)
        self.assertEqual(await self._evict(3, late), [young])
        evicted = await self._evict(0, late)
        self.assertEqual(
            [record.key for record in evicted],
            [records[0].key, records[1].key, moved.key],
        )
        self.assertEqual(evicted[1:], [changed, moved])

    @steps
    async def test_whoseFirstDeadlineHasPassed(self) -> None:
        """
        One that was used before its first deadline is alive behind it, and counts.
        """
        used = await self.insert("used", expiresAt=self.now + 10)
        at = self.now + 5
        await self.store.touch(used.key, at, at + IDLE, at)
        later = self.now + 20
        self.assertEqual(await self._evict(1, later), [])
        (gone,) = await self._evict(0, later)
        self.assertEqual(gone.key, used.key)
        self.assertIsNone(await self.load(used, later))

    @steps
    async def test_manyInUseOfMany(self) -> None:
        """
        As many as a store may look at in one go may have been used since: the one that
        was not is found behind them.
        """
        records = []
        for number in range(300):
            at = self.now + number / 8
            records.append(
                self.record(f"many {number}", touchedAt=at, expiresAt=at + IDLE)
            )
        for start in range(0, 300, 50):
            some = records[start : start + 50]
            await self.outcomes([self.store.insert(r, self.now) for r in some])
        later = self.now + 300
        for start in range(0, 298, 50):
            some = records[start : min(start + 50, 298)]
            await self.outcomes(
                [self.store.touch(r.key, later, later + IDLE, later) for r in some]
            )
        evicted = await self._evict(298, later)
        self.assertEqual(evicted, records[298:])
        self.assertEqual(len(await self._evict(290, later, 3)), 8)
        self.assertEqual(await self.store.countSessions(later), 290)

    @steps
    async def test_evictingIsAChange(self) -> None:
        """
        Who evicts does not know which sessions are used in this process: the cheap
        question tells, here and elsewhere.
        """
        records = await self._aged(3)
        stores = (self.store, self.other)
        before = [await self.changesOf(store) for store in stores]
        self.assertEqual(await self._evict(2), records[:1])
        for store, was in zip(stores, before, strict=True):
            if was is not None:
                self.assertNotEqual(await self.changesOf(store), was)

    @steps
    async def test_nothingBringsBackTheEvicted(self) -> None:
        """
        In whatever order they come: what was evicted is not there, and a session that
        was made safe before is not evicted.
        """
        names = ("replace", "evict", "touch", "sign in")
        for turn, order in enumerate(itertools.permutations(names)):
            at = self.now + turn
            record = self.record(f"it {turn}", touchedAt=at, expiresAt=at + 50)
            other = self.record(f"other {turn}", touchedAt=at, expiresAt=at + 60)
            for each in (record, other):
                await self.store.insert(each, at)
            key = record.key
            changed = evolve(record, version=2)
            signed = self.signedIn(f"signed {turn}", b"%032d" % turn, version=3)
            calls: dict[str, Callable[[], Deferred[Any]]] = {
                "replace": partial(self.store.replace, changed, 1, at),
                "evict": partial(self.other.evictAnonymous, 1, at, 10),
                "touch": partial(self.other.touch, key, at + 1, at + 70, at),
                "sign in": partial(self.store.rename, key, signed, 2, at),
            }
            outcomes = await self.outcomes([calls[name]() for name in order])
            evicted, _ = outcomes[order.index("evict")]
            found = [await self.load(r, at) for r in (record, signed, other)]
            there = [isinstance(each, Record) for each in found]
            self.assertLessEqual(len(evicted), 1, order)
            gone = {each.key for each in evicted}
            if key in gone:
                self.assertEqual(there, [False, False, True], order)
                await self.fails(self.store.replace(changed, 1, at), SessionGone)
                await self.fails(
                    self.store.touch(key, at + 9, at + 99, at), SessionGone
                )
            else:
                self.assertEqual(there[2], other.key not in gone, order)
                self.assertEqual(sum(there[:2]), 1, order)
            known = await self.store.load(key, at, 1)
            self.assertFalse(key in gone and known is UNCHANGED, order)
            await self._evict(0, at)
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_manyAtOnceEvictNoMoreThanOne(self) -> None:
        """
        Processes that evict at the same time leave as many as may be, while new
        sessions come in.
        """
        await self._aged(40)
        calls: list[Deferred[Any]] = []
        for number in range(8):
            store = (self.store, self.other)[number % 2]
            calls.append(store.evictAnonymous(20, self.now, 7))
            new = self.record(f"new {number}", expiresAt=self.now + 2 * IDLE)
            calls.append(store.insert(new, self.now))
        outcomes = await self.outcomes(calls)
        evicted = [record.key for some, _ in outcomes[::2] for record in some]
        self.assertEqual(len(set(evicted)), len(evicted))
        left = await self.store.countSessions(self.now)
        self.assertEqual(left + len(evicted), 48)
        self.assertGreaterEqual(left, 20)
        await self._evict(20)
        self.assertEqual(await self.store.countSessions(self.now), 20)
        for number in range(8):
            new = self.record(f"new {number}", expiresAt=self.now + 2 * IDLE)
            self.assertEqual(await self.load(new), new)


__all__ = ["EvictingContract"]
