"""
One opening of a store, from C{open} to C{close}, whatever it opens; and a store that has
one at a time.

Owns who waits for it to begin or end, and when there is another one: when a store is
opened again after its end, or in another process after a fork.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

from txsessions.core.forks import FORKS
from txsessions.errors import StoreUnavailable
from txsessions.stores._reactor import (
    IStoreReactor,
    globalReactor,
    handled,
    withDeadline,
)


class Opening:
    """
    See the module.

    @ivar isOpen: Whether it may be used.
    @ivar closing: Whether its end has begun.
    @ivar fork: Which process it belongs to: see L{FORKS<txsessions.core.forks.FORKS>}.
    """

    def __init__(self, reactor: IStoreReactor, deadline: float, late: str) -> None:
        """
        @param deadline: For how many seconds somebody waits for it to be open.
        @param late: What is said after that.
        """
        self.isOpen = self.closing = False
        self.fork = FORKS.count
        self._reactor = reactor
        self._deadline = deadline
        self._late = late
        self._isEnded = False
        self._beginning: list[Deferred[None]] = []
        self._ending: list[Deferred[None]] = []

    def whenOpen(self) -> Deferred[None]:
        """
        Wait for it to be open, bounded by the deadline.
        """
        if self.isOpen:
            return succeed(None)
        opened: Deferred[None] = Deferred()
        self._beginning.append(opened)
        return withDeadline(opened, self._reactor, self._deadline, self._late)

    def close(self) -> Deferred[None]:
        """
        End it: what was accepted is finished first.
        """
        if self._isEnded:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._ending.append(ended)
        if not self.closing:
            self.closing = True
            handled(self._letGo().addBoth(self._ended))
        return ended

    def _letGo(self) -> Deferred[Any]:
        """
        Let go of everything.

        @return: Fires when that is done; or fails, which makes no difference.
        """
        raise NotImplementedError

    def _begun(self) -> None:
        """
        It is open, be it after the deadline.
        """
        if self.closing:
            self._tellBeginning(StoreUnavailable("the session store was closed"))
        else:
            self.isOpen = True
            self._tellBeginning(None)

    def _ended(self, _: object) -> None:
        """
        Everything is closed.
        """
        self.isOpen = False
        self._isEnded = True
        ending, self._ending = self._ending, []
        for ended in ending:
            ended.callback(None)

    def _tellBeginning(self, error: BaseException | None) -> None:
        """
        Tell whoever waits for it to be open.
        """
        beginning, self._beginning = self._beginning, []
        for opened in beginning:
            if error is None:
                opened.callback(None)
            else:
                opened.errback(error)


_Opening = TypeVar("_Opening", bound=Opening)


class Openable(Generic[_Opening]):
    """
    A store that has one opening at a time.
    """

    _reactor: IStoreReactor | None
    _database: _Opening | None = None

    def open(self) -> Deferred[None]:
        """
        See L{txsessions.interfaces.ISessionStore.open}.  One that takes longer than the
        deadline goes on, and opening again waits for it.
        """
        database = self._database
        if database is not None and database.fork != FORKS.count:
            try:
                self._disown(database)
            except StoreUnavailable as error:
                return fail(error)
            self._database = database = None
        if database is not None and database.closing:
            return Deferred.fromCoroutine(self._openAgain(database))
        if database is None:
            if self._reactor is None:
                self._reactor = globalReactor()
            database = self._database = self._begin(self._reactor)
        return database.whenOpen()

    def close(self) -> Deferred[None]:
        """
        See L{txsessions.interfaces.ISessionStore.close}.
        """
        if self._database is None or self._database.fork != FORKS.count:
            return succeed(None)
        return self._database.close()

    def _begin(self, reactor: IStoreReactor) -> _Opening:
        """
        Begin to open.
        """
        raise NotImplementedError

    def _disown(self, database: _Opening) -> None:
        """
        In the child of a fork: let go of what the parent opened.

        @raise StoreUnavailable: That cannot be done.
        """

    async def _openAgain(self, database: _Opening) -> None:
        """
        Open after the end of an earlier opening.
        """
        await database.close()
        if self._database is database:
            self._database = None
        await self.open()


__all__ = ["Openable", "Opening"]
