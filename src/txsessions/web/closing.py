"""
Responses that end with their session.

Owns how a response that streams is cut short when its session is over: like one whose
client has left.  It gets no proper end, so that what was sent is not taken for whole.
"""

from __future__ import annotations

from typing import Any

from txsessions.live.closing import Closing
from txsessions.web import failing
from txsessions.web.visits import FAILED


class RequestClosing(Closing):
    """
    Ends the response to one request.
    """

    __slots__ = ()

    def _hasEnded(self, connection: Any) -> bool:
        """
        See L{Closing._hasEnded}.
        """
        return bool(connection.finished or connection._disconnected)

    def _close(self, connection: Any) -> None:
        """
        Cut the response short.  On HTTP/2 that resets its stream alone.

        A page that ends the session itself still answers.
        """
        exchange = connection._sessionExchange()
        if exchange is None:
            connection.loseConnection()
        elif exchange.table.current is not connection:
            reactor = exchange.table.reactor
            exchange.lost()
            # What the page still writes goes nowhere.
            exchange.state = FAILED
            failing.abort(connection, reactor)


__all__ = ["RequestClosing"]
