"""
What a PostgreSQL server has of anonymous sessions, beyond the contract.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.stores.postgres_case import PostgresCase, record
from txsessions.stores._postgresql_anonymous import CREATE_INDEX
from txsessions.stores._postgresql_schema import _beAlone, _executor
from txsessions.stores._postgresql_statements import namesOf
from txsessions.testing._case import steps


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
