"""
A SQLite store that is open, or not: how it comes to be and what its calls need.

Owns the settings, the present L{Database
<txsessions.stores._sqlite_database.Database>} and what is said where there is none.
Knows no verb.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail

from txsessions.core.forks import FORKS
from txsessions.core.telling import Told
from txsessions.errors import ConfigurationError, StoreCorrupt, StoreUnavailable
from txsessions.stores import _sqlite_rows, _sqlite_schema
from txsessions.stores._opening import Openable
from txsessions.stores._reactor import IStoreReactor, withDeadline
from txsessions.stores._sqlite_changes import Changes
from txsessions.stores._sqlite_database import Database
from txsessions.stores._sqlite_errors import ENGINE_ERRORS, forked
from txsessions.stores._sqlite_glance import glanceAt
from txsessions.stores._telling import deferredOf
from txsessions.stores._worker import IWorker, WorkerThread

_DURABILITY = {
    "full": "every commit is synced to the disk before it is acknowledged",
    "normal": (
        "a crash of the program loses nothing; a power cut may lose the last "
        "commits, but never a logout or a change of id"
    ),
}


class Opening(Openable[Database]):
    """
    See the module.

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
        self._find: _sqlite_rows.Execute | None = None
        # Has a verb run in the next transaction; the writer's own, for each write
        # calls it.
        self._tell: Callable[..., None] = self._refuse
        self._changes: Changes | None = None
        self._forks = 0
        self._generation = 0
        self._lookAgainAt = 0.0
        self._replaced = False

    def close(self) -> Deferred[None]:
        """
        See L{ISessionStore.close}.
        """
        if self._changes is not None:
            self._changes.forget()
        self._find = self._changes = None
        self._tell = self._refuse
        return super().close()

    def changes(self) -> int | None:
        """
        See L{ISessionStore.changes}.
        """
        changes = self._changes
        if changes is None or self._forks != FORKS.count:
            return None
        # Almost always nothing was committed: then each request asks just this.
        glance = changes.glance
        if glance is not None and glance.raw == changes.shown:
            return changes.total
        try:
            return changes.count()
        except ENGINE_ERRORS:
            return None

    def _refuse(self, told: Told, *args: object, **options: object) -> None:
        """
        Stand in for L{Writer.tell <txsessions.stores._sqlite_writer.Writer.tell>}
        while the store is not open.
        """
        told.errback(self._notOpen())

    def _submit(self, *args: Any, **options: Any) -> Deferred[Any]:
        """
        Have a verb run in the next transaction: see L{Writer.tell
        <txsessions.stores._sqlite_writer.Writer.tell>}.

        @return: What the verb returns, once it is committed.
        """
        return deferredOf(self._tell, *args, **options)

    def _aside(
        self, work: Callable[[sqlite3.Connection], Any], what: str
    ) -> Deferred[Any]:
        """
        Have something read that takes long, with the deadline.

        @param what: What that is, for people.
        """
        database = self._database
        if self._find is None or database is None or self._forks != FORKS.count:
            return fail(self._notOpen())
        assert self._reactor is not None
        late = f"{what} of {self.path} takes too long"
        found = database.aside.run(work)
        return withDeadline(found, self._reactor, self._deadline, late)

    def _begin(self, reactor: IStoreReactor) -> Database:
        """
        See L{Openable._begin}.
        """
        self._forks = FORKS.count
        return Database(
            self.path,
            self._full,
            self._deadline,
            self._steps,
            reactor,
            self._makeWorker,
            self._adopt,
        )

    def _adopt(self, reader: sqlite3.Connection) -> None:
        """
        The database is open.
        """
        self._find = reader.cursor().execute
        database = self._database
        assert database is not None
        self._tell = database.writer.tell
        self._generation += 1 << 32
        self._changes = Changes(
            reader.cursor().execute,
            database.writer,
            self._generation,
            glanceAt(database.path),
        )
        self._lookAgainAt = 0.0
        self._replaced = False

    def _disown(self, database: Database) -> None:
        """
        See L{Openable._disown}.
        """
        self._find = self._changes = None
        self._tell = self._refuse
        database.writer.disown()

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
            return forked(self.path)
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


__all__ = ["Opening"]
