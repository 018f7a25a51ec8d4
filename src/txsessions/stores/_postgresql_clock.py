"""
The clock of a PostgreSQL server.

Owns how far it is ahead of the callers' C{now}.  The server's is the one clock that
all machines share: rows hold its time, and what callers say is moved to it on the way
in and back on the way out.  It is measured when the first C{now} comes over new
connections, which waits for that, and again about once a minute, for which nothing
waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.telling import Told
from txsessions.errors import StoreError, StoreUnavailable
from txsessions.stores._postgresql_exchange import Call
from txsessions.stores._postgresql_line import QUEUE_LIMIT, Line
from txsessions.stores._postgresql_statements import Statement
from txsessions.stores._reactor import IStoreReactor, handled

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

INTERVAL = 60.0
"""Seconds between two measurements."""

TOLERANCE = 200_000
"""How many microseconds two clocks may differ, beyond what the time of the answer
leaves open, before the offset is changed.  As long as it is not, times come back as
they went in; and clocks that somebody keeps right need none."""


class ServerClock:
    """
    See the module.

    @ivar offset: How far the server is ahead, in microseconds.
    @ivar isKnown: Whether that was measured.
    @ivar nextAt: When it is to be measured again, by the reactor's clock.
    """

    _log = Logger()

    def __init__(self, statement: Statement, reactor: IStoreReactor) -> None:
        """
        @param statement: Asks for the server's time.
        """
        self.offset = 0
        self._statement = statement
        self._reactor = reactor
        self.isKnown = False
        self.nextAt = float("-inf")
        self._held: list[tuple[Told, Callable[[], None]]] = []

    def forget(self) -> None:
        """
        A connection was lost: the next one may be to another server.
        """
        self.isKnown = False
        self.nextAt = float("-inf")

    def when(
        self,
        told: Told,
        line: Line,
        now: float,
        due: float,
        make: Callable[[int, float], Call],
    ) -> None:
        """
        Measure, if nobody else does already, and make a call: at once, if the
        offset was known before; else not if it is cancelled until then.

        @param told: Who waits for the call.
        @param line: Where the server is asked, and the call made.
        @param now: The caller's clock.
        @param due: When it is too late.
        @param make: Takes the offset and when it is too late.
        """
        if not self.isKnown and len(self._held) >= QUEUE_LIMIT:
            told.errback(
                StoreUnavailable(
                    f"{QUEUE_LIMIT} calls are waiting for the clock of the session "
                    "database already"
                )
            )
            return

        def call() -> None:
            line.tell(told, make(self.offset, due))

        isHeld = not self.isKnown
        if isHeld:
            self._held.append((told, call))
        seconds = self._reactor.seconds()
        if seconds >= self.nextAt:
            self.nextAt = seconds + INTERVAL
            asked = line.submit(Call(self._statement, [], _read, due))
            handled(asked.addCallbacks(self._found, self._unknown, (now, seconds)))
        if not isHeld:
            call()

    def _found(self, theirs: int, now: float, asked: float) -> None:
        """
        The server told its time.
        """
        trip = round((self._reactor.seconds() - asked) * 1e6)
        ahead = theirs - round(now * 1e6) - trip // 2
        if abs(ahead - self.offset) > TOLERANCE + trip // 2:
            self.offset = ahead
            self._log.warn(
                "The clock of the session database is {ahead} s ahead of this "
                "process's; the times of sessions are kept in the database's",
                ahead=ahead / 1e6,
            )
        self.isKnown = True
        held, self._held = self._held, []
        for told, call in held:
            if not told.called:
                try:
                    call()
                except Exception:
                    # It cannot be made, which is not the others' fault.
                    told.errback(Failure())

    def _unknown(self, failure: Failure) -> None:
        """
        The server did not tell.
        """
        self.nextAt = float("-inf")
        held, self._held = self._held, []
        error = failure.value
        kind = type(error) if isinstance(error, StoreError) else StoreUnavailable
        for told, _ in held:
            if not told.called:
                told.errback(kind(str(error)))


def _read(result: PGresult) -> int:
    """
    Read the server's time.
    """
    return int.from_bytes(result.get_value(0, 0) or b"", "big", signed=True)


__all__ = ["INTERVAL", "TOLERANCE", "ServerClock"]
