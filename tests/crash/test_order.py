"""
Tests of the order of things: first the disk, then the reply.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.nursery import makeFolder
from tests.crash.tracing import REQUESTS, TracedServer, ask, commits, tooEarly


class TraceTests(SynchronousTestCase):
    """
    What the kernel saw.
    """

    def trace(self, *paths, **options):
        """
        Have many visitors ask for each path, all at once.

        @return: The trace of each path.
        """
        server = TracedServer(self, makeFolder(self), **options)
        ask(server.port, *paths)
        seen = server.end()
        return [
            [s for s in seen if s.tag.startswith(path) or not s.tag] for path in paths
        ]

    def test_full(self):
        """
        Of many requests at once each is answered only after C{fdatasync} of its own
        commit has returned; many share one.
        """
        traces = self.trace("count", "login", "rotate", "add", "logout")
        for trace in traces:
            self.assertEqual(tooEarly(trace), (REQUESTS, []))
        self.assertLess(len(commits(traces[0])), 5 * REQUESTS / 2)

    def test_normal(self):
        """
        Where commits are not synced, those that no power cut may undo are all the
        same; and the others are what this way of looking finds.
        """
        # The first changes are enough for a checkpoint, which syncs; the second are
        # not.
        _, add, rotate, logout = self.trace(
            "count", "add", "rotate", "logout", durability="normal"
        )
        self.assertEqual(tooEarly(rotate), (REQUESTS, []))
        self.assertEqual(tooEarly(logout), (REQUESTS, []))
        answered, early = tooEarly(add)
        self.assertEqual((answered, len(early)), (REQUESTS, REQUESTS))

    def test_unsynced(self):
        """
        C{PRAGMA synchronous = OFF} would be found out.
        """
        (trace,) = self.trace("count", store="unsynced")
        answered, early = tooEarly(trace)
        self.assertEqual((answered, len(early)), (REQUESTS, REQUESTS))
