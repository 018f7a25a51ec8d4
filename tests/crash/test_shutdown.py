"""
Tests of the end that was asked for, while there is something to save.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.nursery import makeFolder, startServer
from tests.crash.visiting import Broken, Connection, ask

CLIENTS = 8
"""How many write."""

LONGEST = 15.0
"""Seconds after which a server whose store hangs must have ended; its own bounds are
a third of it."""


class ShutdownTests(SynchronousTestCase):
    """
    C{SIGTERM}.
    """

    def setUp(self):
        """
        Make the folder.
        """
        self.folder = makeFolder(self)

    @contextlib.contextmanager
    def writing(self, server):
        """
        Have clients write while somebody else holds the database.

        @return: Their connections and ids, and what lets go of the database.
        """
        uids = [ask(server.port, "count").uid for _ in range(CLIENTS)]
        with contextlib.ExitStack() as stack:
            gate = stack.enter_context(open(self.folder / "sessions.sqlite-gate", "rb"))
            fcntl.flock(gate, fcntl.LOCK_EX)
            connections = [Connection(server.port) for _ in uids]
            for connection, uid in zip(connections, uids, strict=True):
                stack.callback(connection.close)
                connection.send(("count", uid))
            # When the one is answered, the others have been received.
            ask(server.port, "heard")
            self.assertFalse(any(c.hasAnswer(0.02) for c in connections))
            yield connections, uids, lambda: fcntl.flock(gate, fcntl.LOCK_UN)

    def counts(self, uids):
        """
        What a new server says.
        """
        server = startServer(self, self.folder)
        return [ask(server.port, "look", uid).told["count"] for uid in uids]

    def test_underWay(self):
        """
        What is being saved is saved, answered, and there afterwards.
        """
        server = startServer(self, self.folder)
        with self.writing(server) as (connections, uids, release):
            os.kill(server.pid, signal.SIGTERM)
            time.sleep(0.3)
            release()
            answers = [connection.receive() for connection in connections]
        self.assertEqual(server.wait(), 0)
        self.assertEqual([answer.status for answer in answers], [200] * CLIENTS)
        self.assertEqual([answer.told["count"] for answer in answers], [2] * CLIENTS)
        self.assertEqual(self.counts(uids), [2] * CLIENTS)
        self.assertNotIn("Traceback", server.said)

    def test_cannotBeSaved(self):
        """
        Where the database is held for ever, the process ends after the deadline, and
        nobody was told that he was saved.
        """
        server = startServer(self, self.folder)
        with self.writing(server) as (connections, uids, _):
            began = time.monotonic()
            os.kill(server.pid, signal.SIGTERM)
            for connection in connections:
                with contextlib.suppress(Broken):
                    self.assertEqual(connection.receive().status, 503)
            self.assertEqual(server.wait(), 0)
            self.assertLess(time.monotonic() - began, LONGEST)
        self.assertEqual(self.counts(uids), [1] * CLIENTS)

    def test_hangs(self):
        """
        So it is where the store neither answers nor closes.
        """
        constants = {"txsessions.live.lifecycle.DRAIN": 0.5}
        server = startServer(self, self.folder, store="hung", constants=constants)
        uid = ask(server.port, "count").uid
        connection = Connection(server.port)
        connection.send(("count", uid))
        self.assertFalse(connection.hasAnswer(0.1))
        began = time.monotonic()
        self.assertEqual(server.end(signal.SIGTERM), 0)
        self.assertLess(time.monotonic() - began, LONGEST)
        with contextlib.suppress(Broken):
            self.assertEqual(connection.receive().status, 503)
        connection.close()
        self.assertEqual(self.counts([uid]), [1])
