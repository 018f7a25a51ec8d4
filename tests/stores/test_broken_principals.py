"""
The contract suite catches stores that are broken in what concerns principals: those who
signed out everywhere and are still there, and those who are found no more.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.flaws import FlawTests
from txsessions.core.record import UNCHANGED, Record
from txsessions.stores import MemoryStore
from txsessions.stores._memory_principals import Principals


class KnownThoughEnded(MemoryStore):
    """
    Looks at the version and the deadline, and not at the epoch.
    """

    def load(self, key, now, known=None):
        """
        Calls an ended session unchanged.
        """
        slot = self._slots.get(key)
        record = None if slot is None or slot.expiresAt <= now else slot.record
        if known is not None and record is not None and record.version == known:
            return succeed(UNCHANGED)
        return super().load(key, now, known)


class LoadsTheEnded(MemoryStore):
    """
    Writes nothing into them, but hands them out.
    """

    def load(self, key, now, known=None):
        """
        Does not know of epochs.
        """
        slot = self._slots.get(key)
        if slot is not None and slot.record is not None and slot.expiresAt > now:
            return succeed(UNCHANGED if slot.record.version == known else slot.record)
        return super().load(key, now, known)


class _Blind(MemoryStore):
    """
    Some of its verbs do not see that a session has ended.
    """

    def _unseeing(self, verb, *args):
        """
        Run a verb without epochs; what it makes of a session is alive.
        """
        self._hasEnded = lambda slot: False
        try:
            return verb(*args)
        finally:
            del self._hasEnded


class ReplacesTheEnded(_Blind):
    """
    Writes into them.
    """

    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        Looks at the version only.
        """
        return self._unseeing(super().replace, record, expected, now)


class TouchesTheEnded(_Blind):
    """
    Touches them.
    """

    def touch(self, key, touchedAt, expiresAt, now) -> Deferred[None]:
        """
        Looks at the deadline only.
        """
        return self._unseeing(super().touch, key, touchedAt, expiresAt, now)


class RenamesTheEnded(_Blind):
    """
    Takes a new key for a new sign-in.
    """

    def rename(self, *args) -> Deferred[None]:
        """
        Stamps the epoch of now.
        """
        return self._unseeing(super().rename, *args)


class CountsTheEnded(_Blind):
    """
    Counts what nobody finds any more.
    """

    def countSessions(self, now) -> Deferred[int]:
        """
        Looks at the deadline only.
        """
        return self._unseeing(super().countSessions, now)


class ListsTheEnded(_Blind):
    """
    Shows them to whoever has just ended them.
    """

    def sessionsOf(self, *args):
        """
        Reads the index only.
        """
        return self._unseeing(super().sessionsOf, *args)


class ReusesTheEnded(MemoryStore):
    """
    Takes an ended session for none.
    """

    def insert(self, record, now, limit=None) -> Deferred[None]:
        """
        Writes over it.
        """
        slot = self._slots.get(record.key)
        if slot is not None and self._hasEnded(slot):
            self._drop(record.key)
        return super().insert(record, now, limit)


class EndsWhatAReplicaHas(MemoryStore):
    """
    Ends sessions one by one, those that were there a call ago.
    """

    def __init__(self) -> None:
        super().__init__()
        self._replica: set[bytes] = set()

    def _admit(self, *args) -> None:
        """
        A sign-in: the replica will hear of it later.
        """
        self._replica = set(self._slots)
        super()._admit(*args)

    def endPrincipal(self, principal, now, but=None) -> Deferred[int]:
        """
        Does not see who signs in meanwhile.
        """
        keys = [record.key for record in self._aliveOf(principal, now)]
        keys = [key for key in keys if key in self._replica and key != but]
        self._dropUnnamed(keys)
        return succeed(len(keys))


class EndsByDeleting(MemoryStore):
    """
    Has no epochs, but deletes one by one.
    """

    def endPrincipal(self, principal, now, but=None) -> Deferred[int]:
        """
        Deletes in one go: only that the records are gone at once can be told.
        """
        keys = [record.key for record in self._aliveOf(principal, now)]
        self._dropUnnamed([key for key in keys if key != but])
        return succeed(len(keys) - (but in keys))


