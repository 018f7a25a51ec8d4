"""
Bytes that leave at once.

Owns the short cut to a socket.  What is written to a transport leaves only in the
reactor's next turn, by way of two system calls that ask to be told that it can, and
of the reactor's telling it.  A reply that has waited for the store has waited enough,
and a call that a store sends is answered a turn earlier.  Knows no HTTP and no store.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

_WRITE = Connection.write


def sendNow(transport: Any, data: bytes) -> None:
    """
    Write to a transport.  If it is one of Twisted's sockets, without TLS, and nothing is
    to leave before this, as much of it leaves now as the system takes, and the rest when
    it can.  Of a very long one nothing does, for the rest would be another copy.  That the
    connection is lost the transport hears in the next turn.
    """
    try:
        isFree = (
            transport.write.__func__ is _WRITE
            and not transport.TLS
            and not transport.dataBuffer
            and not transport._tempDataBuffer
            and transport.connected
            and not transport._aborting
            and len(data) <= transport.SEND_LIMIT
        )
    except AttributeError:
        isFree = False
    if isFree:
        sent = transport.writeSomeData(data)
        if sent == len(data):
            return
        if isinstance(sent, Exception):
            # The system says so once only.  To be told twice harms no transport.
            transport.reactor.callLater(0, transport.connectionLost, Failure(sent))
            return
        data = data[sent:]
    transport.write(data)


__all__ = ["sendNow"]
