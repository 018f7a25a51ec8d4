"""
How the end of a session gets into the store.

Owns the deletion of one session, who waits for it, and what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from txsessions.core.lifetime import storedDeadline
from txsessions.live.waiting import DeferredWaiter, Waiter

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.entry import Entry
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable


class Ending:
    """
    The deletion of one session.

    @ivar isOver: Whether it is gone for good.
    @ivar mayLive: Whether it is only this process that it is gone for: another may
        have given it a new id.
    """

    __slots__ = (
        "_failure",
        "_keys",
        "_marks",
        "_removed",
        "_waiters",
        "isOver",
        "mayLive",
    )

    def __init__(self) -> None:
        self.isOver = self.mayLive = self._marks = False
        self._keys: Sequence[bytes] = ()
        self._removed: Callable[[], None] | None = None
        self._waiters: list[Waiter] | None = None
        self._failure: Failure | None = None

    def begin(
        self,
        table: LiveTable,
        keys: Sequence[bytes],
        removed: Callable[[], None] | None = None,
        *,
        later: bool,
    ) -> None:
        """
        Delete the records, of which there are two while a session is being
        rotated.

        @param removed: Called if it was this that removed them, and not somebody
            else before; also where that is unknown.  L{None} where somebody has
            asked for it, so that it does not matter, and the store is to leave
            a marker.
        @param later: A write of the session is under way, so that a deletion
            might come before it: wait for L{proceed}.
        """
        self._waiters = []
        self._keys = keys
        self._removed = removed
        self._marks = removed is None
        if later:
            table.tombstones.refuse(keys, marks=self._marks)
        else:
            self.proceed(table)

    def proceed(self, table: LiveTable) -> None:
        """
        No write of the session is under way any more.
        """
        keys, self._keys = self._keys, ()
        if keys:
            done = table.tombstones.bury(keys, marks=self._marks)
            _ = done.addCallbacks(self._deleted, self._notDeleted)

    def _deleted(self, wasThere: bool) -> None:
        """
        It is gone.
        """
        self.isOver = True
        removed, self._removed = self._removed, None
        if removed is not None and wasThere:
            removed()
        waiters, self._waiters = self._waiters or [], None
        for waiter in waiters:
            waiter.sessionGone()

    def _notDeleted(self, failure: Failure) -> None:
        """
        The store could not be told; this process remembers to.
        """
        self._failure = failure
        removed, self._removed = self._removed, None
        if removed is not None:
            removed()
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


def endAsked(entry: Entry, tell: Callable[[], None]) -> Deferred[None]:
    """
    End a session that is not to last any longer, or has ended in the store.

    @param tell: Tells.
    @return: Fires when it is gone.
    """
    if not entry.ending.isOver:
        _remember(entry.table, entry.session)
    tell()
    return entry.end()


def endByLimit(entry: Entry, tell: Callable[[], None]) -> Deferred[None]:
    """
    End a session in the store that has run out.  Each process that has it in memory
    comes here, and one of them is to tell: the one that removes the record or, where
    that is past its deadline too, that sweeps it.

    @param tell: Tells.
    @return: Fires when it is gone.
    """
    ending = entry.ending
    if ending.isOver:
        return entry.end()
    if not _hasLapsed(entry):
        return entry.end(tell)
    ending.isOver = True
    entry.table.lifecycle.sweepSoon()
    return entry.end()


def endHere(
    table: LiveTable, session: Session, tell: Callable[[], None], *, isAsked: bool
) -> None:
    """
    End a session that only this process has.

    @param isAsked: Whether somebody has asked for it.
    @param tell: Tells.
    """
    if isAsked:
        _remember(table, session)
    tell()


def _remember(table: LiveTable, session: Session) -> None:
    """
    Have whoever comes by the uid of an ended session get no cookie: the browser may
    have a better one by then.  But where several requests hold it, and one of them may
    have asked in the background, nobody can tell which: it is to get the next session
    with its cookie.
    """
    if table.current is not None or len(session._visits or ()) < 2:
        table.rotated.noteEnd(session._uid, table.seconds())


def endAgain(entry: Entry) -> Deferred[None]:
    """
    End what has ended in this process already, as far as it may live elsewhere: the
    store finds what another process has made of it.  An expiry callback does not:
    for it the session is over.

    @return: Fires when it is gone.
    """
    ending = entry.ending
    if not ending.mayLive:
        return ending.gone()
    ending.isOver = ending.mayLive = False
    entry.table.endedBy(entry.session._visits or {})
    return entry.end()


def _hasLapsed(entry: Entry) -> bool:
    """
    Whether the record is past its deadline, so that no process finds it.
    """
    if entry.flight is not None or entry.storedKey is None:
        return False
    idle, lifetime = entry.storedTerms[:2]
    createdAt = entry.session._createdAt
    deadline = storedDeadline(createdAt, entry.touchedAt, idle, lifetime)
    return entry.table.seconds() >= deadline


class _EndWaiter(DeferredWaiter):
    """
    Waits for nothing else than that the session is gone.
    """

    def sessionGone(self) -> None:
        """
        See L{Waiter.sessionGone}.
        """
        self.sessionSaved()


__all__ = ["Ending", "endAgain", "endAsked", "endByLimit", "endHere"]
