"""
The contract, run against PostgreSQL: the two kinds of server, in front of them a
pooler, prepared statements, and the way for reactors that cannot watch descriptors.
"""

from __future__ import annotations

import itertools
import time
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.stores.postgres_case import Unwatching
from tests.stores.postgres_servers import DEBIAN, PGBOUNCER, Pooler, shared
from txsessions.interfaces import ISessionStore
from txsessions.stores import _postgresql_clock
from txsessions.stores.postgresql import fromAddress
from txsessions.testing import StoreContract

_numbers = itertools.count()


class EmbeddedContractTests(StoreContract, TestCase):
    """
    L{PostgreSQLStore<txsessions.stores.postgresql.PostgreSQLStore>} keeps the
    contract, and two of them on one table do.
    """

    programs: str | None = None
    options: ClassVar[dict[str, object]] = {}
    reactor: Any = None
    skew = 0.0

    def place(self) -> str:
        """
        The address of the server.
        """
        return shared(self.programs).address

    def setUp(self) -> Deferred[None]:
        """
        Have both stores see the time of the tests first: two machines whose clocks
        agree.  Without that, the one whose first call brings a later C{now} would be
        a machine with another clock; and the clock of a test stands still, while the
        machine may be slow.
        """
        self.patch(_postgresql_clock, "TOLERANCE", 20_000_000)
        self.address = self.place()
        self.table = f"contract{next(_numbers)}"
        self.stores: list[Any] = []
        ready = super().setUp().addCallback(self.begin)
        for store in ("store", "other"):
            ready.addCallback(
                lambda _, name=store: getattr(self, name).load(b"", self.now)
            )
        return ready.addCallback(self.agree)

    def begin(self, _: object) -> None:
        """
        The test begins now: what goes before takes time.
        """
        self.now = int(time.time() * 16) / 16 + self.skew

    def agree(self, _: object) -> None:
        """
        Where the clocks are far off, the two are measured at different moments.
        """
        one, two = self.stores
        if self.skew:
            two._database.clock = one._database.clock

    def tearDown(self) -> Deferred[None] | None:
        """
        Remove the tables.
        """
        for store in self.stores:
            self.addCleanup(store.close)
        self.addCleanup(
            shared(self.programs).do,
            f"DROP TABLE IF EXISTS {self.table}, {self.table}_meta, {self.table}_epochs",
        )

    def remembers(self, principal: bytes) -> bool:
        """
        See L{StoreContract.remembers}.
        """
        found = shared(self.programs).do(
            f"SELECT principal FROM {self.table} WHERE principal = %s "
            f"UNION SELECT principal FROM {self.table}_epochs "
            "WHERE principal = %s",
            principal,
            principal,
        )
        return bool(found)

    def makeStore(self) -> ISessionStore:
        """
        See L{StoreContract.makeStore}.
        """
        # Tables are made and dropped all the time, on a disk that others use too.
        usual = {"table": self.table, "deadline": "20"}
        options: dict[str, object] = {**usual, **self.options}
        store = fromAddress(self.address, self.reactor, options)
        self.stores.append(store)
        return store

    def anotherStore(self) -> ISessionStore:
        """
        See L{StoreContract.anotherStore}.
        """
        return self.makeStore()


class PreparedContractTests(EmbeddedContractTests):
    """
    The same with prepared statements, and every commit waiting for the disk.
    """

    options: ClassVar[dict[str, object]] = {
        "prepare": "1",
        "durability": "full",
        "unlogged": "1",
    }


class AnotherClockContractTests(EmbeddedContractTests):
    """
    The same where the callers' clock is ten minutes slow.
    """

    skew = -600.0
    options: ClassVar[dict[str, object]] = {"durability": "normal"}


class ThreadedContractTests(EmbeddedContractTests):
    """
    The same over threads.
    """

    reactor = Unwatching()


if DEBIAN is not None:

    class DebianContractTests(EmbeddedContractTests):
        """
        The same with the distribution's server.
        """

        programs = DEBIAN


if PGBOUNCER is not None:

    class PooledContractTests(EmbeddedContractTests):
        """
        The same through PgBouncer, which gives every transaction another
        connection.
        """

        pooler: Pooler | None = None

        def place(self) -> str:
            """
            The address of the pooler.
            """
            if PooledContractTests.pooler is None:
                PooledContractTests.pooler = Pooler(shared(self.programs))
            return PooledContractTests.pooler.address
