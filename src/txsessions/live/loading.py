"""
How sessions get in from the store.

Owns the question whether a live session is still as the store has it, the
loading of those that are not live, and the making of a session from its record.
Loads of one uid that are under way at once are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txsessions.core import lifetime as rules
from txsessions.core.record import ROTATED, UNCHANGED, Record
from txsessions.core.state import State, unpackState
from txsessions.core.uid import storeKeyOf
from txsessions.errors import RecordDamaged, StoreError, StoreUnavailable
from txsessions.live import applying
from txsessions.live.deadlines import deadlinesOf
from txsessions.live.entry import Entry
from txsessions.live.events import EventKind
from txsessions.live.session import ENDED, NEW, STORED, Session

if TYPE_CHECKING:
    from txsessions.live.table import LiveTable


class Loader:
    """
    Finds sessions for a live table.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._waiting: dict[bytes, list[Deferred[Session | None]]] = {}

    def find(self, uid: bytes) -> Session | None:
        """
        Look a session up that is here and as the store has it.

        @return: The session, or L{None}: then L{fetch} tells, if there is a
            store.
        """
        session = self._table.sessions.get(uid)
        if session is None:
            return None
        entry = session._entry
        return session if entry is None or entry.isCurrent() else None

    def fetch(self, uid: bytes) -> Deferred[Session | None]:
        """
        Look a session up in the store, and refresh the live one if there is
        one.

        @return: Fires with the session, with L{None} if there is none, or fails
            with a C{StoreError}.
        """
        if self._table.store is None or self._table.isRotated(uid):
            return succeed(self._table.sessions.get(uid))
        if not self._table.lifecycle.isOpen:
            return self._table.lifecycle.whenOpen().addCallback(
                lambda _: self.fetch(uid)
            )
        waiting = self._waiting.get(uid)
        done: Deferred[Session | None] = Deferred()
        if waiting is not None:
            waiting.append(done)
            return done
        live = self._table.sessions.get(uid) or self._table.resting.departed.get(uid)
        key = storeKeyOf(self._table.siteName, uid)
        if key in self._table.tombstones:
            return succeed(None)
        self._waiting[uid] = [done]
        known = None if live is None or live._entry is None else live._entry.version
        seen = self._table.store.changes()
        self._table.store.load(key, self._table.seconds(), known).addCallback(
            self._loaded, uid, live, seen
        ).addErrback(self._notLoaded, uid)
        return done

    def _loaded(
        self, answer: Any, uid: bytes, live: Session | None, seen: int | None
    ) -> None:
        """
        The store has answered.
        """
        session = self._take(answer, uid, live, seen)
        for done in self._waiting.pop(uid, ()):
            done.callback(session)

    def _notLoaded(self, failure: Failure, uid: bytes) -> None:
        """
        The store could not answer.
        """
        self._table.broken(failure, None)
        if not failure.check(StoreError):
            failure = Failure(StoreUnavailable(str(failure.value)))
        for done in self._waiting.pop(uid, ()):
            done.errback(failure)

    def _take(
        self, answer: Any, uid: bytes, live: Session | None, seen: int | None
    ) -> Session | None:
        """
        Make of the store's answer a session.
        """
        if live is not None and live._phase >= ENDED:
            return None
        entry = None if live is None else live._entry
        if answer is UNCHANGED:
            assert entry is not None
            entry.seen = seen
            return self._enter(uid, entry.session)
        if answer is ROTATED:
            self._table.noteRotated(uid)
        if not isinstance(answer, Record):
            if entry is not None:
                if entry.flight is not None or entry.session._phase == NEW:
                    return live
                entry.endedElsewhere()
            return None
        try:
            if entry is None:
                session = self._revive(answer, uid)
                if session is None:
                    return None
                entry = session._entry
                assert entry is not None
            elif entry.flight is None:
                entry.adopt(answer)
        except RecordDamaged:
            self._table.announcer.tell(
                EventKind.REFUSED, answer.tag, self._table.seconds(), "damaged"
            )
            return None
        entry.seen = seen
        return self._enter(uid, entry.session)

    def unseal(self, record: Record) -> State:
        """
        Open a record.

        @raise RecordDamaged: Its seal is broken, or what is in it.
        @raise UnknownKey: The key is not here.
        """
        plaintext = self._table.sealer.open(record.key, record.version, record.payload)
        try:
            return unpackState(plaintext)
        except ValueError:
            raise RecordDamaged(record.tag) from None

    def _revive(self, record: Record, uid: bytes) -> Session | None:
        """
        Make a live session of a record.
        """
        state = self.unseal(record)
        now = self._table.seconds()
        idle, lifetime = state.idle, state.lifetime
        latest = record.touchedAt + idle + rules.touchInterval(idle)
        if now >= min(latest, state.createdAt + lifetime):
            return None
        if rules.fromFuture(now, state.createdAt):
            self._table.announcer.tell(EventKind.REFUSED, record.tag, now, "future")
        session: Session = self._table.makeObject(uid)
        session._uid, session._uidRead = uid, False
        session._createdAt = state.createdAt
        session.lastModified = record.touchedAt
        session._phase = STORED
        session._isNew = False
        if session.sessionTimeout != idle:
            session.sessionTimeout = idle
        if rules.lifetimeOf(idle, session.sessionLifetime) != lifetime:
            session.sessionLifetime = lifetime
        if state.cookieName:
            session._scheme = (state.secure, state.cookieName)
        entry = Entry(self._table, session, record.key)
        entry.storedKey = record.key
        entry.version = record.version
        entry.touchedAt = record.touchedAt
        session._entry = entry
        entry.parts = dict(state.parts)
        applying.apply(session, entry.parts, {})
        entry.storedTerms = entry.terms
        parked = self._table.parked.pop(record.key, None)
        if parked is not None:
            session.expireCallbacks.extend(parked.release())
        return session

    def _enter(self, uid: bytes, session: Session) -> Session:
        """
        Put a session into the table, if it is not there.
        """
        if uid not in self._table.sessions:
            self._table.sessions[uid] = session
            self._table.resting.departed.pop(uid, None)
            entry = session._entry
            if entry is not None and not session._visits:
                self._table.resting.rest(entry)
            if session._due is None:
                # A session that has outlived its idle time by less than the
                # interval at which touches are written may have been used since.
                session._endsAt = session._createdAt + rules.lifetimeOf(
                    session.sessionTimeout, session.sessionLifetime
                )
                session._due = max(session._deadline(), self._table.seconds() + 1.0)
                deadlinesOf(session._reactor).watch(session)
        return session


__all__ = ["Loader"]
