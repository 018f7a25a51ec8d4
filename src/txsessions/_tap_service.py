"""
The service behind C{twistd web --sessions}: Twisted's, with our sites in it.

Owns what the command line can say about sessions, as one value, and the exchange
of Twisted's site for one of ours with the same root and settings.  Knows no
command line.
"""

from __future__ import annotations

import os
from typing import cast

from attrs import frozen
from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.spread.pb import PBServerFactory
from twisted.web import server
from twisted.web.distrib import ResourcePublisher

from txsessions import CookiePolicy, Session, Site
from txsessions.core.lifetime import lifetimeOf
from txsessions.interfaces import ISessionStore
from txsessions.web.keys import SUFFIX

_log = Logger(namespace="txsessions")


@frozen(kw_only=True)
class SessionSettings:
    """
    What the command line said about sessions, checked.

    @ivar store: Where they are kept; not opened.
    @ivar cookies: What their cookie looks like.
    @ivar keyFile: Where the keys that seal them are, or L{None} for the default
        place.
    @ivar idle: Seconds after which an unused one ends.
    @ivar lifetime: Seconds after which any ends, or L{None} for the default.
    @ivar strict: Whether keeping what cannot be kept is an error.
    """

    store: ISessionStore
    cookies: CookiePolicy
    keyFile: str | None
    idle: float
    lifetime: float | None
    strict: bool

    def makeSite(self, site: server.Site) -> Site:
        """
        Make a site with sessions like this one without.
        """
        settings = self

        class CommandLineSession(Session):
            """
            A session with the limits of the command line.
            """

            sessionTimeout = settings.idle
            sessionLifetime = settings.lifetime

        made = Site(
            site.resource,
            logPath=site.logPath,
            store=self.store,
            cookies=self.cookies,
            keys=self.keyFile,
            strict=self.strict,
        )
        made.displayTracebacks = site.displayTracebacks
        made.sessionFactory = CommandLineSession
        return made

    def inWords(self) -> str:
        """
        Say what holds for sessions, for the log; where they are kept is said when
        the store is opened.
        """
        secure, plain = (
            self.cookies.nameFor(secure).decode("ascii") for secure in (True, False)
        )
        names = secure if secure == plain else f"{secure} over TLS and {plain} else"
        path = getattr(self.store, "path", None)
        keys: str = "random, and end with this process"
        if self.keyFile is not None:
            keys = f"in {self.keyFile}"
        elif path is not None:
            keys = f"in {os.fspath(path)}{SUFFIX}"
        return (
            f"sessions end after {self.idle:g} s unused and after "
            f"{lifetimeOf(self.idle, self.lifetime):g} s at the latest; their cookie is "
            f"{names}, SameSite={self.cookies.sameSite.capitalize()}; the keys that "
            f"seal them are {keys}"
        )


class _Start(Service):
    """
    Starts sessions once the process is what it is going to be: forked, in its
    run directory, without privileges.
    """

    def __init__(self, settings: SessionSettings, site: Site) -> None:
        """
        @param settings: What the log is told.
        @param site: The site.
        """
        self._settings = settings
        self._site = site

    def startService(self) -> None:
        """
        See L{IService.startService<twisted.application.service.IService>}.

        @raise ConfigurationError: The keys cannot be had.
        """
        super().startService()
        _log.info("{sessions}", sessions=self._settings.inWords())
        self._site.startSessions()

    def stopService(self) -> Deferred[None]:
        """
        See L{IService.stopService<twisted.application.service.IService>}.

        @return: Fires when what is to be saved is saved, and the store closed.
        """
        super().stopService()
        return self._site.closed()


def addSessions(service: MultiService, settings: SessionSettings) -> None:
    """
    Give sessions to what Twisted's C{web} command made: one site, on any number
    of ports, or behind the one port of a C{distrib} publisher.

    @param service: The service; its ports do not listen yet.
    @param settings: What the sessions are to be.
    @raise RuntimeError: There is no site in it, which a new version of Twisted
        may bring about.
    """
    site: Site | None = None
    for port in service:
        if not isinstance(port, StreamServerEndpointService):
            continue
        factory = port.factory
        if isinstance(factory, server.Site):
            port.factory = site = site or settings.makeSite(factory)
        elif isinstance(factory, PBServerFactory):
            publisher = cast(ResourcePublisher, factory.root)
            publisher.site = site = site or settings.makeSite(publisher.site)
    if site is None:
        raise RuntimeError(
            "Twisted's web command made no twisted.web.server.Site that sessions "
            "could be given to: use a release of Twisted that txsessions supports"
        )
    _Start(settings, site).setServiceParent(service)


__all__ = ["SessionSettings", "addSessions"]
