"""
Tests of two processes that count in one session: no step is lost.

For another store derive from L{CountingTests} and say where it is.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.nursery import makeFolder
from tests.transact.counting import countTogether
from txsessions.core.keyfile import createKeyFile

TIMES = 500
"""How often each process adds one."""


class CountingTests:
    """
    What holds for every store that processes share.
    """

    def address(self):
        """
        Where the store is.  Called once a test.
        """
        raise NotImplementedError

    def setUp(self):
        """
        Make the keys.
        """
        self.folder = makeFolder(self)
        self.keys = str(self.folder / "keys")
        createKeyFile(self.keys)

    def test_exact(self):
        """
        However the two come in each other's way, the sum is exact.
        """
        count, told = countTogether(self, self.address(), self.keys, TIMES)
        self.assertEqual([each["failures"] for each in told], [{}, {}])
        self.assertEqual([each["added"] for each in told], [TIMES, TIMES])
        self.assertEqual(count, 2 * TIMES)
        # They have come in each other's way.
        self.assertGreater(sum(each["calls"] for each in told), count)


class SQLiteTests(CountingTests, SynchronousTestCase):
    """
    A database file.
    """

    def address(self):
        """
        See L{CountingTests.address}.
        """
        return f"sqlite:{self.folder}/sessions.sqlite?durability=normal"


__all__ = ["CountingTests", "SQLiteTests"]
