"""
The part of the store contract that is about signing in: how many sessions a principal
may have, and who signs in while their sessions are being ended.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred

from txsessions.core.record import Record, SignInLimit
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    TooManySessions,
)
from txsessions.testing._case import SOMEBODY, SOMEONE_ELSE, ContractCase, steps

REFUSES = SignInLimit(most=3, refuses=True)
"""A limit that refuses the next."""

EVICTS = SignInLimit(most=3, refuses=False)
"""A limit that lets the oldest make room."""


class AdmittingContract(ContractCase):
    """
    No more than may, and none that should have ended.
    """

    @steps
    async def test_theLimitRefuses(self) -> None:
        """
        As many as may sign in, by a new record or by a new key; one more is refused,
        and nothing is changed.
        """
        bystander = await self.signIn("bystander", SOMEONE_ELSE)
        anonymous = await self.insert("anonymous")
        for number in range(3):
            record = self.signedIn(str(number))
            await self.store.insert(record, self.now, REFUSES)
        before = await self.listOf()
        self.assertEqual(len(before), 3)
        more = self.signedIn("more")
        for store in (self.store, self.other):
            calls = [
                store.insert(more, self.now, REFUSES),
                store.rename(anonymous.key, more, 1, self.now, REFUSES),
                store.rename(bystander.key, more, 1, self.now, REFUSES),
            ]
            for error in await self.outcomes(calls):
                self.assertIsInstance(error, TooManySessions)
                self.assertEqual((error.tag, error.most), (more.tag, 3))
                said = f"{error!s} {error!r}"
                self.assertNotIn(SOMEBODY.hex(), said)
                self.assertNotIn(repr(SOMEBODY)[2:-1], said)
        self.assertIsNone(await self.load(more))
        self.assertEqual(await self.listOf(), before)
        for record in (anonymous, bystander):
            self.assertEqual(await self.load(record), record)
        await self.store.delete(before[0].key)
        await self.other.rename(anonymous.key, more, 1, self.now, REFUSES)
        self.assertEqual(len(await self.listOf()), 3)
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_theOldestMakeRoom(self) -> None:
        """
        Or the oldest are deleted: by their age, of the same age by their handle.
        """
        handles = iter([b"c" * 16, b"b" * 16, b"f" * 16, b"d" * 16, b"e" * 16])
        ages = {"same 1": 5, "same 2": 5, "older": 9, "youngest": 1, "new": 0}
        records = {
            name: self.signedIn(name, handle=next(handles), createdAt=self.now - age)
            for name, age in ages.items()
        }
        for name in ("youngest", "same 1", "older"):
            await self.store.insert(records[name], self.now, EVICTS)
        self.assertEqual(len(await self.listOf()), 3)
        anonymous = await self.insert("anonymous")
        steps_ = [
            ("same 2", partial(self.other.insert, records["same 2"]), "older"),
            (
                "new",
                partial(self.store.rename, anonymous.key, records["new"], 1),
                "same 2",
            ),
        ]
        for name, call, evicted in steps_:
            await call(self.now, limit=EVICTS)
            self.assertEqual(await self.load(records[name]), records[name])
            await self.isDead(records[evicted])
            self.assertFalse(await self.store.delete(records[evicted].key))
        left = sorted(await self.listOf(), key=lambda record: record.createdAt)
        self.assertEqual(left, [records[n] for n in ("same 1", "youngest", "new")])
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_aLowerLimit(self) -> None:
        """
        A limit lower than before is kept from the next sign-in on.
        """
        records = [await self.signIn(str(n), createdAt=self.now - n) for n in range(7)]
        two = SignInLimit(most=2, refuses=False)
        new = self.signedIn("new", createdAt=self.now + 1)
        await self.other.insert(new, self.now, two)
        left = sorted(await self.listOf(), key=lambda record: record.createdAt)
        self.assertEqual(left, [records[0], new])
        one = SignInLimit(most=1, refuses=False)
        await self.store.insert(self.signedIn("last"), self.now, one)
        self.assertEqual(await self.listOf(), [self.signedIn("last")])
        only = SignInLimit(most=1, refuses=True)
        more = self.store.insert(self.signedIn("more"), self.now, only)
        await self.fails(more, TooManySessions)
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_onlyTheLivingCount(self) -> None:
        """
        What has expired, ended or become another takes nobody's place, and the old is
        not evicted before the living.
        """
        old = self.now - 99
        ended = [await self.signIn(f"ended {n}", createdAt=old) for n in range(3)]
        await self.store.endPrincipal(SOMEBODY, self.now)
        for number in range(3):
            await self.signIn(f"expired {number}", expiresAt=self.now, createdAt=old)
        rotated = await self.signIn("0")
        await self.rename(rotated, "renamed")
        for number in range(1, 3):
            record = self.signedIn(str(number))
            await self.store.insert(record, self.now, REFUSES)
        more = self.other.insert(self.signedIn("more"), self.now, REFUSES)
        await self.fails(more, TooManySessions)
        await self.store.insert(self.signedIn("more"), self.now, EVICTS)
        self.assertEqual(len(await self.listOf()), 3)
        for record in ended:
            self.assertTrue(await self.store.delete(record.key))

    @steps
    async def test_onlySignInsAreLimited(self) -> None:
        """
        Whoever is signed in already, signs out or is nobody is not limited.
        """
        none = SignInLimit(most=1, refuses=True)
        records = [await self.signIn(str(n)) for n in range(3)]
        renamed = self.signedIn("renamed", version=2, handle=records[0].handle)
        for limit in (none, SignInLimit(most=1, refuses=False)):
            await self.store.insert(self.record(f"{limit}"), self.now, limit)
        await self.store.rename(records[0].key, renamed, 1, self.now, none)
        self.assertEqual(len(await self.listOf()), 3)
        out = self.record("out", version=3)
        one = SignInLimit(most=1, refuses=False)
        again = self.signedIn("again", version=3, handle=renamed.handle)
        await self.other.rename(renamed.key, again, 2, self.now, one)
        self.assertEqual(len(await self.listOf()), 3)
        await self.store.rename(again.key, out, 3, self.now, none)
        self.assertEqual(len(await self.listOf()), 2)

    @steps
    async def test_whoCannotSignInEvictsNobody(self) -> None:
        """
        A sign-in that fails makes nobody go.
        """
        records = [await self.signIn(str(n)) for n in range(3)]
        taken, brief = await self.insert("taken"), await self.insert("brief")
        one = SignInLimit(most=1, refuses=False)
        for limit in (one, SignInLimit(most=1, refuses=True)):
            new = self.signedIn("new")
            there = evolve(new, key=taken.key)
            calls = [
                self.store.insert(there, self.now, limit),
                self.other.insert(records[0], self.now, limit),
                self.store.rename(brief.key, there, 1, self.now, limit),
                self.store.rename(brief.key, new, 2, self.now, limit),
                self.store.rename(new.key, new, 1, self.now, limit),
                self.other.rename(brief.key, new, 1, brief.expiresAt, limit),
            ]
            kinds = [type(outcome) for outcome in await self.outcomes(calls)]
            self.assertEqual(kinds[:3], [SessionExists] * 3)
            self.assertEqual(kinds[3:], [SessionConflict, SessionGone, SessionGone])
            self.assertEqual(len(await self.listOf()), 3)
            self.assertEqual(await self.load(brief), brief)

    @steps
    async def test_manyAtOnceKeepTheLimit(self) -> None:
        """
        Of any number that sign in at once no more live than may.
        """
        for turn, limit in enumerate((REFUSES, EVICTS)):
            principal = b"%d" % turn * 32
            anonymous = [await self.insert(f"{turn} {n}") for n in range(6)]
            calls: list[Deferred[None]] = []
            for number, old in enumerate(anonymous):
                one, two = (self.store, self.other)[:: 1 if number % 2 else -1]
                made = self.signedIn(f"{turn} made {number}", principal)
                renamed = self.signedIn(f"{turn} renamed {number}", principal)
                calls += (
                    one.insert(made, self.now, limit),
                    two.rename(old.key, renamed, 1, self.now, limit),
                )
            kinds = self.kinds(await self.outcomes(calls))
            if limit.refuses:
                self.assertEqual(kinds, {type(None): 3, TooManySessions: 9})
            else:
                self.assertEqual(kinds, {type(None): 12})
            self.assertEqual(len(await self.listOf(principal)), 3)
            self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_whoSignsInWhileAllEnd(self) -> None:
        """
        A sign-in before the end of all is ended, and counted; one after it lives.
        None is missed.
        """
        for turn in range(12):
            principal = b"%02d" % turn * 16
            if turn % 3 == 0:
                await self.signIn(f"there {turn}", principal)
            old = await self.insert(f"old {turn}")
            made = self.signedIn(f"made {turn}", principal)
            renamed = self.signedIn(f"renamed {turn}", principal, version=2)
            one, two = (self.store, self.other)[:: 1 if turn % 2 else -1]
            calls: list[Callable[[], Deferred[Any]]] = [
                partial(one.insert, made, self.now),
                partial(two.rename, old.key, renamed, 1, self.now),
            ]
            calls.insert(turn // 4, partial(one.endPrincipal, principal, self.now))
            found = await self.outcomes([call() for call in calls])
            ended = found[turn // 4]
            alive = [await self.load(each) is not None for each in (made, renamed)]
            self.assertEqual(ended + sum(alive), 2 + (turn % 3 == 0), turn)
            self.assertEqual(len(await self.listOf(principal)), sum(alive), turn)
            left = await self.store.endPrincipal(principal, self.now)
            self.assertEqual(left, sum(alive), turn)
            self.assertEqual(await self.listOf(principal), [])

    @steps
    async def test_nothingBringsBackWhatIsBeingEnded(self) -> None:
        """
        In whatever order they come: after the end of all no session of theirs is left.
        """
        names = ("replace", "end", "touch", "rename", "late")
        for turn, order in enumerate(itertools.permutations(names)):
            if turn % 5:
                continue
            principal = b"%03d" % turn + b"p" * 29
            record = await self.signIn(str(turn), principal)
            changed = evolve(record, version=2)
            renamed = self.signedIn(
                f"renamed {turn}", principal, version=3, handle=record.handle
            )
            key, later = record.key, self.now + 1
            calls: dict[str, Callable[[], Deferred[Any]]] = {
                "replace": partial(self.store.replace, changed, 1, self.now),
                "end": partial(self.other.endPrincipal, principal, self.now),
                "touch": partial(self.other.touch, key, later, later + 9, self.now),
                "rename": partial(self.store.rename, key, renamed, 2, self.now),
                "late": partial(self.other.replace, changed, 2, self.now),
            }
            outcomes = await self.outcomes([calls[name]() for name in order])
            self.assertEqual(outcomes[order.index("end")], 1, order)
            for each in (record, renamed):
                found = await self.load(each)
                self.assertFalse(isinstance(found, Record), order)
            self.assertEqual(await self.listOf(principal), [], order)
            self.assertEqual(await self.store.countSessions(self.now), 0, order)
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_endingTheUnnamedIsAChange(self) -> None:
        """
        Who ends sessions by their principal does not know which are used in this
        process: the cheap question tells.
        """
        one = SignInLimit(most=1, refuses=False)
        handle = self.signedIn("last").handle or b""
        calls: list[Callable[[], Deferred[Any]]] = [
            partial(self.store.endPrincipal, SOMEBODY, self.now),
            partial(self.store.insert, self.signedIn("last"), self.now, one),
            partial(self.store.endSession, SOMEBODY, handle, self.now),
            partial(self.store.erasePrincipal, SOMEBODY),
        ]
        for number, call in enumerate(calls):
            await self.signIn(f"there {number}" if number != 2 else "other")
            before = await self.changesOf(self.store)
            await call()
            if before is not None:
                self.assertNotEqual(await self.changesOf(self.store), before, call)
        anonymous = await self.insert("anonymous")
        await self.signIn("there")
        before = await self.changesOf(self.store)
        new = self.signedIn("new", version=2)
        await self.store.rename(anonymous.key, new, 1, self.now, one)
        if before is not None:
            self.assertNotEqual(await self.changesOf(self.store), before)


__all__ = ["AdmittingContract"]
