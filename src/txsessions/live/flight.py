"""
A write of a session that is under way.

Owns how the write goes: it waits for the store to be open, seals the state,
hands it over, and deals with the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.core.lifetime import storedDeadline
from txsessions.core.record import Record
from txsessions.core.settle import Need
from txsessions.core.state import packFields
from txsessions.errors import (
    CannotBeKept,
    SessionConflict,
    SessionError,
    SessionExists,
    SessionGone,
    SessionTooLarge,
    TooManySessions,
)
from txsessions.live import signin
from txsessions.live.adopting import adopt
from txsessions.live.events import EventKind
from txsessions.live.phases import ENDED, NEW, STORED

if TYPE_CHECKING:
    from txsessions.live.entry import Entry
    from txsessions.live.waiting import Waiter

MAX_TRIES = 64
"""How often a write that conflicts is merged and tried again."""


class Flight:
    """
    A write that is under way.

    @ivar key: The store key that it writes to.
    @ivar parts: The parts in it.
    @ivar terms: The terms in it, see L{Entry.terms}.
    @ivar waiters: Who waits for it.
    """

    __slots__ = (
        "_entry",
        "_from",
        "_need",
        "_record",
        "_tries",
        "key",
        "parts",
        "terms",
        "waiters",
    )

    def __init__(
        self,
        entry: Entry,
        need: Need,
        parts: dict[bytes, bytes],
        terms: tuple[Any, ...],
        waiters: list[Waiter],
        tries: int,
    ) -> None:
        """
        @param need: What kind of write.
        @param tries: How many conflicts came before it.
        """
        self._entry = entry
        self._need = need
        self._record: Record | None = None
        self._tries = tries
        self.key = entry.key
        self.parts = parts
        self.terms = terms
        self.waiters = waiters

    def carries(
        self, parts: dict[bytes, bytes], terms: tuple[Any, ...], key: bytes
    ) -> bool:
        """
        Whether this state is what is being written.
        """
        return parts == self.parts and terms == self.terms and key == self.key

    def start(self) -> None:
        """
        Start, as soon as the store is open.

        @raise SessionError: This state cannot be kept; the session is dropped.
        """
        entry = self._entry
        table = entry.table
        if table.lifecycle.isOpen:
            try:
                done = self._send()
            except SessionError:
                entry.drop()
                raise
        else:
            done = table.lifecycle.whenOpen()
        entry.flight = self
        table.writes.oneBegan()
        _ = done.addCallbacks(self._acknowledged, self._refused)

    def _send(self) -> Deferred[None]:
        """
        Hand the record to the store.

        @raise SessionError: This state cannot be kept.
        """
        entry = self._entry
        record = self._record = sealed(entry, self.key, self.parts, self.terms)
        entry.isKnown = True
        store, now = entry.table.store, entry.table.seconds()
        done: Deferred[None]
        if self._need is Need.REPLACE:
            done = store.replace(record, entry.version, now)
            return done
        limit = entry.table.principals.limit
        limits = () if limit is None or record.principal is None else (limit,)
        if self._need is Need.INSERT:
            if record.principal is not None:
                # Who ends all sessions of somebody ends this one as soon as it is
                # there, and that may be before it is acknowledged here.
                entry.seen = store.changes()
            else:
                entry.table.anonymous.admit(entry.session)
            done = store.insert(record, now, *limits)
        else:
            assert entry.storedKey is not None
            self._from = entry.storedKey
            renewing = entry.table.rotated.renewing
            if renewing is not None and renewing.isRenewed(entry.session):
                limits = limit, renewing.rule.watch  # type: ignore[assignment]
            done = store.rename(entry.storedKey, record, entry.version, now, *limits)
        return done

    def _landed(self) -> list[Waiter]:
        """
        The write is over; a deletion that waited for it may go on.

        @return: Who waits for the next one.
        """
        entry = self._entry
        entry.flight = None
        again, entry.again = entry.again or [], None
        if entry.session._phase == ENDED:
            entry.ending.proceed(entry.table)
        return again

    def _acknowledged(self, _: object) -> None:
        """
        The store has it, or, if nothing was handed over, is open now.
        """
        entry, record = self._entry, self._record
        again = self._landed()
        if record is None:
            entry.resettle(self.waiters + again)
        else:
            self._note(record)
            for waiter in self.waiters:
                waiter.sessionSaved()
            if again:
                entry.resettle(again)
        entry.table.writes.oneEnded()

    def _note(self, record: Record) -> None:
        """
        Note what the store has acknowledged.
        """
        entry = self._entry
        table, session = entry.table, entry.session
        before, entry.storedTerms = entry.storedTerms, self.terms
        entry.parts = self.parts
        entry.version = record.version
        entry.touchedAt = max(entry.touchedAt, record.touchedAt)
        if session._phase == NEW:
            session._phase = STORED
        if self._need is Need.REPLACE:
            return
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

    def _refused(self, failure: Failure) -> None:
        """
        The store did not take it.
        """
        entry = self._entry
        waiters = self.waiters + self._landed()
        renewing = entry.table.rotated.renewing
        error, mayRetry = failure.value, self._tries < MAX_TRIES
        try:
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
                for waiter in waiters:
                    waiter.saveFailed(failure)
            elif isinstance(error, SessionGone) and renewing is not None:
                was = self._from if self._need is Need.RENAME else self.key
                renewing.pursue(entry, was, waiters)
            elif isinstance(error, SessionGone):
                entry.endedElsewhere()
                for waiter in waiters:
                    waiter.sessionGone()
            else:
                self._failed(waiters, failure)
        except SessionError:
            self._failed(waiters, Failure())
        entry.table.writes.oneEnded()

    def _failed(self, waiters: list[Waiter], failure: Failure) -> None:
        """
        It is unknown what was saved: whoever waits has to know, and the live
        object is of no use.
        """
        entry = self._entry
        entry.table.broken(failure, entry)
        entry.drop()
        for waiter in waiters:
            waiter.saveFailed(failure)


def sealed(
    entry: Entry, key: bytes, parts: dict[bytes, bytes], terms: tuple[Any, ...]
) -> Record:
    """
    Make the record that follows upon the one that the store has acknowledged.

    @raise SessionError: This state cannot be kept.
    """
    session = entry.session
    idle, lifetime, secure, cookieName, signIn = terms
    createdAt, touchedAt = session._createdAt, session.lastModified
    try:
        plaintext = packFields(
            createdAt, idle, lifetime, secure, cookieName, signIn, parts, ""
        )
    except SessionTooLarge as error:
        raise SessionTooLarge(entry.tag, error.size, error.limit) from None
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


__all__ = ["MAX_TRIES", "Flight", "sealed"]
