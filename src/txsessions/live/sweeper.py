"""
The sweeper: takes expired records out of the store and tells of them.

Owns the rhythm and the slices.  No limit depends on it: an expired record is
absent for every reader whether it has been swept or not.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from txsessions.core.record import Record
from txsessions.errors import SessionError
from txsessions.live.checking import isProbe
from txsessions.live.events import EventKind
from txsessions.live.laststate import LastState

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from txsessions.core.state import State
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")

INTERVAL = 60.0
"""Seconds between two sweeps."""

SLICE = 100
"""How many expired records are dealt with at a time."""

AT_ONCE = 0.004
"""Seconds for which expired sessions are told of in one turn of the reactor."""

LEASE = 60.0
"""Seconds after which a record that was claimed and not acknowledged is claimed
again, by whoever comes first."""


class Sweeper:
    """
    Sweeps one store.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._call: IDelayedCall | None = None
        self._running = False
        self._sweeping = self._again = False
        self._claimed: deque[Record] = deque()
        self._told: list[bytes] = []
        self._done: Deferred[int] = Deferred()

    def start(self) -> None:
        """
        Sweep from now on.
        """
        if not self._running:
            self._running = True
            self._later(INTERVAL)

    def stop(self) -> None:
        """
        Sweep no more.  What was claimed and not told is left to others, after the
        lease.
        """
        self._running = False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._claimed.clear()
        self._acknowledge()

    def sweepSoon(self) -> None:
        """
        There is something to sweep: do not wait for the next time.
        """
        if self._sweeping:
            self._again = True
        elif self._call is not None:
            self._call.reset(0)
        else:
            self._sweep()

    def _later(self, delay: float) -> None:
        """
        Go on after a while.
        """
        if self._running and not self._sweeping and self._call is None:
            self._call = self._table.reactor.callLater(delay, self._sweep)

    def _sweep(self) -> None:
        """
        Deal with one slice.
        """
        self._call = None
        self._sweeping, self._again = True, False
        done = maybeDeferred(self.sweepSlice)
        _ = done.addCallbacks(self._swept, self._failed)

    def _swept(self, count: int) -> None:
        """
        A slice is done; where it was full there is more.
        """
        self._sweeping = False
        self._later(0 if self._again or count == SLICE else INTERVAL)

    def _failed(self, failure: Failure) -> None:
        """
        The store failed; the next sweep tries again.
        """
        self._sweeping = False
        self._table.broken(failure, None)
        self._later(INTERVAL)

    def sweepSlice(self) -> Deferred[int]:
        """
        Claim expired records, tell of them, and have them removed.

        @return: How many there were.
        """
        table = self._table
        claimed: Deferred[list[Record]] = table.store.claimExpired(
            table.seconds(), SLICE, LEASE
        )
        return claimed.addCallback(self._tell)

    def _tell(self, records: list[Record]) -> Deferred[int] | int:
        """
        Tell of records, and have them removed.
        """
        if not records:
            return 0
        self._claimed.extend(records)
        self._done = done = Deferred[int]()
        self._tellSome()
        return done

    def _tellSome(self) -> None:
        """
        Tell of as many as one turn of the reactor has time for.
        """
        self._call = None
        reactor, claimed = self._table.reactor, self._claimed
        until = reactor.seconds() + AT_ONCE
        while claimed:
            record = claimed.popleft()
            self._told.append(record.key)
            try:
                self._expired(record)
            except BaseException:
                _log.failure("the end of a session could not be told")
            if claimed and reactor.seconds() > until:
                self._call = reactor.callLater(0, self._tellSome)
                return
        self._acknowledge()

    def _acknowledge(self) -> None:
        """
        What was told need not be told again.
        """
        told, self._told = self._told, []
        if told:
            removed = maybeDeferred(self._table.store.acknowledge, told)
            _ = removed.addCallback(lambda _: len(told)).chainDeferred(self._done)

    def _expired(self, record: Record) -> None:
        """
        A session has ended by itself, and this process is to tell.
        """
        table = self._table
        if isProbe(record):
            return
        state = self._open(record)
        table.announcer.tell(
            EventKind.EXPIRED,
            record.tag,
            table.seconds(),
            "" if state is None else _reason(record, state),
            record.createdAt,
            record.touchedAt,
            None if state is None else LastState(partial(getattr, state, "parts")),
            None if state is None else state.signIn,
        )
        entry, parked = table.byKey.get(record.key), table.parked.get(record.key)
        if entry is not None:
            entry.ending.isOver = True
            entry.session._runOut()
        elif parked is not None:
            parked.gone()

    def _open(self, record: Record) -> State | None:
        """
        What is in a record.

        @return: L{None} if that cannot be read: the record may be that of another
            site.
        """
        try:
            return self._table.loader.open(record)
        except SessionError:
            return None


def _reason(record: Record, state: State) -> str:
    """
    Which limit a session has reached.
    """
    ended = record.expiresAt >= state.createdAt + state.lifetime
    return "lifetime" if ended else "idle"


__all__ = ["Sweeper"]
