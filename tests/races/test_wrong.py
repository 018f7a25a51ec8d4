"""
Tests that these tests find what is wrong: one planted fault for each promise.
"""

from __future__ import annotations

import random
import signal

from twisted.trial.unittest import SynchronousTestCase

from tests.races import histories, running
from tests.races.engines import start
from tests.races.expiry import runOut
from tests.races.faults import disturb, outage, outagesOf
from tests.races.fleet import Fleet
from tests.races.histories import Epochs
from tests.races.meetings import MEETINGS


class FaultTests(SynchronousTestCase):
    """
    Faults, each found by what it should be found by.
    """

    def step(self, fault, meeting, kind="sqlite-normal", times=60):
        """
        Let two requests meet in orders of chance until something is found.

        @return: What was found first.
        """
        fleet = Fleet(self, start(self, kind), 4, fault=fault)
        meetings = [each for each in MEETINGS if each.name == meeting]
        for _ in range(times):
            tally = running.stepSome(fleet, random, 1, meetings)
            if tally.faults:
                return " ".join(tally.faults)
        raise AssertionError(f"{fault} was not found")

    def test_lostUpdate(self):
        """
        P4: a store that writes over what others have written.
        """
        found = self.step("blind", "bump?key=a | bump?key=b")
        self.assertIn("missing", found)
        found = self.step("blind", "transact?key=x | transact?key=x")
        self.assertIn("2 transactions made 1", found)
        found = self.step("blind", "cart?put=figs | cart?drop=plums")
        self.assertIn("missing", found)

    def test_lateWrite(self):
        """
        P2: a late write that brings a session back.
        """
        found = self.step("reviving", "logout | bump?key=a")
        self.assertIn("1 sessions are in the store, 0 are known", found)

    def test_deadEnd(self):
        """
        P2: a logout that ends nothing, since another process had rotated the id.
        """
        found = self.step("dead end", "logout | rotate")
        self.assertIn("alive after a logout", found)
        self.assertIn("accepts a dead id", found)

    def test_deadEndOfAHistory(self):
        """
        The same where many do so, by chance.
        """
        self.patch(histories, "SESSIONS", 6)
        self.patch(histories, "KINDS", ("rotate",) * 6 + ("expire", "read"))
        fleet = Fleet(self, start(self, "sqlite-normal"), 4, fault="dead end")
        epochs = Epochs(fleet, random.Random(1))
        for _ in range(100):
            epochs.run(20, kills=False)
            if epochs.history.faults:
                break
        faults = epochs.history.faults
        self.assertTrue(any("cannot have been" in each for each in faults))

    def test_lateTouch(self):
        """
        P2: a late touch that does.
        """
        found = self.step("touching", "logout | touch")
        self.assertIn("1 sessions are in the store, 0 are known", found)

    def test_cache(self):
        """
        P2, P3: a process that does not notice what others do.
        """
        found = self.step("cached", "logout | look")
        self.assertIn("accepts a dead id", found)
        found = self.step("cached", "login | look")
        self.assertIn("accepts a dead id", found)

    def test_twoIds(self):
        """
        P3: a rotation that leaves the old id alive.
        """
        found = self.step("two ids", "rotate | look")
        self.assertIn("accepts a dead id", found)
        self.assertIn("2 sessions are in the store", found)

    def test_orphan(self):
        """
        P3: a rotation that came too late and leaves a record behind.
        """
        found = self.step("orphan", "rotate | rotate")
        self.assertIn("2 sessions are in the store", found)

    def test_cookie(self):
        """
        P6: a cookie where nobody asked for one.
        """
        found = self.step("cookies", "logout | look")
        self.assertIn("{'gone': True}, b''", found)

    def test_doubling(self):
        """
        Records that nobody owns.
        """
        found = self.step("doubling", "logout | look")
        self.assertIn("1 sessions are in the store, 0 are known", found)

    def test_lying(self):
        """
        P5: a store that acknowledges what it has yet to write.
        """
        place = start(self, "sqlite-normal")
        faults = disturb(self, place, random, 3, signal.SIGKILL, fault="lying").faults
        self.assertTrue(faults)

    def outage(self, kind, outageName, fault):
        """
        Have an outage.

        @return: What was found.
        """
        place = start(self, kind)
        for name, *what in outagesOf(self, place):
            if name == outageName:
                return outage(self, place, *what, fault=fault).faults
        raise AssertionError(f"there is no {outageName}")

    def test_forgetful(self):
        """
        P2: a process that forgets a logout that the store could not be told of.
        """
        found = self.outage("sqlite", "somebody holds the gate", "forgetful")
        self.assertIn("a logout is forgotten where it was asked for", found)

    def test_patient(self):
        """
        P6: an answer that comes when it likes.
        """
        found = self.outage("sqlite", "somebody holds the gate", "patient")
        self.assertTrue(any("logout was answered after" in each for each in found))

    def test_empty(self):
        """
        P6: an outage that looks like an unknown id.
        """
        found = self.outage("redis", "the engine is killed", "empty")
        self.assertIn("look logged somebody out", found)

    def test_eager(self):
        """
        P9: sweeping away what is in use.
        """
        fleet = Fleet(self, start(self, "sqlite-normal"), 3, fault="eager")
        faults = runOut(fleet, random, 2).faults
        self.assertTrue(any("after its use" in each for each in faults), faults)

    def test_lagging(self):
        """
        P4, P5: an answer from the past.
        """
        fleet = Fleet(self, start(self, "sqlite-normal"), 3, fault="lagging")
        epochs = Epochs(fleet, random.Random(1))
        epochs.run(60, kills=False)
        faults = epochs.history.faults
        self.assertTrue(any("cannot have been" in each for each in faults))
