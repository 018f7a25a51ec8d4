"""
What a PostgreSQL server has of anonymous sessions, beyond the contract.
"""

from __future__ import annotations

from psycopg import Connection
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.stores.postgres_case import PostgresCase, record
from txsessions.stores._postgresql_anonymous import CREATE_INDEX, LOOK
from txsessions.stores._postgresql_schema import _beAlone, _executor
from txsessions.stores._postgresql_statements import namesOf
from txsessions.testing._case import steps

GATE = 1
"""The number of a lock that nobody else takes."""


class AnonymousTests(PostgresCase):
    """
    The index, and who holds what.
    """

    def indexes(self) -> list[str]:
        """
        The indexes over anonymous sessions.
        """
        rows = self.server.do(
            "SELECT indexname FROM pg_indexes WHERE tablename = %s", self.table
        )
        return [row[0] for row in rows if row[0].endswith("_anonymous")]

    @steps
    async def test_theIndexIsMadeWhereItIsMissing(self) -> None:
        """
        The tables of earlier code get it at the next opening, and are not of another
        schema by that.
        """
        store = await self.open()
        await store.insert(record("0"), self.now)
        await store.close()
        self.server.do(f"DROP INDEX {self.table}_anonymous")
        again = await self.open()
        self.assertEqual(self.indexes(), [f"{self.table}_anonymous"])
        schema = f"SELECT value FROM {self.table}_meta WHERE name = 'schema'"
        self.assertEqual(self.server.do(schema)[0][0], 2)
        evicted, more = await again.evictAnonymous(0, self.now, 10)
        self.assertEqual([each.key for each in evicted], [record("0").key])
        self.assertFalse(more)

    @steps
    async def test_theIndexIsMadeOnce(self) -> None:
        """
        A store that is opened while another process makes the index waits for that.
        """
        await (await self.open()).close()
        self.server.do(f"DROP INDEX {self.table}_anonymous")
        names = namesOf("public", self.table)
        with self.server.connect() as other:
            execute = _executor(other, names, unlogged=False)
            other.execute("BEGIN")
            _beAlone(execute, names)
            execute(CREATE_INDEX)
            opened = self.make().open()
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = %s"
            while not self.server.do(waiting, "Lock")[0][0]:
                await deferLater(reactor, 0.01, lambda: None)
            self.assertNoResult(opened)
            other.execute("COMMIT")
            self.assertEqual(await self.outcomes([opened]), [None])

    @steps
    async def test_whoIsBeingChangedIsInUse(self) -> None:
        """
        A row that somebody else has locked is not waited for, and does not go.
        """
        store = await self.open()
        old = record("old", expiresAt=self.now + 800)
        young = record("young")
        for each in (old, young):
            await store.insert(each, self.now)
        other = self.server.connect()
        self.addCleanup(other.close)
        other.execute("BEGIN")
        other.execute(
            f"SELECT 1 FROM {self.table} WHERE key = %s FOR UPDATE", [old.key]
        )
        evicted, more = await store.evictAnonymous(1, self.now, 10)
        self.assertEqual(([each.key for each in evicted], more), ([young.key], False))
        other.execute("ROLLBACK")
        self.assertIsNotNone(await store.load(old.key, self.now))

    @steps
    async def test_oneAfterTheOther(self) -> None:
        """
        Who comes while another process deletes waits, and does not count what that is
        about to delete: of two that ran side by side the second would skip what the
        first looks at, and delete as many of those behind.
        """
        stores = [await self.open(), await self.open()]
        many = [record(str(n), expiresAt=self.now + 500 + n) for n in range(LOOK + 8)]
        for start in range(0, len(many), 50):
            some = many[start : start + 50]
            await self.outcomes([stores[0].insert(each, self.now) for each in some])
        held = self.holdDeletes()
        evicting = []
        for waiting, store in enumerate(stores, 1):
            evicting.append(store.evictAnonymous(LOOK + 5, self.now, 10))
            await self.areWaiting(waiting)
        held.execute("ROLLBACK")
        outcomes = await self.outcomes(evicting)
        found = [[each.key for each in evicted] for evicted, _ in outcomes]
        self.assertEqual(found, [[each.key for each in many[:3]], []])
        self.assertEqual(self.count(), LOOK + 5)

    def holdDeletes(self) -> Connection:
        """
        Have whoever deletes a row wait, before the row is gone.

        @return: Who they wait for: until it ends its transaction.
        """
        function = f"{self.table}_wait"
        for statement in (
            f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ "
            f"BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN OLD; END $$",
            f"CREATE TRIGGER wait BEFORE DELETE ON {self.table} "
            f"FOR EACH ROW EXECUTE FUNCTION {function}()",
        ):
            self.server.do(statement)
        held = self.server.connect()
        self.addCleanup(held.close)
        held.execute("BEGIN")
        held.execute(f"SELECT pg_advisory_xact_lock({GATE})")
        return held

    async def areWaiting(self, count: int) -> None:
        """
        Wait until so many wait for an advisory lock.
        """
        query = "SELECT count(*) FROM pg_locks WHERE locktype = %s AND NOT granted"
        await self.until(lambda: self.server.do(query, "advisory")[0][0] == count)
