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

_WRITE = Connection.write


def sendNow(transport: Any, data: bytes) -> None:
    """
    Write to a transport.  If it is one of Twisted's sockets, without TLS, and nothing is
    to leave before this, as much of it leaves now as the system takes.  The rest, and all
    that is to be done about a connection that is lost, is the transport's own business.
    """
    try:
        isFree = (
            transport.write.__func__ is _WRITE
            and not transport.TLS
            and not transport.dataBuffer
            and not transport._tempDataBuffer
            and transport.connected
            and not transport._aborting
        )
    except AttributeError:
        isFree = False
    if isFree:
        sent = transport.writeSomeData(data)
        if type(sent) is int and sent > 0:
            if sent == len(data):
                return
            data = data[sent:]
    transport.write(data)


__all__ = ["sendNow"]
