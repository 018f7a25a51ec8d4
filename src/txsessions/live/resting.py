"""
How long sessions stay in memory.

Owns who rests, and who leaves: a minute after the last request, or when too many
rest, the longest unused first.  Leaving memory ends nothing: the store has the
session.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from math import inf
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from twisted.logger import Logger

from txsessions.errors import SessionError
from txsessions.live.deadlines import AT_ONCE
from txsessions.live.parked import Parked
from txsessions.live.phases import ENDED, STORED

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.entry import Entry
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")

LINGER = 60.0
"""Seconds that a session stays in memory after the last request that held it."""

MAX_LIVE = 10_000
"""How many sessions stay in memory that no request holds."""

_LOOKED_AT = 100
"""How many sessions that requests hold are passed over at most."""


class Resting:
    """
    The sessions of a live table that may leave memory.

    @ivar departed: Those that have left memory while somebody still has the
        object: it is taken again when they are loaded.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._seconds = table.seconds
        self._order: OrderedDict[Entry, None] = OrderedDict()
        self._moveToEnd = self._order.move_to_end
        self.departed: WeakValueDictionary[bytes, Session] = WeakValueDictionary()
        self._due: float | None = None
        self._queuedFor = inf

    def forget(self, entry: Entry) -> None:
        """
        A session is live no more.
        """
        order = self._order
        if order.pop(entry, order) is None and not order:
            self._table.deadlines.forget(self)

    def rest(self, entry: Entry) -> None:
        """
        Nobody holds the session.
        """
        # To call what an object has, rather than its class, takes less by two steps.
        seconds, moveToEnd = self._seconds, self._moveToEnd
        entry.restsUntil = seconds() + LINGER
        try:
            moveToEnd(entry)
        except KeyError:
            self._begin(entry)

    def _begin(self, entry: Entry) -> None:
        """
        A session rests that did not, unless it has ended.
        """
        if entry.session._phase >= ENDED:
            return
        order = self._order
        order[entry] = None
        if self._due is None:
            self._due = entry.restsUntil
            self._table.deadlines.watch(self)
        if len(order) > MAX_LIVE:
            self._leaveOldest()

    def _leaveOldest(self) -> None:
        """
        Too many sessions are in memory: the longest unused that no request
        holds leaves.
        """
        for entry in islice(self._order, _LOOKED_AT):
            if not entry.isHeld():
                self._leave(entry)
                return

    def _deadlinePassed(self) -> None:
        """
        The first of them has rested long enough, unless a request holds it.  A
        bounded number leave in one turn.
        """
        table = self._table
        now = table.seconds()
        for entry in list(islice(self._order, AT_ONCE)):
            if entry.restsUntil > now:
                break
            if entry.isHeld():
                self.rest(entry)
            elif entry in self._order:
                self._leave(entry)
        if self._order and self._due is None:
            self._due = next(iter(self._order)).restsUntil
            table.deadlines.watch(self)

    def _leave(self, entry: Entry) -> None:
        """
        Let a session leave memory, once it is saved.
        """
        self.forget(entry)
        if entry.isEmpty():
            # Made by hand, kept by hand: it stays until its deadline.
            return
        try:
            saved = entry.settle(_Leaving(self, entry))
        except SessionError as error:
            _log.error("a session cannot be saved: {error}", error=str(error))
            return
        if saved:
            self.depart(entry)

    def depart(self, entry: Entry) -> None:
        """
        Let a saved session go, unless it is in use again, or has to stay because
        of what it holds.
        """
        session = entry.session
        if session._phase != STORED or entry.flight is not None:
            return
        if entry.pinned or entry in self._order or entry.isHeld():
            return
        self._table.leave(session)
        self.departed[session._uid] = session
        if session.expireCallbacks:
            self._table.parked[entry.key] = Parked(entry)

    def restHere(self, entry: Entry) -> bool:
        """
        A session was used while no request holds it: it stays a while, and
        comes back if it had left memory.

        @return: Whether it is live.
        """
        table, session = self._table, entry.session
        uid = session._uid
        if session._phase < ENDED:
            if table.sessions.get(uid) is session:
                self.rest(entry)
                return True
            if self.departed.get(uid) is session and uid not in table.sessions:
                table.enter(uid, session)
                return True
        return False


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
