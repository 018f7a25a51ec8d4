"""
A line to PostgreSQL: one connection at a time, made anew for as long as the store is
open.

Owns the queue of calls, how they become units, what becomes of a unit that failed,
the deadlines, and the reconnecting.  Knows neither SQL nor sockets.

What is called while the line is down fails at once.  What is under way when it
breaks fails too, and is never sent again: whether it was done is not known.  Only
where the server itself has answered that it undid a unit are the innocent calls of
that unit sent once more.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.forks import FORKS
from txsessions.core.telling import Told
from txsessions.errors import StoreError, StoreUnavailable
from txsessions.stores._postgresql_connecting import Connector, delayAfter
from txsessions.stores._postgresql_errors import (
    endsConnection,
    late,
    storeError,
    unknown,
)
from txsessions.stores._postgresql_exchange import COMMITS, Call, Unit
from txsessions.stores._postgresql_link import ILink
from txsessions.stores._postgresql_outcomes import gather, settle
from txsessions.stores._postgresql_statements import Statement, setupOf
from txsessions.stores._reactor import IStoreReactor, handled
from txsessions.stores._telling import deferredOf

QUEUE_LIMIT = 10000
"""How many calls may wait or be under way."""

_NO_ROOM = float("-inf")
_keysOf, _commitOf = attrgetter("keys"), attrgetter("commit")


class Line:
    """
    See the module.

    @ivar place: The database, for people.
    @ivar onLost: Called with the SQLSTATE, if there is one, when a connection is
        lost.
    @ivar onConnected: Called when there is a new one, before anything is sent by it.
    """

    _log = Logger()

    def __init__(
        self,
        connector: Connector,
        reactor: IStoreReactor,
        deadline: float,
        *,
        writes: bool,
        chance: Callable[[], float],
    ) -> None:
        """
        @param writes: Whether this line changes rows: then one unit at a time is
            under way, which has a setup and takes its rows in the order of their
            keys.
        @param chance: Gives numbers from 0 to 1.
        """
        self.place = connector.place
        self._connector = connector
        self._reactor = reactor
        self._deadline = deadline
        self._writes = writes
        self._chance = chance
        self._fork = FORKS.count
        patience = max(1, min(1000, int(deadline * 250)))
        self._setups = [setupOf(patience, commit) for commit in COMMITS]
        self._queue: deque[Call] = deque()
        # How many calls are under way, and how many may wait besides: where none may,
        # that is endlessly few, so that no count of those under way changes it.
        self._underWay = 0
        self._room = _NO_ROOM
        self._link: ILink | None = None
        self._refusal: StoreError | None = StoreUnavailable(
            f"the session database {self.place} is not connected yet"
        )
        self._isTelling = False
        self._timer: IDelayedCall | None = None
        self._retry: IDelayedCall | None = None
        self._failures = 0
        self._complaint = ""
        self._closing: Deferred[None] | None = None
        self.onLost: Callable[[str], None] = lambda _: None
        self.onConnected: Callable[[], None] = lambda: None

    def open(self) -> Deferred[None]:
        """
        Connect for the first time.

        @return: Fails if that cannot be done; then nothing is tried again.
        """
        return (
            self._connector.connect()
            .addCallback(self._connected)
            .addErrback(self._notOpened)
        )

    def _notOpened(self, failure: Failure) -> Failure:
        """
        The first attempt has failed.
        """
        self._endIfIdle()
        return failure

    def statements(self) -> list[Statement]:
        """
        What this line sends besides the statements of its calls.
        """
        return self._setups if self._writes else []

    def submit(self, call: Call) -> Deferred[Any]:
        """
        Make a call, in the unit of this turn.

        @return: The call's answer.
        """
        return deferredOf(self.tell, call)

    def tell(self, told: Told, call: Call) -> None:
        """
        Do what L{submit} does, for somebody who wants no Deferred.
        """
        queue = self._queue
        if len(queue) >= self._room:
            told.errback(self._refused())
            return
        if call.told is not told:
            call.told = told
        if not queue:
            self._begin(call)
        queue.append(call)

    def _begin(self, call: Call) -> None:
        """
        A call comes that is the only one to wait: see that a unit is sent, and that
        somebody looks when it is late.
        """
        assert self._link is not None
        self._link.wake()
        if self._timer is None:
            delay = call.due - self._reactor.seconds()
            self._timer = self._reactor.callLater(max(0.0, delay), self._overdue)

    def _refused(self) -> StoreError:
        """
        Make the error of a line that is down, or of one that has no room.
        """
        refusal = self._refusal
        if refusal is not None:
            return type(refusal)(str(refusal))
        return StoreUnavailable(
            f"{QUEUE_LIMIT} calls are waiting for the session database {self.place} "
            "already: it is too slow for what it is given"
        )

    @property
    def _count(self) -> int:
        """
        How many calls wait or are under way.
        """
        return len(self._queue) + self._underWay

    def _setRefusal(self, refusal: StoreError | None) -> None:
        """
        Refuse what comes from now on, or take it again.
        """
        self._refusal = refusal
        self._room = _NO_ROOM if refusal is not None else QUEUE_LIMIT - self._underWay

    def close(self) -> Deferred[None]:
        """
        Let what is under way be answered, until its deadline; then end.
        """
        self._setRefusal(StoreUnavailable("the session store is closed"))
        closing = self._closing = Deferred()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._endIfIdle()
        return closing

    def takeUnit(self) -> Unit | None:
        """
        See L{IEnd.takeUnit<txsessions.stores._postgresql_link.IEnd.takeUnit>}.
        """
        if not self._queue:
            return None
        calls = gather(self._queue)
        self._underWay += len(calls)
        self._room -= len(calls)
        if not self._writes:
            return Unit(calls, None)
        # A key that is none has no order; it is refused where it is sent.
        with contextlib.suppress(TypeError):
            calls.sort(key=_keysOf)
        return Unit(calls, self._setups[max(map(_commitOf, calls))])

    def unitsDone(self, units: list[Unit]) -> None:
        """
        See L{IEnd.unitsDone<txsessions.stores._postgresql_link.IEnd.unitsDone>}.
        """
        self._failures = 0
        for place, unit in enumerate(units):
            if unit.failed is not None and endsConnection(unit.code):
                for left in reversed(units[place:]):
                    self._queue.extendleft(reversed(left.calls))
                self._break(storeError(unit.code, unit.said, self.place), unit.code)
                return
            self._underWay -= len(unit.calls)
            self._room += len(unit.calls)
            # Who is told may close the store, while others have to be made again.
            self._isTelling = True
            again = settle(unit, self.place)
            if again:
                self._requeue(again)
            self._isTelling = False
        if self._queue and self._link is not None:
            self._link.wake()
        if self._closing is not None:
            self._endIfIdle()

    def _requeue(self, calls: list[Call]) -> None:
        """
        Make these calls again, before all others; not those that are too late.
        """
        now = self._reactor.seconds()
        for call in reversed(calls):
            if call.due > now:
                self._queue.appendleft(call)
            else:
                call.answer(late(self.place, self._deadline))

    def linkLost(self, why: str) -> None:
        """
        See L{IEnd.linkLost<txsessions.stores._postgresql_link.IEnd.linkLost>}.
        """
        self._break(unknown(self.place, why))

    def breakOff(self, why: str) -> None:
        """
        Drop the connection and make another, for a reason that is not its own.
        """
        if self._link is not None:
            self._break(unknown(self.place, why))

    def _break(self, error: StoreError, code: str = "") -> None:
        """
        The connection is of no more use: everything under way fails.
        """
        link, self._link = self._link, None
        calls: list[Call] = []
        if link is not None:
            units = link.underWay()
            link.drop()
            calls = [call for unit in units for call in unit.calls]
        calls += self._queue
        self._queue.clear()
        self._underWay = 0
        self._stopTimer()
        if self._closing is None:
            self._setRefusal(error)
            self._complain(str(error))
            self._retryLater()
            self.onLost(code)
        for call in calls:
            call.answer(type(error)(str(error)))
        self._endIfIdle()

    def _overdue(self) -> None:
        """
        The timer: give the connection up if anything under way is too late.
        """
        self._timer = None
        if self._fork != FORKS.count or self._link is None:
            return
        now = self._reactor.seconds()
        dues = [unit.due for unit in self._link.underWay()]
        if self._queue:
            dues.append(self._queue[0].due)
        if dues and min(dues) <= now:
            self._break(late(self.place, self._deadline))
        elif dues:
            self._timer = self._reactor.callLater(min(dues) - now, self._overdue)

    def _retryLater(self) -> None:
        """
        Connect again, in a moment.
        """
        delay = delayAfter(self._failures, self._chance)
        self._failures += 1
        self._retry = self._reactor.callLater(delay, self._attempt)

    def _attempt(self) -> None:
        """
        Connect again.
        """
        self._retry = None
        if self._fork != FORKS.count:
            return
        handled(
            self._connector.connect()
            .addCallback(self._connected)
            .addErrback(self._notConnected)
        )

    def _connected(self, connection: Any) -> None:
        """
        There is a connection.

        @raise StoreUnavailable: It is not wanted any more, or cannot be watched.
        """
        if self._closing is not None:
            connection.close()
            self._endIfIdle()
            raise StoreUnavailable("the session store is closed")
        try:
            self._link = self._connector.makeLink(connection, self, self._writes)
        except Exception as error:
            connection.close()
            raise StoreUnavailable(
                f"the connection to {self.place} cannot be watched: {error!r}"
            ) from None
        self._setRefusal(None)
        if self._complaint:
            self._complaint = ""
            self._log.info(
                "The session database {place} answers again", place=self.place
            )
        self.onConnected()

    def _notConnected(self, failure: Failure) -> None:
        """
        It cannot be connected now.
        """
        if self._closing is not None:
            self._endIfIdle()
            return
        error = failure.value
        if not isinstance(error, StoreError):
            error = StoreUnavailable(f"{self.place} cannot be connected: {error!r}")
        self._setRefusal(error)
        self._complain(str(error))
        self._retryLater()

    def _complain(self, said: str) -> None:
        """
        Tell the operator, of each trouble once.
        """
        if said != self._complaint:
            self._complaint = said
            self._log.error("{said}; trying again", said=said)

    def _stopTimer(self) -> None:
        """
        Nothing is under way.
        """
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _endIfIdle(self) -> None:
        """
        If it was closed and nothing is left to wait for, let go of everything.
        """
        closing = self._closing
        if closing is None or self._count or self._isTelling:
            return
        if self._connector.isConnecting:
            return
        self._stopTimer()
        link, self._link = self._link, None
        if link is not None:
            link.drop()
        if not closing.called:
            closing.callback(None)


__all__ = ["QUEUE_LIMIT", "Line"]
