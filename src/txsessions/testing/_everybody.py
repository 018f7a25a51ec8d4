"""
The part of the store contract that is about the end of everybody's sessions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred

from txsessions.core.record import PREFIX_BYTES, UNCHANGED, Record, SignInLimit
from txsessions.errors import SessionExists
from txsessions.testing._case import (
    IDLE,
    SOMEBODY,
    SOMEONE_ELSE,
    ContractCase,
    steps,
)

EVERYBODY = SOMEBODY[:PREFIX_BYTES]
"""What the principals of one site begin with."""

NEIGHBOUR = EVERYBODY + SOMEONE_ELSE[PREFIX_BYTES:]
"""Another principal there; L{SOMEONE_ELSE} is one of another site."""

HOSTILE_PREFIXES = (
    b"\0" * 8,
    b"\xff" * 8,
    b"%" * 8,
    b"_" * 8,
    b"'; -- \r\n",
    b"{tag}:e:",
)
"""Prefixes that mean something to some engine, and must mean nothing to a store."""


class EverybodyContract(ContractCase):
    """
    The sessions of all principals of one site end at once, and no others.
    """

    @steps
    async def test_endEverybody(self) -> None:
        """
        All are as absent as deleted ones, at once and in every process; those of another
        site and of nobody are as before.
        """
        anonymous = await self.insert("anonymous")
        other = await self.signIn("other", SOMEONE_ELSE)
        for turn in range(2):
            records = [await self.signIn(f"{turn}.{n}") for n in range(3)]
            records.append(await self.signIn(f"neighbour {turn}", NEIGHBOUR))
            self.assertEqual(await self.store.countSessions(self.now), 6)
            await self.other.endEverybody(EVERYBODY)
            for record in records:
                await self.isDead(record)
            for store in (self.store, self.other):
                self.assertEqual(await store.countSessions(self.now), 2)
                for record in (anonymous, other):
                    known = await store.load(record.key, self.now, record.version)
                    self.assertIs(known, UNCHANGED)
            for principal in (SOMEBODY, NEIGHBOUR):
                self.assertEqual(await self.listOf(principal), [])
                left = await self.store.endPrincipal(principal, self.now)
                self.assertEqual(left, 0)
        self.assertEqual(await self.load(anonymous), anonymous)
        self.assertEqual(await self.load(other), other)
        self.assertEqual(await self.listOf(SOMEONE_ELSE), [other])
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_signInAfterTheEndOfEverybody(self) -> None:
        """
        Who signs in afterwards lives until the next end, of everybody or of his own,
        whichever ends there were before.
        """

        async def endEverybody() -> None:
            await self.other.endEverybody(EVERYBODY)

        async def endOne() -> None:
            await self.store.endPrincipal(SOMEBODY, self.now)

        ends = (endEverybody, endOne)
        dead: list[Record] = []
        for turn, end in enumerate(ends[int(n)] for n in "001110100011"):
            anonymous = await self.insert(f"anonymous {turn}")
            made = await self.signIn(f"made {turn}")
            renamed = self.signedIn(f"renamed {turn}", version=2)
            await self.other.rename(anonymous.key, renamed, 1, self.now)
            living = []
            for record in (made, renamed):
                self.assertEqual(await self.load(record), record)
                known = await self.other.load(record.key, self.now, record.version)
                self.assertIs(known, UNCHANGED)
                changed = evolve(record, version=record.version + 1)
                await self.store.replace(changed, record.version, self.now)
                living.append(await self.rename(changed, f"{record.tag} {turn}"))
            self.assertEqual(len(await self.listOf()), 2)
            self.assertEqual(await self.other.countSessions(self.now), 2)
            await end()
            dead += living
            for record in dead:
                self.assertIsNone(await self.load(record))
            self.assertEqual(await self.store.countSessions(self.now), 0)
        for record in dead[-4:]:
            await self.isDead(record)

    @steps
    async def test_whoWasSparedOnce(self) -> None:
        """
        A session that stayed when the others of its principal ended is one of
        everybody's.
        """
        kept = await self.signIn("kept")
        for _ in range(3):
            await self.store.endPrincipal(SOMEBODY, self.now, kept.key)
        self.assertEqual(await self.load(kept), kept)
        await self.store.endEverybody(EVERYBODY)
        await self.isDead(kept)
        later = await self.signIn("later")
        ended = self.other.endPrincipal(SOMEBODY, self.now, later.key)
        self.assertEqual(await ended, 0)
        ended = self.other.endPrincipal(SOMEBODY, self.now, kept.key)
        self.assertEqual(await ended, 1)
        for record in (kept, later):
            await self.isDead(record)

    @steps
    async def test_everybodysEndMakesRoom(self) -> None:
        """
        Those who have ended do not count against a limit, and need not make room.
        """
        limit = SignInLimit(most=1, refuses=True)
        for turn in range(3):
            record = self.signedIn(str(turn))
            await self.store.insert(record, self.now, limit)
            await self.store.endEverybody(EVERYBODY)
        last = self.signedIn("last")
        await self.other.insert(last, self.now, SignInLimit(most=1, refuses=False))
        self.assertEqual(await self.listOf(), [last])
        page, _ = await self.store.scan(None, 10)
        self.assertEqual(len(page), 4)

    @steps
    async def test_everybodyKeepsTheirKeys(self) -> None:
        """
        What has ended stays where it is until it is deleted, erased, or swept at its
        deadline.
        """
        names = ("deleted", "erased", "swept")
        whose = (SOMEBODY, NEIGHBOUR, SOMEBODY)
        records = [
            await self.signIn(name, principal)
            for name, principal in zip(names, whose, strict=True)
        ]
        await self.store.endEverybody(EVERYBODY)
        for record in records:
            await self.fails(self.store.insert(record, self.now), SessionExists)
        self.assertEqual(await self.claimAll(self.now), [])
        page, _ = await self.store.scan(None, 10)
        self.assertEqual(len(page), 3)
        self.assertEqual(await self.misfits(), 0)
        deleted, _, swept = records
        self.assertTrue(await self.other.delete(deleted.key))
        self.assertEqual(await self.other.erasePrincipal(NEIGHBOUR), 1)
        self.assertIn(self.remembers(NEIGHBOUR), (False, None))
        self.assertEqual(await self.claimAll(swept.expiresAt), [swept])
        await self.store.acknowledge([swept.key])
        self.assertEqual(await self.store.scan(None, 10), ([], None))
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_everybodysEndIsNotForgotten(self) -> None:
        """
        However long ago it was, whoever was swept or erased since, and whatever the
        clock of a sweeper: what has ended does not come back, and who signed in under it
        ends with the next.
        """
        late = self.now + 4e5
        ended = await self.signIn("ended", expiresAt=self.now + 10)
        brief = await self.signIn("brief", NEIGHBOUR, expiresAt=self.now + 10)
        await self.store.endEverybody(EVERYBODY)
        await self.store.endPrincipal(NEIGHBOUR, self.now)
        long = await self.signIn("long", NEIGHBOUR, expiresAt=late)
        for passed in (10, 100, 1e5, 2e5, 3e5):
            await self.claimAll(self.now + passed)
            await self.store.acknowledge([brief.key])
            await self.isDead(ended)
            self.assertEqual(await self.load(long, self.now + passed), long)
        await self.other.erasePrincipal(SOMEBODY)
        await self.store.endEverybody(EVERYBODY)
        await self.isDead(long, self.now + 3e5)

    @steps
    async def test_everybodysEndOutlivesAllSessions(self) -> None:
        """
        Also where no session was left in between: the next end reaches those who came
        then, and a rename brings none of them over it.
        """
        for turn in range(3):
            record = await self.signIn(f"first {turn}")
            await self.store.endEverybody(EVERYBODY)
            again = await self.signIn(f"again {turn}")
            self.assertEqual(await self.load(again), again)
            await self.store.erasePrincipal(SOMEBODY)
            last = await self.signIn(f"last {turn}")
            renamed = await self.rename(last, f"renamed {turn}")
            self.assertEqual(await self.load(renamed), renamed)
            await self.other.endEverybody(EVERYBODY)
            for each in (record, again, renamed):
                await self.isDead(each)

    @steps
    async def test_whoSignsInWhileEverybodyEnds(self) -> None:
        """
        A sign-in that was answered before the end is ended, one that begins after it
        lives, and one beside it is alive or ended for all.
        """
        for turn in range(6):
            before = await self.signIn(f"before {turn}")
            old = await self.insert(f"old {turn}")
            beside = [
                self.signedIn(f"made {turn}", NEIGHBOUR),
                self.signedIn(f"renamed {turn}", version=2),
            ]
            one, two = (self.store, self.other)[:: 1 if turn % 2 else -1]
            calls: list[Callable[[], Deferred[Any]]] = [
                partial(one.insert, beside[0], self.now),
                partial(two.rename, old.key, beside[1], 1, self.now),
            ]
            calls.insert(turn // 2, partial(one.endEverybody, EVERYBODY))
            found = await self.outcomes([call() for call in calls])
            self.assertEqual(found, [None] * 3)
            await self.isDead(before)
            after = await self.signIn(f"after {turn}")
            self.assertEqual(await self.load(after), after)
            alive = [each for each in beside if await self.load(each) is not None]
            listed = await self.listOf() + await self.listOf(NEIGHBOUR)
            keys = [each.key for each in listed]
            self.assertCountEqual(keys, [each.key for each in (after, *alive)])
            count = await self.store.countSessions(self.now)
            self.assertEqual(count, 1 + len(alive))
            await self.store.endEverybody(EVERYBODY)
            for each in (after, *beside):
                await self.isDead(each)

    @steps
    async def test_nothingBringsBackEverybody(self) -> None:
        """
        In whatever order they come: after the end of everybody no session is left, nor
        if one principal's end comes beside it.
        """
        names = ("replace", "end", "touch", "rename", "one")
        for turn, order in enumerate(itertools.permutations(names)):
            if turn % 5:
                continue
            record = await self.signIn(str(turn))
            changed = evolve(record, version=2)
            renamed = self.signedIn(f"renamed {turn}", version=3, handle=record.handle)
            key, later = record.key, self.now + 1
            calls: dict[str, Callable[[], Deferred[Any]]] = {
                "replace": partial(self.store.replace, changed, 1, self.now),
                "end": partial(self.other.endEverybody, EVERYBODY),
                "touch": partial(self.other.touch, key, later, later + IDLE, self.now),
                "rename": partial(self.store.rename, key, renamed, 2, self.now),
                "one": partial(self.store.endPrincipal, SOMEBODY, self.now, key),
            }
            outcomes = await self.outcomes([calls[name]() for name in order])
            self.assertIsNone(outcomes[order.index("end")], order)
            for each in (record, renamed):
                found = await self.load(each)
                self.assertFalse(isinstance(found, Record), order)
            self.assertEqual(await self.listOf(), [], order)
            self.assertEqual(await self.store.countSessions(self.now), 0, order)
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_endingEverybodyIsAChange(self) -> None:
        """
        Who ends everybody does not know which sessions are used in this process: the
        cheap question tells, and the dear one with the version that is known.
        """
        for number, store in enumerate((self.store, self.other)):
            record = await self.signIn(str(number))
            before = store.changes()
            self.assertIs(await store.load(record.key, self.now, 1), UNCHANGED)
            await self.store.endEverybody(EVERYBODY)
            if before is not None:
                self.assertNotEqual(store.changes(), before)
            self.assertIsNone(await store.load(record.key, self.now, 1))

    @steps
    async def test_hostilePrefixesAreOnlyPrefixes(self) -> None:
        """
        Prefixes that mean something to an engine mean nothing to a store.
        """
        records = [
            await self.signIn(f"{prefix!r}", prefix.ljust(32, b"p"))
            for prefix in HOSTILE_PREFIXES
        ]
        bystander = await self.signIn("bystander")
        for number, prefix in enumerate(HOSTILE_PREFIXES):
            await self.other.endEverybody(prefix)
            await self.isDead(records[number])
            for record in records[number + 1 :]:
                self.assertEqual(await self.load(record), record)
        self.assertEqual(await self.load(bystander), bystander)
        self.assertEqual(await self.misfits(), 0)


__all__ = ["EverybodyContract"]
