"""
How many anonymous sessions there may be, and what becomes of those that are too many.

Owns the count of those that this process has made, when the store is asked to let the
oldest go, and what is told of it.  Knows no HTTP.

Theory of operation.  To be exact over all processes each new session would have to be
counted with all the others.  So the store is asked once a batch, which is a hundredth
of what there may be, and then makes room for a batch: there are never more than may be
by more than a batch for each process beside this one, and by what comes in while the
store is at it.  Nobody asks as long as nobody makes any.  Sessions in which somebody is
signed in are no business of this module.
"""

from __future__ import annotations

import heapq
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txsessions.errors import ConfigurationError, SessionError, SessionStale
from txsessions.live.checking import isProbe
from txsessions.live.events import EVICTED, EventKind
from txsessions.live.laststate import LastState
from txsessions.live.phases import NEW, STALE, STORED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.python.failure import Failure

    from txsessions.core.record import Record
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")

MOST = 50_000
"""How many anonymous sessions there may be, where the site does not say."""

SHARE = 100
"""Which part of that a batch is."""

SLICE = 100
"""How many go at a time."""

SILENCE = 60.0
"""Seconds for which the log does not say again that some have to go."""


@frozen(kw_only=True)
class Floods:
    """
    What has come of visitors who are not signed in, in this process, since it began.

    @ivar inserted: How many anonymous sessions were made.
    @ivar evicted: How many had to go because there were too many.
    @ivar refused: How many requests were answered 429, for the budget of their network.
    @ivar networks: How often a network had no budget left: once a window each.
    """

    inserted: int
    evicted: int
    refused: int
    networks: int


class Anonymous:
    """
    The anonymous sessions of a live table.

    @ivar inserted: See L{Floods.inserted}.
    @ivar evicted: See L{Floods.evicted}.
    @ivar refused: See L{Floods.refused}.
    @ivar networks: See L{Floods.networks}.
    @ivar budget: What decides whether a new one may be made, with C{admit(session)}
        and C{isSpent(session)}; L{None} where each may.
    @ivar _madeRoomAt: How many had been made when room was last made.
    @ivar _dueAt: How many will have been when that is due again.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._most: int | None = MOST
        self.inserted = self.evicted = self.refused = self.networks = 0
        self.budget: Any = None
        self._madeRoomAt = 0
        self._dueAt: float = MOST // SHARE
        self._isEvicting = False
        self._saidAt = -inf

    @property
    def most(self) -> int | None:
        """
        How many there may be; L{None} for any number.
        """
        return self._most

    @most.setter
    def most(self, most: int | None) -> None:
        if most is not None and (type(most) is not int or most < 1):
            raise ConfigurationError(
                f"maxAnonymous is a number of sessions, 1 or more, or None, not {most!r}"
            )
        self._most = most
        self._dueAt = self._nextDue()

    def counted(self) -> Floods:
        """
        The counters as they are now.
        """
        return Floods(
            inserted=self.inserted,
            evicted=self.evicted,
            refused=self.refused,
            networks=self.networks,
        )

    # -- getting in

    def admit(self, session: Session) -> None:
        """
        An anonymous session is about to be kept for the first time.

        @raise TooManyNewSessions: It may not.
        """
        if self.budget is not None:
            self.budget.admit(session)

    def isRefused(self, session: Session) -> bool:
        """
        Whether a session could not be kept now, unless somebody signs in on it.
        """
        return (
            self.budget is not None
            and session._phase == NEW
            and session._signIn is None
            and self.budget.isSpent(session)
        )

    def keep(self, session: Session) -> None:
        """
        Where there is no store, this process keeps a session for good.

        @raise TooManyNewSessions: It may not.
        @raise SessionStale: It was refused before.
        """
        if session._phase == STALE:
            raise SessionStale
        if session._phase != NEW or session._entry is not None:
            return
        table = self._table
        if session._signIn is None:
            try:
                self.admit(session)
            except SessionError:
                table.dismiss(session)
                session._phase = STALE
                raise
        session._phase = STORED
        tag, createdAt = table.tagOf(session._uid), session._createdAt
        table.announcer.tell(EventKind.CREATED, tag, table.seconds(), "", createdAt)
        if session._signIn is None:
            self.oneMade()

    def oneMade(self) -> None:
        """
        There is one more.
        """
        self.inserted += 1
        if self.inserted >= self._dueAt:
            self._mayEvict()

    # -- getting out

    def _mayEvict(self) -> None:
        """
        Make room: a batch has been made since that was done.
        """
        if self._isEvicting:
            return
        self._madeRoomAt = self.inserted
        self._dueAt = self._nextDue()
        if self._table.store is None:
            self._evictHere()
            return
        self._isEvicting = True
        self._table.writes.underWay += 1
        done = Deferred.fromCoroutine(self._evict())
        _ = done.addErrback(self._failed).addCallback(self._done)

    async def _evict(self) -> None:
        """
        Have the store make room, slice by slice.
        """
        table, lifecycle = self._table, self._table.lifecycle
        more = True
        while more and self._most is not None and not lifecycle.isOver:
            evicted, more = await table.store.evictAnonymous(
                self._room(), table.seconds(), SLICE
            )
            if evicted:
                self._say()
            for record in evicted:
                self._tell(record)

    def _failed(self, failure: Failure) -> None:
        """
        The store failed; the next batch tries again.
        """
        self._table.broken(failure, None)

    def _done(self, _: object) -> None:
        """
        There is room; meanwhile others may have come.
        """
        self._isEvicting = False
        self._table.writes.oneEnded()
        if self.inserted >= self._dueAt and self._table.lifecycle.isOpen:
            self._mayEvict()

    def _nextDue(self) -> float:
        """
        How many will have been made when room is to be made again.
        """
        most = self._most
        return inf if most is None else self._madeRoomAt + max(1, most // SHARE)

    def _room(self) -> int:
        """
        How many may stay, so that there is room for a batch.
        """
        most = self._most or 0
        return most - most // SHARE

    def _evictHere(self) -> None:
        """
        There is no store: end the longest unused.
        """
        living = [
            session
            for session in self._table.sessions.values()
            if session._phase == STORED and session._signIn is None
        ]
        surplus = len(living) - self._room()
        if surplus > 0:
            self._say()
            for session in heapq.nsmallest(surplus, living, key=_lastUsed):
                self.evicted += 1
                _ = session._end(EVICTED)

    def _say(self) -> None:
        """
        Tell the operator, now and then.
        """
        now = self._table.seconds()
        if not 0 <= now - self._saidAt < SILENCE:
            self._saidAt = now
            _log.warn(
                "there are more than {most} anonymous sessions: those that were not "
                "used for longest are ended (maxAnonymous)",
                most=self._most,
            )

    def _tell(self, record: Record) -> None:
        """
        Tell that a session had to go.
        """
        if isProbe(record):
            return
        self.evicted += 1
        table = self._table
        table.announcer.tell(
            EventKind.ENDED,
            record.tag,
            table.seconds(),
            EVICTED,
            record.createdAt,
            record.touchedAt,
            LastState(partial(self._partsOf, record)),
        )

    def _partsOf(self, record: Record) -> Mapping[bytes, bytes]:
        """
        What was in a record; nothing if that cannot be read: it may be that of another
        site.
        """
        try:
            parts: Mapping[bytes, bytes] = self._table.loader.open(record).parts
        except SessionError:
            return {}
        return parts


def _lastUsed(session: Session) -> float:
    """
    When a session was last used.
    """
    at: float = session.lastModified
    return at


__all__ = ["MOST", "SHARE", "SLICE", "Anonymous", "Floods"]
