"""
Sessions in a SQLite database: one file on a local disk, shared by the processes
of one machine.

Owns the store's face: what L{ISessionStore} promises, put together from its parts.
Reads run on the reactor's thread over a connection of their own, for they take a
few microseconds and never wait for a writer
(L{txsessions.stores._sqlite_rows}); writes of one moment share one transaction and
one sync (L{txsessions.stores._sqlite_writer}); long reads have threads of their own
(L{txsessions.stores._sqlite_aside}).

Put the file on a local disk: network file systems cannot carry its write-ahead
log.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Literal

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from txsessions.core.forks import Forks
from txsessions.core.record import Answer, Record
from txsessions.errors import ConfigurationError, StoreCorrupt, StoreUnavailable
from txsessions.interfaces import ISessionStore
from txsessions.stores import _sqlite_rows, _sqlite_schema, _sqlite_verbs
from txsessions.stores._reactor import IStoreReactor, globalReactor, withDeadline
from txsessions.stores._sqlite_aside import copyInto
from txsessions.stores._sqlite_changes import Changes
from txsessions.stores._sqlite_database import Database
from txsessions.stores._sqlite_errors import ENGINE_ERRORS, isBusy, storeError
from txsessions.stores._worker import IWorker, WorkerThread

SLICE = 256
"""How many rows one transaction of a sweep looks at."""

PAGE = 100
"""How many records one page of a scan holds at most: they are read on the
reactor's thread."""

_DURABILITY = {
    "full": "every commit is synced to the disk before it is acknowledged",
    "normal": (
        "a crash of the program loses nothing; a power cut may lose the last "
        "commits, but never a logout or a change of id"
    ),
}


