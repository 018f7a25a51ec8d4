"""
Tests of two processes that count in one session: no step is lost.

For another store derive from L{CountingTests} and name its kind.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.races.engines import start
from tests.transact.counting import countTogether

TIMES = 200
"""How often each process adds one."""

ROUNDS = 20
"""How often that is tried until the two come in each other's way."""


class CountingTests:
    """
    What holds for every store that processes share.

    @cvar kind: Which of L{tests.races.engines.ENGINES}.
    """

    kind = ""

    def test_exact(self):
        """
        However the two come in each other's way, the sum is exact.
        """
        place = start(self, self.kind)
        for _ in range(ROUNDS):
            count, told = countTogether(self, place.address, place.keys, TIMES)
            self.assertEqual([each["failures"] for each in told], [{}, {}])
            self.assertEqual([each["added"] for each in told], [TIMES, TIMES])
            self.assertEqual(count, 2 * TIMES)
            if sum(each["calls"] for each in told) > count:
                return
        self.fail("they have never come in each other's way")


class SQLiteTests(CountingTests, SynchronousTestCase):
    """
    A database file.
    """

    kind = "sqlite-normal"


class RedisTests(CountingTests, SynchronousTestCase):
    """
    Valkey.
    """

    kind = "redis"


class PostgreSQLTests(CountingTests, SynchronousTestCase):
    """
    PostgreSQL.
    """

    kind = "postgresql"


__all__ = ["CountingTests", "PostgreSQLTests", "RedisTests", "SQLiteTests"]
