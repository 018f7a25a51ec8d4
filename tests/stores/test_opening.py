"""
Tests of one opening, with nothing to open.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.forks import FORKS
from txsessions.errors import StoreUnavailable
from txsessions.stores._opening import Openable, Opening


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


class Store(Openable):
    """
    A store, of nothing.

    @ivar begun: Its openings.
    @ivar isStuck: Whether it cannot let go of what a parent opened.
    """

    def __init__(self, clock):
        self._reactor = clock
        self.begun = []
        self.isStuck = False

    def _begin(self, reactor):
        """
        See L{Openable._begin}.
        """
        self.begun.append(Slow(reactor))
        return self.begun[-1]

    def _disown(self, database):
        """
        See L{Openable._disown}.
        """
        if self.isStuck:
            raise StoreUnavailable("the parent was writing")


class OpenableTests(SynchronousTestCase):
    """
    L{Openable}.
    """

    def setUp(self):
        """
        Make a store.
        """
        self.store = Store(Clock())

    def test_once(self):
        """
        One opening serves all, also who comes after the deadline.
        """
        waiting = [self.store.open(), self.store.open()]
        self.store._reactor.advance(2.0)
        for each in waiting:
            self.failureResultOf(each, StoreUnavailable)
        self.store.begun[0]._begun()
        self.successResultOf(self.store.open())
        self.assertEqual(len(self.store.begun), 1)

    def test_again(self):
        """
        Who opens it while it ends waits for that, and gets another; so does the next.
        """
        self.successResultOf(self.store.close())
        self.store.open()
        [first] = self.store.begun
        first._begun()
        closed = self.store.close()
        again = [self.store.open(), self.store.open()]
        self.assertEqual(len(self.store.begun), 1)
        first.going[0].callback(None)
        self.successResultOf(closed)
        [_, second] = self.store.begun
        second._begun()
        for each in again:
            self.successResultOf(each)
        self.assertTrue(second.isOpen)

    def test_fork(self):
        """
        In a child what the parent opened is not closed, and another one is made; unless
        that cannot be.
        """
        self.store.open()
        self.store.begun[0]._begun()
        self.patch(FORKS, "count", FORKS.count + 1)
        self.successResultOf(self.store.close())
        self.assertEqual(self.store.begun[0].going, [])
        self.store.isStuck = True
        self.failureResultOf(self.store.open(), StoreUnavailable)
        self.store.isStuck = False
        self.store.open()
        self.assertEqual(len(self.store.begun), 2)
