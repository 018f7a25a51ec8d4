"""
One opening of a SQLite database: all that C{open} makes and C{close} lets go of.

Owns that life: the thread, and the connections.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.stores import _sqlite_schema
from txsessions.stores._opening import Opening
from txsessions.stores._reactor import IStoreReactor, handled, withDeadline
from txsessions.stores._sqlite_aside import Aside
from txsessions.stores._sqlite_connection import WriteConnection
from txsessions.stores._sqlite_writer import Writer
from txsessions.stores._worker import IWorker


class Database(Opening):
    """
    See the module.

    @ivar path: The file, with symbolic links resolved.
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
        late = f"the session database {self.path} takes longer than {deadline:g} s to "
        super().__init__(reactor, deadline, late + "open")
        self._adopt = adopt
        self._connection = WriteConnection(self.path, full, reactor.seconds, steps)
        self.writer = Writer(
            self._connection, makeWorker("txsessions-sqlite"), reactor, deadline
        )
        self.aside = Aside(self.path, reactor, makeWorker)
        handled(self.writer.open().addCallbacks(self._opened, self._failed))

    def _letGo(self) -> Deferred[Any]:
        """
        See L{Opening._letGo}: long reads first, then the writer, which drains.
        """
        late = "a backup or a count does not end"
        stopped = withDeadline(self.aside.stop(), self._reactor, self._deadline, late)
        return stopped.addBoth(lambda _: self.writer.close())

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
        if not self.closing:
            self._adopt(reader)
        self._begun()

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


__all__ = ["Database"]
