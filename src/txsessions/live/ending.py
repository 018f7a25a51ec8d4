"""
How the end of a session gets into the store.

Owns the deletion of one session, who waits for it, and what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from txsessions.live.waiting import DeferredWaiter, Waiter

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.table import LiveTable


class Ending:
    """
    The deletion of one session.

    @ivar isOver: Whether it is gone for good.
    """

    __slots__ = ("_failure", "_keys", "_waiters", "isOver")

    def __init__(self) -> None:
        self.isOver = False
        self._keys: Sequence[bytes] = ()
        self._waiters: list[Waiter] | None = None
        self._failure: Failure | None = None

    def begin(self, table: LiveTable, keys: Sequence[bytes], *, later: bool) -> None:
        """
        Delete the records, of which there are two while a session is being
        rotated.

        @param later: A write of the session is under way, so that a deletion
            might come before it: wait for L{proceed}.
        """
        self._waiters = []
        self._keys = keys
        if later:
            table.tombstones.refuse(keys)
        else:
            self.proceed(table)

    def proceed(self, table: LiveTable) -> None:
        """
        No write of the session is under way any more.
        """
        keys, self._keys = self._keys, ()
        if keys:
            done = table.tombstones.bury(keys)
            _ = done.addCallbacks(self._deleted, self._notDeleted)

    def _deleted(self, _: object) -> None:
        """
        It is gone.
        """
        self.isOver = True
        waiters, self._waiters = self._waiters or [], None
        for waiter in waiters:
            waiter.sessionGone()

    def _notDeleted(self, failure: Failure) -> None:
        """
        The store could not be told; this process remembers to.
        """
        self._failure = failure
        waiters, self._waiters = self._waiters or [], None
        for waiter in waiters:
            waiter.saveFailed(failure)

    def wait(self, waiter: Waiter) -> bool:
        """
        Wait for it.

        @return: Whether there is nothing to wait for.
        """
        if self._waiters is not None:
            self._waiters.append(waiter)
            return False
        if self._failure is None or self.isOver:
            return True
        waiter.saveFailed(self._failure)
        return False

    def gone(self) -> Deferred[None]:
        """
        Fires when the session is gone from the store.
        """
        waiter = _EndWaiter()
        if self.wait(waiter):
            waiter.sessionGone()
        return waiter.done


class _EndWaiter(DeferredWaiter):
    """
    Waits for nothing else than that the session is gone.
    """

    def sessionGone(self) -> None:
        """
        See L{Waiter.sessionGone}.
        """
        self.sessionSaved()


__all__ = ["Ending"]
