"""
One connection to PostgreSQL that a thread watches, for reactors that cannot watch
descriptors of others (on Windows).

Owns that thread.  The units are those of
L{txsessions.stores._postgresql_link.WatchedLink}; one is under way at a time.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from typing import Any

import psycopg
from twisted.internet.interfaces import IDelayedCall

from txsessions.stores._postgresql_exchange import Broken, Exchange, Unit
from txsessions.stores._postgresql_link import IEnd
from txsessions.stores._reactor import IStoreReactor
from txsessions.stores._worker import PATIENCE, IWorker

_UNIT, _END = b"u", b"e"


class ThreadedLink:
    """
    See the module.  All methods are the reactor's, but those whose name says that
    they run in the thread.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        end: IEnd,
        limit: int,
        prepared: bool,
        reactor: IStoreReactor,
        makeWorker: Callable[[str], IWorker],
    ) -> None:
        self._connection = connection
        self._exchange = Exchange(connection.pgconn, prepared)
        self._end = end
        self._reactor = reactor
        self._unit: Unit | None = None
        self._planned: IDelayedCall | None = None
        self._dropped = False
        self._bell, self._rope = socket.socketpair()
        self._worker = makeWorker("txsessions-postgresql")
        self._worker.do(self._watchInThread)

    def wake(self) -> None:
        """
        See L{ILink.wake<txsessions.stores._postgresql_link.ILink.wake>}.
        """
        if self._unit is None and self._planned is None and not self._dropped:
            self._planned = self._reactor.callLater(0, self._take)

    def underWay(self) -> list[Unit]:
        """
        See L{ILink.underWay<txsessions.stores._postgresql_link.ILink.underWay>}.
        """
        return [] if self._unit is None else [self._unit]

    def _take(self) -> None:
        """
        Give the thread a unit, at the end of the turn.
        """
        self._planned = None
        self._unit = self._end.takeUnit()
        if self._unit is not None:
            self._rope.send(_UNIT)

    def drop(self) -> None:
        """
        See L{ILink.drop<txsessions.stores._postgresql_link.ILink.drop>}.  The
        thread closes the connection when it hears of it, which is at once.
        """
        if self._dropped:
            return
        self._dropped = True
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        self._worker.quit()
        self._rope.send(_END)

    def _watchInThread(self) -> None:
        """
        The thread: wait for units, and for what the server says.
        """
        try:
            while self._turnInThread():
                pass
        except Broken as error:
            if error.done:
                self._reactor.callFromThread(self._done, [*error.done])
            self._reactor.callFromThread(self._lost, str(error))
            while self._heardInThread(None) != _END:
                pass
        finally:
            self._connection.close()
            self._bell.close()
            self._rope.close()

    def _heardInThread(self, descriptor: int | None) -> bytes:
        """
        Wait until something happens.

        @param descriptor: The connection's, if it is to be watched too.
        @return: What the reactor said; nothing if it was the connection.
        """
        reading: list[Any] = (
            [self._bell] if descriptor is None else [self._bell, descriptor]
        )
        writing: list[int] = []
        if descriptor is not None and self._exchange.units and self._exchange.flush():
            writing.append(descriptor)
        ready, _, _ = select.select(reading, writing, [], PATIENCE)
        if self._bell in ready:
            return self._bell.recv(1)
        return b"" if threading.main_thread().is_alive() else _END

    def _turnInThread(self) -> bool:
        """
        Wait until something happens, and do it.

        @return: Whether to go on.
        @raise Broken: The connection is lost.
        """
        said = self._heardInThread(self._connection.pgconn.socket)
        if said == _UNIT and self._unit is not None:
            self._exchange.send(self._unit)
        elif not said and (done := self._exchange.receive()):
            self._reactor.callFromThread(self._done, done)
        return said != _END

    def _done(self, units: list[Unit]) -> None:
        """
        A unit has been answered.
        """
        if not self._dropped:
            self._unit = None
            self._end.unitsDone(units)

    def _lost(self, why: str) -> None:
        """
        The connection is of no more use.
        """
        if not self._dropped:
            self.drop()
            self._end.linkLost(why)


__all__ = ["ThreadedLink"]
