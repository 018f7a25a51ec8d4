"""
Tests of L{txsessions.live.deadlines}.
"""

from __future__ import annotations

import gc
import weakref
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txsessions.live.deadlines import AT_ONCE, ExpireCall, deadlinesOf


class Mayfly:
    """
    Something with a deadline.
    """

    def __init__(self, due, told=None, then=None):
        self._due = due
        self._queuedFor = inf
        self.told = [] if told is None else told
        self.then = then

    def _deadlinePassed(self):
        """
        See L{txsessions.live.deadlines.Mortal}.
        """
        self.told.append(self)
        if self.then is not None:
            self.then()


def turn(clock, seconds=0.0):
    """
    Let one turn of a reactor pass: what is called at once is for the next.
    """
    clock.rightNow += seconds
    for call in [call for call in clock.calls if call.getTime() <= clock.rightNow]:
        clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)


class QueueTests(SynchronousTestCase):
    """
    L{txsessions.live.deadlines.DeadlineQueue}.
    """

    def setUp(self):
        """
        Make a queue.
        """
        self.clock = Clock()
        self.queue = deadlinesOf(self.clock)

    def watch(self, due, **options):
        """
        Watch something.
        """
        mayfly = Mayfly(due, **options)
        self.queue.watch(mayfly)
        return mayfly

    def test_exact(self):
        """
        Things hear of their deadline when it is there, and not before.
        """
        mayfly = self.watch(10.0)
        self.clock.advance(9.999)
        self.assertEqual(mayfly.told, [])
        self.clock.advance(0.001)
        self.assertEqual(mayfly.told, [mayfly])
        self.assertIs(mayfly._due, None)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_order(self):
        """
        They hear of it in the order of their deadlines.
        """
        told = []
        things = [self.watch(due, told=told) for due in (3.0, 1.0, 2.0, 1.0)]
        self.clock.pump([1.0] * 4)
        self.assertEqual(told, [things[1], things[3], things[2], things[0]])

    def test_oneTimer(self):
        """
        However many there are, there is one timer for a reactor.
        """
        for due in (5.0, 4.0, 6.0, 3.0):
            self.watch(due)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertIs(deadlinesOf(self.clock), self.queue)
        self.assertEqual(self.clock.getDelayedCalls()[0].getTime(), 3.0)

    def test_later(self):
        """
        A deadline that moves forward costs nothing until the old one is there.
        """
        mayfly = self.watch(10.0)
        for due in range(11, 1000):
            mayfly._due = float(due)
            self.queue.watch(mayfly)
        self.assertEqual(self.queue.entries(), 1)
        self.clock.advance(998.0)
        self.assertEqual(mayfly.told, [])
        self.clock.advance(1.0)
        self.assertEqual(mayfly.told, [mayfly])

    def test_earlier(self):
        """
        A deadline that moves back is kept.
        """
        mayfly = self.watch(10.0)
        mayfly._due = 5.0
        self.queue.watch(mayfly)
        self.clock.advance(5.0)
        self.assertEqual(mayfly.told, [mayfly])
        self.clock.advance(50.0)
        self.assertEqual(mayfly.told, [mayfly])

    def test_everEarlier(self):
        """
        One that moves back over and over leaves nothing behind.
        """
        mayfly = self.watch(100_000.0)
        other = self.watch(200_000.0)
        for due in range(50_000, 40_000, -1):
            mayfly._due = float(due)
            self.queue.watch(mayfly)
        self.assertLess(self.queue.entries(), 5)
        self.clock.advance(40_001.0)
        self.assertEqual(mayfly.told, [mayfly])
        self.clock.advance(160_000.0)
        self.assertEqual(other.told, [other])

    def test_never(self):
        """
        What has no deadline is not watched.
        """
        self.watch(None)
        self.assertEqual(self.queue.entries(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_forget(self):
        """
        What is forgotten hears nothing, and takes its timer with it.
        """
        mayfly = self.watch(10.0)
        self.queue.forget(mayfly)
        self.queue.forget(mayfly)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(20.0)
        self.assertEqual(mayfly.told, [])

    def test_watchedAgain(self):
        """
        What was forgotten and is watched again for the same time hears once.
        """
        other = self.watch(1.0)
        third = self.watch(50.0)
        mayfly = self.watch(10.0)
        self.queue.forget(mayfly)
        mayfly._due = 10.0
        self.queue.watch(mayfly)
        self.clock.advance(10.0)
        self.assertEqual(mayfly.told, [mayfly])
        self.assertEqual(other.told, [other])
        self.queue.forget(third)
        self.assertEqual(self.queue.entries(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noDeadlineLeft(self):
        """
        What has lost its deadline without a word is passed over.
        """
        mayfly = self.watch(10.0)
        mayfly._due = None
        self.clock.advance(10.0)
        self.assertEqual(mayfly.told, [])

    def test_nothingLeft(self):
        """
        A hundred thousand that are made and dropped leave nothing behind, while
        others go on.
        """
        others = [self.watch(5_000_000.0) for _ in range(3)]
        gone = []
        for number in range(100_000):
            mayfly = self.watch(900.0 + number)
            if not number % 1000:
                gone.append(weakref.ref(mayfly))
            self.queue.forget(mayfly)
        del mayfly
        self.assertLess(self.queue.entries(), 10)
        gc.collect()
        self.assertLessEqual(sum(ref() is not None for ref in gone), 3)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for other in others:
            self.queue.forget(other)
        self.assertEqual(self.queue.entries(), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_inLine(self):
        """
        Those that come in the order of time need no heap, whatever lives for weeks or
        less than they; nor is there one left after all have gone.
        """
        for number in range(100):
            self.watch(900.0 + number)
            self.watch(2_600_000.0 + number)
            self.watch(60.0 + number)
        self.assertEqual(len(self.queue._line), 100)
        self.clock.pump([1000.0] * 2700)
        self.assertEqual(self.queue.entries(), 0)
        self.watch(2_700_100.0)
        self.assertEqual(len(self.queue._line), 1)

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["watch", "watch", "move", "forget", "pass"]),
                st.integers(0, 7),
                st.sampled_from([0, 1, 2, 3, 50, 5000, 9000]),
            ),
            max_size=60,
        )
    )
    def test_whateverComes(self, steps):
        """
        Each hears of its deadline when it is there and not before, whatever is watched,
        moved and forgotten meanwhile.
        """
        clock = Clock()
        queue, told = deadlinesOf(clock), []
        things = [Mayfly(None, told) for _ in range(8)]
        for step, number, seconds in [*steps, ("pass", 0, 20_000)]:
            thing = things[number]
            if step == "pass":
                dues = {one: one._due for one in things if one._due is not None}
                told.clear()
                clock.advance(seconds)
                over = [one for one, due in dues.items() if due <= clock.seconds()]
                self.assertCountEqual(told, over)
            elif step == "forget":
                queue.forget(thing)
            elif step == "watch" or thing._due is not None:
                thing._due = clock.seconds() + seconds
                queue.watch(thing)
        self.assertEqual((queue.entries(), clock.getDelayedCalls()), (0, []))

    def test_raises(self):
        """
        One whose end raises disturbs no other.
        """
        self.watch(10.0, then=lambda: 1 / 0)
        other = self.watch(10.0)
        self.clock.advance(10.0)
        self.assertEqual(other.told, [other])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_atOnce(self):
        """
        One turn of the reactor deals with a bounded number of them.
        """
        told = []
        for _ in range(2 * AT_ONCE + 5):
            self.watch(10.0, told=told)
        turn(self.clock, 10.0)
        self.assertEqual(len(told), AT_ONCE)
        turn(self.clock)
        self.assertEqual(len(told), 2 * AT_ONCE)
        turn(self.clock)
        self.assertEqual(len(told), 2 * AT_ONCE + 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_againAtOnce(self):
        """
        One that asks for the present moment again waits for the next turn.
        """

        def again():
            if len(mayfly.told) < 3:
                mayfly._due = self.clock.seconds()
                self.queue.watch(mayfly)

        mayfly = self.watch(10.0, then=again)
        other = self.watch(10.0)
        turn(self.clock, 10.0)
        self.assertEqual(len(mayfly.told), 1)
        self.assertEqual(len(other.told), 1)
        turn(self.clock)
        self.assertEqual(len(mayfly.told), 2)

    def test_watchesInTurn(self):
        """
        What is watched while others hear of their end is in order too.
        """
        mayfly = self.watch(10.0, then=lambda: self.watch(15.0, told=mayfly.told))
        self.clock.advance(10.0)
        self.clock.advance(5.0)
        self.assertEqual(len(mayfly.told), 2)

    def test_clockGoesBack(self):
        """
        A clock that is set back lets things live longer, no more.
        """
        mayfly = self.watch(100.0)
        self.clock.advance(50.0)
        self.clock.rightNow -= 40.0
        self.clock.advance(89.0)
        self.assertEqual(mayfly.told, [])
        self.clock.advance(1.0)
        self.assertEqual(mayfly.told, [mayfly])

    def test_reactorIsFreed(self):
        """
        The queue does not keep its reactor alive.
        """
        clock = Clock()
        queue = deadlinesOf(clock)
        queue.watch(Mayfly(10.0))
        held = weakref.ref(clock)
        clock = queue = None
        gc.collect()
        self.assertIs(held(), None)

    def test_reactorIsGone(self):
        """
        A queue whose reactor is gone does nothing.
        """
        clock = Clock()
        queue = deadlinesOf(clock)
        clock = None
        gc.collect()
        mayfly = Mayfly(0.0)
        queue.watch(mayfly)
        queue._ring()
        self.assertEqual(mayfly.told, [])


class ExpireCallTests(SynchronousTestCase):
    """
    L{ExpireCall}: what C{_expireCall} shows.
    """

    def setUp(self):
        """
        Watch something.
        """
        self.clock = Clock()
        self.mayfly = Mayfly(10.0)
        deadlinesOf(self.clock).watch(self.mayfly)
        self.call = ExpireCall(self.mayfly, self.clock, 1000.0)

    def test_interface(self):
        """
        It is an C{IDelayedCall}.
        """
        verifyObject(IDelayedCall, self.call)

    def test_getTime(self):
        """
        It tells when it runs out, and that it does.
        """
        self.assertEqual(self.call.getTime(), 10.0)
        self.assertTrue(self.call.active())

    def test_cancel(self):
        """
        It can be cancelled, once.
        """
        self.call.cancel()
        self.assertFalse(self.call.active())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.call.getTime(), 0.0)
        for change in (
            self.call.cancel,
            lambda: self.call.reset(1),
            lambda: self.call.delay(1),
        ):
            self.assertRaises(AlreadyCancelled, change)

    def test_reset(self):
        """
        It can be set anew, either way.
        """
        self.clock.advance(2.0)
        self.call.reset(3.0)
        self.assertEqual(self.call.getTime(), 5.0)
        self.call.reset(30.0)
        self.assertEqual(self.call.getTime(), 32.0)
        self.clock.advance(29.0)
        self.assertEqual(self.mayfly.told, [])
        self.clock.advance(1.0)
        self.assertEqual(len(self.mayfly.told), 1)

    def test_delay(self):
        """
        It can be delayed.
        """
        self.call.delay(5.0)
        self.assertEqual(self.call.getTime(), 15.0)

    def test_latest(self):
        """
        It cannot be set beyond the end of the session.
        """
        self.call.reset(5000.0)
        self.assertEqual(self.call.getTime(), 1000.0)
        self.call.delay(5000.0)
        self.assertEqual(self.call.getTime(), 1000.0)
