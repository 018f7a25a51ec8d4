"""
What the SQLite store does for principals beyond the contract.
"""

from __future__ import annotations

import os
import sqlite3
from types import SimpleNamespace

from msgspec.structs import replace as evolve
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.stepping import NOW, Stage, record
from txsessions.core.record import UNCHANGED, Record
from txsessions.stores import _sqlite_flight, _sqlite_principals
from txsessions.stores._sqlite_verbs import BREATH

SOMEBODY = b"somebody".ljust(32)


def signedIn(name: str = "one", **changes) -> Record:
    """
    Make a record of a session of somebody.
    """
    signed = {"principal": SOMEBODY, "handle": name.encode().rjust(16)}
    return record(name, **{**signed, **changes})


class SignedInTests(SynchronousTestCase):
    """
    L{txsessions.stores._sqlite_principals}.
    """

    def setUp(self) -> None:
        """
        A store, and another program at its database.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        self.stage = Stage(self.path, durability="normal")
        self.store = self.stage.store
        self.result(self.store.open())
        self.addCleanup(lambda: self.result(self.store.close()))
        self.outside = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(self.outside.close)

    def result(self, deferred):
        """
        Run until this has fired.
        """
        return self.stage.result(self, deferred)

    def statements(self, call) -> list[str]:
        """
        What is asked of the database for a call, without its transaction.
        """
        said: list[str] = []
        for connection in (
            self.stage.writer._connection._connection,
            self.stage.writer._reader,
        ):
            connection.set_trace_callback(said.append)
        self.result(call())
        for connection in (
            self.stage.writer._connection._connection,
            self.stage.writer._reader,
        ):
            connection.set_trace_callback(None)
        words = ("BEGIN", "COMMIT", "PRAGMA")
        return [each for each in said if not each.startswith(words)]

    def test_oneStatement(self) -> None:
        """
        A load, a change and a touch are one statement each, for the anonymous and for
        those signed in, and what is asked of the anonymous knows no epochs.
        """
        for each in (record("anonymous"), signedIn()):
            self.result(self.store.insert(each, NOW))
            changed = evolve(each, version=2)
            for call in (
                lambda e=each: self.store.load(e.key, NOW),
                lambda e=each: self.store.load(e.key, NOW, 1),
                lambda c=changed: self.store.replace(c, 1, NOW),
                lambda e=each: self.store.touch(e.key, NOW + 1, NOW + 901, NOW),
            ):
                said = self.statements(call)
                self.assertEqual(len(said), 1, said)
        self.assertNotIn(
            "epoch",
            self.statements(
                lambda: self.store.replace(record("anonymous", version=3), 2, NOW)
            )[0],
        )

    def test_final(self) -> None:
        """
        The end of somebody's sessions is synced whatever the durability.
        """
        connection = self.stage.writer._connection
        handle = signedIn().handle
        for call in (
            lambda: self.store.endSession(SOMEBODY, handle, NOW),
            lambda: self.store.endPrincipal(SOMEBODY, NOW),
            lambda: self.store.endEverybody(SOMEBODY[:8]),
            lambda: self.store.erasePrincipal(SOMEBODY),
        ):
            self.result(self.store.insert(signedIn(), NOW))
            synchronous = connection._connection.execute("PRAGMA synchronous")
            self.assertEqual(synchronous.fetchone(), (1,))
            self.result(call())
            synchronous = connection._connection.execute("PRAGMA synchronous")
            self.assertEqual(synchronous.fetchone(), (2,))
            self.result(self.store.erasePrincipal(SOMEBODY))

    def test_triedAgainWithoutRoom(self) -> None:
        """
        Where there is no room, the end of somebody's sessions is tried again as a
        logout is.
        """
        for verb in (_sqlite_principals.endPrincipal, _sqlite_principals.endSession):
            self.assertIn(verb, _sqlite_flight.LOGOUTS)
        self.result(self.store.insert(signedIn(), NOW))
        connection = self.stage.writer._connection
        perform, failed = connection.perform, []

        def performOnce(operations):
            if not failed:
                failed.append(operations)
                raise sqlite3.OperationalError("database or disk is full")
            return perform(operations)

        self.patch(connection, "perform", performOnce)
        self.assertEqual(self.result(self.store.endPrincipal(SOMEBODY, NOW)), 1)
        self.assertEqual(len(failed), 1)
        self.assertIsNone(self.result(self.store.load(signedIn().key, NOW)))

    def test_aFlippedEpoch(self) -> None:
        """
        A bit that flips in an epoch brings nobody back.
        """
        self.result(self.store.insert(signedIn(), NOW))
        load = self.store.load
        self.assertIs(self.result(load(signedIn().key, NOW, 1)), UNCHANGED)
        self.result(self.store.endPrincipal(SOMEBODY, NOW))
        for bit in range(8):
            self.outside.execute("UPDATE sessions SET epoch = ?", (1 << bit,))
            with capturedLogs():
                self.assertIsNone(self.result(load(signedIn().key, NOW, 1)))
                self.assertIsNone(self.result(load(signedIn().key, NOW)))

    def test_anIndexThatIsLost(self) -> None:
        """
        Without its index nobody is found any faster, and it is told how many are
        concerned.
        """
        for n in range(3):
            self.result(self.store.insert(signedIn(f"{n}"), NOW))
        self.assertEqual(self.result(self.store.verifyIndex()), (0, None))
        self.outside.execute("DROP INDEX sessions_principal")
        self.assertEqual(self.result(self.store.verifyIndex()), (3, None))

    def test_verifiedAtOneMoment(self) -> None:
        """
        Sessions that end while it is looked are no misfits.
        """
        for name in ("one", "two", "three"):
            self.result(self.store.insert(signedIn(name), NOW))
        looking = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(looking.close)

        end = "DELETE FROM sessions WHERE rowid = (SELECT min(rowid) FROM sessions)"

        class Busy:
            def execute(_, query: str) -> SimpleNamespace:
                rows = looking.execute(query).fetchall()
                self.outside.execute(end)
                return SimpleNamespace(fetchone=lambda: rows[0])

        self.assertEqual(_sqlite_principals.misfits(Busy()), 0)

    def test_aDamagedSessionIsNotListed(self) -> None:
        """
        It is passed over, and the page before it ends where it should.
        """
        for n in range(3):
            self.result(self.store.insert(signedIn(f"{n}"), NOW))
        self.outside.execute(
            "UPDATE sessions SET payload = x'00' WHERE key = ?", (signedIn("1").key,)
        )
        with capturedLogs():
            listed, cursor = self.result(self.store.sessionsOf(SOMEBODY, NOW, None, 2))
        self.assertEqual((listed, cursor), ([signedIn("0")], signedIn("1").handle))
        listed, cursor = self.result(self.store.sessionsOf(SOMEBODY, NOW, cursor, 2))
        self.assertEqual((listed, cursor), ([signedIn("2")], None))

    def test_epochsAreForgottenInSlices(self) -> None:
        """
        A sweep looks at a few epochs only, and later sweeps at the others; those that
        are needed do not stand in the way.
        """
        principals = [b"%03d" % n + b"p" * 29 for n in range(2 * BREATH)]
        for n, principal in enumerate(principals):
            kept = signedIn(f"{n}", principal=principal)
            self.store.insert(kept, NOW)
            self.store.endPrincipal(principal, NOW)
        self.stage.run()
        for n in range(BREATH, 2 * BREATH):
            self.store.delete(signedIn(f"{n}").key)
        self.stage.run()
        count = "SELECT count(*) FROM epochs"
        self.assertEqual(self.outside.execute(count).fetchone(), (2 * BREATH,))
        late = NOW + 900
        left = []
        for _ in range(3):
            self.result(self.store.claimExpired(late, 1000, 1e6))
            left.append(self.outside.execute(count).fetchone()[0])
        self.assertGreaterEqual(left[0], BREATH)
        self.assertEqual(left[1:], [BREATH, BREATH])
        later = late + _sqlite_principals.LOOK_AGAIN
        self.store.acknowledge([signedIn(f"{n}").key for n in range(BREATH)])
        self.result(self.store.claimExpired(later, 1000, 1e6))
        self.assertEqual(self.outside.execute(count).fetchone(), (0,))

    def test_everybodysEpochIsKept(self) -> None:
        """
        That of everybody is one row, raised by one statement or two that ask nothing
        about sessions, and no sweep looks at it.
        """
        for most in (2, 1):
            self.result(self.store.insert(signedIn(f"{most}"), NOW))
            said = self.statements(lambda: self.store.endEverybody(SOMEBODY[:8]))
            self.assertEqual(len(said), most, said)
            self.assertNotIn("sessions", " ".join(said))
        self.result(self.store.erasePrincipal(SOMEBODY))
        self.result(self.store.claimExpired(NOW + 1e12, 1000, 1e6))
        found = self.outside.execute("SELECT principal, epoch FROM epochs").fetchall()
        self.assertEqual(found, [(SOMEBODY[:8], 2)])

    def test_nobodysEpochIsKept(self) -> None:
        """
        Ending the sessions of somebody who has none leaves nothing.
        """
        self.result(self.store.endPrincipal(SOMEBODY, NOW))
        count = "SELECT count(*) FROM epochs"
        self.assertEqual(self.outside.execute(count).fetchone(), (0,))
