"""
Where the markers of rotations lead: what a delete costs, and markers that earlier
versions left, or that lead in a circle.
"""

from __future__ import annotations

import sqlite3
import struct

from twisted.trial.unittest import SynchronousTestCase

from tests.stores import postgres_case
from tests.stores.postgres_case import PostgresCase
from tests.stores.redis_case import RedisTestCase
from tests.stores.stepping import NOW, record
from tests.stores.test_sqlite import SQLiteTestCase
from tests.stores.valkeys import shared
from txsessions.core.record import ROTATED
from txsessions.errors import StoreUnavailable
from txsessions.stores import MemoryStore
from txsessions.stores._redis_keys import Keys
from txsessions.testing._case import steps

OLD, NEW = record("old"), record("new", version=2)


class MemoryTests(SynchronousTestCase):
    """
    The memory store.
    """

    def test_circle(self) -> None:
        """
        Markers that lead in a circle lead nowhere.
        """
        store = MemoryStore()
        store.open()
        store.insert(OLD, NOW)
        store.rename(OLD.key, NEW, 1, NOW)
        slot = store._slots[NEW.key]
        slot.record, slot.became = None, OLD.key
        self.assertIs(self.successResultOf(store.delete(OLD.key)), False)


class SQLiteTests(SQLiteTestCase):
    """
    The SQLite store.
    """

    def rotated(self) -> None:
        """
        Have a session that was rotated.
        """
        self.result(self.store.insert(OLD, NOW))
        self.result(self.store.rename(OLD.key, NEW, 1, NOW))

    def outside(self, statement: str, *values: object) -> None:
        """
        What another program does.
        """
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute(statement, values)
        connection.close()

    def test_cost(self) -> None:
        """
        A delete looks for a marker only where there is no record.
        """
        self.rotated()
        ran: list[str] = []
        connection = self.stage.writer._connection._connection
        connection.set_trace_callback(ran.append)
        self.assertTrue(self.result(self.store.delete(NEW.key)))
        done = [each for each in ran if "sessions" in each]
        self.assertEqual(len(done), 1, ran)

    def test_earlier(self) -> None:
        """
        A marker that an earlier version left is just a marker.
        """
        self.rotated()
        self.outside(
            "UPDATE sessions SET payload = x'', created_at = 0 WHERE version IS NULL"
        )
        self.assertIs(self.result(self.store.delete(OLD.key)), False)
        self.assertEqual(self.successResultOf(self.store.load(NEW.key, NOW)), NEW)
        self.assertIs(self.successResultOf(self.store.load(OLD.key, NOW)), ROTATED)

    def test_circle(self) -> None:
        """
        Markers that lead in a circle lead nowhere.
        """
        self.rotated()
        self.outside(
            "UPDATE sessions SET version = NULL, payload = ? WHERE key = ?",
            OLD.key,
            NEW.key,
        )
        self.assertIs(self.result(self.store.delete(OLD.key)), False)

    def test_toldLate(self) -> None:
        """
        A deletion that went on from a marker counts as another's change, for the
        session may be in use here by its new key; where it was too late to tell,
        the next one tells.
        """
        self.rotated()
        before = self.store.changes()
        self.stage.hung = True
        late = self.store.delete(OLD.key)
        self.stage.run()
        self.stage.reactor.advance(60)
        self.failureResultOf(late, StoreUnavailable)
        self.stage.hung = False
        self.stage.run()
        self.assertIs(self.successResultOf(self.store.load(NEW.key, NOW)), None)
        self.assertIs(self.result(self.store.delete(OLD.key)), False)
        self.assertNotEqual(self.store.changes(), before)


class RedisTests(RedisTestCase):
    """
    The Redis store.
    """

    def setUp(self) -> None:
        """
        Empty the server.
        """
        super().setUp()
        self.command = shared().command
        self.names = Keys("txsessions")

    async def rotated(self):
        """
        Have a session that was rotated.

        @return: The store, the old record and the new one.
        """
        store = await self.opened(shared().address)
        old, new = self.record("old"), self.record("new", version=2)
        await store.insert(old, self.now)
        await store.rename(old.key, new, 1, self.now)
        return store, old, new

    @steps
    async def test_kept(self) -> None:
        """
        The marker is as earlier versions read it; what it leads to lasts as long.
        """
        _, old, _ = await self.rotated()
        marker, became = self.names.record(old.key), self.names.became(old.key)
        self.assertEqual(self.command("STRLEN", marker), 10)
        ends = [self.command("PTTL", name) for name in (marker, became)]
        self.assertApproximates(*ends, 1000)

    @steps
    async def test_earlier(self) -> None:
        """
        A marker that an earlier version left is just a marker, and so is one beside
        which a stranger has put something.
        """
        store, old, new = await self.rotated()
        became = self.names.became(old.key)
        for change in (("DEL", became), ("SADD", became, "x")):
            self.command(*change)
            self.assertIs(await store.delete(old.key), False)
            self.assertEqual(await store.load(new.key, self.now), new)
            self.assertIs(await store.load(old.key, self.now), ROTATED)

    @steps
    async def test_circle(self) -> None:
        """
        Markers that lead in a circle lead nowhere.
        """
        store, old, new = await self.rotated()
        marker = b"M1" + struct.pack("<d", self.now + 60)
        self.command("SET", self.names.record(new.key), marker)
        self.command("SET", self.names.became(new.key), self.names.record(old.key))
        self.assertIs(await store.delete(old.key), False)


class PostgreSQLTests(PostgresCase):
    """
    The PostgreSQL store.
    """

    async def rotated(self, **options):
        """
        Have a session that was rotated.

        @return: The store, the old record and the new one.
        """
        store = await self.open(**options)
        old = postgres_case.record("old")
        new = postgres_case.record("new", version=2)
        await store.insert(old, self.now)
        await store.rename(old.key, new, 1, self.now)
        return store, old, new

    @steps
    async def test_cost(self) -> None:
        """
        A delete goes to the server once, and once more where there is no record.
        """
        store, old, new = await self.rotated()
        units = []
        line = store._database.writes
        take = line.takeUnit

        def taken():
            unit = take()
            units.extend([] if unit is None else [unit])
            return unit

        self.patch(line, "takeUnit", taken)
        again = postgres_case.record("again", version=3)
        await store.rename(new.key, again, 2, self.now)
        for record_, found, times in ((old, True, 2), (again, False, 2)):
            del units[:]
            self.assertIs(await store.delete(record_.key), found)
            self.assertEqual(len(units), times)
        await store.insert(postgres_case.record("other"), self.now)
        del units[:]
        self.assertIs(await store.delete(postgres_case.record("other").key), True)
        self.assertEqual(len(units), 1)

    @steps
    async def test_earlier(self) -> None:
        """
        A marker that an earlier version left is just a marker.
        """
        store, old, new = await self.rotated(prepare="1")
        self.server.do(
            f"UPDATE {self.table} SET payload = '', created_at = 0 "
            "WHERE version IS NULL"
        )
        self.assertIs(await store.delete(old.key), False)
        self.assertEqual(await store.load(new.key, self.now), new)
        self.assertIs(await store.load(old.key, self.now), ROTATED)

    @steps
    async def test_circle(self) -> None:
        """
        Markers that lead in a circle lead nowhere.
        """
        store, old, new = await self.rotated()
        self.server.do(
            f"UPDATE {self.table} SET version = NULL, payload = %s WHERE key = %s",
            old.key,
            new.key,
        )
        self.assertIs(await store.delete(old.key), False)
