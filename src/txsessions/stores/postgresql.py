"""
Sessions in a PostgreSQL database, shared by many machines.

Owns the store's face: what L{ISessionStore} promises, put together from its parts.
Needs psycopg 3.2 (C{txsessions[postgresql]}) and PostgreSQL 12 or later.  The reactor
drives libpq itself, in pipeline mode: what is asked in one turn leaves as one packet
and, if it writes, is one transaction
(L{txsessions.stores._postgresql_line}).  A store has two connections, one for reads
and one for writes, which are made again whenever they break; while one is broken its
calls fail at once.

No call relies on the state of a connection, so a pooler such as PgBouncer may hand
every transaction to another one.  C{prepare=1} in the address saves the server some
work, and must not be used with a pooler that knows no prepared statements.

The server's clock is the one that counts: see L{txsessions.stores._postgresql_clock}.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from txsessions.core.forks import Forks
from txsessions.core.record import Answer, Record
from txsessions.errors import AddressError, ConfigurationError, StoreUnavailable
from txsessions.interfaces import ISessionStore
from txsessions.stores import _postgresql_address, _postgresql_schema
from txsessions.stores._postgresql_database import Database, Settings
from txsessions.stores._postgresql_exchange import Call
from txsessions.stores._postgresql_line import Line
from txsessions.stores._postgresql_statements import Statements, namesOf
from txsessions.stores._postgresql_verbs import Verbs
from txsessions.stores._reactor import IStoreReactor, globalReactor, handled
from txsessions.stores._worker import IWorker, WorkerThread

SLICE = 128
"""How many rows one transaction of a sweep looks at."""

PAGE = 100
"""How many records one page of a scan holds at most."""

_DURABILITY = ("server", "full", "normal")


@implementer(ISessionStore)
class PostgreSQLStore:
    """
    A session store in a PostgreSQL database.

    @ivar address: See L{ISessionStore.address}; without user and password.
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
        names = namesOf(schema, table)
        self.address = _postgresql_address.shown(conninfo, schema, table)
        told, secrets = _postgresql_address.completed(conninfo, deadline)
        self._settings = Settings(
            conninfo=told,
            secrets=secrets,
            place=self.address,
            names=names,
            deadline=float(deadline),
            durability=durability,
            unlogged=unlogged,
            prepare=prepare,
        )
        self._statements = Statements(names)
        self._verbs = Verbs(self._statements, durability)
        self._reactor = reactor
        self._makeWorker = makeWorker
        self._chance = chance
        self._database: Database | None = None
        self._facts: _postgresql_schema.Facts | None = None

    @property
    def durability(self) -> str:
        """
        See L{ISessionStore.durability}: what the server said when it was last
        connected.
        """
        if self._database is not None and self._database.facts is not None:
            self._facts = self._database.facts
        if self._facts is None:
            return "what the PostgreSQL server promises: it was not asked yet"
        return _postgresql_schema.promised(self._facts, self._settings.durability)

    def open(self) -> Deferred[None]:
        """
        See L{ISessionStore.open}.  Fails if the first attempt to connect does, and
        leaves nothing behind then; one that takes longer than the deadline goes on,
        and opening again waits for it.
        """
        database = self._database
        if database is not None and database.fork != Forks.count:
            database = None
        if database is not None and database.closing:
            return Deferred.fromCoroutine(self._openAgain(database))
        if database is None:
            if self._reactor is None:
                self._reactor = globalReactor()
            database = self._database = Database(
                self._settings,
                self._statements,
                self._reactor,
                self._makeWorker,
                self._chance,
            )
        return database.whenOpen()

    async def _openAgain(self, database: Database) -> None:
        """
        Open after the end of an earlier opening.
        """
        await database.close()
        if self._database is database:
            self._database = None
        await self.open()

    def close(self) -> Deferred[None]:
        """
        See L{ISessionStore.close}.
        """
        if self._database is None or self._database.fork != Forks.count:
            return succeed(None)
        return self._database.close()

    def changes(self) -> int | None:
        """
        See L{ISessionStore.changes}: only L{load} can tell.
        """
        return None

    def insert(self, record: Record, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.insert}.
        """
        verb = self._verbs.insert
        return self._write(now, partial(verb, record))

    def load(
        self, key: bytes, now: float, known: int | None = None
    ) -> Deferred[Record | Literal[Answer.UNCHANGED, Answer.ROTATED] | None]:
        """
        See L{ISessionStore.load}.
        """
        verb = self._verbs.load
        return self._read(now, partial(verb, key, now, known))

    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.replace}.
        """
        verb = self._verbs.replace
        return self._write(now, partial(verb, record, expected, now))

    def touch(
        self, key: bytes, touchedAt: float, expiresAt: float, now: float
    ) -> Deferred[None]:
        """
        See L{ISessionStore.touch}.
        """
        verb, times = self._verbs.touch, (touchedAt, expiresAt)
        return self._write(now, partial(verb, key, times, now))

    def rename(
        self, oldKey: bytes, record: Record, expected: int, now: float
    ) -> Deferred[None]:
        """
        See L{ISessionStore.rename}.  Waits for the disk whatever the durability.
        """
        verb = self._verbs.rename
        return self._write(now, partial(verb, oldKey, record, expected, now))

    def delete(self, key: bytes) -> Deferred[bool]:
        """
        See L{ISessionStore.delete}.  Waits for the disk whatever the durability.
        """
        verb = self._verbs.delete
        return self._write(None, partial(verb, key))

    def claimExpired(
        self, now: float, limit: int, lease: float
    ) -> Deferred[list[Record]]:
        """
        See L{ISessionStore.claimExpired}.  In slices, so that other writes come in
        between; the deadline is each slice's, and where half of it has gone by,
        what was claimed so far is handed out.
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
        return Deferred.fromCoroutine(self._count(now))

    def scan(
        self, cursor: bytes | None, limit: int
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        See L{ISessionStore.scan}.  A page holds at most L{PAGE} records.
        """
        verb, size = self._verbs.scan, max(1, min(limit, PAGE))
        return self._read(None, partial(verb, cursor, size))

    async def _claim(self, now: float, limit: int, lease: float) -> list[Record]:
        """
        Claim slice by slice.
        """
        claimed: list[Record] = []
        verb = self._verbs.claim
        began = self._opened().seconds()
        more = limit > 0
        while more:
            size = min(limit - len(claimed), SLICE)
            found, damaged, more = await self._write(
                now, partial(verb, now, size, lease)
            )
            claimed += found
            for key in damaged:
                shelved = self._write(None, partial(self._verbs.shelve, key))
                handled(shelved.addErrback(lambda _: None))
            late = self._opened().seconds() - began > self._settings.deadline / 2
            more = more and len(claimed) < limit and not late
        return claimed

    async def _acknowledge(self, keys: Sequence[bytes]) -> None:
        """
        Acknowledge slice by slice.
        """
        _ = self._opened()
        for start in range(0, len(keys), SLICE):
            part = keys[start : start + SLICE]
            await self._write(None, partial(self._verbs.acknowledge, part))

    async def _count(self, now: float) -> int:
        """
        Count, on the line for what is slow.
        """
        _ = self._opened()
        assert self._database is not None
        line = await self._database.aside()
        verb = self._verbs.count
        counted: int = await self._call(line, now, partial(verb, now))
        return counted

    def _read(
        self, now: float | None, make: Callable[[int, float], Call]
    ) -> Deferred[Any]:
        """
        Make a call that changes nothing.
        """
        database = self._database
        if database is None or not database.isOpen or database.fork != Forks.count:
            return fail(self._notOpen())
        return self._call(database.reads, now, make)

    def _write(
        self, now: float | None, make: Callable[[int, float], Call]
    ) -> Deferred[Any]:
        """
        Make a call that changes something.
        """
        database = self._database
        if database is None or not database.isOpen or database.fork != Forks.count:
            return fail(self._notOpen())
        return self._call(database.writes, now, make)

    def _call(
        self, line: Line, now: float | None, make: Callable[[int, float], Call]
    ) -> Deferred[Any]:
        """
        Make a call.

        @param now: The caller's clock, if the call brings it.
        @param make: Takes how far the server's clock is ahead, and when it is too
            late.
        """
        assert self._database is not None
        assert self._reactor is not None
        clock = self._database.clock
        due = self._reactor.seconds() + self._settings.deadline
        if now is None or clock.isFresh():
            return line.submit(make(clock.offset, due))
        return clock.when(line, now, due, lambda: line.submit(make(clock.offset, due)))

    def _opened(self) -> IStoreReactor:
        """
        The reactor of an open store.

        @raise StoreUnavailable: It is not open.
        """
        database = self._database
        if database is None or not database.isOpen or database.fork != Forks.count:
            raise self._notOpen()
        assert self._reactor is not None
        return self._reactor

    def _notOpen(self) -> StoreUnavailable:
        """
        Say that the store is not open.
        """
        if self._database is not None and self._database.fork != Forks.count:
            return StoreUnavailable(
                f"the session database {self.address} was opened before this process "
                "was forked: open stores after the fork"
            )
        return StoreUnavailable(
            f"the session database {self.address} is not open: call open() first"
        )


def fromAddress(
    address: str, reactor: Any, options: dict[str, object]
) -> PostgreSQLStore:
    """
    Make the store that a C{postgresql://} or C{postgres://} address names: libpq's
    own URL, in whose query our options may stand too.

    @param options: As in the address; these win.
    @raise AddressError: It cannot be read; the message does not repeat it.
    """
    conninfo, ours = _postgresql_address.takeApart(address, options)
    try:
        return PostgreSQLStore(conninfo, reactor=reactor, **ours)  # type: ignore[arg-type]  # read there
    except AddressError:
        raise
    except ConfigurationError as error:
        raise AddressError(str(error)) from None


__all__ = ["PAGE", "SLICE", "PostgreSQLStore", "fromAddress"]
