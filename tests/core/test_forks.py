"""
Tests of the question whether this process was forked.
"""

from __future__ import annotations

import os
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.forks import FORKS, forked


class ForkTests(SynchronousTestCase):
    """
    L{FORKS<txsessions.core.forks.FORKS>}.
    """

    def test_counts(self) -> None:
        """
        Each fork counts.
        """
        with mock.patch.object(FORKS, "count", 5):
            forked()
            self.assertEqual(FORKS.count, 6)

    def test_realFork(self) -> None:
        """
        A child knows that it is one, and its parent that it is none.
        """
        before = FORKS.count
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writing, b"%d" % FORKS.count)
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as opened:
            counted = int(opened.read())
        os.waitpid(child, 0)
        self.assertEqual((counted, FORKS.count), (before + 1, before))
