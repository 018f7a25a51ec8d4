"""
What an application can ask of a request, beyond what it can ask of Twisted's.

Owns the new members, and the parts that a request has in those of its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from txsessions.errors import ConfigurationError
from txsessions.web.choosing import choose
from txsessions.web.closing import RequestClosing
from txsessions.web.forwarded import clientHostOf
from txsessions.web.logout import leaves, logsOut
from txsessions.web.signin import endsOthers, signsIn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from txsessions.live.session import Session
    from txsessions.web.exchange import Exchange
    from txsessions.web.visit import Visit


class Asking:
    """
    The new members of a request.
    """

    def setSession(self: Any, session: Any, *, cookie: bool = True) -> None:
        """
        Make a session the one of this request, as if its id had come with it:
        C{getSession} returns it, and the response waits until it is saved.  What the
        request had before is let go.

        Whoever knows the id of the session can use it.  If it has come by a link, a
        form or any other way that somebody else may have prepared, call
        C{session.rotate(request)} too.

        @param session: One that C{site.loadSession(uid)} or C{site.makeSession()} has
            given.  If it was made without a request it is of this request's kind from
            now on: of the secure cookie, the insecure one, or C{Authorization}.
        @param cookie: Whether the response carries the session's cookie, if it is not
            the one that came.  Without it the id is the program's to carry.
        @raise ResponseStarted: The headers have been sent.
        @raise SessionGone: The session has ended.
        @raise ConfigurationError: It is of another site, or of another kind.
        """
        choose(self._demandVisit("setSession"), session, cookie=cookie)

    def logout(
        self: Any, *, clear: Sequence[str] = (), forceNotSecure: bool = False
    ) -> Deferred[None]:
        """
        Log out: end the session that C{getSession()} would give, as
        L{Session.logout<txsessions.Session>} does, and delete its cookie on the response.
        Where there is none, and no id came, nothing happens, and none is made.

        This works while the store does not answer, where C{getSession()} raises: the id
        that came is dead in this process from now on, the store is told when it is back,
        and the answer is 503, with the cookie's deletion.

        @param clear: What else the browser is to forget of this site, as for
            C{session.logout}.
        @param forceNotSecure: As for C{getSession}.
        @return: Fires when the session is gone from the store, or there was none; may be
            ignored, since the response waits for it.  Fails with C{StoreUnavailable}.
        @raise ConfigurationError: This is no request of a txsessions Site, or a browser
            would not know what to clear.
        """
        return leaves(self._demandVisit("logout", forceNotSecure), clear)

    @property
    def sessionCarrier(self: Any) -> str | None:
        """
        By what the id of a session came: C{"cookie"}, which browsers send by
        themselves, C{"bearer"}, which only a program sends (C{Authorization}), or
        L{None} if none came.
        """
        exchange = self._exchange
        carrier: str | None = None if exchange is None else exchange.carrier
        return carrier

    def _closesWithSession(self: Any) -> RequestClosing:
        """
        What ends this response when a session ends.
        """
        return RequestClosing(self)

    def clientHost(self) -> str | None:
        """
        Tell the IP address that this request came from, as far as it is known:
        behind trusted proxies the one that the outermost of them saw, else that of
        the connection, as C{getClientAddress()}.  An address that a proxy did not
        tell is that of the proxy.

        @return: IPv4, also where it was mapped into IPv6, or IPv6; L{None} for a
            client of a Unix socket.
        """
        return clientHostOf(self)

    def _sessionRotates(self: Any, session: Session) -> bool:
        """
        The response is to carry the new cookie of a session.

        @return: Whether it may.
        """
        return self._demandExchange("rotate").rotates(session)  # type: ignore[no-any-return]

    def _sessionSignsIn(
        self: Any,
        session: Session,
        principal: str,
        level: int,
        keep: bool | None,
        remember: int | None,
    ) -> Deferred[None]:
        """
        Somebody signs in; see L{Session.login}.
        """
        exchange = self._demandExchange("login")
        return signsIn(exchange, session, principal, level, keep, remember)

    def _sessionEndsOthers(self: Any, session: Session) -> Deferred[int]:
        """
        Somebody ends his other sessions; see L{Session.endOthers}.
        """
        return endsOthers(self._demandExchange("endOthers"), session)

    def _sessionLogsOut(
        self: Any, session: Session, clear: Sequence[str]
    ) -> Deferred[None]:
        """
        Somebody logs out; see L{Session.logout}.
        """
        return logsOut(self._demandExchange("logout"), session, clear)

    def _demandExchange(self: Any, what: str) -> Exchange:
        """
        What this request has to do with sessions.

        @param what: What the application calls, for the error.
        """
        exchange: Exchange | None = self._sessionExchange()
        if exchange is None:
            raise ConfigurationError(f"{what}() needs a request of a txsessions Site")
        return exchange

    def _demandVisit(self: Any, what: str, forceNotSecure: bool = False) -> Visit:
        """
        What this request has to do with the session that C{getSession()} would give.

        @param what: As for L{_demandExchange}.
        """
        exchange = self._demandExchange(what)
        secure = exchange.site._scheme
        if secure is None:
            secure = self.isSecure() and not forceNotSecure
        visit: Visit = exchange.visit(secure)
        return visit


__all__ = ["Asking"]
