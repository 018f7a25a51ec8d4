"""
Expiry callbacks whose session has left memory.

Owns the callbacks until the session comes back or is seen to be gone, for which the
store is asked as L{txsessions.live.watching} asks it, unless nobody else has changed anything.  They
pin nothing but themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from txsessions.core.lifetime import storedDeadline
from txsessions.core.record import FORMER, ROTATED, UNCHANGED, Record
from txsessions.live.callbacks import runCallbacks
from txsessions.live.closing import stillWait
from txsessions.live.watching import SOON, intervalOf

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.entry import Entry


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
        self._interval = intervalOf(session)
        self._endsAt = storedDeadline(
            session._createdAt, session.lastModified, idle, lifetime
        )
        self._version: int | None = entry.version
        self._seen = entry.seen
        # Nobody need have asked for long.
        self._due: float | None = self._table.seconds()
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
        See if the session is still there: another process may have ended it, and
        by its last deadline it is gone, unless somebody touched it.
        """
        table = self._table
        now = table.seconds()
        if not stillWait(self._callbacks):
            self.release()
            return
        if table.watching.isBusy:
            self._due = now + SOON
            table.deadlines.watch(self)
            return
        changes = table.store.changes()
        if now < self._endsAt and changes is not None and changes == self._seen:
            self._again(now)
            return
        known = self._version if now < self._endsAt else None
        done = table.watching.ask(self._key, known)
        _ = done.addCallbacks(self._answered, self._unknown, callbackArgs=(changes,))

    def _answered(self, answer: object, changes: int | None) -> None:
        """
        The store knows.

        @param changes: What it said before it was asked.
        """
        if self._table.parked.get(self._key) is not self:
            return
        now, renewing = self._table.seconds(), self._table.rotated.renewing
        self._seen = changes
        if answer is UNCHANGED:
            self._again(now)
        elif isinstance(answer, Record):
            self._version = answer.version
            # By the store's clock, which may be another.
            self._endsAt = max(answer.expiresAt, now + SOON)
            self._again(now)
        elif (answer is ROTATED or answer is FORMER) and renewing is not None:
            done = renewing.successorOf(self._key)
            _ = done.addCallbacks(self._moved, self._unknown)
        else:
            self.gone()

    def _moved(self, key: bytes | None) -> None:
        """
        The store knows what the session has become by renewal, if it has.
        """
        table = self._table
        if table.parked.get(self._key) is not self:
            return
        entry = None if key is None else table.byKey.get(key)
        if entry is not None:
            entry.session.expireCallbacks.extend(self.release())
            table.watching.begin(entry)
        elif key is None:
            self.gone()
        elif key in table.parked:
            table.parked[key]._callbacks.extend(self.release())
        else:
            del table.parked[self._key]
            self._key, self._version = key, None
            table.parked[key] = self
            self._again(table.seconds())

    def _unknown(self, failure: Failure) -> None:
        """
        The store does not know.
        """
        if self._table.parked.get(self._key) is self:
            self._again(self._table.seconds())

    def _again(self, now: float) -> None:
        """
        Ask again later.
        """
        due = now + self._interval
        self._due = min(due, self._endsAt) if now < self._endsAt else due
        self._table.deadlines.watch(self)


__all__ = ["Parked"]
