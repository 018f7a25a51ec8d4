"""
The contract suite catches stores that are broken in the ways that stores are.

Each store here is L{MemoryStore} with one flaw; the whole suite is run over it and
must fail at the tests that name the flaw.
"""

from __future__ import annotations

import unittest

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txsessions.core.record import ROTATED, Record, tagOf
from txsessions.errors import SessionConflict, SessionGone
from txsessions.interfaces import END_MARKER
from txsessions.stores import MemoryStore
from txsessions.stores._memory_slots import Slot
from txsessions.testing import StoreContract


def failures(makeStore, only: set[str] | None = None) -> set[str]:
    """
    Run the suite.

    @param makeStore: Makes the store.
    @param only: The names of the tests to run, if not all.
    @return: The names of the tests that failed.
    """

    class Contract(StoreContract, TestCase):
        """
        The suite over one store.
        """

        def makeStore(self):
            """
            See L{StoreContract.makeStore}.
            """
            return makeStore()

        def remembers(self, principal):
            """
            See L{StoreContract.remembers}.
            """
            return self.store._principals.remembers(principal)

    names = only or unittest.defaultTestLoader.getTestCaseNames(Contract)
    return {name for name in names if not passes(Contract(name), name)}


def passes(case: StoreContract, name: str) -> bool:
    """
    Run one test by hand: with a store that answers at once it needs no reactor,
    and takes a tenth of the time.
    """
    outcome: list[object] = []
    done = case.setUp().addCallback(lambda _: getattr(case, name)())
    done.addBoth(outcome.append)
    return outcome == [None]


class Upsert(MemoryStore):
    """
    Replaces what is not there.
    """

    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        Writes back what was logged out meanwhile.
        """
        replaced = super().replace(record, expected, now)

        def insert(failure):
            failure.trap(SessionGone)
            return self.insert(record, now)

        return replaced.addErrback(insert)


class OverwritingInsert(MemoryStore):
    """
    Inserts over what is there.
    """

    def insert(self, record: Record, now: float, limit=None) -> Deferred[None]:
        """
        Takes the place of whatever has that key.
        """
        self._slots.pop(record.key, None)
        return super().insert(record, now, limit)


class ResurrectingTouch(MemoryStore):
    """
    Touches the dead.
    """

    def touch(self, key, touchedAt, expiresAt, now) -> Deferred[None]:
        """
        Does not look at the deadline.
        """
        return super().touch(key, touchedAt, expiresAt, float("-inf"))


class TouchGoesBack(MemoryStore):
    """
    The last touch to arrive wins.
    """

    def touch(self, key, touchedAt, expiresAt, now) -> Deferred[None]:
        """
        Sets the times, whatever they were.
        """
        try:
            stored = self._current(key, None, now)
        except SessionGone as error:
            return fail(error)
        self._set(key, evolve(stored, touchedAt=touchedAt, expiresAt=expiresAt))
        return succeed(None)


class IgnoredVersion(MemoryStore):
    """
    The last replace to arrive wins.
    """

    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        Takes any version for the expected one.
        """
        replaced = super().replace(record, expected, now)

        def again(failure):
            failure.trap(SessionConflict)
            return self.replace(record, failure.value.current.version, now)

        return replaced.addErrback(again)


class ExpiredReturned(MemoryStore):
    """
    Leaves expiry to the sweeper.
    """

    def load(self, key, now, known=None):
        """
        Hands out what has not been swept yet.
        """
        slot = self._slots.get(key)
        if slot is not None and slot.record is not None and slot.expiresAt <= now:
            return succeed(slot.record)
        return super().load(key, now, known)


class ClaimedTwice(MemoryStore):
    """
    Forgets what it has handed out.
    """

    def claimExpired(self, now, limit, lease) -> Deferred[list[Record]]:
        """
        Ignores the lease.
        """
        return super().claimExpired(now, limit, 0.0)


class ClaimedForEver(MemoryStore):
    """
    Never hands out again what its claimer lost.
    """

    def claimExpired(self, now, limit, lease) -> Deferred[list[Record]]:
        """
        Ignores the lease, too.
        """
        return super().claimExpired(now, limit, float("inf"))


class LostRename(MemoryStore):
    """
    Renames in two steps and dies between them.
    """

    def rename(self, oldKey, record, expected, now, *args) -> Deferred[None]:
        """
        Marks the old key and inserts nothing.
        """
        renamed = super().rename(oldKey, record, expected, now, *args)
        return renamed.addCallback(lambda _: self.delete(record.key)).addCallback(
            lambda _: None
        )


class RenameWithoutMarker(MemoryStore):
    """
    Leaves no trace of the old key.
    """

    def rename(self, oldKey, record, expected, now, *args) -> Deferred[None]:
        """
        Deletes the old key.
        """
        renamed = super().rename(oldKey, record, expected, now, *args)

        def forget(_):
            del self._slots[oldKey]

        return renamed.addCallback(forget)


