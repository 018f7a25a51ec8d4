"""
The contract suite catches stores that let the wrong anonymous sessions go, or too many,
or too few.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.flaws import FlawTests
from txsessions.core.record import Record
from txsessions.stores import MemoryStore
from txsessions.stores._memory_slots import Slot


class EvictsTheSignedIn(MemoryStore):
    """
    Takes everybody for anonymous.
    """

    def _put(self, key, slot) -> None:
        """
        Looks at no principal.
        """
        super()._put(key, slot)
        if slot.record is not None:
            self._anonymous.add(evolve(slot.record, principal=None))


class EvictsTheYoungest(MemoryStore):
    """
    Sorts the wrong way round.
    """

    def _evict(self, most, now, limit) -> list[Record]:
        """
        Begins at the end.
        """
        evicted: list[Record] = []
        records = [slot.record for slot in self._slots.values() if slot.record]
        records = [r for r in records if r.principal is None and r.expiresAt > now]
        records.sort(key=lambda record: -record.expiresAt)
        for record in records[: min(limit, max(0, len(records) - most))]:
            evicted.append(record)
            self._dropUnnamed([record.key])
        return evicted


class ForgetsTouches(MemoryStore):
    """
    Goes by the first deadline.
    """

    def _deadlineOf(self, key) -> float:
        """
        Has not moved.
        """
        return self._anonymous._places[key]


class LeavesTheIndex(MemoryStore):
    """
    Counts those that are gone.
    """

    def _lose(self, record) -> None:
        """
        Leaves the entry.
        """
        self._principals.remove(record)

    def _deadlineOf(self, key) -> float:
        """
        Takes what is not there for alive.
        """
        slot = self._slots.get(key)
        return self._anonymous._places[key] if slot is None else slot.expiresAt

    def _evict(self, most, now, limit) -> list[Record]:
        """
        Passes over what is not there, as if it had gone.
        """
        evicted = []
        key = self._anonymous.next(most, now, self._deadlineOf)
        while key is not None and len(evicted) < limit:
            slot = self._slots.get(key)
            del self._anonymous._places[key]
            if slot is not None and slot.record is not None:
                evicted.append(slot.record)
                self._dropUnnamed([key])
            else:
                most -= 1
            key = self._anonymous.next(most, now, self._deadlineOf)
        return evicted


class LosesOne(MemoryStore):
    """
    Does not say all that it has deleted.
    """

    def _evict(self, most, now, limit) -> list[Record]:
        """
        Leaves the last one out.
        """
        return super()._evict(most, now, limit)[:-1]


class LosesOneMore(MemoryStore):
    """
    Compares with C{<=} where C{<} belongs.
    """

    def _evict(self, most, now, limit) -> list[Record]:
        """
        Lets in one less.
        """
        return super()._evict(most - 1, now, limit)


class EvictsTheExpired(MemoryStore):
    """
    Counts those that have run out, and takes them from the sweeper.
    """

    def _evict(self, most, now, limit) -> list[Record]:
        """
        Knows no time.
        """
        return super()._evict(most, 0.0, limit)


class StaysAnonymous(MemoryStore):
    """
    A sign-in leaves the session where it was.
    """

    def rename(self, oldKey, record, expected, now, limit=None) -> Deferred[None]:
        """
        Puts the new key where the old one was.
        """
        renamed = super().rename(oldKey, record, expected, now, limit)
        if renamed.result is None:
            self._anonymous.add(evolve(record, principal=None))
        return renamed


class TellsNobody(MemoryStore):
    """
    Does not say that anything has changed.
    """

    def changes(self) -> int:
        """
        Always the same.
        """
        return 0


class GoesOnForever(MemoryStore):
    """
    Has no bound.
    """

    def evictAnonymous(self, most, now, limit):
        """
        Deletes all at once.
        """
        return super().evictAnonymous(most, now, 10**6)


class StopsEarly(MemoryStore):
    """
    Never says that there is more to do.
    """

    def evictAnonymous(self, most, now, limit):
        """
        Is content with one slice.
        """
        done = super().evictAnonymous(most, now, limit)
        return done.addCallback(lambda told: (told[0], False))


class NeverContent(MemoryStore):
    """
    Always says that there is more to do.
    """

    def evictAnonymous(self, most, now, limit):
        """
        Has itself called again and again.
        """
        done = super().evictAnonymous(most, now, limit)
        return done.addCallback(lambda told: (told[0], True))


class BringsBack(MemoryStore):
    """
    A late touch writes back what was evicted.
    """

    def _evict(self, most, now, limit) -> list[Record]:
        """
        Remembers.
        """
        evicted = super()._evict(most, now, limit)
        self.__dict__.setdefault("evicted", []).extend(evicted)
        return evicted

    def touch(self, key, touchedAt, expiresAt, now) -> Deferred[None]:
        """
        Puts it back where it is not there.
        """
        for record in self.__dict__.get("evicted", []):
            if record.key == key and key not in self._slots:
                self._put(key, Slot(record, record.expiresAt))
                return succeed(None)
        return super().touch(key, touchedAt, expiresAt, now)


CAUGHT = {
    EvictsTheSignedIn: ("whoIsSignedInStays",),
    EvictsTheYoungest: ("thoseWithTheLeastTimeLeftGo", "inSlices"),
    ForgetsTouches: ("whoIsInUseStaysLonger", "manyInUseOfMany"),
    LeavesTheIndex: ("whatIsGoneDoesNotCount", "whoIsSignedInStays"),
    LosesOne: ("thoseWithTheLeastTimeLeftGo", "enoughIsEnough"),
    LosesOneMore: ("thoseWithTheLeastTimeLeftGo", "enoughIsEnough"),
    EvictsTheExpired: ("theExpiredAreTheSweepers",),
    StaysAnonymous: ("whoIsSignedInStays",),
    TellsNobody: ("evictingIsAChange",),
    GoesOnForever: ("inSlices",),
    StopsEarly: ("inSlices",),
    NeverContent: ("enoughIsEnough",),
    BringsBack: ("thoseWithTheLeastTimeLeftGo", "nothingBringsBackTheEvicted"),
}
"""Each flaw, and the tests that are about it."""


class BrokenEvictingTests(FlawTests, SynchronousTestCase):
    """
    Every flaw is caught, at the tests that are about it.
    """

    caught = CAUGHT
