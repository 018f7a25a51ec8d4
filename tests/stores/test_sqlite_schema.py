"""
Databases that are older, newer, somebody else's, or damaged.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3

from msgspec.structs import replace as evolve
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.stepping import NOW, Stage, record
from txsessions.core.record import Record
from txsessions.errors import StoreCorrupt, StoreError, StoreUnavailable
from txsessions.stores import _sqlite_schema


def addNote(connection: sqlite3.Connection) -> None:
    """
    A step that older code can live with.
    """
    connection.execute("ALTER TABLE sessions ADD COLUMN note TEXT DEFAULT 'none'")


def breakWithThePast(connection: sqlite3.Connection) -> None:
    """
    A step that older code cannot live with.
    """
    connection.execute("ALTER TABLE sessions ADD COLUMN other TEXT")
    connection.execute("UPDATE meta SET value = 3 WHERE name = 'compatible'")


class SchemaTestCase(SynchronousTestCase):
    """
    A database that several versions of the code use.
    """

    def setUp(self) -> None:
        """
        Nothing is there yet.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")

    def stage(self, *steps) -> Stage:
        """
        A store of a version that knows these further steps.
        """
        stage = Stage(self.path)
        stage.store._steps = (*_sqlite_schema.STEPS, *steps)
        return stage

    def open(self, *steps) -> Stage:
        """
        Open such a store.
        """
        stage = self.stage(*steps)
        stage.result(self, stage.store.open())
        self.addCleanup(lambda: self.close(stage))
        return stage

    def close(self, stage: Stage) -> None:
        """
        Close it.
        """
        stage.result(self, stage.store.close())

    def refused(self, *steps) -> str:
        """
        Check that the database is refused as corrupt.

        @return: What is said.
        """
        stage = self.stage(*steps)
        before = len(os.listdir("/proc/self/fd"))
        error = stage.failure(self, stage.store.open(), StoreCorrupt)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertIn(self.path, str(error))
        return str(error)

    def sql(self, *statements: str) -> list[tuple]:
        """
        What another program does to the database.
        """
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            return [connection.execute(each).fetchone() for each in statements]
        finally:
            connection.close()


class MigrationTests(SchemaTestCase):
    """
    From schema to schema.
    """

    def test_theFirst(self) -> None:
        """
        A new database is marked as ours, and has the settings that must be
        chosen before anything is in it.
        """
        self.close(self.open())
        answers = self.sql(
            "PRAGMA user_version",
            "PRAGMA application_id",
            "PRAGMA journal_mode",
            "PRAGMA auto_vacuum",
            "PRAGMA integrity_check",
        )
        ours = _sqlite_schema.APPLICATION_ID
        self.assertEqual(answers, [(2,), (ours,), ("wal",), (2,), ("ok",)])

    def test_anOlderOneIsBroughtUp(self) -> None:
        """
        Its sessions stay.
        """
        old = self.open()
        kept = record()
        old.result(self, old.store.insert(kept, NOW))
        self.close(old)
        new = self.open(addNote)
        self.assertEqual(self.successResultOf(new.store.load(kept.key, NOW)), kept)
        self.assertEqual(self.sql("PRAGMA user_version"), [(3,)])

    def test_bothVersionsTogether(self) -> None:
        """
        During a rolling restart the old code goes on, also where it is started
        again, and each sees what the other writes.
        """
        old = self.open()
        new = self.open(addNote)
        again = self.open()
        for number, stage in enumerate((old, new, again)):
            kept = record(f"{number}")
            stage.result(self, stage.store.insert(kept, NOW))
            for reader in (old, new, again):
                found = self.successResultOf(reader.store.load(kept.key, NOW))
                self.assertEqual(found, kept)
                changed = evolve(found, version=found.version + 1)
                reader.result(self, reader.store.replace(changed, found.version, NOW))
                kept = changed
        self.assertEqual(self.sql("PRAGMA user_version"), [(3,)])

    def test_oldCodeRefusesWhatItCannotUse(self) -> None:
        """
        A newer database that says so is refused, and nothing in it is changed.
        """
        self.close(self.open(breakWithThePast))
        with open(self.path, "rb") as file:
            before = file.read()
        said = self.refused()
        self.assertIn("schema 3", said)
        self.assertIn("upgrade", said)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)
        self.close(self.open(breakWithThePast))

    def test_newerWithoutAWord(self) -> None:
        """
        A newer database that says nothing of older code is refused.
        """
        self.close(self.open())
        self.sql("PRAGMA user_version = 7", "DELETE FROM meta")
        self.assertIn("schema 7", self.refused())

    def test_aStepThatFails(self) -> None:
        """
        A step is done whole or not at all, and is done again the next time.
        """
        self.close(self.open())

        def half(connection: sqlite3.Connection) -> None:
            addNote(connection)
            raise sqlite3.OperationalError("database or disk is full")

        stage = self.stage(half)
        error = stage.failure(self, stage.store.open(), StoreUnavailable)
        self.assertIn("make room", str(error))
        self.assertEqual(self.sql("PRAGMA user_version"), [(2,)])
        self.close(self.open(addNote))
        self.assertEqual(self.sql("SELECT count(note) FROM sessions"), [(0,)])

    def test_severalSteps(self) -> None:
        """
        All missing steps are taken, in order, each once.
        """
        taken = []
        steps = [lambda _, n=n: taken.append(n) for n in range(3)]
        self.close(self.open(*steps))
        self.close(self.open(*steps))
        self.assertEqual(taken, [0, 1, 2])

    def test_killedAfterTheFirstPragmas(self) -> None:
        """
        A file that another process had only begun is finished.
        """
        os.makedirs(os.path.dirname(self.path))
        self.sql("PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL")
        self.close(self.open())
        self.assertEqual(self.sql("PRAGMA user_version"), [(2,)])

    def test_anEmptyFile(self) -> None:
        """
        An empty file is taken for a new database.
        """
        os.makedirs(os.path.dirname(self.path))
        with open(self.path, "w"):
            pass
        self.close(self.open())


