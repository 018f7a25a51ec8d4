"""
Tests that a request beside a login does not take its cookie away.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.racing import ORDERS, race

RACES = int(os.environ.get("TXSESSIONS_RACES", "200"))
"""How many there are."""

SHARE = max(40, RACES // 5)
"""How many there are on each server; all combinations come up in 40."""


class RaceTests(SynchronousTestCase):
    """
    Two requests of one browser, in two processes.
    """

    def test_login(self):
        """
        Whichever answer comes last, the browser has the new id, and that is the
        only good one.
        """
        self.check("sqlite", RACES)

    def test_loginOnServers(self):
        """
        So it is where the sessions are on a server.
        """
        for kind in ("redis", "postgresql"):
            self.check(kind, SHARE)

    def check(self, kind, times):
        """
        Run races.
        """
        races = race(self, kind, times)
        self.assertEqual(races.faults, [])
        # All orders did come about.
        self.assertEqual(races.overlaps["after"], 0)
        for order in set(ORDERS) - {"after"}:
            self.assertGreater(races.overlaps[order], 0, order)

    def test_wouldBeSeen(self):
        """
        A server that gives a cookie to whoever comes with an id that is rotated, or
        whose session was ended, is found out.
        """
        constants = {
            "txsessions.live.rotating.ROTATION_MARKER": 1e-6,
            "txsessions.live.rotating.END_MARKER": 0.0,
        }
        races = race(self, "sqlite", 40, constants=constants)
        self.assertIn("the jar holds another id", "".join(races.faults))
