"""
The tables of the PostgreSQL store, and processes of several versions on them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from attrs import evolve
from msgspec.structs import replace as evolve_

from tests.stores.postgres_case import PostgresCase, record
from txsessions.core.record import Record
from txsessions.errors import StoreCorrupt, StoreUnavailable
from txsessions.stores._postgresql_rows import valuesOf
from txsessions.stores._postgresql_schema import STEPS, Facts, promised
from txsessions.testing._case import steps

NEXT = len(STEPS) + 1
"""The schema of the next version, in these tests."""

CHILD = """
import sys
from twisted.internet import reactor
from txsessions.stores import openStore
store = openStore(sys.argv[1])
sys.stdin.readline()
def tell(result):
    print("opened" if result is None else result.getErrorMessage())
    store.close().addBoth(lambda _: reactor.stop())
reactor.callWhenRunning(lambda: store.open().addBoth(tell))
reactor.run()
"""


def another(execute) -> None:
    """
    A step of a later version, which older code can live with.
    """
    execute("ALTER TABLE {sessions} ADD COLUMN later bigint NOT NULL DEFAULT 7")


def incompatible(execute) -> None:
    """
    A step of a later version, which older code cannot live with.
    """
    execute("UPDATE {meta} SET value = 4 WHERE name = 'compatible'")


def killed(execute) -> None:
    """
    A step in which the process is killed.
    """
    execute("ALTER TABLE {sessions} ADD COLUMN half bigint")
    execute("SELECT pg_terminate_backend(pg_backend_pid())")


class MigrationTests(PostgresCase):
    """
    From schema to schema.
    """

    def version(self, *more, **options):
        """
        A store as a later version with these steps would make it.
        """
        store = self.make(**options)
        store._settings = evolve(store._settings, steps=(*STEPS, *more))
        return store

    def schema(self) -> int:
        """
        Which schema there is.
        """
        statement = f"SELECT value FROM {self.table}_meta WHERE name = 'schema'"
        return self.server.do(statement)[0][0]

    @steps
    async def test_manyAtOnce(self) -> None:
        """
        Stores that are opened at one moment all succeed; the tables are made once.
        """
        stores = [self.version(another) for _ in range(6)]
        found = await self.outcomes([store.open() for store in stores])
        self.assertEqual([each for each in found if each], [])
        self.assertEqual(self.schema(), NEXT)

    def test_processesAtOnce(self) -> None:
        """
        So do processes.
        """
        address = f"{self.server.address}&table={self.table}&schema=s_{self.table}"
        self.assertEqual(self.openedBy(address, 2), ["opened\n"] * 2)

    def openedBy(self, address: str, count: int) -> list[str]:
        """
        Have processes open a store at one moment.

        @return: What each says.
        """
        children = [
            subprocess.Popen(
                [sys.executable, "-c", CHILD, address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            for _ in range(count)
        ]
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        return [child.communicate(timeout=60)[0] for child in children]

    @steps
    async def test_oldAndNew(self) -> None:
        """
        During a rolling restart old and new code work side by side.
        """
        old = await self.open()
        kept = record()
        await old.insert(kept, self.now)
        new = self.version(another)
        await new.open()
        self.assertEqual(self.schema(), NEXT)
        # The clocks are compared now: a store takes what it is told for the time.
        self.now = time.time()
        self.assertEqual(await new.load(kept.key, self.now), kept)
        fresh = record("fresh")
        await old.insert(fresh, self.now)
        self.assertEqual(await new.load(fresh.key, self.now), fresh)
        self.server.terminate()
        await self.healed(old)
        again = await self.open()
        self.now = time.time()
        self.assertEqual(await again.load(fresh.key, self.now), fresh)
        self.assertEqual(self.schema(), NEXT)

    @steps
    async def test_tooNew(self) -> None:
        """
        What older code cannot live with it refuses, and says what to do.
        """
        new = self.version(another, incompatible)
        await new.open()
        error = await self.fails(self.make().open(), StoreCorrupt)
        self.assertIn("upgrade it", str(error))
        self.assertIn(f"schema {NEXT + 1}", str(error))
        error = await self.fails(self.version(another).open(), StoreCorrupt)
        await self.version(another, incompatible).open()

    @steps
    async def test_killedHalfWay(self) -> None:
        """
        A migration that was killed leaves nothing behind, and is made again.
        """
        await self.open()
        await self.fails(self.version(killed).open(), StoreUnavailable)
        self.assertEqual(self.schema(), len(STEPS))
        columns = self.server.do(
            "SELECT count(*) FROM information_schema.columns "
            "WHERE table_name = %s AND column_name = 'half'",
            self.table,
        )
        self.assertEqual(columns, [(0,)])
        await self.version(another).open()
        self.assertEqual(self.schema(), NEXT)

    async def earlier(self) -> list[Record]:
        """
        Make the tables as schema 1 had them, with sessions in them.
        """
        store = self.make()
        store._settings = evolve(store._settings, steps=STEPS[:1])
        await store.open()
        await store.close()
        records = [record("plain"), record("signed", principal=b"p" * 32)]
        for each in records:
            version, *times, checksum, _ = [
                int.from_bytes(value[-8:], "big") for value in valuesOf(each, 0)
            ]
            self.server.do(
                f"INSERT INTO {self.table} (key, version, created_at, touched_at, "
                "expires_at, span, due, checksum, principal, payload) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                *(each.key, version, *times, times[2] - times[1], times[2]),
                *(checksum, each.principal, each.payload),
            )
        return records

    async def keeps(self, store, records) -> None:
        """
        Check that these can be used and ended as any other.
        """
        now = time.time()
        for each in records:
            self.assertEqual(await store.load(each.key, now), each)
            await store.replace(evolve_(each, version=2), 1, now)
            await store.touch(each.key, now + 1, now + 901, now)
        self.assertEqual(await store.endPrincipal(b"p" * 32, now), 1)
        found = [await store.load(each.key, now) is None for each in records]
        self.assertEqual(found, [each.principal is not None for each in records])

    @steps
    async def test_fromSchema1(self) -> None:
        """
        The sessions of schema 1 are kept, whoever opens first; code that knows no
        epochs is shut out.
        """
        records = await self.earlier()
        stores = [self.make() for _ in range(6)]
        found = await self.outcomes([store.open() for store in stores])
        self.assertEqual(found, [None] * 6)
        await self.keeps(stores[0], records)
        old = self.make()
        old._settings = evolve(old._settings, steps=STEPS[:1])
        error = await self.fails(old.open(), StoreCorrupt)
        self.assertIn("upgrade it", str(error))

    @steps
    async def test_processesFromSchema1(self) -> None:
        """
        So it is with processes.
        """
        records = await self.earlier()
        address = f"{self.server.address}&table={self.table}"
        self.assertEqual(self.openedBy(address, 3), ["opened\n"] * 3)
        await self.keeps(await self.open(), records)

    @steps
    async def test_schema2KilledHalfWay(self) -> None:
        """
        Whoever is killed on the way to schema 2, at any step, loses nothing.
        """
        records = await self.earlier()
        for last in range(1, 8):
            store = self.make()
            done: list[str] = []

            def some(execute, last=last, done=done) -> None:
                def until(statement, *values):
                    done.append(statement)
                    if len(done) > last:
                        execute("SELECT pg_terminate_backend(pg_backend_pid())")
                    return execute(statement, *values)

                STEPS[1](until)
                execute("SELECT pg_terminate_backend(pg_backend_pid())")

            store._settings = evolve(store._settings, steps=(STEPS[0], some))
            await self.fails(store.open(), StoreUnavailable)
            self.assertGreaterEqual(len(done), last)
            self.assertEqual(self.schema(), 1)
            found = self.server.do(
                "SELECT to_regclass(%s), to_regproc(%s)",
                f"{self.table}_epochs",
                f"{self.table}_epoch_of",
            )
            self.assertEqual(found, [(None, None)])
        await self.keeps(await self.open(), records)

    @steps
    async def test_schema2Twice(self) -> None:
        """
        The step to schema 2 may be made where it was made: nobody comes back.
        """
        store = await self.open()
        await store.insert(record(principal=b"p" * 32, handle=b"h" * 16), self.now)
        await store.endPrincipal(b"p" * 32, self.now)
        self.server.do(f"UPDATE {self.table}_meta SET value = 1")
        again = await self.open()
        self.assertEqual(self.schema(), len(STEPS))
        self.assertIsNone(await again.load(record().key, time.time()))
        self.assertEqual(self.count(), 1)

    @steps
    async def test_epochsMissing(self) -> None:
        """
        Where somebody dropped the epochs they are not begun anew: that would bring
        back who was ended.
        """
        await self.open()
        self.server.do(f"DROP TABLE {self.table}_epochs")
        error = await self.fails(self.make().open(), StoreCorrupt)
        self.assertIn("42P01", str(error))

    @steps
    async def test_somebodyElsesTable(self) -> None:
        """
        A table that is not ours is left alone.
        """
        self.server.do(f"CREATE TABLE {self.table} (id int)")
        error = await self.fails(self.make().open(), StoreCorrupt)
        self.assertIn("not one of txsessions", str(error))
        self.assertEqual(self.count(), 0)

    @steps
    async def test_columnMissing(self) -> None:
        """
        A table of ours that lacks a column is refused.
        """
        await self.open()
        self.server.do(f"ALTER TABLE {self.table} DROP COLUMN span")
        error = await self.fails(self.make().open(), StoreCorrupt)
        self.assertIn("42703", str(error))

    @steps
    async def test_noRightToCreate(self) -> None:
        """
        A role that may only use the tables can do that, once they are there; one
        that may not even that is told so.
        """
        role = f"user_{self.table}"
        self.server.do(f"CREATE ROLE {role} LOGIN")
        address = self.server.address.replace("postgres@", f"{role}@")
        error = await self.fails(self.make(address, schema=role).open())
        self.assertIn("42501", str(error))
        await self.open()
        error = await self.fails(self.make(address).open())
        self.assertIn("42501", str(error))
        self.server.do(
            "GRANT SELECT, INSERT, UPDATE, DELETE "
            f"ON {self.table}, {self.table}_epochs TO {role}"
        )
        self.server.do(f"GRANT SELECT ON {self.table}_meta TO {role}")
        store = await self.open(address)
        kept = record()
        await store.insert(kept, self.now)
        self.assertEqual(await store.load(kept.key, self.now), kept)

    def test_promised(self) -> None:
        """
        What is promised follows from what the server says.
        """
        for facts, durability, word in (
            (Facts("on", "on", "", "p"), "server", "flushed to the database server's"),
            (Facts("on", "on", "", "u"), "full", "unlogged"),
            (Facts("on", "off", "", "p"), "full", "fsync is off"),
            (Facts("off", "on", "", "p"), "server", "never a logout"),
            (Facts("on", "on", "", "p"), "normal", "never a logout"),
            (Facts("off", "on", "", "p"), "full", "= on"),
            (Facts("on", "on", "ANY 1 (a)", "p"), "server", "flushed by its sync"),
            (Facts("remote_write", "on", "a", "p"), "server", "written by its"),
            (Facts("remote_apply", "on", "a", "p"), "server", "applied by its"),
            (Facts("local", "on", "a", "p"), "server", "disk before it is"),
        ):
            self.assertIn(word, promised(facts, durability))
