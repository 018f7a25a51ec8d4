"""
How long sessions stay in memory.

Owns who is held by a request, who rests, and who leaves: a minute after the last
request, or when too many rest, the longest unused first.  Leaving memory ends
nothing: the store has the session.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from txsessions.errors import SessionError
from txsessions.live.deadlines import deadlinesOf
from txsessions.live.parked import Parked
from txsessions.live.session import ENDED, NEW, STORED, Session

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.entry import Entry
    from txsessions.live.table import LiveTable

LINGER = 60.0
"""Seconds that a session stays in memory after the last request that held it."""

MAX_LIVE = 10_000
"""How many sessions stay in memory that no request holds."""


class Resting:
    """
    The sessions of a live table that no request holds.

    @ivar departed: Those that have left memory while somebody still has the
        object: it is taken again when they are loaded.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._idle: OrderedDict[Entry, float] = OrderedDict()
        self.departed: WeakValueDictionary[bytes, Session] = WeakValueDictionary()
        self._due: float | None = None
        self._queuedFor = inf

    def forget(self, entry: Entry) -> None:
        """
        A session is live no more.
        """
        self._idle.pop(entry, None)

    def clear(self) -> None:
        """
        No session is live any more.
        """
        self._idle.clear()
        deadlinesOf(self._table.reactor).forget(self)

    def hold(self, session: Session, visit: Any) -> None:
        """
        A request holds the session.
        """
        visits = session._visits
        if visits is None:
            visits = session._visits = {}
            if session._entry is not None:
                self._idle.pop(session._entry, None)
        visits[visit] = None

    def release(self, session: Session, visit: Any) -> None:
        """
        A request no longer holds the session.
        """
        visits = session._visits
        if visits is None:
            return
        visits.pop(visit, None)
        if not visits:
            session._visits = None
            entry = session._entry
            if entry is not None and session._phase < ENDED:
                self.rest(entry)

    def rest(self, entry: Entry) -> None:
        """
        Nobody holds the session.
        """
        self._idle[entry] = self._table.seconds()
        self._idle.move_to_end(entry)
        if self._due is None:
            self._due = self._table.seconds() + LINGER
            deadlinesOf(self._table.reactor).watch(self)
        if len(self._idle) > MAX_LIVE:
            self._leave(next(iter(self._idle)))

    def _deadlinePassed(self) -> None:
        """
        Somebody has rested long enough.
        """
        now = self._table.seconds()
        for _ in range(len(self._idle)):
            entry, since = next(iter(self._idle.items()))
            if since + LINGER > now:
                self._due = since + LINGER
                deadlinesOf(self._table.reactor).watch(self)
                return
            self._leave(entry)

    def _leave(self, entry: Entry) -> None:
        """
        Let a session leave memory, once it is saved.
        """
        self._idle.pop(entry, None)
        session = entry.session
        if session._phase >= ENDED or session._visits:
            return
        if session._phase == NEW and entry.flight is None and entry.isEmpty():
            # Made by hand, kept by hand: it stays until its deadline.
            return
        try:
            saved = entry.settle(_Leaving(self, entry))
        except SessionError:
            return
        if saved:
            self.depart(entry)

    def depart(self, entry: Entry) -> None:
        """
        Let a saved session go, or keep it because of what it holds.
        """
        session = entry.session
        if session._visits or session._phase != STORED or entry.flight is not None:
            return
        if entry.pinned:
            return
        self._table.sessions.leave(session._uid)
        deadlinesOf(session._reactor).forget(session)
        self.departed[session._uid] = session
        if session.expireCallbacks:
            key = entry.key
            self._table.parked[key] = Parked(self._table, key, session)
            session.expireCallbacks = []

    def usedOutside(self, entry: Entry) -> None:
        """
        A session was used while no request holds it: it stays a while, and what
        changed is saved when it leaves.
        """
        if entry.session._uid in self._table.sessions:
            self.rest(entry)


class _Leaving:
    """
    Lets a session leave memory when it is saved.
    """

    def __init__(self, resting: Resting, entry: Entry) -> None:
        self._resting = resting
        self._entry = entry

    def sessionSaved(self) -> None:
        """
        It may go.
        """
        self._resting.depart(self._entry)

    def sessionGone(self) -> None:
        """
        It has ended, and is gone.
        """

    def saveFailed(self, failure: Failure) -> None:
        """
        It was dropped, which has been told.
        """


__all__ = ["LINGER", "MAX_LIVE", "Resting"]
