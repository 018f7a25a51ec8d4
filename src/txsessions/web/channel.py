"""
Clients that have sent their last byte, or have left.

Owns one difference to Twisted's own channel.  Plain Twisted runs a request in the
moment in which it is read, before it can learn that the client is gone.  Where the
store has to be asked first, the end of the connection is heeded when it has
answered, so that such a request is run, and its client answered if it still
listens.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from txsessions.web.exchange import Exchange

_classes: dict[type, type] = {}


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
    theirs = type(protocol)
    made = _classes.get(theirs)
    if made is None:
        made = _classes[theirs] = type(theirs.__name__, (_Outlasting, theirs), {})
    protocol.__class__ = made
    return protocol


__all__ = ["outlasting"]
