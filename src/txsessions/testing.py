"""
For those who write a session store, and for those who choose one: the contract of
L{ISessionStore<txsessions.interfaces.ISessionStore>} as tests.

Owns the suite.  Imported by nothing else here.  Make it yours like this::

    from twisted.trial.unittest import TestCase
    from txsessions.testing import StoreContract


    class MyStoreTests(StoreContract, TestCase):
        def makeStore(self):
            return MyStore(...)

Every test gets an empty store.  Times are arguments throughout, so nothing here
sleeps.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from txsessions.core.record import ROTATED, UNCHANGED, Record
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    StoreUnavailable,
)
from txsessions.interfaces import ROTATION_MARKER, ISessionStore

_Base = TestCase if TYPE_CHECKING else object

IDLE = 900.0
"""How long the sessions of these tests live, in seconds."""

HOSTILE_KEYS = (
    b"",
    b"\0",
    b"\0" * 32,
    b"\xff" * 32,
    b"%" * 32,
    b"_" * 32,
    b"'" * 64,
    b"' OR 1=1--",
    b"x'); DROP TABLE sessions;--",
    b"*",
    b"[a-f0-9]*",
    b"{tag}",
    b"\r\nFLUSHALL\r\n",
    b"../../../../etc/passwd",
    b"..%2f..%2fetc%2fpasswd",
    b"/etc/passwd",
    b"nul",
    b"con",
    "\N{LATIN SMALL LETTER LONG S}\N{FULLWIDTH DIGIT ONE}\N{RIGHT-TO-LEFT OVERRIDE}".encode(),
    b"\xc0\xaf\xed\xa0\x80",
    b"k" * 1000,
)
"""Keys that mean something to some engine, and must mean nothing to a store."""


def _steps(
    method: Callable[[Any], Coroutine[Deferred[Any], Any, None]],
) -> Callable[[Any], Deferred[None]]:
    """
    Make a coroutine a test that returns a Deferred.
    """

    @functools.wraps(method)
    def test(self: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(method(self))

    return test


class StoreContract(_Base):
    """
    What every session store must do.  Mix into a
    L{twisted.trial.unittest.TestCase}.

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

    def setUp(self) -> Deferred[None]:
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
        renamed = self.record(name, version=old.version + 1)
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

    async def outcomes(self, deferreds: Sequence[Deferred[Any]]) -> list[Any]:
        """
        Wait for all of these, and tell what each gave: a value or an exception.
        """
        results = await DeferredList(deferreds, consumeErrors=True)
        return [value if good else value.value for good, value in results]

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
        while found := await self.store.claimExpired(now, 1000, lease):
            claimed += found
        return sorted(claimed, key=lambda record: record.key)

    # The object itself.

    def test_providesTheInterface(self) -> None:
        verifyObject(ISessionStore, self.store)
        self.assertIsInstance(self.store.address, str)
        self.assertIsInstance(self.store.durability, str)

    @_steps
    async def test_openTwiceIsOnce(self) -> None:
        record = await self.insert()
        await self.store.open()
        self.assertEqual(await self.load(record), record)

    @_steps
    async def test_closedAnswersUnavailable(self) -> None:
        record = await self.insert()
        await self.store.close()
        await self.store.close()
        calls: list[Deferred[Any]] = [
            self.store.load(record.key, self.now),
            self.store.insert(self.record("new"), self.now),
            self.store.replace(record, 1, self.now),
            self.store.touch(record.key, self.now, self.now, self.now),
            self.store.rename(record.key, self.record("new"), 1, self.now),
            self.store.delete(record.key),
            self.store.claimExpired(self.now, 1, 1.0),
            self.store.acknowledge([record.key]),
            self.store.countSessions(self.now),
            self.store.scan(None, 1),
        ]
        kinds = self.kinds(await self.outcomes(calls))
        self.assertEqual(kinds, {StoreUnavailable: len(calls)})
        await self.store.open()
        self.assertIsNone(await self.store.load(self.record("new").key, self.now))

    @_steps
    async def test_changes(self) -> None:
        seen = [self.store.changes()]

        def look() -> None:
            seen.append(self.store.changes())

        record = await self.insert()
        look()
        await self.other.touch(record.key, self.now + 9, self.now + IDLE, self.now)
        look()
        changed = evolve(record, version=2)
        await self.other.replace(changed, 1, self.now)
        look()
        renamed = await self.rename(changed)
        look()
        await self.other.delete(renamed.key)
        look()
        if self.other is not self.store and seen[0] is not None:
            self.assertEqual(len(set(seen)), len(seen), seen)
        await self.store.load(record.key, self.now)
        self.assertEqual(self.store.changes(), seen[-1])

    # insert and load.

    @_steps
    async def test_loadGivesWhatWasInserted(self) -> None:
        everyByte = bytes(range(256))
        records = [
            await self.insert(),
            await self.insert("principal", principal=everyByte),
            await self.insert("nobody", principal=b""),
            await self.insert("empty", payload=b""),
            await self.insert("bytes", payload=everyByte * 4),
            await self.insert("large", payload=everyByte * 256),
            await self.insert("fractions", createdAt=1.1, touchedAt=self.now + 0.1),
            await self.insert("version", version=2**53 + 1),
        ]
        for record in records:
            self.assertEqual(await self.load(record), record)

    @_steps
    async def test_absent(self) -> None:
        await self.insert()
        self.assertIsNone(await self.load(self.record("other")))
        known = await self.store.load(self.record("other").key, self.now, 1)
        self.assertIsNone(known)

    @_steps
    async def test_insertOnlyIfAbsent(self) -> None:
        record = await self.insert()
        again = evolve(record, version=7, payload=b"another", expiresAt=self.now + 9e9)
        inserted = self.other.insert(again, self.now)
        error = await self.assertFailure(inserted, SessionExists)
        self.assertEqual(error.tag, record.tag)
        self.assertEqual(await self.load(record), record)

    @_steps
    async def test_insertNotOverTheExpired(self) -> None:
        record = await self.insert()
        late = record.expiresAt + 1
        again = evolve(record, expiresAt=late + IDLE)
        await self.assertFailure(self.store.insert(again, late), SessionExists)
        self.assertIsNone(await self.load(record, late))
        self.assertEqual(await self.claimAll(late), [record])
        await self.assertFailure(self.store.insert(again, late), SessionExists)
        await self.store.acknowledge([record.key])
        await self.store.insert(again, late)
        self.assertEqual(await self.load(record, late), again)

    @_steps
    async def test_expiredIsAbsent(self) -> None:
        record = await self.insert()
        before, at = record.expiresAt - 1, record.expiresAt
        self.assertEqual(await self.load(record, before), record)
        self.assertIsNone(await self.load(record, at))
        self.assertIsNone(await self.load(record, at + 1))
        self.assertIsNone(await self.store.load(record.key, at, 1))
        self.assertEqual(await self.load(record, before), record)

    @_steps
    async def test_known(self) -> None:
        record = await self.insert(version=3)
        load = self.store.load
        self.assertIs(await load(record.key, self.now, 3), UNCHANGED)
        self.assertEqual(await load(record.key, self.now, 2), record)
        self.assertEqual(await load(record.key, self.now, 4), record)
        self.assertEqual(await load(record.key, self.now, 0), record)

    # replace.

    @_steps
    async def test_replace(self) -> None:
        record = await self.insert()
        changed = evolve(
            record,
            version=2,
            touchedAt=self.now + 5,
            expiresAt=self.now + 5 + IDLE,
            principal=b"somebody",
            payload=b"changed",
        )
        await self.store.replace(changed, 1, self.now + 5)
        self.assertEqual(await self.load(record), changed)
        again = evolve(changed, version=3, principal=None, payload=b"")
        await self.other.replace(again, 2, self.now + 5)
        self.assertEqual(await self.load(record), again)

    @_steps
    async def test_replaceOnlyAtTheExpectedVersion(self) -> None:
        record = await self.insert(version=5)
        for expected in (4, 6, 0, 1):
            changed = evolve(record, version=expected + 1, payload=b"lost")
            replaced = self.other.replace(changed, expected, self.now)
            error = await self.assertFailure(replaced, SessionConflict)
            self.assertEqual(error.current, record)
        self.assertEqual(await self.load(record), record)

    @_steps
    async def test_replaceOnlyIfPresent(self) -> None:
        record = self.record()
        replaced = self.store.replace(evolve(record, version=2), 1, self.now)
        error = await self.assertFailure(replaced, SessionGone)
        self.assertEqual(error.tag, record.tag)
        self.assertIsNone(await self.load(record))
        await self.store.insert(record, self.now)

    @_steps
    async def test_replaceNotTheExpired(self) -> None:
        record = await self.insert()
        late = record.expiresAt
        changed = evolve(record, version=2, touchedAt=late, expiresAt=late + IDLE)
        await self.assertFailure(self.store.replace(changed, 1, late), SessionGone)
        await self.assertFailure(self.store.replace(changed, 7, late), SessionGone)
        self.assertIsNone(await self.load(record, late))
        self.assertEqual(await self.load(record), record)

    @_steps
    async def test_replaceDoesNotTakeBackATouch(self) -> None:
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

    @_steps
    async def test_replaceMayShortenTheLife(self) -> None:
        record = await self.insert()
        short = evolve(
            record, version=2, touchedAt=self.now + 1, expiresAt=self.now + 60
        )
        await self.store.replace(short, 1, self.now + 1)
        self.assertEqual(await self.load(record), short)
        self.assertIsNone(await self.load(record, self.now + 60))
        self.assertEqual(await self.claimAll(self.now + 60), [short])

    # touch.

    @_steps
    async def test_touch(self) -> None:
        record = await self.insert(version=4, principal=b"somebody")
        touchedAt, expiresAt = self.now + 60.5, self.now + 60.5 + IDLE
        await self.other.touch(record.key, touchedAt, expiresAt, self.now + 60)
        touched = evolve(record, touchedAt=touchedAt, expiresAt=expiresAt)
        self.assertEqual(await self.load(record), touched)
        self.assertEqual(await self.load(record, expiresAt - 1), touched)
        self.assertIsNone(await self.load(record, expiresAt))

    @_steps
    async def test_touchOnlyForward(self) -> None:
        record = await self.insert()
        touchedAt, expiresAt = self.now + 60, self.now + 60 + IDLE
        await self.store.touch(record.key, touchedAt, expiresAt, self.now)
        for earlier in (touchedAt, touchedAt - 1, self.now, self.now - 1e6):
            await self.other.touch(record.key, earlier, self.now + 1, self.now)
            await self.store.touch(record.key, earlier, expiresAt + 100, self.now)
        touched = evolve(record, touchedAt=touchedAt, expiresAt=expiresAt)
        self.assertEqual(await self.load(record), touched)

    @_steps
    async def test_touchNeverBringsTheDeadlineNearer(self) -> None:
        record = await self.insert()
        await self.store.touch(record.key, self.now + 1, self.now + 2, self.now)
        touched = evolve(record, touchedAt=self.now + 1)
        self.assertEqual(await self.load(record), touched)

    @_steps
    async def test_touchOnlyIfPresentAndAlive(self) -> None:
        absent = self.record("absent")
        late = self.now + IDLE
        touched = self.store.touch(absent.key, late, late + IDLE, self.now)
        error = await self.assertFailure(touched, SessionGone)
        self.assertEqual(error.tag, absent.tag)
        self.assertIsNone(await self.load(absent))
        record = await self.insert()
        touched = self.store.touch(record.key, late, late + IDLE, late)
        await self.assertFailure(touched, SessionGone)
        self.assertIsNone(await self.load(record, late))

    # rename.

    @_steps
    async def test_rename(self) -> None:
        old = await self.insert(version=3)
        new = await self.rename(old)
        self.assertEqual(await self.load(new), new)
        for passed in (0.0, 1.0, ROTATION_MARKER - 1):
            found = await self.load(old, self.now + passed)
            self.assertIs(found, ROTATED, f"after {passed} s")
        known = await self.store.load(old.key, self.now, old.version)
        self.assertIs(known, ROTATED)
        self.assertIsNone(await self.load(old, self.now + ROTATION_MARKER))

    @_steps
    async def test_underTheMarkerNothingHappens(self) -> None:
        old = await self.insert()
        new = await self.rename(old)
        store, now = self.other, self.now + 1
        touched = store.touch(old.key, now, now + 9e9, now)
        await self.assertFailure(touched, SessionGone)
        for expected in (0, 1, 2):
            changed = evolve(old, version=expected + 1)
            replaced = store.replace(changed, expected, now)
            await self.assertFailure(replaced, SessionGone)
            renamed = store.rename(old.key, self.record("third"), expected, now)
            await self.assertFailure(renamed, SessionGone)
        await self.assertFailure(store.insert(old, now), SessionExists)
        self.assertFalse(await store.delete(old.key))
        self.assertIs(await self.load(old, now), ROTATED)
        self.assertEqual(await self.load(new), new)

    @_steps
    async def test_aMarkerIsNoSession(self) -> None:
        old = await self.insert()
        new = await self.rename(old)
        self.assertEqual(await self.store.countSessions(self.now), 1)
        self.assertEqual((await self.store.scan(None, 10))[0], [new])
        late = self.now + ROTATION_MARKER
        self.assertEqual(await self.claimAll(late), [])
        self.assertIsNone(await self.load(old, late))
        await self.store.insert(evolve(old, expiresAt=late + IDLE), late)

    @_steps
    async def test_renameOnlyAtTheExpectedVersion(self) -> None:
        old = await self.insert(version=3)
        new = self.record("new")
        renamed = self.other.rename(old.key, new, 2, self.now)
        error = await self.assertFailure(renamed, SessionConflict)
        self.assertEqual(error.current, old)
        self.assertEqual(await self.load(old), old)
        self.assertIsNone(await self.load(new))

    @_steps
    async def test_renameOnlyIfPresentAndAlive(self) -> None:
        old, new = await self.insert(), self.record("new", expiresAt=self.now + 9e9)
        absent = self.store.rename(self.record("absent").key, new, 1, self.now)
        await self.assertFailure(absent, SessionGone)
        late = self.store.rename(old.key, new, 1, old.expiresAt)
        await self.assertFailure(late, SessionGone)
        self.assertIsNone(await self.load(new))
        self.assertEqual(await self.load(old), old)

    @_steps
    async def test_renameNotOverAnother(self) -> None:
        old, taken = await self.insert(), await self.insert("taken")
        new = evolve(taken, payload=b"stolen")
        renamed = self.store.rename(old.key, new, 1, self.now)
        await self.assertFailure(renamed, SessionExists)
        same = self.store.rename(old.key, evolve(old, version=2), 1, self.now)
        await self.assertFailure(same, SessionExists)
        self.assertEqual(await self.load(taken), taken)
        self.assertEqual(await self.load(old), old)

    # delete.

    @_steps
    async def test_delete(self) -> None:
        record, neighbour = await self.insert(), await self.insert("neighbour")
        self.assertTrue(await self.other.delete(record.key))
        self.assertIsNone(await self.load(record))
        self.assertFalse(await self.store.delete(record.key))
        self.assertFalse(await self.store.delete(self.record("absent").key))
        self.assertEqual(await self.load(neighbour), neighbour)

    @_steps
    async def test_deleteIsFinal(self) -> None:
        record = await self.insert()
        await self.store.delete(record.key)
        late = evolve(record, version=2)
        await self.assertFailure(self.other.replace(late, 1, self.now), SessionGone)
        touched = self.other.touch(record.key, self.now + 1, self.now + 9, self.now)
        await self.assertFailure(touched, SessionGone)
        renamed = self.other.rename(record.key, self.record("new"), 1, self.now)
        await self.assertFailure(renamed, SessionGone)
        self.assertIsNone(await self.load(record))
        self.assertIsNone(await self.load(self.record("new")))

    @_steps
    async def test_deleteTheExpired(self) -> None:
        record = await self.insert(expiresAt=self.now - 1)
        claimed = await self.insert("claimed", expiresAt=self.now - 1)
        self.assertTrue(await self.store.delete(record.key))
        self.assertEqual(await self.claimAll(self.now), [claimed])
        self.assertTrue(await self.store.delete(claimed.key))
        self.assertEqual(await self.claimAll(self.now + 1000), [])

    # claimExpired and acknowledge.

    @_steps
    async def test_claimOnlyTheExpired(self) -> None:
        at = await self.insert("at", expiresAt=self.now + 10)
        past = await self.insert("past", expiresAt=self.now + 9.5)
        await self.insert("alive", expiresAt=self.now + 10.5)
        self.assertEqual(await self.store.claimExpired(self.now, 10, 60.0), [])
        expected = sorted([at, past], key=lambda record: record.key)
        self.assertEqual(await self.claimAll(self.now + 10), expected)

    @_steps
    async def test_claimNoMoreThanTheLimit(self) -> None:
        for number in range(7):
            await self.insert(str(number), expiresAt=self.now)
        sizes = [
            len(await self.store.claimExpired(self.now, limit, 60.0))
            for limit in (0, 3, 3, 3, 3)
        ]
        self.assertEqual(sizes, [0, 3, 3, 1, 0])

    @_steps
    async def test_eachClaimIsOnes(self) -> None:
        names = [str(number) for number in range(40)]
        for name in names:
            await self.insert(name, expiresAt=self.now)
        stores = [self.store, self.other] * 5
        claims = [store.claimExpired(self.now, 7, 60.0) for store in stores]
        slices = await self.outcomes(claims)
        keys = [record.key for claimed in slices for record in claimed]
        self.assertEqual(len(keys), len(set(keys)))
        self.assertEqual(len(keys), len(names))

    @_steps
    async def test_theLeaseRunsOut(self) -> None:
        record = await self.insert(expiresAt=self.now)
        self.assertEqual(await self.claimAll(self.now, 30.0), [record])
        for passed in (1.0, 29.0):
            self.assertEqual(await self.claimAll(self.now + passed, 30.0), [])
        self.assertEqual(await self.claimAll(self.now + 31, 30.0), [record])
        self.assertEqual(await self.claimAll(self.now + 32, 30.0), [])
        await self.store.acknowledge([record.key])
        self.assertEqual(await self.claimAll(self.now + 1000), [])

    @_steps
    async def test_acknowledge(self) -> None:
        gone = await self.insert("gone", expiresAt=self.now)
        kept = await self.insert("kept", expiresAt=self.now)
        await self.claimAll(self.now, 30.0)
        absent = self.record("absent")
        await self.other.acknowledge([gone.key, absent.key, gone.key])
        await self.other.acknowledge([])
        self.assertEqual(await self.claimAll(self.now + 31), [kept])
        self.assertFalse(await self.store.delete(gone.key))

    @_steps
    async def test_acknowledgeOnlyWhatWasClaimed(self) -> None:
        alive = await self.insert("alive")
        unclaimed = await self.insert("unclaimed", expiresAt=self.now)
        old = await self.insert("old")
        await self.rename(old)
        await self.store.acknowledge([alive.key, unclaimed.key, old.key])
        self.assertEqual(await self.load(alive), alive)
        self.assertIs(await self.load(old), ROTATED)
        self.assertEqual(await self.claimAll(self.now), [unclaimed])

    @_steps
    async def test_aSessionUsedMeanwhileIsNotSwept(self) -> None:
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

    @_steps
    async def test_aTouchedSessionIsClaimedLater(self) -> None:
        record = await self.insert()
        for step in range(1, 5):
            touchedAt = self.now + step * 600
            await self.store.touch(
                record.key, touchedAt, touchedAt + IDLE, touchedAt - 1
            )
            self.assertEqual(await self.claimAll(touchedAt + 500), [])
        claimed = await self.claimAll(touchedAt + IDLE)
        self.assertEqual([found.key for found in claimed], [record.key])

    # countSessions and scan.

    @_steps
    async def test_countSessions(self) -> None:
        self.assertEqual(await self.store.countSessions(self.now), 0)
        await self.insert("one")
        await self.insert("two", expiresAt=self.now + 10)
        await self.insert("expired", expiresAt=self.now)
        self.assertEqual(await self.store.countSessions(self.now), 2)
        self.assertEqual(await self.other.countSessions(self.now + 10), 1)
        await self.claimAll(self.now + 10)
        self.assertEqual(await self.store.countSessions(self.now + 10), 1)
        self.assertEqual(await self.store.countSessions(self.now + IDLE), 0)

    @_steps
    async def test_scan(self) -> None:
        self.assertEqual(await self.store.scan(None, 5), ([], None))
        records = {}
        for number in range(23):
            expiresAt = self.now + (IDLE if number % 3 else -1)
            record = await self.insert(str(number), expiresAt=expiresAt)
            records[record.key] = record
        seen: list[Record] = []
        cursor = None
        for page in range(100):
            found, cursor = await self.store.scan(cursor, 5)
            self.assertLessEqual(len(found), 5)
            seen += found
            await self.insert(f"later {page}", payload=b"later")
            if page == 1:
                self.assertTrue(await self.store.delete(found[0].key))
            if cursor is None:
                break
        self.assertIsNone(cursor)
        there = [record for record in seen if record.payload != b"later"]
        self.assertEqual(len(there), len(records))
        self.assertEqual({record.key: record for record in there}, records)

    # Races.

    @_steps
    async def test_oneInsertWins(self) -> None:
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

    @_steps
    async def test_oneReplaceWins(self) -> None:
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

    @_steps
    async def test_oneRenameWins(self) -> None:
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

    @_steps
    async def test_nothingBringsBackWhatIsBeingDeleted(self) -> None:
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
            if outcomes["delete"] is True:
                self.assertIsInstance(outcomes["rename"], Exception, order)
                self.assertIsNone(await self.load(record), order)
                self.assertIsNone(await self.load(renamed), order)
            else:
                self.assertIsNone(outcomes["rename"], order)
                self.assertIs(await self.load(record), ROTATED, order)
                self.assertIsInstance(await self.load(renamed), Record, order)

    @_steps
    async def test_noCountIsLost(self) -> None:
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

    @_steps
    async def test_aFailureDisturbsNoNeighbour(self) -> None:
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

    @_steps
    async def test_calledFromItsOwnCallback(self) -> None:
        record = self.record()
        done = self.store.insert(record, self.now)
        done.addCallback(lambda _: self.store.load(record.key, self.now))
        done.addCallback(lambda found: self.store.delete(found.key))
        done.addCallback(lambda _: self.store.load(record.key, self.now))
        self.assertIsNone(await done)

    # Keys.

    @_steps
    async def test_hostileKeysAreOnlyKeys(self) -> None:
        bystander = await self.insert("bystander")
        records = []
        for number, key in enumerate(HOSTILE_KEYS):
            self.assertIsNone(await self.store.load(key, self.now))
            self.assertFalse(await self.store.delete(key))
            touched = self.store.touch(key, self.now + 1, self.now + 2, self.now)
            await self.assertFailure(touched, SessionGone)
            records.append(await self.insert(key=key, payload=b"%d" % number))
        for record in records:
            self.assertEqual(await self.load(record), record)
            changed = evolve(record, version=2)
            await self.store.replace(changed, 1, self.now)
            self.assertEqual(await self.load(record), changed)
        self.assertEqual(await self.store.countSessions(self.now), len(records) + 1)
        for record in records:
            self.assertTrue(await self.store.delete(record.key))
            self.assertIsNone(await self.load(record))
        self.assertEqual(await self.load(bystander), bystander)

    @_steps
    async def test_noErrorShowsKeyOrPayload(self) -> None:
        key = hashlib.sha256(b"a secret key").digest()
        record = await self.insert(key=key, payload=b"the secret payload")
        other = evolve(record, version=9)
        calls: list[Deferred[Any]] = [
            self.store.insert(record, self.now),
            self.store.replace(other, 8, self.now),
            self.store.replace(other, 1, record.expiresAt),
            self.store.touch(key, self.now, self.now, record.expiresAt),
            self.store.rename(key, record, 1, self.now),
        ]
        for error in await self.outcomes(calls):
            self.assertIsInstance(error, Exception)
            said = f"{error!s} {error!r}"
            self.assertIn(record.tag, said)
            self.assertNotIn(key.hex(), said)
            self.assertNotIn(repr(key)[2:-1], said)
            self.assertNotIn("secret", said)


__all__ = ["HOSTILE_KEYS", "IDLE", "StoreContract"]
