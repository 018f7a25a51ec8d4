"""
Tests of people who sign in and are put out in several processes on one store, a share
of C{python -m tests.races}; and that what is wrong there is found.
"""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from tests.races import running
from tests.races.accounts import closeAccounts
from tests.races.engines import start
from tests.races.fleet import Fleet
from tests.races.signing import SIGN_IN_CROWDS, SIGN_INS


class SignInRaceTests:
    """
    What holds for every store that processes share.

    @ivar kind: Which of L{tests.races.engines.ENGINES}.
    @ivar size: How many sessions an account has.
    """

    kind = ""
    size = 60

    def setUp(self):
        """
        Start the servers.
        """
        self.seed = random.randrange(1 << 32)
        self.chance = random.Random(self.seed)
        self.fleet = Fleet(self, start(self, self.kind), 4)

    def assertClean(self, faults):
        """
        Nothing was found.
        """
        faults += self.fleet.noises()
        self.assertEqual(faults, [], f"chance began with {self.seed}")

    def test_stepped(self):
        """
        In orders of steps that chance picks, sign-ins, second factors, sign-outs and
        ends of a principal's sessions end as they may: the store does with each
        session what the interface says, and all processes serve those that are
        alive by that, and no others.
        """
        meetings = list(SIGN_INS + SIGN_IN_CROWDS)
        self.chance.shuffle(meetings)
        tally = running.stepSome(self.fleet, self.chance, 40, meetings)
        self.assertClean(tally.faults)

    def test_accounts(self):
        """
        An account with many sessions is closed in one process while somebody signs in
        in the three others, and so are all sessions of one but one: who was there
        before is out everywhere and was counted, who comes afterwards is in, and of
        who comes meanwhile all processes say the same.
        """
        found = closeAccounts(self.fleet, 2, self.size)
        self.assertClean(found.faults)
        self.assertEqual(found.closed, 2)


class SQLiteTests(SignInRaceTests, SynchronousTestCase):
    """
    A database file.
    """

    kind = "sqlite-normal"
    size = 200

    def test_free(self):
        """
        So they do where they meet by chance.
        """
        meetings = list(SIGN_INS + SIGN_IN_CROWDS)
        self.chance.shuffle(meetings)
        tally = running.freeSome(self.fleet, self.chance, 30, meetings)
        self.assertClean(tally.faults)


class RedisTests(SignInRaceTests, SynchronousTestCase):
    """
    Valkey.
    """

    kind = "redis"


class PostgreSQLTests(SignInRaceTests, SynchronousTestCase):
    """
    PostgreSQL.
    """

    kind = "postgresql"


class FaultTests(SynchronousTestCase):
    """
    Faults, each found by what it should be found by.
    """

    def step(self, fault, meeting, times=60):
        """
        Let two requests meet in orders of chance until something is found.

        @return: What was found first.
        """
        fleet = Fleet(self, start(self, "sqlite-normal"), 4, fault=fault)
        meetings = [each for each in SIGN_INS if each.name == meeting]
        self.assertEqual(len(meetings), 1)
        for _ in range(times):
            tally = running.stepSome(fleet, random, 1, meetings)
            if tally.faults:
                return " ".join(tally.faults)
        raise AssertionError(f"{fault} was not found")

    def test_oldIdLives(self):
        """
        A sign-in that leaves the old id alive.
        """
        found = self.step("two ids", "mine: signin?who={me} | mine: look")
        self.assertIn("accepts a dead id after mine: signin", found)

    def test_lateWrite(self):
        """
        A late write that brings back what was ended with all of its principal's.
        """
        found = self.step(
            "forgiving", "admin: endprincipal?who={me} | mine: bump?key=a"
        )
        self.assertIn("an id is alive that has ended", found)

    def test_liveCopy(self):
        """
        An end that misses what other processes have in memory.
        """
        found = self.step("cached", "admin: endprincipal?who={me} | mine: look")
        self.assertIn("accepts a dead id after admin: endprincipal", found)
        found = self.step("cached", "mine: endothers | other: look")
        self.assertIn("accepts a dead id after mine: endothers", found)

    def test_liveCopyJustMade(self):
        """
        One that misses only what was made just now.
        """
        found = self.step(
            "late", "admin: endprincipal?who={me} | nobody: enter?who={me}"
        )
        self.assertIn("the processes do not see the same", found)

    def test_firstPage(self):
        """
        An end of all that ends a hundred.
        """
        place = start(self, "sqlite-normal")
        fleet = Fleet(self, place, 4, fault="first page")
        found = closeAccounts(fleet, 1, 120).faults
        self.assertTrue(any("of 120 are served" in each for each in found), found)

    def test_idle(self):
        """
        An end of one that does nothing.
        """
        found = self.step(
            "idle", "admin: endsession?who={me}&handle={other} | other: look"
        )
        self.assertIn("accepts a dead id after admin: endsession", found)

    def test_secondFactorTwice(self):
        """
        A second factor that signs in anew where another was faster.
        """
        again = "mine: signin?who={me}&level=2"
        found = self.step("twice", f"{again} | {again}")
        self.assertIn("mine is there 2 times", found)


__all__ = ["SignInRaceTests"]
