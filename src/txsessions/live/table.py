"""
The live table: the sessions that this process holds, for one store and site
name.

Owns which sessions are live, how they get in and out, and who is told what
happens.  One object a uid, however many requests use it.  Knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

from txsessions.core.record import tagOf
from txsessions.core.uid import storeKeyOf
from txsessions.errors import SessionError, SessionUnavailable, UnknownKey
from txsessions.live.anonymous import Anonymous
from txsessions.live.checking import Checks
from txsessions.live.companions import Companions
from txsessions.live.deadlines import deadlinesOf
from txsessions.live.draining import Writes
from txsessions.live.ending import endAsked, endByLimit, endHere, tellAnswers
from txsessions.live.entry import Entry
from txsessions.live.events import CREATED, Announcer, EventKind
from txsessions.live.laststate import lastStateOf
from txsessions.live.loading import Loader
from txsessions.live.parked import Parked
from txsessions.live.phases import NEW, STALE, STORED
from txsessions.live.pins import Pins
from txsessions.live.principals import Principals
from txsessions.live.resting import Resting
from txsessions.live.rotating import Rotated, beginTrail
from txsessions.live.session import Session
from txsessions.live.sessions import Sessions
from txsessions.live.tombstones import Tombstones
from txsessions.live.transacting import Transactions
from txsessions.live.waiting import DeferredWaiter
from txsessions.live.watching import Watching

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from txsessions.core.seal import Sealer
    from txsessions.interfaces import ISessionStore
    from txsessions.live.lifecycle import Lifecycle

_log = Logger(namespace="txsessions")

MINT_TRIES = 5
"""How often a uid that is taken is drawn again."""

_LIMITS = frozenset({"idle", "lifetime"})


class LiveTable:
    """
    The live sessions of one store and site name.

    @ivar seconds: Tells the time, in seconds since the epoch.
    @ivar store: The store, or L{None} where this process is all there is.
    @ivar deadlines: The one timer of the reactor.
    @ivar sessions: The live sessions by uid.
    @ivar byKey: The accounts of those that the store has, by store key.
    @ivar sealer: What seals and opens records; there once the store is open.
    @ivar current: The request whose resource is being rendered.
    @ivar isMaking: Whether a request has the site make a session.
    @ivar writes: The writes under way.
    @ivar parked: The callbacks of sessions that have left memory, by store key.
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
        # As each request asks for it, it is not looked for in the reactor's class.
        self.seconds: Callable[[], float] = reactor.seconds
        self.store: Any = store
        self.siteName = siteName
        self.announcer = announcer
        self.deadlines = deadlinesOf(reactor)
        self.sessions = Sessions()
        self.byKey: dict[bytes, Entry] = {}
        self.current: Any = None
        self.isMaking = False
        self.writes = Writes(self)
        self.parked: dict[bytes, Parked] = {}
        self.companions = Companions()
        self.rotated = Rotated()
        self.pins = Pins(strict=strict)
        self.tombstones = Tombstones(self)
        self.loader = Loader(self)
        self.resting = Resting(self)
        self.watching = Watching(self)
        self.transactions = Transactions(self)
        self.checks = Checks(self)
        self.principals = Principals(self)
        self.anonymous = Anonymous(self)

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

    # -- getting in

    def receive(self, session: Any, scheme: tuple[bool, bytes] | None) -> None:
        """
        Take a session that a site just made, and that is in the table.

        @param scheme: Whether its cookie is the secure one, and the cookie's
            name; L{None} where it has none yet.
        """
        byRequest = scheme is not None or self.isMaking
        if self.store is None and not byRequest:
            session._phase = STORED
            self.announcer.counts[CREATED] += 1
            if self.announcer.hasListeners:
                self.announcer.tellOfMaking(session)
            self.anonymous.oneMade()
            return
        session._isNew = byRequest
        session._scheme = scheme
        if self.store is not None and session._entry is None:
            session._entry = entry = Entry(self, session)
            self.resting.rest(entry)

    def mint(self, draw: Callable[[], bytes]) -> bytes:
        """
        Draw a uid that no session here has, had a minute ago, or may have.

        @raise SessionUnavailable: The source of chance fails or repeats itself.
        """
        tries = 0
        while tries < MINT_TRIES:
            try:
                uid = draw()
            except Exception:
                _log.failure("no session id could be drawn")
                raise SessionUnavailable from None
            if uid not in self.sessions and uid not in self.rotated.at.noted:
                return uid
            tries += 1
        _log.critical("the source of session ids repeats itself")
        raise SessionUnavailable

    def enter(self, uid: bytes, session: Session) -> None:
        """
        Put a session that the store has among the live ones.
        """
        entry = session._entry
        assert entry is not None
        self.sessions[uid] = session
        self.resting.departed.pop(uid, None)
        if entry.storedKey is not None:
            self.byKey[entry.storedKey] = entry
        self._unpark(entry)
        self.watching.begin(entry)
        if not entry.isHeld():
            self.resting.rest(entry)
        if session._due is None:
            session._reschedule()
            session._watchUntil(session._deadline())

    def noteStored(self, entry: Entry, key: bytes) -> None:
        """
        The store has a session under this key, maybe instead of another one.
        """
        if entry.storedKey is not None:
            self.byKey.pop(entry.storedKey, None)
        entry.storedKey = key
        session = entry.session
        if self.sessions.get(session._uid) is session:
            self.byKey[key] = entry
            self.watching.begin(entry)

    def _unpark(self, entry: Entry) -> None:
        """
        Give a session its callbacks back.
        """
        parked = self.parked.get(entry.key)
        if parked is not None:
            entry.session.expireCallbacks.extend(parked.release())

    def liveSession(self, uid: bytes) -> Session | None:
        """
        The live session of that uid, unless it has just run out.
        """
        session = self.sessions.get(uid)
        if session is None:
            return None
        due = session._due
        if session._entry is None and due is not None and due <= self.seconds():
            session._runOut()
            return None
        return session

    # -- getting out

    def leave(self, session: Session) -> None:
        """
        Let go of a session without ending it.
        """
        self.sessions.leave(session)
        session._unwatch()
        entry = session._entry
        if self.companions:
            self.companions.left(session)
        if entry is not None:
            self.resting.forget(entry)
            self.watching.end(entry)
            self.pins.forget(entry)
            if entry.storedKey is not None:
                self.byKey.pop(entry.storedKey, None)

    def dismiss(self, session: Session) -> None:
        """
        Forget a new session into which nobody put anything.
        """
        self.leave(session)
        session._close()

    def ended(self, session: Session, reason: str, before: int) -> Deferred[None]:
        """
        A session has ended.

        @param before: The phase that it was in.
        """
        self.leave(session)
        isTold = tellAnswers(self, session, reason)
        entry = session._entry
        tell = partial(self._tellOfEnd, session, reason)
        if entry is None:
            if before == STORED:
                endHere(self, session, tell, isTold=isTold)
            return succeed(None)
        self._unpark(entry)
        if not entry.isKnown or before == STALE:
            return entry.end()
        if reason in _LIMITS:
            return endByLimit(entry, tell)
        return endAsked(entry, tell, isTold=isTold)

    def _tellOfEnd(self, session: Session, reason: str) -> None:
        """
        Tell that a session has ended, with what was in it.
        """
        self.announcer.tell(
            EventKind.EXPIRED if reason in _LIMITS else EventKind.ENDED,
            self.tagOf(session._uid),
            self.seconds(),
            reason,
            session._createdAt,
            session.lastModified,
            lastStateOf(session) if self.announcer.hasListeners else None,
            session._signIn,
        )

    # -- changing ids

    def rekey(self, session: Session, uid: bytes) -> None:
        """
        Give a live session another uid.
        """
        self.sessions.leave(session)
        session._uid = uid
        self.sessions[uid] = session
        if session._entry is not None:
            session._entry.renamed()

    def renew(self, session: Session) -> None:
        """
        Give a session a uid of chance.
        """
        self.rekey(session, self.mint(self.draw))

    def rotate(self, session: Session) -> Deferred[None]:
        """
        Give a session a new uid; the old one is dead from now on.
        """
        old, entry = session._uid, session._entry
        self.renew(session)
        beginTrail(session, self.seconds())
        if session._phase != NEW or entry is None:
            self.rotated.note(old, self.seconds())
            if self.rotated.renewing is not None:
                self.rotated.renewing._note(old, session._uid)
        if entry is None:
            tag = self.tagOf(session._uid)
            self.announcer.tell(EventKind.ROTATED, tag, self.seconds())
        elif entry.storedKey is not None or entry.flight is not None:
            entry.movedFrom = entry.movedFrom or (old, True)
            return self.save(session)
        return succeed(None)

    def isRotated(self, uid: bytes | None) -> bool:
        """
        Whether it is a uid that was rotated away or ended a short time ago.
        """
        return self.rotated.has(uid, self.seconds())

    # -- saving

    def save(self, session: Session) -> Deferred[None]:
        """
        Save what has changed.
        """
        entry = session._entry
        waiter = DeferredWaiter()
        try:
            if entry is None:
                self.anonymous.keep(session)
            else:
                # Who asks for it wants all that is looked up seldom, too.
                entry.termsChanged()
            saved = entry is None or entry.settle(waiter)
        except SessionError:
            waiter.saveFailed(Failure())
            return waiter.done
        if saved:
            waiter.sessionSaved()
        return waiter.done

    def broken(self, failure: Failure, entry: Entry | None) -> None:
        """
        The store failed.  Those who wait for it are told after this, so that nobody who
        hears of it, or observes the log, is to keep them from that.
        """
        with suppress(BaseException):
            if failure.check(UnknownKey):
                _log.critical("{error}", error=safe_str(failure.value))
            elif not failure.check(SessionError):
                _log.failure("the session store failed unexpectedly", failure=failure)
            self.tell(EventKind.UNAVAILABLE, entry, safe_str(failure.value))

    def forgetAll(self) -> None:
        """
        Let go of all sessions without ending them: the store has them.
        """
        for session in list(self.sessions.values()):
            self.leave(session)
            if session._phase == STORED and session._entry is not None:
                self.resting.departed[session._uid] = session
        for parked in list(self.parked.values()):
            parked.release()
        self.tombstones.stop()
        self.transactions.stop()


__all__ = ["LiveTable"]