class RenameKeepsBoth(MemoryStore):
    """
    Copies instead of renaming.
    """

    def rename(self, oldKey, record, expected, now, *args) -> Deferred[None]:
        """
        Leaves the session under its old key, too.
        """
        old = self._slots.get(oldKey)
        renamed = super().rename(oldKey, record, expected, now, *args)

        def restore(_):
            self._put(oldKey, old)

        return renamed.addCallback(restore)


class DeletableMarker(MemoryStore):
    """
    Lets a late logout remove the marker.
    """

    def delete(self, key, now=None) -> Deferred[bool]:
        """
        Deletes whatever there is.
        """
        return succeed(self._slots.pop(key, None) is not None)


class UnmarkedEnd(MemoryStore):
    """
    Leaves no marker where it was told to.
    """

    def delete(self, key, now=None) -> Deferred[bool]:
        """
        Deletes whoever says so.
        """
        return super().delete(key)


class RemembersTheUnknown(MemoryStore):
    """
    Marks what was never there.
    """

    def delete(self, key, now=None) -> Deferred[bool]:
        """
        Marks it.
        """
        if now is not None and key not in self._slots:
            self._put(key, Slot(None, now + END_MARKER))
        return super().delete(key, now)


class DeadEnd(MemoryStore):
    """
    Does not know what a rotated session has become.
    """

    def delete(self, key, now=None) -> Deferred[bool]:
        """
        Finds nothing under the marker.
        """
        slot = self._slots.get(key)
        if slot is not None and slot.record is None:
            return succeed(False)
        return super().delete(key, now)


class OneStep(MemoryStore):
    """
    Knows what a rotated session became first.
    """

    def delete(self, key, now=None) -> Deferred[bool]:
        """
        Goes on from one marker, but not from the next.
        """
        slot = self._slots.get(key)
        if slot is not None and slot.record is None:
            following = self._slots.get(slot.became)
            if following is not None and following.record is None:
                return succeed(False)
        return super().delete(key, now)


class SilentDelete(MemoryStore):
    """
    Ends what nobody named, and tells nobody.
    """

    def changes(self) -> int:
        """
        Has not noticed.
        """
        return 0


class MarkerForEver(MemoryStore):
    """
    Never forgets a rotation.
    """

    def load(self, key, now, known=None):
        """
        Does not look at the marker's time.
        """
        slot = self._slots.get(key)
        if slot is not None and slot.record is None:
            return succeed(ROTATED)
        return super().load(key, now, known)


class SweepsTheTouched(MemoryStore):
    """
    Removes what was used after it was claimed.
    """

    def acknowledge(self, keys) -> Deferred[None]:
        """
        Deletes by key alone.
        """
        for key in keys:
            self._slots.pop(key, None)
        return succeed(None)


