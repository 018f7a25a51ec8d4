"""
Tests that the reactor of a busy server goes on turning.
"""

from __future__ import annotations

import contextlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.crash.nursery import makeFolder, startServer
from tests.crash.visiting import Connection, ask

CONNECTIONS = 32
"""How many clients write at once."""

SECONDS = 1.5
"""For how long."""

LATEST, BUSIEST = 5000.0, 100.0
"""By how much a call that is due may be late, and how long the reactor's thread may
compute, in milliseconds.  The first depends on what else the machine does, so it only
tells a reactor that hangs; the second has room for code whose coverage is measured.
What was measured is printed."""


@frozen(kw_only=True)
class Beat:
    """
    What was measured.

    @ivar requests: How many writing requests a second.
    @ivar late: By how much a call every millisecond was late at most, in
        milliseconds.
    @ivar busy: For how long the reactor's thread computed between two such calls,
        at most, in milliseconds, without the collecting of garbage.
    @ivar beats: How many calls there were.
    """

    requests: float
    late: float
    busy: float
    beats: int


def measure(port, seconds=SECONDS):
    """
    Have all clients write at once, and see how late the heart beats.
    """

    def write(connection):
        uid, written = connection.ask("count").uid, 0
        while time.monotonic() < end:
            written += connection.ask("count", uid).status == 200
        return written

    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(contextlib.closing(Connection(port)))
            for _ in range(CONNECTIONS)
        ]
        ask(port, "beat")
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            written = sum(threads.map(write, connections))
        told = ask(port, "beat").told
    return Beat(
        requests=written / seconds,
        late=told["late"] * 1000,
        busy=told["busy"] * 1000,
        beats=told["beats"],
    )


class HeartTests(SynchronousTestCase):
    """
    A call every millisecond, under load.
    """

    def test_late(self):
        """
        It is never much too late, with either durability.
        """
        for durability in ("full", "normal"):
            server = startServer(self, makeFolder(self), durability=durability)
            beat = measure(server.port)
            print(
                f"\n{durability}: {beat.requests:.0f} writes a second, at most "
                f"{beat.late:.1f} ms late, {beat.busy:.1f} ms computing",
                file=sys.stderr,
            )
            self.assertGreater(beat.requests, CONNECTIONS)
            self.assertGreater(beat.beats, 0)
            self.assertLess(beat.late, LATEST)
            self.assertLess(beat.busy, BUSIEST)
