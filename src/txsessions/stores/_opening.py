"""
One opening of a store, from C{open} to C{close}, whatever it opens.

Owns who waits for it to begin or end.  A store that is opened again after its end, or
in another process after a fork, makes another one.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from txsessions.core.forks import Forks
from txsessions.errors import StoreUnavailable
from txsessions.stores._reactor import IStoreReactor, handled, withDeadline


class Opening:
    """
    See the module.

    @ivar isOpen: Whether it may be used.
    @ivar closing: Whether its end has begun.
    @ivar fork: Which process it belongs to: see L{Forks}.
    """

    def __init__(self, reactor: IStoreReactor, deadline: float, late: str) -> None:
        """
        @param deadline: For how many seconds somebody waits for it to be open.
        @param late: What is said after that.
        """
        self.isOpen = self.closing = False
        self.fork = Forks.count
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


__all__ = ["Opening"]