class EndsNothingAtAll(MemoryStore):
    """
    Counts, and forgets to end.
    """

    def endPrincipal(self, principal, now, but=None) -> Deferred[int]:
        """
        Counts.
        """
        keys = [record.key for record in self._aliveOf(principal, now)]
        return succeed(len(keys) - (but in keys))


class SparesNobody(MemoryStore):
    """
    Ends also the session that is to stay.
    """

    def endPrincipal(self, principal, now, but=None) -> Deferred[int]:
        """
        Stamps nothing.
        """
        return super().endPrincipal(principal, now)


class SparesAnybody(MemoryStore):
    """
    Wakes the session that is to stay.
    """

    def endPrincipal(self, principal, now, but=None) -> Deferred[int]:
        """
        Stamps what it finds, dead or alive.
        """
        ended = super().endPrincipal(principal, now, but)
        slot = self._slots.get(but)
        if slot is not None and slot.record is not None:
            slot.epoch = self._principals.epochOf(slot.record)
        return ended


class SparesForEver(MemoryStore):
    """
    Spares the session that was to stay also the next time.
    """

    def endPrincipal(self, principal, now, but=None) -> Deferred[int]:
        """
        Stamps it with more than the new epoch.
        """
        ended = super().endPrincipal(principal, now, but)
        if but in self._slots:
            self._slots[but].epoch += 1
        return ended


class StampsNothing(MemoryStore):
    """
    Whoever signs in after an end has ended already.
    """

    def _put(self, key, slot) -> None:
        """
        Leaves the epoch at 0.
        """
        super()._put(key, slot)
        slot.epoch = 0


class StampsTooMuch(MemoryStore):
    """
    Whoever signs in outlives the next end.
    """

    def _put(self, key, slot) -> None:
        """
        Stamps the epoch that comes next.
        """
        super()._put(key, slot)
        slot.epoch += 1


class _Forgetful(Principals):
    """
    An index that keeps the deleted.
    """

    def remove(self, record: Record) -> None:
        """
        Does nothing.
        """


class IndexKeepsTheDeleted(MemoryStore):
    """
    Deletes the record and leaves its entry.
    """

    def __init__(self) -> None:
        super().__init__()
        self._principals = _Forgetful()

    def _aliveOf(self, principal, now):
        """
        Passes over entries without a record, so that nobody notices.
        """
        keys = self._principals.keysOf(principal)
        slots = [self._slots[key] for key in keys if key in self._slots]
        return [slot.record for slot in slots if self._isAlive(slot, now)]


class IndexLacksTheRenamed(MemoryStore):
    """
    Forgets a session that gets a new key.
    """

    def rename(self, oldKey, record, *args) -> Deferred[None]:
        """
        Takes the entry away, last.
        """
        renamed = super().rename(oldKey, record, *args)

        def forget(_):
            self._principals._keys.pop(record.principal, None)

        return renamed.addCallback(forget)


class RenameLosesTheHandle(MemoryStore):
    """
    Gives a session another name with its new key.
    """

    def rename(self, oldKey, record, *args) -> Deferred[None]:
        """
        Draws a new handle.
        """
        if record.handle is not None:
            record = evolve(record, handle=record.key[:16])
        return super().rename(oldKey, record, *args)


