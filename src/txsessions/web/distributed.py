"""
Requests that another process received and sent here, by C{twisted.web.distrib}.

Owns what makes such a request like any other: C{ResourcePublisher} calls neither
C{process} nor C{finish}, and the request that it is given has no channel but
remote methods in the place of its own.  Here it gets a channel that speaks
through them, so that all that loads a session, holds a reply and takes it back
works as it does for requests of our own.

Knows nothing of how the two processes are connected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread import pb
from twisted.spread.banana import SIZE_LIMIT
from twisted.web.http_headers import Headers
from twisted.web.server import NOT_DONE_YET
from twisted.web.server import Request as _TwistedRequest

from txsessions.web.arrival import load, readNamed
from txsessions.web.bearer import Bearing, readBearing
from txsessions.web.composing import combine
from txsessions.web.exchange import Exchange
from txsessions.web.headers import cookieHeaderOf
from txsessions.web.renewing import RenewingExchange, RenewingVisit, loadRenewing
from txsessions.web.request import TAKES_COOKIES, SessionRequest
from txsessions.web.visit import Visit
from txsessions.web.visits import DONE

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProducer

_log = Logger(namespace="txsessions")

REMOTE = (
    "_write",
    "addCookie",
    "finish",
    "setETag",
    "setHeader",
    "setLastModified",
    "setResponseCode",
)
"""The attributes in which C{distrib} puts remote methods."""

VALUES = {
    b"comment": "comment",
    b"domain": "domain",
    b"expires": "expires",
    b"max-age": "max_age",
    b"path": "path",
    b"samesite": "sameSite",
}
FLAGS = {b"httponly": "httpOnly", b"secure": "secure"}
"""The attributes of a C{Set-Cookie} line, by what C{addCookie} calls them."""

_classes: dict[tuple[type, ...], type] = {}


class _RemoteProducer(pb.Referenceable):
    """
    A producer here that the server in front drives.
    """

    def __init__(self, producer: IProducer) -> None:
        self.producer: Any = producer

    def remote_resumeProducing(self) -> None:
        """
        The client takes more.
        """
        if self.producer is not None:
            self.producer.resumeProducing()

    def remote_pauseProducing(self) -> None:
        """
        The client takes no more for now.
        """
        if self.producer is not None:
            self.producer.pauseProducing()

    def remote_stopProducing(self) -> None:
        """
        The client is gone.
        """
        if self.producer is not None:
            self.producer.stopProducing()


class RemoteChannel:
    """
    Brings a response to the server in front.

    @ivar site: The site here.
    @cvar producerFirst: A producer has to be registered before what it follows
        is written: the channel in front may be full afterwards, and Twisted's
        does not expect one then.
    """

    producerFirst = True

    def __init__(self, request: Any, site: Any) -> None:
        self.site = site
        self._request = request
        self._remote = request.remote
        self._producer: _RemoteProducer | None = None
        self._remote.notifyOnDisconnect(self._lost)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> None:
        """
        Call a method of the request in front.
        """
        try:
            called = self._remote.callRemote(name, *args, **kwargs)
        except pb.DeadReferenceError:
            return
        called.addErrback(self._refused, name)

    def _refused(self, failure: Failure, name: str) -> None:
        """
        The server in front could not: its client is gone, or it knows no such
        method.
        """
        _log.debug(
            "the server in front refused {name}(): {kind}", name=name, kind=failure.type
        )

    def _lost(self, _: object) -> None:
        """
        The server in front is gone.
        """
        self._request.connectionLost(Failure(ConnectionLost()))

    def isSecure(self) -> bool:
        """
        See C{HTTPChannel.isSecure}; how the client came is said by the request.
        """
        return False

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: Headers
    ) -> None:
        """
        See C{HTTPChannel.writeHeaders}.
        """
        self._call("setResponseCode", int(code), reason)
        for name, values in headers.getAllRawHeaders():
            if name.lower() != b"set-cookie":
                self._call("setHeader", name, b", ".join(values))
            elif TAKES_COOKIES in vars(self._request):
                self._call("setCookies", values)
            else:
                for value in values:
                    cookie, arguments = cookieArguments(value)
                    self._call("addCookie", *cookie, **arguments)

    def write(self, data: bytes) -> None:
        """
        See C{HTTPChannel.write}; what is too long for one call goes in several.
        """
        for start in range(0, len(data), SIZE_LIMIT):
            self._call("write", data[start : start + SIZE_LIMIT])

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        See C{HTTPChannel.writeSequence}.
        """
        for data in iovec:
            self.write(data)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        See C{HTTPChannel.registerProducer}.
        """
        self._producer = _RemoteProducer(producer)
        self._call("registerProducer", self._producer, streaming)

    def unregisterProducer(self) -> None:
        """
        See C{HTTPChannel.unregisterProducer}.  What the server in front has
        still asked for is not produced.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.producer = None
            self._call("unregisterProducer")

    def requestDone(self, request: Any) -> None:
        """
        See C{HTTPChannel.requestDone}.
        """
        self._remote.dontNotifyOnDisconnect(self._lost)
        self._call("finish")

    def loseConnection(self) -> None:
        """
        See C{HTTPChannel.loseConnection}; the connection is not ours.
        """

    def abortConnection(self) -> None:
        """
        See C{HTTPChannel.abortConnection}.  A server in front that has not our
        requests cannot do that: there the response stays unfinished.
        """
        self._call("abortConnection")


