"""
How one live session is saved.

Owns what the store has acknowledged of a session, and the decision whether it
has to be told more.  How a write goes is the business of its
L{Flight<txsessions.live.flight.Flight>}.  Knows no HTTP and no engine.

Theory of operation.  Nobody says that a session has changed: L{Entry.settle} encodes
its parts, unless it is made of the very objects that it was made of before, and none of
them can change, and compares them with what the store acknowledged.  If they differ,
one write starts; whoever settles meanwhile joins it if it carries the state that he
sees, else waits for the next.  A conflict is merged and written again, a session that is
gone is ended here too, and any other failure drops the live object, for it is unknown
then what the store has.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.lifetime import lifetimeOf, touchInterval
from txsessions.core.record import tagOf
from txsessions.core.settle import DECISIONS, Need
from txsessions.core.uid import storeKeyOf
from txsessions.errors import SessionError, SessionStale
from txsessions.live import gathering
from txsessions.live.ending import Ending, Removed
from txsessions.live.flight import Flight, start
from txsessions.live.gathering import areSame, fixedObjects, plainParts
from txsessions.live.phases import ENDED, NEW, STALE
from txsessions.live.touching import askElsewhere, tellOfUse, usedOutside
from txsessions.live.waiting import GONE, SAVED, Waiter, tellAll, tellFailed

if TYPE_CHECKING:
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

_log = Logger()

_NEEDLESS, _TOUCH = Need.NOTHING, Need.TOUCH

_given = attrgetter("sessionTimeout", "sessionLifetime", "_scheme")
_NO_SCHEME = (False, b"")
_NOTHING: dict[bytes, bytes] = {}
_NO_TERMS: tuple[Any, ...] = ()


class Entry:
    """
    A live session's account with its store.

    @ivar _objects: What the session was made of when it was last seen to be as the store
        has it, if none of that can change.  Forgotten with each write and each new uid;
        and what others have written brings other L{parts}.
    @ivar storedKey: The one under which the store has it, or L{None}.
    @ivar isKnown: Whether the store may know of it: some write was begun.
    @ivar version: The version that the store acknowledged; 0 for none.
    @ivar parts: The parts that the store acknowledged.
    @ivar storedTerms: The terms that the store acknowledged.
    @ivar touchedAt: The last touch that the store was told of.
    @ivar flight: The write under way.
    @ivar again: Who waits for the one after it.
    @ivar movedFrom: The uid before, while it gets another; whether its state stays.
    @ivar principal: By what hash the store knows who is signed in.
    @ivar seen: What C{store.changes()} said when the session was last known to
        be as the store has it.
    @ivar pinned: Whether it holds what cannot be kept.
    @ivar restsUntil: When it may leave memory.
    @ivar given: The limits and the cookie of which its terms were made; nothing, if one of
        them is another since.
    @ivar head: What it is written with beside the parts, see
        L{txsessions.core.state.packHead}, and of what that was made.
    """

    __slots__ = (
        "_ending",
        "_key",
        "_objects",
        "_terms",
        "_touchInterval",
        "again",
        "flight",
        "given",
        "head",
        "isKnown",
        "movedFrom",
        "parts",
        "pinned",
        "principal",
        "restsUntil",
        "seen",
        "session",
        "storedKey",
        "storedTerms",
        "table",
        "touchedAt",
        "version",
    )

    def __init__(self, table: LiveTable, session: Session) -> None:
        self.table = table
        self.session = session
        self._key: bytes | None = None
        self._objects: list[object] = []
        self.head: tuple[object, bytes] = (None, b"")
        self.storedKey: bytes | None = None
        self.isKnown = self.pinned = False
        self.version = 0
        self.parts = _NOTHING
        self.storedTerms = self.given = self._terms = _NO_TERMS
        self.touchedAt = session.lastModified
        self.flight: Flight | None = None
        self.again: list[Waiter] | None = None
        self.seen: int | None = None
        self.principal: bytes | None = None
        self.movedFrom: tuple[bytes, bool] | None = None
        self._ending: Ending | None = None
        self._touchInterval = self.restsUntil = 0.0

    @property
    def key(self) -> bytes:
        """
        The store key that it is to have.
        """
        if self._key is None:
            self._key = storeKeyOf(self.table.siteName, self.session._uid)
        return self._key

    def renamed(self) -> None:
        """
        The session was given another uid.
        """
        self._key = None
        self.given = ()
        self._objects = []

    def termsChanged(self) -> None:
        """
        A limit of the session, or its cookie, is another one, or may be.
        """
        self.given = ()
        self._objects = []

    @property
    def tag(self) -> str:
        """
        What logs know the session by.
        """
        return tagOf(self.key)

    @property
    def terms(self) -> tuple[Any, ...]:
        """
        What is kept beside the parts: idle and absolute seconds, the scheme, the
        cookie's name, who is signed in (which changes only with the uid).
        """
        session = self.session
        given = _given(session)
        if given != self.given:
            idle, lifetime, scheme = self.given = given
            secure, cookieName = scheme or _NO_SCHEME
            lifetime = lifetimeOf(idle, lifetime)
            before = self._terms[:2] or (idle, lifetime)
            self._terms = idle, lifetime, secure, cookieName, session._signIn
            self._touchInterval = touchInterval(idle)
            if (idle, lifetime) != before:
                session._reschedule()
        return self._terms

    @property
    def ending(self) -> Ending:
        """
        What has become of its deletion.
        """
        if self._ending is None:
            self._ending = Ending()
        return self._ending

    # -- settling

    def gather(self) -> dict[bytes, bytes]:
        """
        The parts as they are now.

        @raise CannotBeKept: Something is beyond the limits, or in a strict site
            of a class that the program did not name.
        """
        session, parts = self.session, self.parts
        if self._objects and areSame(session, parts, self._objects):
            return parts
        plain = None if self.pinned else plainParts(session)
        return self._gather() if plain is None else plain

    def _gather(self) -> dict[bytes, bytes]:
        """
        Do what L{gather} does for what is not plain.
        """
        gathered = gathering.gather(self.session, self.parts)
        if gathered.unkeepable or self.pinned:
            self.table.pins.note(self, gathered)
        return gathered.parts

    def isEmpty(self) -> bool:
        """
        Whether this is a new session that nobody put anything into.
        """
        isNew = self.session._phase == NEW and self.flight is None
        return isNew and self.session._isBare()

    def settle(self, waiter: Waiter, tries: int = 0) -> bool:
        """
        Save what has changed.

        @param waiter: Who is told, if there is anything to wait for.
        @return: Whether there is nothing to wait for.
        @raise SessionError: The state cannot be saved as it is, or the session
            was dropped before.
        """
        objects, session = self._objects, self.session
        if (
            objects
            and session._phase < ENDED
            and session.lastModified - self.touchedAt < self._touchInterval
            and areSame(session, self.parts, objects)
        ):
            # As by far most requests leave it.
            return True
        return self._settle(waiter, tries)

    def _settle(self, waiter: Waiter, tries: int) -> bool:
        """
        Do what L{settle} does, where that takes more than a glance.
        """
        session = self.session
        if session._phase >= ENDED:
            if session._phase == STALE:
                raise SessionStale(self.tag)
            return self.ending.wait(waiter)
        try:
            parts = None if self.pinned else plainParts(session)
            if parts is None:
                parts = self._gather()
        except SessionError:
            self.drop()
            raise
        touchDue = session.lastModified - self.touchedAt >= self._touchInterval
        terms = self._terms if self.given else self.terms
        key = self._key or self.key
        flight = self.flight
        if flight is not None:
            if flight.carries(parts, terms, key):
                flight.waiters.append(waiter)
            elif self.again is None:
                self.again = [waiter]
            else:
                self.again.append(waiter)
            return False
        storedKey = self.storedKey
        stored = storedKey is not None
        changed = parts != self.parts or terms != self.storedTerms
        renamed = stored and storedKey != key
        need = DECISIONS[stored, False, False, changed, renamed, touchDue]
        if need is _TOUCH:
            tellOfUse(self, terms)
        elif need is not _NEEDLESS:
            self._objects = []
            start(self, need, parts, terms, waiter, tries)
            return False
        self._objects = fixedObjects(session, self.parts)
        return True

    def resettle(self, waiters: list[Waiter], tries: int = 0) -> None:
        """
        Settle once more for waiters that were told to wait.
        """
        for waiter in waiters:
            try:
                if self.settle(waiter, tries):
                    isGone = self.session._phase == ENDED
                    tellAll([waiter], GONE if isGone else SAVED)
            except BaseException as error:
                if not isinstance(error, SessionError):
                    _log.failure("A session met an unexpected error")
                tellFailed([waiter], Failure())

    def drop(self) -> None:
        """
        Let go of the live object, whose changes cannot be saved.
        """
        # What has become of a uid that it was to give up, the store has to say.
        if self.movedFrom is not None:
            self.table.rotated.forget(self.movedFrom[0])
        self.table.leave(self.session)
        self.session._close()
        self.session._phase = STALE

    # -- time

    def isHeld(self) -> bool:
        """
        Whether a request holds the session.  One that became a WebSocket never lets
        go of it, and does not count once it is forgotten itself.
        """
        session = self.session
        if session._visits is not None:
            if any(held() is not None for held in session._visits):
                return True
            session._visits = None
        return False

    def released(self) -> None:
        """
        No request holds the session any more.
        """
        self.table.resting.rest(self)

    def touched(self) -> None:
        """
        The session was used outside a request.
        """
        if self.table.resting.restHere(self):
            usedOutside(self)

    def deadlinePassed(self) -> None:
        """
        Nobody here has used the session for long enough; somebody elsewhere may have.
        """
        session = self.session
        certain = self.storedKey is None or self.isAlone()
        if certain or session._outlived() == "lifetime":
            session._runOut()
        else:
            askElsewhere(self)

    def isStoredAs(self, uid: bytes) -> bool:
        """
        Whether the store has acknowledged a record under this uid, so that its absence
        says that somebody else has ended the session, even while one is written.
        """
        return self.storedKey == storeKeyOf(self.table.siteName, uid)

    def isCurrent(self) -> bool:
        """
        Whether the live session may be used without asking the store, which does not
        know it yet, or nothing new.  A write under way says nothing of others.
        """
        seen, table = self.seen, self.table
        if (  # Else nobody else has changed it: what isAlone says, without the call.
            seen is None or not table.lifecycle.isOpen or table.store.changes() != seen
        ) and self.storedKey == (self._key or self.key):
            return False
        session = self.session
        due = session._due
        return due is None or due > session._clock.seconds()

    def isAlone(self) -> bool:
        """
        Whether it is certain that nobody else has changed the record.
        """
        seen, table = self.seen, self.table
        if seen is None or not table.lifecycle.isOpen:
            return False
        return table.store.changes() == seen  # type: ignore[no-any-return]

    # -- the end

    def endedElsewhere(self, *, isGone: bool = False) -> None:
        """
        The store does not have it any more under the key that is known here.

        @param isGone: Whether it is known to have no other key.
        """
        self.ending.isOver = True
        _ = self.session._end("elsewhere")
        self.ending.mayLive = not isGone

    def end(self, removed: Removed = None, *, marks: bool = False) -> Deferred[None]:
        """
        Take it out of the store, for good.

        @param removed: See L{Ending.begin}, as for C{marks}.
        @return: Fires when it is gone.
        """
        ending = self.ending
        if not self.isKnown:
            ending.isOver = True
        elif not ending.isOver:
            flight = self.flight
            keys = {self.key, self.storedKey or self.key, (flight or self).key}
            later = flight is not None
            ending.begin(self.table, sorted(keys), removed, marks=marks, later=later)
        return ending.gone()


__all__ = ["Entry"]
