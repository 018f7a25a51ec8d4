"""
Tests of a server that cannot open anything any more, as happens where too many files
or connections are open.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.nursery import environment, makeFolder
from tests.crash.visiting import Broken, Connection

PATIENCE = 30.0
"""Seconds after which it is given up that things get well."""


class StarvingTests(SynchronousTestCase):
    """
    EMFILE.
    """

    def setUp(self):
        """
        Start a server, and make a session.
        """
        folder = makeFolder(self)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.starving", str(folder)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(self.end)
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.connection = self.connect()
        first = self.connection.ask("count")
        self.uid, self.count = first.uid, 1
        self.assertEqual(first.told["count"], 1)

    def end(self):
        """
        End the server.
        """
        with self.process as process:
            process.stdin.close()
            self.assertEqual(process.wait(PATIENCE), 0)
            said = process.stderr.read().decode()
            self.assertNotIn("Unhandled", said)
            self.assertNotIn("Traceback", said)

    def connect(self):
        """
        Make one more connection.
        """
        connection = Connection(self.port)
        self.addCleanup(connection.close)
        return connection

    def step(self, connection=None):
        """
        Count once.  What was acknowledged counts, nobody gets another id, and if it
        does not work the answer is 503.

        @return: The status.
        """
        answer = (connection or self.connection).ask("count", self.uid)
        self.assertIn(answer.status, (200, 503))
        self.assertIsNone(answer.uid)
        if answer.status == 200:
            self.count += 1
            self.assertEqual(answer.told["count"], self.count)
        return answer.status

    def test_serving(self):
        """
        While it serves, nothing is amiss with sessions: they need no descriptor
        more.  Who comes by a new connection is turned away until there are some.
        """
        self.connection.ask("starve")
        self.assertEqual({self.step() for _ in range(20)}, {200})
        with self.assertRaises(Broken):
            self.connect().ask("count", self.uid)
        self.assertEqual(self.step(), 200)
        self.connection.ask("feed")
        self.assertEqual(self.step(self.connect()), 200)

    def test_opening(self):
        """
        A store that cannot be opened for that is out of reach: 503, nobody is logged
        out, and the page about the store says why.  When it can be opened it is,
        without a restart.
        """
        self.connection.ask("reopen")
        self.assertEqual({self.step() for _ in range(5)}, {503})
        new = self.connection.ask("count")
        self.assertEqual((new.status, new.uid), (503, None))
        health = self.connection.ask("health")
        self.assertEqual(health.status, 503)
        self.assertIn("reachable: no", health.told["error"])
        self.assertRegex(health.told["error"], "why: .*unable to open")
        self.connection.ask("feed")
        end = time.monotonic() + PATIENCE
        while self.step() != 200 and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.step(), 200)


__all__ = ["StarvingTests"]
