"""
The opening and closing of a PostgreSQL store, and how its calls get to the lines.

Owns what a store was told and the one L{Database
<txsessions.stores._postgresql_database.Database>} that it has at a time.  Knows no
verb.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txsessions.core.forks import FORKS
from txsessions.core.telling import Told
from txsessions.errors import ConfigurationError, StoreUnavailable
from txsessions.stores import _postgresql_address, _postgresql_schema
from txsessions.stores._opening import Openable
from txsessions.stores._postgresql_database import Database, Settings
from txsessions.stores._postgresql_exchange import Call
from txsessions.stores._postgresql_statements import Statements, namesOf
from txsessions.stores._postgresql_verbs import Verbs
from txsessions.stores._reactor import IStoreReactor
from txsessions.stores._reconnecting import Reconnecting
from txsessions.stores._telling import deferredOf
from txsessions.stores._worker import IWorker, WorkerThread

_DURABILITY = ("server", "full", "normal")


class Opening(Reconnecting, Openable[Database]):
    """
    See the module.

    @ivar address: See L{ISessionStore.address
        <txsessions.interfaces.ISessionStore.address>}; without user and password.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        reactor: IStoreReactor | None = None,
        deadline: float = 2.0,
        schema: str = "public",
        table: str = "txsessions",
        durability: str = "server",
        unlogged: bool = False,
        prepare: bool = False,
        makeWorker: Callable[[str], IWorker] = WorkerThread,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        Nothing is connected yet, so a store may be made before a fork.

        @param conninfo: What libpq is told: a URL or C{name=value} pairs.  What it
            leaves out comes from the environment, as with every program of
            PostgreSQL.
        @param reactor: By default the program's own, looked up by L{open}.
        @param deadline: After how many seconds a call fails.
        @param schema: Where the tables are; made if it is missing.
        @param table: What the table is called; a second one is called so with
            C{_meta} behind it.
        @param durability: C{"server"}: what the server, or the role, has set as
            C{synchronous_commit}.  C{"full"}: every commit waits for the disk.
            C{"normal"}: only a logout or a change of id does.
        @param unlogged: Whether a table that is made now is unlogged: faster, and
            empty after a crash of the server.
        @param prepare: Whether statements are prepared once for each connection.
        @param makeWorker: Makes the threads that connect, by name; for tests.
        @param chance: Gives numbers from 0 to 1, to spread reconnecting.
        """
        if durability not in _DURABILITY:
            raise ConfigurationError(
                f"durability is 'server', 'full' or 'normal', not {durability!r}"
            )
        if not 0 < deadline < float("inf"):
            raise ConfigurationError(
                f"deadline is a positive number of seconds, not {deadline!r}"
            )
        self._deadline = float(deadline)
        names = namesOf(schema, table)
        self.address = _postgresql_address.shown(conninfo, schema, table)
        told, secrets = _postgresql_address.completed(conninfo, deadline)
        self._settings = Settings(
            conninfo=told,
            secrets=secrets,
            place=self.address,
            names=names,
            deadline=self._deadline,
            durability=durability,
            unlogged=unlogged,
            prepare=prepare,
        )
        self._statements = Statements(names)
        self._verbs = Verbs(self._statements, durability)
        self._reactor = reactor
        self._makeWorker = makeWorker
        self._chance = chance
        self._facts: _postgresql_schema.Facts | None = None

    @property
    def durability(self) -> str:
        """
        See L{txsessions.interfaces.ISessionStore.durability}: what the server said when it was last
        connected.
        """
        if self._database is not None and self._database.facts is not None:
            self._facts = self._database.facts
        if self._facts is None:
            return "what the PostgreSQL server promises: it was not asked yet"
        return _postgresql_schema.promised(self._facts, self._settings.durability)

    def _begin(self, reactor: IStoreReactor) -> Database:
        """
        See L{Openable._begin}.  If the first attempt to connect fails, nothing is left
        behind.
        """
        return Database(
            self._settings,
            self._statements,
            reactor,
            self._makeWorker,
            self._chance,
            self._tellConnected,
        )

    def changes(self) -> int | None:
        """
        See L{txsessions.interfaces.ISessionStore.changes}: only C{load} can tell.
        """
        return None

    def _call(
        self, now: float | None, make: Callable[[int, float], Call], *, writes: bool
    ) -> Deferred[Any]:
        """
        Make a call: see L{_tell}.
        """
        return deferredOf(self._tell, now, make, writes=writes)

    def _tell(
        self,
        told: Told,
        now: float | None,
        make: Callable[[int, float], Call],
        *,
        writes: bool,
    ) -> None:
        """
        Make a call.

        @param now: The caller's clock, if the call brings it.
        @param make: Takes how far the server's clock is ahead, and when it is too
            late.
        @param writes: Whether it changes something.
        """
        database = self._database
        if database is None or not database.isOpen or database.fork != FORKS.count:
            told.errback(self._notOpen())
            return
        line = database.writes if writes else database.reads
        clock = database.clock
        seconds = database.seconds()
        due = seconds + self._deadline
        if now is None or (seconds < clock.nextAt and clock.isKnown):
            line.tell(told, make(clock.offset, due))
        else:
            clock.when(told, line, now, due, make)

    async def _aside(
        self, now: float | None, make: Callable[[int, float], Call]
    ) -> Any:
        """
        Make a call that reads, on the line for what is slow.
        """
        database = self._opened()
        line = await database.aside()
        clock, due = database.clock, database.seconds() + self._deadline
        if now is None:
            return await line.submit(make(clock.offset, due))
        return await deferredOf(clock.when, line, now, due, make)

    def _opened(self) -> Database:
        """
        What was opened.

        @raise StoreUnavailable: It may not be used.
        """
        database = self._database
        if database is None or not database.isOpen or database.fork != FORKS.count:
            raise self._notOpen()
        return database

    def _notOpen(self) -> StoreUnavailable:
        """
        Say that the store is not open.
        """
        if self._database is not None and self._database.fork != FORKS.count:
            return StoreUnavailable(
                f"the session database {self.address} was opened before this process "
                "was forked: open stores after the fork"
            )
        return StoreUnavailable(
            f"the session database {self.address} is not open: call open() first"
        )


__all__ = ["Opening"]
