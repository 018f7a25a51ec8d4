"""
Tests of two processes that serve one database.
"""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.kinds import KINDS
from tests.crash.nursery import Database, makeFolder, startServer
from tests.crash.rounds import NOISES
from tests.crash.visiting import Connection

LOGOUTS = 200
"""How many logouts are looked at from the other process."""


def twoServers(case, kind):
    """
    Start two servers on a store of a kind.

    @return: Where they listen.
    """
    store = KINDS[kind](case)
    return [startServer(case, store.folder, **store.options).port for _ in range(2)]


def stillServed(one, two, times, step=lambda: None):
    """
    Sign out in one process, and ask the other at once, which has just served the
    session.

    @param one: A connection to a server.
    @param two: One to another server on the same database.
    @param step: Called after each.
    @return: How often it was still served.
    """
    served = 0
    for number in range(times):
        here, there = (one, two) if number % 2 else (two, one)
        uid = here.ask("login?name=me").uid
        if there.ask("count", uid).told["user"] != "me":
            raise AssertionError("the other process does not know the session")
        if here.ask("logout", uid).status != 200:
            raise AssertionError("a logout failed")
        answer = there.ask("look", uid)
        served += answer.told["user"] != "" or not answer.told["isNew"]
        step()
    return served


class TwoCase(SynchronousTestCase):
    """
    Two servers on one database.

    @ivar one: A connection to the first.
    @ivar two: A connection to the second.
    """

    idle = 900.0

    def setUp(self):
        """
        Start them.
        """
        self.folder = makeFolder(self)
        self.servers = [
            startServer(self, self.folder, idle=self.idle) for _ in range(2)
        ]
        self.one, self.two = (self.connect(number) for number in range(2))
        self.database = Database(self.folder)
        self.addCleanup(self.assertNotNoisy)

    def connect(self, number):
        """
        Make one more connection to a server.
        """
        connection = Connection(self.servers[number].port)
        self.addCleanup(connection.close)
        return connection

    def assertNotNoisy(self):
        """
        Nothing unexpected was logged.
        """
        said = self.servers[0].said
        for noise in NOISES:
            where = said.find(noise)
            self.assertEqual(where, -1, said[max(0, where - 500) : where + 3000])

    def together(self, *calls):
        """
        Make calls at the same time, each in a thread of its own.

        @return: What they returned.
        """
        barrier = threading.Barrier(len(calls))

        def begin(call):
            barrier.wait()
            return call()

        with ThreadPoolExecutor(len(calls)) as threads:
            running = [threads.submit(begin, call) for call in calls]
        return [each.result() for each in running]

    def conflicts(self):
        """
        How many conflicts the two have told of.
        """
        return sum(
            connection.ask("events").told.get("conflict", 0)
            for connection in (self.one, self.two)
        )


class ChangeTests(TwoCase):
    """
    Two processes that change one session.
    """

    def test_differentKeys(self):
        """
        What each of them changed is there, for all that each of them could think
        itself alone.
        """
        uid = self.one.ask("count").uid

        def add(connection, name, times):
            for _ in range(times):
                answer = connection.ask(f"add?name={name}", uid)
                self.assertEqual(answer.status, 200)

        names = {"a": 0, "b": 1, "c": 0, "d": 1}
        self.together(
            *(partial(add, self.connect(on), name, 50) for name, on in names.items())
        )
        for connection in (self.one, self.two):
            told = connection.ask("look", uid).told
            self.assertEqual(told["named"], dict.fromkeys(names, 50))
        self.assertEqual(self.conflicts(), 0)

    def test_sums(self):
        """
        Where both change one number at the same time, no change is lost without
        notice: what is missing in the sum was told as a conflict.
        """
        uid = self.one.ask("count").uid
        count, lost, rounds = 1, 0, 150
        for _ in range(rounds):
            answers = self.together(
                partial(self.one.ask, "count", uid), partial(self.two.ask, "count", uid)
            )
            self.assertEqual([answer.status for answer in answers], [200, 200])
            told = [self.one.ask("look", uid).told, self.two.ask("look", uid).told]
            self.assertEqual(told[0]["count"], told[1]["count"])
            self.assertIn(told[0]["count"], (count + 1, count + 2))
            lost += count + 2 - told[0]["count"]
            count = told[0]["count"]
        # The counter stands in two places, so that each loss is told twice.
        self.assertEqual(self.conflicts(), 2 * lost)

    def test_crowd(self):
        """
        Many that write one session through both processes all get an answer, and
        the last number told is there.
        """
        uid = self.one.ask("count").uid

        def count(connection):
            return [connection.ask("count", uid) for _ in range(20)]

        answered = self.together(
            *(partial(count, self.connect(number % 2)) for number in range(8))
        )
        statuses = {answer.status for answers in answered for answer in answers}
        self.assertEqual(statuses, {200})
        told = self.one.ask("look", uid).told
        self.assertEqual(told["count"], told["twin"])
        self.assertEqual(told, self.two.ask("look", uid).told)

    def test_pipelined(self):
        """
        Requests that were sent in one go over one connection are answered in their
        order, and each sees what the one before it did.  Behind a logout they get
        another session, and no cookie: the browser may have a better one.
        """
        uid = self.one.ask("count").uid
        expected = 1
        for connection in (self.one, self.two, self.one):
            connection.send(*((f"count?tag={n}", uid) for n in range(20)))
            for number in range(20):
                expected += 1
                told = connection.receive().told
                self.assertEqual((told["tag"], told["count"]), (str(number), expected))
        self.two.send(("count", uid), ("logout", uid), ("look", uid), ("count", uid))
        answers = [self.two.receive() for _ in range(4)]
        self.assertEqual([a.status for a in answers], [200] * 4)
        self.assertEqual(answers[0].told["count"], expected + 1)
        self.assertEqual(answers[2].told["isNew"], True)
        self.assertEqual(answers[3].told["count"], 1)
        self.assertIsNone(answers[3].uid)


