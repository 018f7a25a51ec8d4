"""
A database of the first schema, with sessions in it, and what becomes of them.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.stores import test_contract, traces
from tests.stores.faults import FaultTestCase
from tests.stores.stepping import NOW, Stage, record
from tests.stores.test_sqlite_faults import needsStrace
from txsessions.core.record import ROTATED, Record
from txsessions.errors import StoreCorrupt
from txsessions.interfaces import ISessionStore
from txsessions.stores import SQLiteStore, _sqlite_rows, _sqlite_schema
from txsessions.testing import _admitting, _erasing, _principals

INSERT = """
INSERT INTO sessions (version, expires_at, touched_at, span, created_at, principal,
    checksum, payload, due, key)
VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?)
"""
"""How the code of schema 1 made a session."""

INSERT_MARKER = """
INSERT INTO sessions (version, expires_at, touched_at, span, created_at, principal,
    checksum, payload, due, key)
VALUES (NULL, ?, 0, 0, 0, NULL, 0, x'', ?, ?)
"""
"""And what it left of one that it renamed."""

SOMEBODY = b"somebody".ljust(32)


def begin(path: str) -> sqlite3.Connection:
    """
    Make a database of schema 1.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "x"):
        pass
    connection = _sqlite_schema.connectWriter(path, "FULL")
    connection.execute("BEGIN IMMEDIATE")
    _sqlite_schema.STEPS[0](connection)
    connection.execute("PRAGMA user_version = 1")
    connection.execute("COMMIT")
    return connection


def insert(connection: sqlite3.Connection, each: Record) -> None:
    """
    Keep a session as the code of schema 1 did.
    """
    row = (
        each.version,
        each.expiresAt,
        each.touchedAt,
        each.expiresAt - each.touchedAt,
        each.createdAt,
        _sqlite_rows.checksumOf(each),
        each.payload,
        each.expiresAt,
        each.key,
    )
    connection.execute(INSERT, row)


