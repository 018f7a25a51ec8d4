"""
The part of the store contract that is about many at once.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred

from txsessions.core.record import ROTATED, Record
from txsessions.errors import SessionConflict, SessionExists, SessionGone
from txsessions.interfaces import ISessionStore
from txsessions.testing._case import ContractCase, steps


class RacingContract(ContractCase):
    """
    Of many that want the same one gets it, and the others are told.
    """

    @steps
    async def test_oneInsertWins(self) -> None:
        """
        Of many inserts under one key one wins.
        """
        records = [self.record(payload=b"%d" % number) for number in range(10)]
        stores = [self.store, self.other] * 5
        outcomes = await self.outcomes(
            [
                store.insert(record, self.now)
                for store, record in zip(stores, records, strict=True)
            ]
        )
        self.assertEqual(self.kinds(outcomes), {type(None): 1, SessionExists: 9})
        self.assertEqual(await self.load(records[0]), records[outcomes.index(None)])

    @steps
    async def test_oneReplaceWins(self) -> None:
        """
        Of many replaces of one version one wins, and the others hear of it.
        """
        record = await self.insert()
        changes = [
            evolve(record, version=2, payload=b"%d" % number) for number in range(10)
        ]
        stores = [self.store, self.other] * 5
        outcomes = await self.outcomes(
            [
                store.replace(changed, 1, self.now)
                for store, changed in zip(stores, changes, strict=True)
            ]
        )
        self.assertEqual(self.kinds(outcomes), {type(None): 1, SessionConflict: 9})
        winner = changes[outcomes.index(None)]
        self.assertEqual(await self.load(record), winner)
        losers = [outcome for outcome in outcomes if outcome is not None]
        self.assertTrue(all(loser.current == winner for loser in losers))

    @steps
    async def test_oneRenameWins(self) -> None:
        """
        Of many renames of one session one wins, and leaves one live key.
        """
        old = await self.insert()
        names = [self.record(f"new {number}", version=2) for number in range(10)]
        stores = [self.store, self.other] * 5
        outcomes = await self.outcomes(
            [
                store.rename(old.key, new, 1, self.now)
                for store, new in zip(stores, names, strict=True)
            ]
        )
        self.assertEqual(self.kinds(outcomes), {type(None): 1, SessionGone: 9})
        self.assertIs(await self.load(old), ROTATED)
        alive = [new for new in names if await self.load(new) is not None]
        self.assertEqual(alive, [names[outcomes.index(None)]])

    @steps
    async def test_nothingBringsBackWhatIsBeingDeleted(self) -> None:
        """
        In whatever order they come: after a logout nothing is left.
        """
        names = ("replace", "delete", "touch", "rename", "late")
        for turn, order in enumerate(itertools.permutations(names)):
            if turn % 5:
                continue
            record = await self.insert(str(turn))
            changed = evolve(record, version=2)
            renamed = self.record(f"renamed {turn}", version=3)
            key, later = record.key, self.now + 1
            calls: dict[str, Callable[[], Deferred[Any]]] = {
                "replace": functools.partial(self.store.replace, changed, 1, self.now),
                "delete": functools.partial(self.other.delete, key),
                "touch": functools.partial(
                    self.other.touch, key, later, later + 9, self.now
                ),
                "rename": functools.partial(
                    self.store.rename, key, renamed, 2, self.now
                ),
                "late": functools.partial(self.other.replace, changed, 2, self.now),
            }
            found = await self.outcomes([calls[name]() for name in order])
            outcomes = dict(zip(order, found, strict=True))
            self.assertIs(outcomes["delete"], True, order)
            left = ROTATED if outcomes["rename"] is None else None
            self.assertIs(await self.load(record), left, order)
            self.assertIsNone(await self.load(renamed), order)

    @steps
    async def test_aDeleteOvertakesTheRenames(self) -> None:
        """
        A delete and renames one upon another, all at once: under whichever key the
        delete finds the session, it is gone.
        """
        for turn in range(10):
            names = [self.record(f"{turn}.{n}", version=n) for n in range(1, 6)]
            first, *others = names
            await self.store.insert(first, self.now)
            calls: list[Deferred[Any]] = [
                self.store.rename(old.key, new, old.version, self.now)
                for old, new in itertools.pairwise(names)
            ]
            store = self.other if turn % 2 else self.store
            calls.insert(turn // 2, store.delete(first.key))
            found = (await self.outcomes(calls))[turn // 2]
            self.assertIs(found, True, turn)
            for record in others:
                self.assertIn(await self.load(record), (None, ROTATED), turn)
            self.assertEqual(await self.store.countSessions(self.now), 0)

    @steps
    async def test_noCountIsLost(self) -> None:
        """
        Counting with retries counts exactly.
        """
        record = await self.insert(payload=b"0")

        async def count(store: ISessionStore) -> None:
            for _ in range(5):
                current = await store.load(record.key, self.now)
                while True:
                    assert isinstance(current, Record)
                    counted = evolve(
                        current,
                        version=current.version + 1,
                        payload=b"%d" % (int(current.payload) + 1),
                    )
                    try:
                        await store.replace(counted, current.version, self.now)
                        break
                    except SessionConflict as error:
                        current = error.current

        stores = [self.store, self.other] * 3
        counters = [Deferred.fromCoroutine(count(store)) for store in stores]
        outcomes = await self.outcomes(counters)
        self.assertEqual(self.kinds(outcomes), {type(None): 6})
        found = await self.load(record)
        assert isinstance(found, Record)
        self.assertEqual((found.payload, found.version), (b"30", 31))

    @steps
    async def test_aFailureDisturbsNoNeighbour(self) -> None:
        """
        Calls made in one moment fail or succeed each by itself.
        """
        first, second = await self.insert("first"), await self.insert("second")
        changed = evolve(first, version=2, payload=b"changed")
        calls: list[Deferred[Any]] = [
            self.store.insert(self.record("third"), self.now),
            self.store.insert(first, self.now),
            self.store.replace(changed, 1, self.now),
            self.store.replace(changed, 9, self.now),
            self.store.replace(self.record("absent"), 1, self.now),
            self.store.rename(second.key, changed, 1, self.now),
            self.store.delete(self.record("absent").key),
            self.store.touch(second.key, self.now + 1, second.expiresAt, self.now),
        ]
        outcomes = await self.outcomes(calls)
        kinds = [type(outcome) for outcome in outcomes]
        nothing = type(None)
        self.assertEqual(kinds[:4], [nothing, SessionExists, nothing, SessionConflict])
        self.assertEqual(kinds[4:], [SessionGone, SessionExists, bool, nothing])
        self.assertEqual(await self.load(first), changed)
        touched = evolve(second, touchedAt=self.now + 1)
        self.assertEqual(await self.load(second), touched)
        self.assertEqual(await self.load(self.record("third")), self.record("third"))

    @steps
    async def test_calledFromItsOwnCallback(self) -> None:
        """
        A store may be called from the callback of its own answer.
        """
        record = self.record()
        found: list[object] = []
        done: Deferred[None] = Deferred()

        def again(_: object) -> Deferred[bool]:
            return self.store.delete(record.key)

        def end(answer: object) -> None:
            found.append(answer)
            done.callback(None)

        first = self.store.insert(record, self.now).addCallback(again)
        await self.outcomes([first.addBoth(end), done])
        self.assertEqual(found, [True])
        self.assertIsNone(await self.load(record))


__all__ = ["RacingContract"]
