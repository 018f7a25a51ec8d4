"""
Tests of several processes on one store, a share of C{python -m tests.races}.

For another store derive from L{RaceTests} and name its kind.
"""

from __future__ import annotations

import random
import signal

from twisted.trial.unittest import SynchronousTestCase

from tests.races import running
from tests.races.engines import start, withOption
from tests.races.expiry import runOut
from tests.races.faults import disturb, outage, outagesOf
from tests.races.fleet import Fleet
from tests.races.histories import Epochs
from tests.races.meetings import CROWDS, MEETINGS, Judge


class RaceTests:
    """
    What holds for every store that processes share.

    @ivar kind: Which of L{tests.races.engines.ENGINES}.
    @ivar outages: Which outages are tried here.
    """

    kind = ""
    outages: tuple[str, ...] = ()

    def setUp(self):
        """
        Start the store.
        """
        self.seed = random.randrange(1 << 32)
        self.chance = random.Random(self.seed)
        self.place = start(self, self.kind)

    def fleet(self, size=4):
        """
        Start servers.
        """
        return Fleet(self, self.place, size)

    def assertClean(self, faults):
        """
        Nothing was found.
        """
        self.assertEqual(faults, [], f"chance began with {self.seed}")

    def test_stepped(self):
        """
        In orders of steps that chance picks, every two and every three requests end
        as they may.
        """
        fleet, times = self.fleet(), len(MEETINGS + CROWDS)
        tally = running.stepSome(fleet, self.chance, times)
        self.assertClean(tally.faults + fleet.noises())

    def test_killed(self):
        """
        The others go on when one is killed, and what was acknowledged is there.
        """
        found = disturb(self, self.place, self.chance, 2, signal.SIGKILL)
        self.assertClean(found.faults)

    def test_outages(self):
        """
        Where the store cannot be reached the answer is 503, in time; nobody gets in
        or out by it, all is well again without a restart, and a logout that was
        asked for meanwhile is carried out.
        """
        tried = set()
        for name, *what in outagesOf(self, self.place):
            if name in self.outages:
                tried.add(name)
                found = outage(self, self.place, *what)
                self.assertClean(found.faults)
                self.assertGreater(found.unavailable, 0)
        self.assertEqual(tried, set(self.outages))

    def test_histories(self):
        """
        What many saw of many sessions, with servers killed in between, can have been
        so.
        """
        fleet = self.fleet()
        epochs = Epochs(fleet, self.chance)
        for number in range(3):
            epochs.run(100, kills=number % 2 == 0)
        self.assertClean(epochs.history.faults + fleet.noises())


class SQLiteTests(RaceTests, SynchronousTestCase):
    """
    A database file.
    """

    kind = "sqlite"
    outages = ("another program holds the lock",)

    def test_allOrders(self):
        """
        In all orders of its steps a logout is final for one who reads meanwhile, and
        of two that give a new id one does.
        """
        fleet = self.fleet()
        some = [m for m in MEETINGS if m.name in ("logout | look", "rotate | rotate")]
        tally = running.stepAll(fleet, self.chance, some, warmths=(True,))
        self.assertEqual(tally.whole, 2)
        self.assertClean(tally.faults)

    def test_free(self):
        """
        So they do where they meet by chance.
        """
        fleet, times = self.fleet(), len(MEETINGS + CROWDS)
        tally = running.freeSome(fleet, self.chance, times)
        self.assertClean(tally.faults + fleet.noises())

    def test_late(self):
        """
        A store that is late before requests meet is not taken for a fault of theirs.
        """
        address = withOption(self.place.address, "deadline=0.3")
        fleet = Fleet(self, self.place, 3, address=address)
        begin, end = self.place.outages["another program holds the lock"]
        ends, wasLate = [end], Judge._wasLate

        def notice(judge):
            if ends:
                ends.pop()()
            wasLate(judge)

        self.patch(Judge, "_wasLate", notice)
        judge = Judge(fleet=fleet, meeting=MEETINGS[0])
        begin()
        judge.prepare(fleet.members[0], isWarm=True)
        self.assertEqual(ends, [])
        self.assertClean(judge.finish())
        self.assertEqual(fleet.living(), 0)

    def test_frozen(self):
        """
        The others go on when one is frozen, or say that they cannot; what it still
        wanted to do is not done over what they did.
        """
        found = disturb(self, self.place, self.chance, 2, signal.SIGSTOP)
        self.assertClean(found.faults)

    def test_expiry(self):
        """
        A session ends when it has not been used for long enough, not before, and
        for good, whoever sweeps.
        """
        ends = runOut(self.fleet(3), self.chance, 2)
        self.assertClean(ends.faults)
        self.assertGreater(ends.refused, 0)


class RedisTests(RaceTests, SynchronousTestCase):
    """
    Valkey.
    """

    kind = "redis"
    outages = ("the engine is frozen", "the wire: deaf")


class PostgreSQLTests(RaceTests, SynchronousTestCase):
    """
    PostgreSQL.
    """

    kind = "postgresql"
    outages = ("the engine is killed", "the wire: bite")


__all__ = ["PostgreSQLTests", "RaceTests", "RedisTests", "SQLiteTests"]
