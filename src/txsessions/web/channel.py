"""
Clients that have sent their last byte.

Owns one difference to Twisted's own channel: while the store is being asked on
behalf of a client that has closed its half of the connection, the connection is
kept, since the client still waits for the answer, or at least for the effect.
Otherwise it is given up at once, as Twisted does.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

_classes: dict[type, type] = {}


@implementer(IHalfCloseableProtocol)
class _HalfClosing:
    """
    What a channel's protocol gets besides.
    """

    _inputEnded = False

    def readConnectionLost(self: Any) -> None:
        """
        The client sends no more.  This is asked again whenever reading is
        resumed, so also after the answer.
        """
        if _isBusy(self._channel):
            self._inputEnded = True
        elif self._inputEnded:
            self._channel.transport.loseConnection()
        else:
            self._channel.transport.connectionLost(Failure(ConnectionDone()))

    def writeConnectionLost(self) -> None:
        """
        We never close our half alone.
        """


def _isBusy(channel: Any) -> bool:
    """
    Whether a request of this channel waits for the store.
    """
    for request in getattr(channel, "requests", ()):
        exchange = getattr(request, "_exchange", None)
        if exchange is not None and exchange.isBusy:
            return True
    return False


def halfClosing(protocol: Any) -> Any:
    """
    Make a protocol, as a site builds it, outlast the end of what a client sends
    for as long as the store is asked.
    """
    theirs = type(protocol)
    made = _classes.get(theirs)
    if made is None:
        made = _classes[theirs] = type(theirs.__name__, (_HalfClosing, theirs), {})
    protocol.__class__ = made
    return protocol


__all__ = ["halfClosing"]
