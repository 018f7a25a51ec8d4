"""
The time of a session: its two limits, its last use, and its deadline.

Owns the members of C{twisted.web.server.Session} that are about time.  Knows no
store: what else has to happen when a session was used or has run out is the
business of its L{Entry<txsessions.live.entry.Entry>}.
"""

from __future__ import annotations

from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any

from twisted.internet.error import AlreadyCalled
from twisted.python import threadable
from twisted.web.server import Session as _TwistedSession

from txsessions.core.lifetime import LIFETIME, lifetimeOf, validSeconds
from txsessions.errors import SessionStale, WrongThread
from txsessions.live.deadlines import ExpireCall, deadlinesOf
from txsessions.live.phases import ENDED, STALE

if TYPE_CHECKING:
    from collections.abc import Callable

    from txsessions.live.entry import Entry
    from txsessions.live.table import LiveTable


def demandThread() -> None:
    """
    @raise WrongThread: This is not the reactor's thread.
    """
    ioThread: int | None = threadable.ioThread
    if ioThread is not None and ioThread != get_ident():
        raise WrongThread(
            "sessions belong to the reactor's thread: use "
            "reactor.callFromThread(function) to change one from elsewhere"
        )


class Limit:
    """
    An attribute of sessions that is a number of seconds.  A change on an
    instance counts from now; what its class says is looked up with each use, and told
    to the store with that.
    """

    name: str

    def __init__(self, source: object) -> None:
        """
        @param source: Has, under the same name, what it is for an instance that has
            none of its own.
        """
        self._source: Any = source

    def __set__(self, session: Any, seconds: Any) -> None:
        setattr(session, f"_{self.name}", checked(self.name, seconds))
        session._limitChanged()

    def __delete__(self, session: Any) -> None:
        setattr(session, f"_{self.name}", None)
        session._limitChanged()


# Each request reads a limit, and most of what that takes is the call: hence two classes
# that differ in a name.  A session's own limit is above zero, or it has none.


class _Idle(Limit):
    """
    The seconds after which an unused session ends.
    """

    name = "sessionTimeout"

    def __get__(self, session: Any, owner: type | None = None) -> Any:
        if session is None:
            return self._source.sessionTimeout
        return session._sessionTimeout or self._source.sessionTimeout


class _Lifetime(Limit):
    """
    The seconds after which any session ends.
    """

    name = "sessionLifetime"

    def __get__(self, session: Any, owner: type | None = None) -> Any:
        if session is None:
            return self._source.sessionLifetime
        return session._sessionLifetime or self._source.sessionLifetime


class _Standard:
    """
    The limit that Twisted does not know.
    """

    def __init__(self) -> None:
        # An object's own is found faster than a class's.
        self.sessionLifetime: float | None = None


_LIMITS: dict[str, type[Limit]] = {limit.name: limit for limit in (_Idle, _Lifetime)}
NAMES = tuple(_LIMITS)
"""The limits.  They are kept as what they are, and not among the parts."""


def checked(name: str, seconds: Any) -> Any:
    """
    Check what the program says of a limit.

    @raise ConfigurationError: It is no number of seconds; or L{None} for the
        idle time, which every session has.
    """
    if seconds is not None or name == "sessionTimeout":
        validSeconds(seconds, name)
    return seconds


