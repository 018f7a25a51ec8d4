"""
Group commit: all that is written in one turn of the reactor shares one sync.

Owns the queue of verbs, the one batch under way (the flight) and the deadlines.

Verbs queue; at the end of the turn a batch of them becomes the flight.  Their
statements take microseconds each and run here, in the reactor's thread: in a
thread, SQLite gives up the interpreter's lock at every step, and everything costs
twice.  Only the commit, which waits for the disk, goes to the writer's thread,
which answers with one call for the whole batch.  Where another process is writing,
or the work is long (a sweep), the whole batch goes to the thread.  What comes
meanwhile is the next batch.  A commit that does not wait for the disk is waited for,
a moment: see L{txsessions.stores._sqlite_handover}.

Deadlines run in the reactor, so they hold when the thread is stuck in a hung disk:
what waits fails, later calls fail at once, and all is well again when the thread
comes back.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from txsessions.core.forks import FORKS
from txsessions.core.telling import Told
from txsessions.errors import StoreError, StoreUnavailable
from txsessions.stores import _sqlite_verbs
from txsessions.stores._reactor import IStoreReactor, handled
from txsessions.stores._sqlite_connection import WriteConnection
from txsessions.stores._sqlite_errors import ENGINE_ERRORS, forked, late, tooMany
from txsessions.stores._sqlite_flight import (
    Flight,
    Operation,
    anyFinal,
    crash,
    failAll,
    fire,
    flyAll,
    flyHome,
    notGivenBack,
    recover,
    takeBatch,
)
from txsessions.stores._sqlite_handover import Handover
from txsessions.stores._telling import deferredOf
from txsessions.stores._worker import IWorker

QUEUE_LIMIT = 10000
"""How many verbs may wait."""

_THREADS_SHARE = 0.8
"""How much of the time left the thread may wait for other processes, so that it is
back, and knows that nothing was written, before the deadline."""


class Writer:
    """
    See the module.  All methods are the reactor's, but those whose name says
    that they run in the thread.

    @ivar begunHere: Whether the flight was begun in the reactor's thread.
    @ivar onBegin: Called when one has begun there.
    @ivar onGive: Called before the thread is given one that has yet to begin.
    @ivar onCommit: Called in the thread when it has committed one that had begun.
    """

    _log = Logger()

    def __init__(
        self,
        connection: WriteConnection,
        worker: IWorker,
        reactor: IStoreReactor,
        deadline: float,
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._handover = Handover(connection, worker, reactor, self._tell, self._landed)
        self._reactor = reactor
        self._seconds = reactor.seconds
        self._deadline = deadline
        self._forks = FORKS.count
        self._queue: deque[Operation] = deque()
        self._flight: Flight | None = None
        self._planned: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._refusal: str | None = "the session database is not open yet"
        self._reader: sqlite3.Connection | None = None
        self._closing: Deferred[None] | None = None
        self._closed = False
        self._limit: IDelayedCall | None = None
        self.onBegin = self.onGive = self.onCommit = lambda: None
        self.begunHere = False

    @property
    def isBusy(self) -> bool:
        """
        Whether a batch is under way, so that the connection is not ours.
        """
        return self._flight is not None

    @property
    def holdsOthersOff(self) -> bool:
        """
        Whether nobody but us can have committed anything since L{onBegin}.
        """
        gate = self._connection.gate
        return self.begunHere and gate.works and gate.held

    def dataVersion(self) -> tuple[int, int] | None:
        """
        What the connection sees of others' commits; only while it is ours.
        """
        return self._connection.dataVersion()

    def open(self) -> Deferred[sqlite3.Connection]:
        """
        Open the database, in the thread; without a deadline.

        @return: The connection for reading.
        """
        verb, never = self._connection.open, float("inf")
        opened: Deferred[sqlite3.Connection] = Deferred()
        operation = Operation(verb, (self._deadline,), 0, False, True, never, opened)
        flight = self._flight = Flight([operation], never)
        self._worker.do(lambda: self._openInThread(flight, operation))
        return opened.addCallback(self._ready)

    def _ready(self, reader: sqlite3.Connection) -> sqlite3.Connection:
        """
        The database is open.
        """
        if self._closing is None:
            self._refusal = None
        return reader

    def tell(
        self,
        told: Told,
        verb: Callable[..., Any],
        args: tuple[Any, ...] = (),
        pages: int = 1,
        final: bool = False,
        heavy: bool = False,
    ) -> None:
        """
        Have a verb run in the next transaction.  See L{Operation}.

        @param told: Is told what the verb returns, once it is committed.
        """
        queue = self._queue
        if self._forks != FORKS.count:
            told.errback(forked(self._connection.path))
        elif self._refusal is not None or len(queue) >= QUEUE_LIMIT:
            told.errback(StoreUnavailable(self._refusal or tooMany(QUEUE_LIMIT)))
        else:
            due = self._seconds() + self._deadline
            queue.append(Operation(verb, args, pages, final, heavy, due, told))
            if self._planned is None and self._flight is None:
                self._plan()

    def close(self) -> Deferred[None]:
        """
        Finish what was accepted, then close everything; what cannot be finished
        by the deadline fails, and the thread closes everything when it is back.
        """
        self._refusal = "the session database is closed"
        closing = self._closing = Deferred()
        self._limit = self._reactor.callLater(self._deadline, self._closeWithout)
        self._plan()
        return closing

    def disown(self) -> None:
        """
        In the child of a fork: let go of what is the parent's.

        @raise StoreUnavailable: The parent was writing at that moment, so that
            this process can never use the database safely.
        """
        if self._flight is not None:
            raise StoreUnavailable(
                "this process was forked while its session store was writing: "
                "fork first, then open the store"
            )
        self._connection.disown(self._reader)

    def _plan(self) -> None:
        """
        Have the queue looked at, at the end of this turn.
        """
        wanted = self._queue or self._closing is not None
        if wanted and self._planned is None and not self._closed:
            self._planned = self._reactor.callLater(0, self._flush)

    def _flush(self) -> None:
        """
        Make a batch the flight, unless one is under way.
        """
        self._planned = None
        if self._flight is not None or self._closed or self._forks != FORKS.count:
            return
        if not self._queue:
            if self._closing is not None:
                self._finish()
            return
        operations = takeBatch(self._queue)
        flight = self._flight = Flight(operations, operations[0].due)
        if self._timer is None:
            # What waits in the queue is due later, so this is for that, too.
            left = max(0.0, flight.due - self._seconds())
            self._timer = self._reactor.callLater(left, self._overdue)
        try:
            self._depart(flight)
        except ENGINE_ERRORS as error:
            self._handover.give(recover, flight, error)
        except StoreError as error:
            failAll(operations, error)
            self._landed(flight)
        except BaseException as error:
            crash(self._connection, flight, error)
            self._connection.gate.release()
            self._landed(flight)
            raise
        if flight.isShort:
            self._handover.wait(flight)

    def _depart(self, flight: Flight) -> None:
        """
        Run the statements here if that is quick, and give the rest to the
        thread.
        """
        connection = self._connection
        operations = flight.operations
        final = not connection.full and anyFinal(operations)
        quick = not operations[0].heavy and connection.ready
        if not quick or not connection.tryBegin(final):
            self.onGive()
            patience = max(0.0, flight.due - self._seconds()) * _THREADS_SHARE
            self._handover.give(flyAll, flight, final, patience)
            return
        self.onBegin()
        self.begunHere = True
        if connection.perform(operations):
            soon = connection.endsSoon
            self._handover.give(flyHome, flight, self.onCommit, isShort=soon)
        else:
            connection.commit()
            connection.gate.release()
            self._landed(flight)

    def _openInThread(self, flight: Flight, operation: Operation) -> None:
        """
        In the thread: open the database, if anybody still wants it.
        """
        try:
            if flight.abandoned:
                raise StoreUnavailable("the session database was closed")
            self._reader = operation.result = operation.verb(*operation.args)
        except Exception as error:
            operation.error = error
        self._reactor.callFromThread(self._landed, flight)

    def _tell(self, flight: Flight) -> None:
        """
        Fire all that waited for a flight.
        """
        operations, flight.operations = flight.operations, ()
        flight.due = self._seconds() + self._deadline
        fire(operations)

    def _landed(self, flight: Flight) -> None:
        """
        The thread is free again.
        """
        if flight is not self._flight:
            return
        self._flight = None
        self.begunHere = False
        if flight.abandoned and self._closing is None:
            self._refusal = None
            self._log.info("The session database answers again")
        if self._connection.surplus and self._refusal is None:
            self._connection.surplus = False
            again = deferredOf(self.tell, _sqlite_verbs.giveBack, (), 256, heavy=True)
            handled(again.addErrback(notGivenBack))
        self._tell(flight)
        if self._flight is None:
            self._plan()

    def _overdue(self) -> None:
        """
        The timer: tell those whose deadline has passed.
        """
        self._timer = None
        if self._forks != FORKS.count:
            return
        now = self._seconds()
        flight = self._flight
        if flight is not None and flight.due <= now and not flight.abandoned:
            self._abandon(flight)
        while self._queue and self._queue[0].due <= now:
            error = late(self._connection.path, self._deadline)
            self._queue.popleft().told.errback(error)
        dues = [self._queue[0].due] if self._queue else []
        if flight is not None and now < flight.due < float("inf"):
            dues.append(flight.due)
        if dues and not self._closed:
            self._timer = self._reactor.callLater(min(dues) - now, self._overdue)

    def _abandon(self, flight: Flight) -> None:
        """
        The thread does not come back: nobody waits for it any longer.
        """
        flight.abandoned = True
        error = str(late(self._connection.path, self._deadline))
        if self._closing is None:
            self._refusal = error
        self._log.error("{error}", error=error)
        waiting = [*flight.operations, *self._queue]
        flight.operations = ()
        self._queue.clear()
        for operation in waiting:
            operation.told.errback(late(self._connection.path, self._deadline))

    def _finish(self) -> None:
        """
        Nothing is left to do: close.
        """
        self._flight = Flight((), float("inf"))
        self._closed = True
        self._worker.do(self._closeInThread)
        self._worker.quit()

    def _closeInThread(self) -> None:
        """
        In the thread: close everything.
        """
        self._connection.close(self._reader, self._deadline * _THREADS_SHARE)
        self._reactor.callFromThread(self._gone)

    def _gone(self) -> None:
        """
        Everything is closed.
        """
        self._worker.join()
        self._cancel()
        self._fireClosing()

    def _closeWithout(self) -> None:
        """
        The thread does not come back: leave it to close everything when it does.
        """
        if self._flight is not None and not self._closed:
            self._abandon(self._flight)
        self._connection.stop.set()
        if not self._closed:
            self._finish()
        self._cancel()
        self._log.error(
            "The session database {path} was left to its thread, which hangs",
            path=self._connection.path,
        )
        self._fireClosing()

    def _cancel(self) -> None:
        """
        Stop all timers.
        """
        for call in (self._planned, self._timer, self._limit):
            if call is not None and call.active():
                call.cancel()
        self._planned = self._timer = None

    def _fireClosing(self) -> None:
        """
        Tell whoever waits for the end.
        """
        if self._closing is not None and not self._closing.called:
            self._closing.callback(None)


__all__ = ["QUEUE_LIMIT", "Writer"]
