"""
The site: Twisted's own, with a store for its sessions.

Owns the arguments, and which live table the site shares.  What happens to a
request is in L{txsessions.web.exchange}, what happens to sessions in
L{txsessions.live}.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary, WeakValueDictionary

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.web import server

from txsessions.core.keyring import KeyRing
from txsessions.core.uid import UID_LENGTH, mintUid
from txsessions.errors import ConfigurationError
from txsessions.live.events import Announcer
from txsessions.live.lifecycle import Lifecycle
from txsessions.live.session import Session, makePlain
from txsessions.live.table import LiveTable
from txsessions.live.timing import takeLimits
from txsessions.live.watching import WATCH_INTERVAL
from txsessions.stores import openStore
from txsessions.web.channel import outlasting
from txsessions.web.composing import adopt, composeRequest, composeSession, mixinsFor
from txsessions.web.distributed import Distributed, wasSent
from txsessions.web.keys import keySource
from txsessions.web.order import beyond
from txsessions.web.policy import CookiePolicy
from txsessions.web.proxies import Proxies, Refused
from txsessions.web.request import Request
from txsessions.web.sessions import SiteOfSessions

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

    from txsessions.interfaces import ISessionStore

_log = Logger(namespace="txsessions")

_tables: WeakKeyDictionary[Any, WeakValueDictionary[bytes, LiveTable]] = (
    WeakKeyDictionary()
)


class Site(SiteOfSessions, server.Site):
    """
    A web site whose sessions are kept in a store.

    Takes the place of C{twisted.web.server.Site}.

    @ivar cookies: The cookie policy.
    @ivar sessions: The live sessions by uid.
    """

    requestFactory = Request
    sessionFactory = Session

    watchInterval = WATCH_INTERVAL
    """Seconds within which this process learns that another one has ended a session
    whose end somebody here waits for, by C{closes} or C{notifyOnExpire}."""

    def __init__(
        self,
        resource: Any,
        requestFactory: Any = None,
        *args: Any,
        store: ISessionStore | str | None = None,
        cookies: CookiePolicy | None = None,
        keys: KeyRing | str | os.PathLike[str] | None = None,
        siteName: bytes = b"",
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        """
        Twisted's own arguments come first.

        @param store: A store, an address such as C{"sqlite:sessions.sqlite"},
            or L{None}: the sessions live and end with this process.
        @param cookies: What the cookie is like; hardened, if not given.
        @param keys: What sessions are sealed with: the path of a key file, or
            L{None} for the one beside a SQLite database, which is made with it.
        @param siteName: Tells the sessions of sites apart that share a store.
        @param strict: Make it an error if something in a session cannot be
            kept.
        @raise ConfigurationError: One of these cannot work.
        """
        super().__init__(resource, requestFactory, *args, **kwargs)
        if not isinstance(siteName, bytes):
            raise ConfigurationError(f"siteName takes bytes, not {siteName!r}")
        if cookies is not None and not isinstance(cookies, CookiePolicy):
            raise ConfigurationError(f"cookies takes a CookiePolicy, not {cookies!r}")
        self.cookies = cookies or CookiePolicy()
        self._cookieNames = self.cookies.names()
        self._proxies = Proxies(self.cookies)
        secure, name = self._cookieNames[0]
        self._sole = secure, name, name + b"="
        self._soleLength = len(name) + 1 + UID_LENGTH
        # Which cookie requests are about, where that does not depend on them.
        self._scheme = {"auto": None, "always": True, "never": False}[
            self.cookies.secure
        ]
        takeLimits(Session)
        self._beyond = beyond(type(self), SiteOfSessions)
        self._given = store, keys, siteName, strict
        self._live = self._shareTable()
        self.sessions = self._live.sessions
        self._serving = self._atEnd = self._listening = False
        self._stopTrigger: Any = None

    def _shareTable(self) -> LiveTable:
        """
        The live table for this store and site name: one, however many sites.
        """
        given, keys, siteName, strict = self._given
        store: Any = given
        if isinstance(store, str):
            # A reactor is all that HTTPFactory's IReactorTime is not.
            store = openStore(store, reactor=cast("Any", self.reactor))
        tables: Any = {}
        if store is not None:
            tables = _tables.setdefault(store, WeakValueDictionary())
        table: LiveTable | None = tables.get(siteName)
        if table is None:
            table = LiveTable(self.reactor, store, siteName, Announcer(), strict=strict)
            source = None if store is None else keySource(store, keys)
            table.lifecycle = Lifecycle(table, source)
            table.makeObject = self._makeObject
            table.draw = self._mkuid
            tables[siteName] = table
        return table

    def __getstate__(self) -> dict[str, Any]:
        """
        See C{Site.__getstate__}: sessions do not go with it, nor do keys.
        """
        state: dict[str, Any] = super().__getstate__()
        store, keys, *others = self._given
        named = (store is None or isinstance(store, str)) and not isinstance(
            keys, KeyRing
        )
        state["_given"] = (store, keys, *others) if named else None
        state["_serving"] = state["_atEnd"] = state["_listening"] = False
        state["_stopTrigger"] = None
        del state["_live"], state["_beyond"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """
        Begin anew.

        @raise ConfigurationError: There is no telling with what.
        """
        self.__dict__.update(state)
        if self._given is None:
            raise ConfigurationError(
                "a site can be copied or pickled if its store and keys were given as "
                "an address and the path of a key file, and this one's were not"
            )
        self._beyond = beyond(type(self), SiteOfSessions)
        self._live = self._shareTable()
        self.sessions = self._live.sessions

    # -- sessions

    def _mkuid(self) -> bytes:
        """
        Draw a uid: 256 bits of chance, in hexadecimal.
        """
        self.counter += 1
        entropy: Any = self._entropy  # type: ignore[misc]  # it binds nothing
        return mintUid(entropy)

    def _makeObject(self, uid: bytes) -> Any:
        """
        Make a session object by whatever the application set as
        C{sessionFactory}.
        """
        factory: Any = self.sessionFactory
        if factory is Session:
            return makePlain(self, uid)
        return adopt(composeSession(factory)(self, uid), self, uid)

    def makeSession(self) -> Any:
        """
        See C{Site.makeSession}.

        @raise SessionUnavailable: No uid can be drawn.
        """
        live = self._live
        uid = live.mint(self._mkuid)
        isPlain = self.sessionFactory is Session
        session = makePlain(self, uid) if isPlain else self._makeObject(uid)
        # It replaces none, so that Sessions need not look.
        self.sessions.setdefault(uid, session)
        session.startCheckingExpiration()
        live.receive(session, None)
        return session

    def getSession(self, uid: bytes) -> Any:
        """
        See C{Site.getSession}: finds live sessions only.

        @raise KeyError: It is not live.  The error does not hold the uid.
        """
        session = self._live.liveSession(uid)
        if session is None:
            del uid  # a traceback may show what variables hold
            raise KeyError("no live session has this uid")
        return session

    # -- serving

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        See C{Site.buildProtocol}.
        """
        if not self._proxies.admits(addr):
            return Refused()
        channel: Any = super().buildProtocol(addr)
        channel.requestFactory = composeRequest(
            self.requestFactory,
            *mixinsFor(self.cookies, renews=self.renewal is not None),
        )
        return outlasting(channel)

    def getResourceFor(self, request: Any) -> Any:
        """
        See C{Site.getResourceFor}.  A request that another process sent here
        gets its sessions on the way.
        """
        if wasSent(request):
            # Nothing else tells that this site serves.
            with suppress(ConfigurationError):
                self.startSessions()
            return Distributed(self, super().getResourceFor)
        return self._beyond.getResourceFor(self, request)

    def startFactory(self) -> None:
        """
        See C{Factory.startFactory}; opens the store as soon as the reactor runs:
        ports listen before a daemon gives up its privileges, and the files are
        to belong to who serves.

        @raise ConfigurationError: The keys cannot be had, or a factory cannot
            be made to work with durable sessions.
        """
        composeRequest(self.requestFactory)
        composeSession(self.sessionFactory)
        super().startFactory()
        if self._proxies:
            _log.info("{trust}", trust=self._proxies.inWords())
        self._listening = True
        if getattr(self.reactor, "running", True):
            self.startSessions()
        else:
            cast("Any", self.reactor).callWhenRunning(self._startLate)

    def _startLate(self) -> None:
        """
        The reactor runs.  What is wrong with the keys can be told to nobody but
        the log; it is tried again at each request.
        """
        if self._listening:
            try:
                self.startSessions()
            except ConfigurationError as error:
                _log.critical("sessions are unavailable: {error}", error=str(error))

    def startSessions(self) -> None:
        """
        Open the store now; it is closed before the reactor ends.  For programs
        that want to know at once whether the keys can be had.

        @raise ConfigurationError: The keys cannot be had.
        """
        live = self._live
        if live.store is None or (self._serving and not live.lifecycle.isOver):
            return
        live.lifecycle.start()
        self._serving = True
        if self._stopTrigger is None and hasattr(self.reactor, "addSystemEventTrigger"):
            self._stopTrigger = self.reactor.addSystemEventTrigger(
                "before", "shutdown", self._close
            )

    def stopFactory(self) -> None:
        """
        See C{Factory.stopFactory}; saves what is to be saved and closes the
        store.  L{closed} tells when that is done.
        """
        super().stopFactory()
        self._listening = False
        if self._serving:
            self._serving = False
            _ = self._live.lifecycle.stop().addCallback(self._forgetTrigger)

    def _forgetTrigger(self, _: object) -> None:
        """
        The store is closed, so the end of the reactor need not wait for it.
        """
        trigger, self._stopTrigger = self._stopTrigger, None
        if trigger is not None and not self._atEnd:
            reactor: Any = self.reactor
            reactor.removeSystemEventTrigger(trigger)

    def _close(self) -> Deferred[None]:
        """
        The reactor is about to stop.
        """
        self._atEnd = True
        return self.closed()

    def closed(self) -> Deferred[None]:
        """
        Save what is to be saved and close the store, as the end of the reactor
        does by itself; for programs and tests that wait for it.

        @return: Fires when the store is closed.  Where there is none, the
            sessions are forgotten.
        """
        live = self._live
        self._listening = False
        if live.store is None:
            live.forgetAll()
            return succeed(None)
        return live.lifecycle.close()


__all__ = ["Site"]
