"""
The session that a resource sees.

Owns its making and its end; its time, its components and what it has beyond
Twisted's are in modules of their own.  Knows neither HTTP nor any store: what has
to be saved, and when, is the business of its
L{Entry<txsessions.live.entry.Entry>}.

Everything that is not the application's own lies in slots, so that the
C{__dict__} is what the application put there, and an empty session is small:
what is seldom used is made on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.web.server import Session as _TwistedSession

from txsessions.live.additions import Additions
from txsessions.live.callbacks import MAX_CALLBACKS, noMore, runCallbacks
from txsessions.live.components import KeptComponents
from txsessions.live.ending import endAgain
from txsessions.live.fresh import isAsMade
from txsessions.live.gathering import knowUsual
from txsessions.live.phases import ENDED, NEW
from txsessions.live.timing import Timed, demandThread

if TYPE_CHECKING:
    from txsessions.core.signin import SignIn
    from txsessions.live.entry import Entry
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")


_new = object.__new__


def _fill(self: Any, site: Any = None, uid: bytes = b"", now: float = 0.0) -> Any:
    """
    Fill the slots of a session, but for those that only its C{__init__} can.

    @return: The session.
    """
    self._phase = NEW
    self._due = self._entry = self._scheme = self._visits = None
    self._baseline = self._dormant = self._components = None
    self._expireCallbacks = self._sessionNamespaces = self._signIn = None
    self._sessionTimeout = self._sessionLifetime = None
    self._queuedFor = self._endsAt = inf
    self._isNew = self._uidRead = False
    self.site = site
    self._uid = uid
    self.lastModified = now
    return self


def makePlain(site: Any, uid: bytes) -> Session:
    """
    Do what C{Session(site, uid)} does, but for the calling of a class, which takes
    longer than all the rest.
    """
    clock = site.reactor
    now = clock.seconds()
    session: Session = _fill(_new(Session), site, uid, now)
    session._clock, session._createdAt = clock, now
    return session


class Session(Additions, KeptComponents, Timed, _TwistedSession):
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

    __slots__ = (
        "_baseline",
        "_components",
        "_dormant",
        "_entry",
        "_expireCallbacks",
        "_isNew",
        "_phase",
        "_scheme",
        "_sessionNamespaces",
        "_signIn",
        "_uid",
        "_uidRead",
        "_visits",
        "site",
    )

    _baseline: dict[str, bytes] | None
    _components: dict[str, Any] | None
    _dormant: dict[bytes, bytes] | None
    _entry: Entry | None
    _expireCallbacks: list[Callable[[], object]] | None
    _isNew: bool
    _scheme: tuple[bool, bytes] | None
    _sessionNamespaces: dict[Any, Any] | None
    _signIn: SignIn | None
    _uid: bytes
    _uidRead: bool
    sessionTimeout: float  # type: ignore[assignment]
    sessionLifetime: float | None
    site: Any

    def __new__(cls, *args: Any, **how: Any) -> Any:
        """
        Fill the slots: a subclass may never call our C{__init__}.
        """
        if cls is Session or (theirs := super().__new__) is _new:
            return _fill(_new(cls))
        return _fill(theirs(cls, *args, **how))

    def __init__(self, site: Any, uid: bytes, reactor: Any = None) -> None:
        """
        @param site: The site, or L{None} where there is none, as in a
            C{DummyRequest}.
        @param uid: What the cookie will hold.
        @param reactor: An C{IReactorTime}; the site's, if not given.
        """
        if reactor is None:
            reactor = site.reactor
        self._clock = reactor
        self.site = site
        self._uid = uid
        self._createdAt = self.lastModified = reactor.seconds()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """
        Find in a session that never came to our C{__new__} or C{__init__} what those
        set.  Not in others: a class with a C{__getattr__} looks up each attribute in the
        slow way.
        """
        super().__init_subclass__(**kwargs)
        theirs = getattr(cls, "__getattr__", None)
        isMadeByUs = cls.__init__ is Session.__init__ and cls.__new__ is Session.__new__
        if isMadeByUs or getattr(theirs, "oursFirst", False):
            return

        def find(self: Session, name: str) -> Any:
            if name == "_createdAt":
                return self.lastModified
            if name == "_clock":
                return getattr(self.site, "reactor", None)
            if name in _FILLED:
                return getattr(_EMPTY, name)
            if theirs is not None:
                return theirs(self, name)
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}"
            )

        find.oursFirst = True  # type: ignore[attr-defined]
        cls.__getattr__ = find  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        """
        Say which session this is, without the uid.
        """
        return f"<{type(self).__name__} {self._tag() or 'without a site'}>"

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

    @property
    def _adapterCache(self) -> dict[str, Any]:
        """
        See C{Componentized._adapterCache}: the components by interface.  It is
        made on first use.
        """
        components = self._components
        if components is None:
            components = self._components = {}
        return components

    @_adapterCache.setter
    def _adapterCache(self, components: dict[str, Any]) -> None:
        self._components = components

    @property
    def sessionNamespaces(self) -> dict[Any, Any]:
        """
        See C{Session.sessionNamespaces}.  It is made on first use.
        """
        names = self._sessionNamespaces
        if names is None:
            names = self._sessionNamespaces = {}
        return names

    @sessionNamespaces.setter
    def sessionNamespaces(self, names: dict[Any, Any]) -> None:
        self._sessionNamespaces = names

    @sessionNamespaces.deleter
    def sessionNamespaces(self) -> None:
        self._sessionNamespaces = None

    @property
    def expireCallbacks(self) -> list[Callable[[], object]]:
        """
        See C{Session.expireCallbacks}.  It is made on first use.
        """
        callbacks = self._expireCallbacks
        if callbacks is None:
            callbacks = self._expireCallbacks = []
        return callbacks

    @expireCallbacks.setter
    def expireCallbacks(self, callbacks: list[Callable[[], object]]) -> None:
        self._expireCallbacks = callbacks

    @expireCallbacks.deleter
    def expireCallbacks(self) -> None:
        self._expireCallbacks = None

    def _tag(self) -> str:
        """
        The tag; the application may have something else under that name.
        """
        table = self._table()
        return "" if table is None else table.tagOf(self._uid)

    def _table(self) -> LiveTable | None:
        """
        The live table that holds this session, if its site has one.
        """
        try:
            table: LiveTable | None = self.site._live
        except AttributeError:
            return None
        return table

    # -- the end

    def notifyOnExpire(self, callback: Callable[[], object]) -> None:
        """
        Call C{callback} once, when the session is gone.

        A callback that raises is logged and disturbs no other.  One that is
        added while callbacks run is run after them.  There may be a thousand;
        more are refused with a warning.
        """
        demandThread()
        callbacks = self.expireCallbacks
        if len(callbacks) < MAX_CALLBACKS:
            callbacks.append(callback)
            if self._entry is not None:
                self._entry.table.watching.begin(self._entry)
        elif len(callbacks) == MAX_CALLBACKS:
            callbacks.append(noMore)
            _log.warn(
                "session {tag} has {limit} expiry callbacks and takes no more: "
                "register each only once",
                tag=self._tag(),
                limit=MAX_CALLBACKS,
            )

    def expire(self) -> Deferred[None]:
        """
        End the session: it is gone in this process at once.

        @return: Fires when it is gone from the store; may be ignored, since the
            response waits for it too.
        """
        demandThread()
        return self._end("expire")

    def _runOut(self) -> None:
        """
        End because time is up, by way of an C{expire} that an application has
        put in the place of ours.
        """
        reason = self._outlived()
        try:
            if type(self).expire is not Session.expire:
                self.expire()  # type: ignore[unused-awaitable]
        finally:
            _ = self._end(reason)

    def _end(self, reason: str) -> Deferred[None]:
        """
        End, once, and run the callbacks.
        """
        before = self._phase
        if before == ENDED:
            entry = self._entry
            if entry is None:
                return succeed(None)
            asked = reason in {"expire", "logout"}
            return endAgain(entry, reason) if asked else entry.ending.gone()
        table = self._table()
        if table is not None and reason == "expire" and self._hasOutlived():
            reason = self._outlived()
        self._close()
        done: Deferred[None] = succeed(None)
        try:
            if table is not None:
                done = table.ended(self, reason, before)
            else:
                sessions = getattr(self.site, "sessions", {})
                if sessions.get(self._uid) is self:
                    del sessions[self._uid]
        finally:
            self._runCallbacks()
        return done

    def _close(self) -> None:
        """
        Be of no more use.
        """
        self._phase = ENDED
        self._unwatch()

    def _isBare(self) -> bool:
        """
        Whether it is as it was made, and nobody knows its uid.
        """
        if self._uidRead or self._expireCallbacks:
            return False
        if type(self) is Session and not (
            self.__dict__ or self._sessionNamespaces or self._components
        ):
            return True
        # A class may have callbacks in a place of its own.
        return not self.expireCallbacks and isAsMade(self)

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


knowUsual(Session)
_EMPTY = Session.__new__(Session)
_FILLED = frozenset(
    name for name in (*Session.__slots__, *Timed.__slots__) if hasattr(_EMPTY, name)
)

__all__ = ["Session", "makePlain"]