class NotOursTests(SchemaTestCase):
    """
    Files that are no database of ours.
    """

    def test_anotherProgramsDatabase(self) -> None:
        """
        Somebody else's tables are left alone.
        """
        os.makedirs(os.path.dirname(self.path))
        self.sql("CREATE TABLE customers (name TEXT)")
        self.assertIn("not one of txsessions", self.refused())
        tables = self.sql("SELECT count(*) FROM sqlite_master")
        self.assertEqual(tables, [(1,)])

    def test_notADatabase(self) -> None:
        """
        A text file is left alone.
        """
        os.makedirs(os.path.dirname(self.path))
        text = "This is not a database.\n" * 100
        with open(self.path, "w") as file:
            file.write(text)
        self.assertIn("not a database", self.refused())
        with open(self.path) as file:
            self.assertEqual(file.read(), text)

    def test_aMissingTable(self) -> None:
        """
        A database without its tables is not filled again silently.
        """
        for table in ("sessions", "epochs", "meta"):
            self.path = os.path.join(self.mktemp(), "sessions.sqlite")
            self.close(self.open())
            self.sql(f"DROP TABLE {table}")
            self.assertIn("no such table", self.refused())

    def test_aMissingColumn(self) -> None:
        """
        The same for a column.
        """
        self.close(self.open())
        self.sql("ALTER TABLE sessions RENAME COLUMN span TO width")
        self.assertIn("no such column", self.refused())

    def test_theTableVanishesWhileOpen(self) -> None:
        """
        Reads and writes say that the database is damaged.
        """
        stage = self.open()
        self.sql("DROP TABLE sessions")
        self.failureResultOf(stage.store.load(b"key", NOW), StoreCorrupt)
        stage.failure(self, stage.store.insert(record(), NOW), StoreCorrupt)
        stage.failure(self, stage.store.countSessions(NOW), StoreCorrupt)
        with capturedLogs():
            stage.failure(self, stage.store.claimExpired(NOW, 1, 1.0), StoreCorrupt)


