"""
Connections that are closed when their session ends.

Owns which callbacks on a session's end are for a connection, and that they go when it
does: a page that streams, or a WebSocket, leaves nothing behind.  Knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from twisted.logger import Logger

from txsessions.errors import ConfigurationError
from txsessions.live.callbacks import MAX_CALLBACKS, runCallbacks

_log = Logger(namespace="txsessions")


class Closing:
    """
    Closes one connection.  It keeps it not alive: what has a connection is kept by
    the reactor for as long as there is one.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: Any) -> None:
        """
        @param connection: A transport.
        @raise ConfigurationError: It is none.
        """
        try:
            self._connection = ref(connection)
        except TypeError:
            connection = None
        if not callable(getattr(connection, "loseConnection", None)):
            raise ConfigurationError(
                "closes() takes a request or a transport: what has loseConnection() "
                "and can be referred to weakly"
            )

    @property
    def isOver(self) -> bool:
        """
        Whether there is nothing left to close.
        """
        connection = self._connection()
        return connection is None or self._hasEnded(connection)

    def _hasEnded(self, connection: Any) -> bool:
        """
        Whether the connection is known to be gone, though the object is there.
        """
        return False

    def __call__(self) -> None:
        """
        The session has ended.
        """
        connection = self._connection()
        if connection is not None and not self._hasEnded(connection):
            self._close(connection)

    def _close(self, connection: Any) -> None:
        """
        Close it politely, or else cut it.
        """
        try:
            connection.loseConnection()
        except Exception:
            _log.debug("a connection could not be closed, and is cut")
            abort = getattr(connection, "abortConnection", None)
            if abort is None:
                abort = connection.transport.abortConnection
            abort()


def stillWait(callbacks: list[Callable[[], object]]) -> bool:
    """
    Forget the callbacks whose connection is gone.

    @return: Whether any are left.
    """
    for callback in callbacks:
        if isinstance(callback, Closing) and callback.isOver:
            callbacks[:] = [
                each
                for each in callbacks
                if not (isinstance(each, Closing) and each.isOver)
            ]
            break
    return bool(callbacks)


def closeLater(callbacks: list[Callable[[], object]], closing: Closing) -> None:
    """
    Have a connection closed with the session.  If the session has too many, the oldest
    is closed now: none is forgotten.
    """
    stillWait(callbacks)
    if len(callbacks) >= MAX_CALLBACKS:
        for oldest in callbacks:
            if isinstance(oldest, Closing):
                callbacks.remove(oldest)
                _log.warn(
                    "a session has {limit} connections or expiry callbacks: its "
                    "oldest connection is closed",
                    limit=MAX_CALLBACKS,
                )
                runCallbacks([oldest])
                break
    callbacks.append(closing)


__all__ = ["Closing", "closeLater", "stillWait"]
