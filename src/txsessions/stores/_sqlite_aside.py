"""
Long reading, aside: counting all sessions, and backups.

Owns short-lived threads, each with a reading connection of its own, so that
neither the reactor nor the writer waits for them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from txsessions.errors import ConfigurationError, StoreUnavailable
from txsessions.stores import _sqlite_files, _sqlite_schema
from txsessions.stores._reactor import IStoreReactor
from txsessions.stores._sqlite_errors import ENGINE_ERRORS, storeError
from txsessions.stores._worker import IWorker

_COPY = "VACUUM INTO ?"

_STEPS = 10_000
"""After how many steps of SQLite's it is seen whether the store is closing."""


class Aside:
    """
    See the module.
    """

    def __init__(
        self, path: str, reactor: IStoreReactor, makeWorker: Callable[[str], IWorker]
    ) -> None:
        self._path = path
        self._reactor = reactor
        self._makeWorker = makeWorker
        self._stopped = False
        self._running: set[IWorker] = set()
        self._idle: list[Deferred[None]] = []

    def run(self, work: Callable[[sqlite3.Connection], Any]) -> Deferred[Any]:
        """
        Run this with a connection, in a thread of its own.
        """
        result: Deferred[Any] = Deferred()
        worker = self._makeWorker("txsessions-sqlite-aside")
        self._running.add(worker)
        worker.do(lambda: self._inThread(worker, work, result))
        worker.quit()
        return result

    def stop(self) -> Deferred[None]:
        """
        Interrupt what is running, and wait for it to end.
        """
        self._stopped = True
        if not self._running:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    def _inThread(
        self,
        worker: IWorker,
        work: Callable[[sqlite3.Connection], Any],
        result: Deferred[Any],
    ) -> None:
        """
        In the thread: connect, work, close.
        """
        found: Any
        connection = None
        try:
            connection = _sqlite_schema.connect(self._path, "ro")
            connection.set_progress_handler(lambda: self._stopped, _STEPS)
            if self._stopped:
                raise StoreUnavailable("the session database is closed")
            found = work(connection)
        except ENGINE_ERRORS as error:
            found = storeError(error, self._path)
        except Exception as error:
            found = error
        finally:
            if connection is not None:
                connection.close()
        self._reactor.callFromThread(self._done, worker, result, found)

    def _done(self, worker: IWorker, result: Deferred[Any], found: Any) -> None:
        """
        The work is done, or failed.
        """
        worker.join()
        self._running.discard(worker)
        if isinstance(found, Exception):
            result.errback(found)
        else:
            result.callback(found)
        if not self._running:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)


def copyInto(connection: sqlite3.Connection, source: str, target: str) -> None:
    """
    Write a consistent, compact copy, for its owner alone, and put it in the place
    of what had that name before in one step.

    @param target: An absolute path.
    @raise ConfigurationError: It is the database itself.
    @raise StoreUnavailable: It cannot be written.
    """
    if os.path.realpath(target) in {source + end for end in ("", "-wal", "-shm")}:
        raise ConfigurationError(
            f"the backup cannot be {target}, which is the database: name another"
        )
    partial = f"{target}-partial"
    try:
        if os.path.lexists(partial):
            os.unlink(partial)
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            connection.execute(_COPY, (partial,))
            descriptor = os.open(partial, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(partial, target)
        except BaseException:
            os.unlink(partial)
            raise
        _sqlite_files.syncDirectory(os.path.dirname(target))
    except OSError as error:
        raise StoreUnavailable(
            f"the backup {target} cannot be written: {error.strerror}"
        ) from None


__all__ = ["Aside", "copyInto"]
