"""
How the writer's thread gets what is to be done with a flight, and how that comes
back.

Owns the moment for which the reactor's thread waits for the other.  Where the rest
of a transaction takes microseconds, as a commit does that is not synced, waiting is
cheaper than going on: two threads that want the interpreter's lock take it from each
other at every system call, about twenty times a batch, and that costs more than the
commit.  The thread is there for the disk that hangs, and then the reactor goes on
after a millisecond.  However long it has waited, it does not wait again for a multiple
of that, so that a slow disk, or a busy machine, takes a small share of its time.
"""

from __future__ import annotations

from collections.abc import Callable

from txsessions.stores._reactor import IStoreReactor
from txsessions.stores._sqlite_connection import WriteConnection
from txsessions.stores._sqlite_flight import Flight, crash
from txsessions.stores._worker import IWorker

MOMENT = 0.001
"""How long the reactor waits for the thread, in seconds."""

PAUSES = 8
"""How many times as long as it has waited it does not wait again."""


class Handover:
    """
    The way of flights to the thread and back.
    """

    def __init__(
        self,
        connection: WriteConnection,
        worker: IWorker,
        reactor: IStoreReactor,
        tell: Callable[[Flight], None],
        landed: Callable[[Flight], None],
    ) -> None:
        """
        @param tell: Called in the reactor's thread with a flight whose verbs are
            done, if its end takes longer.
        @param landed: Called there at its end, once or twice.
        """
        self._connection = connection
        self._worker = worker
        self._seconds = reactor.seconds
        self._inReactor = reactor.callFromThread
        self._tell = tell
        self._landed = landed
        self._waitsFrom = float("-inf")

    def give(
        self,
        work: Callable[..., None],
        flight: Flight,
        *args: object,
        isShort: bool = False,
    ) -> None:
        """
        Have the thread go on with a flight, and land it whatever happens.

        @param isShort: Whether it takes microseconds.  Then L{wait} is to be called
            where C{flight.isShort} says so.
        """
        connection, inReactor = self._connection, self._inReactor
        flight.isShort = isShort and self._seconds() >= self._waitsFrom

        def inThread() -> None:
            try:
                work(connection, flight, lambda: inReactor(self._tell, flight), *args)
            except BaseException as error:
                crash(connection, flight, error)
                raise
            finally:
                connection.gate.release()
                flight.isOver = True
                flight.over.release()
                if not flight.isAwaited:
                    inReactor(self._landed, flight)

        self._worker.do(inThread)

    def wait(self, flight: Flight) -> None:
        """
        Wait a moment for a flight that is in the thread, and land it.
        """
        began = self._seconds()
        try:
            flight.isAwaited = True
            flight.over.acquire(timeout=MOMENT)
        finally:
            # In this order: the thread looks after it has said that it is over.
            flight.isAwaited = False
            now = self._seconds()
            self._waitsFrom = now + PAUSES * (now - began)
            if flight.isOver:
                self._landed(flight)


__all__ = ["MOMENT", "PAUSES", "Handover"]
