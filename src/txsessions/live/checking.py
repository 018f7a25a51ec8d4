"""
Whether sessions can be kept now, found out by keeping something.

Owns the probe: a record that belongs to nobody, is there for some milliseconds, and
runs out by itself where it could not be removed.  Knows no engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from txsessions.core.record import Record
from txsessions.errors import SessionError

if TYPE_CHECKING:
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")

PROBE = b"txsessions probe "
"""What the payload of a probe begins with, as no sealed one does."""

PROBE_LIFE = 10.0
"""Seconds after which a probe runs out that could not be removed."""

FRESH = 1.0
"""Seconds for which what was found is good enough for who asks often."""

_NOT_GIVEN_BACK = "it did not give back what it was given"


@frozen(kw_only=True)
class StoreCheck:
    """
    What a look at the store has found.

    @ivar address: Where the sessions are, for people.
    @ivar durability: What an acknowledged change survives, for people.
    @ivar reachable: Whether the store is open.
    @ivar writable: Whether it has taken a record, and let go of it.
    @ivar readable: Whether it answers, and with what it was given.
    @ivar openSeconds: How long it took to be open; 0 where it was.
    @ivar writeSeconds: How long the writing took, L{None} if it was not tried.
    @ivar readSeconds: How long the reading took, L{None} if it was not tried.
    @ivar why: What is wrong, for people, or the empty string.
    """

    address: str
    durability: str
    reachable: bool = False
    writable: bool = False
    readable: bool = False
    openSeconds: float = 0.0
    writeSeconds: float | None = None
    readSeconds: float | None = None
    why: str = ""

    @property
    def isGood(self) -> bool:
        """
        Whether sessions can be kept.
        """
        return self.reachable and self.writable and self.readable


def isProbe(record: Record) -> bool:
    """
    Whether a record is none of a session.
    """
    return record.payload.startswith(PROBE)


class Checks:
    """
    Looks at the store of a live table.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._waiting: list[Deferred[StoreCheck]] | None = None
        self._last: StoreCheck | None = None
        self._lastAt = 0.0

    def recent(self, entropy: Callable[[int], bytes]) -> Deferred[StoreCheck]:
        """
        Look, unless somebody is looking or has just done so.

        @return: See L{check}.
        """
        age = self._table.seconds() - self._lastAt
        if self._last is not None and 0 <= age < FRESH:
            return succeed(self._last)
        done: Deferred[StoreCheck] = Deferred()
        if self._waiting is not None:
            self._waiting.append(done)
            return done
        self._waiting = [done]
        _ = self.check(entropy).addCallback(self._found)
        return done

    def _found(self, check: StoreCheck) -> None:
        """
        Tell all who wait.
        """
        self._last, self._lastAt = check, self._table.seconds()
        waiting, self._waiting = self._waiting or [], None
        for done in waiting:
            done.callback(check)

    def check(self, entropy: Callable[[int], bytes]) -> Deferred[StoreCheck]:
        """
        Look.

        @param entropy: Gives as many bytes of chance as it is asked for.
        @return: Fires with what was found, and never fails.
        """
        return Deferred.fromCoroutine(self._check(entropy))

    async def _check(self, entropy: Callable[[int], bytes]) -> StoreCheck:
        """
        Look, by one call after another.
        """
        table = self._table
        if table.store is None:
            return StoreCheck(
                address="",
                durability="nothing: the sessions end with this process",
                reachable=True,
                writable=True,
                readable=True,
                writeSeconds=0.0,
                readSeconds=0.0,
            )
        found = StoreCheck(
            address=table.store.address, durability=table.store.durability
        )
        begun = table.seconds()
        try:
            await table.lifecycle.whenOpen()
        except Exception as error:
            lifecycle = table.lifecycle
            cause = None if lifecycle.isOver else lifecycle.openFailure
            why = _said(cause.value if cause and cause.value else error)
            return evolve(found, openSeconds=table.seconds() - begun, why=why)
        opened = evolve(found, reachable=True, openSeconds=table.seconds() - begun)
        try:
            probe = self._makeProbe(entropy)
        except Exception as error:
            return evolve(opened, why=f"no probe could be made: {_said(error)}")
        check = await self._tryOut(opened, probe)
        if check.why == _NOT_GIVEN_BACK:
            # It may have been one anonymous session too many.
            check = await self._tryOut(opened, self._makeProbe(entropy))
        return check

    def _makeProbe(self, entropy: Callable[[int], bytes]) -> Record:
        """
        Make a record that is nobody's.
        """
        now = self._table.seconds()
        return Record(
            key=entropy(32),
            version=1,
            createdAt=now,
            touchedAt=now,
            expiresAt=now + PROBE_LIFE,
            payload=PROBE + entropy(16),
        )

    async def _tryOut(self, opened: StoreCheck, probe: Record) -> StoreCheck:
        """
        Keep a probe, read it, remove it.
        """
        store, seconds = self._table.store, self._table.seconds
        faults = []
        times = [seconds()]
        isKept = isRead = isRemoved = False
        try:
            await store.insert(probe, seconds())
            isKept = True
        except Exception as error:
            faults.append(f"it cannot be written: {_said(error)}")
        times.append(seconds())
        try:
            answer = await store.load(probe.key, seconds())
            isRead = not isKept or _isSame(answer, probe)
            if not isRead:
                faults.append(_NOT_GIVEN_BACK)
        except Exception as error:
            faults.append(f"it cannot be read: {_said(error)}")
        times.append(seconds())
        try:
            # Also if it is unknown what has become of it.
            await store.delete(probe.key)
            isRemoved = True
        except Exception as error:
            if isKept:
                faults.append(f"nothing can be removed from it: {_said(error)}")
        times.append(seconds())
        return evolve(
            opened,
            writable=isKept and isRemoved,
            readable=isRead,
            writeSeconds=times[1] - times[0] + times[3] - times[2],
            readSeconds=times[2] - times[1],
            why="; ".join(faults),
        )


def _isSame(answer: Any, probe: Record) -> bool:
    """
    Whether a store has given back what it was given.
    """
    return isinstance(answer, Record) and answer.payload == probe.payload


def _said(error: BaseException) -> str:
    """
    What to tell people of an error.
    """
    if isinstance(error, SessionError):
        return str(error)
    _log.error("looking at the session store: {error!r}", error=error)
    return f"it failed unexpectedly ({type(error).__name__})"


__all__ = ["FRESH", "PROBE", "PROBE_LIFE", "Checks", "StoreCheck", "isProbe"]
