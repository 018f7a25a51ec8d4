"""
Tests of the question whether this process was forked.
"""

from __future__ import annotations

import os
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.forks import Forks, forked


class ForkTests(SynchronousTestCase):
    """
    L{Forks}.
    """

    def test_counts(self) -> None:
        """
        Each fork counts.
        """
        with mock.patch.object(Forks, "count", 5):
            forked()
            self.assertEqual(Forks.count, 6)

    def test_realFork(self) -> None:
        """
        A child knows that it is one, and its parent that it is none.
        """
        before = Forks.count
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writing, b"%d" % Forks.count)
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as opened:
            counted = int(opened.read())
        os.waitpid(child, 0)
        self.assertEqual((counted, Forks.count), (before + 1, before))