class ReplaceSignsIn(MemoryStore):
    """
    Believes what a record says of its principal.
    """

    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        Writes the record as it is given, and its entry.
        """
        replaced = super().replace(record, expected, now)

        def write(_):
            self._set(record.key, record)
            self._principals.add(record)

        return replaced.addCallback(write)


class _Lasting(Principals):
    """
    Epochs that are never forgotten.
    """

    def remove(self, record: Record) -> None:
        """
        Keeps the epoch.
        """
        epoch = self._epochs.get(record.principal)
        super().remove(record)
        if epoch is not None:
            self._epochs[record.principal] = epoch


class EraseLeavesTheEpoch(MemoryStore):
    """
    Never forgets a principal.
    """

    def __init__(self) -> None:
        super().__init__()
        self._principals = _Lasting()


class EraseLeavesTheDead(MemoryStore):
    """
    Erases the living.
    """

    def erasePrincipal(self, principal) -> Deferred[int]:
        """
        Leaves the ended, and those that a sweeper has.
        """
        slots = [self._slots[key] for key in self._principals.keysOf(principal)]
        keys = [
            slot.record.key
            for slot in slots
            if not self._hasEnded(slot) and not slot.claimed
        ]
        self._dropUnnamed(keys)
        return succeed(len(keys))


class EpochForgottenByTheClock(MemoryStore):
    """
    Lets a sweep forget an epoch when the last that it ended is past its deadline.
    """

    def claimExpired(self, now, limit, lease) -> Deferred[list[Record]]:
        """
        Forgets, though other clocks are slower, and others have signed in.
        """
        claimed = super().claimExpired(now, limit, lease)
        for slot in self._slots.values():
            if slot.record is not None and slot.expiresAt <= now:
                self._principals._epochs.pop(slot.record.principal, None)
        return claimed


class EndsAnybodysSession(MemoryStore):
    """
    Finds a session by its handle alone.
    """

    def endSession(self, principal, handle, now) -> Deferred[bool]:
        """
        Does not look whose it is.
        """
        for key, slot in list(self._slots.items()):
            if slot.record is not None and slot.record.handle == handle:
                wasAlive = self._isAlive(slot, now)
                self._dropUnnamed([key])
                return succeed(wasAlive)
        return succeed(False)


class SilentEnd(MemoryStore):
    """
    Ends what nobody named, and tells nobody.
    """

    def changes(self) -> int:
        """
        Has not noticed.
        """
        return 0


class PagesSkip(MemoryStore):
    """
    Loses a session at each page's edge.
    """

    def sessionsOf(self, *args):
        """
        Leaves out the first of each page but the first.
        """
        page = super().sessionsOf(*args)
        if len(args) > 2 and args[2] is not None:
            return page.addCallback(lambda found: (found[0][1:], found[1]))
        return page


CAUGHT = {
    KnownThoughEnded: ("endPrincipal", "endAllBut", "signInAfterTheEnd"),
    LoadsTheEnded: ("endPrincipal", "endAllBut", "nothingBringsBackWhatIsBeingEnded"),
    ReplacesTheEnded: ("endPrincipal", "signInAfterTheEnd"),
    TouchesTheEnded: ("endPrincipal", "signInAfterTheEnd"),
    RenamesTheEnded: ("endPrincipal", "aRenameIsNoSignIn"),
    CountsTheEnded: ("endPrincipal", "nothingBringsBackWhatIsBeingEnded"),
    ListsTheEnded: ("endPrincipal", "whoSignsInWhileAllEnd"),
    ReusesTheEnded: ("theEndedKeepTheirKeys",),
    EndsWhatAReplicaHas: ("whoSignsInWhileAllEnd",),
    EndsByDeleting: ("theEndedKeepTheirKeys",),
    EndsNothingAtAll: ("endPrincipal", "nothingBringsBackWhatIsBeingEnded"),
    SparesNobody: ("endAllBut",),
    SparesAnybody: ("endAllButOneThatCannotStay",),
    SparesForEver: ("endAllBut",),
    StampsNothing: ("signInAfterTheEnd", "theEpochStaysWithTheLiving"),
    StampsTooMuch: ("endPrincipal", "whoSignsInWhileAllEnd"),
    IndexKeepsTheDeleted: ("theListFollows", "theListForgetsTheSwept", "endSession"),
    IndexLacksTheRenamed: ("theListFollows", "renameSignsIn", "aRenameIsNoSignIn"),
    RenameLosesTheHandle: ("theListFollows", "endSessionThatIsOver"),
    ReplaceSignsIn: ("replaceChangesNobody",),
    EraseLeavesTheEpoch: ("erasePrincipal", "theEpochGoesInTheEnd"),
    EraseLeavesTheDead: ("erasePrincipal", "eraseTheClaimed"),
    EpochForgottenByTheClock: (
        "theEpochStaysWithTheEnded",
        "theEpochStaysWithTheLiving",
    ),
    EndsAnybodysSession: ("endSession",),
    SilentEnd: ("endingTheUnnamedIsAChange",),
    PagesSkip: ("sessionsOf", "pagesWhileOthersComeAndGo"),
}
"""Each flaw, and the tests that are about it."""


class BrokenPrincipalsTests(FlawTests, SynchronousTestCase):
    """
    Every flaw is caught, at the tests that are about it.
    """

    caught = CAUGHT
    unflawed = (MemoryStore, _Blind)
