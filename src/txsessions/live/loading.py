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
from txsessions.live.adopting import adopt, setLimits, usedAt
from txsessions.live.entry import Entry
from txsessions.live.events import EventKind
from txsessions.live.phases import ENDED, STORED

if TYPE_CHECKING:
    from txsessions.live.session import Session
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
        session = self._table.liveSession(uid)
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
        table = self._table
        if table.store is None or table.isRotated(uid):
            return succeed(table.sessions.get(uid))
        if not table.lifecycle.isOpen:
            return table.lifecycle.whenOpen().addCallback(lambda _: self.fetch(uid))
        if storeKeyOf(table.siteName, uid) in table.tombstones:
            return succeed(None)
        done: Deferred[Session | None] = Deferred()
        waiting = self._waiting.get(uid)
        if waiting is not None:
            waiting.append(done)
            return done
        self._waiting[uid] = [done]
        self._ask(uid)
        return done

    def _ask(self, uid: bytes) -> None:
        """
        Ask the store.
        """
        table = self._table
        live = table.sessions.get(uid)
        if live is None:
            live = table.resting.departed.get(uid)
        entry = None if live is None else live._entry
        known = None if entry is None else entry.version
        if live is not None and live._hasOutlived():
            # It was not touched in this process, but maybe in another, which
            # its version does not tell.
            known = None
        seen = table.store.changes()
        key = storeKeyOf(table.siteName, uid)
        loaded = table.store.load(key, table.seconds(), known)
        loaded.addCallback(self._loaded, uid, live, seen).addErrback(
            self._notLoaded, uid
        )

    def _loaded(
        self, answer: Any, uid: bytes, live: Session | None, seen: int | None
    ) -> None:
        """
        The store has answered.
        """
        if answer is UNCHANGED and live is not None and live._hasOutlived():
            self._ask(uid)
            return
        session = self._take(answer, uid, live, seen)
        waiting = self._waiting.pop(uid, ())
        del uid  # a traceback of the application may show what variables hold
        for done in waiting:
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
        table = self._table
        if live is not None and live._phase >= ENDED:
            return None
        entry = None if live is None else live._entry
        if answer is ROTATED:
            table.rotated.note(uid, table.seconds())
        if answer is not UNCHANGED and not isinstance(answer, Record):
            return self._absent(uid, entry)
        if isinstance(answer, Record):
            entry = self._refreshed(answer, uid, entry)
            if entry is None:
                return None
        assert entry is not None
        session = entry.session
        if session._phase >= ENDED:
            return None
        if entry.flight is None:
            # Else this is ours, or what ours will be merged with.
            entry.seen = seen
        if session._hasOutlived():
            session._runOut()
            return None
        if uid not in table.sessions:
            table.enter(uid, session)
        return session

    def _absent(self, uid: bytes, entry: Entry | None) -> Session | None:
        """
        The store does not have it.
        """
        table = self._table
        if entry is None:
            parked = table.parked.get(storeKeyOf(table.siteName, uid))
            if parked is not None and not table.isRotated(uid):
                parked.gone()
            return None
        if not entry.isStoredAs(uid):
            # It is on its way there, or has a new id.
            return table.sessions.get(uid)
        entry.endedElsewhere()
        return None

    def _refreshed(
        self, record: Record, uid: bytes, entry: Entry | None
    ) -> Entry | None:
        """
        Make of a record a live session, or bring the live one up to it.
        """
        try:
            if entry is None:
                ended = record.key in self._table.tombstones
                return None if ended else self._revive(record, uid)
            if entry.flight is None:
                adopt(entry, record)
        except RecordDamaged:
            if entry is not None:
                entry.drop()
            return None
        return entry

    def unseal(self, record: Record) -> State:
        """
        Open a record.

        @raise RecordDamaged: Its seal is broken, or what is in it.
        @raise UnknownKey: The key is not here.
        """
        try:
            return self.open(record)
        except RecordDamaged:
            self._refuse(record, "damaged")
            raise

    def open(self, record: Record) -> State:
        """
        Open a record, and tell nobody what is wrong with it.

        @raise RecordDamaged: Its seal is broken, or what is in it.
        @raise UnknownKey: The key is not here.
        """
        sealer = self._table.sealer
        plaintext = sealer.open(record.key, record.version, record.payload)
        try:
            state = unpackState(plaintext)
        except ValueError:
            raise RecordDamaged(record.tag) from None
        if not 0 <= record.touchedAt <= rules.MAX_SECONDS:
            raise RecordDamaged(record.tag)
        return state

    def _refuse(self, record: Record, reason: str) -> None:
        """
        Tell that something is wrong with a record.
        """
        table = self._table
        table.announcer.tell(EventKind.REFUSED, record.tag, table.seconds(), reason)

    def _revive(self, record: Record, uid: bytes) -> Entry | None:
        """
        Make a live session of a record.
        """
        table = self._table
        state = self.unseal(record)
        now = table.seconds()
        touchedAt, idle = record.touchedAt, state.idle
        if now >= rules.storedDeadline(
            state.createdAt, touchedAt, idle, state.lifetime
        ):
            return None
        if rules.fromFuture(now, state.createdAt):
            self._refuse(record, "future")
        session: Session = table.makeObject(uid)
        session._uid, session._uidRead = uid, False
        session._createdAt = state.createdAt
        session.lastModified = usedAt(touchedAt, idle, now)
        session._phase = STORED
        session._isNew = False
        setLimits(session, state)
        if state.cookieName:
            session._scheme = (state.secure, state.cookieName)
        entry = Entry(table, session)
        entry.storedKey = record.key
        entry.isKnown = True
        entry.version = record.version
        entry.parts = dict(state.parts)
        session._entry = entry
        # What its class makes and the store lacks stays: the class may be newer.
        applying.apply(session, entry.parts, {})
        entry.storedTerms = entry.terms
        return entry


__all__ = ["Loader"]