def cookieArguments(line: bytes) -> tuple[tuple[bytes, bytes], dict[str, Any]]:
    """
    Take a C{Set-Cookie} line apart.

    @return: What C{addCookie} makes it of again: the name and the value, and
        the attributes that it knows.
    """
    cookie, *attributes = (piece.strip() for piece in line.split(b";"))
    name, _, value = cookie.partition(b"=")
    arguments: dict[str, Any] = {}
    for attribute in attributes:
        key, _, said = attribute.partition(b"=")
        key = key.lower()
        if key in FLAGS:
            arguments[FLAGS[key]] = True
        elif key in VALUES:
            arguments[VALUES[key]] = said
    return (name, value), arguments


class DistributedRequest(SessionRequest):
    """
    What a request that was sent here gets in addition.
    """

    # The server in front has a default of its own.
    defaultContentType = None

    # Nothing that distrib put in the place of what follows.

    def registerProducer(self: Any, producer: Any, streaming: bool) -> None:
        """
        See C{Request.registerProducer}.
        """
        if self._exchange.mayRegister(producer):
            _TwistedRequest.registerProducer(self, producer, streaming)

    def unregisterProducer(self: Any) -> None:
        """
        See C{Request.unregisterProducer}.
        """
        if self._exchange.mayUnregister():
            _TwistedRequest.unregisterProducer(self)

    def write(self: Any, data: bytes) -> None:
        """
        See C{Request.write}.
        """
        if self._exchange.mayWrite(data):
            self._plainWrite(data)

    def finish(self: Any) -> None:
        """
        See C{Request.finish}.
        """
        if self._exchange.mayFinish():
            self._plainFinish()

    def _plainWrite(self: Any, data: bytes) -> None:
        """
        Twisted's own C{write}.  It is the server in front that chunks, so here
        the response is one that cannot be.
        """
        version, self.clientproto = self.clientproto, b"HTTP/1.0"
        try:
            _TwistedRequest.write(self, data)
        finally:
            self.clientproto = version

    def _plainFinish(self: Any) -> None:
        """
        Twisted's own C{finish}.
        """
        _TwistedRequest.finish(self)

    def _renderLoaded(self: Any, find: Callable[[Any], Any]) -> None:
        """
        Traverse and render, as C{ResourcePublisher} does.

        @param find: Finds the resource.
        """
        exchange, table = self._exchange, self.site._live
        before, table.current = table.current, self
        try:
            body = find(self).render(self)
            if body is not NOT_DONE_YET:
                exchange.body = body
                self.write(body)
                self.finish()
        except BaseException:
            self.processingFailed(Failure())
        finally:
            table.current = before
        if exchange.state != DONE:
            exchange.turnEnds()


class Distributed:
    """
    Stands for the resource of a request that was sent here, until its sessions
    are loaded.
    """

    def __init__(self, site: Any, find: Callable[[Any], Any]) -> None:
        """
        @param find: Finds the resource, as C{Site.getResourceFor} does.
        """
        self._site = site
        self._find = find

    def render(self, request: Any) -> int:
        """
        See C{IResource.render}.
        """
        site = self._site
        _adopt(request, site)
        exchange: Exchange | None = None
        if site.cookies.bearer:
            exchange = readBearing(request, site, request.sitepath)
        if exchange is None:
            exchange = _readCookies(request, site, request.sitepath)
        request._exchange = exchange.joins()

        def resume() -> None:
            if not request._exchange.isLost:
                request._renderLoaded(self._find)

        isRenewing = isinstance(exchange, RenewingExchange)
        if (loadRenewing if isRenewing else load)(exchange, resume):
            resume()
        return NOT_DONE_YET


def _readCookies(request: Any, site: Any, sitepath: Sequence[bytes]) -> Exchange:
    """
    Begin with the sessions that the cookies of a request name.
    """
    visits: list[Visit] = []
    header = cookieHeaderOf(request.requestHeaders)
    if header:
        name = site.cookies.nameFor
        names = [(secure, name(secure, sitepath)) for secure, _ in site._cookieNames]
        kind = Visit if site.renewal is None else RenewingVisit
        visits = readNamed(site, names, header, kind)
    exchange = Exchange if site.renewal is None else RenewingExchange
    return exchange(request, site, site._live, visits, sitepath)


def _adopt(request: Any, site: Any) -> None:
    """
    Make a request that was sent here like one of ours.
    """
    for name in REMOTE:
        request.__dict__.pop(name, None)
    theirs = type(request)
    bases: tuple[type, ...] = (DistributedRequest, theirs)
    if site.cookies.bearer:
        bases = Bearing, *bases
    made = _classes.get(bases)
    if made is None:
        made = _classes[bases] = combine(*bases, named=theirs)
    request.__class__ = made
    request.site = site
    request.sitepath = list(request.prepath)
    # These are the server's in front, and stay there.
    request.cookies = []
    request.notifications = []
    request.responseHeaders = Headers()
    request.channel = RemoteChannel(request, site)


def wasSent(request: Any) -> bool:
    """
    Whether another process received this request and sent it here.
    """
    return isinstance(request, pb.RemoteCopy) and isinstance(request, _TwistedRequest)


__all__ = ["Distributed", "wasSent"]
