"""
Group commit: all that is written in one turn of the reactor shares one sync.

Owns the queue of verbs, the one batch under way (the flight) and the deadlines.

Verbs queue; at the end of the turn a batch of them becomes the flight.  Their
statements take microseconds each and run here, in the reactor's thread: in a
thread, SQLite gives up the interpreter's lock at every step, and everything costs
twice.  Only the commit, which waits for the disk, goes to the writer's thread,
which answers with one call for the whole batch.  Where another process is writing,
or the work is long (a sweep), the whole batch goes to the thread.  What comes
meanwhile is the next batch.

Deadlines run in the reactor, so they hold when the thread is stuck in a hung disk:
what waits fails, later calls fail at once, and all is well again when the thread
comes back.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from txsessions.errors import SessionError, StoreError, StoreUnavailable
from txsessions.stores import _sqlite_verbs
from txsessions.stores._reactor import IStoreReactor
from txsessions.stores._sqlite_connection import WriteConnection, giveBack
from txsessions.stores._sqlite_errors import isFull, storeError
from txsessions.stores._worker import IWorker

QUEUE_LIMIT = 10000
"""How many verbs may wait."""

BATCH_VERBS = 128
"""How many verbs one transaction takes at most."""

BATCH_PAGES = 400
"""How many pages one transaction writes at most, about: a bound on the time that
its statements take of the reactor's."""

_THREADS_SHARE = 0.8
"""How much of the time left the thread may wait for other processes, so that it is
back, and knows that nothing was written, before the deadline."""


class Operation:
    """
    One verb, and who waits for it.
    """

    __slots__ = (
        "args",
        "deferred",
        "due",
        "error",
        "final",
        "heavy",
        "pages",
        "result",
        "verb",
    )

    def __init__(
        self,
        verb: Callable[..., Any],
        args: tuple[Any, ...],
        pages: int,
        final: bool,
        heavy: bool,
        due: float,
    ) -> None:
        """
        @param pages: How many pages it will write, about.
        @param final: Whether no power cut may undo it.
        @param heavy: Whether it is too long for the reactor's thread.
        @param due: When whoever waits is told that it is too late.
        """
        self.verb = verb
        self.args = args
        self.pages = pages
        self.final = final
        self.heavy = heavy
        self.due = due
        self.result: Any = None
        self.error: Exception | None = None
        self.deferred: Deferred[Any] = Deferred()

    def fire(self) -> None:
        """
        Tell whoever waits, unless they were told already.
        """
        deferred = self.deferred
        if deferred.called:
            return
        if self.error is None:
            deferred.callback(self.result)
        else:
            deferred.errback(self.error)


class Flight:
    """
    The batch under way.

    @ivar operations: Its verbs, empty once everybody was told.
    @ivar abandoned: Whether the reactor has given it up.
    """

    __slots__ = ("abandoned", "due", "operations")

    def __init__(self, operations: Sequence[Operation], due: float) -> None:
        self.operations = operations
        self.due = due
        self.abandoned = False


