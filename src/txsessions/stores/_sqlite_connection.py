"""
The one connection of this process that writes and checkpoints.

Owns the order of things around a transaction: look at the files, pass the gate,
begin, run the verbs, commit, checkpoint, let go.  The reactor's thread and the
writer's thread both use it, never at the same time: whoever holds the flight
(L{txsessions.stores._sqlite_writer}) holds the connection.  Knows no Deferred.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from twisted.logger import Logger

from txsessions.errors import StoreError, StoreUnavailable
from txsessions.stores import _sqlite_files, _sqlite_schema
from txsessions.stores._gate import SUFFIX, Gate, affectedByWalReset
from txsessions.stores._sqlite_errors import ENGINE_ERRORS, isBusy, storeError

if TYPE_CHECKING:
    from txsessions.stores._sqlite_flight import Operation

CHECKPOINT_PAGES = 250
"""After how many written pages the write-ahead log is copied into the database."""

SURPLUS_PAGES = 256
"""How many free pages may stay in the file, whatever its size."""

_FIRST_PAUSE = 0.0002
_LONGEST_PAUSE = 0.002
_BREATH = 0.0003
_pagesOf = attrgetter("pages")


class WriteConnection:
    """
    See the module.

    @ivar full: Whether every commit is synced, not only the final ones.
    @ivar ready: Whether it is open.
    @ivar surplus: Whether the file has many free pages, as last seen.
    @ivar stop: Set to end all waiting.
    """

    _log = Logger()

    def __init__(
        self,
        path: str,
        full: bool,
        seconds: Callable[[], float],
        steps: Sequence[_sqlite_schema.Step] = _sqlite_schema.STEPS,
    ) -> None:
        """
        @param path: The database, absolute, with symbolic links resolved.
        @param full: See the attribute.
        @param seconds: The reactor's clock.
        """
        self.path = path
        self.ready = False
        self.surplus = False
        self._begins = True
        self.stop = threading.Event()
        self.gate = Gate(path + SUFFIX)
        self.files: _sqlite_files.Files | None = None
        self.full = full
        self._seconds = seconds
        self._steps = steps
        self._synchronous = "FULL" if full else "NORMAL"
        self._pages = 0
        self._ratio = 1.0
        self._free = 0
        self._connection: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None
        self._opened = 0

    def dataVersion(self) -> tuple[int, int] | None:
        """
        A value that changes whenever another connection has committed, or this
        one was opened anew; L{None} while there is none.
        """
        if self._cursor is None:
            return None
        version = self._cursor.execute("PRAGMA data_version").fetchone()[0]
        return self._opened, version

    def open(self, patience: float) -> sqlite3.Connection:
        """
        Make, migrate and open the database.

        @param patience: How long to wait for other processes, in seconds.
        @return: A connection for reading.
        @raise StoreError: It cannot be; then nothing is left open.
        """
        reader = None
        try:
            _sqlite_files.prepare(self.path)
            self.gate.open()
            self._wait(self._takeGate, patience)
            self._wait(self._tryOpen, patience)
            reader = _sqlite_schema.connectReader(self.path)
            reader.execute("SELECT count(*) FROM meta").fetchone()
            self.files = _sqlite_files.Files(self.path, self.gate.works)
        except BaseException as error:
            self._discard(reader)
            self.gate.close()
            if isinstance(error, ENGINE_ERRORS):
                raise storeError(error, self.path) from None
            if isinstance(error, OSError):
                raise StoreUnavailable(
                    f"the session database {self.path} cannot be opened: "
                    f"{error.strerror}"
                ) from None
            raise
        self.gate.release()
        self._warn()
        return reader

    def tryBegin(self, final: bool, waits: bool = False) -> bool:
        """
        Begin a transaction, if nobody else is writing.

        @param final: Whether it holds something that no power cut may undo: a
            logout, a new id.
        @param waits: See L{Gate.tryAcquire}.
        @return: Whether it has begun.
        @raise StoreError: The files are no longer what they were.
        @raise sqlite3.Error: Anything but busy.
        """
        if self.files is not None:
            self.files.check()
        if not self.gate.tryAcquire(waits):
            return False
        try:
            if self._connection is None:
                self._connect()
            cursor = self._cursor
            assert cursor is not None
            if not self.full:
                self._setSynchronous(cursor, "FULL" if final else "NORMAL")
            cursor.execute("BEGIN IMMEDIATE")
        except BaseException as error:
            self.gate.release()
            if isinstance(error, sqlite3.Error) and isBusy(error):
                return False
            raise
        return True

    def begin(self, final: bool, patience: float) -> None:
        """
        Begin a transaction, and wait for others to finish theirs.

        @raise StoreUnavailable: They did not in time, so nothing was written.
        """
        self._wait(lambda: self.tryBegin(final, True), patience)

    def perform(self, operations: Sequence[Operation]) -> bool:
        """
        Run verbs inside the transaction.  A verb that cannot be done keeps its
        own error and disturbs no other.

        @param operations: One or more; a heavy one is alone.
        @return: Whether anything was changed.
        @raise sqlite3.Error: The transaction is lost, as by a C{MemoryError}.
        """
        connection, cursor = self._connection, self._cursor
        assert connection is not None
        before = connection.total_changes
        heavy = (self._breathe,) if operations[0].heavy else None
        for operation in operations:
            args = operation.args
            if heavy is not None:
                args += heavy
            try:
                operation.result = operation.verb(cursor, *args)
            except (sqlite3.OperationalError, sqlite3.InternalError, MemoryError):
                raise
            except Exception as error:
                if type(error) is sqlite3.DatabaseError:
                    raise
                operation.error = error.with_traceback(None)
        self._pages += sum(map(_pagesOf, operations))
        return connection.total_changes != before

    def commit(self) -> None:
        """
        Commit: with C{FULL} this waits for the disk.

        @raise sqlite3.Error: What was written is unknown; call L{recover}.
        """
        assert self._cursor is not None
        self._cursor.execute("COMMIT")
        self._begins = False

    @property
    def endsSoon(self) -> bool:
        """
        Whether what is left of a transaction takes microseconds: its commit is not
        synced, and no checkpoint comes afterwards.  The first commit after a
        checkpoint may begin the write-ahead log anew, whose head is always synced.
        """
        waits = self._synchronous == "FULL" or self._begins
        return not waits and not self.checkpointDue()

    def recover(self) -> None:
        """
        After an error inside a transaction: undo it and begin anew with a fresh
        connection, for after a failed sync the old one's idea of what is on the
        disk is worth nothing.  Where it cannot be had now, the next transaction
        tries again, and checkpoints soon.  Takes and keeps the gate.
        """
        connection = self._connection
        if connection is not None and connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        self._discard()
        self._pages, self._ratio = CHECKPOINT_PAGES, 1.0
        with contextlib.suppress(sqlite3.Error, StoreError):
            if self.files is not None:
                self.files.check()
            if self.gate.tryAcquire():
                self._connect()

    def checkpointDue(self) -> bool:
        """
        Has the write-ahead log grown enough?
        """
        return self._pages * self._ratio >= CHECKPOINT_PAGES

    def checkpoint(self, kind: str = "PASSIVE") -> None:
        """
        Copy the write-ahead log into the database.  The caller holds the gate.
        What fails here is tried again later and loses nothing.

        SQLite says how many frames there were, so the guess that each verb makes
        of its pages is set right by that: verbs on few sessions share pages.
        """
        guessed, self._pages = self._pages, 0
        self._begins = True
        if self._connection is None:
            return
        try:
            answer = self._connection.execute(f"PRAGMA wal_checkpoint({kind})")
            frames = answer.fetchone()[1]
            if guessed:
                self._ratio = min(1.0, max(0.01, frames / guessed))
        except ENGINE_ERRORS as error:
            self._log.error(
                "The session database {path} could not be checkpointed: {error}",
                path=self.path,
                error=str(error),
            )
            self.recover()

    def lookForSurplus(self) -> None:
        """
        See whether a sweep has left many free pages in the file, and whether
        giving some back helped, the last time.
        """
        self.surplus = False
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                execute = self._connection.execute
                free = execute("PRAGMA freelist_count").fetchone()[0]
                pages = execute("PRAGMA page_count").fetchone()[0]
                many = free > SURPLUS_PAGES and free * 4 > pages
                self.surplus = many and free != self._free
                self._free = free

    def close(self, reader: sqlite3.Connection | None, patience: float) -> None:
        """
        Close everything, readers first, so that it is this connection, under
        the gate, that checkpoints.
        """
        if reader is not None:
            reader.close()
        if self._connection is not None:
            with contextlib.suppress(StoreUnavailable):
                self._wait(self._takeGate, patience)
                self.checkpoint("TRUNCATE")
        self._discard()
        self.gate.close()

    def disown(self, reader: sqlite3.Connection | None) -> None:
        """
        In the child of a fork: let go of what the parent goes on using, so that
        SQLite's list of locks in this process is true again.
        """
        if reader is not None:
            reader.close()
        self._discard()
        self.gate.close()

    def _takeGate(self) -> bool:
        """
        Pass the gate, if nobody else is inside.
        """
        return self.gate.tryAcquire(waits=True)

    def _breathe(self) -> None:
        """
        In the thread: let the reactor's thread run.
        """
        self.stop.wait(_BREATH)

    def _tryOpen(self) -> bool:
        """
        Connect and migrate, if nobody outside the gate holds the database.
        """
        try:
            self._connect()
            assert self._connection is not None
            _sqlite_schema.migrate(self._connection, self.path, self._steps)
        except sqlite3.Error as error:
            self._discard()
            if isBusy(error):
                return False
            raise
        return True

    def _connect(self) -> None:
        """
        Open the connection.
        """
        self._connection = _sqlite_schema.connectWriter(self.path, self._synchronous)
        self._cursor = self._connection.cursor()
        self._opened += 1
        self.ready = True

    def _discard(self, reader: sqlite3.Connection | None = None) -> None:
        """
        Close the connection, come what may.  The cursor first: a connection with
        a statement left lives on unseen, locks and all.
        """
        connection, self._connection = self._connection, None
        self.ready = False
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
        for each in (reader, connection):
            if each is not None:
                with contextlib.suppress(sqlite3.Error):
                    each.close()

    def _setSynchronous(self, cursor: sqlite3.Cursor, wanted: str) -> None:
        """
        Choose how the next commit is synced.
        """
        if wanted != self._synchronous:
            cursor.execute(f"PRAGMA synchronous = {wanted}")
            self._synchronous = wanted

    def _wait(self, attempt: Callable[[], bool], patience: float) -> None:
        """
        Try until it works.

        @raise StoreUnavailable: Patience ran out, or L{stop} was set.
        """
        pause, waited, began = _FIRST_PAUSE, 0.0, self._seconds()
        while not attempt():
            late = max(waited, self._seconds() - began) > patience
            if late or self.stop.wait(pause):
                self.gate.giveUp()
                raise StoreUnavailable(
                    f"another process is holding the session database {self.path}: "
                    "nothing was written; see which one hangs"
                )
            waited += pause
            pause = min(pause * 1.3, _LONGEST_PAUSE)

    def _warn(self) -> None:
        """
        Tell the operator where the guard against the WAL-reset bug cannot hold.
        """
        if not self.gate.works and affectedByWalReset(sqlite3.sqlite_version_info):
            self._log.warn(
                "SQLite {version} can damage a database that several processes "
                "write to, and {path} is where no lock between processes can be "
                "had: use one process, or SQLite 3.44.6, 3.50.7 or 3.51.3 and later",
                version=sqlite3.sqlite_version,
                path=self.path,
            )


__all__ = [
    "CHECKPOINT_PAGES",
    "SURPLUS_PAGES",
    "WriteConnection",
]
