"""
How a request finds its sessions.

Owns the reading of the cookies and the loading of what they name, before the
resource is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from txsessions.live.events import EventKind
from txsessions.web.cookie import Refusal, readCookie

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.session import Session
    from txsessions.web.exchange import Exchange
    from txsessions.web.visit import Visit


def readCookies(exchange: Exchange, headers: Sequence[bytes]) -> bool:
    """
    Read the cookies of a request.

    @return: Whether there is anything of ours.
    """
    found = False
    for secure, name in exchange.site._cookieNames:
        uid = readCookie(headers, name)
        if uid is None:
            continue
        if isinstance(uid, Refusal):
            table = exchange.table
            table.announcer.tell(EventKind.REFUSED, "", table.seconds(), uid.value)
            continue
        exchange.visit(secure).cameBy = uid
        found = True
    return found


def readByHand(exchange: Exchange) -> None:
    """
    Take the live sessions that a request made by hand names, as it may in a
    test.
    """
    for secure in (False, True):
        visit = exchange.visit(secure)
        uid = exchange.request.getCookie(visit.name)
        if uid:
            visit.cameBy = uid
            with suppress(KeyError):
                visit.take(exchange.site.getSession(uid))


class Arrival:
    """
    The loading of the sessions that one request came with.

    @ivar isUnderWay: Whether the store has not answered yet.
    """

    __slots__ = ("_exchange", "_left", "_resume")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._left = 0
        self._resume: Callable[[], None] | None = None

    @property
    def isUnderWay(self) -> bool:
        """
        Whether the store has not answered yet.
        """
        return self._resume is not None

    def load(self, resume: Callable[[], None]) -> bool:
        """
        Load them.

        @param resume: Called when that has taken time.
        @return: Whether it has not: all is there.
        """
        table = self._exchange.table
        loader = table.loader
        self._left = 1
        for visit in self._exchange.visits():
            uid = visit.cameBy
            if uid is None:
                continue
            session = loader.find(uid)
            if session is not None or table.store is None:
                visit.take(session)
                continue
            self._left += 1
            loader.fetch(uid).addCallbacks(
                self._loaded,
                self._notLoaded,
                callbackArgs=(visit,),
                errbackArgs=(visit,),
            )
        self._left -= 1
        if not self._left:
            return True
        self._resume = resume
        return False

    def _loaded(self, session: Session | None, visit: Visit) -> None:
        """
        The store has answered.
        """
        if not self._exchange.isLost:
            visit.take(session)
        self._oneLoaded()

    def _notLoaded(self, failure: Failure, visit: Visit) -> None:
        """
        The store could not answer.
        """
        visit.failure = failure
        self._oneLoaded()

    def _oneLoaded(self) -> None:
        """
        One load fewer is under way.
        """
        self._left -= 1
        resume = self._resume
        if not self._left and resume is not None:
            self._resume = None
            if not self._exchange.isLost:
                resume()


__all__ = ["Arrival", "readByHand", "readCookies"]
