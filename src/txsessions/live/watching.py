"""
Whether sessions whose end somebody waits for are still there.

Owns the asking.  Another process may end a session that is in memory here, and no
store tells of that by itself; nor need a request come that would find out, while a
page streams.  Where there are expiry callbacks the store is asked once in a touch
interval, unless nobody else has changed anything.  Sessions that have left memory are
the business of L{txsessions.live.parked}.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from txsessions.core.lifetime import touchInterval
from txsessions.core.record import UNCHANGED, Record
from txsessions.live.phases import ENDED

if TYPE_CHECKING:
    from txsessions.live.entry import Entry
    from txsessions.live.table import LiveTable


class Watching:
    """
    The sessions in memory that have expiry callbacks.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._watches: dict[Entry, _Watch] = {}

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

    def later(self, watch: _Watch) -> None:
        """
        Ask again after a while.
        """
        interval = touchInterval(watch.entry.session.sessionTimeout)
        watch._due = self._table.seconds() + interval
        self._table.deadlines.watch(watch)

    def look(self, watch: _Watch) -> None:
        """
        It is time to ask.
        """
        entry, table = watch.entry, self._table
        if not entry.session.expireCallbacks:
            self.end(entry)
            return
        self.later(watch)
        key = entry.storedKey
        if key is not None and entry.flight is None and not entry.isAlone():
            seconds, version = table.seconds(), entry.version
            done = table.store.load(key, seconds, version)
            # A store that cannot tell is asked again.
            done.addCallbacks(self._answered, _unknown, callbackArgs=(watch, key))

    def _answered(self, answer: object, watch: _Watch, key: bytes) -> None:
        """
        The store knows.
        """
        entry = watch.entry
        if (
            answer is not UNCHANGED
            and not isinstance(answer, Record)
            and self._watches.get(entry) is watch
            and entry.flight is None
            and key == entry.storedKey == entry.key
            and entry.session._phase < ENDED
        ):
            entry.endedElsewhere(isGone=answer is None)


class _Watch:
    """
    What has a deadline: see L{txsessions.live.deadlines.Mortal}.
    """

    __slots__ = ("_due", "_queuedFor", "_watching", "entry")

    def __init__(self, watching: Watching, entry: Entry) -> None:
        self.entry = entry
        self._watching = watching
        self._due: float | None = None
        self._queuedFor = inf

    def _deadlinePassed(self) -> None:
        """
        See L{Mortal._deadlinePassed<txsessions.live.deadlines.Mortal>}.
        """
        self._watching.look(self)


def _unknown(_: object) -> None:
    """
    The store does not know.
    """


__all__ = ["Watching"]
