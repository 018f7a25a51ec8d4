"""
Clients that have sent their last byte, or have left; and how they came.

Owns two differences to Twisted's own channel.  Plain Twisted runs a request in the
moment in which it is read, before it can learn that the client is gone.  Where the
store has to be asked first, the end of the connection is heeded when it has
answered, so that such a request is run, and its client answered if it still
listens.  And what each request wants to know of a connection, which is whether it is
secure and where its ends are, is found out once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.tcp import Server
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from zope.interface import implementer, providedBy

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress

    from txsessions.web.exchange import Exchange

_classes: dict[tuple[type, type], type] = {}
_IS_SECURE = HTTPChannel.isSecure
_NOTHING = object()
_ENDS = (HTTPChannel.getHost, HTTPChannel.getPeer)
_SERVERS = (Server.getHost, Server.getPeer)


@implementer(IHalfCloseableProtocol)
class _Outlasting:
    """
    What a channel's protocol gets besides.
    """

    _inputEnded = False
    _leftEarly = False

    def readConnectionLost(self: Any) -> None:
        """
        The client sends no more.
        """
        exchange = _busy(self._channel)
        if exchange is not None:
            self._inputEnded = True
            exchange.afterwards = self.readConnectionLost
        elif self._inputEnded:
            self._channel.transport.loseConnection()
        else:
            self._channel.transport.connectionLost(Failure(ConnectionDone()))

    def writeConnectionLost(self) -> None:
        """
        We never close our half alone.
        """

    def connectionLost(self: Any, reason: Failure) -> None:
        """
        The client is gone.
        """
        exchange = _busy(self._channel)
        if exchange is not None and exchange.isLoading:
            self._leftEarly = True
            exchange.afterwards = partial(self.connectionLost, reason)
            return
        if self._leftEarly:
            # The transport is gone, and stops no producer any more.
            self._channel.stopProducing()
        super().connectionLost(reason)  # type: ignore[misc]


class _KnowingHow:
    """
    What an HTTP/1 channel gets besides, if it is Twisted's that says whether it is secure.
    """

    _plain: Any = _NOTHING
    _transport: Any = None
    _provided: Any = None
    _isSecure = False

    def isSecure(self: Any) -> bool:
        """
        See C{HTTPChannel.isSecure}.  It is asked again when there is another transport,
        or TLS is started; and, of any that is not a connection's own, when it provides
        something else.
        """
        transport = self.transport
        if transport is self._plain and not transport.TLS:
            return False
        provided = providedBy(transport)
        if provided is not self._provided or transport is not self._transport:
            self._transport, self._provided = transport, provided
            self._isSecure = super().isSecure()  # type: ignore[misc]
        isSecure: bool = self._isSecure
        # Of a connection's own there is a simpler sign of that.
        isPlain = isinstance(transport, Server) and not isSecure
        self._plain = transport if isPlain else _NOTHING
        return isSecure


class _KnowingEnds:
    """
    What an HTTP/1 channel gets besides, if it is Twisted's that says where its ends are.
    """

    _host: IAddress
    _hostOf: Any = None
    _peer: IAddress
    _peerOf: Any = None

    def getHost(self: Any) -> IAddress:
        """
        See C{HTTPChannel.getHost}.  A connection's own transport is asked once; one that
        stands before it, as for the PROXY protocol, may learn more.
        """
        transport = self.transport
        if transport is not self._hostOf:
            host = super().getHost()  # type: ignore[misc]
            if not _staysTheSame(transport):
                return host  # type: ignore[no-any-return]
            self._host, self._hostOf = host, transport
        return self._host  # type: ignore[no-any-return]

    def getPeer(self: Any) -> IAddress:
        """
        See C{HTTPChannel.getPeer}, and L{getHost}.
        """
        transport = self.transport
        if transport is not self._peerOf:
            peer = super().getPeer()  # type: ignore[misc]
            if not _staysTheSame(transport):
                return peer  # type: ignore[no-any-return]
            self._peer, self._peerOf = peer, transport
        return self._peer  # type: ignore[no-any-return]


def _staysTheSame(transport: Any) -> bool:
    """
    Whether a transport is a connection's own, and says where its ends are as Twisted does.
    """
    kind = type(transport)
    return isinstance(transport, Server) and (kind.getHost, kind.getPeer) == _SERVERS


def _busy(channel: Any) -> Exchange | None:
    """
    What a request of this channel has to do with sessions, if it waits for the
    store.
    """
    for request in getattr(channel, "requests", ()):
        exchange: Exchange | None = getattr(request, "_exchange", None)
        if exchange is not None and exchange.isBusy:
            return exchange
    return None


def outlasting(protocol: Any) -> Any:
    """
    Make a protocol, as a site builds it, outlast its client for as long as the
    store is asked.
    """
    channel = getattr(protocol, "_channel", None)
    if isinstance(channel, HTTPChannel):
        # A class that has its own say may say something else for each request.
        kind = type(channel)
        if kind.isSecure is _IS_SECURE:
            _give(_KnowingHow, channel)
        if (kind.getHost, kind.getPeer) == _ENDS:
            _give(_KnowingEnds, channel)
    return _give(_Outlasting, protocol)


def _give(mixin: type, thing: Any) -> Any:
    """
    Give an object something of ours.
    """
    theirs = type(thing)
    made = _classes.get((mixin, theirs))
    if made is None:
        made = type(theirs.__name__, (mixin, theirs), {})
        _classes[mixin, theirs] = made
    thing.__class__ = made
    return thing


__all__ = ["outlasting"]