@implementer(ISessionStore)
class SQLiteStore:
    """
    A session store in a SQLite database.

    @ivar durability: See L{ISessionStore.durability}.
    @ivar address: See L{ISessionStore.address}.
    @ivar path: The database's file, absolute.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        reactor: IStoreReactor | None = None,
        durability: str = "full",
        deadline: float = 2.0,
        makeWorker: Callable[[str], IWorker] = WorkerThread,
    ) -> None:
        """
        Nothing is opened yet, so a store may be made before a fork.

        @param path: The database's file.  What is missing is made: the file with
            mode 0600, its directory with mode 0700.
        @param reactor: Provides C{IReactorTime} and C{IReactorFromThreads};
            by default the program's own, looked up by L{open}.
        @param durability: C{"full"}: every commit is synced.  C{"normal"}:
            faster, and only a logout or a change of id is synced at once.
        @param deadline: After how many seconds a call fails.
        @param makeWorker: Makes the threads, by name; for tests.
        """
        name = os.fspath(path)
        if not name or "\0" in name:
            raise ConfigurationError(
                f"the path of a session database cannot be {name!r}: name a file"
            )
        if durability not in _DURABILITY:
            raise ConfigurationError(
                f"durability is 'full' or 'normal', not {durability!r}"
            )
        if not 0 < deadline < float("inf"):
            raise ConfigurationError(
                f"deadline is a positive number of seconds, not {deadline!r}"
            )
        self.path = os.path.abspath(name)
        self.address = f"sqlite:{self.path}"
        self.durability = _DURABILITY[durability]
        self._full = durability == "full"
        self._deadline = float(deadline)
        self._reactor = reactor
        self._makeWorker = makeWorker
        self._steps: Sequence[_sqlite_schema.Step] = _sqlite_schema.STEPS
        self._database: Database | None = None
        self._find: _sqlite_rows.Execute | None = None
        self._changes: Changes | None = None
        self._forks = 0
        self._generation = 0
        self._lookAgainAt = 0.0
        self._replaced = False

    def open(self) -> Deferred[None]:
        """
        See L{ISessionStore.open}.
        """
        database = self._database
        if database is not None and database.fork != Forks.count:
            try:
                self._disown(database)
            except StoreUnavailable as error:
                return fail(error)
            database = None
        if database is not None and database.closing:
            return Deferred.fromCoroutine(self._openAgain(database))
        if database is None:
            if self._reactor is None:
                self._reactor = globalReactor()
            self._forks = Forks.count
            database = self._database = Database(
                self.path,
                self._full,
                self._deadline,
                self._steps,
                self._reactor,
                self._makeWorker,
                self._adopt,
            )
        return database.whenOpen()

    def close(self) -> Deferred[None]:
        """
        See L{ISessionStore.close}.
        """
        self._find = self._changes = None
        if self._database is None or self._database.fork != Forks.count:
            return succeed(None)
        return self._database.close()

    def changes(self) -> int | None:
        """
        See L{ISessionStore.changes}.
        """
        changes = self._changes
        if changes is None or self._forks != Forks.count:
            return None
        try:
            return changes.count()
        except ENGINE_ERRORS:
            return None

    def load(
        self, key: bytes, now: float, known: int | None = None
    ) -> Deferred[Record | Literal[Answer.UNCHANGED, Answer.ROTATED] | None]:
        """
        See L{ISessionStore.load}.
        """
        find = self._find
        if find is None or self._forks != Forks.count:
            return fail(self._notOpen())
        if not 0.0 < self._lookAgainAt - now <= 1.0:
            self._look(now)
        if self._replaced:
            return fail(self._otherFile())
        try:
            return succeed(_sqlite_rows.read(find, key, now, known))
        except ENGINE_ERRORS as error:
            if isBusy(error) or "readonly" in str(error):
                return self._submit(_sqlite_verbs.load, (key, now, known))
            return fail(storeError(error, self.path))

    def insert(self, record: Record, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.insert}.
        """
        pages = 3 + (len(record.payload) >> 12)
        return self._submit(_sqlite_verbs.insert, (record,), pages)

    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.replace}.
        """
        pages = 1 + (len(record.payload) >> 12)
        return self._submit(_sqlite_verbs.replace, (record, expected, now), pages)

    def touch(
        self, key: bytes, touchedAt: float, expiresAt: float, now: float
    ) -> Deferred[None]:
        """
        See L{ISessionStore.touch}.
        """
        return self._submit(_sqlite_verbs.touch, (key, touchedAt, expiresAt, now))

    def rename(
        self, oldKey: bytes, record: Record, expected: int, now: float
    ) -> Deferred[None]:
        """
        See L{ISessionStore.rename}.  Synced whatever the durability.
        """
        pages = 5 + (len(record.payload) >> 12)
        args = (oldKey, record, expected, now)
        return self._submit(_sqlite_verbs.rename, args, pages, final=True)

    def delete(self, key: bytes) -> Deferred[bool]:
        """
        See L{ISessionStore.delete}.  Synced whatever the durability.
        """
        done = self._submit(_sqlite_verbs.delete, (key,), 3, final=True)
        return done.addCallback(self._deleted)

    def _deleted(self, told: tuple[bool, bool]) -> bool:
        """
        Where a marker led to what is gone, who called does not know what that is.
        """
        if told[1] and self._changes is not None:
            self._changes.another()
        return told[0]

    def claimExpired(
        self, now: float, limit: int, lease: float
    ) -> Deferred[list[Record]]:
        """
        See L{ISessionStore.claimExpired}.  In slices, so that other writes come
        in between; the deadline is each slice's, and where half of it has gone
        by, what was claimed so far is handed out.
        """
        return Deferred.fromCoroutine(self._claim(now, limit, lease))

    def acknowledge(self, keys: Sequence[bytes]) -> Deferred[None]:
        """
        See L{ISessionStore.acknowledge}.  In slices, as L{claimExpired}.
        """
        return Deferred.fromCoroutine(self._acknowledge(tuple(keys)))

    def countSessions(self, now: float) -> Deferred[int]:
        """
        See L{ISessionStore.countSessions}.
        """
        database = self._database
        if self._find is None or database is None or self._forks != Forks.count:
            return fail(self._notOpen())
        assert self._reactor is not None
        counted: Deferred[int] = database.aside.run(
            lambda connection: connection.execute(
                _sqlite_rows.COUNT, (now,)
            ).fetchone()[0]
        )
        late = f"counting all sessions of {self.path} takes too long"
        return withDeadline(counted, self._reactor, self._deadline, late)

    def scan(
        self, cursor: bytes | None, limit: int
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        See L{ISessionStore.scan}.  A page holds at most L{PAGE} records.
        """
        if self._find is None or self._forks != Forks.count:
            return fail(self._notOpen())
        try:
            size = max(1, min(limit, PAGE))
            return succeed(_sqlite_rows.readPage(self._find, cursor, size))
        except ENGINE_ERRORS as error:
            return fail(storeError(error, self.path))

    def backup(self, path: str | os.PathLike[str]) -> Deferred[None]:
        """
        Write a consistent copy of the database, while it is in use.  It is
        compact, has mode 0600, and replaces what had that name in one step.  It
        has no deadline; L{close} interrupts it.

        @param path: The copy's file.
        """
        database = self._database
        if self._find is None or database is None or self._forks != Forks.count:
            return fail(self._notOpen())
        source, target = database.path, os.path.abspath(os.fspath(path))
        return database.aside.run(
            lambda connection: copyInto(connection, source, target)
        )

    async def _claim(self, now: float, limit: int, lease: float) -> list[Record]:
        """
        Claim slice by slice.
        """
        if self._reactor is None:
            raise self._notOpen()
        claimed: list[Record] = []
        began = self._reactor.seconds()
        more = limit > 0
        while more:
            size = min(limit - len(claimed), SLICE)
            found, more = await self._submit(
                _sqlite_verbs.claim, (now, size, lease), size, heavy=True
            )
            claimed += found
            late = self._reactor.seconds() - began > self._deadline / 2
            more = more and len(claimed) < limit and not late
        return claimed

    async def _acknowledge(self, keys: Sequence[bytes]) -> None:
        """
        Acknowledge slice by slice.
        """
        for start in range(0, len(keys), SLICE):
            part = keys[start : start + SLICE]
            await self._submit(
                _sqlite_verbs.acknowledge, (part,), 2 * len(part), heavy=True
            )

    def _submit(
        self,
        verb: Callable[..., Any],
        args: tuple[Any, ...],
        pages: int = 1,
        *,
        final: bool = False,
        heavy: bool = False,
    ) -> Deferred[Any]:
        """
        Have a verb run in the next transaction: see L{Operation
        <txsessions.stores._sqlite_flight.Operation>}.
        """
        database = self._database
        if self._find is None or database is None or self._forks != Forks.count:
            return fail(self._notOpen())
        return database.writer.submit(verb, args, pages, final, heavy)

    async def _openAgain(self, database: Database) -> None:
        """
        Open after the end of an earlier opening.
        """
        await database.close()
        if self._database is database:
            self._database = None
        await self.open()

    def _adopt(self, reader: sqlite3.Connection) -> None:
        """
        The database is open.
        """
        self._find = reader.cursor().execute
        assert self._database is not None
        self._generation += 1 << 32
        self._changes = Changes(
            reader.cursor().execute, self._database.writer, self._generation
        )
        self._lookAgainAt, self._replaced = 0.0, False

    def _disown(self, database: Database) -> None:
        """
        In the child of a fork: let go of what the parent opened.

        @raise StoreUnavailable: That cannot be done.
        """
        self._find = self._changes = None
        database.writer.disown()
        self._database = None

    def _look(self, now: float) -> None:
        """
        Once a second, look whether the database is still the one of that name.
        """
        self._lookAgainAt = now + 1.0
        self._replaced = self._database is not None and self._database.replaced()

    def _notOpen(self) -> StoreUnavailable:
        """
        Say that the store is not open.
        """
        if self._find is not None:
            return StoreUnavailable(
                f"the session database {self.path} was opened before this process "
                "was forked: open stores after the fork"
            )
        return StoreUnavailable(
            f"the session database {self.path} is not open: call open() first"
        )

    def _otherFile(self) -> StoreCorrupt:
        """
        Say that the database was replaced.
        """
        return StoreCorrupt(
            f"the session database {self.path} was replaced by another file while "
            "it was open: stop all its users, then start them again"
        )


__all__ = ["PAGE", "SLICE", "SQLiteStore"]
