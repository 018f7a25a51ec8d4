"""
New ids in time, and who comes with an old one.

Owns when a session gets a new uid without a sign-in, where an old uid leads then, and
how a session that is live here follows one that another process has given it.  Knows
no HTTP.

Theory of operation.  The state of a session tells of its renewals (see
L{txsessions.core.renewal}), as an attribute among others, so that a site which has no
renewal keeps and compares nothing.  Until somebody has come with the new uid the client
may not have heard of it: whoever comes with the old one is I{led}, and given the new
one too.  Then the old one I{reads}, for the grace; and after that its use is told, for
one of the two who have had it is not the visitor.  Where the way to the session is not
one of renewals alone, somebody has signed in or rotated the id on purpose, and the old
one is dead.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.core.codec import decodeValue
from txsessions.core.renewal import NONCE_BYTES, Renewal, Trail, readTrail
from txsessions.core.state import ATTRIBUTE, State, partName
from txsessions.core.uid import storeKeyOf
from txsessions.errors import RecordDamaged
from txsessions.live import tokens
from txsessions.live.adopting import adopt
from txsessions.live.events import EventKind
from txsessions.live.phases import ENDED
from txsessions.live.rotating import TRAIL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from txsessions.core.record import Record
    from txsessions.live.entry import Entry
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable
    from txsessions.live.waiting import Waiter

MAX_TOLD = 10_000
"""Of how many old uids is remembered that their use was told."""

_PART = partName(ATTRIBUTE, TRAIL.encode("utf-8"))


class Verdict(enum.Enum):
    """
    What an old uid is good for.
    """

    DEAD = "dead"
    """Nothing: the session is somebody else's now."""

    UNKNOWN = "unknown"
    """Nothing, and as little as one that never was."""

    LED = "led"
    """All, and for being told the new one."""

    READS = "reads"
    """Reading."""


