"""
The request: Twisted's own, with sessions that are loaded before the resource is
rendered and saved before the response goes out.

Owns the points at which C{twisted.web.server.Request} is entered; what happens
there is in L{txsessions.web.exchange}.  A request that has nothing to do with a
session takes Twisted's way, with one comparison more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python import reflect
from twisted.web import server

from txsessions.errors import (
    ConfigurationError,
    CSRFRefused,
    SessionStale,
    SessionUnavailable,
    SignInNeeded,
    TooManyNewSessions,
)
from txsessions.web import failing
from txsessions.web.arrival import arrive, readByHand
from txsessions.web.choosing import choose
from txsessions.web.closing import RequestClosing
from txsessions.web.exchange import Exchange
from txsessions.web.forwarded import clientHostOf
from txsessions.web.signin import endsOthers, logsOut, signsIn
from txsessions.web.visits import FREE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from txsessions.live.session import Session

TAKES_COOKIES = "_takesCookies"
"""The attribute of a request that was sent elsewhere, if it has C{setCookies} there."""


class _Rendered:
    """
    A resource whose result is noted on its way to the request.
    """

    __slots__ = ("_resource",)

    def __init__(self, resource: Any) -> None:
        self._resource = resource

    def render(self, request: Any) -> Any:
        """
        See C{IResource.render}.
        """
        body = self._resource.render(request)
        exchange = request._exchange
        if exchange is not None:
            exchange.body = body if isinstance(body, bytes) else None
        return body

    def __repr__(self) -> str:
        return repr(self._resource)


class SessionRequest:
    """
    What L{Request} adds to Twisted's, and what other classes of requests get
    too: a mixin that comes first, so that no write escapes it.  It has no
    C{__init__} and only class-level defaults.
    """

    _exchange: Exchange | None = None
    _clientHost: str | None = None

    def process(self: Any) -> None:
        """
        See C{Request.process}; the sessions that the request came with are
        loaded first.
        """
        site = self.channel.site
        table = getattr(site, "_live", None)
        if table is None:
            super().process()  # type: ignore[misc]
            return
        if self._exchange is None:
            headers = self.requestHeaders.getRawHeaders(b"cookie")
            if headers is not None and not arrive(self, site, table, headers):
                return
            del headers  # a traceback may show what variables hold
        before, table.current = table.current, self
        try:
            super().process()  # type: ignore[misc]
        finally:
            table.current = before
        exchange = self._exchange
        if exchange is not None and exchange.state == FREE:
            exchange.turnEnds()

    def _processLoaded(self: Any) -> None:
        """
        Go on: the sessions have been loaded, and the client may be gone.
        """
        if getattr(self, "channel", None) is not None and not self._disconnected:
            SessionRequest.process(self)

    def render(self: Any, resrc: Any) -> None:
        """
        See C{Request.render}.
        """
        super().render(_Rendered(resrc))  # type: ignore[misc]

    def _sessionExchange(self: Any) -> Exchange | None:
        """
        What this request has to do with sessions, or L{None} where no site of
        ours is concerned.
        """
        exchange = self._exchange
        if exchange is None:
            site: Any = getattr(getattr(self, "channel", None), "site", None)
            sitepath: Any = ()
            if getattr(site, "_live", None) is None:
                site = self.site
                if getattr(site, "_live", None) is None:
                    return None
            if self.site is None or self.prepath is None:
                # Made by hand, never processed: it works on the live sessions.
                site = self.site or site
                sitepath = getattr(self, "sitepath", ())
            exchange = Exchange(self, site, site._live, [], sitepath)
            self._exchange = exchange
            if self.prepath is None:
                readByHand(exchange)
        return exchange  # type: ignore[no-any-return]

    def getSession(
        self: Any, sessionInterface: Any = None, forceNotSecure: bool = False
    ) -> Any:
        """
        See C{Request.getSession}.

        @raise SessionUnavailable: The store does not answer.  Left alone, it
            answers 503.
        """
        exchange = self._exchange or self._sessionExchange()
        if exchange is None:
            return super().getSession(sessionInterface, forceNotSecure)  # type: ignore[misc]
        secure = exchange.site._scheme
        if secure is None:
            secure = self.isSecure() and not forceNotSecure
        session = exchange.visit(secure).use()
        if sessionInterface:
            return session.getComponent(sessionInterface)
        return session

    @property
    def session(self: Any) -> Session | None:
        """
        See C{Request.session}.
        """
        exchange = self._exchange
        if exchange is None:
            return super().session  # type: ignore[misc, no-any-return]
        secure = exchange.site._scheme
        wanted: bool = self.isSecure() if secure is None else secure
        current: Session | None = exchange.current(wanted)
        return current

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
        exchange = self._sessionExchange()
        if exchange is None:
            raise ConfigurationError(
                "setSession() needs a request of a txsessions Site"
            )
        secure = exchange.site._scheme
        if secure is None:
            secure = self.isSecure()
        choose(exchange.visit(secure), session, cookie=cookie)

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
            raise ConfigurationError(
                f"{what}(request) needs a request of a txsessions Site"
            )
        return exchange

    # -- writing

    def _plainWrite(self: Any, data: bytes) -> None:
        """
        Twisted's own C{write}.
        """
        super().write(data)  # type: ignore[misc]

    def _plainFinish(self: Any) -> None:
        """
        Twisted's own C{finish}.
        """
        super().finish()  # type: ignore[misc]

    def write(self: Any, data: bytes) -> None:
        """
        See C{Request.write}.
        """
        exchange = self._exchange
        if exchange is None or exchange.mayWrite(data):
            super().write(data)  # type: ignore[misc]

    def finish(self: Any) -> None:
        """
        See C{Request.finish}.
        """
        exchange = self._exchange
        if exchange is None or exchange.mayFinish():
            super().finish()  # type: ignore[misc]

    def registerProducer(self: Any, producer: Any, streaming: bool) -> None:
        """
        See C{Request.registerProducer}.
        """
        exchange = self._exchange
        if exchange is None or exchange.mayRegister(producer):
            super().registerProducer(producer, streaming)  # type: ignore[misc]

    def unregisterProducer(self: Any) -> None:
        """
        See C{Request.unregisterProducer}.
        """
        exchange = self._exchange
        if exchange is None or exchange.mayUnregister():
            super().unregisterProducer()  # type: ignore[misc]

    def connectionLost(self: Any, reason: Any) -> None:
        """
        See C{Request.connectionLost}.
        """
        if self._exchange is not None:
            self._exchange.lost()
        super().connectionLost(reason)  # type: ignore[misc]

    def processingFailed(self: Any, reason: Failure) -> Any:
        """
        See C{Request.processingFailed}.
        """
        exchange = self._exchange
        if reason.check(SessionUnavailable, SessionStale, TooManyNewSessions):
            exchange = self._sessionExchange()
            if exchange is not None:
                exchange.unavailable(reason)
                return reason
        if exchange is not None:
            exchange.startAgain()
        if reason.check(CSRFRefused) and not self.startedWriting:
            failing.forbid(self)
            return reason
        if reason.check(SignInNeeded) and not self.startedWriting:
            failing.forbid(self, failing.SIGN_IN)
            return reason
        return super().processingFailed(reason)  # type: ignore[misc]

    # -- being sent elsewhere

    def getTypeToCopyFor(self: Any, perspective: Any) -> bytes:
        """
        See C{Copyable.getTypeToCopyFor}: C{distrib} knows Twisted's request.
        """
        return reflect.qual(server.Request).encode("ascii")

    def getStateToCopyFor(self: Any, issuer: Any) -> dict[str, Any]:
        """
        See C{Copyable.getStateToCopyFor}.  How the client came has to be said,
        for there is no channel to tell.
        """
        state: dict[str, Any] = super().getStateToCopyFor(issuer)  # type: ignore[misc]
        state.pop("_exchange", None)
        state["_forceSSL"] = self.isSecure()
        state[TAKES_COOKIES] = True
        return state

    def view_finish(self: Any, issuer: Any) -> None:
        """
        See C{Request.view_finish}.  The process that finishes cannot know that
        the client has left.
        """
        if not self._disconnected:
            self.finish()

    def view_setCookies(self: Any, issuer: Any, lines: list[bytes]) -> None:
        """
        Set cookies as they are written: C{addCookie} does not know all attributes.
        """
        self.cookies.extend(lines)

    def view_abortConnection(self: Any, issuer: Any) -> None:
        """
        The process that this request was sent to cannot complete its response.
        """
        failing.abort(self, self.channel.site.reactor)


class Request(SessionRequest, server.Request):
    """
    An HTTP request to a L{Site<txsessions.Site>}.
    """


__all__ = ["TAKES_COOKIES", "Request", "SessionRequest"]
