"""
What the SQLite store does beyond the contract where anonymous sessions are too many.
"""

from __future__ import annotations

import os
import sqlite3

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.stepping import NOW, Stage, record
from txsessions.stores import _sqlite_anonymous

QUERIES = (
    _sqlite_anonymous._COUNT,
    _sqlite_anonymous._COUNT_LATE,
    _sqlite_anonymous._COUNT_CLAIMED,
    _sqlite_anonymous._OLDEST,
)


class AnonymousTests(SynchronousTestCase):
    """
    L{txsessions.stores._sqlite_anonymous}.
    """

    def setUp(self) -> None:
        """
        A store, and another program at its database.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        self.open()
        self.outside = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.outside.close)

    def open(self) -> None:
        """
        Open the store.
        """
        self.stage = stage = Stage(self.path, durability="normal")
        self.store = stage.store
        self.result(self.store.open())
        self.addCleanup(lambda: stage.result(self, stage.store.close()))

    def result(self, deferred):
        """
        Run until this has fired.
        """
        return self.stage.result(self, deferred)

    def test_theIndexIsUsed(self) -> None:
        """
        Nothing is sorted, and nobody who is signed in is looked at.
        """
        for query in QUERIES:
            plan = self.outside.execute(
                f"EXPLAIN QUERY PLAN {query}", (NOW,) * query.count("?")
            )
            steps = " ".join(row[-1] for row in plan)
            self.assertIn("sessions_anonymous", steps)
            self.assertNotIn("TEMP B-TREE", steps)
            self.assertNotIn("SCAN sessions ", steps.replace("USING", "") + " ")

    def test_theIndexIsMadeWhereItIsMissing(self) -> None:
        """
        A database of earlier code gets it at the next opening, and is not another
        schema by that.
        """
        self.result(self.store.insert(record("0"), NOW))
        self.result(self.store.close())
        self.outside.execute("DROP INDEX sessions_anonymous")
        self.open()
        version = self.outside.execute("PRAGMA user_version").fetchone()
        self.assertEqual(version, (2,))
        evicted, more = self.result(self.store.evictAnonymous(0, NOW, 10))
        self.assertEqual((evicted, more), ([record("0")], False))

    def test_aDamagedRecordStays(self) -> None:
        """
        It was alive for nobody: it is told to the operator, and not looked at again.
        """
        for name in ("0", "1"):
            self.result(self.store.insert(record(name), NOW))
        self.outside.execute(
            "UPDATE sessions SET payload = ? WHERE key = ?", (b"?", record("0").key)
        )
        with capturedLogs() as logs:
            evicted, more = self.result(self.store.evictAnonymous(0, NOW, 10))
        self.assertEqual((evicted, more), ([record("1")], False))
        self.assertEqual(len(logs), 1)
        self.flushLoggedErrors()
        with capturedLogs() as logs:
            found = self.result(self.store.evictAnonymous(0, NOW, 10))
        self.assertEqual(found, ([], False))
        self.assertEqual(logs, [])
        rows = self.outside.execute("SELECT count(*) FROM sessions").fetchone()
        self.assertEqual(rows, (1,))

    def test_markersOfEarlierCode(self) -> None:
        """
        They stand in the index, and do not go.
        """
        self.result(self.store.insert(record("0"), NOW))
        new = record("new", version=2)
        self.result(self.store.rename(record("0").key, new, 1, NOW))
        self.outside.execute("UPDATE sessions SET epoch = 0 WHERE version IS NULL")
        found = self.result(self.store.evictAnonymous(0, NOW, 10))
        self.assertEqual(found[0], [new])
        rows = self.outside.execute("SELECT version, due > 0 FROM sessions").fetchall()
        self.assertEqual(rows, [(None, 1)])
        self.assertEqual(
            self.result(self.store.evictAnonymous(0, NOW, 10)), ([], False)
        )
