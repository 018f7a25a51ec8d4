"""
Whether sessions whose end somebody waits for are still there.

Owns the asking.  Another process may end a session that is in memory here, and no
store tells of that by itself; nor need a request come that would find out, while a
page streams.  Where somebody waits for the end, the store is asked every few seconds
whether the version that is known here is still there, unless nobody else has changed
anything.  A bounded number of questions is under way at a time.  The store hears of
touches on the same occasion.  Sessions that have
left memory are the business of L{txsessions.live.parked}.
"""

from __future__ import annotations

from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from txsessions.core.lifetime import touchInterval
from txsessions.core.record import FORMER, ROTATED, UNCHANGED, Record
from txsessions.errors import SessionError
from txsessions.live.closing import stillWait
from txsessions.live.phases import ENDED
from txsessions.live.waiting import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.defer import Deferred

    from txsessions.live.entry import Entry
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")

WATCH_INTERVAL = 10.0
"""Seconds after which the store is asked again, where the site does not say."""

SOON = 1.0
"""The least of them; also for a question that had to wait for others, or for a store
whose clock is behind."""

AT_ONCE = 100
"""How many questions are under way at a time, and to how many one turn of the reactor
sees at most."""


def intervalOf(session: Session) -> float:
    """
    How often to ask about a session.
    """
    interval: float = getattr(session.site, "watchInterval", WATCH_INTERVAL)
    return min(touchInterval(session.sessionTimeout), max(interval, SOON))


class Watching:
    """
    The sessions in memory that have expiry callbacks.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._watches: dict[Entry, _Watch] = {}
        self._underWay = 0

    @property
    def isBusy(self) -> bool:
        """
        Whether as much is being asked as may be.
        """
        return self._underWay >= AT_ONCE

    def ask(self, key: bytes, known: int | None) -> Deferred[object]:
        """
        Ask the store for a record, unless it is of the version that is known.
        """
        table = self._table
        self._underWay += 1
        done = maybeDeferred(table.store.load, key, table.seconds(), known)
        return done.addBoth(self._oneAnswered)

    def _oneAnswered(self, answer: object) -> object:
        """
        One question fewer is under way.
        """
        self._underWay -= 1
        return answer

    def begin(self, entry: Entry) -> None:
        """
        See to it that a session's end is noticed, once the store has it.
        """
        session = entry.session
        if (
            entry.storedKey is not None
            and session.expireCallbacks
            and entry not in self._watches
            and self._table.sessions.get(session._uid) is session
        ):
            self._watches[entry] = watch = _Watch(self, entry)
            self.later(watch)

    def end(self, entry: Entry) -> None:
        """
        The session is no longer in memory.
        """
        watch = self._watches.pop(entry, None)
        if watch is not None:
            self._table.deadlines.forget(watch)

    def hurry(self) -> None:
        """
        Ask about all of them as soon as may be: many have ended, and who ended them does
        not know which.
        """
        self._hurrySome(iter(list(self._watches.items())))

    def _hurrySome(self, watches: Iterator[tuple[Entry, _Watch]]) -> None:
        """
        Begin with some, and leave the others to the turns of the reactor that follow.
        """
        table, some = self._table, list(islice(watches, AT_ONCE))
        for entry, watch in some:
            if self._watches.get(entry) is watch:
                watch._due = table.seconds()
                table.deadlines.watch(watch)
        if len(some) == AT_ONCE:
            table.reactor.callLater(0, self._hurrySome, watches)

    def later(self, watch: _Watch) -> None:
        """
        Ask again after a while.
        """
        interval = SOON if self.isBusy else intervalOf(watch.entry.session)
        watch._due = self._table.seconds() + interval
        self._table.deadlines.watch(watch)

    def look(self, watch: _Watch) -> None:
        """
        It is time to ask.
        """
        entry, table = watch.entry, self._table
        if not stillWait(entry.session.expireCallbacks):
            self.end(entry)
            return
        self.later(watch)
        _tellOfTouch(entry)
        key = entry.storedKey
        if key is None or entry.flight is not None or entry.isAlone() or self.isBusy:
            return
        changes = table.store.changes() if table.lifecycle.isOpen else None
        if changes is None or changes != watch.seen:
            done = self.ask(key, max(entry.version, watch.version))
            # A store that cannot tell is asked again.
            _ = done.addCallbacks(
                self._answered, _unknown, callbackArgs=(watch, key, changes)
            )

    def _answered(
        self, answer: object, watch: _Watch, key: bytes, changes: int | None
    ) -> None:
        """
        The store knows.

        @param changes: What it said before it was asked.
        """
        entry = watch.entry
        if isinstance(answer, Record):
            # The next question need not bring all of it again.
            watch.version = answer.version
            watch.seen = changes
        elif answer is UNCHANGED:
            watch.seen = changes
        elif (
            self._watches.get(entry) is watch
            and entry.flight is None
            and key == entry.storedKey == entry.key
            and entry.session._phase < ENDED
        ):
            if answer is ROTATED or answer is FORMER:
                self._table.rotated.lost(entry)
            else:
                entry.endedElsewhere(isGone=True)


class _Watch:
    """
    What has a deadline: see L{txsessions.live.deadlines.Mortal}.

    @ivar entry: The account of the session.
    @ivar version: The version that the store was last seen to have.
    @ivar seen: What C{store.changes()} said before the session was last seen there.
    """

    __slots__ = ("_due", "_queuedFor", "_watching", "entry", "seen", "version")

    def __init__(self, watching: Watching, entry: Entry) -> None:
        self.entry = entry
        self.version = 0
        self.seen: int | None = None
        self._watching = watching
        self._due: float | None = None
        self._queuedFor = inf

    def _deadlinePassed(self) -> None:
        """
        See L{Mortal._deadlinePassed<txsessions.live.deadlines.Mortal>}.
        """
        self._watching.look(self)


def _tellOfTouch(entry: Entry) -> None:
    """
    Tell the store that a session is in use, if a request that holds it has touched it
    meanwhile: a page that streams does not settle again before its end.
    """
    session = entry.session
    if session.lastModified - entry.touchedAt >= touchInterval(session.sessionTimeout):
        try:
            entry.settle(NOBODY)
        except SessionError as error:
            _log.error("a session cannot be saved: {error}", error=str(error))


def _unknown(_: object) -> None:
    """
    The store does not know.
    """


__all__ = ["SOON", "WATCH_INTERVAL", "Watching", "intervalOf"]
