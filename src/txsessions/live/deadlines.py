"""
One timer for all the deadlines of a reactor.

Owns the order in which things run out.  Knows nothing of sessions: whatever has
a C{_due} and a C{_deadlinePassed} may be watched.

A deadline that only moves forward, which is what touching a session does, costs
nothing here: it is noticed when the old one comes up.  Only an earlier deadline
is a new entry in the heap.  Entries that no longer count are swept out when
they are more than half of all, so that a forgotten thing is let go of soon.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from twisted.internet.error import AlreadyCancelled
from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

_log = Logger(namespace="txsessions")

AT_ONCE = 100
"""How many deadlines one turn of the reactor deals with at most."""


class Mortal(Protocol):
    """
    Something that has a deadline.

    @ivar _due: When it runs out, in the reactor's seconds, or L{None} for never.
    @ivar _queuedFor: The queue's own: the time of its entry in the heap.
    """

    _due: float | None
    _queuedFor: float

    def _deadlinePassed(self) -> None:
        """
        The deadline is here.
        """


class DeadlineQueue:
    """
    Watches things until their deadline, with one delayed call.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._heap: list[tuple[float, int, Mortal]] = []
        self._dead = 0
        self._serial = 0
        self._call: IDelayedCall | None = None
        self._callAt = inf

    def watch(self, mortal: Mortal) -> None:
        """
        See to it that C{mortal} hears of its deadline, which may have moved
        either way since it was last watched.
        """
        due = mortal._due
        if due is None or due >= mortal._queuedFor:
            return
        if mortal._queuedFor != inf:
            self._dead += 1
        mortal._queuedFor = due
        self._serial = serial = self._serial + 1
        heappush(self._heap, (due, serial, mortal))
        if due < self._callAt:
            self._arm(due)

    def forget(self, mortal: Mortal) -> None:
        """
        Stop watching C{mortal}.
        """
        mortal._due = None
        if mortal._queuedFor == inf:
            return
        mortal._queuedFor = inf
        self._dead += 1
        if self._dead * 2 >= len(self._heap):
            self._compact()

    def _compact(self) -> None:
        """
        Throw out the entries that no longer count.
        """
        self._heap = [entry for entry in self._heap if entry[0] == entry[2]._queuedFor]
        heapify(self._heap)
        self._dead = 0
        if not self._heap:
            self._disarm()

    def _disarm(self) -> None:
        """
        Nothing is waited for.
        """
        call, self._call, self._callAt = self._call, None, inf
        if call is not None and call.active():
            call.cancel()

    def _arm(self, due: float) -> None:
        """
        Have the timer ring at C{due}.
        """
        delay = max(0.0, due - self._reactor.seconds())
        self._callAt = due
        if self._call is not None and self._call.active():
            self._call.reset(delay)
        else:
            self._call = self._reactor.callLater(delay, self._ring)

    def _ring(self) -> None:
        """
        Tell those whose time has come, a bounded number of them a turn.
        """
        self._call, self._callAt = None, inf
        now = self._reactor.seconds()
        told = 0
        while self._heap and self._heap[0][0] <= now and told < AT_ONCE:
            entered, _, mortal = heappop(self._heap)
            if entered != mortal._queuedFor:
                self._dead -= 1
                continue
            mortal._queuedFor = inf
            due = mortal._due
            if due is None:
                continue
            if due > now:
                self.watch(mortal)
                continue
            told += 1
            mortal._due = None
            try:
                mortal._deadlinePassed()
            except Exception:
                _log.failure("a deadline could not be dealt with")
        if self._heap and self._heap[0][0] < self._callAt:
            self._arm(self._heap[0][0])


_queues: WeakKeyDictionary[IReactorTime, DeadlineQueue] = WeakKeyDictionary()


def deadlinesOf(reactor: IReactorTime) -> DeadlineQueue:
    """
    The one queue of a reactor, made when it is first asked for.
    """
    queue = _queues.get(reactor)
    if queue is None:
        queue = _queues[reactor] = DeadlineQueue(reactor)
    return queue


class ExpireCall:
    """
    What C{session._expireCall} shows: an C{IDelayedCall} for one session,
    though there is none behind it.
    """

    def __init__(self, mortal: Mortal, reactor: IReactorTime) -> None:
        self._mortal = mortal
        self._reactor = reactor

    def getTime(self) -> float:
        """
        When the session runs out, in the reactor's seconds.
        """
        due = self._mortal._due
        return self._reactor.seconds() if due is None else due

    def active(self) -> bool:
        """
        Whether the session is still waiting to run out.
        """
        return self._mortal._due is not None

    def _demandActive(self) -> float:
        """
        The deadline, where there is one.

        @raise AlreadyCancelled: There is none any more.
        """
        due = self._mortal._due
        if due is None:
            raise AlreadyCancelled
        return due

    def cancel(self) -> None:
        """
        Never mind the idle time.
        """
        self._demandActive()
        deadlinesOf(self._reactor).forget(self._mortal)

    def reset(self, secondsFromNow: float) -> None:
        """
        Run out that many seconds from now.
        """
        self._demandActive()
        self._moveTo(self._reactor.seconds() + secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """
        Run out that many seconds later than now foreseen.
        """
        self._moveTo(self._demandActive() + secondsLater)

    def _moveTo(self, due: float) -> None:
        """
        Set another deadline.
        """
        self._mortal._due = due
        deadlinesOf(self._reactor).watch(self._mortal)


__all__ = ["DeadlineQueue", "ExpireCall", "Mortal", "deadlinesOf"]
