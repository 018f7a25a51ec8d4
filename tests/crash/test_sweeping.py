"""
Tests that a sweep of many expired sessions does not hold up the reactor.
"""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.sweeping import measure

COUNTS = {"sqlite": 20_000, "redis": 4_000, "postgresql": 4_000}
"""How many sessions have run out in each kind of store; the long run has a million."""

BUSIEST = 30.0
"""For how long the reactor's thread may compute at a time, in milliseconds.  It has
room for a machine that is slow; what was measured is printed."""


class SweepTests(SynchronousTestCase):
    """
    A sweep of each kind of store.
    """

    def test_reactor(self):
        """
        All are told of once and removed, and between two of them the reactor turns.
        """
        for name, count in COUNTS.items():
            told = measure(self, name, count)
            print(
                f"\n{name}: {count / told['seconds']:.0f} expired sessions swept a "
                f"second, at most {told['busy']} ms computing, {told['late']} ms late",
                file=sys.stderr,
            )
            self.assertEqual((told["count"], told["left"]), (count, 0))
            self.assertGreater(told["beats"], 100)
            self.assertLess(told["busy"], BUSIEST)
