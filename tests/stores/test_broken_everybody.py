"""
The contract suite catches stores that are broken in what concerns the end of everybody.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.flaws import FlawTests
from tests.stores.test_broken_principals import SilentEnd
from txsessions.core.record import PREFIX_BYTES
from txsessions.stores import MemoryStore
from txsessions.stores._memory_principals import Principals


class _OwnOnly(MemoryStore):
    """
    Some of its verbs know of the ends of single principals only.
    """

    def _unseeing(self, verb, *args, **kwargs):
        """
        Run a verb without the epochs of prefixes.
        """
        principals = self._principals
        everybody, principals._everybody = principals._everybody, {}
        try:
            return verb(*args, **kwargs)
        finally:
            principals._everybody = everybody


class LoadsEverybody(_OwnOnly):
    """
    Hands them out.
    """

    def load(self, key, now, known=None):
        """
        Looks at one epoch.
        """
        return self._unseeing(super().load, key, now, known)


class KnowsEverybody(_OwnOnly):
    """
    Finds them unchanged, where the version is known.
    """

    def load(self, key, now, known=None):
        """
        Looks at one epoch for the cheap answer.
        """
        if known is None:
            return super().load(key, now)
        return self._unseeing(super().load, key, now, known)


class ReplacesEverybody(_OwnOnly):
    """
    Writes into them.
    """

    def replace(self, *args) -> Deferred[None]:
        """
        Looks at one epoch.
        """
        return self._unseeing(super().replace, *args)


class TouchesEverybody(_OwnOnly):
    """
    Touches them.
    """

    def touch(self, *args) -> Deferred[None]:
        """
        Looks at one epoch.
        """
        return self._unseeing(super().touch, *args)


class RenamesEverybody(MemoryStore):
    """
    Takes a new key for a new sign-in.
    """

    def rename(self, *args) -> Deferred[None]:
        """
        Does not look at epochs, and stamps those of now.
        """
        self._hasEnded = lambda slot: False
        try:
            return super().rename(*args)
        finally:
            del self._hasEnded


class RenamesUnderOneEpoch(_OwnOnly):
    """
    Ends whoever gets a new key after an end of everybody.
    """

    def rename(self, *args) -> Deferred[None]:
        """
        Stamps one epoch of the two.
        """
        return self._unseeing(super().rename, *args)


class CountsEverybody(_OwnOnly):
    """
    Counts what nobody finds any more.
    """

    def countSessions(self, now) -> Deferred[int]:
        """
        Looks at one epoch.
        """
        return self._unseeing(super().countSessions, now)


class ListsEverybody(_OwnOnly):
    """
    Shows them.
    """

    def sessionsOf(self, *args):
        """
        Looks at one epoch.
        """
        return self._unseeing(super().sessionsOf, *args)


class LimitedByEverybody(_OwnOnly):
    """
    Refuses a sign-in because of sessions that have ended.
    """

    def _admit(self, *args) -> None:
        """
        Looks at one epoch.
        """
        self._unseeing(super()._admit, *args)


class CountsThemTwice(_OwnOnly):
    """
    Ends one by one what everybody's end has ended already.
    """

    def endPrincipal(self, *args) -> Deferred[int]:
        """
        Looks at one epoch.
        """
        return self._unseeing(super().endPrincipal, *args)


class EndsNothing(MemoryStore):
    """
    Says so, and forgets to.
    """

    def endEverybody(self, prefix) -> Deferred[None]:
        """
        Does nothing.
        """
        return succeed(None)


class EndsOneOfThem(MemoryStore):
    """
    Ends one principal.
    """

    def endEverybody(self, prefix) -> Deferred[None]:
        """
        Stops after the first.
        """
        for principal in self._principals._keys:
            if principal.startswith(prefix):
                self._principals.raiseEpoch(principal)
                break
        self._unnamed += 1
        return succeed(None)


class EndsEveryStore(MemoryStore):
    """
    Ends those of other sites, too.
    """

    def endEverybody(self, prefix) -> Deferred[None]:
        """
        Looks at no prefix.
        """
        for principal in self._principals._keys:
            self._principals.raiseEpoch(principal)
        self._unnamed += 1
        return succeed(None)


class EndsVisitors(MemoryStore):
    """
    Ends those who are nobody's, too.
    """

    def endEverybody(self, prefix) -> Deferred[None]:
        """
        Drops them.
        """
        slots = self._slots.items()
        nobodys = [k for k, s in slots if s.record and s.record.principal is None]
        self._dropUnnamed(nobodys)
        return super().endEverybody(prefix)


class DeletesEverybody(MemoryStore):
    """
    Has no epoch for it, but deletes one by one.
    """

    def endEverybody(self, prefix) -> Deferred[None]:
        """
        Deletes in one go: only that the records are gone at once can be told.
        """
        for principal in list(self._principals._keys):
            if principal.startswith(prefix):
                self._dropUnnamed(self._principals.keysOf(principal))
        self._unnamed += 1
        return succeed(None)


class EndsOnce(MemoryStore):
    """
    Ends everybody the first time.
    """

    def endEverybody(self, prefix) -> Deferred[None]:
        """
        Puts a mark, which is there afterwards.
        """
        self._principals._everybody[prefix] = 1
        self._unnamed += 1
        return succeed(None)


class StampsOneEpoch(_OwnOnly):
    """
    Whoever signs in after an end of everybody has ended already.
    """

    def _put(self, key, slot) -> None:
        """
        Stamps one epoch of the two.
        """
        self._unseeing(super()._put, key, slot)


class SparesForEver(MemoryStore):
    """
    Spares the session that was to stay once also from everybody's end.
    """

    def endPrincipal(self, principal, now, but=None) -> Deferred[int]:
        """
        Stamps it with more than the new epoch.
        """
        ended = super().endPrincipal(principal, now, but)
        if but in self._slots:
            self._slots[but].epoch += 1
        return ended


class _Greatest(Principals):
    """
    The greater of the two epochs, where each counts for itself.
    """

    def epochOf(self, record) -> int:
        """
        So a rise of the lesser one is not seen.
        """
        if record.principal is None:
            return 0
        everybody = self._everybody.get(record.principal[:PREFIX_BYTES], 0)
        return max(self._epochs.get(record.principal, 0), everybody)


class TakesTheGreater(MemoryStore):
    """
    Compares with one number that is not the sum.
    """

    def __init__(self) -> None:
        super().__init__()
        self._principals = _Greatest()


class ForgetsWithARename(MemoryStore):
    """
    Takes a session that gets another key for the last one that there was.
    """

    def rename(self, oldKey, record, *args):
        """
        Forgets the number, last.
        """
        prefix = (record.principal or b"")[:PREFIX_BYTES]
        renamed = super().rename(oldKey, record, *args)
        return renamed.addCallback(
            lambda _: self._principals._everybody.pop(prefix, None)
        )


class ForgetsByTheClock(MemoryStore):
    """
    Lets a sweep forget the number when what it ended is past its deadline.
    """

    def claimExpired(self, now, limit, lease):
        """
        Forgets, though other clocks are slower, and others have signed in.
        """
        claimed = super().claimExpired(now, limit, lease)
        self._principals._everybody.clear()
        return claimed


class ErasesItsEpoch(MemoryStore):
    """
    Forgets with one principal what ended all.
    """

    def erasePrincipal(self, principal) -> Deferred[int]:
        """
        Forgets too much.
        """
        self._principals._everybody.pop(principal[:PREFIX_BYTES], None)
        return super().erasePrincipal(principal)


CAUGHT = {
    LoadsEverybody: ("endEverybody", "nothingBringsBackEverybody"),
    KnowsEverybody: ("endEverybody", "endingEverybodyIsAChange"),
    ReplacesEverybody: ("endEverybody",),
    TouchesEverybody: ("endEverybody",),
    RenamesEverybody: ("endEverybody", "nothingBringsBackEverybody"),
    RenamesUnderOneEpoch: ("signInAfterTheEndOfEverybody",),
    CountsEverybody: ("endEverybody", "whoSignsInWhileEverybodyEnds"),
    ListsEverybody: ("endEverybody", "nothingBringsBackEverybody"),
    LimitedByEverybody: ("everybodysEndMakesRoom",),
    CountsThemTwice: ("endEverybody",),
    EndsNothing: ("endEverybody", "whoSignsInWhileEverybodyEnds"),
    EndsOneOfThem: ("endEverybody",),
    EndsEveryStore: ("endEverybody", "hostilePrefixesAreOnlyPrefixes"),
    EndsVisitors: ("endEverybody",),
    DeletesEverybody: ("everybodyKeepsTheirKeys",),
    SilentEnd: ("endingEverybodyIsAChange",),
    EndsOnce: ("endEverybody", "signInAfterTheEndOfEverybody"),
    StampsOneEpoch: ("signInAfterTheEndOfEverybody", "whoSignsInWhileEverybodyEnds"),
    SparesForEver: ("whoWasSparedOnce",),
    TakesTheGreater: ("signInAfterTheEndOfEverybody",),
    ForgetsWithARename: ("everybodysEndOutlivesAllSessions",),
    ForgetsByTheClock: ("everybodysEndIsNotForgotten",),
    ErasesItsEpoch: ("everybodysEndIsNotForgotten",),
}
"""Each flaw, and the tests that are about it."""


class BrokenEverybodyTests(FlawTests, SynchronousTestCase):
    """
    Every flaw is caught, at the tests that are about it.
    """

    caught = CAUGHT
    unflawed = (MemoryStore, _OwnOnly)
