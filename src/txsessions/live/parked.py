"""
Expiry callbacks whose session has left memory.

Owns the callbacks until the session comes back or is seen to be gone.  They pin
nothing but themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from txsessions.core.lifetime import storedDeadline
from txsessions.core.record import Record
from txsessions.live.callbacks import runCallbacks

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.entry import Entry

SOON = 1.0
"""Seconds that pass between two questions at least."""

RETRY = 60.0
"""Seconds after which a store that could not tell is asked again."""


class Parked:
    """
    The callbacks of one session that is in the store only.
    """

    def __init__(self, entry: Entry) -> None:
        session = entry.session
        self._table = entry.table
        self._key = entry.key
        self._callbacks, session.expireCallbacks = session.expireCallbacks, []
        self._queuedFor = inf
        idle, lifetime = entry.terms[:2]
        self._due: float | None = storedDeadline(
            session._createdAt, session.lastModified, idle, lifetime
        )
        self._table.deadlines.watch(self)

    def release(self) -> list[Callable[[], object]]:
        """
        Give the callbacks back: the session is live again, or has ended.
        """
        self._table.parked.pop(self._key, None)
        self._table.deadlines.forget(self)
        return self._callbacks

    def gone(self) -> None:
        """
        The session has ended: run them.
        """
        runCallbacks(self.release())

    def _deadlinePassed(self) -> None:
        """
        By its last deadline the session is gone, unless somebody touched it.
        """
        table = self._table
        done = table.store.load(self._key, table.seconds())
        done.addCallbacks(self._answered, self._unknown)

    def _answered(self, answer: object) -> None:
        """
        The store knows.
        """
        if self._table.parked.get(self._key) is not self:
            return
        if isinstance(answer, Record):
            # By the store's clock, which may be another.
            self._again(max(answer.expiresAt, self._table.seconds() + SOON))
        else:
            self.gone()

    def _unknown(self, failure: Failure) -> None:
        """
        The store does not know.
        """
        if self._table.parked.get(self._key) is self:
            self._again(self._table.seconds() + RETRY)

    def _again(self, due: float) -> None:
        """
        Ask again later.
        """
        self._due = due
        self._table.deadlines.watch(self)


__all__ = ["Parked"]
