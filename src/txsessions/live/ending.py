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

    __slots__ = ("_failure", "_waiters", "isOver")

    def __init__(self) -> None:
        self.isOver = False
        self._waiters: list[Waiter] | None = None
        self._failure: Failure | None = None

    def begin(self, table: LiveTable, keys: Sequence[bytes]) -> None:
        """
        Delete the records, of which there are two while a session is being
        rotated.
        """
        self._waiters = []
        _ = table.tombstones.bury(keys).addCallbacks(self._deleted, self._notDeleted)

    @property
    def isUnderWay(self) -> bool:
        """
        Whether the store has not answered yet.
        """
        return self._waiters is not None

    def _deleted(self, _: object) -> None:
        """
        It is gone.
        """
        self.isOver = True
        waiters, self._waiters = self._waiters or [], None
        for waiter in waiters:
            waiter.sessionSaved()

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
        waiter = DeferredWaiter()
        if self.wait(waiter):
            waiter.sessionSaved()
        return waiter.done


__all__ = ["Ending"]
