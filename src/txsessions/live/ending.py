"""
How the end of a session gets into the store.

Owns the deletion of one session, who waits for it, and what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txsessions.core.lifetime import storedDeadline
from txsessions.live.waiting import (
    GONE,
    DeferredWaiter,
    Waiter,
    tellAll,
    tellFailed,
)

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.entry import Entry
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable


_log = Logger(namespace="txsessions")

Removed = Callable[[], None] | None
"""Who is told that a record is gone: see L{Ending.begin}."""


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
        self._removed: Removed = None
        self._waiters: list[Waiter] | None = None
        self._failure: Failure | None = None

    def begin(
        self,
        table: LiveTable,
        keys: Sequence[bytes],
        removed: Removed = None,
        *,
        marks: bool = False,
        later: bool,
    ) -> None:
        """
        Delete the records, of which there are two while a session is being
        rotated.

        @param removed: Called if it was this that removed them, and not somebody
            else before; also where that is unknown.
        @param marks: Whether the store is to leave a marker.
        @param later: A write of the session is under way, so that a deletion
            might come before it: wait for L{proceed}.
        """
        self._waiters = []
        self._keys = keys
        self._removed = removed
        self._marks = marks
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
            _ = done.addCallbacks(self._deleted, self._notDeleted).addErrback(
                lambda failure: _log.failure(
                    "the end of a session could not be told", failure=failure
                )
            )

    def _deleted(self, wasThere: bool) -> None:
        """
        It is gone.
        """
        self.isOver = True
        removed, self._removed = self._removed, None
        waiters, self._waiters = self._waiters or [], None
        try:
            if removed is not None and wasThere:
                removed()
        finally:
            tellAll(waiters, GONE)

    def _notDeleted(self, failure: Failure) -> None:
        """
        The store could not be told; this process remembers to.
        """
        self._failure = failure
        removed, self._removed = self._removed, None
        waiters, self._waiters = self._waiters or [], None
        try:
            if removed is not None:
                removed()
        finally:
            tellFailed(waiters, failure)

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
        tellFailed([waiter], self._failure)
        return False

    def gone(self) -> Deferred[None]:
        """
        Fires when the session is gone from the store.
        """
        waiter = _EndWaiter()
        if self.wait(waiter):
            waiter.sessionGone()
        return waiter.done


def endAsked(entry: Entry, tell: Callable[[], None], *, isTold: bool) -> Deferred[None]:
    """
    End a session that is not to last any longer, or has ended in the store.

    @param tell: Tells.
    @param isTold: Whether the browser is told, so that whoever comes by the uid then
        gets no cookie: it may have a better one by that time.
    @return: Fires when it is gone.
    """
    if isTold and not entry.ending.isOver:
        entry.table.rotated.noteEnd(entry.session._uid, entry.table.seconds())
    try:
        tell()
    finally:
        # Whoever raised: it has ended.
        gone = entry.end(marks=isTold)
    return gone


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
    table: LiveTable, session: Session, tell: Callable[[], None], *, isTold: bool
) -> None:
    """
    End a session that only this process has.

    @param tell: Tells.
    @param isTold: See L{endAsked}.
    """
    if isTold:
        table.rotated.noteEnd(session._uid, table.seconds())
    tell()


def tellAnswers(table: LiveTable, session: Session, reason: str) -> bool:
    """
    Where the application has ended a session: tell the request that did so, if it is
    one that holds the session.

    @return: Whether a response tells the browser, which then forgets the uid: who comes
        with it is late.  Anybody else comes with it because he knows no other.
    """
    visits, current = session._visits or (), table.current
    isTold = reason == "logout"
    for held in visits if reason == "expire" else ():
        visit = held()
        if visit is not None and (
            visit.exchange.request is current or (current is None and len(visits) == 1)
        ):
            visit.sessionEnded()
            isTold = True
    return isTold


def endAgain(entry: Entry, reason: str) -> Deferred[None]:
    """
    End what has ended in this process already, as far as it may live elsewhere: the
    store finds what another process has made of it.  An expiry callback does not:
    for it the session is over.

    @param reason: Why: C{"expire"} or C{"logout"}.
    @return: Fires when it is gone.
    """
    ending = entry.ending
    if not ending.mayLive:
        return ending.gone()
    ending.isOver = ending.mayLive = False
    return entry.end(marks=tellAnswers(entry.table, entry.session, reason))


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


__all__ = [
    "Ending",
    "Removed",
    "endAgain",
    "endAsked",
    "endByLimit",
    "endHere",
    "tellAnswers",
]
