"""
The contract suite catches stores that lose the way from a former key.
"""

from __future__ import annotations

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.test_broken_stores import failures
from txsessions.core.record import DELETED, FORMER, ROTATED, Record
from txsessions.interfaces import ROTATION_MARKER
from txsessions.stores import MemoryStore
from txsessions.testing._following import FollowingContract

OURS = {name for name in dir(FollowingContract) if name.startswith("test_")}


class MarksBriefly(MemoryStore):
    """
    Has always marked for a minute.
    """

    def rename(self, oldKey, record, expected, now, limit=None, marks=0.0):
        """
        Does so.
        """
        return super().rename(oldKey, record, expected, now, limit)


class MarksForLong(MemoryStore):
    """
    Marks a little longer, to be sure.
    """

    def rename(self, oldKey, record, expected, now, limit=None, marks=ROTATION_MARKER):
        """
        Adds a second.
        """
        return super().rename(oldKey, record, expected, now, limit, marks + 1)


class NeverFormer(MemoryStore):
    """
    Takes whatever was rotated away for rotated away just now.
    """

    def load(self, key, now, known=None):
        """
        Knows of one answer.
        """
        found = super().load(key, now, known)
        return found.addCallback(lambda it: ROTATED if it is FORMER else it)


class FormerAtOnce(MemoryStore):
    """
    Takes it for rotated away long ago.
    """

    def load(self, key, now, known=None):
        """
        Knows of the other.
        """
        found = super().load(key, now, known)
        return found.addCallback(lambda it: FORMER if it is ROTATED else it)


class FollowsOneStep(MemoryStore):
    """
    Knows what a session became first.
    """

    def follow(self, key, now):
        """
        Loads what the marker says.
        """
        slot = self._slots.get(key)
        if slot is None or slot.record is not None or slot.expiresAt <= now:
            return succeed(None)
        found = self.load(slot.became, now)
        return found.addCallback(lambda it: it if isinstance(it, Record) else None)


class FollowsNoMarker(MemoryStore):
    """
    Leads from a key to itself.
    """

    def follow(self, key, now):
        """
        Does not look where it begins.
        """
        found = self.load(key, now)

        def further(it):
            return it if isinstance(it, Record) else MemoryStore.follow(self, key, now)

        return found.addCallback(further)


class FollowsTheOld(MemoryStore):
    """
    Does not look at the clock.
    """

    def _followed(self, key, now):
        """
        Follows markers that have run out.
        """
        slot = self._slots.get(key)
        if slot is None or slot.record is not None:
            return None
        while slot is not None and slot.record is None:
            slot = self._slots.get(slot.became)
        alive = slot is not None and self._isAlive(slot, now)
        return slot.record if alive else None


class FollowsTheDead(MemoryStore):
    """
    Looks at the markers only.
    """

    def _isAlive(self, slot, now):
        """
        Takes all for alive.
        """
        return slot.record is not None


class FollowsTheExpired(MemoryStore):
    """
    Leaves expiry to the sweeper.
    """

    def _followed(self, key, now):
        """
        Finds what is past its deadline, and what has ended with its principal.
        """
        found = MemoryStore._followed(self, key, float("-inf"))
        slot = self._slots.get(key)
        return found if slot is not None and slot.expiresAt > now else None


class FollowsToNothing(MemoryStore):
    """
    Takes one end for another.
    """

    def _followed(self, key, now):
        """
        Does not tell of the markers of deletions.
        """
        found = super()._followed(key, now)
        return found if isinstance(found, Record) else None


class FollowsToAnEnd(MemoryStore):
    """
    Takes whatever is gone for deleted just now.
    """

    def _followed(self, key, now):
        """
        Tells so where markers lead to nothing.
        """
        slot = self._slots.get(key)
        found = super()._followed(key, now)
        isMarker = slot is not None and slot.record is None and slot.expiresAt > now
        return DELETED if isMarker and found is None else found


class FollowsFormerEnds(MemoryStore):
    """
    Leaves the markers of deletions to the sweeper.
    """

    def _followed(self, key, now):
        """
        Finds one that has run out.
        """
        found = super()._followed(key, now)
        ends = super()._followed(key, float("-inf")) is DELETED
        slot = self._slots.get(key)
        return DELETED if ends and slot.became and slot.expiresAt > now else found


class BrokenFollowingTests(SynchronousTestCase):
    """
    Every flaw is caught, at the test that is about it.
    """

    def assertCaught(self, makeStore, *tests: str) -> None:
        """
        Check that at least these tests fail.
        """
        missing = {f"test_{name}" for name in tests} - failures(makeStore, OURS)
        self.assertEqual(missing, set(), "these tests passed over a broken store")

    def test_marksBriefly(self) -> None:
        """
        A marker that goes too soon is caught.
        """
        self.assertCaught(MarksBriefly, "markedForLong", "deleteByAKeyOfLongAgo")

    def test_marksForLong(self) -> None:
        """
        One that stays too long is caught.
        """
        self.assertCaught(MarksForLong, "markedForLong", "aWayThatIsBroken")

    def test_former(self) -> None:
        """
        Not telling what was given up just now from what was longer ago is caught.
        """
        for makeStore in (NeverFormer, FormerAtOnce):
            self.assertCaught(makeStore, "markedForLong")

    def test_followsOneStep(self) -> None:
        """
        Losing the session at the second marker is caught.
        """
        self.assertCaught(FollowsOneStep, "followManySteps", "aWayThatIsBroken")

    def test_followsNoMarker(self) -> None:
        """
        Following a key that is none of a marker is caught.
        """
        self.assertCaught(FollowsNoMarker, "follow", "followManySteps")

    def test_followsTheOld(self) -> None:
        """
        Following a marker that has run out is caught.
        """
        self.assertCaught(FollowsTheOld, "markedForLong", "aWayThatIsBroken")

    def test_followsTheExpired(self) -> None:
        """
        Finding a session past its deadline is caught.
        """
        self.assertCaught(FollowsTheExpired, "followTheDead", "aWayThatIsBroken")

    def test_followsToNothing(self) -> None:
        """
        Not telling of a deletion is caught.
        """
        self.assertCaught(FollowsToNothing, "followTheDeleted")

    def test_followsToAnEnd(self) -> None:
        """
        Telling of one where there was none is caught.
        """
        self.assertCaught(FollowsToAnEnd, "followTheDead", "aWayThatIsBroken")

    def test_followsFormerEnds(self) -> None:
        """
        Telling of one for too long is caught.
        """
        self.assertCaught(FollowsFormerEnds, "followTheDeleted")

    def test_followsTheDead(self) -> None:
        """
        Finding a session that has ended is caught.
        """
        self.assertCaught(FollowsTheDead, "followTheDead", "followWhoIsSignedIn")
