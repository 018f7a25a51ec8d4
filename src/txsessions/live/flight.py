"""
A write of a session that is under way.

Owns how the write goes: it waits for the store to be open, seals the state,
hands it over, and deals with the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.lifetime import storedDeadline
from txsessions.core.record import Record, tagOf
from txsessions.core.settle import Need
from txsessions.core.state import packHead, packParts
from txsessions.core.telling import shortWay
from txsessions.errors import (
    CannotBeKept,
    SessionConflict,
    SessionError,
    SessionExists,
    SessionGone,
    TooManySessions,
)
from txsessions.live import signin
from txsessions.live.adopting import adopt
from txsessions.live.events import EventKind
from txsessions.live.phases import ENDED, NEW, STORED
from txsessions.live.waiting import GONE, tellAll, tellFailed, unexpected

if TYPE_CHECKING:
    from txsessions.live.entry import Entry
    from txsessions.live.waiting import Waiter

MAX_TRIES = 64
"""How often a write that conflicts is merged and tried again."""

_REPLACE = Need.REPLACE
_log = Logger()


class Flight(Struct, eq=False):
    """
    A write that is under way.  Each write makes one, so it is of a kind that is made
    in C; and the store tells it the answer: see L{Told<txsessions.core.telling.Told>}.

    @ivar _entry: Whose it is.
    @ivar _need: What kind of write.
    @ivar key: The store key that it writes to.
    @ivar parts: The parts in it.
    @ivar terms: The terms in it, see L{Entry.terms}.
    @ivar waiters: Who waits for it: at least one, until it is over.
    @ivar _tries: How many conflicts came before it.
    @ivar _record: What was handed to the store.
    @ivar _from: The store key that a rename gives up.
    """

    _entry: Entry
    _need: Need
    key: bytes
    parts: dict[bytes, bytes]
    terms: tuple[Any, ...]
    waiters: list[Waiter]
    _tries: int
    _record: Record | None = None
    _from: bytes = b""
    called: bool = False

    def __repr__(self) -> str:
        return f"<Flight {self._need.value} {tagOf(self.key)}>"

    def carries(
        self, parts: dict[bytes, bytes], terms: tuple[Any, ...], key: bytes
    ) -> bool:
        """
        Whether this state is what is being written.
        """
        return parts == self.parts and terms == self.terms and key == self.key

    def begin(self, done: Deferred[Any]) -> None:
        """
        Be under way, until somebody says that it is done.
        """
        entry = self._entry
        entry.flight = self
        entry.table.writes.underWay += 1
        _ = done.addCallbacks(self.callback, self.errback)

    def send(self, record: Record) -> Deferred[None]:
        """
        Hand a record to the store that is new there, or gets another key.

        @raise SessionError: This state cannot be kept.
        """
        entry = self._entry
        table = entry.table
        store, now = table.store, table.seconds()
        done: Deferred[None]
        limit = table.principals.limit
        limits = () if limit is None or record.principal is None else (limit,)
        if self._need is Need.INSERT:
            if record.principal is not None:
                # Who ends all sessions of somebody ends this one as soon as it is
                # there, and that may be before it is acknowledged here.
                entry.seen = store.changes()
            else:
                table.anonymous.admit(entry.session)
            done = maybeDeferred(store.insert, record, now, *limits)
        else:
            assert entry.storedKey is not None
            self._from = entry.storedKey
            renewing = table.rotated.renewing
            if renewing is not None and renewing.isRenewed(entry.session):
                limits = limit, renewing.rule.watch  # type: ignore[assignment]
            was, version = entry.storedKey, entry.version
            done = maybeDeferred(store.rename, was, record, version, now, *limits)
        return done

    def callback(self, _: object) -> None:
        """
        The store has the record; or, if nothing was handed over, it is open now.
        """
        waiters = self.waiters
        if not waiters or self.called:
            # A store that raised, and goes on all the same: it is over.
            return
        record, entry = self._record, self._entry
        again = entry.again
        try:
            if again is None and entry.session._phase != ENDED:
                # What _land does, for by far most.
                entry.flight = None
            else:
                again = self._land()
            if record is None:
                entry.resettle(waiters + (again or []))
            else:
                try:
                    self._note(record)
                finally:
                    # Whatever went wrong there: the store has it.
                    for waiter in waiters:
                        try:
                            waiter.sessionSaved()
                        except BaseException:
                            unexpected()
                    if again is not None:
                        entry.resettle(again)
            waiters.clear()
        except BaseException:
            # As a Deferred does: the store has others to tell.
            self.called = True
            _log.failure("A session that was saved met an unexpected error")
        finally:
            writes = entry.table.writes
            if writes.waiting:
                writes.oneEnded()
            else:
                writes.underWay -= 1

    def errback(self, error: Any) -> None:
        """
        The store has not taken the record.
        """
        if self.called or not self.waiters:
            return
        self.called = True
        failure = error if isinstance(error, Failure) else Failure(error)
        try:
            self._refused(failure, self.waiters + (self._land() or []))
        except BaseException:
            _log.failure("A session that was not saved met an unexpected error")
        finally:
            self._entry.table.writes.oneEnded()

    def _land(self) -> list[Waiter] | None:
        """
        The write is over.

        @return: Who waits for another.
        """
        entry = self._entry
        entry.flight = None
        again = entry.again
        if again is not None:
            entry.again = None
        if entry.session._phase == ENDED:
            # A deletion that has waited for this may go on.
            entry.ending.proceed(entry.table)
        return again

    def _note(self, record: Record) -> None:
        """
        Note what the store has acknowledged.
        """
        entry = self._entry
        before, entry.storedTerms = entry.storedTerms, self.terms
        entry.parts = self.parts
        entry.version = record.version
        if record.touchedAt > entry.touchedAt:  # noqa: PLR1730 - twice as fast
            entry.touchedAt = record.touchedAt
        if self._need is _REPLACE:
            return
        table, session = entry.table, entry.session
        if session._phase == NEW:
            session._phase = STORED
        table.noteStored(entry, record.key)
        if self._need is Need.INSERT:
            if record.principal is None:
                # Until now nobody else could know of it.
                entry.seen = table.store.changes()
            table.tell(EventKind.CREATED, entry, createdAt=session._createdAt)
            if record.principal is None:
                table.anonymous.oneMade()
        else:
            entry.movedFrom = None
            table.tombstones.moved(self._from, record.key)
            renewing = table.rotated.renewing
            isInTime = renewing is not None and renewing.isRenewed(session)
            table.tell(EventKind.ROTATED, entry, "renewal" if isInTime else "")
        signIn = self.terms[-1]
        if signIn is not None and before[-1:] != (signIn,):
            signin.tell(table, session, signIn, record.tag)

    def _refused(self, failure: Failure, waiters: list[Waiter]) -> None:
        """
        The store did not take it.

        @param waiters: Who waits for it, and for what comes after it.
        """
        try:
            if self._goesOn(failure, waiters):
                return
        except BaseException:
            # What the program merges by may raise anything.
            failure = Failure()
        self._failed(waiters, failure)

    def _goesOn(self, failure: Failure, waiters: list[Waiter]) -> bool:
        """
        Deal with what the store said, if it did say what is there.

        @return: Whether it did.
        """
        entry = self._entry
        renewing = entry.table.rotated.renewing
        error, mayRetry = failure.value, self._tries < MAX_TRIES
        if entry.session._phase >= ENDED:
            entry.resettle(waiters)
        elif isinstance(error, SessionConflict) and mayRetry:
            adopt(entry, error.current)
            entry.resettle(waiters, self._tries + 1)
        elif isinstance(error, SessionExists) and mayRetry:
            entry.table.renew(entry.session)
            entry.resettle(waiters, self._tries + 1)
        elif isinstance(error, TooManySessions):
            # The store is as it was, and finds the session by its old uid.
            entry.table.tell(EventKind.REFUSED, entry, "limit")
            entry.drop()
            tellFailed(waiters, failure)
        elif isinstance(error, SessionGone) and renewing is not None:
            was = self._from if self._need is Need.RENAME else self.key
            renewing.pursue(entry, was, waiters)
        elif isinstance(error, SessionGone):
            entry.endedElsewhere()
            tellAll(waiters, GONE)
        else:
            return False
        return True

    def _failed(self, waiters: list[Waiter], failure: Failure) -> None:
        """
        It is unknown what was saved: whoever waits has to know, and the live
        object is of no use.
        """
        entry = self._entry
        entry.table.broken(failure, entry)
        entry.drop()
        tellFailed(waiters, failure)


def start(
    entry: Entry,
    need: Need,
    parts: dict[bytes, bytes],
    terms: tuple[Any, ...],
    waiter: Waiter,
    tries: int,
) -> None:
    """
    Start a write, as soon as the store is open.

    @raise SessionError: This state cannot be kept; the session is dropped.
    """
    table, key = entry.table, entry._key or entry.key
    waiters = [waiter]
    if not table.lifecycle.isOpen:
        flight = Flight(entry, need, key, parts, terms, waiters, tries)
        flight.begin(table.lifecycle.whenOpen())
        return
    try:
        record = sealed(entry, key, parts, terms)
        flight = Flight(entry, need, key, parts, terms, waiters, tries, record)
        entry.isKnown = True
        if need is not _REPLACE:
            flight.begin(flight.send(record))
            return
    except SessionError:
        entry.drop()
        raise
    seconds, replace = table.seconds, table.store.replace
    now, tell = seconds(), shortWay(replace)
    if tell is None:
        flight.begin(maybeDeferred(replace, record, entry.version, now))
        return
    entry.flight = flight
    table.writes.underWay += 1
    try:
        tell(replace.__self__, flight, record, entry.version, now)
    except BaseException:
        flight.errback(Failure())


def sealed(
    entry: Entry, key: bytes, parts: dict[bytes, bytes], terms: tuple[Any, ...]
) -> Record:
    """
    Make the record that follows upon the one that the store has acknowledged.

    @raise SessionError: This state cannot be kept.
    """
    session = entry.session
    idle, lifetime, _, _, signIn = terms
    createdAt, touchedAt = session._createdAt, session.lastModified
    of = createdAt, terms
    try:
        if of != entry.head[0]:
            # Else it is as in the write before.
            entry.head = of, packHead(createdAt, *terms)
        plaintext = packParts(entry.head[1], parts)
    except SessionError:
        raise
    except ValueError as error:
        raise CannotBeKept("the session", str(error)) from None
    version = entry.version + 1
    principal = handle = None
    if signIn is not None:
        principal, handle = entry.principal, signIn.handle
        if principal is None:
            hashes = entry.table.principals.hashes
            principal = entry.principal = hashes.new(signIn.principal)
    return Record(
        key=key,
        version=version,
        createdAt=createdAt,
        touchedAt=touchedAt,
        expiresAt=storedDeadline(createdAt, touchedAt, idle, lifetime),
        principal=principal,
        handle=handle,
        payload=entry.table.sealer.seal(key, version, plaintext),
    )


__all__ = ["MAX_TRIES", "Flight", "sealed", "start"]
