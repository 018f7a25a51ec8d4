"""
Rows that are damaged are never used.
"""

from __future__ import annotations

import math
import os
import sqlite3
import struct

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.stepping import NOW, Stage, record
from txsessions.core.record import UNCHANGED, Record
from txsessions.errors import SessionGone
from txsessions.stores import _sqlite_rows

KEPT = record(
    version=5,
    principal=b"somebody",
    handle=b"a handle of them",
    payload=bytes(range(40)),
    createdAt=NOW - 100.25,
    touchedAt=NOW - 0.125,
    expiresAt=NOW + 900.5,
)


def flips(value):
    """
    All values that one flipped bit makes of this one.
    """
    if isinstance(value, bytes):
        for position in range(len(value) * 8):
            changed = bytearray(value)
            changed[position // 8] ^= 1 << position % 8
            yield bytes(changed)
    elif isinstance(value, float):
        for changed in flips(struct.pack("<d", value)):
            yield struct.unpack("<d", changed)[0]
    else:
        for position in range(63):
            yield value ^ 1 << position


class DamagedRowTests(SynchronousTestCase):
    """
    One row, and what time does to it.
    """

    def setUp(self) -> None:
        """
        A store with one session, and another program at its database.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        self.stage = Stage(self.path)
        self.store = self.stage.store
        self.result(self.store.open())
        self.addCleanup(lambda: self.result(self.store.close()))
        self.result(self.store.insert(KEPT, NOW))
        self.outside = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.outside.close)
        self.outside.execute("PRAGMA synchronous = OFF")

    def result(self, deferred):
        """
        Run until this has fired.
        """
        return self.stage.result(self, deferred)

    def load(self, known: int | None = None):
        """
        Look the session up.
        """
        return self.successResultOf(self.store.load(KEPT.key, NOW, known))

    def set(self, column: str, value: object) -> None:
        """
        Damage a column.
        """
        self.outside.execute(f"UPDATE sessions SET {column} = ?", (value,))

    def test_everyBitOfEveryColumn(self) -> None:
        """
        Whichever bit flips in whichever value: the session is absent, and as
        long as the row is there it is found again when the bit flips back.
        """
        for column in (
            "version",
            "created_at",
            "touched_at",
            "expires_at",
            "span",
            "checksum",
            "principal",
            "handle",
            "epoch",
            "payload",
        ):
            query = f"SELECT {column} FROM sessions"
            good = self.outside.execute(query).fetchone()[0]
            count = 0
            for bad in flips(good):
                if isinstance(bad, float) and math.isnan(bad):
                    continue
                self.set(column, bad)
                self.assertIsNone(self.load(), (column, bad))
                count += 1
            self.assertGreater(count, 50)
            self.set(column, good)
            self.assertEqual(self.load(), KEPT)

    def test_otherTypes(self) -> None:
        """
        A value of another type is damage, never an exception.
        """
        for column in ("version", "touched_at", "expires_at", "span", "created_at"):
            good = self.outside.execute(f"SELECT {column} FROM sessions").fetchone()[0]
            for bad in ("text", b"bytes", 2**62):
                self.set(column, bad)
                self.assertIsNone(self.load(), (column, bad))
            self.set(column, good)
        for column in ("principal", "handle", "payload", "checksum"):
            good = self.outside.execute(f"SELECT {column} FROM sessions").fetchone()[0]
            for bad in ("text", 3, 2.5, "\N{SNOWMAN}"):
                self.set(column, bad)
                self.assertIsNone(self.load(), (column, bad))
            self.set(column, good)
        self.assertEqual(self.load(), KEPT)

    def test_reportedByTag(self) -> None:
        """
        The operator hears of it, with the tag and without key and payload.
        """
        self.set("payload", b"damaged")
        with capturedLogs() as events:
            self.assertIsNone(self.load())
        (event,) = events
        self.assertEqual(event["tag"], KEPT.tag)
        self.assertEqual(event["log_level"].name, "error")
        self.assertNotIn(KEPT.key.hex(), str(event))
        self.assertNotIn("damaged'", str(event))

    def test_theRowIsKept(self) -> None:
        """
        Nothing that is done to a damaged session removes its row, but a logout.
        """
        self.set("payload", b"damaged")
        for call in (
            self.store.replace(KEPT, 1, NOW),
            self.store.rename(KEPT.key, record("new"), 5, NOW),
            self.store.replace(KEPT, 9, NOW),
        ):
            self.stage.failure(self, call, SessionGone)
        self.assertEqual(self.result(self.store.claimExpired(NOW + 9e9, 9, 1.0)), [])
        self.result(self.store.acknowledge([KEPT.key]))
        self.assertEqual(self.result(self.store.claimExpired(NOW + 9e9, 9, 1.0)), [])
        rows = self.outside.execute("SELECT payload FROM sessions").fetchall()
        self.assertEqual(rows, [(b"damaged",)])
        self.assertEqual(self.result(self.store.scan(None, 9)), ([], None))
        self.assertTrue(self.result(self.store.delete(KEPT.key)))

    def test_unchangedIsCheckedToo(self) -> None:
        """
        An extended deadline is not called unchanged.
        """
        self.assertIs(self.load(known=5), UNCHANGED)
        self.set("expires_at", NOW + 1e9)
        self.assertIsNone(self.load(known=5))

    def test_everyBitOfTheFile(self) -> None:
        """
        Whichever bit of the row flips in the file itself: the session is as it
        was, absent, or the database damaged; never anything else.
        """
        self.outside.close()
        self.result(self.store.close())
        with open(self.path, "rb") as file:
            whole = file.read()
        end = whole.index(KEPT.payload) + len(KEPT.payload)
        start = whole.rindex(KEPT.key, 0, end) - 20
        damaged = self.mktemp()
        seen = {"same": 0, "absent": 0, "error": 0}
        with open(damaged, "wb+", buffering=0) as file:
            file.write(whole)
            for position in range(start * 8, end * 8):
                at = position // 8
                file.seek(at)
                file.write(bytes([whole[at] ^ 1 << position % 8]))
                seen[self.look(damaged)] += 1
                file.seek(at)
                file.write(whole[at : at + 1])
            self.assertEqual(self.look(damaged), "same")
        self.assertGreater(seen["absent"], 500)

    def look(self, path: str) -> str:
        """
        Look the session up in a file that is not changing.
        """
        connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
        try:
            found = _sqlite_rows.read(connection.execute, KEPT.key, NOW, None)
        except sqlite3.Error:
            return "error"
        finally:
            connection.close()
        if isinstance(found, Record):
            self.assertEqual(found, KEPT)
            return "same"
        self.assertIsNone(found)
        return "absent"
