"""
One opening of a SQLite database: all that C{open} makes and C{close} lets go of.

Owns that life: the thread, the connections, and who waits for it to begin or end.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txsessions.core.forks import Forks
from txsessions.errors import StoreUnavailable
from txsessions.stores import _sqlite_schema
from txsessions.stores._reactor import IStoreReactor, handled, withDeadline
from txsessions.stores._sqlite_aside import Aside
from txsessions.stores._sqlite_connection import WriteConnection
from txsessions.stores._sqlite_writer import Writer
from txsessions.stores._worker import IWorker


class Database:
    """
    See the module.

    @ivar path: The file, with symbolic links resolved.
    @ivar closing: Whether its end has begun.
    @ivar forks: Which process it belongs to: see L{Forks}.
    """

    def __init__(
        self,
        path: str,
        full: bool,
        deadline: float,
        steps: Sequence[_sqlite_schema.Step],
        reactor: IStoreReactor,
        makeWorker: Callable[[str], IWorker],
        adopt: Callable[[sqlite3.Connection], None],
    ) -> None:
        """
        Start the thread and have it open the database.

        @param full: Whether every commit is synced.
        @param deadline: After how many seconds a call fails.
        @param adopt: Told of the connection for reading, once it is open, be it
            after the deadline.
        """
        self.path = os.path.realpath(path)
        self.closing = False
        self.forks = Forks.count
        self._reactor = reactor
        self._deadline = deadline
        self._adopt = adopt
        self._isOpen = False
        self._isEnded = False
        self._beginning: list[Deferred[None]] = []
        self._ending: list[Deferred[None]] = []
        self._connection = WriteConnection(self.path, full, reactor.seconds, steps)
        self.writer = Writer(
            self._connection, makeWorker("txsessions-sqlite"), reactor, deadline
        )
        self.aside = Aside(self.path, reactor, makeWorker)
        handled(self.writer.open().addCallbacks(self._opened, self._failed))

    def whenOpen(self) -> Deferred[None]:
        """
        Wait for it to be open, bounded by the deadline.
        """
        if self._isOpen:
            return succeed(None)
        opened: Deferred[None] = Deferred()
        self._beginning.append(opened)
        late = (
            f"the session database {self.path} takes longer than "
            f"{self._deadline:g} s to open"
        )
        return withDeadline(opened, self._reactor, self._deadline, late)

    def close(self) -> Deferred[None]:
        """
        End it: long reads first, then the writer, which drains.
        """
        if self._isEnded:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._ending.append(ended)
        if not self.closing:
            self.closing = True
            late = "a backup or a count does not end"
            stopped = withDeadline(
                self.aside.stop(), self._reactor, self._deadline, late
            )
            handled(stopped.addBoth(lambda _: self.writer.close()).addBoth(self._ended))
        return ended

    def replaced(self) -> bool:
        """
        Is the database no longer the one of that name?
        """
        files = self._connection.files
        return files is not None and files.replaced()

    def _opened(self, reader: sqlite3.Connection) -> None:
        """
        It is open.
        """
        if self.closing:
            self._tellBeginning(StoreUnavailable("the session database was closed"))
        else:
            self._isOpen = True
            self._adopt(reader)
            self._tellBeginning(None)

    def _failed(self, failure: Failure) -> None:
        """
        It cannot be opened: end the thread, then tell.
        """
        if self.closing:
            self._tellBeginning(failure.value)
            return
        self.closing = True
        closed = self.writer.close()
        handled(closed.addBoth(self._ended))
        handled(closed.addBoth(lambda _: self._tellBeginning(failure.value)))

    def _ended(self, result: object) -> None:
        """
        Everything is closed.
        """
        self._isOpen = False
        self._isEnded = True
        ending, self._ending = self._ending, []
        for ended in ending:
            ended.callback(None)

    def _tellBeginning(self, error: BaseException | None) -> None:
        """
        Tell whoever waits for it to be open.
        """
        beginning, self._beginning = self._beginning, []
        for opened in beginning:
            if error is None:
                opened.callback(None)
            else:
                opened.errback(error)


__all__ = ["Database"]