class ReplaceTakesBackTheTouch(MemoryStore):
    """
    Lets a slow request set the time of the last use back.
    """

    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        Writes the record as it is given.
        """
        replaced = super().replace(record, expected, now)
        return replaced.addCallback(lambda _: self._set(record.key, record))


class UnchangedThoughDead(MemoryStore):
    """
    Compares versions before it looks at the deadline.
    """

    def load(self, key, now, known=None):
        """
        Calls an expired session unchanged.
        """
        if known is not None:
            return super().load(key, float("-inf"), known)
        return super().load(key, now, known)


class ScanSkips(MemoryStore):
    """
    Loses a record at each page's edge.
    """

    def scan(self, cursor, limit):
        """
        Leaves out the first of each page.
        """
        page = super().scan(cursor, limit)
        return page.addCallback(lambda found: (found[0][1:], found[1]))


class ChattyError(MemoryStore):
    """
    Shows the key to whoever reads the log.
    """

    def touch(self, key, touchedAt, expiresAt, now) -> Deferred[None]:
        """
        Puts the whole key into the error.
        """
        touched = super().touch(key, touchedAt, expiresAt, now)

        def tell(failure):
            failure.trap(SessionGone)
            raise SessionGone(tagOf(key), f"there is no {key.hex()}")

        return touched.addErrback(tell)


class BrokenStoreTests(SynchronousTestCase):
    """
    Every flaw is caught, at the test that is about it.
    """

    def assertCaught(self, makeStore, *tests: str) -> None:
        """
        Check that at least these tests fail.
        """
        missing = {f"test_{name}" for name in tests} - failures(makeStore)
        self.assertEqual(missing, set(), "these tests passed over a broken store")

    def test_theWholeStorePasses(self) -> None:
        """
        Without a flaw nothing fails: it is the flaw that is caught.
        """
        self.assertEqual(failures(MemoryStore), set())

    def test_upsert(self) -> None:
        """
        An upsert is caught.
        """
        self.assertCaught(
            Upsert,
            "replaceOnlyIfPresent",
            "deleteIsFinal",
            "nothingBringsBackWhatIsBeingDeleted",
        )

    def test_overwritingInsert(self) -> None:
        """
        An insert over another session is caught.
        """
        self.assertCaught(
            OverwritingInsert,
            "insertOnlyIfAbsent",
            "insertNotOverTheExpired",
            "underTheMarkerNothingHappens",
            "oneInsertWins",
        )

    def test_resurrectingTouch(self) -> None:
        """
        A touch that wakes the dead is caught.
        """
        self.assertCaught(ResurrectingTouch, "touchOnlyIfPresentAndAlive")

    def test_touchGoesBack(self) -> None:
        """
        A touch that sets the clock back is caught.
        """
        self.assertCaught(
            TouchGoesBack, "touchOnlyForward", "touchNeverBringsTheDeadlineNearer"
        )

    def test_ignoredVersion(self) -> None:
        """
        A lost update is caught.
        """
        self.assertCaught(
            IgnoredVersion,
            "replaceOnlyAtTheExpectedVersion",
            "oneReplaceWins",
        )

    def test_expiredReturned(self) -> None:
        """
        Handing out an expired record is caught.
        """
        self.assertCaught(ExpiredReturned, "expiredIsAbsent")

    def test_claimedTwice(self) -> None:
        """
        Two claims of one record are caught.
        """
        self.assertCaught(ClaimedTwice, "eachClaimIsOnes", "theLeaseRunsOut")

    def test_claimedForEver(self) -> None:
        """
        A claim that never ends is caught.
        """
        self.assertCaught(ClaimedForEver, "theLeaseRunsOut", "acknowledge")

    def test_lostRename(self) -> None:
        """
        A rename that loses the session is caught.
        """
        self.assertCaught(LostRename, "rename", "oneRenameWins")

    def test_renameWithoutMarker(self) -> None:
        """
        A rename that leaves no marker is caught.
        """
        self.assertCaught(RenameWithoutMarker, "rename", "underTheMarkerNothingHappens")

    def test_renameKeepsBoth(self) -> None:
        """
        Two live keys of one session are caught.
        """
        self.assertCaught(
            RenameKeepsBoth, "rename", "oneRenameWins", "aMarkerIsNoSession"
        )

    def test_deletableMarker(self) -> None:
        """
        A marker that can be deleted is caught.
        """
        self.assertCaught(DeletableMarker, "deleteByAFormerKey")

    def test_unmarkedEnd(self) -> None:
        """
        A deletion that leaves no marker is caught.
        """
        self.assertCaught(UnmarkedEnd, "deleteMarks", "deleteMarksOnlyWhatWasThere")

    def test_remembersTheUnknown(self) -> None:
        """
        One that marks what was never there is caught.
        """
        self.assertCaught(RemembersTheUnknown, "deleteMarksOnlyWhatWasThere")

    def test_deadEnd(self) -> None:
        """
        A logout that ends nothing, since another process rotated the id, is caught.
        """
        self.assertCaught(
            DeadEnd,
            "deleteByAFormerKey",
            "deleteByAFormerKeyOfMany",
            "nothingBringsBackWhatIsBeingDeleted",
            "aDeleteOvertakesTheRenames",
        )

    def test_oneStep(self) -> None:
        """
        One that ends nothing where it was rotated twice is caught.
        """
        self.assertCaught(
            OneStep, "deleteByAFormerKeyOfMany", "aDeleteOvertakesTheRenames"
        )

    def test_silentDelete(self) -> None:
        """
        Deleting what the caller did not name without counting it is caught.
        """
        self.assertCaught(SilentDelete, "deleteByAFormerKeyIsAChange")

    def test_markerForEver(self) -> None:
        """
        A marker that never ends is caught.
        """
        self.assertCaught(MarkerForEver, "rename")

    def test_sweepsTheTouched(self) -> None:
        """
        Sweeping a session in use is caught.
        """
        self.assertCaught(
            SweepsTheTouched,
            "aSessionUsedMeanwhileIsNotSwept",
            "acknowledgeOnlyWhatWasClaimed",
        )

    def test_replaceTakesBackTheTouch(self) -> None:
        """
        A slow writer that shortens a life is caught.
        """
        self.assertCaught(ReplaceTakesBackTheTouch, "replaceDoesNotTakeBackATouch")

    def test_unchangedThoughDead(self) -> None:
        """
        An expired session called unchanged is caught.
        """
        self.assertCaught(UnchangedThoughDead, "expiredIsAbsent")

    def test_scanSkips(self) -> None:
        """
        A scan that loses records is caught.
        """
        self.assertCaught(ScanSkips, "scan")

    def test_chattyError(self) -> None:
        """
        An error that shows a key is caught.
        """
        self.assertCaught(ChattyError, "noErrorShowsKeyOrPayload")
