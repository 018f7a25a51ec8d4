"""
The part of the store contract that is about the way from a former key to what the
session has become.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve

from txsessions.core.record import DELETED, FORMER, ROTATED, Record
from txsessions.errors import SessionExists, SessionGone
from txsessions.interfaces import END_MARKER, ROTATION_MARKER
from txsessions.testing._case import SOMEBODY, ContractCase, steps

LONG = 3600.0
"""How long markers stay here, in seconds."""


class FollowingContract(ContractCase):
    """
    Former keys lead to the session, for as long as is said.
    """

    async def follow(self, record: Record, now: float | None = None) -> object:
        """
        Follow a key in both stores, which must agree.
        """
        when = self.now if now is None else now
        found = await self.store.follow(record.key, when)
        self.assertEqual(found, await self.other.follow(record.key, when))
        return found

    async def renamed(self, names: str, marks: float = LONG) -> list[Record]:
        """
        A session that had all but the last of these names, each marked for long.
        """
        first, *others = list(names)
        records = [await self.insert(first, expiresAt=self.now + 9 * LONG)]
        for name in others:
            old = records[-1]
            new = evolve(old, key=self.record(name).key, version=old.version + 1)
            await self.other.rename(old.key, new, old.version, self.now, None, marks)
            records.append(new)
        return records

    @steps
    async def test_follow(self) -> None:
        """
        A former key leads to the session as it is now; other keys lead nowhere.
        """
        old, new = await self.renamed("ab")
        neighbour = await self.insert("neighbour")
        self.assertEqual(await self.follow(old), new)
        changed = evolve(new, version=3, payload=b"changed")
        await self.store.replace(changed, 2, self.now)
        self.assertEqual(await self.follow(old), changed)
        for record in (new, neighbour, self.record("absent")):
            self.assertIsNone(await self.follow(record))

    @steps
    async def test_followManySteps(self) -> None:
        """
        So does each of many.
        """
        for turn in range(4):
            names = [chr(ord("a") + turn * 8 + step) for step in range(6)]
            *olds, last = await self.renamed("".join(names))
            for old in olds:
                self.assertEqual(await self.follow(old), last)
            self.assertIsNone(await self.follow(last))

    @steps
    async def test_followWhoIsSignedIn(self) -> None:
        """
        It may be one on which somebody is signed in, until all of his have ended.
        """
        old = await self.insert()
        new = self.signedIn("new", version=2)
        await self.store.rename(old.key, new, 1, self.now, None, LONG)
        self.assertEqual(await self.follow(old), new)
        await self.other.endPrincipal(SOMEBODY, self.now)
        self.assertIsNone(await self.follow(old))

    @steps
    async def test_followTheDead(self) -> None:
        """
        What has ended or is past its deadline is not found, nor brought back.
        """
        old, new = await self.renamed("ab")
        self.assertEqual(await self.follow(old, self.now + LONG - 1), new)
        brief = await self.insert("brief")
        after = self.record("after", version=2, expiresAt=self.now + 9)
        await self.store.rename(brief.key, after, 1, self.now, None, LONG)
        self.assertEqual(await self.follow(brief, self.now + 8), after)
        self.assertIsNone(await self.follow(brief, self.now + 9))
        await self.store.delete(new.key)
        self.assertIsNone(await self.follow(old))

    @steps
    async def test_followTheDeleted(self) -> None:
        """
        Where a session was deleted each of its keys leads to the marker of that, for
        as long as it stays; so a delete that leaves none leads nowhere.
        """
        for turn, which in enumerate(("last", "first")):
            records = await self.renamed("abc" if turn else "def")
            *olds, last = records
            now = self.now
            key = last.key if which == "last" else olds[0].key
            self.assertTrue(await self.other.delete(key, now))
            for record in records:
                for passed in (0.0, END_MARKER - 1):
                    found = await self.follow(record, now + passed)
                    self.assertIs(found, DELETED, f"by {which}, after {passed} s")
            for _ in range(2):
                for record in records:
                    self.assertIsNone(await self.follow(record, now + END_MARKER))
                await self.claimAll(now + END_MARKER)
        *olds, last = await self.renamed("ghi", ROTATION_MARKER)
        await self.store.delete(last.key, self.now + ROTATION_MARKER - 1)
        self.assertIs(await self.follow(olds[0], self.now + 59), DELETED)
        self.assertIsNone(await self.follow(olds[0], self.now + ROTATION_MARKER))
        self.assertIs(await self.follow(last, self.now + ROTATION_MARKER), DELETED)

    @steps
    async def test_markedForLong(self) -> None:
        """
        A marker stays for as long as is said, and all that it means; then it goes.
        """
        old, new = await self.renamed("ab")
        for passed in (0.0, ROTATION_MARKER - 1, ROTATION_MARKER + 1, LONG - 1):
            now = self.now + passed
            found = FORMER if passed >= ROTATION_MARKER else ROTATED
            self.assertIs(await self.load(old, now), found, f"after {passed} s")
            known = await self.store.load(old.key, now, old.version)
            self.assertIs(known, found, f"after {passed} s")
            self.assertEqual(await self.claimAll(now), [])
            self.assertEqual(await self.follow(old, now), new)
            await self.fails(self.store.insert(old, now), SessionExists)
            late = evolve(old, version=2)
            await self.fails(self.other.replace(late, 1, now), SessionGone)
        self.assertIsNone(await self.load(old, self.now + LONG))
        self.assertIsNone(await self.follow(old, self.now + LONG))
        await self.claimAll(self.now + LONG)
        await self.store.insert(old, self.now + LONG)

    @steps
    async def test_aWayThatIsBroken(self) -> None:
        """
        A marker on the way that has run out is its end, swept or not.
        """
        first, second = await self.renamed("ab")
        third = evolve(second, key=self.record("c").key, version=3)
        await self.store.rename(second.key, third, 2, self.now)
        late = self.now + ROTATION_MARKER
        self.assertEqual(await self.follow(first, late - 1), third)
        for _ in range(2):
            self.assertIsNone(await self.follow(first, late))
            self.assertIsNone(await self.follow(second, late))
            await self.claimAll(late)
        self.assertEqual(await self.load(third, late), third)

    @steps
    async def test_deleteByAKeyOfLongAgo(self) -> None:
        """
        A delete by a former key finds the session for as long as the marker stays.
        """
        *olds, last = await self.renamed("abc")
        self.assertEqual(await self.claimAll(self.now + ROTATION_MARKER), [])
        self.assertTrue(await self.other.delete(olds[0].key))
        self.assertIsNone(await self.load(last))


__all__ = ["FollowingContract"]
