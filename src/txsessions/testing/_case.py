"""
What all parts of the store contract stand on.

Owns the opening and closing of the stores under test, and the making of records.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from txsessions.core.record import Record
from txsessions.errors import SessionGone
from txsessions.interfaces import ISessionStore

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object

_Error = TypeVar("_Error", bound=Exception)

IDLE = 900.0
"""How long the sessions of these tests live, in seconds."""

SOMEBODY = hashlib.sha256(b"somebody").digest()
"""A principal."""

SOMEONE_ELSE = hashlib.sha256(b"someone else").digest()
"""Another one."""


def steps(
    method: Callable[[Any], Coroutine[Deferred[Any], Any, None]],
) -> Callable[[Any], Deferred[None]]:
    """
    Make a coroutine a test that returns a Deferred.
    """

    @functools.wraps(method)
    def test(self: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(method(self))

    return test


class ContractCase(_Base):
    """
    The base of the parts.

    @cvar now: The time of the tests, in seconds since the epoch.
    @ivar store: The store under test, open.
    @ivar other: The same sessions as another process sees them, if
        L{anotherStore} gives that, or else the same object.
    """

    now = 1_800_000_000.0
    store: ISessionStore
    other: ISessionStore

    def makeStore(self) -> ISessionStore:
        """
        Make a store that holds no session and is not open yet.  Override this.
        """
        raise NotImplementedError("makeStore() must be given by the subclass")

    def anotherStore(self) -> ISessionStore | None:
        """
        Make a second store on the sessions of the first, where processes can
        share them; not open yet.
        """
        return None

    def remembers(self, principal: bytes) -> bool | None:
        """
        Is anything left in the store that names this principal: a record, an entry of
        an index, an epoch?  Override this, where the engine can be asked.

        @return: L{None} where it cannot be told.
        """
        return None

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits
        """
        Open the store.
        """
        if not isinstance(self, TestCase):
            raise TypeError(
                "StoreContract needs twisted.trial.unittest.TestCase beside it: a "
                "SynchronousTestCase would not wait for the store"
            )
        return Deferred.fromCoroutine(self._open())

    async def _open(self) -> None:
        """
        Open one store, or two.
        """
        self.store = self.makeStore()
        self.addCleanup(self.store.close)
        await self.store.open()
        another = self.anotherStore()
        if another is None:
            self.other = self.store
        else:
            self.other = another
            self.addCleanup(another.close)
            await another.open()

    def record(self, name: str = "one", **changes: Any) -> Record:
        """
        Make a record.

        @param name: Different names give different keys.
        @param changes: Fields that differ from the usual ones.
        """
        usual: dict[str, Any] = {
            "key": hashlib.sha256(name.encode()).digest(),
            "version": 1,
            "createdAt": self.now,
            "touchedAt": self.now,
            "expiresAt": self.now + IDLE,
            "payload": b"payload of " + name.encode(),
        }
        return Record(**{**usual, **changes})

    def signedIn(
        self, name: str = "one", principal: bytes = SOMEBODY, **changes: Any
    ) -> Record:
        """
        Make a record of a session in which somebody is signed in.
        """
        handle = hashlib.sha256(b"handle of " + name.encode()).digest()[:16]
        signed = {"principal": principal, "handle": handle}
        return self.record(name, **{**signed, **changes})

    async def signIn(
        self, name: str = "one", principal: bytes = SOMEBODY, **changes: Any
    ) -> Record:
        """
        Make such a record and have the store keep it.
        """
        record = self.signedIn(name, principal, **changes)
        await self.store.insert(record, self.now)
        return record

    async def insert(self, name: str = "one", **changes: Any) -> Record:
        """
        Make a record and have the store keep it.
        """
        record = self.record(name, **changes)
        await self.store.insert(record, self.now)
        return record

    async def rename(self, old: Record, name: str = "new") -> Record:
        """
        Give a session a new key.
        """
        renamed = self.record(
            name,
            version=old.version + 1,
            principal=old.principal,
            handle=old.handle,
        )
        await self.store.rename(old.key, renamed, old.version, self.now)
        return renamed

    async def load(self, record: Record, now: float | None = None) -> object:
        """
        Ask both stores for a session, which must agree.
        """
        when = self.now if now is None else now
        found = await self.store.load(record.key, when)
        self.assertEqual(found, await self.other.load(record.key, when))
        return found

    async def listOf(
        self, principal: bytes = SOMEBODY, now: float | None = None, limit: int = 100
    ) -> list[Record]:
        """
        Page through the sessions of a principal in both stores, which must agree.
        """
        when = self.now if now is None else now
        found: list[list[Record]] = []
        for store in (self.store, self.other):
            listed: list[Record] = []
            cursor = None
            for _ in range(100):
                page, cursor = await store.sessionsOf(principal, when, cursor, limit)
                self.assertLessEqual(len(page), limit)
                listed += page
                if cursor is None:
                    break
            self.assertIsNone(cursor, "the pages never end")
            found.append(listed)
        self.assertEqual(found[0], found[1])
        return found[0]

    async def misfits(self) -> int:
        """
        How much of the index of principals does not fit the records.
        """
        count, cursor = await self.store.verifyIndex()
        for _ in range(10000):
            if cursor is None:
                return count
            more, cursor = await self.store.verifyIndex(cursor, 7)
            count += more
        raise self.failureException("the pages of the index never end")

    async def isDead(self, record: Record, now: float | None = None) -> None:
        """
        Check that a session is as absent as a deleted one: nothing finds it, changes
        it or brings it back.
        """
        when = self.now if now is None else now
        self.assertIsNone(await self.load(record, when))
        for store in (self.store, self.other):
            for version in (record.version, record.version + 1):
                known = await store.load(record.key, when, version)
                self.assertIsNone(known)
                changed = evolve(record, version=version + 1)
                replaced = store.replace(changed, version, when)
                await self.fails(replaced, SessionGone)
                new = self.record("brought back", expiresAt=when + 9e6)
                renamed = store.rename(record.key, new, version, when)
                await self.fails(renamed, SessionGone)
                self.assertIsNone(await self.load(new, when))
            for at in (record.touchedAt, when + 1):
                touched = store.touch(record.key, at, at + IDLE, when)
                await self.fails(touched, SessionGone)
        self.assertIsNone(await self.load(record, when))

    async def changesOf(self, store: ISessionStore) -> int | None:
        """
        Ask the cheap question, of a store that has nothing under way: one that has may
        not know whose the changes are, though it knows later.
        """
        await store.delete(self.record("never there").key)
        return store.changes()

    async def outcomes(self, deferreds: Sequence[Deferred[Any]]) -> list[Any]:
        """
        Wait for all of these, and tell what each gave: a value or an exception.
        """
        results = await DeferredList(deferreds, consumeErrors=True)
        return [value if good else value.value for good, value in results]

    async def fails(self, call: Deferred[Any], expected: type[_Error]) -> _Error:
        """
        Wait for something to fail.

        @return: The error.
        """
        try:
            found = await call
        except expected as error:
            return error
        raise self.failureException(f"{expected.__name__} did not come, but {found!r}")

    def kinds(self, outcomes: Sequence[object]) -> dict[type, int]:
        """
        Count outcomes by type.
        """
        found = [type(outcome) for outcome in outcomes]
        return {kind: found.count(kind) for kind in found}

    async def claimAll(self, now: float, lease: float = 60.0) -> list[Record]:
        """
        Claim until nothing is left.
        """
        claimed: list[Record] = []
        for _ in range(10):
            found = await self.store.claimExpired(now, 1000, lease)
            claimed += found
            if not found:
                break
        else:
            self.fail("the same records are claimed again and again")
        return sorted(claimed, key=lambda record: record.key)


__all__ = ["IDLE", "SOMEBODY", "SOMEONE_ELSE", "ContractCase", "steps"]
