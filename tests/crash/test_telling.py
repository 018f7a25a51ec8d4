"""
Tests that the end of a session is told once, and that its callbacks are called where
they were registered, over three processes on one store.
"""

from __future__ import annotations

import signal
import time
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.kinds import KINDS
from tests.crash.nursery import PATIENCE, startServer
from tests.crash.visiting import Connection
from txsessions.core.lifetime import touchInterval

SERVERS = 3
"""How many processes there are."""

SESSIONS = 150
"""How many sessions run out."""

IDLE = 1.5
"""Their idle time, in seconds."""

LEASE = 1.0
"""How long a claim holds, in seconds."""

SLACK = 5.0
"""By how much a machine that has other things to do may be late, in seconds."""

SWEEPER, RESTING = "txsessions.live.sweeper", "txsessions.live.resting"


class TellingCase(SynchronousTestCase):
    """
    Three servers that sweep all the time.
    """

    def serve(self, kind, stores=("right",) * SERVERS, idle=IDLE, **more):
        """
        Start them.

        @param stores: The names of their stores.
        """
        self.prepare(kind, idle=idle, **more)
        for store in stores:
            self.start(store)

    def prepare(self, kind, idle=IDLE, linger=60.0, interval=0.05):
        """
        Say how servers are to be started.

        @param linger: How long sessions stay in memory.
        @param interval: How often is swept.
        """
        self.kind = KINDS[kind](self)
        constants = {
            f"{SWEEPER}.INTERVAL": interval,
            f"{SWEEPER}.LEASE": LEASE,
            f"{RESTING}.LINGER": linger,
        }
        self.options = {"idle": idle, "constants": constants, **self.kind.options}
        self.servers, self.connections = [], []

    def start(self, store="right"):
        """
        Start one.
        """
        server = startServer(self, self.kind.folder, store=store, **self.options)
        self.servers.append(server)
        self.connections.append(Connection(server.port))
        self.addCleanup(self.connections[-1].close)

    def ask(self, number, path, uid=None):
        """
        Ask a server.
        """
        connections = self.connections
        answer = connections[number % len(connections)].ask(path, uid)
        self.assertEqual(answer.status, 200, answer.told)
        return answer

    def heard(self, name, numbers=range(SERVERS)):
        """
        What the servers have heard.
        """
        return [self.ask(number, "heard").told[name] for number in numbers]

    def told(self, numbers=range(SERVERS)):
        """
        How often the running out of each session was told.
        """
        return Counter(
            tag
            for events in self.heard("events", numbers)
            for kind, _, tag, _ in events
            if kind == "expired"
        )

    def until(self, condition, patience=PATIENCE):
        """
        Wait for what the servers will bring about.
        """
        end = time.monotonic() + patience
        while not condition():
            self.assertLess(time.monotonic(), end, "waited in vain")
            time.sleep(0.02)

    def register(self, number, uid):
        """
        Register a callback in one process.

        @return: The session's tag.
        """
        return self.ask(number, "register", uid).told["tag"]


class OnceTests(TellingCase):
    """
    Many sessions run out at about the same time.
    """

    def runOut(self, kind, **options):
        """
        Make sessions that several processes have in memory, each with a callback in
        all of them, and wait until each was told of and some time longer.
        """
        self.serve(kind, **options)
        tags = set()
        for number in range(SESSIONS):
            uid = self.ask(number, "count").uid
            tags |= {self.register(each, uid) for each in range(SERVERS)}
        self.assertEqual(len(tags), SESSIONS)
        self.until(lambda: set(self.told()) == tags)
        self.until(lambda: all(len(c) >= SESSIONS for c in self.heard("calls")))
        time.sleep(LEASE + 0.2)
        self.assertEqual(self.told(), Counter(tags))
        for calls in self.heard("calls"):
            self.assertEqual(Counter(tag for tag, _ in calls), Counter(tags))
        self.assertNotIn("Traceback", self.servers[0].said)

    def test_sqlite(self):
        """
        Each is told once, in all processes together, and each callback is called
        once, where it was registered: on SQLite, sessions in memory.
        """
        self.runOut("sqlite")

    def test_sqliteDeparted(self):
        """
        The same with sessions that have left memory.
        """
        self.runOut("sqlite", linger=0.1)


class DeathTests(TellingCase):
    """
    A process that dies when it has claimed and told, and has not acknowledged.
    """

    def dies(self, kind):
        """
        Have it die; others tell after the lease, once.
        """
        self.prepare(kind, linger=0.1)
        self.start("dyingSweeper")
        before, tags = time.time(), []
        for _ in range(10):
            uid = self.ask(0, "count").uid
            tags.append(self.register(0, uid))
        self.assertEqual(self.servers[0].wait(), -signal.SIGKILL)
        rest = [1, 2]
        for _ in rest:
            self.start()
        self.until(lambda: sum(self.told(rest).values()) >= len(tags))
        time.sleep(LEASE + 0.2)
        self.assertEqual(self.told(rest), Counter(tags))
        # The oldest was claimed; on a slow machine the others may not have been.
        heard = [event for events in self.heard("events", rest) for event in events]
        at = [
            when for kind, _, tag, when in heard if (kind, tag) == ("expired", tags[0])
        ]
        self.assertGreater(min(at), before + IDLE + LEASE)

    def test_sqlite(self):
        """
        On SQLite.
        """
        self.dies("sqlite")


class ElsewhereTests(TellingCase):
    """
    Callbacks whose session another process ends.
    """

    def endElsewhere(self, kind, linger):
        """
        Sign out in one process: those of the others are called within a touch
        interval.
        """
        idle = 15.0
        self.serve(kind, idle=idle, linger=linger, interval=60.0)
        uid = self.ask(0, "count").uid
        tag = self.register(0, uid)
        self.register(1, uid)
        time.sleep(0.3)
        self.ask(2, "logout", uid)
        ended = time.time()
        self.until(lambda: all(self.heard("calls", [0, 1])))
        for calls in self.heard("calls", [0, 1]):
            ((called, at),) = calls
            self.assertEqual(called, tag)
            self.assertLess(at, ended + touchInterval(idle) + SLACK)
        self.assertEqual(self.told(), Counter())

    def test_sqlite(self):
        """
        On SQLite: the session is in memory there.
        """
        self.endElsewhere("sqlite", 60.0)

    def test_sqliteDeparted(self):
        """
        It has left memory.
        """
        self.endElsewhere("sqlite", 0.1)
