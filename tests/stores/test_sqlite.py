"""
What the SQLite store does beyond the contract: files, sweeps, backups, neighbours.
"""

from __future__ import annotations

import os
import sqlite3
import stat

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.stepping import NOW, Stage, record
from txsessions.errors import ConfigurationError, StoreCorrupt, StoreUnavailable
from txsessions.stores import _gate, _sqlite_connection, _sqlite_verbs, sqlite
from txsessions.stores.sqlite import SQLiteStore


class SQLiteTestCase(SynchronousTestCase):
    """
    One open store on a stage.
    """

    def setUp(self) -> None:
        """
        Open the store.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        self.stage = self.open()
        self.store = self.stage.store

    def open(self, **options) -> Stage:
        """
        Open a store on the file.
        """
        stage = Stage(self.path, **options)
        stage.result(self, stage.store.open())
        self.addCleanup(lambda: stage.result(self, stage.store.close()))
        return stage

    def result(self, deferred):
        """
        Run until this has fired.
        """
        return self.stage.result(self, deferred)

    def insert(self, name: str = "one", **changes):
        """
        Have a record kept.
        """
        kept = record(name, **changes)
        self.result(self.store.insert(kept, NOW))
        return kept

    def load(self, kept, now: float = NOW):
        """
        Look a session up, which never needs a turn of the reactor.
        """
        return self.successResultOf(self.store.load(kept.key, now))

    def outside(self) -> sqlite3.Connection:
        """
        Another program with the database.
        """
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=0)
        self.addCleanup(connection.close)
        return connection


class ArgumentTests(SynchronousTestCase):
    """
    What the store is told is looked at when it is told.
    """

    def test_refused(self) -> None:
        """
        Nonsense is refused, with what would be right.
        """
        for options, word in (
            ({"path": ""}, "name a file"),
            ({"path": "a\0b"}, "name a file"),
            ({"durability": "some"}, "'full' or 'normal'"),
            ({"deadline": 0}, "positive"),
            ({"deadline": -1.0}, "positive"),
            ({"deadline": float("nan")}, "positive"),
            ({"deadline": float("inf")}, "positive"),
        ):
            error = self.assertRaises(
                ConfigurationError, SQLiteStore, **{"path": "x", **options}
            )
            self.assertIn(word, str(error))

    def test_saysWhatItIs(self) -> None:
        """
        Address and durability are for people; a relative path is taken from the
        directory that is current when the store is made.
        """
        store = SQLiteStore("some.sqlite")
        self.assertEqual(store.address, f"sqlite:{os.path.abspath('some.sqlite')}")
        self.assertIn("synced", store.durability)
        normal = SQLiteStore("some.sqlite", durability="normal")
        self.assertIn("power cut", normal.durability)


class FilesTests(SQLiteTestCase):
    """
    Modes, and what is in the files.
    """

    def test_modes(self) -> None:
        """
        The files are the owner's alone, whatever the umask, and so is the
        directory that the store made.
        """
        self.addCleanup(os.umask, os.umask(0))
        self.path = os.path.join(self.mktemp(), "new", "sessions.sqlite")
        self.open()
        directory = os.path.dirname(self.path)
        names = sorted(os.listdir(directory))
        self.assertEqual(
            names, [f"sessions.sqlite{end}" for end in ("", "-gate", "-shm", "-wal")]
        )
        for name in names:
            mode = os.stat(os.path.join(directory, name)).st_mode
            self.assertEqual(stat.S_IMODE(mode), 0o600, name)
        self.assertEqual(stat.S_IMODE(os.stat(directory).st_mode), 0o700)

    def test_throughASymbolicLink(self) -> None:
        """
        A link to the database is followed, so that all processes meet at the
        same files beside it.
        """
        kept = self.insert()
        link = self.mktemp()
        os.symlink(os.path.abspath(self.path), link)
        self.path = link
        stage = self.open()
        found = self.successResultOf(stage.store.load(kept.key, NOW))
        self.assertEqual(found, kept)

    def test_whatIsDeletedIsGoneFromTheFiles(self) -> None:
        """
        The bytes of a deleted session do not stay in the database.
        """
        needle = b"a needle to look for" * 3
        self.insert("small", payload=needle)
        self.insert("large", payload=needle * 500)
        for name in ("small", "large"):
            self.result(self.store.delete(record(name).key))
        self.result(self.store.close())
        with open(self.path, "rb") as file:
            self.assertNotIn(needle, file.read())

    def test_theLogStaysSmall(self) -> None:
        """
        The write-ahead log is copied into the database as it grows.
        """
        for turn in range(40):
            for n in range(20):
                self.store.insert(record(f"{turn} {n}", payload=b"x" * 3000), NOW)
            self.stage.run()
        size = os.stat(f"{self.path}-wal").st_size
        self.assertLess(size, 3 * 4096 * _sqlite_connection.CHECKPOINT_PAGES)

    def test_theGuessOfPagesIsSetRight(self) -> None:
        """
        Many writes to few sessions make few frames, so they do not cause a
        checkpoint each time their guessed pages add up.
        """
        kept = self.insert()
        connection = self.stage.writer._connection
        checkpoints = []
        original = connection.checkpoint

        def checkpoint(*args) -> None:
            checkpoints.append(connection._pages)
            original(*args)

        self.patch(connection, "checkpoint", checkpoint)
        turns = 2 * _sqlite_connection.CHECKPOINT_PAGES
        for turn in range(turns // 50 * 4):
            for n in range(50):
                at = NOW + turn * 50 + n + 1
                self.store.touch(kept.key, at, at + 900, NOW)
            self.stage.run()
        self.assertLess(len(checkpoints), 4)
        self.assertGreater(len(checkpoints), 0)


class SweepTests(SQLiteTestCase):
    """
    Large sweeps.
    """

    def fill(self, count: int, **changes) -> None:
        """
        Insert many.
        """
        for start in range(0, count, 100):
            for n in range(start, min(count, start + 100)):
                self.store.insert(record(f"{n}", **changes), NOW)
            self.stage.run()

    def test_inSlices(self) -> None:
        """
        A claim larger than a slice is several transactions, and other writes
        come in between.
        """
        count = 2 * sqlite.SLICE + 10
        self.fill(count, expiresAt=NOW)
        claimed = self.store.claimExpired(NOW, count, 60.0)
        self.stage.reactor.advance(0)
        inserted = self.store.insert(record("between"), NOW)
        for _ in range(2):
            self.stage.workers[0].step()
            self.stage.reactor.advance(0)
            self.stage.reactor.advance(0)
        self.successResultOf(inserted)
        self.assertNoResult(claimed)
        self.stage.run()
        found = self.successResultOf(claimed)
        self.assertEqual(len({each.key for each in found}), count)
        self.result(self.store.acknowledge([each.key for each in found]))
        self.assertEqual(self.result(self.store.countSessions(NOW)), 1)

    def test_aSlowSweepHandsOutWhatItHas(self) -> None:
        """
        Where the slices take long, fewer are handed out, before the deadline.
        """
        count = 2 * sqlite.SLICE
        self.fill(count, expiresAt=NOW)
        claimed = self.store.claimExpired(NOW, count, 60.0)
        self.stage.reactor.advance(0)
        self.stage.workers[0].step()
        self.stage.reactor.advance(1.5)
        self.assertEqual(len(self.successResultOf(claimed)), sqlite.SLICE)

    def test_passesOverThoseInUse(self) -> None:
        """
        Sessions that were used since the sweeper last looked are put off, and
        those behind them are found.
        """
        self.fill(sqlite.SLICE + 5)
        for n in range(sqlite.SLICE + 5):
            kept = record(f"{n}")
            self.store.touch(kept.key, NOW + 600, NOW + 1500, NOW + 600)
            if n % 100 == 0:
                self.stage.run()
        self.stage.run()
        expired = self.insert("expired", expiresAt=NOW + 1000)
        claimed = self.store.claimExpired(NOW + 1000, 10, 60.0)
        self.assertEqual(self.result(claimed), [expired])

    def test_freePagesAreGivenBack(self) -> None:
        """
        After a big sweep the file shrinks.
        """
        self.fill(500, expiresAt=NOW, payload=b"x" * 20_000)
        self.stage.writer._connection.checkpoint()
        before = os.stat(self.path).st_size
        claimed = self.result(self.store.claimExpired(NOW, 1000, 60.0))
        self.result(self.store.acknowledge([each.key for each in claimed]))
        self.stage.run()
        self.result(self.store.close())
        self.assertLess(os.stat(self.path).st_size, before / 4)

    def test_givingBackNothingEnds(self) -> None:
        """
        Where free pages cannot be given back it is not tried for ever.
        """
        self.patch(_sqlite_verbs, "_GIVE_BACK", "SELECT 1")
        self.fill(200, expiresAt=NOW, payload=b"x" * 20_000)
        claimed = self.result(self.store.claimExpired(NOW, 1000, 60.0))
        self.result(self.store.acknowledge([each.key for each in claimed]))


class NeighbourTests(SQLiteTestCase):
    """
    Others at the same database.
    """

    def test_changesOfOthers(self) -> None:
        """
        What another process wrote is seen.
        """
        kept = self.insert()
        before = self.store.changes()
        self.assertEqual(self.store.changes(), before)
        other = self.open()
        other.result(self, other.store.touch(kept.key, NOW + 1, NOW + 900, NOW))
        self.assertNotEqual(self.store.changes(), before)

    def test_changesAfterReopening(self) -> None:
        """
        A number is never given out again by another opening.
        """
        seen = {self.store.changes()}
        for _ in range(3):
            self.result(self.store.close())
            self.assertIsNone(self.store.changes())
            self.result(self.store.open())
            self.assertNotIn(self.store.changes(), seen)
            seen.add(self.store.changes())

    def test_theGateIsHeld(self) -> None:
        """
        While another process is at the gate the batch waits in the thread, and
        gives up cleanly before the deadline.
        """
        other = self.open()
        gate = other.writer._connection.gate
        self.assertTrue(gate.tryAcquire())
        inserted = self.store.insert(record(), NOW)
        self.stage.reactor.advance(0)
        self.assertEqual(len(self.stage.workers[0].works), 1)
        self.stage.writer._connection.stop.set()
        self.stage.run()
        error = self.failureResultOf(inserted, StoreUnavailable).value
        self.assertIn("another process", str(error))
        gate.release()
        self.stage.writer._connection.stop.clear()
        self.result(self.store.insert(record(), NOW))

    def test_anotherProgramWrites(self) -> None:
        """
        A program that knows nothing of the gate and holds the write lock makes
        the batch wait in the thread; reads go on.
        """
        kept = self.insert()
        outside = self.outside()
        outside.execute("BEGIN IMMEDIATE")
        deleted = self.store.delete(kept.key)
        self.stage.reactor.advance(0)
        self.assertEqual(self.load(kept), kept)
        outside.execute("ROLLBACK")
        self.assertTrue(self.result(deleted))

    def test_aBusyReadGoesToTheThread(self) -> None:
        """
        A read that finds the database locked is done in the thread.
        """
        kept = self.insert()
        self.result(self.store.close())
        outside = self.outside()
        stage = self.open()
        real = stage.store._find

        def busy(*args):
            raise sqlite3.OperationalError("database is locked")

        stage.store._find = busy
        loaded = stage.store.load(kept.key, NOW)
        self.assertNoResult(loaded)
        outside.close()
        self.assertEqual(stage.result(self, loaded), kept)
        stage.store._find = real

    def test_aDamagedPageIsCorrupt(self) -> None:
        """
        What SQLite calls malformed is C{StoreCorrupt}, for reads and scans.
        """

        def malformed(*args):
            raise sqlite3.DatabaseError("database disk image is malformed")

        self.patch(self.store, "_find", malformed)
        for call in (self.store.load(b"key", NOW), self.store.scan(None, 1)):
            error = self.failureResultOf(call, StoreCorrupt).value
            self.assertIn("put back a backup", str(error))

    def test_scanPagesAreBounded(self) -> None:
        """
        However much is asked for, a page takes a moment only.
        """
        for n in range(sqlite.PAGE + 1):
            self.store.insert(record(f"{n}"), NOW)
        self.stage.run()
        page, cursor = self.successResultOf(self.store.scan(None, 10_000))
        self.assertEqual(len(page), sqlite.PAGE)
        page, cursor = self.successResultOf(self.store.scan(cursor, 10_000))
        self.assertEqual((len(page), cursor), (1, None))


class BackupTests(SQLiteTestCase):
    """
    L{SQLiteStore.backup}.
    """

    def test_backup(self) -> None:
        """
        The copy is a database of its own, as the original was at that moment.
        """
        kept = self.insert(payload=b"x" * 10_000)
        target = self.mktemp()
        self.result(self.store.backup(target))
        self.result(self.store.delete(kept.key))
        self.assertEqual(stat.S_IMODE(os.stat(target).st_mode), 0o600)
        self.path = target
        copy = self.open()
        self.assertEqual(self.successResultOf(copy.store.load(kept.key, NOW)), kept)
        copy.result(self, copy.store.delete(kept.key))
        claimed = copy.store.claimExpired(NOW + 9e9, 10, 1.0)
        self.assertEqual(copy.result(self, claimed), [])

    def test_replacesAnOlderBackup(self) -> None:
        """
        The same name may be used again and again, also after a crash.
        """
        target = self.mktemp()
        for leftover in (target, f"{target}-partial"):
            with open(leftover, "w") as file:
                file.write("left over")
            os.chmod(leftover, 0o644)
        self.insert()
        self.result(self.store.backup(target))
        self.assertEqual(stat.S_IMODE(os.stat(target).st_mode), 0o600)
        self.assertFalse(os.path.exists(f"{target}-partial"))

    def test_writesGoOn(self) -> None:
        """
        A backup runs in a thread of its own.
        """
        target = self.mktemp()
        backup = self.store.backup(target)
        inserted = self.store.insert(record(), NOW)
        self.stage.reactor.advance(0)
        self.stage.workers[0].step()
        self.stage.reactor.advance(0)
        self.successResultOf(inserted)
        self.assertNoResult(backup)
        self.result(backup)

    def test_notOntoItself(self) -> None:
        """
        The database cannot be its own backup, by whatever name.
        """
        link = self.mktemp()
        os.symlink(os.path.abspath(self.path), link)
        for target in (self.path, f"{self.path}-wal", link):
            error = self.stage.failure(self, self.store.backup(target))
            self.assertIsInstance(error, ConfigurationError)
        self.insert()

    def test_cannotBeWritten(self) -> None:
        """
        A backup that fails says why, and leaves nothing.
        """
        nowhere = os.path.join(self.mktemp(), "missing", "backup")
        error = self.stage.failure(self, self.store.backup(nowhere))
        self.assertIsInstance(error, StoreUnavailable)
        self.assertIn("No such file", str(error))

    def test_closeInterrupts(self) -> None:
        """
        A store that is closed does not wait for a backup to begin.
        """
        target = self.mktemp()
        backup = self.store.backup(target)
        count = self.store.countSessions(NOW)
        closed = self.store.close()
        self.stage.run()
        self.successResultOf(closed)
        self.failureResultOf(backup, StoreUnavailable)
        self.failureResultOf(count, StoreUnavailable)
        self.assertFalse(os.path.exists(target))

    def test_closeInterruptsWhatRuns(self) -> None:
        """
        What is running already is interrupted.
        """
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        closed = []

        def work(connection):
            closed.append(self.store.close())
            return connection.execute(endless + "SELECT count(*) FROM n").fetchone()

        ran = self.store._database.aside.run(work)
        self.stage.run()
        error = self.failureResultOf(ran, StoreUnavailable).value
        self.assertIn("interrupted", str(error))
        self.successResultOf(closed[0])

    def test_aHungCount(self) -> None:
        """
        Counting has the store's deadline, and a thread that hangs does not keep
        the store from closing.
        """
        self.stage.hung = True
        count = self.store.countSessions(NOW)
        self.stage.pass_(2.1)
        self.failureResultOf(count, StoreUnavailable)
        closed = self.store.close()
        self.stage.pass_(2.1)
        self.stage.pass_(2.1)
        self.successResultOf(closed)
        self.stage.hung = False
        self.stage.run()


class NoGateTests(SQLiteTestCase):
    """
    Where no lock between processes can be had.
    """

    def test_warned(self) -> None:
        """
        It works without, and says so only where this SQLite is not safe then.
        """

        def refuse(descriptor: int) -> None:
            raise OSError(38, "Function not implemented")

        self.patch(_gate, "_lock", refuse)
        for version, warned in (((3, 40, 1), True), ((3, 51, 3), False)):
            self.patch(_sqlite_connection.sqlite3, "sqlite_version_info", version)
            self.path = os.path.join(self.mktemp(), "sessions.sqlite")
            with capturedLogs() as events:
                stage = self.open()
            texts = [event["log_format"] for event in events]
            said = any("3.51.3" in text for text in texts)
            self.assertEqual(said, warned, (version, texts))
            stage.result(self, stage.store.insert(record(), NOW))

    def test_whichVersions(self) -> None:
        """
        The bug is in 3.7.0 to 3.51.2, but for what was mended backwards.
        """
        affected = _gate.affectedByWalReset
        for version in ((3, 7, 0), (3, 40, 1), (3, 44, 5), (3, 45, 0), (3, 50, 6)):
            self.assertTrue(affected(version), version)
        for version in ((3, 6, 9), (3, 44, 6), (3, 50, 7), (3, 51, 3), (3, 52, 0)):
            self.assertFalse(affected(version), version)
        self.assertTrue(affected((3, 51, 2)))


class LostFilesTests(SQLiteTestCase):
    """
    Files that vanish or change while the database is open.
    """

    def test_theDatabaseWasMoved(self) -> None:
        """
        Writes are unavailable, reads go on, and all is well when it is back.
        """
        kept = self.insert()
        os.rename(self.path, f"{self.path}.away")
        deleted = self.store.delete(kept.key)
        error = self.stage.failure(self, deleted, StoreUnavailable)
        self.assertIn("deleted or moved", str(error))
        self.assertEqual(self.load(kept, NOW + 1.5), kept)
        os.rename(f"{self.path}.away", self.path)
        self.assertTrue(self.result(self.store.delete(kept.key)))

    def test_theDatabaseWasReplaced(self) -> None:
        """
        Neither read nor written: what others write elsewhere is not seen here.
        """
        kept = self.insert(expiresAt=NOW + 9e9)
        self.load(kept)
        self.load(kept, NOW + 1e6)
        copy = self.mktemp()
        self.result(self.store.backup(copy))
        os.replace(copy, self.path)
        self.stage.failure(self, self.store.delete(kept.key), StoreCorrupt)
        loaded = self.store.load(kept.key, NOW + 1.5)
        error = self.failureResultOf(loaded, StoreCorrupt).value
        self.assertIn("replaced", str(error))

    def test_aSideFileWasDeleted(self) -> None:
        """
        Without its log, its index or its gate nothing is written any more.
        """
        for end in ("-wal", "-shm", "-gate"):
            self.path = os.path.join(self.mktemp(), "sessions.sqlite")
            stage = self.open()
            kept = record()
            stage.result(self, stage.store.insert(kept, NOW))
            os.unlink(self.path + end)
            error = stage.failure(self, stage.store.delete(kept.key), StoreCorrupt)
            self.assertIn(end, str(error))
            self.assertNotIn(kept.key.hex(), str(error))
            loaded = stage.store.load(kept.key, NOW + 1.5)
            self.failureResultOf(loaded, StoreCorrupt)
