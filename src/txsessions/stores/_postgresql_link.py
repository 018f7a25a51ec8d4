"""
One connection to PostgreSQL that the reactor watches.

Owns the descriptor.  What is sent in one turn of the reactor is one unit and leaves
with one system call, at the beginning of the next one.  The reactor is asked whether
the descriptor can be written to only if it could not, for that takes a system call to
ask, another to wait, and a third to ask no longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import psycopg
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorFDSet,
    IReadWriteDescriptor,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txsessions.stores._postgresql_exchange import Broken, Exchange, Unit


class IEnd(Protocol):
    """
    Whom a link works for.  All methods are called in the reactor's thread.
    """

    def takeUnit(self) -> Unit | None:
        """
        Hand over the next unit, if there is one.
        """

    def unitsDone(self, units: list[Unit]) -> None:
        """
        These have been answered.  If there are others to send, the link is woken.
        """

    def linkLost(self, why: str) -> None:
        """
        The connection is lost, and the link has let go of it.  Not called after
        L{ILink.drop}.
        """


class ILink(Protocol):
    """
    A connection.
    """

    def wake(self) -> None:
        """
        There is a unit to send, at the end of this turn.
        """

    def underWay(self) -> list[Unit]:
        """
        The units sent and not answered, oldest first.
        """

    def drop(self) -> None:
        """
        Close it now, whatever is under way.
        """


LinkMaker = Callable[["psycopg.Connection", IEnd, int, bool], ILink]
"""Takes a connection, whom the link works for, how many units may be under way (0:
any number), and whether its statements are prepared."""


@implementer(IReadWriteDescriptor)
class WatchedLink:
    """
    See the module.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        end: IEnd,
        limit: int,
        prepared: bool,
        reactor: Any,
    ) -> None:
        """
        @param reactor: Provides C{IReactorFDSet} and C{IReactorTime}.
        """
        # Python's object closes the connection when it goes.
        self._connection: psycopg.Connection | None = connection
        self._exchange = Exchange(connection.pgconn, prepared)
        self._end = end
        self._limit = limit
        self._reactor = reactor
        self._planned: IDelayedCall | None = None
        self._isBlocked = False
        # libpq closes its socket itself when the connection fails, under the
        # reactor's feet; this copy is ours to close.
        self._descriptor = os.dup(connection.pgconn.socket)
        reactor.addReader(self)

    def fileno(self) -> int:
        """
        See C{IFileDescriptor.fileno}.
        """
        return self._descriptor

    def logPrefix(self) -> str:
        """
        See C{ILoggingContext.logPrefix}.
        """
        return "txsessions-postgresql"

    def wake(self) -> None:
        """
        See L{ILink.wake}.
        """
        if self._connection is None or self._planned is not None or self._isBlocked:
            return
        if self._hasRoom():
            self._planned = self._reactor.callLater(0, self._send)

    def underWay(self) -> list[Unit]:
        """
        See L{ILink.underWay}.
        """
        return list(self._exchange.units)

    def _hasRoom(self) -> bool:
        """
        May another unit be sent?
        """
        return not self._limit or len(self._exchange.units) < self._limit

    def _send(self) -> None:
        """
        Send the units that there are.
        """
        self._planned = None
        self.doWrite()

    def doWrite(self) -> None:
        """
        See C{IWriteDescriptor.doWrite}.
        """
        exchange = self._exchange
        try:
            while self._hasRoom():
                unit = self._end.takeUnit()
                if unit is None:
                    break
                exchange.send(unit)
            isBlocked = exchange.flush()
        except Broken as error:
            self._lost(str(error))
            return
        if isBlocked != self._isBlocked:
            self._isBlocked = isBlocked
            if isBlocked:
                self._reactor.addWriter(self)
            else:
                self._reactor.removeWriter(self)

    def doRead(self) -> None:
        """
        See C{IReadDescriptor.doRead}.
        """
        try:
            done = self._exchange.receive()
        except Broken as error:
            if error.done:
                self._end.unitsDone([*error.done])
            self._lost(str(error))
            return
        if done:
            self._end.unitsDone(done)

    def connectionLost(self, reason: Failure) -> None:
        """
        See C{IReadDescriptor.connectionLost}: the reactor itself gives the
        descriptor up.
        """
        if self._connection is not None:
            self._lost(reason.getErrorMessage())

    def _lost(self, why: str) -> None:
        """
        The connection is of no more use.
        """
        if self._connection is not None:
            self.drop()
            self._end.linkLost(why)

    def drop(self) -> None:
        """
        See L{ILink.drop}.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        os.close(self._descriptor)
        connection.close()


def canWatch(reactor: object) -> bool:
    """
    Can this reactor watch a descriptor that is not its own?
    """
    return os.name == "posix" and bool(IReactorFDSet.providedBy(reactor))


__all__ = ["IEnd", "ILink", "LinkMaker", "WatchedLink", "canWatch"]
