"""
The contract suite catches stores that let in too many of one principal, or too few.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.flaws import FlawTests
from txsessions.core.record import SignInLimit
from txsessions.errors import SessionGone
from txsessions.stores import MemoryStore


class OneTooMany(MemoryStore):
    """
    Compares with C{<} where C{<=} belongs.
    """

    def _admit(self, record, now, limit) -> None:
        """
        Lets in one more.
        """
        if limit is not None:
            limit = evolve(limit, most=limit.most + 1)
        super()._admit(record, now, limit)


class OneTooFew(MemoryStore):
    """
    Counts the newcomer twice.
    """

    def _admit(self, record, now, limit) -> None:
        """
        Lets in one less.
        """
        if limit is not None:
            limit = evolve(limit, most=limit.most - 1)
        super()._admit(record, now, limit)


class LimitsTheSignedIn(MemoryStore):
    """
    Takes each new key for a sign-in.
    """

    def rename(
        self, oldKey, record, expected, now, limit=None, *args
    ) -> Deferred[None]:
        """
        Makes room before it has looked.
        """
        self._admit(record, now, limit)
        return super().rename(oldKey, record, expected, now, limit, *args)


class EvictsFirst(MemoryStore):
    """
    Makes room for whom it then cannot let in.
    """

    def insert(self, record, now, limit=None) -> Deferred[None]:
        """
        Looks at the key last.
        """
        if limit is not None and not limit.refuses:
            self._admit(record, now, limit)
        return super().insert(record, now, limit)


class EvictsTheYoungest(MemoryStore):
    """
    Sorts the wrong way.
    """

    def _admit(self, record, now, limit) -> None:
        """
        Deletes the youngest.
        """
        if record.principal is None or limit is None or limit.refuses:
            super()._admit(record, now, limit)
            return
        alive = self._aliveOf(record.principal, now)
        alive.sort(key=lambda each: (each.createdAt, each.handle), reverse=True)
        surplus = max(0, len(alive) + 1 - limit.most)
        self._dropUnnamed([each.key for each in alive[:surplus]])


class LimitsAlone(MemoryStore):
    """
    Counts all records of the index, alive or not.
    """

    def _aliveOf(self, principal, now):
        """
        Does not look at the records.
        """
        slots = [self._slots[key] for key in self._principals.keysOf(principal)]
        return [slot.record for slot in slots]


class TellsWho(MemoryStore):
    """
    Says in an error who it is that has too many.
    """

    def _admit(self, record, now, limit: SignInLimit | None) -> None:
        """
        Puts the principal into the error.
        """
        try:
            super()._admit(record, now, limit)
        except Exception as error:
            error.args = (f"{error} {record.principal.hex()}",)
            raise


class GoneWithoutReason(MemoryStore):
    """
    Calls a refusal gone.
    """

    def insert(self, record, now, limit=None) -> Deferred[None]:
        """
        Has one error for all.
        """
        inserted = super().insert(record, now, limit)
        if limit is not None and limit.refuses:
            return inserted.addErrback(lambda _: fail(SessionGone(record.tag)))
        return inserted


CAUGHT = {
    OneTooMany: ("theLimitRefuses", "theOldestMakeRoom", "manyAtOnceKeepTheLimit"),
    OneTooFew: ("theLimitRefuses", "theOldestMakeRoom", "manyAtOnceKeepTheLimit"),
    LimitsTheSignedIn: ("onlySignInsAreLimited", "whoCannotSignInEvictsNobody"),
    EvictsFirst: ("whoCannotSignInEvictsNobody",),
    EvictsTheYoungest: ("theOldestMakeRoom", "aLowerLimit"),
    LimitsAlone: ("onlyTheLivingCount", "endPrincipal"),
    TellsWho: ("theLimitRefuses",),
    GoneWithoutReason: ("theLimitRefuses",),
}
"""Each flaw, and the tests that are about it."""


class BrokenLimitTests(FlawTests, SynchronousTestCase):
    """
    Every flaw is caught, at the tests that are about it.
    """

    caught = CAUGHT
