"""
One timer for all the deadlines of a reactor.

Owns the order in which things run out.  Knows nothing of sessions: whatever has
a C{_due} and a C{_deadlinePassed} may be watched.

A deadline that only moves forward, which is what touching a session does, costs
nothing here: it is noticed when the old one comes up.  Only an earlier deadline
is a new entry.  Most come in the order of time, since most sessions have the same
limits: they stand in a line, and only the others are in a heap.  Entries that no longer
count are swept out when they are more than half of all, so that a forgotten thing is
let go of soon.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Protocol
from weakref import ref

from twisted.internet.error import AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

_log = Logger(namespace="txsessions")

AT_ONCE = 100
"""How many deadlines one turn of the reactor deals with at most."""

GAP = 3600.0
"""
How many seconds after the last in the line the next may be due: a session that lives for
weeks must not be the one that all others are too early for.
"""


class Mortal(Protocol):
    """
    Something that has a deadline.

    @ivar _due: When it runs out, in the reactor's seconds, or L{None} for never.
    @ivar _queuedFor: The queue's own: the time of its entry, or infinity.
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

    @ivar reactor: Gives the reactor, if it is still there.
    @ivar _line: The entries that came in order.
    @ivar _times: The times of these, each where its entry is.
    @ivar _last: The time of the last of them, also if it is not there any more.
    @ivar _heap: The other entries, each with its time and its number.
    @ivar _dead: How many entries no longer count.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        # Not kept alive from here: the queue is found by its reactor.
        self.reactor = ref(reactor)
        self._line: deque[Mortal] = deque()
        self._times: deque[float] = deque()
        self._last = -inf
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
        due, before = mortal._due, mortal._queuedFor
        if due is None or due >= before:
            return
        self.enter(mortal, due)
        if before != inf:
            self._oneDied()

    def enter(self, mortal: Mortal, due: float) -> None:
        """
        Watch what has no entry.

        @param due: Its deadline.
        """
        mortal._queuedFor = due
        last = self._last
        if last <= due <= last + GAP or not self._line:
            self._last = due
            self._times.append(due)
            self._line.append(mortal)
        else:
            self._serial = serial = self._serial + 1
            heappush(self._heap, (due, serial, mortal))
        if due < self._callAt:
            self._arm(due)

    def forget(self, mortal: Mortal) -> None:
        """
        Stop watching C{mortal}.
        """
        mortal._due = None
        if mortal._queuedFor != inf:
            mortal._queuedFor = inf
            self._oneDied()

    def _oneDied(self) -> None:
        """
        One entry more no longer counts; when half of them do not, throw those
        out.
        """
        self._dead += 1
        if self._dead * 2 < self.entries():
            return
        self._heap = [entry for entry in self._heap if entry[0] == entry[2]._queuedFor]
        heapify(self._heap)
        line = zip(self._times, self._line, strict=True)
        counts = [(time, mortal) for time, mortal in line if time == mortal._queuedFor]
        self._times = deque(time for time, _ in counts)
        self._line = deque(mortal for _, mortal in counts)
        self._dead = 0
        if not self.entries():
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
        reactor = self.reactor()
        if reactor is None:
            return
        delay = max(0.0, due - reactor.seconds())
        self._callAt = due
        if self._call is not None and self._call.active():
            self._call.reset(delay)
        else:
            self._call = reactor.callLater(delay, self._ring)

    def _ring(self) -> None:
        """
        Tell those whose time has come, a bounded number of them a turn.
        """
        self._call, self._callAt = None, inf
        reactor = self.reactor()
        if reactor is None:
            return
        now, told = reactor.seconds(), 0
        newest, standing = self._serial, len(self._line)
        while told < AT_ONCE and self.first() <= now:
            heap, times = self._heap, self._times
            # What was watched anew while this turn went on is for the next.
            if times and (not heap or times[0] <= heap[0][0]):
                if not standing:
                    break
                standing -= 1
                entered, mortal = times.popleft(), self._line.popleft()
            else:
                if heap[0][1] > newest:
                    break
                entered, _, mortal = heappop(heap)
            if entered != mortal._queuedFor:
                self._dead = max(0, self._dead - 1)
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
        first = self.first()
        if first < self._callAt:
            self._arm(first)

    def entries(self) -> int:
        """
        How many entries there are, with those that no longer count.
        """
        return len(self._line) + len(self._heap)

    def first(self) -> float:
        """
        The time of the first entry; infinity if there is none.
        """
        heap, times = self._heap, self._times
        if times and (not heap or times[0] <= heap[0][0]):
            return times[0]
        return heap[0][0] if heap else inf


# By the id of the reactor.  A queue is kept alive by its own call, which its
# reactor holds as long as there is anything to wait for.
_queues: dict[int, ref[DeadlineQueue]] = {}


def deadlinesOf(reactor: IReactorTime) -> DeadlineQueue:
    """
    The one queue of a reactor, made when it is first asked for.
    """
    number = id(reactor)
    found = _queues.get(number)
    if found is not None:
        queue = found()
        if queue is not None and queue.reactor() is reactor:
            return queue
    queue = DeadlineQueue(reactor)

    def gone(dead: ref[DeadlineQueue]) -> None:
        if _queues.get(number) is dead:
            del _queues[number]

    _queues[number] = ref(queue, gone)
    return queue


@implementer(IDelayedCall)
class ExpireCall:
    """
    What C{session._expireCall} shows: an C{IDelayedCall} for one session,
    though there is none behind it.
    """

    def __init__(
        self, mortal: Mortal, reactor: IReactorTime, latest: float = inf
    ) -> None:
        """
        @param latest: When it runs out whatever is asked of this call.
        """
        self._mortal = mortal
        self._reactor = reactor
        self._latest = latest

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
        self._mortal._due = min(due, self._latest)
        deadlinesOf(self._reactor).watch(self._mortal)


__all__ = ["AT_ONCE", "DeadlineQueue", "ExpireCall", "Mortal", "deadlinesOf"]