class MigratingTests(SynchronousTestCase):
    """
    Sessions of schema 1, in the hands of this code.
    """

    def setUp(self) -> None:
        """
        Some that are alive, some that are not, and a marker.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        self.alive = [record(f"{n}", payload=b"x" * n * 700) for n in range(20)]
        self.expired = record("expired", expiresAt=NOW - 1)
        connection = begin(self.path)
        for each in (*self.alive, self.expired):
            insert(connection, each)
        until = NOW + 30
        connection.execute(INSERT_MARKER, (until, until, record("rotated").key))
        connection.close()

    def open(self) -> Stage:
        """
        Open it.
        """
        stage = Stage(self.path)
        stage.result(self, stage.store.open())
        self.addCleanup(lambda: stage.result(self, stage.store.close()))
        return stage

    def sql(self, query: str) -> object:
        """
        What another program finds.
        """
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(query).fetchone()[0]
        finally:
            connection.close()

    def test_liveSessionsSurvive(self) -> None:
        """
        Nobody is logged out: sessions are found, changed, given a new key and swept
        as before.
        """
        stage = self.open()
        store = stage.store
        for each in self.alive:
            found = self.successResultOf(store.load(each.key, NOW))
            self.assertEqual(found, each)
        self.assertIs(
            self.successResultOf(store.load(record("rotated").key, NOW)), ROTATED
        )
        counted = stage.result(self, store.countSessions(NOW))
        self.assertEqual(counted, len(self.alive))
        first, second, third = self.alive[:3]
        changed = record("0", version=2, payload=b"changed")
        stage.result(self, store.replace(changed, 1, NOW))
        self.assertEqual(self.successResultOf(store.load(first.key, NOW)), changed)
        stage.result(self, store.touch(second.key, NOW + 1, NOW + 999, NOW))
        signed = record("new", version=2, principal=SOMEBODY, handle=b"h" * 16)
        stage.result(self, store.rename(third.key, signed, 1, NOW))
        listed = self.successResultOf(store.sessionsOf(SOMEBODY, NOW))
        self.assertEqual(listed, ([signed], None))
        self.assertEqual(stage.result(self, store.endPrincipal(SOMEBODY, NOW)), 1)
        self.assertIsNone(self.successResultOf(store.load(signed.key, NOW)))
        claimed = stage.result(self, store.claimExpired(NOW, 10, 60.0))
        self.assertEqual(claimed, [self.expired])
        self.assertEqual(self.sql("PRAGMA integrity_check"), "ok")

    def test_whatIsLeft(self) -> None:
        """
        It has the shape of a new one but for the order of columns.
        """
        self.open()
        migrated = self.path
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        self.open()
        query = """
        SELECT group_concat(name || type || "notnull" || pk) FROM (
            SELECT * FROM pragma_table_info('sessions') ORDER BY name
        )
        """
        tables = (
            "SELECT group_concat(name) FROM (SELECT * FROM sqlite_master ORDER BY name)"
        )
        new = [self.sql(each) for each in (query, tables, "PRAGMA user_version")]
        self.path = migrated
        old = [self.sql(each) for each in (query, tables, "PRAGMA user_version")]
        self.assertEqual(old, new)

    def test_oldCodeIsShutOut(self) -> None:
        """
        Code that knows of no epochs would let in those who have ended: it is refused.
        """
        self.open()
        connection = _sqlite_schema.connect(self.path, "rw")
        self.addCleanup(connection.close)
        old = _sqlite_schema.STEPS[:1]
        error = self.assertRaises(
            StoreCorrupt, _sqlite_schema.migrate, connection, self.path, old
        )
        self.assertIn("upgrade", str(error))

    def test_anAncientEmptyOne(self) -> None:
        """
        One without a session is made anew, in the better order of columns.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        begin(self.path).close()
        stage = self.open()
        stage.result(self, stage.store.insert(self.alive[0], NOW))
        query = "SELECT name FROM pragma_table_info('sessions') ORDER BY cid DESC"
        self.assertEqual(self.sql(query), "payload")
        found = self.successResultOf(stage.store.load(self.alive[0].key, NOW))
        self.assertEqual(found, self.alive[0])

    def test_twoProcessesAtOnce(self) -> None:
        """
        Two that start at once both go on, and one of them has done it.
        """
        command = [sys.executable, "-m", "tests.stores.child", "create", self.path]
        children = [
            subprocess.Popen(command, stdout=subprocess.PIPE, env=traces.environment())
            for _ in range(2)
        ]
        said = [child.communicate()[0].decode().splitlines() for child in children]
        for lines in said:
            self.assertEqual([lines[0], lines[-1]], ["open ok", "close ok"])
        outcomes = sorted(lines[1] for lines in said)
        self.assertEqual(outcomes, ["insert SessionExists", "insert ok"])
        stage = self.open()
        for each in self.alive:
            found = self.successResultOf(stage.store.load(each.key, NOW))
            self.assertEqual(found, each)
        self.assertEqual(self.sql("PRAGMA user_version"), 2)


class KilledTests(FaultTestCase):
    """
    A migration that was not finished.
    """

    def keepOld(self) -> None:
        """
        Some sessions of schema 1.
        """
        connection = begin(self.path)
        for name in ("old", "older"):
            insert(connection, record(name, payload=b"x" * 3000))
        connection.close()

    def survivors(self, files: dict[str, bytearray]) -> None:
        """
        Check that the next process has all that was there, and can go on.
        """
        path = self.place()
        traces.Disk.put(files, os.path.dirname(path))
        for name, found in self.look(["old", "older"], path).items():
            self.assertEqual(found, record(name, payload=b"x" * 3000))
        connection = sqlite3.connect(path)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
        connection.close()
        self.assertEqual((version, whole), (2, "ok"))

    @needsStrace
    def test_killedAtAnyStep(self) -> None:
        """
        At whichever system call the process dies, or the machine: the next process
        finishes what is unfinished, and no session is lost.
        """
        self.keepOld()
        steps, disk = self.traced("create")
        count = 0
        for _ in traces.states(self.path, steps, disk):
            self.survivors(disk.cache)
            self.survivors(disk.synced)
            count += 1
        self.assertGreater(count, 15)


class MigratedContractTests(
    _principals.PrincipalsContract,
    _erasing.ErasingContract,
    _admitting.AdmittingContract,
    TestCase,
):
    """
    A migrated database, whose columns have another order, keeps the contract as far as
    they are concerned.
    """

    durability = "full"

    def makeStore(self) -> ISessionStore:
        """
        See L{StoreContract.makeStore}.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        connection = begin(self.path)
        insert(connection, record())
        _sqlite_schema.migrate(connection, self.path)
        connection.execute("DELETE FROM sessions")
        connection.close()
        return SQLiteStore(self.path)

    anotherStore = test_contract.SQLiteStoreContractTests.anotherStore
    remembers = test_contract.SQLiteStoreContractTests.remembers
