"""
The part of the store contract that is about changing a session: replacing,
touching and renaming it.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve

from txsessions.core.record import ROTATED
from txsessions.errors import SessionConflict, SessionExists, SessionGone
from txsessions.interfaces import ROTATION_MARKER
from txsessions.testing._case import IDLE, ContractCase, steps


class ChangingContract(ContractCase):
    """
    Only what is there, alive and as expected is changed.
    """

    @steps
    async def test_replace(self) -> None:
        """
        A replaced session is as the caller wrote it.
        """
        record = await self.insert()
        changed = evolve(
            record,
            version=2,
            touchedAt=self.now + 5,
            expiresAt=self.now + 5 + IDLE,
            payload=b"changed",
        )
        await self.store.replace(changed, 1, self.now + 5)
        self.assertEqual(await self.load(record), changed)
        again = evolve(changed, version=3, payload=b"")
        await self.other.replace(again, 2, self.now + 5)
        self.assertEqual(await self.load(record), again)

    @steps
    async def test_replaceOnlyAtTheExpectedVersion(self) -> None:
        """
        A conflict carries the current record and changes nothing.
        """
        record = await self.insert(version=5)
        for expected in (4, 6, 0, 1):
            changed = evolve(record, version=expected + 1, payload=b"lost")
            replaced = self.other.replace(changed, expected, self.now)
            error = await self.fails(replaced, SessionConflict)
            self.assertEqual(error.current, record)
        self.assertEqual(await self.load(record), record)

    @steps
    async def test_replaceOnlyIfPresent(self) -> None:
        """
        A replace never makes a session.
        """
        record = self.record()
        replaced = self.store.replace(evolve(record, version=2), 1, self.now)
        error = await self.fails(replaced, SessionGone)
        self.assertEqual(error.tag, record.tag)
        self.assertIsNone(await self.load(record))
        await self.store.insert(record, self.now)

    @steps
    async def test_replaceNotTheExpired(self) -> None:
        """
        A replace never wakes an expired session.
        """
        record = await self.insert()
        late = record.expiresAt
        changed = evolve(record, version=2, touchedAt=late, expiresAt=late + IDLE)
        await self.fails(self.store.replace(changed, 1, late), SessionGone)
        await self.fails(self.store.replace(changed, 7, late), SessionGone)
        self.assertIsNone(await self.load(record, late))
        self.assertEqual(await self.load(record), record)

    @steps
    async def test_replaceDoesNotTakeBackATouch(self) -> None:
        """
        A slow writer does not move the last touch, or the deadline, back.
        """
        record = await self.insert()
        touchedAt, expiresAt = self.now + 100, self.now + 100 + IDLE
        await self.store.touch(record.key, touchedAt, expiresAt, self.now + 100)
        slow = evolve(record, version=2, payload=b"slow", touchedAt=self.now + 10)
        await self.store.replace(slow, 1, self.now + 100)
        expected = evolve(slow, touchedAt=touchedAt, expiresAt=expiresAt)
        self.assertEqual(await self.load(record), expected)
        longer = evolve(slow, version=3, expiresAt=expiresAt + 50)
        await self.store.replace(longer, 2, self.now + 100)
        expected = evolve(longer, touchedAt=touchedAt, expiresAt=expiresAt + 50)
        self.assertEqual(await self.load(record), expected)

    @steps
    async def test_replaceMayShortenTheLife(self) -> None:
        """
        A session whose idle time was shortened ends at the nearer deadline.
        """
        record = await self.insert()
        short = evolve(
            record, version=2, touchedAt=self.now + 1, expiresAt=self.now + 60
        )
        await self.store.replace(short, 1, self.now + 1)
        self.assertEqual(await self.load(record), short)
        self.assertIsNone(await self.load(record, self.now + 60))
        self.assertEqual(await self.claimAll(self.now + 60), [short])

    @steps
    async def test_touch(self) -> None:
        """
        A touch moves both times and nothing else.
        """
        record = await self.signIn(version=4)
        touchedAt, expiresAt = self.now + 60.5, self.now + 60.5 + IDLE
        await self.other.touch(record.key, touchedAt, expiresAt, self.now + 60)
        touched = evolve(record, touchedAt=touchedAt, expiresAt=expiresAt)
        self.assertEqual(await self.load(record), touched)
        self.assertEqual(await self.load(record, expiresAt - 1), touched)
        self.assertIsNone(await self.load(record, expiresAt))

    @steps
    async def test_touchOnlyForward(self) -> None:
        """
        A touch that is not later changes nothing, and is no error.
        """
        record = await self.insert()
        touchedAt, expiresAt = self.now + 60, self.now + 60 + IDLE
        await self.store.touch(record.key, touchedAt, expiresAt, self.now)
        for earlier in (touchedAt, touchedAt - 1, self.now, self.now - 1e6):
            await self.other.touch(record.key, earlier, self.now + 1, self.now)
            await self.store.touch(record.key, earlier, expiresAt + 100, self.now)
        touched = evolve(record, touchedAt=touchedAt, expiresAt=expiresAt)
        self.assertEqual(await self.load(record), touched)

    @steps
    async def test_touchNeverBringsTheDeadlineNearer(self) -> None:
        """
        A later touch does not bring the deadline nearer.
        """
        record = await self.insert()
        await self.store.touch(record.key, self.now + 1, self.now + 2, self.now)
        touched = evolve(record, touchedAt=self.now + 1)
        self.assertEqual(await self.load(record), touched)
        later = self.now + 3 * IDLE
        for touchedAt, expiresAt in ((2, later), (3, later - 1), (4, self.now + IDLE)):
            at = self.now + touchedAt
            await self.store.touch(record.key, at, expiresAt, self.now)
        touched = evolve(record, touchedAt=self.now + 4, expiresAt=later)
        self.assertEqual(await self.load(record), touched)

    @steps
    async def test_touchOnlyIfPresentAndAlive(self) -> None:
        """
        A touch never makes a session, and never wakes an expired one.
        """
        absent = self.record("absent")
        late = self.now + IDLE
        touched = self.store.touch(absent.key, late, late + IDLE, self.now)
        error = await self.fails(touched, SessionGone)
        self.assertEqual(error.tag, absent.tag)
        self.assertIsNone(await self.load(absent))
        record = await self.insert()
        touched = self.store.touch(record.key, late, late + IDLE, late)
        await self.fails(touched, SessionGone)
        self.assertIsNone(await self.load(record, late))

    @steps
    async def test_rename(self) -> None:
        """
        The session has its new key, and the old one is marked for a minute.
        """
        old = await self.insert(version=3)
        new = await self.rename(old)
        self.assertEqual(await self.load(new), new)
        for passed in (0.0, 1.0, ROTATION_MARKER - 1):
            found = await self.load(old, self.now + passed)
            self.assertIs(found, ROTATED, f"after {passed} s")
        known = await self.store.load(old.key, self.now, old.version)
        self.assertIs(known, ROTATED)
        self.assertIsNone(await self.load(old, self.now + ROTATION_MARKER))

    @steps
    async def test_underTheMarkerNothingHappens(self) -> None:
        """
        Under a marked key nothing is inserted or changed.
        """
        old = await self.insert()
        new = await self.rename(old)
        store, now = self.other, self.now + 1
        touched = store.touch(old.key, now, now + 9e9, now)
        await self.fails(touched, SessionGone)
        for expected in (0, 1, 2):
            changed = evolve(old, version=expected + 1)
            replaced = store.replace(changed, expected, now)
            await self.fails(replaced, SessionGone)
            renamed = store.rename(old.key, self.record("third"), expected, now)
            await self.fails(renamed, SessionGone)
        await self.fails(store.insert(old, now), SessionExists)
        self.assertIs(await self.load(old, now), ROTATED)
        self.assertEqual(await self.load(new), new)

    @steps
    async def test_aMarkerIsNoSession(self) -> None:
        """
        A marker is not counted, shown or swept as a session, and goes in time.
        """
        old = await self.insert()
        new = await self.rename(old)
        self.assertEqual(await self.store.countSessions(self.now), 1)
        self.assertEqual((await self.store.scan(None, 10))[0], [new])
        late = self.now + ROTATION_MARKER
        self.assertEqual(await self.claimAll(late), [])
        self.assertIsNone(await self.load(old, late))
        await self.store.insert(evolve(old, expiresAt=late + IDLE), late)

    @steps
    async def test_renameOnlyAtTheExpectedVersion(self) -> None:
        """
        A conflict carries the current record and renames nothing.
        """
        old = await self.insert(version=3)
        new = self.record("new")
        renamed = self.other.rename(old.key, new, 2, self.now)
        error = await self.fails(renamed, SessionConflict)
        self.assertEqual(error.current, old)
        self.assertEqual(await self.load(old), old)
        self.assertIsNone(await self.load(new))

    @steps
    async def test_renameOnlyIfPresentAndAlive(self) -> None:
        """
        What is absent or expired cannot be renamed.
        """
        old, new = await self.insert(), self.record("new", expiresAt=self.now + 9e9)
        absent = self.store.rename(self.record("absent").key, new, 1, self.now)
        await self.fails(absent, SessionGone)
        late = self.store.rename(old.key, new, 1, old.expiresAt)
        await self.fails(late, SessionGone)
        self.assertIsNone(await self.load(new))
        self.assertEqual(await self.load(old), old)

    @steps
    async def test_renameNotOverAnother(self) -> None:
        """
        A rename never takes the place of a session, not even of itself.
        """
        old, taken = await self.insert(), await self.insert("taken")
        new = evolve(taken, payload=b"stolen")
        renamed = self.store.rename(old.key, new, 1, self.now)
        await self.fails(renamed, SessionExists)
        same = self.store.rename(old.key, evolve(old, version=2), 1, self.now)
        await self.fails(same, SessionExists)
        self.assertEqual(await self.load(taken), taken)
        self.assertEqual(await self.load(old), old)


__all__ = ["ChangingContract"]
