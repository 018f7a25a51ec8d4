"""
Sessions that get new uids in time, here or in another process, and the way from one
uid to the next.

Owns what is known of these ways, and how a session that is live here goes on under the
uid that another process has given it.  When a uid is renewed, and what an old one is
good for, is in L{txsessions.live.renewing}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.core.codec import decodeValue
from txsessions.core.recent import Recent
from txsessions.core.record import UNCHANGED, Answer, Record
from txsessions.core.renewal import Trail, readTrail
from txsessions.core.state import ATTRIBUTE, State, partName
from txsessions.core.uid import storeKeyOf
from txsessions.errors import RecordDamaged
from txsessions.interfaces import ROTATION_MARKER
from txsessions.live.adopting import adopt
from txsessions.live.phases import ENDED
from txsessions.live.rotating import TRAIL
from txsessions.live.waiting import GONE, DeferredWaiter, tellAll, tellFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from txsessions.live.entry import Entry
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable
    from txsessions.live.waiting import Waiter

_PART = partName(ATTRIBUTE, TRAIL.encode("utf-8"))


class Following:
    """
    The ways of one live table.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._became: dict[bytes, bytes] = {}
        self._former = Recent(ROTATION_MARKER)
        self._lost: set[Entry] = set()

    def isRenewed(self, session: Session) -> bool:
        """
        Whether a session has a new uid that nobody has come with.
        """
        trail = trailOf(session)
        return trail is not None and bool(trail.steps) and not trail.isConfirmed

    def _note(self, old: bytes, new: bytes) -> None:
        """
        Remember what an old uid became, for as long as it is known that it is one.
        """
        at = self._table.rotated.at
        if len(self._became) > 2 * len(at) + 1:
            self._became = {k: v for k, v in self._became.items() if k in at}
        self._became[old] = new

    def becameOf(self, uid: bytes) -> bytes | None:
        """
        What an old uid became, if that is known here.
        """
        return self._became.get(uid)

    def _outrun(self, session: Session, trail: Trail) -> None:
        """
        The new uid is with the client: no request that came by a former one may hand
        out any more.
        """
        for held in list(session._visits or ()):
            visit = held()
            if visit is not None and self._stepsFrom(visit.cameBy, session, trail):
                visit.outrun, visit.rotatedHere = True, False

    def _stepsFrom(self, uid: bytes | None, session: Session, trail: Trail) -> int:
        """
        How many renewals lead from a uid to the one that a session has; 0 for none.
        """
        table = self._table
        if uid is None:
            return 0
        key = storeKeyOf(table.siteName, session._uid)
        reached = table.rotated.chain.reach(trail, uid, key)
        return 0 if reached is None else reached[1]

    def _reached(self, record: Record, uid: bytes) -> bytes | None:
        """
        What uid of a record's session has become of an old one, by renewals alone.
        """
        table = self._table
        try:
            trail = _trailIn(table.loader.unseal(record).parts)
        except RecordDamaged:
            return None
        if trail is None:
            return None
        reached = table.rotated.chain.reach(trail, uid, record.key)
        return None if reached is None else reached[0]

    # -- what another process has renewed

    def pursue(
        self, entry: Entry, key: bytes | None, waiters: Sequence[Waiter] = ()
    ) -> None:
        """
        The store does not have a live session any more under a key.  If another
        process has renewed it, it goes on under the new one, and what is to be saved
        is saved there; else it has ended.

        @param waiters: Who waits for that.
        """
        self._table.writes.underWay += 1
        self._lost.add(entry)
        done = Deferred.fromCoroutine(self._pursue(entry, key))
        _ = done.addBoth(self._pursued, entry, list(waiters))

    def isLost(self, entry: Entry | None) -> bool:
        """
        Whether it is being looked for: until it is found nobody may have it.
        """
        return entry in self._lost

    async def _pursue(self, entry: Entry, key: bytes | None) -> bool:
        """
        Look where it is.

        @return: Whether it goes on, or has been dealt with meanwhile.
        """
        table = self._table
        if key is None or _isElsewhere(entry, key):
            return True
        record = await table.store.follow(key, table.seconds())
        if record is None:
            # Or else what the store has said was about the key before this one.
            found = await table.store.load(key, table.seconds(), entry.version)
            if found is UNCHANGED or isinstance(found, Record):
                return True
        if _isElsewhere(entry, key):
            return True
        if not isinstance(record, Record):
            return False
        uid = self._reached(record, _storedUid(entry))
        if uid is None or table.byKey.get(record.key, entry) is not entry:
            return False
        return self.move(entry, record, uid)

    def _pursued(
        self, answer: bool | Failure, entry: Entry, waiters: list[Waiter]
    ) -> None:
        """
        It is known, or cannot be.
        """
        table = self._table
        self._lost.discard(entry)
        if isinstance(answer, Failure):
            table.broken(answer, entry)
            if entry.session._phase < ENDED:
                entry.drop()
            tellFailed(waiters, answer)
        elif answer:
            entry.resettle(waiters)
        else:
            if entry.session._phase < ENDED:
                entry.endedElsewhere()
            tellAll(waiters, GONE)
        table.writes.oneEnded()

    def lookFor(self, session: Session, key: bytes) -> Deferred[None]:
        """
        Do what L{pursue} does.

        @return: Fires if it goes on, else fails with C{SessionGone}.
        """
        waiter, entry = DeferredWaiter(), session._entry
        assert entry is not None
        self.pursue(entry, key, [waiter])
        return waiter.done

    def successorOf(self, key: bytes) -> Deferred[bytes | None]:
        """
        Find out under which store key a session is that had another one.

        @return: Fires with L{None} if it was not by renewals alone that it got that.
        """
        found: Deferred[Record | Answer | None] = self._table.store.follow(
            key, self._table.seconds()
        )
        return found.addCallback(self._successor, key)

    def _successor(self, record: Record | Answer | None, key: bytes) -> bytes | None:
        """
        See L{successorOf}.
        """
        if not isinstance(record, Record):
            return None
        try:
            trail = _trailIn(self._table.loader.unseal(record).parts)
        except RecordDamaged:
            return None
        steps = () if trail is None else trail.steps
        return record.key if any(step.formerKey == key for step in steps) else None

    def adopted(self, record: Record, state: State, uid: bytes) -> Entry | None:
        """
        Find the session of a record in memory, if it lives there under a uid that it
        had before.
        """
        trail, now = _trailIn(state.parts), self._table.seconds()
        steps = () if trail is None else trail.steps
        for step in steps:
            entry = self._table.byKey.get(step.formerKey)
            if entry is not None and entry.session._phase < ENDED:
                return entry if self.move(entry, record, uid) else None
        for step in steps:
            self._former.note(step.formerKey, now)
        return None

    def isOutdated(self, record: Record, uid: bytes) -> bool:
        """
        Whether this is an answer of the store from before a renewal of which a later
        one has told: two questions need not be answered in their order.  Then the uid
        is an old one.
        """
        now = self._table.seconds()
        isFormer = self._former.has(record.key, now)
        if isFormer:
            self._table.rotated.note(uid, now)
        return isFormer

    def move(self, entry: Entry, record: Record, uid: bytes) -> bool:
        """
        Have a live session go on under the uid that another process has given it.

        @param record: What the store has of it now.
        @return: Whether it does: one that was about to get another uid here, because
            somebody signs in, still does, unless the client has the new one.
        @raise RecordDamaged: It cannot be used.
        """
        table, session, old = self._table, entry.session, _storedUid(entry)
        isOurs = entry.movedFrom is not None and not self.isRenewed(session)
        theirs = _trailIn(table.loader.unseal(record).parts)
        if isOurs and (theirs is None or theirs.isConfirmed):
            return False
        self._note(old, uid)
        table.rotated.note(old, table.seconds())
        table.noteStored(entry, record.key)
        if not isOurs:
            # What is said of renewals is theirs, whatever was about to be said here.
            base = _trailIn(entry.parts)
            session.__dict__.pop(TRAIL, None)
            if base is not None:
                session.__dict__[TRAIL] = base.kept
            table.rekey(session, uid)
            table.noteStored(entry, record.key)
            entry.movedFrom = None
        adopt(entry, record)
        trail = trailOf(session)
        if not isOurs and trail is not None and trail.isConfirmed:
            self._outrun(session, trail)
        return True


def _isElsewhere(entry: Entry, key: bytes) -> bool:
    """
    Whether a session is not to be looked for under a key: it has ended, or was found.
    """
    return entry.session._phase >= ENDED or entry.storedKey != key


def _storedUid(entry: Entry) -> bytes:
    """
    Under which uid the store has a session, or had when it was last asked.
    """
    uid, _ = entry.movedFrom or (entry.session._uid, True)
    return uid


def trailOf(session: Session) -> Trail | None:
    """
    What a live session says of its renewals.
    """
    return readTrail(session.__dict__.get(TRAIL))


def _trailIn(parts: Mapping[bytes, bytes]) -> Trail | None:
    """
    What a stored state says of them.
    """
    part = parts.get(_PART)
    try:
        return None if part is None else readTrail(decodeValue(part))
    except ValueError:
        return None


__all__ = ["Following", "trailOf"]
