"""
Sessions that have to stay in this process.

Owns which sessions hold what cannot be kept, and that they do not become too
many.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from txsessions.errors import CannotBeKept
from txsessions.live import gathering

if TYPE_CHECKING:
    from txsessions.live.entry import Entry

MAX_PINNED = 1_000
"""How many sessions may stay because they hold what cannot be kept."""


class Pins:
    """
    The sessions of a live table that cannot leave memory.
    """

    def __init__(self, *, strict: bool) -> None:
        """
        @param strict: Make it an error if something cannot be kept.
        """
        self._strict = strict
        self._order: OrderedDict[Entry, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def note(self, entry: Entry, gathered: gathering.Gathered) -> None:
        """
        Note whether a session holds what cannot be kept.  If there are too many
        of these, the longest unused ends.

        @raise CannotBeKept: It does, and the site is strict.
        """
        if not gathered.unkeepable:
            self.forget(entry)
            return
        if self._strict:
            where, error = gathered.unkeepable[0]
            raise CannotBeKept(where, error.reason)
        if not entry.pinned:
            entry.pinned = True
            gathering.report(gathered)
        self._order[entry] = None
        self._order.move_to_end(entry)
        if len(self._order) > MAX_PINNED:
            oldest, _ = self._order.popitem(last=False)
            _ = oldest.session._end("pinned")

    def forget(self, entry: Entry) -> None:
        """
        A session holds no such thing, or is live no more.
        """
        if entry.pinned:
            entry.pinned = False
            self._order.pop(entry, None)


__all__ = ["MAX_PINNED", "Pins"]
