"""
How one live session is saved.

Owns what the store has acknowledged of a session, the one write of it that may
be under way, and who waits for that write.  Knows no HTTP and no engine.

Theory of operation.  Nobody says that a session has changed: L{Entry.settle}
encodes its parts and compares them with what the store acknowledged.  If they
differ, one write starts; whoever settles meanwhile joins it if it carries the
state that he sees, else waits for the next one.  A conflict is merged and
written again, a session that is gone is ended here too, and any other failure
drops the live object, since what the store has is then unknown: the next
request loads it afresh.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.core.lifetime import lifetimeOf, storedDeadline, touchInterval
from txsessions.core.merge import mergeParts
from txsessions.core.record import Record, tagOf
from txsessions.core.settle import DECISIONS, Need
from txsessions.core.state import State, packState
from txsessions.errors import (
    SessionConflict,
    SessionError,
    SessionExists,
    SessionGone,
    SessionStale,
)
from txsessions.live import applying, gathering
from txsessions.live.deadlines import deadlinesOf
from txsessions.live.ending import Ending
from txsessions.live.events import EventKind
from txsessions.live.flight import Flight
from txsessions.live.session import ENDED, NEW, STALE, STORED
from txsessions.live.session import Session as _OurSession
from txsessions.live.waiting import Waiter

if TYPE_CHECKING:
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

MAX_TRIES = 16
"""How often a write that conflicts is merged and tried again."""


_NO_SCHEME = (False, b"")
_NOTHING: dict[bytes, bytes] = {}
_constructed: dict[type, dict[bytes, bytes] | None] = {}


class Entry:
    """
    A live session's account with its store.

    @ivar key: The store key that it is to have.
    @ivar storedKey: The one under which the store has it, or L{None}.
    @ivar version: The version that the store acknowledged; 0 for none.
    @ivar parts: The parts that the store acknowledged.
    @ivar storedTerms: The terms that the store acknowledged.
    @ivar touchedAt: The last touch that the store was told of.
    @ivar flight: The write under way.
    @ivar again: Who waits for the one after it.
    @ivar seen: What C{store.changes()} said when the session was last known to
        be as the store has it.
    @ivar pinned: Whether it holds what cannot be kept.
    @ivar constructed: The parts as its class made them, or L{None} where that
        is different each time.
    """

    __slots__ = (
        "_due",
        "_given",
        "_queuedFor",
        "_terms",
        "_touchInterval",
        "again",
        "constructed",
        "ending",
        "flight",
        "key",
        "parts",
        "pinned",
        "seen",
        "session",
        "storedKey",
        "storedTerms",
        "table",
        "touchedAt",
        "version",
    )

    def __init__(self, table: LiveTable, session: Session, key: bytes) -> None:
        self.table = table
        self.session = session
        self.key = key
        self.storedKey: bytes | None = None
        self.version = 0
        self.parts: dict[bytes, bytes] = {}
        self.storedTerms: tuple[Any, ...] = ()
        self.touchedAt = session.lastModified
        self.flight: Flight | None = None
        self.again: list[Waiter] = []
        self.seen: int | None = None
        self.pinned = False
        self.constructed: dict[bytes, bytes] | None = _NOTHING
        self.ending = Ending()
        self._given: tuple[Any, ...] = ()
        self._terms: tuple[Any, ...] = ()
        self._touchInterval = 0.0
        self._due: float | None = None
        self._queuedFor = inf

    @property
    def tag(self) -> str:
        """
        What logs know the session by.
        """
        return tagOf(self.key)

    @property
    def terms(self) -> tuple[Any, ...]:
        """
        What is kept beside the parts: idle and absolute seconds, the scheme,
        the cookie's name.
        """
        session = self.session
        given = session.sessionTimeout, session.sessionLifetime, session._scheme
        if given != self._given:
            self._given = given
            idle = session.sessionTimeout
            secure, cookieName = session._scheme or _NO_SCHEME
            lifetime = lifetimeOf(idle, session.sessionLifetime)
            self._terms = idle, lifetime, secure, cookieName
            self._touchInterval = touchInterval(idle)
        return self._terms

    # -- settling

    def gather(self) -> dict[bytes, bytes]:
        """
        The parts as they are now.

        @raise CannotBeKept: Something is beyond the limits, or in a strict site
            of a class that the program did not name.
        """
        gathered = gathering.gather(self.session, self.parts)
        if gathered.unkeepable:
            self.table.unkeepable(self, gathered)
        self.pinned = bool(gathered.unkeepable)
        return gathered.parts

    def isEmpty(self) -> bool:
        """
        Whether this is a new session that nobody put anything into.
        """
        session = self.session
        return (
            session._phase == NEW
            and self.flight is None
            and not session._uidRead
            and not session.expireCallbacks
            and self.gather() == self.constructed
            and not self.pinned
        )

    def noteConstructed(self) -> None:
        """
        The session was just made: what its class has put into it, the same in
        each, is not worth keeping.  What comes out different each time, such as
        a token, is kept at once.
        """
        session = self.session
        cls = type(session)
        if cls is _OurSession:
            return
        try:
            parts = gathering.gather(session, _NOTHING).parts
        except SessionError:
            return
        if _constructed.setdefault(cls, parts) != parts:
            _constructed[cls] = None
        self.constructed = _constructed[cls]

    def settle(self, waiter: Waiter, tries: int = 0) -> bool:
        """
        Save what has changed.

        @param waiter: Who is told, if there is anything to wait for.
        @return: Whether there is nothing to wait for.
        @raise SessionError: The state cannot be saved as it is, or the session
            was dropped before.
        """
        session = self.session
        if session._phase == ENDED:
            return self.ending.wait(waiter)
        if session._phase == STALE:
            raise SessionStale(self.tag)
        try:
            parts = self.gather()
        except SessionError:
            self.drop()
            raise
        terms = self.terms
        flight = self.flight
        if flight is not None:
            if (
                parts == flight.parts
                and terms == flight.terms
                and (flight.record is None or flight.record.key == self.key)
            ):
                flight.waiters.append(waiter)
            else:
                self.again.append(waiter)
            return False
        stored = self.storedKey is not None
        need = DECISIONS[
            stored,
            False,
            False,
            parts != self.parts or terms != self.storedTerms,
            stored and self.storedKey != self.key,
            session.lastModified - self.touchedAt >= self._touchInterval,
        ]
        if need is Need.NOTHING:
            return True
        if need is Need.TOUCH:
            self._touch(terms)
            return True
        self._write(need, parts, terms, [waiter], tries)
        return False

    def _write(
        self,
        need: Need,
        parts: dict[bytes, bytes],
        terms: tuple[Any, ...],
        waiters: list[Waiter],
        tries: int,
    ) -> None:
        """
        Start a write, as soon as the store is open.
        """
        lifecycle = self.table.lifecycle
        if not lifecycle.isOpen:
            flight = Flight(need, None, parts, terms, waiters, tries)
            self.flight = flight
            self.table.flights += 1
            _ = lifecycle.whenOpen().addCallbacks(
                self._writeLate,
                self._refused,
                callbackArgs=(flight,),
                errbackArgs=(flight,),
            )
            return
        session, table = self.session, self.table
        idle, lifetime, secure, cookieName = terms
        createdAt, touchedAt = session._createdAt, session.lastModified
        try:
            plaintext = packState(
                State(
                    createdAt=createdAt,
                    idle=idle,
                    lifetime=lifetime,
                    secure=secure,
                    cookieName=cookieName,
                    parts=parts,
                )
            )
        except SessionError:
            self.drop()
            raise
        version = self.version + 1
        record = Record(
            key=self.key,
            version=version,
            createdAt=createdAt,
            touchedAt=touchedAt,
            expiresAt=storedDeadline(createdAt, touchedAt, idle, lifetime),
            payload=table.sealer.seal(self.key, version, plaintext),
        )
        flight = Flight(need, record, parts, terms, waiters, tries)
        self.flight = flight
        table.flights += 1
        now = table.seconds()
        store = table.store
        done: Deferred[None]
        if need is Need.REPLACE:
            done = store.replace(record, self.version, now)
        elif need is Need.INSERT:
            done = store.insert(record, now)
        else:
            assert self.storedKey is not None
            done = store.rename(self.storedKey, record, self.version, now)
        _ = done.addCallbacks(
            self._acknowledged,
            self._refused,
            callbackArgs=(flight,),
            errbackArgs=(flight,),
        )

    def _writeLate(self, _: object, flight: Flight) -> None:
        """
        The store is open: settle anew all who have waited.
        """
        self.flight = None
        waiters, self.again = flight.waiters + self.again, []
        self._resettle(waiters, 0)
        self.table.flightEnded()

    def _acknowledged(self, _: object, flight: Flight) -> None:
        """
        The store has it.
        """
        record = flight.record
        assert record is not None
        first = self.storedKey is None
        rotated = flight.need is Need.RENAME
        self.parts = flight.parts
        self.storedTerms = flight.terms
        self.version = record.version
        self.storedKey = record.key
        self.touchedAt = record.touchedAt
        session = self.session
        if session._phase == NEW:
            session._phase = STORED
        self.flight = None
        if first:
            self.table.tell(EventKind.CREATED, self, createdAt=session._createdAt)
        elif rotated:
            self.table.tell(EventKind.ROTATED, self)
        for waiter in flight.waiters:
            waiter.sessionSaved()
        self._goOn(0)
        self.table.flightEnded()

    def _goOn(self, tries: int) -> None:
        """
        Serve those whose state was not in the write that has ended.
        """
        again, self.again = self.again, []
        self._resettle(again, tries)

    def _resettle(self, waiters: list[Waiter], tries: int) -> None:
        """
        Settle once more for waiters that were told to wait.
        """
        for waiter in waiters:
            try:
                if self.settle(waiter, tries):
                    waiter.sessionSaved()
            except SessionError:
                waiter.saveFailed(Failure())

    def _refused(self, failure: Failure, flight: Flight) -> None:
        """
        The store did not take it.
        """
        self.flight = None
        waiters, self.again = flight.waiters + self.again, []
        error = failure.value
        try:
            if self.session._phase >= ENDED:
                self._resettle(waiters, 0)
            elif isinstance(error, SessionConflict) and flight.tries < MAX_TRIES:
                self.adopt(error.current)
                self._resettle(waiters, flight.tries + 1)
            elif isinstance(error, SessionExists) and flight.tries < MAX_TRIES:
                self.table.renew(self.session)
                self._resettle(waiters, flight.tries + 1)
            elif isinstance(error, SessionGone):
                self.endedElsewhere()
                for waiter in waiters:
                    waiter.sessionGone()
            else:
                self.table.broken(failure, self)
                self.drop()
                self._fail(waiters, failure)
        except SessionError:
            self.drop()
            self._fail(waiters, Failure())
        self.table.flightEnded()

    def _fail(self, waiters: list[Waiter], failure: Failure) -> None:
        """
        Tell them that it is unknown what was saved.
        """
        for waiter in waiters:
            waiter.saveFailed(failure)

    def drop(self) -> None:
        """
        Let go of the live object, whose changes cannot be saved.
        """
        self.table.remove(self.session)
        self.session._close()
        self.session._phase = STALE

    # -- what others did

    def adopt(self, record: Record) -> None:
        """
        Take over a newer record, in place, and keep what was changed here and
        is not saved yet.

        @raise RecordDamaged: It cannot be used.
        @raise UnknownKey: It is sealed under a key that is not here.
        """
        state = self.table.loader.unseal(record)
        session = self.session
        mine = self.gather()
        theirs = dict(state.parts)
        merged = mergeParts(self.parts, mine, theirs, self._merger)
        applying.apply(session, merged.parts, mine)
        for _ in merged.conflicts:
            self.table.tell(EventKind.CONFLICT, self, reason="changed on both sides")
        if self.terms == self.storedTerms:
            _setTerms(session, state)
        self.parts = theirs
        self.storedTerms = self.terms
        self.version = record.version
        self.noticeTouch(record.touchedAt)

    def _merger(self, part: bytes) -> Any:
        """
        The C{mergeState} of a component, if it has one.
        """
        return applying.mergerFor(self.session, part)

    def noticeTouch(self, touchedAt: float) -> None:
        """
        The store knows of a touch, maybe by another process.
        """
        session = self.session
        self.touchedAt = max(self.touchedAt, touchedAt)
        if touchedAt > session.lastModified:
            session.lastModified = touchedAt
            if session._due is not None:
                session._due = session._deadline()

    def endedElsewhere(self) -> None:
        """
        The store does not have it any more.
        """
        self.ending.isOver = True
        _ = self.session._end("elsewhere")

    # -- time

    def _deadlinePassed(self) -> None:
        """
        The session has rested in memory long enough.
        """
        self.table.resting.alarm(self)

    def released(self) -> None:
        """
        No request holds the session any more.
        """
        if self.session._phase < ENDED:
            self.table.resting.rest(self)

    def touched(self) -> None:
        """
        The session was used; outside a request nobody settles, so remember it.
        """
        if not self.session._visits:
            self.table.resting.usedOutside(self)

    def _touch(self, terms: tuple[Any, ...]) -> None:
        """
        Tell the store of the last use.  Nobody waits for it: the deadline that
        is stored has room for one touch that was lost.
        """
        session = self.session
        touchedAt = session.lastModified
        self.touchedAt = touchedAt
        deadline = storedDeadline(session._createdAt, touchedAt, terms[0], terms[1])
        table = self.table
        done = table.store.touch(self.key, touchedAt, deadline, table.seconds())
        done.addErrback(self._touchRefused)

    def _touchRefused(self, failure: Failure) -> None:
        """
        A touch never brings anything back.
        """
        if failure.check(SessionGone):
            if self.session._phase < ENDED and self.flight is None:
                self.endedElsewhere()
            return
        self.touchedAt = 0.0
        self.table.broken(failure, self)

    def deadlinePassed(self) -> None:
        """
        Nobody in this process has used the session for long enough: ask the
        store, since another process may have.
        """
        session = self.session
        if self.storedKey is None or self.flight is not None or self.isAlone():
            _ = session._end(session._outlived())
            return
        done = self.table.loader.fetch(self.session._uid)
        _ = done.addBoth(self._checkedAtDeadline)

    def _checkedAtDeadline(self, _: object) -> None:
        """
        The store has said what it knows.  Where it cannot be asked the session
        ends here, and the record by its own deadline.
        """
        session = self.session
        if session._phase >= ENDED:
            return
        if session._deadline() > session._reactor.seconds():
            session._due = session._deadline()
            deadlinesOf(session._reactor).watch(session)
        else:
            _ = session._end(session._outlived())

    def isCurrent(self) -> bool:
        """
        Whether the live session may be used without asking the store.
        """
        return (
            self.session._phase == NEW or self.flight is not None or self.isAlone()
        )

    def isAlone(self) -> bool:
        """
        Whether it is certain that nobody else has changed the record.
        """
        if not self.table.lifecycle.isOpen:
            return False
        changes = self.table.store.changes()
        return changes is not None and changes == self.seen

    # -- the end

    def end(self) -> Deferred[None]:
        """
        Take it out of the store, for good.

        @return: Fires when it is gone.
        """
        ending = self.ending
        if self.storedKey is None and self.flight is None:
            ending.isOver = True
        elif not ending.isOver:
            keys = {self.key} if self.storedKey is None else {self.key, self.storedKey}
            ending.begin(self.table, sorted(keys))
        return ending.gone()


def _setTerms(session: Session, state: State) -> None:
    """
    Give a session the limits that it was stored with.
    """
    if session.sessionTimeout != state.idle:
        session.sessionTimeout = state.idle
    lifetime = lifetimeOf(session.sessionTimeout, session.sessionLifetime)
    if lifetime != state.lifetime:
        session.sessionLifetime = state.lifetime


__all__ = ["Entry"]
