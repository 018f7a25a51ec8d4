"""
The contract, run against every store that there is.
"""

from __future__ import annotations

import os
import sqlite3

from twisted.trial.unittest import SynchronousTestCase, TestCase

from txsessions.interfaces import ISessionStore
from txsessions.stores import MemoryStore, SQLiteStore
from txsessions.testing import StoreContract


class MemoryStoreContractTests(StoreContract, TestCase):
    """
    L{MemoryStore} keeps the contract.
    """

    def makeStore(self) -> ISessionStore:
        """
        See L{StoreContract.makeStore}.
        """
        return MemoryStore()

    def remembers(self, principal: bytes) -> bool:
        """
        See L{StoreContract.remembers}.
        """
        return self.store._principals.remembers(principal)


class SQLiteStoreContractTests(StoreContract, TestCase):
    """
    L{SQLiteStore} keeps the contract, and two of them on one file do.
    """

    durability = "full"

    def makeStore(self) -> ISessionStore:
        """
        See L{StoreContract.makeStore}.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        return SQLiteStore(self.path, durability=self.durability)

    def anotherStore(self) -> ISessionStore:
        """
        See L{StoreContract.anotherStore}.
        """
        return SQLiteStore(self.path, durability=self.durability)

    def remembers(self, principal: bytes) -> bool:
        """
        See L{StoreContract.remembers}.
        """
        connection = sqlite3.connect(self.path)
        try:
            return any(
                connection.execute(
                    f"SELECT count(*) FROM {table} WHERE principal = ?", (principal,)
                ).fetchone()[0]
                for table in ("sessions", "epochs")
            )
        finally:
            connection.close()


class NormalSQLiteStoreContractTests(SQLiteStoreContractTests):
    """
    The same, where not every commit is synced.
    """

    durability = "normal"


class MisuseTests(SynchronousTestCase):
    """
    The suite says so where it cannot be run.
    """

    def test_needsATestCaseThatWaits(self) -> None:
        """
        Beside a C{SynchronousTestCase} every test would pass unseen.
        """

        class Mixed(StoreContract, SynchronousTestCase):
            """
            Wrongly put together.
            """

        error = self.assertRaises(TypeError, Mixed("test_delete").setUp)
        self.assertIn("twisted.trial.unittest.TestCase", str(error))

    def test_needsAStore(self) -> None:
        """
        The subclass must say which store to test.
        """
        self.assertRaises(NotImplementedError, StoreContract().makeStore)
