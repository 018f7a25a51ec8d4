"""
The clock of a Redis server.

Owns how far it is ahead of the callers' C{now}.  The server is the one clock that
all machines share: what they say is moved to it on the way in and back on the way
out.  Measured when the first C{now} comes over a connection, which waits for that
with all that follows, and once a minute after that, beside what goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.errors import StoreUnavailable
from txsessions.stores._redis_resp import ReplyError, pack

INTERVAL = 60.0
"""Seconds between two measurements."""

TOLERANCE = 0.1
"""By how many seconds the clocks have to drift apart, beyond what a round trip leaves
unknown, before the offset is moved: as long as it stays, times come back exactly."""

STEP = 64
"""Offsets are whole parts of a second, this many to a second, so that adding one to a
time and taking it off again gives the same time."""

_TIME = pack([b"TIME"])
_NEVER = float("-inf")
_log = Logger(namespace="txsessions")


class ServerClock:
    """
    Measures one server's clock.

    @ivar offset: How many seconds it is ahead.
    @ivar lookAt: The reactor's time from which on L{mustWait} has something to do:
        who comes before need not ask it.
    """

    def __init__(
        self,
        send: Callable[[bytes], Deferred[Any]],
        seconds: Callable[[], float],
        maxQueue: int,
    ) -> None:
        """
        @param send: Sends a command to the server.
        @param seconds: The reactor's time.
        @param maxQueue: How many calls may be held.
        """
        self.offset = 0.0
        self._send = send
        self._seconds = seconds
        self._maxQueue = maxQueue
        self.lookAt = _NEVER
        self._held: deque[tuple[Deferred[Any], Callable[[], Deferred[Any]]]] | None
        self._held = None

    def connected(self) -> None:
        """
        There is a new connection, perhaps to another server.
        """
        self.lookAt = _NEVER

    def mustWait(self, now: float | None) -> bool:
        """
        Measure if it is time to.

        @param now: The caller's clock, if it told.
        @return: Whether the call has to be held.
        """
        if self._held is not None:
            return True
        begun = self._seconds()
        if now is None or self.lookAt > begun:
            return False
        if self.lookAt == _NEVER:
            self._held = deque()
        else:
            self.lookAt = begun + INTERVAL
        asked = self._send(_TIME)
        _ = asked.addCallbacks(
            self._found, self._unknown, (now, begun), errbackArgs=(begun,)
        )
        return self._held is not None

    def hold(self, call: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """
        Make a call as soon as the clock is known, in the order of calling.
        """
        held = self._held
        assert held is not None
        if len(held) >= self._maxQueue:
            return fail(
                StoreUnavailable(
                    f"{len(held)} calls wait already for the session store"
                )
            )
        deferred: Deferred[Any] = Deferred()
        held.append((deferred, call))
        return deferred

    def _found(self, reply: list[bytes], now: float, begun: float) -> None:
        """
        The server told its time.
        """
        trip = self._seconds() - begun
        theirs = int(reply[0]) + int(reply[1]) / 1e6
        ahead = theirs - (now + trip / 2)
        if abs(ahead - self.offset) > TOLERANCE + trip / 2:
            self.offset = round(ahead * STEP) / STEP
            _log.info(
                "the clock of the session store is {ahead} s ahead of this "
                "process's; session times are kept in the store's",
                ahead=self.offset,
            )
        self._go(begun + INTERVAL)

    def _unknown(self, failure: Failure, begun: float) -> None:
        """
        The server did not tell: it is gone, or an ACL forbids it.
        """
        isForbidden = failure.check(ReplyError) is not None
        self._go(begun + INTERVAL if isForbidden else _NEVER)

    def _go(self, lookAt: float) -> None:
        """
        Make the calls that were held; what was cancelled is not.

        @param lookAt: When to measure again.
        """
        self.lookAt = lookAt
        held, self._held = self._held, None
        for deferred, call in held or ():
            if not deferred.called:
                # One that cannot be made is not the others' fault.
                _ = maybeDeferred(call).chainDeferred(deferred)


__all__ = ["INTERVAL", "STEP", "TOLERANCE", "ServerClock"]
