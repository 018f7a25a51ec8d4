"""
The live table: the sessions that this process holds, for one store and site
name.

Owns which sessions are live, how they get in from the store and when they leave
memory, and who is told what happens.  One object a uid, however many requests
use it.  Knows no HTTP.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.record import tagOf
from txsessions.core.uid import storeKeyOf
from txsessions.errors import (
    CannotBeKept,
    SessionError,
    SessionUnavailable,
    StoreError,
    UnknownKey,
)
from txsessions.interfaces import ROTATION_MARKER
from txsessions.live import gathering
from txsessions.live.deadlines import deadlinesOf
from txsessions.live.entry import Entry
from txsessions.live.events import Announcer, EventKind
from txsessions.live.loading import Loader
from txsessions.live.parked import Parked
from txsessions.live.resting import Resting
from txsessions.live.session import ENDED, NEW, Session
from txsessions.live.sessions import Sessions
from txsessions.live.tombstones import Tombstones
from txsessions.live.waiting import DeferredWaiter

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from txsessions.core.seal import Sealer
    from txsessions.interfaces import ISessionStore
    from txsessions.live.lifecycle import Lifecycle

_log = Logger(namespace="txsessions")

MAX_PINNED = 1_000
"""How many sessions may stay because they hold what cannot be kept."""

MINT_TRIES = 5
"""How often a uid that is taken is drawn again."""


class LiveTable:
    """
    The live sessions of one store and site name.

    @ivar store: The store, or L{None} where this process is all there is.
    @ivar sessions: The live sessions by uid.
    @ivar sealer: What seals and opens records; there once the store is open.
    @ivar current: The request whose resource is being rendered.
    @ivar flights: How many writes are under way.
    """

    sealer: Sealer
    lifecycle: Lifecycle

    makeObject: Callable[[bytes], Any]
    """Makes a session object for a uid; set by the site."""

    draw: Callable[[], bytes]
    """Draws a uid; set by the site."""

    def __init__(
        self,
        reactor: IReactorTime,
        store: ISessionStore | None,
        siteName: bytes,
        announcer: Announcer,
        *,
        strict: bool = False,
    ) -> None:
        self.reactor = reactor
        self.store: Any = store
        self.siteName = siteName
        self.announcer = announcer
        self.strict = strict
        self.sessions = Sessions()
        self.current: Any = None
        self.flights = 0
        self.parked: dict[bytes, Parked] = {}
        self._rotated: OrderedDict[bytes, float] = OrderedDict()
        self._drained: list[Deferred[None]] = []
        self.tombstones = Tombstones(self)
        self.loader = Loader(self)
        self.resting = Resting(self)

    def seconds(self) -> float:
        """
        The time, in seconds since the epoch.
        """
        return self.reactor.seconds()

    def tagOf(self, uid: bytes) -> str:
        """
        What people know a session by.
        """
        return tagOf(storeKeyOf(self.siteName, uid))

    def tell(
        self,
        kind: EventKind,
        entry: Entry | None,
        reason: str = "",
        createdAt: float | None = None,
    ) -> None:
        """
        Something happened to a session.
        """
        tag = "" if entry is None else entry.tag
        self.announcer.tell(kind, tag, self.seconds(), reason, createdAt)

    # -- making

    def receive(self, session: Any, scheme: tuple[bool, bytes] | None) -> None:
        """
        Take a session that a site just made, and that is in the table.

        @param scheme: Whether its cookie is the secure one, and the cookie's
            name; L{None} where it has none yet.
        """
        session._isNew = True
        session._scheme = scheme
        if self.store is not None and session._entry is None:
            key = storeKeyOf(self.siteName, session._uid)
            session._entry = entry = Entry(self, session, key)
            entry.noteConstructed()
            self.resting.rest(entry)

    def mint(self, draw: Callable[[], bytes]) -> bytes:
        """
        Draw a uid that no session here has, had a minute ago, or may have.

        @raise SessionUnavailable: The source of chance fails or repeats itself.
        """
        for _ in range(MINT_TRIES):
            try:
                uid = draw()
            except Exception:
                _log.failure("no session id could be drawn")
                raise SessionUnavailable from None
            if uid not in self.sessions and uid not in self._rotated:
                return uid
        _log.critical("the source of session ids repeats itself")
        raise SessionUnavailable

    def remove(self, session: Session) -> None:
        """
        Take a session out that was dropped.
        """
        self.sessions.leave(session._uid)
        if session._entry is not None:
            self.resting.forget(session._entry)

    def dismiss(self, session: Session) -> None:
        """
        Forget a new session into which nobody put anything.
        """
        self.remove(session)
        session._close()

    def unkeepable(self, entry: Entry, gathered: gathering.Gathered) -> None:
        """
        A session holds what cannot be kept.

        @raise CannotBeKept: The site is strict.
        """
        if self.strict:
            where, error = gathered.unkeepable[0]
            raise CannotBeKept(where, error.reason)
        if not entry.pinned:
            gathering.report(gathered)
            self._makeRoomForPinned()

    def _makeRoomForPinned(self) -> None:
        """
        End the oldest session that stays because of what it holds, if there are
        too many.
        """
        pinned = [
            session
            for session in self.sessions.values()
            if session._entry is not None and session._entry.pinned
        ]
        if len(pinned) >= MAX_PINNED:
            _ = min(pinned, key=lambda session: session.lastModified)._end("pinned")

    # -- changing ids

    def rekey(self, session: Session, uid: bytes) -> None:
        """
        Give a live session another uid.
        """
        self.sessions.leave(session._uid)
        session._uid = uid
        self.sessions[uid] = session
        if session._entry is not None:
            session._entry.key = storeKeyOf(self.siteName, uid)

    def renew(self, session: Session) -> None:
        """
        Give a session a uid of chance.
        """
        self.rekey(session, self.mint(self.draw))

    def rotate(self, session: Session) -> Deferred[None]:
        """
        Give a session a new uid; the old one is dead from now on.
        """
        old = session._uid
        if session._phase >= ENDED:
            return succeed(None)
        self.renew(session)
        if session._phase != NEW or session._entry is None:
            self.noteRotated(old)
        if session._entry is None:
            self.announcer.tell(
                EventKind.ROTATED, self.tagOf(session._uid), self.seconds()
            )
            return succeed(None)
        if session._entry.storedKey is None and session._entry.flight is None:
            return succeed(None)
        return self.save(session)

    def noteRotated(self, uid: bytes) -> None:
        """
        Remember for a minute that a uid was rotated away.
        """
        now = self.seconds()
        self._rotated[uid] = now
        while self._rotated:
            first = next(iter(self._rotated))
            if self._rotated[first] + ROTATION_MARKER > now:
                break
            del self._rotated[first]

    def isRotated(self, uid: bytes) -> bool:
        """
        Whether a uid was rotated away less than a minute ago.
        """
        at = self._rotated.get(uid)
        return at is not None and at + ROTATION_MARKER > self.seconds()

    # -- saving and ending

    def save(self, session: Session) -> Deferred[None]:
        """
        Save what has changed.
        """
        entry = session._entry
        if entry is None:
            return succeed(None)
        waiter = DeferredWaiter()
        try:
            saved = entry.settle(waiter)
        except SessionError:
            return fail()
        if saved:
            waiter.sessionSaved()
        return waiter.done

    def ended(self, session: Session, reason: str) -> Deferred[None]:
        """
        A session has ended.
        """
        self.remove(session)
        visits = session._visits or {}
        for visit in visits:
            if len(visits) == 1 or visit.exchange.request is self.current:
                visit.endedHere = True
        expired = reason in ("idle", "lifetime")
        kind = EventKind.EXPIRED if expired else EventKind.ENDED
        entry = session._entry
        if entry is None:
            self.announcer.tell(
                kind,
                self.tagOf(session._uid),
                self.seconds(),
                reason,
                session._createdAt,
            )
            return succeed(None)
        if entry.storedKey is not None:
            self.tell(kind, entry, reason, session._createdAt)
        return entry.end()

    def delete(self, keys: Sequence[bytes]) -> Deferred[None]:
        """
        Take records out of the store, now or, if that fails, as soon as it is
        possible; until then they are refused here.
        """
        return self.tombstones.bury(keys)

    def broken(self, failure: Failure, entry: Entry | None) -> None:
        """
        The store failed.
        """
        if failure.check(UnknownKey):
            _log.critical("{error}", error=str(failure.value))
        elif not failure.check(StoreError):
            _log.failure("the session store failed unexpectedly", failure=failure)
        self.tell(EventKind.UNAVAILABLE, entry, str(failure.value))

    # -- the end of the process

    def flightEnded(self) -> None:
        """
        One write fewer is under way.
        """
        self.flights -= 1
        if not self.flights and self._drained:
            drained, self._drained = self._drained, []
            for done in drained:
                done.callback(None)

    def drain(self) -> Deferred[None]:
        """
        Save what has changed in any live session, and wait for all writes.
        """
        if self.store is None:
            return succeed(None)
        for session in list(self.sessions.values()):
            entry = session._entry
            if entry is None or session._phase >= ENDED:
                continue
            try:
                if entry.flight is not None or not entry.isEmpty():
                    entry.settle(DeferredWaiter())
            except SessionError:
                _log.failure("a session could not be saved at the end")
        if not self.flights:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        return done

    def forgetAll(self) -> None:
        """
        Let go of all sessions without ending them: the store has them.
        """
        for session in list(self.sessions.values()):
            self.sessions.leave(session._uid)
            deadlinesOf(session._reactor).forget(session)
        for parked in self.parked.values():
            parked.release()
        self.parked.clear()
        self.resting.clear()
        self.tombstones.stop()


__all__ = ["LiveTable"]
