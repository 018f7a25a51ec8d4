"""
A batch of verbs on its way to the disk, and what is done with it in the thread.

Owns the verbs under way and the steps of a transaction as the writer's thread takes
them.  Whoever calls these functions holds the connection and lets go of the gate
afterwards.  Knows no reactor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from operator import attrgetter
from threading import Lock
from typing import Any

from msgspec import Struct
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.telling import Told
from txsessions.errors import StoreError, StoreUnavailable
from txsessions.stores import _sqlite_ending, _sqlite_principals
from txsessions.stores._sqlite_connection import WriteConnection
from txsessions.stores._sqlite_errors import ENGINE_ERRORS, isFull, storeError

_log = Logger()

BATCH_VERBS = 128
"""How many verbs one transaction takes at most."""

BATCH_PAGES = 400
"""How many pages one transaction writes at most, about: a bound on the time that
its statements take of the reactor's."""


LOGOUTS = (
    _sqlite_ending.delete,
    _sqlite_principals.endSession,
    _sqlite_principals.endPrincipal,
)
"""The verbs that have to work also where there is no room."""


class Operation(Struct, eq=False):
    """
    One verb, and who waits for it.  Each write makes one: see L{Record
    <txsessions.core.record.Record>}.  The garbage collector has to know it, as it need
    not a record: the frames that an error remembers, its own or that of its context,
    have the operation in a variable.

    @ivar pages: How many pages it will write, about.
    @ivar final: Whether no power cut may undo it.
    @ivar heavy: Whether it is too long for the reactor's thread; then it is also
        given something to call now and then.
    @ivar due: When whoever waits is told that it is too late.
    """

    verb: Callable[..., Any]
    args: tuple[Any, ...]
    pages: int
    final: bool
    heavy: bool
    due: float
    told: Told
    result: Any = None
    error: Exception | None = None


# A batch is looked through in C, for most have nothing special in them.
_pagesOf = attrgetter("pages")
_isFinal = attrgetter("final")
_isHeavy = attrgetter("heavy")


def anyFinal(operations: Sequence[Operation]) -> bool:
    """
    Is there one among these that no power cut may undo?
    """
    return any(map(_isFinal, operations))


def fire(operations: Sequence[Operation]) -> None:
    """
    Tell all who wait; one that was cancelled says nothing.
    """
    for operation in operations:
        error = operation.error
        if error is None:
            operation.told.callback(operation.result)
        else:
            operation.told.errback(error)


class Flight:
    """
    The batch under way.

    @ivar operations: Its verbs; empty once everybody was told.
    @ivar due: When the reactor gives it up.
    @ivar abandoned: Whether it has.
    @ivar over: Let go of by the thread when that has done its part.
    @ivar isOver: Whether it has.
    @ivar isShort: Whether the reactor is to wait for that, a moment.
    @ivar isAwaited: Whether it does.
    """

    __slots__ = (
        *("abandoned", "due", "isAwaited", "isOver", "isShort", "operations"),
        "over",
    )

    def __init__(self, operations: Sequence[Operation], due: float) -> None:
        self.operations = operations
        self.due = due
        self.abandoned = self.isOver = self.isShort = self.isAwaited = False
        self.over = Lock()
        self.over.acquire()


def takeBatch(queue: deque[Operation]) -> list[Operation]:
    """
    Take the next batch from the queue: a long verb alone, short ones together.
    """
    operations = list(islice(queue, BATCH_VERBS))
    if any(map(_isHeavy, operations)) or sum(map(_pagesOf, operations)) > BATCH_PAGES:
        operations = _begin(operations)
    if len(operations) == len(queue):
        queue.clear()
    else:
        for _ in operations:
            queue.popleft()
    return operations


def _begin(operations: Sequence[Operation]) -> list[Operation]:
    """
    Of verbs that are too much for one transaction, those that it takes.
    """
    taken = [operations[0]]
    if operations[0].heavy:
        return taken
    pages = operations[0].pages
    for operation in operations[1:]:
        if operation.heavy or pages >= BATCH_PAGES:
            break
        pages += operation.pages
        taken.append(operation)
    return taken


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
    except ENGINE_ERRORS as error:
        recover(connection, flight, tell, error)
    except StoreError as error:
        failAll(operations, error)
    else:
        flyHome(connection, flight, tell)


def flyHome(
    connection: WriteConnection,
    flight: Flight,
    tell: Tell,
    committed: Callable[[], None] = lambda: None,
) -> None:
    """
    Commit a batch whose statements have run, tell, then do what can wait.

    @param committed: Called when it is, with the gate held.
    """
    operations = flight.operations
    heavy = len(operations) == 1 and operations[0].heavy
    try:
        connection.commit()
    except ENGINE_ERRORS as error:
        recover(connection, flight, tell, error)
        return
    committed()
    if heavy or connection.checkpointDue():
        tell()
        if heavy:
            connection.lookForSurplus()
        if connection.checkpointDue():
            connection.checkpoint()


def recover(
    connection: WriteConnection, flight: Flight, tell: Tell, error: Exception
) -> None:
    """
    A transaction failed: none of the batch is done, as far as is known.  Where
    there was no room, the logouts are tried again, alone, in the room that a
    checkpoint makes in the write-ahead log.
    """
    operations = flight.operations
    connection.recover()
    failAll(operations, storeError(error, connection.path))
    logouts = [each for each in operations if each.verb in LOGOUTS]
    if not logouts or not isFull(error) or not connection.ready:
        return
    connection.checkpoint()
    try:
        if not connection.tryBegin(True):
            return
        for operation in logouts:
            operation.error = None
        connection.perform(logouts)
        connection.commit()
    except ENGINE_ERRORS as second:
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
    "anyFinal",
    "crash",
    "failAll",
    "fire",
    "flyAll",
    "flyHome",
    "notGivenBack",
    "recover",
    "takeBatch",
]
