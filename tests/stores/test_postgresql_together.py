"""
Loads of one turn, which PostgreSQL is asked together: each is answered as if it had come
alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from msgspec import structs
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.postgres_case import PostgresCase, record
from txsessions.core.record import DELETED, FORMER, ROTATED, UNCHANGED, Record
from txsessions.errors import StoreUnavailable
from txsessions.interfaces import ROTATION_MARKER
from txsessions.stores._postgresql_exchange import Call, Exchange, Unit
from txsessions.stores._postgresql_outcomes import settle
from txsessions.stores._postgresql_statements import Names, Statement, Statements
from txsessions.stores._postgresql_verbs import Verbs
from txsessions.stores.postgresql import PostgreSQLStore
from txsessions.testing._case import steps

STATEMENTS = Statements(Names("public", "sessions"))
VERBS = Verbs(STATEMENTS, "server")


class TogetherTests(PostgresCase):
    """
    What a server answers.
    """

    def setUp(self) -> None:
        """
        Note what is sent of each unit.
        """
        super().setUp()
        self.sent: list[list[bytes]] = []
        send = Exchange.send

        def noted(exchange: Exchange, unit: Unit) -> None:
            self.sent.append([step.statement.name for step in unit.steps])
            send(exchange, unit)

        self.patch(Exchange, "send", noted)

    async def load(
        self, store: PostgreSQLStore, asked: Sequence[tuple[bytes, float, int | None]]
    ) -> list[object]:
        """
        Load these in one turn.

        @return: The answers and errors.
        """
        self.sent.clear()
        return await self.outcomes([store.load(*each) for each in asked])

    async def filled(self, store: PostgreSQLStore) -> dict[str, Record]:
        """
        Put something of every kind into a store.

        @return: The records, by what has become of each.
        """
        signedIn = {"principal": b"p" * 32, "handle": b"h" * 16}
        kinds = {
            "alive": {},
            "changed": {"payload": b"", "version": 7},
            "signed in": signedIn,
            "ended": {"principal": b"q" * 32, "handle": b"h" * 16},
            "late": {"expiresAt": self.now + 50},
            "rotated": {},
            "deleted": {},
            "damaged": {},
            "odd": {"version": -1},
        }
        made = {name: record(name, **changes) for name, changes in kinds.items()}
        for each in made.values():
            await store.insert(each, self.now)
        moved = record("moved", version=2)
        marks = 3 * ROTATION_MARKER
        await store.rename(made["rotated"].key, moved, 1, self.now, marks=marks)
        await store.delete(made["deleted"].key, self.now)
        await store.endPrincipal(b"q" * 32, self.now)
        key = made["damaged"].key
        self.server.do(f"UPDATE {self.table} SET payload = 'x' WHERE key = %s", key)
        return {**made, "moved": moved, "absent": record("absent")}

    def breakEpochs(self) -> None:
        """
        Have the server fail wherever it looks after somebody signed in.
        """
        self.server.do(
            f"CREATE OR REPLACE FUNCTION {self.table}_epoch_of (whose bytea) "
            "RETURNS bigint LANGUAGE plpgsql STABLE "
            "AS $$ BEGIN RAISE disk_full; END $$"
        )

    @steps
    async def test_asIfAlone(self) -> None:
        """
        Whatever is asked for, in whatever order, twice or not, by whatever clock: the
        answers are those that each would get alone, and one statement gives them.
        """
        store = await self.open()
        made = await self.filled(store)
        chance = random.Random(5)
        found: list[object] = []
        for _ in range(40):
            asked = [
                (
                    chance.choice([*made.values()]).key,
                    self.now + chance.choice((0, 60, ROTATION_MARKER + 1, 1e13, -1e13)),
                    chance.choice((None, 1, 2, 7, 0, -1)),
                )
                for _ in range(chance.randrange(2, 30))
            ]
            with capturedLogs():
                together = await self.load(store, asked)
                self.assertEqual(self.sent, [[b"txsessions_loads"]])
                alone = [(await self.load(store, [each]))[0] for each in asked]
            self.assertEqual(together, alone)
            found += together
        kinds = {each for each in found if not isinstance(each, Record)}
        self.assertEqual(kinds, {None, UNCHANGED, DELETED, ROTATED, FORMER})
        kept = {each.key for each in found if isinstance(each, Record)}
        names = "alive", "changed", "signed in", "late", "moved", "odd"
        self.assertEqual(kept, {made[name].key for name in names})

    @steps
    async def test_aloneAndMany(self) -> None:
        """
        One load is asked as such; of very many each unit is asked as one.
        """
        store = await self.open()
        kept = record()
        await store.insert(kept, self.now)
        one = kept.key, self.now, None
        self.assertEqual(await self.load(store, [one]), [kept])
        self.assertEqual(self.sent, [[b"txsessions_load"]])
        self.assertEqual(await self.load(store, [one] * 300), [kept] * 300)
        self.assertEqual(self.sent, [[b"txsessions_loads"]] * 3)

    @steps
    async def test_inAnyOrder(self) -> None:
        """
        The server may tell the answers in whatever order it likes.
        """
        store = await self.open()
        several = store._verbs._loads
        told = several.statement
        text = told.text + b" ORDER BY place % 7, place DESC"
        turned = Statement(told.name, text, told.types, told.formats)
        self.patch(store._verbs, "_loads", structs.replace(several, statement=turned))
        kept = [record(str(number)) for number in range(100)]
        for each in kept[::2]:
            await store.insert(each, self.now)
        found = [each if number % 2 == 0 else None for number, each in enumerate(kept)]
        asked = [(each.key, self.now, None) for each in kept]
        self.assertEqual(await self.load(store, asked), found)
        self.assertEqual(self.sent, [[b"txsessions_loads"]])

    @steps
    async def test_keyOfAnotherSize(self) -> None:
        """
        With a key that is none among them, each is asked for itself.
        """
        store = await self.open()
        kept = record()
        await store.insert(kept, self.now)
        asked = [(key, self.now, None) for key in (kept.key, b"short", kept.key)]
        self.assertEqual(await self.load(store, asked), [kept, None, kept])
        self.assertEqual(self.sent, [[b"txsessions_load"] * 3])
        asked.append((None, self.now, None))
        answers = await self.load(store, asked)
        self.assertEqual(self.sent[0], [b"txsessions_load"] * 4)
        self.assertEqual(answers[:3], [kept, None, kept])

    @steps
    async def test_oneMeetsAnError(self) -> None:
        """
        What the server cannot do for one of them it does for the others.
        """
        store = await self.open()
        made = await self.filled(store)
        self.breakEpochs()
        names = "alive", "signed in", "moved", "alive"
        asked = [(made[name].key, self.now, None) for name in names]
        answers = await self.load(store, asked)
        self.assertIsInstance(answers.pop(1), StoreUnavailable)
        self.assertEqual(answers, [made["alive"], made["moved"], made["alive"]])
        self.assertEqual(self.sent[0], [b"txsessions_loads"])
        self.assertEqual(self.sent[1], [b"txsessions_load"] * 4)
        # The next ones are asked together again.
        answers = await self.load(store, [asked[0], asked[2]])
        self.assertEqual(answers, [made["alive"], made["moved"]])
        self.assertEqual(self.sent, [[b"txsessions_loads"]])

    @steps
    async def test_nobodyElseIsLookedAt(self) -> None:
        """
        However small the table is, the server looks only at what it is asked for.
        """
        store = await self.open()
        made = await self.filled(store)
        for number in range(30):
            await store.insert(record(str(number)), self.now)
        self.server.do(f"ANALYZE {self.table}")
        self.breakEpochs()
        asked = [(record(str(number)).key, self.now, None) for number in range(30)]
        asked.append((made["alive"].key, self.now, None))
        answers = await self.load(store, asked)
        self.assertEqual(answers[-1], made["alive"])
        self.assertEqual(self.sent, [[b"txsessions_loads"]])

    @steps
    async def test_twoRows(self) -> None:
        """
        If a key has two rows, which may not be, no answer becomes that of another call.
        """
        store = await self.open()
        made = await self.filled(store)
        heir = f"{self.table}_heir"
        self.server.do(f"CREATE TABLE {heir} () INHERITS ({self.table})")
        self.server.do(
            f"INSERT INTO {heir} SELECT * FROM {self.table} WHERE key = %s",
            made["alive"].key,
        )
        for others in (["deleted"], ["absent", "moved"]):
            asked = [(made[name].key, self.now, 1) for name in ["alive", *others]]
            together = await self.load(store, asked)
            self.assertEqual(self.sent[1:], [[b"txsessions_load"] * len(asked)])
            alone = [(await self.load(store, [each]))[0] for each in asked]
            self.assertEqual(together, alone)

    @steps
    async def test_prepared(self) -> None:
        """
        It goes with prepared statements too.
        """
        store = await self.open(prepare=True)
        kept = record()
        await store.insert(kept, self.now)
        asked = [(kept.key, self.now, known) for known in (None, 1)] * 20
        self.assertEqual(await self.load(store, asked), [kept, UNCHANGED] * 20)
        self.assertEqual(self.sent, [[b"txsessions_loads"]])


class UnitTests(SynchronousTestCase):
    """
    Which units are asked as one.
    """

    def load(self, name: str) -> Call:
        """
        Make a load.
        """
        made = VERBS.load(record(name).key, 1.0, None, 0, 9.0)
        made.told = Deferred()
        return made

    def test_others(self) -> None:
        """
        With anything else in it, or with what was asked together before, a unit is not.
        """
        one, two = self.load("one"), self.load("two")
        self.assertEqual(len(Unit([one, two], None).steps), 1)
        followed = VERBS.followed(record().key, 1.0, 0, 9.0)
        for calls in ([one, two, followed], [followed, one, two], [one]):
            self.assertEqual(Unit(calls, None).steps, calls)
        two.retried = True
        self.assertEqual(Unit([one, two], None).steps, [one, two])

    def test_failed(self) -> None:
        """
        If it has failed, whatever it was, each is asked for itself, and told of its own
        failure only.
        """
        for code, at in (("53100", 0), ("40001", 0), ("40001", 1)):
            calls = [self.load("one"), self.load("two")]
            unit = Unit(calls, None)
            unit.failed, unit.code, unit.said = at, code, "the words"
            self.assertEqual(settle(unit, "the place"), calls)
            self.assertFalse(any(each.told.called for each in calls))
            again = Unit(calls, None)
            self.assertEqual(again.steps, calls)
            again.failed, again.code, again.said = 0, code, "the words"
            self.assertEqual(settle(again, "the place"), [calls[1]])
            _ = self.failureResultOf(calls[0].told, StoreUnavailable)


__all__ = ["TogetherTests", "UnitTests"]
