"""
Tests for L{txsessions.stores._sqlite_glance}: SQLite need not be asked each time.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys

from tests.stores import test_sqlite_changes
from tests.stores.stepping import NOW
from tests.stores.test_sqlite import SQLiteTestCase
from txsessions.stores import _sqlite_glance, _sqlite_opening
from txsessions.stores._sqlite_glance import SIZE, glanceAt

COMMITS = 500
"""How often another process commits."""

WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
for line in sys.stdin:
    connection.execute(line)
    print("done", flush=True)
"""
"""Runs a statement for each line that it is sent, and says so."""

TOUCH = "UPDATE sessions SET touched_at = touched_at + 1"


class GlanceTests(SQLiteTestCase):
    """
    What is seen of a database.
    """

    def setUp(self) -> None:
        """
        Have a session, and count what SQLite is asked.
        """
        super().setUp()
        self.kept = self.insert()
        self.path = os.path.realpath(self.path)
        self.asked: list[str] = []
        changes = self.store._changes
        ask = changes._ask

        def counted(statement):
            self.asked.append(statement)
            return ask(statement)

        changes._ask = counted
        self.before = self.store.changes()
        del self.asked[:]

    def elsewhere(self):
        """
        Another process with the database.

        @return: Has it run a statement, and waits until it has.
        """
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)

        def run(statement):
            process.stdin.write(f"{statement}\n")
            self.assertEqual(process.stdout.readline(), "done\n")

        return run

    def test_nothingChanges(self) -> None:
        """
        As long as nobody commits anything, SQLite is not asked.
        """
        for _ in range(10):
            self.assertEqual(self.store.changes(), self.before)
            self.load(self.kept)
        self.assertEqual(self.asked, [])

    def test_ours(self) -> None:
        """
        After a commit of ours it is not asked either.
        """
        self.result(self.store.touch(self.kept.key, NOW + 1, NOW + 900, NOW))
        for _ in range(10):
            self.assertEqual(self.store.changes(), self.before)
        self.assertEqual(self.asked, [])

    def test_others(self) -> None:
        """
        Whatever another process has committed is seen at once, each time.
        """
        run, known = self.elsewhere(), self.before
        for _ in range(COMMITS):
            run(TOUCH)
            now = self.store.changes()
            self.assertNotEqual(now, known)
            self.assertEqual(self.store.changes(), now)
            known = now

    def test_anotherLog(self) -> None:
        """
        So it is where that is the first in a log that was begun anew.
        """
        run, known = self.elsewhere(), self.before
        for _ in range(20):
            run("PRAGMA wal_checkpoint(TRUNCATE)")
            self.store.changes()
            known = self.store.changes()
            run(TOUCH)
            self.assertNotEqual(self.store.changes(), known)

    def test_inBetween(self) -> None:
        """
        What is committed between the glance and the question counts, and once.
        """
        run, changes = self.elsewhere(), self.store._changes
        ask, late = changes._ask, [TOUCH]

        def slow(statement):
            while late:
                run(late.pop())
            return ask(statement)

        changes._ask = slow
        run(TOUCH)
        first = self.store.changes()
        self.assertEqual(late, [])
        self.assertEqual(first, self.before + 1)
        self.assertEqual(self.store.changes(), first)
        run(TOUCH)
        self.assertEqual(self.store.changes(), first + 1)

    def test_locksStay(self) -> None:
        """
        The locks that SQLite has in this process stay, also when a glance is
        forgotten; and no descriptor is made or closed for one.
        """
        shm = os.stat(f"{self.path}-shm").st_ino

        def held():
            with open("/proc/locks") as opened:
                mine = [line.split()[1:] for line in opened if f":{shm} " in line]
            return mine, sorted(os.listdir("/dev/fd"))

        before = held()
        self.assertTrue(before[0])
        glance = glanceAt(self.path)
        self.assertEqual(len(glance.raw), SIZE)
        self.assertEqual(held(), before)
        del glance
        gc.collect()
        self.assertEqual(held(), before)

    if not os.path.exists("/proc/locks"):  # pragma: no cover - another system
        test_locksStay.skip = "there is no /proc/locks"  # type: ignore[attr-defined]

    def test_unmapped(self) -> None:
        """
        With the store the memory is let go.
        """

        def mapped():
            with open("/proc/self/maps") as opened:
                return opened.read().count(f"{self.path}-shm")

        before = mapped()
        second = self.open()
        self.assertEqual(mapped(), before + 1)
        second.result(self, second.store.close())
        gc.collect()
        self.assertEqual(mapped(), before)

    if not os.path.exists("/proc/self/maps"):  # pragma: no cover - another system
        test_unmapped.skip = "there is no /proc"  # type: ignore[attr-defined]

    def test_impossible(self) -> None:
        """
        Where it cannot be done there is none: no such file, one that this process
        does not have open, one that is too short, no way to find it.
        """
        self.assertIsNone(glanceAt(f"{self.path}-not"))
        for content in (bytes(SIZE), b""):
            with open("strange-shm", "wb") as made:
                made.write(content)
            self.assertIsNone(glanceAt("strange"))
        with open("strange-shm", "rb"):
            self.assertIsNone(glanceAt("strange"))
        self.assertIsNone(_sqlite_glance._map(-1))
        self.patch(_sqlite_glance, "_DESCRIPTORS", "/not/there")
        self.assertIsNone(glanceAt(self.path))


class WithoutTests(test_sqlite_changes.ChangesTests):
    """
    Where there is no glance, each time SQLite is asked.
    """

    def setUp(self) -> None:
        """
        Have none.
        """
        self.patch(_sqlite_opening, "glanceAt", lambda path: None)
        super().setUp()
        self.toldEarly = None

    def test_others(self) -> None:
        """
        What another store has committed is seen.
        """
        self.assertEqual(self.store.changes(), self.before)
        touched = self.other.store.touch(self.kept.key, NOW + 1, NOW + 900, NOW)
        self.other.result(self, touched)
        self.assertEqual(self.store.changes(), self.before + 1)
