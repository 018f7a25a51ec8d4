"""
The sweeper: takes expired records out of the store and tells of them.

Owns the rhythm and the slices.  No limit depends on it: an expired record is
absent for every reader whether it has been swept or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txsessions.core.record import Record
from txsessions.errors import SessionError
from txsessions.live.events import EventKind

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")

INTERVAL = 60.0
"""Seconds between two sweeps."""

SLICE = 100
"""How many expired records are dealt with at a time."""

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

    def start(self) -> None:
        """
        Sweep from now on.
        """
        if not self._running:
            self._running = True
            self._later(INTERVAL)

    def stop(self) -> None:
        """
        Sweep no more.
        """
        self._running = False
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _later(self, delay: float) -> None:
        """
        Go on after a while.
        """
        if self._running:
            self._call = self._table.reactor.callLater(delay, self._sweep)

    def _sweep(self) -> None:
        """
        Deal with one slice.
        """
        self._call = None
        _ = self.sweepSlice().addCallbacks(self._swept, self._failed)

    def _swept(self, count: int) -> None:
        """
        A slice is done; where it was full there is more.
        """
        self._later(0 if count == SLICE else INTERVAL)

    def _failed(self, failure: Failure) -> None:
        """
        The store failed; the next sweep tries again.
        """
        self._table.broken(failure, None)
        self._later(INTERVAL)

    def sweepSlice(self) -> Deferred[int]:
        """
        Claim expired records, tell of them, and have them removed.

        @return: How many there were.
        """
        table = self._table
        store = table.store
        claimed: Deferred[list[Record]] = store.claimExpired(
            table.seconds(), SLICE, LEASE
        )

        def tell(records: list[Record]) -> Deferred[int] | int:
            for record in records:
                self._expired(record)
            if not records:
                return 0
            done: Deferred[None] = store.acknowledge([r.key for r in records])
            return done.addCallback(lambda _: len(records))

        return claimed.addCallback(tell)

    def _expired(self, record: Record) -> None:
        """
        A session has ended by itself, and this process is to tell.
        """
        table = self._table
        entry = table.byKey.get(record.key)
        if entry is not None:
            entry.session._runOut()
            return
        table.announcer.tell(
            EventKind.EXPIRED,
            record.tag,
            table.seconds(),
            self._reason(record),
            record.createdAt,
        )
        parked = table.parked.get(record.key)
        if parked is not None:
            parked.gone()

    def _reason(self, record: Record) -> str:
        """
        Which limit a session has reached.

        @return: The empty string if that cannot be read: the record may be that
            of another site.
        """
        try:
            state = self._table.loader.open(record)
        except SessionError:
            return ""
        ended = record.expiresAt >= state.createdAt + state.lifetime
        return "lifetime" if ended else "idle"


__all__ = ["Sweeper"]