class Renewing:
    """
    The renewals of one live table.

    @ivar rule: What the site has said.
    """

    def __init__(self, table: LiveTable, rule: Renewal) -> None:
        self.rule = rule
        self._table = table
        self._became: dict[bytes, bytes] = {}
        self._told: dict[bytes, float] = {}

    # -- new uids

    def isRenewed(self, session: Session) -> bool:
        """
        Whether a session has a new uid that nobody has come with.
        """
        trail = trailOf(session)
        return trail is not None and bool(trail.steps) and not trail.isConfirmed

    def mayRenew(self, session: Session) -> bool:
        """
        Whether it is time to give a stored session a new uid, and nothing is under way
        that needs the one that it has.
        """
        table, entry, trail = self._table, session._entry, trailOf(session)
        if trail is not None and not trail.isConfirmed:
            return False
        since = session._createdAt if trail is None else trail.renewedAt
        return (
            table.seconds() - since >= self.rule.interval
            and entry is not None
            and entry.storedKey == entry.key
            and not table.transactions.isUnderWay(session._uid)
        )

    def renew(self, session: Session) -> None:
        """
        Give a session a new uid.  Whoever settles it next saves that.

        @raise SessionUnavailable: There is no chance to be had.
        """
        table, old, entry = self._table, session._uid, session._entry
        nonce = tokens.drawChance(session, NONCE_BYTES)
        now, steps = table.seconds(), self.rule.steps
        uid, trail = table.rotated.chain.extend(
            trailOf(session), old, nonce, now, steps
        )
        tokens.keepSecret(session)
        session.__dict__[TRAIL] = trail.kept
        table.rekey(session, uid)
        self._note(old, uid)
        table.rotated.note(old, now)
        if entry is not None:
            entry.movedFrom = (old, True)

    def _note(self, old: bytes, new: bytes) -> None:
        """
        Remember what an old uid became, for as long as it is known that it is one.
        """
        at = self._table.rotated.at
        if len(self._became) > 2 * len(at) + 1:
            self._became = {k: v for k, v in self._became.items() if k in at}
        self._became[old] = new

    def arrived(self, session: Session) -> None:
        """
        Somebody has come with the uid that a session has.
        """
        trail = trailOf(session)
        if trail is not None and not trail.isConfirmed:
            session.__dict__[TRAIL] = trail._replace(isConfirmed=True).kept
            self._outrun(session, trail)

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

    # -- old uids

    def find(
        self, uid: bytes, address: str | None = None
    ) -> Deferred[tuple[Verdict, Session | None]]:
        """
        Find out what an old uid is good for, of which is known that it was rotated
        away, and for which session.

        @param address: Where it came from, if that may be told.
        @return: Fails with a C{StoreError} if the store does not answer.
        """
        return Deferred.fromCoroutine(self._find(uid, address))

    async def _find(
        self, uid: bytes, address: str | None
    ) -> tuple[Verdict, Session | None]:
        """
        See L{find}.
        """
        table = self._table
        none = Verdict.UNKNOWN if uid in table.rotated.elsewhere else Verdict.DEAD
        new = self._became.get(uid)
        session = None if new is None else await table.loader.fetch(new)
        if session is None:
            # It may have gone on from there, or another process was faster.
            key = storeKeyOf(table.siteName, uid)
            record = await table.store.follow(key, table.seconds())
            if record is None:
                return none, None
            new = self._reached(record, uid)
            session = None if new is None else await table.loader.fetch(new)
        trail = None if session is None else trailOf(session)
        if session is None or trail is None:
            # It leads on by another way than this, and not for longer than a minute.
            return Verdict.DEAD, None
        steps = self._stepsFrom(uid, session, trail)
        if steps == 1 and not trail.isConfirmed:
            return Verdict.LED, session
        if steps == 1 and table.seconds() - trail.renewedAt < self.rule.grace:
            return Verdict.READS, session
        if not steps:
            return Verdict.DEAD, None
        await self._replayed(uid, session, address)
        return Verdict.UNKNOWN, None

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

    async def _replayed(
        self, uid: bytes, session: Session, address: str | None
    ) -> None:
        """
        Somebody has come with a uid whose time is over, while another goes on with
        the session.
        """
        table, told, now = self._table, self._told, self._table.seconds()
        key = storeKeyOf(table.siteName, uid)
        if told.get(key, 0.0) + self.rule.watch <= now:
            told.pop(key, None)
            told[key] = now
            if len(told) > MAX_TOLD:
                del told[next(iter(told))]
            table.announcer.tell(
                EventKind.REPLAYED,
                table.tagOf(session._uid),
                now,
                createdAt=session._createdAt,
                touchedAt=session.lastModified,
                signIn=session._signIn,
                address=address,
            )
        if self.rule.ends:
            # What cannot be told to the store now is tried again.
            _ = await session._end("replayed").addErrback(lambda _: None)

    # -- sessions that another process has renewed

    def pursue(
        self, entry: Entry, key: bytes | None, waiters: Sequence[Waiter] = ()
    ) -> None:
        """
        The store does not have a live session any more under a key.  If another
        process has renewed it, it goes on under the new one, and what is to be saved
        is saved there; else it has ended.

        @param waiters: Who waits for that.
        """
        self._table.writes.oneBegan()
        done = Deferred.fromCoroutine(self._pursue(entry, key))
        _ = done.addBoth(self._pursued, entry, list(waiters))

    async def _pursue(self, entry: Entry, key: bytes | None) -> bool:
        """
        Look where it is.

        @return: Whether it goes on, or has been dealt with meanwhile.
        """
        table = self._table
        if key is None or _isElsewhere(entry, key):
            return True
        record = await table.store.follow(key, table.seconds())
        if _isElsewhere(entry, key):
            return True
        uid = None if record is None else self._reached(record, _storedUid(entry))
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
        if isinstance(answer, Failure):
            table.broken(answer, entry)
            if entry.session._phase < ENDED:
                entry.drop()
            for waiter in waiters:
                waiter.saveFailed(answer)
        elif answer:
            entry.resettle(waiters)
        else:
            if entry.session._phase < ENDED:
                entry.endedElsewhere()
            for waiter in waiters:
                waiter.sessionGone()
        table.writes.oneEnded()

    def adopted(self, record: Record, state: State, uid: bytes) -> Entry | None:
        """
        Find the session of a record in memory, if it lives there under a uid that it
        had before.
        """
        trail = _trailIn(state.parts)
        for step in () if trail is None else trail.steps:
            entry = self._table.byKey.get(step.formerKey)
            if entry is not None and entry.session._phase < ENDED:
                return entry if self.move(entry, record, uid) else None
        return None

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
        table.rotated.noteElsewhere(old, table.seconds())
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


__all__ = ["MAX_TOLD", "Renewing", "Verdict", "trailOf"]
