"""
Tests of one opening, with nothing to open.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import StoreUnavailable
from txsessions.stores._opening import Opening


class Slow(Opening):
    """
    Lets go when the test says so.
    """

    def __init__(self, clock):
        super().__init__(clock, 2.0, "it takes long")
        self.going = []

    def _letGo(self):
        """
        See L{Opening._letGo}.
        """
        self.going.append(Deferred())
        return self.going[-1]


class OpeningTests(SynchronousTestCase):
    """
    L{Opening}.
    """

    def setUp(self):
        """
        Make one.
        """
        self.clock = Clock()
        self.opening = Slow(self.clock)

    def test_opens(self):
        """
        All who wait are told at once, and who comes later need not wait.
        """
        waiting = [self.opening.whenOpen() for _ in range(2)]
        for each in waiting:
            self.assertNoResult(each)
        self.opening._begun()
        for each in waiting:
            self.successResultOf(each)
        self.successResultOf(self.opening.whenOpen())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_late(self):
        """
        Nobody waits longer than the deadline; it may open after that.
        """
        waiting = self.opening.whenOpen()
        self.clock.advance(2.0)
        failure = self.failureResultOf(waiting, StoreUnavailable)
        self.assertEqual(str(failure.value), "it takes long")
        self.opening._begun()
        self.assertTrue(self.opening.isOpen)

    def test_closes(self):
        """
        All who end it wait for the same end, also where that fails; after it there is
        nothing to do.
        """
        self.opening._begun()
        waiting = [self.opening.close() for _ in range(2)]
        (going,) = self.opening.going
        self.assertNoResult(waiting[0])
        going.errback(StoreUnavailable("it does not end"))
        for each in waiting:
            self.successResultOf(each)
        self.assertFalse(self.opening.isOpen)
        self.successResultOf(self.opening.close())
        self.assertEqual(len(self.opening.going), 1)

    def test_closedFirst(self):
        """
        What opens when its end has begun is not open.
        """
        waiting = self.opening.whenOpen()
        self.opening.close()
        self.opening._begun()
        self.failureResultOf(waiting, StoreUnavailable)
        self.assertFalse(self.opening.isOpen)
