"""
Who is told that a store has a new connection.

Owns that, for stores whose server may be another one afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from txsessions.interfaces import IConnectionListener


class Reconnecting:
    """
    A store that tells of its connections.
    """

    _listeners: WeakSet[IConnectionListener] | None = None

    def addConnectionListener(self, listener: IConnectionListener) -> None:
        """
        See L{txsessions.interfaces.IReconnectingStore.addConnectionListener}.
        """
        if self._listeners is None:
            self._listeners = WeakSet()
        self._listeners.add(listener)

    def _tellConnected(self) -> None:
        """
        There is a new connection.
        """
        for listener in list(self._listeners or ()):
            listener.storeConnected()


__all__ = ["Reconnecting"]