class EndTests(TwoCase):
    """
    Logouts and new ids in one process, as the other sees them.
    """

    def test_logout(self):
        """
        Once a logout was answered, the other process serves nobody as signed in
        with that id, though it held the session a moment ago.
        """
        self.assertEqual(stillServed(self.one, self.two, LOGOUTS), 0)
        self.assertEqual(self.database.living(), 0)

    def test_logoutOfTheBusy(self):
        """
        So it is where the other process is writing the session all the time, and
        nothing that was under way brings it back.
        """
        chance = random.Random(5)
        writers = [self.connect(1) for _ in range(4)]
        for _ in range(LOGOUTS // 4):
            uid = self.one.ask("login?name=me").uid
            # So many requests were sent, and most are not answered yet.
            for connection in writers:
                connection.send(*[("count", uid)] * chance.randrange(1, 6))
            self.assertEqual(self.one.ask("logout", uid).status, 200)
            answer = self.two.ask("look", uid)
            self.assertEqual((answer.told["user"], answer.told["count"]), ("", 0))
            for connection in writers:
                connection.send(("look?tag=last", uid))
                while (answer := connection.receive()).told.get("tag") != "last":
                    self.assertEqual(answer.status, 200)
                self.assertTrue(answer.told["isNew"])
            self.assertTrue(self.one.ask("look", uid).told["isNew"])

    def test_rotations(self):
        """
        Of two processes that give a new id at once one does; the other's client is
        left with none, and no record is left over.
        """
        for number in range(60):
            uid = self.one.ask("count").uid
            answers = self.together(
                partial(self.one.ask, "rotate", uid),
                partial(self.two.ask, "rotate", uid),
            )
            self.assertEqual([a.status for a in answers], [200, 200])
            fresh = [a.uid for a in answers if a.uid]
            self.assertEqual(len(fresh), 1, answers)
            self.assertEqual(self.database.living(), number + 1)
            for connection in (self.one, self.two):
                self.assertTrue(connection.ask("look", uid).told["isNew"])
                self.assertEqual(connection.ask("look", fresh[0]).told["count"], 1)

    def test_rotationAndReading(self):
        """
        Once a new id was given out, the other process refuses the old one, though
        it held the session a moment ago.
        """
        uid = self.one.ask("count").uid
        for number in range(100):
            here, there = (self.one, self.two) if number % 2 else (self.two, self.one)
            there.ask("look", uid)
            old, uid = uid, here.ask("rotate", uid).uid
            self.assertTrue(there.ask("look", old).told["isNew"])
            self.assertEqual(there.ask("look", uid).told["count"], 1)
        self.assertEqual(self.database.living(), 1)


class ServerTests(SynchronousTestCase):
    """
    The same where the sessions are on a server.
    """

    def test_logout(self):
        """
        Once a logout was answered, the other process serves nobody as signed in
        with that id.
        """
        for kind in ("redis", "postgresql"):
            one, two = (Connection(port) for port in twoServers(self, kind))
            self.assertEqual(stillServed(one, two, LOGOUTS // 4), 0)
            one.close()
            two.close()


class TouchTests(TwoCase):
    """
    The time of the last use.
    """

    idle = 1.5  # A touch is written after a tenth of a second.

    def lastUse(self):
        """
        The only session's time of last use, and its deadline.
        """
        (found,) = self.database.ask("SELECT touched_at, expires_at FROM sessions")
        return found

    def test_neverBack(self):
        """
        A slow request that took the session before fast ones used it elsewhere does
        not set the time of the last use back, whether it changes something or not.
        """
        uid = self.one.ask("count").uid
        for count, fast in (("last", "look"), ("no", "look"), ("last", "count")):
            before = self.lastUse()
            slow = self.connect(0)
            slow.send((f"slow?seconds=0.4&count={count}&tag=slow", uid))
            while not (told := self.pollOnce(slow)):
                self.two.ask(fast, uid)
                now = self.lastUse()
                self.assertGreaterEqual(now, before)
                before = now
            self.assertEqual(told["tag"], "slow")
            self.assertFalse(told["isNew"])
            for _ in range(3):
                now = self.lastUse()
                self.assertGreaterEqual(now, before)
                before = now
                self.one.ask("look", uid)
        self.assertGreater(self.lastUse()[0], 0)

    def pollOnce(self, connection):
        """
        Wait a little for an answer.

        @return: What was told, or L{None}.
        """
        return connection.receive().told if connection.hasAnswer(0.02) else None
