"""
The part of the store contract that is about the end of a session: deleting it, and
sweeping what has expired.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve

from txsessions.core.record import DELETED, ROTATED
from txsessions.errors import SessionExists, SessionGone
from txsessions.interfaces import END_MARKER
from txsessions.testing._case import IDLE, ContractCase, steps


class EndingContract(ContractCase):
    """
    What has ended stays ended, and what has not is not swept.
    """

    @steps
    async def test_delete(self) -> None:
        """
        A deleted session is gone, its neighbours are not.
        """
        record, neighbour = await self.insert(), await self.insert("neighbour")
        self.assertTrue(await self.other.delete(record.key))
        self.assertIsNone(await self.load(record))
        self.assertFalse(await self.store.delete(record.key))
        self.assertFalse(await self.store.delete(self.record("absent").key))
        self.assertEqual(await self.load(neighbour), neighbour)

    @steps
    async def test_deleteIsFinal(self) -> None:
        """
        No late request brings a deleted session back.
        """
        record = await self.insert()
        await self.store.delete(record.key)
        late = evolve(record, version=2)
        await self.fails(self.other.replace(late, 1, self.now), SessionGone)
        touched = self.other.touch(record.key, self.now + 1, self.now + 9, self.now)
        await self.fails(touched, SessionGone)
        renamed = self.other.rename(record.key, self.record("new"), 1, self.now)
        await self.fails(renamed, SessionGone)
        self.assertIsNone(await self.load(record))
        self.assertIsNone(await self.load(self.record("new")))

    @steps
    async def test_deleteMarks(self) -> None:
        """
        Where the caller says so, the key of a deleted session stays marked for some
        seconds: nothing can be inserted, read or changed under it, and it is no
        session.
        """
        record, neighbour = await self.insert(), await self.insert("neighbour")
        self.assertTrue(await self.other.delete(record.key, self.now))
        for passed in (0.0, 1.0, END_MARKER - 1):
            found = await self.load(record, self.now + passed)
            self.assertIs(found, DELETED, f"after {passed} s")
        known = await self.store.load(record.key, self.now, record.version)
        self.assertIs(known, DELETED)
        self.assertFalse(await self.store.delete(record.key, self.now))
        self.assertFalse(await self.store.delete(record.key))
        late = evolve(record, version=2)
        await self.fails(self.other.replace(late, 1, self.now), SessionGone)
        touched = self.other.touch(record.key, self.now + 1, self.now + 9, self.now)
        await self.fails(touched, SessionGone)
        renamed = self.other.rename(record.key, self.record("new"), 1, self.now)
        await self.fails(renamed, SessionGone)
        await self.fails(self.store.insert(record, self.now), SessionExists)
        self.assertEqual(await self.store.countSessions(self.now), 1)
        self.assertEqual((await self.store.scan(None, 9))[0], [neighbour])
        self.assertIsNone(await self.load(record, self.now + END_MARKER))

    @steps
    async def test_deleteMarksOnlyWhatWasThere(self) -> None:
        """
        What was never there is not marked, and one that led on from a former key
        is.
        """
        absent = self.record("absent")
        self.assertFalse(await self.store.delete(absent.key, self.now))
        self.assertIsNone(await self.load(absent))
        old = await self.insert("old")
        new = await self.rename(old)
        self.assertTrue(await self.store.delete(old.key, self.now))
        self.assertIs(await self.load(new), DELETED)
        self.assertIs(await self.load(old), ROTATED)

    @steps
    async def test_deleteMarksAreSwept(self) -> None:
        """
        A marker that has run out goes with a sweep, and tells nobody.
        """
        record, now = await self.insert(), self.now + END_MARKER
        self.assertTrue(await self.store.delete(record.key, self.now))
        self.assertEqual(await self.claimAll(now), [])
        await self.store.insert(record, now)

    @steps
    async def test_deleteByAFormerKey(self) -> None:
        """
        A delete by the key that a session had ends it under the one that it has.
        The old key stays marked.
        """
        old, neighbour = await self.insert(), await self.insert("neighbour")
        new = await self.rename(old)
        self.assertTrue(await self.other.delete(old.key))
        self.assertIsNone(await self.load(new))
        self.assertIs(await self.load(old), ROTATED)
        self.assertFalse(await self.store.delete(old.key))
        self.assertFalse(await self.store.delete(new.key))
        late = evolve(new, version=3)
        await self.fails(self.store.replace(late, 2, self.now), SessionGone)
        await self.fails(self.store.insert(old, self.now), SessionExists)
        self.assertEqual(await self.load(neighbour), neighbour)
        self.assertEqual(await self.store.countSessions(self.now), 1)

    @steps
    async def test_deleteByAFormerKeyOfMany(self) -> None:
        """
        So does one by any of its former keys.
        """
        for number in range(4):
            records = [await self.insert(f"{number}.0")]
            for step in range(1, 5):
                records.append(await self.rename(records[-1], f"{number}.{step}"))
            self.assertTrue(await self.store.delete(records[number].key))
            *olds, last = records
            self.assertIsNone(await self.load(last))
            for old in olds:
                self.assertIs(await self.load(old), ROTATED)
                self.assertFalse(await self.other.delete(old.key))
        self.assertEqual(await self.store.countSessions(self.now), 0)

    @steps
    async def test_deleteByAFormerKeyTooLate(self) -> None:
        """
        There is nothing to end where the session has ended, or run out and been
        swept, under its new key.
        """
        old = await self.insert()
        new = await self.rename(old)
        self.assertTrue(await self.store.delete(new.key))
        self.assertFalse(await self.other.delete(old.key))
        self.assertIs(await self.load(old), ROTATED)
        brief = await self.insert("brief", expiresAt=self.now + 1)
        after = self.record("after", version=2, expiresAt=self.now + 1)
        await self.store.rename(brief.key, after, 1, self.now)
        self.assertEqual(await self.claimAll(self.now + 1), [after])
        await self.store.acknowledge([after.key])
        self.assertFalse(await self.store.delete(brief.key))
        self.assertIs(await self.load(brief), ROTATED)

    @steps
    async def test_deleteByAFormerKeyIsAChange(self) -> None:
        """
        Who deletes by a former key does not know under which one the session is
        used, also in this process: the cheap question tells.
        """
        old = await self.insert()
        await self.rename(old)
        before = await self.changesOf(self.store)
        await self.store.delete(old.key)
        if before is not None:
            self.assertNotEqual(await self.changesOf(self.store), before)

    @steps
    async def test_deleteTheExpired(self) -> None:
        """
        An expired session can be deleted, also under a claim.
        """
        record = await self.insert(expiresAt=self.now - 1)
        claimed = await self.insert("claimed", expiresAt=self.now - 1)
        self.assertTrue(await self.store.delete(record.key))
        self.assertEqual(await self.claimAll(self.now), [claimed])
        self.assertTrue(await self.store.delete(claimed.key))
        self.assertEqual(await self.claimAll(self.now + 1000), [])

    @steps
    async def test_claimOnlyTheExpired(self) -> None:
        """
        Only what is past its deadline is handed out.
        """
        at = await self.insert("at", expiresAt=self.now + 10)
        past = await self.insert("past", expiresAt=self.now + 9.5)
        await self.insert("alive", expiresAt=self.now + 10.5)
        self.assertEqual(await self.store.claimExpired(self.now, 10, 60.0), [])
        expected = sorted([at, past], key=lambda record: record.key)
        self.assertEqual(await self.claimAll(self.now + 10), expected)

    @steps
    async def test_claimNoMoreThanTheLimit(self) -> None:
        """
        A claim is no larger than was asked for, and the rest stays.
        """
        for number in range(7):
            await self.insert(str(number), expiresAt=self.now)
        sizes = [
            len(await self.store.claimExpired(self.now, limit, 60.0))
            for limit in (0, 3, 3, 3, 3)
        ]
        self.assertEqual(sizes, [0, 3, 3, 1, 0])

    @steps
    async def test_eachClaimIsOnes(self) -> None:
        """
        Of many that claim at once each gets records of its own, and what a busy
        server did not come to is left for the next.
        """
        names = [str(number) for number in range(40)]
        for name in names:
            await self.insert(name, expiresAt=self.now)
        stores = [self.store, self.other] * 5
        claims = [store.claimExpired(self.now, 7, 60.0) for store in stores]
        slices = await self.outcomes(claims)
        slices.append(await self.claimAll(self.now, 60.0))
        keys = [record.key for claimed in slices for record in claimed]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertEqual(len(keys), len(names))

    @steps
    async def test_theLeaseRunsOut(self) -> None:
        """
        What nobody acknowledged is handed out again, when the lease is over.
        """
        record = await self.insert(expiresAt=self.now)
        self.assertEqual(await self.claimAll(self.now, 30.0), [record])
        for passed in (1.0, 29.0):
            self.assertEqual(await self.claimAll(self.now + passed, 30.0), [])
        self.assertEqual(await self.claimAll(self.now + 31, 30.0), [record])
        self.assertEqual(await self.claimAll(self.now + 32, 30.0), [])
        await self.store.acknowledge([record.key])
        self.assertEqual(await self.claimAll(self.now + 1000), [])

    @steps
    async def test_acknowledge(self) -> None:
        """
        What was acknowledged is gone; what was not comes again.
        """
        gone = await self.insert("gone", expiresAt=self.now)
        kept = await self.insert("kept", expiresAt=self.now)
        await self.claimAll(self.now, 30.0)
        absent = self.record("absent")
        await self.other.acknowledge([gone.key, absent.key, gone.key])
        await self.other.acknowledge([])
        self.assertEqual(await self.claimAll(self.now + 31), [kept])
        self.assertFalse(await self.store.delete(gone.key))

    @steps
    async def test_acknowledgeOnlyWhatWasClaimed(self) -> None:
        """
        Acknowledging something else removes nothing.
        """
        alive = await self.insert("alive")
        unclaimed = await self.insert("unclaimed", expiresAt=self.now)
        old = await self.insert("old")
        await self.rename(old)
        await self.store.acknowledge([alive.key, unclaimed.key, old.key])
        self.assertEqual(await self.load(alive), alive)
        self.assertIs(await self.load(old), ROTATED)
        self.assertEqual(await self.claimAll(self.now), [unclaimed])

    @steps
    async def test_aSessionUsedMeanwhileIsNotSwept(self) -> None:
        """
        A session used after it was claimed, by a slower clock, stays.
        """
        late, clock = self.now + IDLE, self.now + IDLE - 5
        touched, changed = await self.insert("touched"), await self.insert("changed")
        self.assertEqual(len(await self.claimAll(late)), 2)
        await self.store.touch(touched.key, clock, clock + IDLE, clock)
        used = evolve(changed, version=2, touchedAt=clock, expiresAt=clock + IDLE)
        await self.other.replace(used, 1, clock)
        await self.store.acknowledge([touched.key, changed.key])
        found = await self.load(touched, late)
        self.assertEqual(
            found, evolve(touched, touchedAt=clock, expiresAt=clock + IDLE)
        )
        self.assertEqual(await self.load(changed, late), used)
        self.assertEqual(len(await self.claimAll(clock + IDLE)), 2)

    @steps
    async def test_aTouchedSessionIsClaimedLater(self) -> None:
        """
        A session in use is never handed out, and in the end it is.
        """
        record = await self.insert()
        for step in range(1, 5):
            touchedAt = self.now + step * 600
            await self.store.touch(
                record.key, touchedAt, touchedAt + IDLE, touchedAt - 1
            )
            self.assertEqual(await self.claimAll(touchedAt + 500), [])
        claimed = await self.claimAll(self.now + 4 * 600 + IDLE)
        self.assertEqual([found.key for found in claimed], [record.key])


__all__ = ["EndingContract"]
