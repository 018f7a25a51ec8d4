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
        self._order: OrderedDict[Entry, float] = OrderedDict()
        self.departed: WeakValueDictionary[bytes, Session] = WeakValueDictionary()

    def forget(self, entry: Entry) -> None:
        """
        A session is live no more.
        """
        if self._order.pop(entry, None) is not None:
            deadlinesOf(self._table.reactor).forget(entry)

    def clear(self) -> None:
        """
        No session is live any more.
        """
        queue = deadlinesOf(self._table.reactor)
        for entry in self._order:
            queue.forget(entry)
        self._order.clear()

    def rest(self, entry: Entry) -> None:
        """
        Nobody holds the session.  Its alarm only moves forward, so that
        most of the time this is two assignments.
        """
        reactor = self._table.reactor
        entry._due = reactor.seconds() + LINGER
        if entry._queuedFor == inf:
            deadlinesOf(reactor).watch(entry)
            self._order[entry] = entry._due
            if len(self._order) > MAX_LIVE:
                self._leaveOldest()

    def _leaveOldest(self) -> None:
        """
        Too many sessions are in memory: the longest unused that no request
        holds leaves.
        """
        order = self._order
        for _ in range(len(order)):
            entry, noted = next(iter(order.items()))
            due = entry._due or 0.0
            if entry.session._visits or due > noted:
                # Used since it was put here.
                order[entry] = due
                order.move_to_end(entry)
                continue
            deadlinesOf(self._table.reactor).forget(entry)
            self._leave(entry)
            return

    def alarm(self, entry: Entry) -> None:
        """
        A session has rested long enough, unless a request holds it.
        """
        if entry.session._visits:
            self.rest(entry)
        else:
            self._leave(entry)

    def _leave(self, entry: Entry) -> None:
        """
        Let a session leave memory, once it is saved.
        """
        self._order.pop(entry, None)
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
