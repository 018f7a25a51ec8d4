"""
Tests that a sweep of many expired sessions does not hold up the reactor.
"""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.nursery import makeFolder
from tests.crash.sweeping import STORES, measure

COUNT = 20_000
"""How many sessions have run out; the long run has a million."""

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
        for name in STORES:
            told = measure(name, COUNT, makeFolder(self))
            print(
                f"\n{name}: {COUNT / told['seconds']:.0f} expired sessions swept a "
                f"second, at most {told['busy']} ms computing, {told['late']} ms late",
                file=sys.stderr,
            )
            self.assertEqual((told["count"], told["left"]), (COUNT, 0))
            self.assertGreater(told["beats"], 100)
            self.assertLess(told["busy"], BUSIEST)
