"""
Tests for L{txsessions.stores._sqlite_changes}: whose a change is.
"""

from __future__ import annotations

import contextlib
import sqlite3

from msgspec.structs import replace as evolve

from tests.stores.stepping import NOW
from tests.stores.test_sqlite import SQLiteTestCase


class ChangesTests(SQLiteTestCase):
    """
    What the cheap question says while this process writes.
    """

    # What is told of a commit of ours that the reactor has not heard of.
    toldEarly: int | None

    def setUp(self) -> None:
        """
        Another store at the same database, and a session in it.
        """
        super().setUp()
        self.kept = self.insert()
        self.other = self.open()
        self.before = self.toldEarly = self.store.changes()

    def write(self) -> None:
        """
        Begin a write of ours, whose commit the thread has yet to do.
        """
        self.stage.hung = True
        record = evolve(self.kept, version=2, payload=b"ours")
        self.written = self.store.replace(record, 1, NOW)
        self.stage.run()
        self.assertTrue(self.stage.writer.isBusy)

    def land(self) -> None:
        """
        Let the thread go on.
        """
        self.stage.hung = False
        self.result(self.written)

    def test_besideTheGate(self) -> None:
        """
        What somebody commits who does not know the gate, right after a commit of ours,
        is seen, too.
        """
        connection = self.stage.writer._connection
        commit = connection.commit

        def commitBoth() -> None:
            commit()
            with contextlib.closing(sqlite3.connect(self.path)) as beside, beside:
                beside.execute("DELETE FROM sessions")

        self.patch(connection, "commit", commitBoth)
        self.write()
        self.land()
        self.assertNotEqual(self.store.changes(), self.before)

    def test_ours(self) -> None:
        """
        A commit of ours is no change, neither under way nor afterwards.
        """
        self.write()
        self.assertEqual(self.store.changes(), self.before)
        self.land()
        self.assertEqual(self.store.changes(), self.before)

    def test_meanwhile(self) -> None:
        """
        What another commits while one of others is accounted for is seen by the next question.
        """
        account = self.store._changes._account

        def slowly(found):
            account(found)
            self.patch(self.store._changes, "_account", account)
            self.other.result(self, self.other.store.delete(self.kept.key))

        self.patch(self.store._changes, "_account", slowly)
        touched = self.other.store.touch(self.kept.key, NOW + 1, NOW + 901, NOW)
        self.other.result(self, touched)
        first = self.store.changes()
        self.assertNotEqual(first, self.before)
        self.assertNotEqual(self.store.changes(), first)

    def test_oursWhileWeHoldTheGate(self) -> None:
        """
        It is none either once it is committed, for as long as nobody else may
        write.
        """
        connection, said = self.stage.writer._connection, []
        self.patch(connection, "checkpointDue", lambda: True)
        self.patch(connection, "checkpoint", lambda: said.append(self.store.changes()))
        self.write()
        self.land()
        self.assertEqual(said, [self.before])

    def test_notHeardOf(self) -> None:
        """
        Between the commit and the reactor's hearing of it others may write: nobody
        has, or it cannot be told whose the change is.
        """
        self.write()
        self.stage.workers[0].step()
        self.assertEqual(self.store.changes(), self.toldEarly)
        touched = self.other.store.touch(self.kept.key, NOW + 1, NOW + 900, NOW)
        self.other.result(self, touched)
        self.assertIsNone(self.store.changes())
        self.land()
        self.assertEqual(self.store.changes(), self.before + 1)

    def test_withoutTheGate(self) -> None:
        """
        Where no gate can be had, anybody may write as soon as ours is committed, and
        before it is looked at.
        """
        connection = self.stage.writer._connection
        connection.gate.works = False
        commit = connection.commit

        def outrun():
            commit()
            touched = self.other.store.touch(self.kept.key, NOW + 1, NOW + 900, NOW)
            self.other.result(self, touched)

        self.patch(connection, "commit", outrun)
        self.write()
        self.stage.workers[0].step()
        self.assertIsNone(self.store.changes())
        self.land()
        self.assertEqual(self.store.changes(), self.before + 1)

    def test_othersJustBefore(self) -> None:
        """
        What another process wrote before ours began counts as soon as ours is
        under way, though nobody asked in between.
        """
        touched = self.other.store.touch(self.kept.key, NOW + 1, NOW + 900, NOW)
        self.other.result(self, touched)
        self.write()
        self.assertNotEqual(self.store.changes(), self.before)
        self.land()

    def test_whileTheThreadHasItAll(self) -> None:
        """
        While the thread does all of a transaction, a sweep, our commits of before
        are not taken for others', nor theirs for ours.
        """
        self.write()
        self.land()
        self.stage.hung = True
        claimed = self.store.claimExpired(NOW, 1, 1.0)
        self.stage.run()
        self.assertTrue(self.stage.writer.isBusy)
        self.assertEqual(self.store.changes(), self.before)
        touched = self.other.store.touch(self.kept.key, NOW + 1, NOW + 900, NOW)
        self.other.result(self, touched)
        self.assertIsNone(self.store.changes())
        self.stage.hung = False
        self.assertEqual(self.result(claimed), [])
        self.assertNotEqual(self.store.changes(), self.before)

    def test_nobodyAsks(self) -> None:
        """
        What others write between two of ours counts, though nobody asked before
        the second is under way; and counts once.
        """
        self.write()
        self.land()
        touched = self.other.store.touch(self.kept.key, NOW + 1, NOW + 900, NOW)
        self.other.result(self, touched)
        self.stage.hung = True
        deleted = self.store.delete(self.kept.key)
        self.stage.run()
        during = self.store.changes()
        self.assertNotEqual(during, self.before)
        self.stage.hung = False
        self.assertTrue(self.result(deleted))
        self.assertEqual(self.store.changes(), during)
