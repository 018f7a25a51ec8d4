"""
Transactions that fail.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import weakref

from msgspec.structs import replace as evolve
from twisted.logger import capturedLogs

from tests.stores.stepping import NOW, Stage, record
from tests.stores.test_sqlite_writer import SteppedTestCase
from txsessions.errors import SessionExists, StoreCorrupt, StoreUnavailable
from txsessions.stores import _sqlite_schema, _sqlite_writer
from txsessions.stores._telling import deferredOf

FULL = sqlite3.OperationalError("database or disk is full")
BROKEN = sqlite3.OperationalError("disk I/O error")
DAMAGED = sqlite3.DatabaseError("database disk image is malformed")


class FailingTransactionTests(SteppedTestCase):
    """
    What SQLite can say at each step of a transaction.
    """

    def setUp(self) -> None:
        """
        Keep two sessions.
        """
        super().setUp()
        self.connection = self.stage.writer._connection
        self.one, self.two = self.insert("one"), self.insert("two")

    def failing(self, name: str, *errors: Exception | None) -> None:
        """
        Have a step fail, the first times that it is taken.
        """
        left = list(errors)
        original = getattr(self.connection, name)

        def step(*args):
            error = left.pop(0) if left else None
            if error is not None:
                raise error
            return original(*args)

        self.patch(self.connection, name, step)

    def another(self) -> Stage:
        """
        Open another store at the same database.
        """
        other = Stage(self.path)
        other.result(self, other.store.open())
        self.addCleanup(lambda: other.result(self, other.store.close()))
        return other

    def batch(self):
        """
        Write three things in one turn.
        """
        changed = evolve(self.two, version=2)
        calls = (
            self.store.insert(record("new"), NOW),
            self.store.delete(self.one.key),
            self.store.replace(changed, 1, NOW),
        )
        self.stage.run()
        return calls

    def assertFailed(self, calls, kind=StoreUnavailable) -> None:
        """
        Check that each caller got an error of its own.
        """
        errors = [self.failureResultOf(call, kind).value for call in calls]
        self.assertEqual(len({id(error) for error in errors}), len(errors))

    def assertHeals(self) -> None:
        """
        Check that the next batch works, and that nothing of the last was done.
        """
        new, deleted, replaced = self.batch()
        self.assertIsNone(self.successResultOf(new))
        self.assertTrue(self.successResultOf(deleted))
        self.assertIsNone(self.successResultOf(replaced))

    def test_theCommitFails(self) -> None:
        """
        All of the batch is unknown, and the next has a fresh connection.
        """
        before = self.connection._connection
        self.failing("commit", BROKEN, BROKEN)
        self.assertFailed(self.batch())
        self.assertIsNot(self.connection._connection, before)
        self.assertHeals()

    def test_aStatementFails(self) -> None:
        """
        All of the batch is undone.
        """
        self.failing("perform", BROKEN, BROKEN)
        self.assertFailed(self.batch())
        self.assertHeals()

    def test_damage(self) -> None:
        """
        Damage is told apart.
        """
        self.failing("perform", DAMAGED)
        self.assertFailed(self.batch(), StoreCorrupt)
        self.assertHeals()

    def test_full(self) -> None:
        """
        Where there is no room a logout is tried again, alone.
        """
        for step in ("perform", "commit"):
            self.failing(step, FULL)
            new, deleted, replaced = self.batch()
            self.assertTrue(self.successResultOf(deleted))
            self.assertFailed((new, replaced))
            self.insert("one")
        self.assertHeals()

    def test_fullAgain(self) -> None:
        """
        Where that fails, too, the logout is unknown.
        """
        self.failing("commit", FULL, FULL)
        self.assertFailed(self.batch())
        self.assertHeals()

    def test_fullAndBusy(self) -> None:
        """
        Nor is it tried for long.
        """
        self.failing("perform", FULL)
        original = self.connection.tryBegin
        busy = [False, True]

        def tryBegin(final: bool) -> bool:
            return not (busy and busy.pop(0)) and original(final)

        self.patch(self.connection, "tryBegin", tryBegin)
        self.assertFailed(self.batch())
        self.assertHeals()

    def test_fullAndLost(self) -> None:
        """
        Nor where the database has gone meanwhile.
        """
        self.failing("perform", FULL)
        lost = StoreUnavailable("the session database was moved")
        self.failing("tryBegin", None, lost)
        self.assertFailed(self.batch())
        self.assertHeals()

    def test_theTransactionIsLost(self) -> None:
        """
        Where SQLite has rolled back by itself nobody is told of success.
        """
        inserted = self.store.insert(record("new"), NOW)

        def rollback(cursor) -> None:
            cursor.execute("ROLLBACK")

        rolled = deferredOf(self.stage.writer.tell, rollback)
        self.stage.run()
        self.assertFailed((inserted, rolled))
        self.assertHeals()

    def test_theConnectionCannotBeHad(self) -> None:
        """
        Where no fresh connection can be had each batch tries again.
        """
        self.failing("commit", BROKEN)

        def refuse(path: str, synchronous: str):
            raise sqlite3.OperationalError("unable to open database file")

        connect = _sqlite_schema.connectWriter
        self.patch(_sqlite_schema, "connectWriter", refuse)
        self.assertFailed(self.batch())
        self.assertFailed(self.batch())
        found = self.successResultOf(self.store.load(self.one.key, NOW))
        self.assertEqual(found, self.one)
        self.patch(_sqlite_schema, "connectWriter", connect)
        self.assertHeals()

    def test_theCheckpointFails(self) -> None:
        """
        Then nothing is lost, the operator hears of it, and it is tried again.
        """
        self.connection._pages = 10_000
        real = self.connection._connection

        class Failing:
            """
            A connection that cannot checkpoint.
            """

            in_transaction = False

            def execute(self, statement: str):
                """
                Refuse.
                """
                raise BROKEN

            def close(self) -> None:
                """
                Close the real one.
                """
                real.close()

        self.connection._connection = Failing()
        with capturedLogs() as events:
            self.connection.checkpoint()
        self.assertEqual([event["error"] for event in events], [str(BROKEN)])
        self.assertTrue(self.connection.checkpointDue())
        self.connection.gate.release()
        self.assertHeals()
        self.assertFalse(self.connection.checkpointDue())

    def test_freePagesCannotBeGivenBack(self) -> None:
        """
        The operator is told, and nothing else happens.
        """
        self.connection.surplus = True
        self.failing("begin", BROKEN)
        with capturedLogs() as events:
            self.result(self.store.delete(self.one.key))
            self.stage.run()
        (event,) = events
        self.assertIn("Free pages", event["log_format"])

    def test_afterAnErrorInTheThread(self) -> None:
        """
        An error of ours in the thread fails the batch, and is logged.
        """
        claimed = self.store.claimExpired(NOW, 1, 1.0)
        self.failing("perform", RuntimeError("a mistake"))
        self.stage.reactor.advance(0)
        self.assertRaises(RuntimeError, self.worker.step)
        self.stage.run()
        self.assertIn("a mistake", str(self.failureResultOf(claimed).value))
        self.assertHeals()

    def test_afterAnErrorInTheReactor(self) -> None:
        """
        The same for one in the reactor's thread.
        """
        self.failing("perform", RuntimeError("a mistake"))
        deleted = self.store.delete(self.one.key)
        self.assertRaises(RuntimeError, self.stage.reactor.advance, 0)
        self.stage.run()
        self.assertFailed([deleted])
        self.assertHeals()

    def test_changesWhileThereIsNoConnection(self) -> None:
        """
        What others change is then noticed all the same.
        """
        before = self.store.changes()
        self.connection._discard()
        self.assertEqual(self.store.changes(), before)
        other = self.another()
        other.result(self, other.store.touch(self.two.key, NOW + 1, NOW + 900, NOW))
        self.assertNotEqual(self.store.changes(), before)
        self.assertHeals()


class NothingStaysTests(SteppedTestCase):
    """
    What a verb has held is let go of once everybody was told.
    """

    def setUp(self) -> None:
        """
        Note which verbs there are.
        """
        super().setUp()
        self.waiting: list[weakref.ref] = []
        operation = _sqlite_writer.Operation

        def noted(*args):
            made = operation(*args)
            self.waiting.append(weakref.ref(made.told))
            return made

        self.patch(_sqlite_writer, "Operation", noted)

    def assertNothingStays(self, count: int) -> None:
        """
        There were so many, and none is left.
        """
        gc.collect()
        self.assertEqual(len(self.waiting), count)
        self.assertEqual([each() for each in self.waiting if each() is not None], [])

    def test_ofWhatFails(self) -> None:
        """
        An error remembers the frames that it came through, and these the verb.
        """
        kept = self.insert()
        for _ in range(3):
            self.failure(self.store.insert(kept, NOW), SessionExists)
        self.flushed()
        self.assertNothingStays(5)

    def test_ofAnOpening(self) -> None:
        """
        So does that of a database that cannot be opened, as often as it is tried.
        """
        path = os.path.abspath(self.mktemp())
        os.mkdir(path)
        stage = Stage(path)
        for _ in range(3):
            self.assertTrue(stage.failure(self, stage.store.open(), StoreUnavailable))
        self.assertNothingStays(3)

    def flushed(self) -> None:
        """
        Write once more: the last batch is in nobody's variables then.
        """
        self.result(self.store.delete(record("none").key))
        self.stage.run()