class DamageTests(SchemaTestCase):
    """
    Damaged files: refused, or what can be read is right.
    """

    def fill(self, stage: Stage, version: int = 1) -> dict[bytes, Record]:
        """
        Write sixty sessions.
        """
        records = [
            record(f"{n}", version=version, payload=b"%d" % version * (n * 40))
            for n in range(60)
        ]
        for each in records:
            if version == 1:
                stage.store.insert(each, NOW)
            else:
                stage.store.replace(each, version - 1, NOW)
        stage.run()
        return {each.key: each for each in records}

    def look(self, *accepted: dict[bytes, Record]) -> str:
        """
        Open the database and load everything: each answer must be a record that
        was written, absence, or C{StoreCorrupt}.

        @return: What happened, in a word.
        """
        stage = self.stage()
        opened = stage.store.open()
        stage.run()
        outcome: list[object] = []
        opened.addBoth(outcome.append)
        if outcome != [None]:
            self.assertIsInstance(outcome[0].value, StoreError, outcome[0])
            return "refused"
        seen = set()
        try:
            with capturedLogs():
                for key in accepted[0]:
                    answer: list[object] = []
                    stage.store.load(key, NOW).addBoth(answer.append)
                    if isinstance(answer[0], Record):
                        self.assertIn(answer[0], [each[key] for each in accepted])
                        seen.add(f"version {answer[0].version}")
                    elif answer[0] is None:
                        seen.add("absent")
                    else:
                        self.assertIsInstance(answer[0].value, StoreCorrupt)
                        seen.add("corrupt")
        finally:
            self.close(stage)
        return ",".join(sorted(seen))

    def test_theHeader(self) -> None:
        """
        A damaged header is refused.
        """
        stage = self.open()
        written = self.fill(stage)
        self.close(stage)
        with open(self.path, "r+b") as file:
            file.write(b"\0" * 100)
        self.assertEqual(self.look(written), "refused")

    def test_anyPage(self) -> None:
        """
        Garbage in any page: refused or never wrong.
        """
        stage = self.open()
        written = self.fill(stage)
        self.close(stage)
        with open(self.path, "rb") as file:
            whole = file.read()
        chance = random.Random(7)
        seen = set()
        for page in range(len(whole) // 4096):
            damaged = bytearray(whole)
            start = page * 4096 + chance.randrange(3900)
            damaged[start : start + 64] = chance.randbytes(64)
            with open(self.path, "wb") as file:
                file.write(damaged)
            seen.add(self.look(written))
        with open(self.path, "wb") as file:
            file.write(whole)
        self.assertEqual(self.look(written), "version 1")
        self.assertGreater(len(seen), 1)

    def crash(self) -> tuple[dict[bytes, Record], dict[bytes, Record], str]:
        """
        Make the files that a crash leaves: some sessions in the database, and
        newer versions of them in the log.
        """
        stage = self.open()
        first = self.fill(stage)
        stage.writer._connection.checkpoint()
        second = self.fill(stage, 2)
        left = self.mktemp()
        os.makedirs(left)
        for end in ("", "-wal", "-shm"):
            shutil.copy(self.path + end, os.path.join(left, f"sessions.sqlite{end}"))
        return first, second, left

    def restore(self, left: str) -> None:
        """
        Put these files where the next process finds them.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        shutil.copytree(left, os.path.dirname(self.path))

    def test_afterACrash(self) -> None:
        """
        The log is read again, with an index that is stale or missing.
        """
        _, second, left = self.crash()
        self.restore(left)
        self.assertEqual(self.look(second), "version 2")
        for stale in (b"", b"\0" * 32768, random.Random(1).randbytes(32768)):
            self.restore(left)
            with open(f"{self.path}-shm", "wb") as file:
                file.write(stale)
            self.assertEqual(self.look(second), "version 2")
        self.restore(left)
        os.unlink(f"{self.path}-shm")
        self.assertEqual(self.look(second), "version 2")

    def test_aTruncatedLog(self) -> None:
        """
        Of a log that is cut short whole transactions are used, or none.
        """
        first, second, left = self.crash()
        size = os.stat(os.path.join(left, "sessions.sqlite-wal")).st_size
        chance = random.Random(3)
        whole = ("version 1", "version 2", "refused")
        cuts = [0, 1, 31, 32, 33, size - 1, *chance.sample(range(size), 6)]
        for cut in cuts:
            self.restore(left)
            os.truncate(f"{self.path}-wal", cut)
            self.assertIn(self.look(first, second), whole, cut)

    def test_aDeletedLog(self) -> None:
        """
        Without its log the database is as it was at the last checkpoint.
        """
        first, _, left = self.crash()
        self.restore(left)
        os.unlink(f"{self.path}-wal")
        self.assertEqual(self.look(first), "version 1")

    def test_aDamagedLog(self) -> None:
        """
        From a damaged frame on the log is not used.
        """
        first, second, left = self.crash()
        size = os.stat(os.path.join(left, "sessions.sqlite-wal")).st_size
        chance = random.Random(5)
        whole = ("version 1", "version 2", "refused")
        for _ in range(8):
            self.restore(left)
            with open(f"{self.path}-wal", "r+b") as file:
                file.seek(chance.randrange(size - 8))
                file.write(chance.randbytes(8))
            self.assertIn(self.look(first, second), whole)
