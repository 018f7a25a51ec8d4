"""
A batch of verbs on its way to the disk, and what is done with it in the thread.

Owns the verbs under way and the steps of a transaction as the writer's thread takes
them.  Whoever calls these functions holds the connection and lets go of the gate
afterwards.  Knows no reactor.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.errors import StoreError, StoreUnavailable
from txsessions.stores import _sqlite_verbs
from txsessions.stores._sqlite_connection import WriteConnection
from txsessions.stores._sqlite_errors import isFull, storeError

_log = Logger()

BATCH_VERBS = 128
"""How many verbs one transaction takes at most."""

BATCH_PAGES = 400
"""How many pages one transaction writes at most, about: a bound on the time that
its statements take of the reactor's."""


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
        @param heavy: Whether it is too long for the reactor's thread; then it
            is also given something to call now and then.
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

    @ivar operations: Its verbs; empty once everybody was told.
    @ivar due: When the reactor gives it up.
    @ivar abandoned: Whether it has.
    """

    __slots__ = ("abandoned", "due", "operations")

    def __init__(self, operations: Sequence[Operation], due: float) -> None:
        self.operations = operations
        self.due = due
        self.abandoned = False


def takeBatch(queue: deque[Operation]) -> list[Operation]:
    """
    Take the next batch from the queue: a long verb alone, short ones together.
    """
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


Tell = Callable[[], None]


def failAll(operations: Sequence[Operation], error: StoreError) -> None:
    """
    Give each verb an error of its own, for none of them is done.
    """
    for operation in operations:
        operation.result = None
        operation.error = type(error)(str(error))


def flyAll(
    connection: WriteConnection,
    flight: Flight,
    tell: Tell,
    final: bool,
    patience: float,
) -> None:
    """
    Do all of a batch.

    @param tell: Tells those who wait, before what can wait is done.
    @param final: Whether it is synced whatever the durability.
    @param patience: How long to wait for other processes, in seconds.
    """
    operations = flight.operations
    if flight.abandoned:
        return
    try:
        connection.begin(final, patience)
        connection.perform(operations)
    except sqlite3.Error as error:
        recover(connection, flight, tell, error)
    except StoreError as error:
        failAll(operations, error)
    else:
        flyHome(connection, flight, tell)


def flyHome(connection: WriteConnection, flight: Flight, tell: Tell) -> None:
    """
    Commit a batch whose statements have run, tell, then do what can wait.
    """
    heavy = any(operation.heavy for operation in flight.operations)
    try:
        connection.commit()
    except sqlite3.Error as error:
        recover(connection, flight, tell, error)
        return
    if heavy or connection.checkpointDue():
        tell()
        if heavy:
            connection.lookForSurplus()
        if connection.checkpointDue():
            connection.checkpoint()


def recover(
    connection: WriteConnection, flight: Flight, tell: Tell, error: sqlite3.Error
) -> None:
    """
    A transaction failed: none of the batch is done, as far as is known.  Where
    there was no room, the logouts are tried again, alone, in the room that a
    checkpoint makes in the write-ahead log.
    """
    operations = flight.operations
    connection.recover()
    failAll(operations, storeError(error, connection.path))
    logouts = [each for each in operations if each.verb is _sqlite_verbs.delete]
    if not logouts or not isFull(error) or not connection.ready:
        return
    connection.checkpoint()
    connection.gate.release()
    try:
        if not connection.tryBegin(True):
            return
        for operation in logouts:
            operation.error = None
        connection.perform(logouts)
        connection.commit()
    except sqlite3.Error as second:
        connection.recover()
        failAll(logouts, storeError(second, connection.path))
    except StoreError as second:
        failAll(logouts, second)


def crash(connection: WriteConnection, flight: Flight, error: BaseException) -> None:
    """
    The store itself failed in the thread, which should never be.
    """
    connection.recover()
    failAll(flight.operations, StoreUnavailable(f"the session store failed: {error!r}"))


def notGivenBack(failure: Failure) -> None:
    """
    Free pages stay in the file, until another sweep.
    """
    _log.warn(
        "Free pages of the session database stay in its file: {error}",
        error=failure.getErrorMessage(),
    )


__all__ = [
    "BATCH_PAGES",
    "BATCH_VERBS",
    "Flight",
    "Operation",
    "Tell",
    "crash",
    "failAll",
    "flyAll",
    "flyHome",
    "notGivenBack",
    "recover",
    "takeBatch",
]