class Timed:
    """
    What a session has to do with time.
    """

    __slots__ = (
        "_clock",
        "_createdAt",
        "_due",
        "_endsAt",
        "_queuedFor",
        "_sessionLifetime",
        "_sessionTimeout",
        "lastModified",
    )

    _clock: Any
    _createdAt: float
    _due: float | None
    _endsAt: float
    _entry: Entry | None
    _phase: int
    _queuedFor: float
    _sessionLifetime: float | None
    _sessionTimeout: float | None
    _visits: dict[Callable[[], Any], None] | None
    lastModified: float

    # Programs set the one of Twisted's class, for all sessions.
    sessionTimeout: Any = _Idle(_TwistedSession)
    sessionLifetime: Any = _Lifetime(_Standard())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """
        A limit that a subclass has as a plain number is a L{Limit} too.
        """
        super().__init_subclass__(**kwargs)
        takeLimits(cls)

    @property
    def _reactor(self) -> Any:
        """
        What tells the time.  A program may replace it: what is left of the
        session's time is then measured by the other.
        """
        return self._clock

    @_reactor.setter
    def _reactor(self, reactor: Any) -> None:
        due = self._due
        try:
            before = object.__getattribute__(self, "_clock")
        except AttributeError:
            self._clock = reactor
            return
        self._unwatch()
        self._clock = reactor
        ahead = reactor.seconds() - before.seconds()
        self._createdAt += ahead
        self._endsAt += ahead
        self.lastModified += ahead
        if due is not None:
            self._watchUntil(due + ahead)

    @property
    def _expireCall(self) -> ExpireCall | None:
        """
        The delayed call that stock Twisted would have.
        """
        if self._due is None:
            return None
        return ExpireCall(self, self._clock, self._endsAt)

    @_expireCall.setter
    def _expireCall(self, call: Any) -> None:
        # Code that was written for stock Twisted makes its own call of
        # self.expire: ours stands in for it.
        if call is None:
            self._unwatch()
        elif getattr(call, "func", None) == self.expire and call.active():  # type: ignore[attr-defined]
            due = call.getTime()
            call.cancel()
            self._unwatch()
            self._watchUntil(due)

    def _unwatch(self) -> None:
        """
        No longer end by itself.
        """
        if self._due is not None or self._queuedFor != inf:
            deadlinesOf(self._clock).forget(self)

    def _watchUntil(self, due: float) -> None:
        """
        End by itself then, if nobody uses the session.
        """
        self._due = min(due, self._endsAt)
        deadlinesOf(self._clock).watch(self)

    def _span(self) -> float:
        """
        How long it may live at most, in seconds.
        """
        return lifetimeOf(self.sessionTimeout, self.sessionLifetime)

    def _deadline(self) -> float:
        """
        When this session ends if nobody touches it: exact.
        """
        end = self._createdAt + self._span()
        idle: float = self.sessionTimeout
        return min(self.lastModified + idle, end)

    def _hasOutlived(self) -> bool:
        """
        Whether a limit has been reached.
        """
        due = self._due
        if due is None:
            due = self._deadline()
        return bool(self._clock.seconds() >= due)

    def _limitChanged(self) -> None:
        """
        Count from now on, unless time is up already.
        """
        if self._entry is not None:
            self._entry.termsChanged()
        due = self._due
        if due is None or due <= self._clock.seconds():
            return
        self.lastModified = self._clock.seconds()
        self._reschedule()
        if self._visits is None and self._entry is not None:
            self._entry.touched()

    def _reschedule(self) -> None:
        """
        The limits have changed, so the deadline has.
        """
        self._endsAt = self._createdAt + self._span()
        if self._due is not None:
            self._watchUntil(self.lastModified + self.sessionTimeout)

    def startCheckingExpiration(self) -> None:
        """
        End by itself at the deadline, from now on.  Twice is once.
        """
        demandThread()
        if self._due is None and self._phase < ENDED:
            clock, idle = self._clock, self.sessionTimeout
            lifetime = self.sessionLifetime
            if lifetime is None:
                lifetime = LIFETIME if idle < LIFETIME else idle  # noqa: FURB136
            end = self._endsAt = self._createdAt + lifetime
            # From now on, as the builtin does.
            due = clock.seconds() + idle
            self._due = due = due if due < end else end  # noqa: FURB136 - twice as fast
            table = self._table()
            if table is not None and table.reactor is clock:
                table.deadlines.enter(self, due)
            else:
                deadlinesOf(clock).enter(self, due)

    def touch(self) -> None:
        """
        Move the idle deadline.

        @raise AlreadyCalled: The session has ended.
        @raise SessionStale: It was dropped because it could not be saved.
        """
        ioThread: int | None = threadable.ioThread
        if ioThread is not None and ioThread != get_ident():
            demandThread()
        now = self._clock.seconds()
        due = self._due
        if due is not None and due <= now:
            # The timer has not rung yet, or rings for others before.
            self._unwatch()
            self._deadlinePassed()
        if self._phase >= ENDED:
            if self._phase == STALE:
                raise SessionStale(self._tag())
            raise AlreadyCalled
        self.lastModified = now
        idle = self.sessionTimeout
        if due is not None:
            due, end = now + idle, self._endsAt
            self._due = due = due if due < end else end  # noqa: FURB136 - twice as fast
            if due < self._queuedFor:
                deadlinesOf(self._clock).watch(self)
        entry = self._entry
        if entry is not None:
            given = entry.given
            if given and (given[0] is not idle or given[1] is not self.sessionLifetime):
                # Its class has others since.
                entry.termsChanged()
            if self._visits is None:
                entry.touched()

    def _deadlinePassed(self) -> None:
        """
        Nobody has used this session for long enough.
        """
        if self._entry is None:
            self._runOut()
        else:
            self._entry.deadlinePassed()

    def _outlived(self) -> str:
        """
        Which of the two limits has been reached.
        """
        end = self._createdAt + self._span()
        return "lifetime" if self._clock.seconds() >= end else "idle"

    def _runOut(self) -> None:
        """
        End, by the C{expire} that an application may have overridden.
        """
        raise NotImplementedError

    def _tag(self) -> str:
        """
        What logs know the session by.
        """
        raise NotImplementedError

    def _table(self) -> LiveTable | None:
        """
        The live table that holds this session, if its site has one.
        """
        raise NotImplementedError


def takeLimits(cls: type) -> None:
    """
    Make a L{Limit} of what a session class has as a plain number, be it that
    the class was written so or that a program has set it.

    @raise ConfigurationError: It is no number of seconds.
    """
    for name in NAMES:
        definer = next(base for base in cls.__mro__ if name in vars(base))
        given = vars(definer)[name]
        if given is None or isinstance(given, (int, float)):
            checked(name, given)
            own = type(cls.__name__, (), {name: given})
            setattr(cls, name, _LIMITS[name](own if definer is cls else definer))


__all__ = ["NAMES", "Limit", "Timed", "checked", "demandThread", "takeLimits"]
