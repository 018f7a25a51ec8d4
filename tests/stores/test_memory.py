"""
What the memory store does beyond the contract.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.stores.stepping import NOW, record
from txsessions.stores import memory
from txsessions.stores.memory import MemoryStore


class MemoryStoreTests(SynchronousTestCase):
    """
    L{MemoryStore}.
    """

    def setUp(self) -> None:
        """
        Open a store.
        """
        self.store = MemoryStore()
        self.successResultOf(self.store.open())

    def insert(self, name: str, **changes) -> None:
        """
        Keep a record.
        """
        self.successResultOf(self.store.insert(record(name, **changes), NOW))

    def test_staysWhenClosed(self) -> None:
        """
        A site may be stopped and started again in one process.
        """
        self.insert("one")
        self.successResultOf(self.store.close())
        self.successResultOf(self.store.open())
        found = self.successResultOf(self.store.load(record("one").key, NOW))
        self.assertEqual(found, record("one"))

    def test_changesNever(self) -> None:
        """
        Nobody else can change anything.
        """
        before = self.store.changes()
        self.insert("one")
        self.assertEqual(self.store.changes(), before)

    def test_theDeadLeaveNothing(self) -> None:
        """
        The sweeper's appointments with deleted sessions do not pile up.
        """
        for turn in range(5000):
            self.insert(str(turn), expiresAt=NOW + 1e6)
            self.successResultOf(self.store.delete(record(str(turn)).key))
        self.assertLess(len(self.store._due), 2 * memory.SLICE)
        self.assertEqual(len(self.store._slots), 0)

    def test_touchesLeaveNothing(self) -> None:
        """
        Nor do those with sessions in use.
        """
        self.insert("one")
        for turn in range(5000):
            at = NOW + turn
            touched = self.store.touch(record("one").key, at, at + 900, at)
            self.successResultOf(touched)
        self.assertEqual(len(self.store._due), 1)

    def test_aSweepIsBounded(self) -> None:
        """
        One claim does not pass over all the sessions in use at once, and the
        next goes on where it ended.
        """
        count = memory.SLICE + 100
        for n in range(count):
            self.insert(str(n), expiresAt=NOW + n / count)
            at = NOW + 0.5
            self.store.touch(record(str(n)).key, at, NOW + 900, NOW - 1)
        self.insert("expired", expiresAt=NOW + 2)
        claims = [
            self.successResultOf(self.store.claimExpired(NOW + 10, 10, 60.0))
            for _ in range(2)
        ]
        self.assertEqual(claims, [[], [record("expired", expiresAt=NOW + 2)]])

    def test_anIndexThatDoesNotFit(self) -> None:
        """
        Entries without a record and records without an entry are told.
        """
        for n in range(3):
            signed = {"principal": b"p" * 32, "handle": b"%d" % n * 16}
            self.insert(str(n), **signed)
        verify = self.store.verifyIndex
        self.assertEqual(self.successResultOf(verify()), (0, None))
        del self.store._slots[record("0").key]
        self.assertEqual(self.successResultOf(verify()), (1, None))
        del self.store._principals._keys[b"p" * 32][b"1" * 16]
        self.assertEqual(self.successResultOf(verify()), (2, None))

    def test_theGoneLeaveNoEpoch(self) -> None:
        """
        Nothing is left of a principal whose sessions are all over.
        """
        for n in range(3):
            signed = {"principal": b"p" * 32, "handle": b"%d" % n * 16}
            self.insert(str(n), **signed)
        self.successResultOf(self.store.endPrincipal(b"p" * 32, NOW))
        for n in range(3):
            self.assertTrue(self.store._principals.remembers(b"p" * 32))
            self.successResultOf(self.store.delete(record(str(n)).key))
        self.assertFalse(self.store._principals.remembers(b"p" * 32))

    def test_aLeaseOfNothing(self) -> None:
        """
        Even then a record is handed out once a claim.
        """
        self.insert("one", expiresAt=NOW)
        claimed = self.successResultOf(self.store.claimExpired(NOW, 10, 0.0))
        self.assertEqual(len(claimed), 1)
