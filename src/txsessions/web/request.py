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
from twisted.web.error import UnsupportedMethod
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementedBy

from txsessions.errors import (
    CSRFRefused,
    SessionStale,
    SessionUnavailable,
    SignInNeeded,
    TooManyNewSessions,
)
from txsessions.web import failing
from txsessions.web.arrival import arrive, readByHand
from txsessions.web.asking import Asking
from txsessions.web.exchange import Exchange
from txsessions.web.headers import announceLength
from txsessions.web.order import beyond
from txsessions.web.received import PARSE, UNPARSED, LateCookies, cameLater
from txsessions.web.rendering import Answered, Refused, Rendered
from txsessions.web.visits import DONE, FREE

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.session import Session

TAKES_COOKIES = "_takesCookies"
"""The attribute of a request that was sent elsewhere, if it has C{setCookies} there."""


_OWN = ("_beyond", "_cookieHeader", "_cookiesCame", "_cookiesRead", "_way")
"""What stays here of a request that is sent elsewhere."""

_SET_HEADER = server.Request.setHeader
_RENDER: Any = server.Request.render
if getattr(_RENDER, "__globals__", None) is not vars(server):
    # Somebody has put something before it, and has to be called.
    _RENDER = None


class SessionRequest(Asking):
    """
    What L{Request} adds to Twisted's, and what other classes of requests get
    too: a mixin that comes first, so that no write escapes it.  It has no
    C{__init__} and only class-level defaults.
    """

    _exchange: Exchange | None = None
    _clientHost: str | None = None
    _cookieHeader: bytes | None = None
    _cookiesCame: bytes | None = None
    _beyond: Any = None
    # Of a class: that, and whether requests are rendered, and their cookies read, as
    # Twisted does it.  Of a request that was made as one of ours: the latter.
    _way: tuple[Any, bool] | bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """
        See L{_noteOrder}.
        """
        super().__init_subclass__(**kwargs)
        cls._noteOrder()

    @classmethod
    def _noteOrder(cls) -> None:
        """
        Note what comes after this class in the order of a new one.
        """
        cls._beyond = beyond(cls, Asking)
        cls._way = cls._beyond, False

    def process(self: Any) -> None:
        """
        See C{Request.process}; the sessions that the request came with are
        loaded first.
        """
        site = self.channel.site
        try:
            table = site._live
        except AttributeError:
            self._beyond.process(self)
            return
        if self._exchange is None:
            header = self._cookieHeader
            if header is None or header is UNPARSED:
                header = cameLater(self)
            if header and not arrive(self, site, table, header):
                return
            del header  # a traceback may show what variables hold
        if self.startedWriting:
            exchange = self._exchange
            if exchange is not None and exchange.state == FREE:
                exchange.joins()
        before, table.current = table.current, self
        try:
            self._beyond.process(self)
        finally:
            table.current = before
        exchange = self._exchange
        if exchange is not None and exchange.state != DONE:
            exchange.turnEnds()

    def _processLoaded(self: Any) -> None:
        """
        Go on: the sessions have been loaded, and the client may be gone.
        """
        try:
            channel = self.channel
        except AttributeError:
            return
        if channel is not None and not self._disconnected:
            SessionRequest.process(self)

    def render(self: Any, resrc: Any) -> None:
        """
        See C{Request.render}.
        """
        self._beyond.render(self, Rendered(resrc))

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
            exchange = Exchange(self, site, site._live, [], sitepath).joins()
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

    # -- writing

    def _plainWrite(self: Any, data: bytes) -> None:
        """
        Twisted's own C{write}.
        """
        self._beyond.write(self, data)

    def _plainFinish(self: Any) -> None:
        """
        Twisted's own C{finish}.
        """
        self._beyond.finish(self)

    def write(self: Any, data: bytes) -> None:
        """
        See C{Request.write}.
        """
        exchange = self._exchange
        if exchange is None or exchange.mayWrite(data):
            self._beyond.write(self, data)

    def finish(self: Any) -> None:
        """
        See C{Request.finish}.
        """
        exchange = self._exchange
        if exchange is None or exchange.mayFinish():
            self._beyond.finish(self)

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


class Request(LateCookies, SessionRequest, server.Request):
    """
    An HTTP request to a L{Site<txsessions.Site>}.
    """

    @classmethod
    def noteWay(cls) -> None:
        """
        Note whether anybody has put something in the place of Twisted's methods since.
        It is asked for each connection, and not for each request.
        """
        if "_beyond" not in vars(cls):
            # Some class of the program's keeps from ours that there is another.
            cls._noteOrder()
        # A channel asks its factory for an interface with each request.  A class that has
        # no answer of its own takes twenty times as long to find what it inherits.
        _ = implementedBy(cls)
        way = cls._beyond
        isUsual = (
            way.render is _RENDER
            and way.parseCookies is PARSE
            and cls.setHeader is _SET_HEADER
        )
        if cls._way != (way, isUsual):
            cls._way = way, isUsual

    def render(self, resrc: Any) -> None:
        """
        See C{Request.render}.  A body in bytes is sent as that sends it; everything else
        it does itself, with what has come of the resource.
        """
        if self._way is not True or self._beyond.render is not _RENDER:
            super().render(resrc)
            return
        try:
            body = resrc.render(self)
        except UnsupportedMethod as error:
            # To fake a HEAD, that is rendered again, and may have others rendered.
            self._way = False
            _RENDER(self, Refused(resrc, error))
            return
        if body is NOT_DONE_YET:
            return
        if type(body) is not bytes or self.method == b"HEAD":
            _RENDER(self, Answered(resrc, body))
            return
        exchange = self._exchange
        if exchange is not None:
            exchange.body = body
        announceLength(self.responseHeaders, len(body))
        self.write(body)
        self.finish()

    def getStateToCopyFor(self, issuer: Any) -> dict[str, Any]:
        """
        See L{SessionRequest.getStateToCopyFor}.
        """
        cookies = self.received_cookies
        state = super().getStateToCopyFor(issuer)
        for name in _OWN:
            state.pop(name, None)
        return {**state, "received_cookies": cookies}


__all__ = ["TAKES_COOKIES", "Request", "SessionRequest"]
