"""
What the tests of the PostgreSQL store stand on.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.stores.postgres_servers import Server, shared
from txsessions.core.record import Record
from txsessions.errors import StoreUnavailable
from txsessions.stores import _postgresql_clock
from txsessions.stores.postgresql import PostgreSQLStore, fromAddress

PATIENCE = 10.0
"""Seconds that something may take to happen."""

_numbers = itertools.count()


def record(name: str = "one", **changes) -> Record:
    """
    Make a record, alive now.
    """
    now = int(time.time() * 16) / 16
    usual = {
        "key": hashlib.sha256(name.encode()).digest(),
        "version": 1,
        "createdAt": now,
        "touchedAt": now,
        "expiresAt": now + 900,
        "payload": b"payload of " + name.encode(),
    }
    return Record(**{**usual, **changes})


def pause(seconds: float) -> Deferred[None]:
    """
    Let the reactor turn for a while.
    """
    return deferLater(reactor, seconds)


class Unwatching:
    """
    A reactor that cannot watch the descriptors of others.
    """

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name in {"addReader", "addWriter"}:
            raise AttributeError(name)
        return getattr(reactor, name)


DEADLINE = 1.0
"""A deadline that is to be reached, in seconds.  What is to be in time has to be so on
a busy machine too."""

SLACK = 10.0
"""How much later than its deadline a call may fail there.  One that forgets it waits
for ever."""


class PostgresCase(TestCase):
    """
    A server and a table.

    @ivar now: The time when the test began.
    """

    def setUp(self) -> None:
        """
        Choose a server and a table.
        """
        # A test on a busy machine is no server whose clock is wrong.
        self.patch(_postgresql_clock, "TOLERANCE", 20_000_000)
        self.server = self.chooseServer()
        self.table = f"t{next(_numbers)}"
        self.now = int(time.time() * 16) / 16

    def chooseServer(self) -> Server:
        """
        The server of this test.
        """
        return shared()

    def make(self, address: str | None = None, **options) -> PostgreSQLStore:
        """
        Make a store, not open.
        """
        options.setdefault("table", self.table)
        where = self.server.address if address is None else address
        store = fromAddress(where, None, options)
        self.addCleanup(store.close)
        return store

    async def open(self, address: str | None = None, **options) -> PostgreSQLStore:
        """
        Make a store and open it.
        """
        store = self.make(address, **options)
        await store.open()
        return store

    def own(self, *settings: str, **options) -> Server:
        """
        Start a server for this test only.
        """
        server = Server(*settings, **options)
        self.addCleanup(server.stop)
        self.now = int(time.time() * 16) / 16
        return server

    async def fails(self, call: Deferred, *kinds: type[Exception]) -> Exception:
        """
        Wait for something to fail.

        @return: The error.
        """
        expected = kinds or (StoreUnavailable,)
        try:
            found = await call
        except expected as error:
            return error
        raise self.failureException(f"no failure, but {found!r}")

    async def outcomes(self, calls: list[Deferred]) -> list[object]:
        """
        Wait for all of these.

        @return: Values and exceptions.
        """
        found = await DeferredList(calls, consumeErrors=True)
        return [value if good else value.value for good, value in found]

    async def until(self, true: Callable[[], object]) -> None:
        """
        Wait until this holds.
        """
        end = reactor.seconds() + PATIENCE
        while not true():
            if reactor.seconds() > end:
                raise self.failureException(f"it never happened: {true}")
            await pause(0.01)

    async def healed(self, store: PostgreSQLStore) -> float:
        """
        Wait until a store answers reads and writes.

        @return: How many seconds that took.
        """
        began = reactor.seconds()
        key = hashlib.sha256(b"probe").digest()
        while True:
            calls = [store.load(key, time.time()), store.delete(key)]
            found = await self.outcomes(calls)
            passed = reactor.seconds() - began
            if not any(isinstance(each, Exception) for each in found):
                return passed
            if passed > PATIENCE:
                raise self.failureException(f"it does not heal: {found}")
            await pause(0.01)

    def pidOf(self, line) -> int:
        """
        The server's process behind a line.
        """
        return line._link._connection.pgconn.backend_pid

    def count(self, where: str = "true") -> int:
        """
        How many rows there are.
        """
        return self.server.do(f"SELECT count(*) FROM {self.table} WHERE {where}")[0][0]

    def timers(self) -> list:
        """
        The delayed calls of stores.
        """
        return [
            each
            for each in reactor.getDelayedCalls()
            if "txsessions" in getattr(each.func, "__module__", "")
        ]
