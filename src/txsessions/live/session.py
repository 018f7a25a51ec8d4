"""
The session that a resource sees.

Owns every member of C{twisted.web.server.Session} and its C{Componentized}
base, and the few that come in addition.  Knows neither HTTP nor any store: what
has to be saved, and when, is the business of its L{Entry<txsessions.live.entry>}.

Everything that is not the application's own lies in slots, so that the
C{__dict__} is what the application put there, and an empty session is small:
what is seldom used is made on first use.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import AlreadyCalled
from twisted.logger import Logger
from twisted.python import threadable
from twisted.web.server import Session as _TwistedSession

from txsessions.core.lifetime import lifetimeOf
from txsessions.errors import ConfigurationError, SessionStale, WrongThread
from txsessions.live.callbacks import MAX_CALLBACKS, noMore, runCallbacks
from txsessions.live.components import KeptComponents, Offered
from txsessions.live.deadlines import ExpireCall, deadlinesOf

if TYPE_CHECKING:
    from txsessions.live.entry import Entry
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")

NEW, STORED, ENDED, STALE = range(4)
"""What a session can be: made here and not in the store yet; in the store, or
kept by this process for good; ended; dropped because it could not be saved."""


class Session(KeptComponents, _TwistedSession):
    """
    A visitor's session, kept by the store of its site.

    Plain data in attributes, in L{sessionNamespaces} and in components is kept
    and comes back after a restart.  Changes need not be declared: they are seen
    when the response goes out.  Use it in the reactor's thread only.

    @cvar sessionTimeout: Idle seconds after which the session ends.  An instance
        may have its own.
    @cvar sessionLifetime: Seconds after which it ends however busy it is;
        L{None} for 12 hours, or the idle time if that is longer.
    @ivar site: The L{Site<txsessions.Site>} that it belongs to.
    @ivar lastModified: When it was last used, in the reactor's seconds.
    @ivar sessionNamespaces: A dict for the application.
    @ivar expireCallbacks: What is called when it has ended.
    """

    sessionTimeout: float = 900  # type: ignore[assignment]
    sessionLifetime: float | None = None

    __slots__ = (
        "_adapterCache",
        "_baseline",
        "_createdAt",
        "_dormant",
        "_due",
        "_endsAt",
        "_entry",
        "_isNew",
        "_phase",
        "_queuedFor",
        "_reactor",
        "_scheme",
        "_uid",
        "_uidRead",
        "_visits",
        "expireCallbacks",
        "lastModified",
        "sessionNamespaces",
        "site",
    )

    _adapterCache: dict[str, Any]
    _baseline: dict[str, bytes] | None
    _createdAt: float
    _dormant: dict[bytes, bytes] | None
    _due: float | None
    _endsAt: float
    _entry: Entry | None
    _isNew: bool
    _phase: int
    _queuedFor: float
    _reactor: Any
    _scheme: tuple[bool, bytes] | None
    _uid: bytes
    _uidRead: bool
    _visits: dict[Any, None] | None
    expireCallbacks: list[Callable[[], object]]
    lastModified: float
    sessionNamespaces: dict[Any, Any]
    site: Any

    # What a slot holds that nobody has filled, be it for thrift or because a
    # subclass never called our __init__.
    _absent = {  # noqa: RUF012 - a constant
        "_baseline": None,
        "_dormant": None,
        "_due": None,
        "_endsAt": inf,
        "_entry": None,
        "_isNew": False,
        "_phase": NEW,
        "_queuedFor": inf,
        "_scheme": None,
        "_uidRead": False,
        "_visits": None,
        "site": None,
        "_uid": b"",
        "lastModified": 0.0,
    }
    _madeOnUse = {  # noqa: RUF012 - a constant
        "_adapterCache": dict,
        "expireCallbacks": list,
        "sessionNamespaces": dict,
    }

    def __init__(self, site: Any, uid: bytes, reactor: Any = None) -> None:
        """
        @param site: The site, or L{None} where there is none, as in a
            C{DummyRequest}.
        @param uid: What the cookie will hold.
        @param reactor: An C{IReactorTime}; the site's, if not given.
        """
        if reactor is None:
            reactor = site.reactor
        self._reactor = reactor
        self.site = site
        self._uid = uid
        self._createdAt = self.lastModified = reactor.seconds()
        # What every request looks at is filled in; the way by __getattr__ is
        # twenty times as long.
        self._phase = NEW
        self._due = self._entry = self._scheme = self._visits = None
        self._baseline = self._dormant = None
        self._queuedFor = self._endsAt = inf
        self._isNew = self._uidRead = False

    def __getattr__(self, name: str) -> Any:
        """
        Find what is not there, or not yet.
        """
        make = self._madeOnUse.get(name)
        if make is not None:
            made = make()
            setattr(self, name, made)
            return made
        try:
            return self._absent[name]
        except KeyError:
            pass
        if name == "_createdAt":
            return self.lastModified
        if name == "_reactor" and self.site is not None:
            return self.site.reactor
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}"
        )

    def __repr__(self) -> str:
        """
        Say which session this is, without the uid.
        """
        return f"<{type(self).__name__} {self.tag or 'without a site'}>"

    @property
    def uid(self) -> bytes:
        """
        The secret in the cookie.  An application that has read it may have
        given it to somebody, so that the session is kept even if it is empty.
        """
        self._uidRead = True
        return self._uid

    @uid.setter
    def uid(self, uid: bytes) -> None:
        table = self._table()
        if table is not None and table.sessions.get(self._uid) is self:
            table.rekey(self, uid)
        else:
            self._uid = uid

    @Offered
    def tag(self) -> str:
        """
        What logs and operators know this session by: 16 hexadecimal characters.
        """
        table = self._table()
        return "" if table is None else table.tagOf(self._uid)

    @Offered
    def isNew(self) -> bool:
        """
        Whether the session was made in this request.
        """
        return bool(self._isNew)

    def _table(self) -> LiveTable | None:
        """
        The live table that holds this session, if its site has one.
        """
        return getattr(self.site, "_live", None)

    def _demandThread(self) -> None:
        """
        @raise WrongThread: This is not the reactor's thread.
        """
        ioThread: int | None = threadable.ioThread
        if ioThread is not None and ioThread != threading.get_ident():
            raise WrongThread(
                "sessions belong to the reactor's thread: use "
                "reactor.callFromThread(function) to change one from elsewhere"
            )

    # -- time

    @property
    def _expireCall(self) -> ExpireCall | None:
        """
        The delayed call that stock Twisted would have.
        """
        return None if self._due is None else ExpireCall(self, self._reactor)

    @_expireCall.setter
    def _expireCall(self, call: Any) -> None:
        if call is None and self._due is not None:
            deadlinesOf(self._reactor).forget(self)

    def _deadline(self) -> float:
        """
        When this session ends if nobody touches it: exact.
        """
        idle = self.sessionTimeout
        end = self._createdAt + lifetimeOf(idle, self.sessionLifetime)
        return min(self.lastModified + idle, end)

    def startCheckingExpiration(self) -> None:
        """
        End by itself at the deadline, from now on.  Twice is once.
        """
        if self._due is None:
            idle = self.sessionTimeout
            end = self._createdAt + lifetimeOf(idle, self.sessionLifetime)
            # From now on, as the builtin does: the reactor may be another one
            # than the session was made with.
            self._endsAt = end
            self._due = min(self._reactor.seconds() + idle, end)
            deadlinesOf(self._reactor).watch(self)

    def touch(self) -> None:
        """
        Move the idle deadline.

        @raise AlreadyCalled: The session has ended.
        """
        if self._phase >= ENDED:
            raise AlreadyCalled
        self.lastModified = now = self._reactor.seconds()
        if self._due is not None:
            due = now + self.sessionTimeout
            due = min(due, self._endsAt)
            self._due = due
            if due < self._queuedFor:
                deadlinesOf(self._reactor).watch(self)
        if self._visits is None and self._entry is not None:
            self._entry.touched()

    def _deadlinePassed(self) -> None:
        """
        Nobody has touched this session for long enough.
        """
        if self._entry is None:
            _ = self._end(self._outlived())
        else:
            self._entry.deadlinePassed()

    def _outlived(self) -> str:
        """
        Which of the two limits has been reached.
        """
        end = self._createdAt + lifetimeOf(self.sessionTimeout, self.sessionLifetime)
        return "lifetime" if self._reactor.seconds() >= end else "idle"

    # -- the end

    def notifyOnExpire(self, callback: Callable[[], object]) -> None:
        """
        Call C{callback} once, when the session is gone.

        A callback that raises is logged and disturbs no other.  One that is
        added while callbacks run is run after them.  There may be a thousand;
        more are refused with a warning.
        """
        callbacks = self.expireCallbacks
        if len(callbacks) < MAX_CALLBACKS:
            callbacks.append(callback)
        elif len(callbacks) == MAX_CALLBACKS:
            callbacks.append(noMore)
            _log.warn(
                "session {tag} has {limit} expiry callbacks and takes no more: "
                "register each only once",
                tag=self.tag,
                limit=MAX_CALLBACKS,
            )

    def expire(self) -> Deferred[None]:
        """
        End the session: it is gone in this process at once.

        @return: Fires when it is gone from the store; may be ignored, since the
            response waits for it too.
        """
        self._demandThread()
        return self._end("expire")

    def _end(self, reason: str) -> Deferred[None]:
        """
        End, once, and run the callbacks.
        """
        if self._phase >= ENDED:
            return (
                self._entry.ending.gone() if self._entry is not None else succeed(None)
            )
        table = self._table()
        self._close()
        done: Deferred[None] = succeed(None)
        if table is not None:
            done = table.ended(self, reason)
        elif self.site is not None:
            getattr(self.site, "sessions", {}).pop(self._uid, None)
        self._runCallbacks()
        return done

    def _close(self) -> None:
        """
        Be of no more use.
        """
        self._phase = ENDED
        if self._queuedFor != inf or self._due is not None:
            deadlinesOf(self._reactor).forget(self)

    def _isBare(self) -> bool:
        """
        Whether there is nothing in it at all, and nobody knows its uid.
        """
        return not (
            self._uidRead
            or self.__dict__
            or self.sessionNamespaces
            or self.expireCallbacks
            or self._hasComponents()
        )

    def _hasComponents(self) -> bool:
        """
        Whether there is any component, without making a place for them.
        """
        try:
            return bool(_adapterCacheSlot.__get__(self))
        except AttributeError:
            return False

    def _runCallbacks(self) -> None:
        """
        Run what was registered, then once more what that registered.
        """
        for _ in range(2):
            callbacks, self.expireCallbacks = self.expireCallbacks, []
            runCallbacks(callbacks)
            if not self.expireCallbacks:
                return
        self.expireCallbacks = []

    # -- what is kept

    def save(self) -> Deferred[None]:
        """
        Save what has changed, now: for code that works outside a request, or
        never finishes its response.

        @return: Fires when the store has acknowledged it; may be ignored.  Fails
            with C{StoreUnavailable}, C{SessionTooLarge} or C{CannotBeKept}.
        """
        self._demandThread()
        if self._phase == STALE:
            raise SessionStale(self.tag)
        table = self._table()
        if table is None or self._phase == ENDED:
            return succeed(None)
        return table.save(self)

    def rotate(self, request: Any) -> Deferred[None]:
        """
        Give the session a new uid, as is due at each sign-in, and keep its
        state.  The old uid is dead from now on; the new cookie goes out on the
        response to C{request} only.

        @return: Fires when the store has acknowledged it; may be ignored, since
            the response waits for it too.
        @raise ResponseStarted: The headers have been sent.
        """
        self._demandThread()
        if self._phase == STALE:
            raise SessionStale(self.tag)
        table = self._table()
        change = getattr(request, "_sessionRotates", None)
        if table is None or change is None:
            raise ConfigurationError(
                "rotate() needs a session of a txsessions Site and the request "
                "that is to carry the new cookie"
            )
        change(self)
        return table.rotate(self)

    def __getitem__(self, name: Any) -> Any:
        return self.sessionNamespaces[name]

    def __setitem__(self, name: Any, value: Any) -> None:
        self.sessionNamespaces[name] = value

    def __delitem__(self, name: Any) -> None:
        del self.sessionNamespaces[name]

    def __contains__(self, name: Any) -> bool:
        return name in self.sessionNamespaces

    def __iter__(self) -> Iterator[Any]:
        return iter(self.sessionNamespaces)

    def __bool__(self) -> bool:
        """
        A session is true, also an empty one.
        """
        return True


_adapterCacheSlot: Any = Session.__dict__["_adapterCache"]


__all__ = ["ENDED", "NEW", "STALE", "STORED", "Session"]