class Writer:
    """
    See the module.  All methods are the reactor's, but those whose name says
    that they run in the thread.
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
        self._reactor = reactor
        self._deadline = deadline
        self._pid = os.getpid()
        self._queue: deque[Operation] = deque()
        self._flight: Flight | None = None
        self._planned: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._refusal: str | None = "the session database is not open yet"
        self._reader: sqlite3.Connection | None = None
        self._closing: Deferred[None] | None = None
        self._closed = False
        self._limit: IDelayedCall | None = None

    @property
    def idle(self) -> bool:
        """
        Is nothing under way in the thread?
        """
        return self._flight is None

    def open(self) -> Deferred[sqlite3.Connection]:
        """
        Open the database, in the thread; without a deadline.

        @return: The connection for reading.
        """
        operation = Operation(
            self._connection.open, (self._deadline,), 0, False, True, float("inf")
        )
        flight = self._flight = Flight([operation], float("inf"))
        self._worker.do(lambda: self._openInThread(flight))
        return operation.deferred

    def submit(
        self,
        verb: Callable[..., Any],
        *args: Any,
        pages: int = 1,
        final: bool = False,
        heavy: bool = False,
    ) -> Deferred[Any]:
        """
        Have a verb run in the next transaction.  See L{Operation}.

        @return: What the verb returns, once it is committed.
        """
        if self._refusal is not None:
            return fail(StoreUnavailable(self._refusal))
        if len(self._queue) >= QUEUE_LIMIT:
            return fail(
                StoreUnavailable(
                    f"{QUEUE_LIMIT} writes are waiting for the session database "
                    "already: it is too slow for what it is given"
                )
            )
        due = self._reactor.seconds() + self._deadline
        operation = Operation(verb, args, pages, final, heavy, due)
        self._queue.append(operation)
        if self._flight is None:
            self._plan()
        if self._timer is None:
            self._timer = self._reactor.callLater(self._deadline, self._overdue)
        return operation.deferred

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
        if self._flight is not None or self._closed or os.getpid() != self._pid:
            return
        if not self._queue:
            if self._closing is not None:
                self._finish()
            return
        operations = self._take()
        flight = self._flight = Flight(operations, operations[0].due)
        try:
            self._depart(flight)
        except sqlite3.Error as error:
            self._give(self._recoverInThread, flight, error)
        except StoreError as error:
            _failAll(operations, error)
            self._landed(flight)

    def _give(
        self, work: Callable[..., None], flight: Flight, *args: object
    ) -> None:
        """
        Have the thread go on with a flight, and land it whatever happens.
        """

        def guarded() -> None:
            try:
                work(flight, *args)
            except BaseException as error:
                found = StoreUnavailable(f"the session store failed: {error!r}")
                self._connection.recover()
                self._connection.gate.release()
                _failAll(flight.operations, found)
                self._reactor.callFromThread(self._landed, flight)
                raise

        self._worker.do(guarded)

    def _take(self) -> list[Operation]:
        """
        The next batch: a long verb alone, short ones together.
        """
        queue = self._queue
        operations = [queue.popleft()]
        pages = operations[0].pages
        if operations[0].heavy:
            return operations
        while queue and len(operations) < BATCH_VERBS and pages < BATCH_PAGES:
            if queue[0].heavy:
                break
            operation = queue.popleft()
            pages += operation.pages
            operations.append(operation)
        return operations

    def _depart(self, flight: Flight) -> None:
        """
        Run the statements here if that is quick, and give the rest to the
        thread.
        """
        connection = self._connection
        operations = flight.operations
        final = not connection.full and any(each.final for each in operations)
        quick = not operations[0].heavy and connection.ready
        if not quick or not connection.tryBegin(final):
            patience = max(0.0, flight.due - self._reactor.seconds()) * _THREADS_SHARE
            self._give(self._wholeInThread, flight, final, patience)
        elif connection.perform(operations):
            self._give(self._commitInThread, flight)
        else:
            connection.commit()
            connection.gate.release()
            self._landed(flight)

    def _wholeInThread(self, flight: Flight, final: bool, patience: float) -> None:
        """
        In the thread: do all of a batch.
        """
        connection = self._connection
        operations = flight.operations
        try:
            if flight.abandoned:
                raise StoreUnavailable("it was too late to begin")
            connection.begin(final, patience)
            connection.perform(operations)
        except sqlite3.Error as error:
            self._recoverInThread(flight, error)
        except StoreError as error:
            _failAll(operations, error)
            self._reactor.callFromThread(self._landed, flight)
        else:
            self._commitInThread(flight)

    def _commitInThread(self, flight: Flight) -> None:
        """
        In the thread: commit, tell, then do what can wait.
        """
        connection = self._connection
        try:
            connection.commit()
        except sqlite3.Error as error:
            self._recoverInThread(flight, error)
            return
        heavy = bool(flight.operations) and flight.operations[0].heavy
        if not heavy and not connection.checkpointDue():
            connection.gate.release()
            self._reactor.callFromThread(self._landed, flight)
            return
        self._reactor.callFromThread(self._tell, flight)
        if heavy:
            connection.lookForSurplus()
        if connection.checkpointDue():
            connection.checkpoint()
        connection.gate.release()
        self._reactor.callFromThread(self._landed, flight)

    def _recoverInThread(self, flight: Flight, error: sqlite3.Error) -> None:
        """
        In the thread: a transaction failed.  Where there was no room, the final
        verbs (logouts) are tried again, alone, in the room that a checkpoint
        makes in the write-ahead log.
        """
        connection = self._connection
        operations = flight.operations
        connection.recover()
        path = connection.path
        _failAll(operations, storeError(error, path))
        again = [each for each in operations if each.verb is _sqlite_verbs.delete]
        if again and isFull(error) and connection.ready:
            try:
                self._tryAgainInThread(again)
            except sqlite3.Error as second:
                connection.recover()
                _failAll(again, storeError(second, path))
            except StoreError as second:
                _failAll(again, second)
        connection.gate.release()
        self._reactor.callFromThread(self._landed, flight)

    def _tryAgainInThread(self, operations: Sequence[Operation]) -> None:
        """
        In the thread: make room, and run these alone.
        """
        connection = self._connection
        connection.checkpoint()
        connection.gate.release()
        connection.begin(True, 0.0)
        for operation in operations:
            operation.error = None
        connection.perform(operations)
        connection.commit()

    def _openInThread(self, flight: Flight) -> None:
        """
        In the thread: open the database.
        """
        operation = flight.operations[0]
        try:
            operation.result = operation.verb(*operation.args)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            operation.error = error
        self._reactor.callFromThread(self._opened, flight, operation)

    def _opened(self, flight: Flight, operation: Operation) -> None:
        """
        The database is open, or cannot be.
        """
        self._reader = operation.result
        if operation.error is None and self._closing is None:
            self._refusal = None
        self._landed(flight)

    def _tell(self, flight: Flight) -> None:
        """
        Fire all that waited for a flight.
        """
        operations, flight.operations = flight.operations, ()
        flight.due = self._reactor.seconds() + self._deadline
        for operation in operations:
            operation.fire()

    def _landed(self, flight: Flight) -> None:
        """
        The thread is free again.
        """
        self._flight = None
        if flight.abandoned and self._closing is None:
            self._refusal = None
            self._log.info("The session database answers again")
        if self._connection.surplus and self._refusal is None:
            self._connection.surplus = False
            self.submit(giveBack, pages=256, heavy=True).addErrback(lambda _: None)
        self._tell(flight)
        if self._flight is None:
            self._plan()

    def _overdue(self) -> None:
        """
        The timer: tell those whose deadline has passed.
        """
        self._timer = None
        if os.getpid() != self._pid:
            return
        now = self._reactor.seconds()
        flight = self._flight
        if flight is not None and flight.due <= now and not flight.abandoned:
            self._abandon(flight)
        while self._queue and self._queue[0].due <= now:
            operation = self._queue.popleft()
            operation.error = self._late()
            operation.fire()
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
        late = self._late()
        if self._closing is None:
            self._refusal = str(late)
        self._log.error("{error}", error=str(late))
        waiting = [*flight.operations, *self._queue]
        flight.operations = ()
        self._queue.clear()
        for operation in waiting:
            if not operation.deferred.called:
                operation.deferred.errback(self._late())

    def _late(self) -> StoreUnavailable:
        """
        Say that a deadline has passed.
        """
        return StoreUnavailable(
            f"the session database {self._connection.path} has not answered for "
            f"{self._deadline:g} s: see whether its disk hangs"
        )

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


def _failAll(operations: Sequence[Operation], error: StoreError) -> None:
    """
    Give each verb an error of its own, for none of them is done.
    """
    for operation in operations:
        operation.result = None
        operation.error = type(error)(str(error))


__all__ = [
    "BATCH_PAGES",
    "BATCH_VERBS",
    "QUEUE_LIMIT",
    "Flight",
    "Operation",
    "Writer",
]
