"""
What PostgreSQL's errors mean: the table, and each code on a real server.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.postgres_case import PostgresCase, pause, record
from txsessions.errors import SessionExists, StoreCorrupt, StoreUnavailable
from txsessions.stores._postgresql_errors import (
    TABLE,
    Verdict,
    endsConnection,
    judge,
    late,
    storeError,
    unknown,
)
from txsessions.testing._case import steps

EXPECTED = {
    Verdict.RETRY: "40001 40P01",
    Verdict.CONFLICT: "23505",
    Verdict.CORRUPT: "3F000 42703 42804 42883 42P01 XX001 XX002",
    Verdict.UNAVAILABLE: (
        "08000 08003 08006 08P01 0A000 25001 25006 25P02 25P03 25P04 26000 28000 "
        "28P01 3D000 40003 42501 53000 53100 53200 53300 53400 54000 55P03 57014 57P01 "
        "57P02 57P03 57P04 57P05 58000 58030 XX000"
    ),
}
"""Every code, by what is done about it."""

DROPPING = (
    "08000 08003 08006 08P01 0A000 25006 25P02 25P03 25P04 26000 28000 28P01 3D000 "
    "3F000 40003 42703 42804 42883 42P01 53300 57P01 57P02 57P03 57P04 57P05 XX000"
)
"""The codes after which the connection is of no more use."""


class TableTests(SynchronousTestCase):
    """
    L{TABLE}.
    """

    def test_complete(self) -> None:
        """
        Each code has one meaning, and there are no others.
        """
        codes = [code for each in EXPECTED.values() for code in each.split()]
        self.assertEqual(sorted(codes), sorted(TABLE))
        for verdict, each in EXPECTED.items():
            for code in each.split():
                self.assertIs(judge(code), verdict, code)
                self.assertEqual(endsConnection(code), code in DROPPING, code)

    def test_names(self) -> None:
        """
        The names are PostgreSQL's own.
        """
        from psycopg import errors

        for code, (name, _, _, _) in TABLE.items():
            # libpq knows 25P04 and 57P05 since the versions that have them.
            try:
                found = errors.lookup(code).__name__
            except KeyError:
                continue
            self.assertEqual(found.lower().rstrip("_"), name.replace("_", ""), code)

    def test_others(self) -> None:
        """
        What is not in the table is unavailable, and classes say whether the
        connection ends.
        """
        self.assertIs(judge("22012"), Verdict.UNAVAILABLE)
        self.assertFalse(endsConnection("22012"))
        self.assertTrue(endsConnection("08001"))
        self.assertTrue(endsConnection("57P99"))

    def test_messages(self) -> None:
        """
        An error says the code, its name, the place, and what to do; the server's
        words only where they cannot quote a row.
        """
        for code, (name, verdict, _, advice) in TABLE.items():
            error = storeError(code, "the words", "postgresql://h/d")
            corrupt = verdict is Verdict.CORRUPT
            self.assertIs(type(error), StoreCorrupt if corrupt else StoreUnavailable)
            for part in (code, name, advice, "postgresql://h/d"):
                self.assertIn(part, str(error))
        for code in ("23505", "22001", "XX001", "42804"):
            self.assertNotIn("words", str(storeError(code, "the words", "x")))
        self.assertIn("words", str(storeError("28P01", "the words", "x")))
        self.assertIn("not known", str(unknown("x", "why")))
        self.assertIn("1.5 s", str(late("x", 1.5)))


class ServerTests(PostgresCase):
    """
    The codes as a server sends them: a trigger raises them, a given number of times.
    """

    def raising(self, code: str, times: int) -> None:
        """
        Have the next inserts of the session C{bad} fail.  A sequence counts, for
        that is not rolled back.
        """
        name = f"{self.table}_raise"
        self.server.do(
            f"CREATE SEQUENCE IF NOT EXISTS {name};"
            f"ALTER SEQUENCE {name} RESTART;"
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
            f"AS $$ BEGIN IF NEW.payload = 'bad' AND nextval('{name}') <= {times} THEN "
            f"RAISE EXCEPTION 'the words' USING ERRCODE = '{code}'; END IF; "
            f"RETURN NEW; END $$;"
            f"DROP TRIGGER IF EXISTS {name} ON {self.table};"
            f"CREATE TRIGGER {name} BEFORE INSERT ON {self.table} FOR EACH ROW "
            f"EXECUTE FUNCTION {name}()"
        )

    @steps
    async def test_everyCode(self) -> None:
        """
        Each code comes out as the table says, and the neighbours of the unit are
        done where the connection lives on.
        """
        store = await self.open()
        for number, (code, (_, verdict, drops, _)) in enumerate(TABLE.items()):
            self.raising(code, 1)
            calls: list[Deferred[None]] = [
                store.insert(record(f"{number} before"), self.now),
                store.insert(record(f"{number}", payload=b"bad"), self.now),
                store.insert(record(f"{number} after"), self.now),
            ]
            before, bad, after = await self.outcomes(calls)
            kinds = {
                Verdict.RETRY: type(None),
                Verdict.CONFLICT: SessionExists,
                Verdict.CORRUPT: StoreCorrupt,
                Verdict.UNAVAILABLE: StoreUnavailable,
            }
            self.assertIs(type(bad), kinds[verdict], code)
            if drops:
                self.assertIsInstance(before, Exception, code)
                await self.healed(store)
            else:
                self.assertEqual((before, after), (None, None), code)

    @steps
    async def test_onlyOneRetry(self) -> None:
        """
        What fails twice fails.
        """
        store = await self.open()
        for code in ("40001", "40P01"):
            self.raising(code, 2)
            bad = record(f"twice {code}", payload=b"bad")
            error = await self.fails(store.insert(bad, self.now))
            self.assertIn(code, str(error))
            await store.insert(bad, self.now)

    @steps
    async def test_atTheCommit(self) -> None:
        """
        A unit whose commit fails is made again as a whole, once.
        """
        store = await self.open()
        name = f"{self.table}_commit"
        self.server.do(
            f"CREATE SEQUENCE {name};"
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF nextval('{name}') <= 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = "
            f"'40001'; END IF; RETURN NEW; END $$;"
            f"CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON {self.table} DEFERRABLE "
            f"INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {name}()"
        )
        calls = [store.insert(record(str(n)), self.now) for n in range(5)]
        self.assertEqual(await self.outcomes(calls), [None] * 5)
        self.assertEqual(self.count(), 5)

    @steps
    async def test_canceled(self) -> None:
        """
        A query that somebody cancels fails; the connection stays.
        """
        store = await self.open()
        kept = record()
        await store.insert(kept, self.now)
        pid = self.pidOf(store._database.writes)
        with self.server.connect() as connection, connection.transaction():
            connection.execute(
                f"SELECT 1 FROM {self.table} WHERE key = %s FOR UPDATE", [kept.key]
            )
            call = store.delete(kept.key)
            while not call.called:
                self.server.do("SELECT pg_cancel_backend(%s)", pid)

                await pause(0.01)
            error = await self.fails(call)
        self.assertIn("57014", str(error))
        self.assertEqual(self.pidOf(store._database.writes), pid)
        self.assertTrue(await store.delete(kept.key))
