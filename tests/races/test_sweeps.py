"""
Tests of a sweep that meets a request as a session runs out, a share of C{python -m
tests.races.sweeps}.
"""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from tests.races import sweeps
from tests.races.engines import start
from tests.races.fleet import Fleet

TOUCHED_BETWEEN = (1, 1, 2, 0, 0, 1)
"""Who goes on: the request, up to its touch; the time; the sweep, which claims; the
touch; and then the sweep, to its end."""

WRITTEN_AFTER = (1, 1, 2, 0, 0, 0, 0, 0)
"""The same, but the request goes on when the sweep is over."""


class SweepTests(SynchronousTestCase):
    """
    A sweep, a request and the time.
    """

    def run_(self, kind, times):
        """
        Let them meet in orders of chance.
        """
        seed = random.randrange(1 << 32)
        fleet = Fleet(self, start(self, kind), 3, leaps=True)
        tally = sweeps.sweepSome(fleet, random.Random(seed), times)
        faults = tally.faults + fleet.noises()
        self.assertEqual(faults, [], f"chance began with {seed}")

    def fleet(self, **options):
        """
        Start servers.
        """
        return Fleet(self, start(self, "sqlite-normal"), 3, leaps=True, **options)

    def meet(self, fleet, path, order):
        """
        Let them meet once.

        @param order: Who goes on, by numbers; then the first that can.
        @return: The judge.
        """
        steps = iter(order)
        return sweeps.runOne(fleet, path, lambda _: next(steps, 0), isWarm=True)

    def test_sqlite(self):
        """
        Who uses the session in time keeps it, whatever was claimed; what is swept or
        ended stays so; and one end is told: on SQLite.
        """
        self.run_("sqlite-normal", 2 * len(sweeps.REQUESTS))

    def test_redis(self):
        """
        On Valkey.
        """
        self.run_("redis", len(sweeps.REQUESTS))

    def test_postgresql(self):
        """
        On PostgreSQL.
        """
        self.run_("postgresql", len(sweeps.REQUESTS))

    def test_late(self):
        """
        A touch that had set out before the deadline, and comes to the store between
        the claim and the removal, counts; the end that was told by then was none.  A
        write that comes when the record was swept does not bring it back.
        """
        fleet = self.fleet()
        judge = self.meet(fleet, "look", TOUCHED_BETWEEN)
        self.assertEqual(judge.faults, [])
        self.assertEqual((judge.way, judge.isEarly), (sweeps.LIVES, True))
        judge = self.meet(fleet, "bump?key=a", WRITTEN_AFTER)
        self.assertEqual(judge.faults, [])
        self.assertEqual((judge.way, judge.isEarly), (sweeps.ENDED, False))

    def test_sweptThoughTouched(self):
        """
        A store that removes what was claimed, though it was touched since, is found
        out.
        """
        judge = self.meet(self.fleet(fault="eager"), "look", TOUCHED_BETWEEN)
        self.assertIn("it was used in time, and is gone", " ".join(judge.faults))

    def test_comesBack(self):
        """
        So is one that brings back what was swept.
        """
        judge = self.meet(self.fleet(fault="reviving"), "bump?key=a", WRITTEN_AFTER)
        self.assertIn("it ended, and is there", " ".join(judge.faults))


__all__ = ["SweepTests"]
