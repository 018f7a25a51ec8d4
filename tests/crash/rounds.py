"""
Rounds of load and sudden ends.

Owns the order of a round: start a server on the same file, compare what it says with
what was told before, let everybody write at once, end the server at a moment of
chance.  The tests run a few rounds, C{python -m tests.crash} runs many.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from tests.crash.nursery import startServer
from tests.crash.visiting import Broken, Connection, Crowd, Tally, Visitor

VISITORS = 6
"""How many write at once."""

SHORTEST, LONGEST = 0.02, 0.18
"""For how long there is load before the end, in seconds."""

FORGOTTEN = 40
"""How many ids that have long been dead are tried again in each round."""

NOISES = ("Traceback", "Unhandled", "critical")
"""What no server may say."""


_UID = re.compile(r"[0-9a-f]{64}")


class Rounds:
    """
    Rounds on one store.

    @ivar tally: What all visitors have counted.
    @ivar crowd: The visitors of the one session that all share.
    """

    def __init__(self, case, kind, seed=None, **options):
        """
        @param case: The test, see L{startServer}.
        @param kind: The store, see L{tests.crash.kinds}.
        @param seed: What chance begins with; it is told where there are faults.
        @param options: See L{tests.crash.server.Options}.
        """
        self._case = case
        self._kind = kind
        self._options = {**kind.options, **options}
        self._seed = random.randrange(1 << 32) if seed is None else seed
        self._chance = random.Random(self._seed)
        self._visitors = [
            Visitor(random.Random(self._chance.random())) for _ in range(VISITORS)
        ]
        self._ended = []
        self._tried = [0] * VISITORS
        self.crowd = Crowd()

    @property
    def tally(self):
        """
        What all visitors have counted, and every fault.
        """
        tally = Tally(faults=list(self.crowd.faults))
        for visitor in self._visitors:
            tally.add(visitor.tally)
        if tally.faults:
            tally.faults.append(f"the seed of chance was {self._seed}")
        return tally

    def run(self, times, how, step=lambda: None):
        """
        Run rounds, and compare at last all that there is.

        @param how: The signal that ends each server.
        @param step: Called after each round.
        """
        for _ in range(times):
            server = self._start()
            self._compare(server)
            self._load(server, how)
            step()
        server = self._start()
        self._compare(server)
        connection = Connection(server.port)
        for visitor in self._visitors:
            visitor.tryDead(connection, visitor.dead)
        connection.close()
        self._end(server, signal.SIGTERM)
        said = server.said
        if any(noise in said for noise in NOISES):
            self.crowd.faults.append(f"something failed: {said[-5000:]}")
        if _UID.search(said):
            self.crowd.faults.append("an id is in the log")

    def _start(self):
        """
        Start a server.
        """
        return startServer(self._case, self._kind.folder, **self._options)

    def _compare(self, server):
        """
        Compare what a new server says with what was told.
        """
        connection = Connection(server.port)
        if self.crowd.uid is None:
            self.crowd.begin(connection)
        self.crowd.check(connection)
        for number, visitor in enumerate(self._visitors):
            visitor.check(connection)
            fresh = visitor.dead[self._tried[number] :]
            visitor.tryDead(connection, fresh)
            self._tried[number] += len(fresh)
            self._ended += fresh
        old = self._chance.sample(self._ended, min(FORGOTTEN, len(self._ended)))
        self._visitors[0].tryDead(connection, old)
        connection.close()
        damage = self._kind.damage()
        if damage:
            self.crowd.faults.append(f"the database is damaged: {damage}")
        known = 1 + sum(visitor.uid is not None for visitor in self._visitors)
        least = known + sum(visitor.leastLost for visitor in self._visitors)
        most = known + sum(visitor.mostLost for visitor in self._visitors)
        living = len(self._kind.payloads())
        if not least <= living <= most:
            self.crowd.faults.append(
                f"{living} sessions are in the store instead of {least} to {most}"
            )

    def _load(self, server, how):
        """
        Let all write at once, and end the server meanwhile.
        """

        def write(visitor):
            with contextlib.suppress(Broken):
                connection = Connection(server.port)
                try:
                    while visitor.change(connection):
                        if visitor.tally.acknowledged % 4 == 0:
                            self.crowd.count(connection)
                finally:
                    connection.close()

        with ThreadPoolExecutor(VISITORS) as threads:
            writing = [threads.submit(write, visitor) for visitor in self._visitors]
            time.sleep(self._chance.uniform(SHORTEST, LONGEST))
            os.kill(server.pid, how)
        for each in writing:
            each.result()
        self._end(server, None, how)

    def _end(self, server, how, expected=None):
        """
        End a server that may have been sent its signal, and see how it ends.
        """
        status = server.wait() if how is None else server.end(how)
        wanted = -signal.SIGKILL if expected == signal.SIGKILL else 0
        if status != wanted:
            self.crowd.faults.append(f"the server's exit status was {status}")


__all__ = ["Rounds"]
