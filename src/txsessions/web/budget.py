"""
How many new anonymous sessions visitors of one network are given.

Owns the counting, by network and window, and its bound.  Where nothing would be kept
nothing is counted; who is signed in, and whose session is there, is not asked.  Visitors
without an address, as on a Unix socket without a trusted proxy, are not counted either:
nobody can come so by himself, and all of them would be one.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.python.failure import Failure

from txsessions.errors import ConfigurationError, TooManyNewSessions
from txsessions.live.events import EventKind
from txsessions.web.forwarded import addressOf, clientHostOf
from txsessions.web.networks import networkOf

if TYPE_CHECKING:
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable
    from txsessions.web.visit import Visit

MAX_NETWORKS = 10_000
"""How many networks are remembered; the longest known is forgotten first."""


def _checkMost(budget: Any, attribute: Any, most: Any) -> None:
    """
    Check a number of sessions.
    """
    if type(most) is not int or most < 1:
        raise ConfigurationError(
            f"most is a number of new sessions, 1 or more, not {most!r}"
        )


def _checkSeconds(budget: Any, attribute: Any, seconds: Any) -> None:
    """
    Check a span of time.
    """
    if not isinstance(seconds, int | float) or not 1 <= seconds < float("inf"):
        raise ConfigurationError(
            f"seconds is how long a window is, 1 or more, not {seconds!r}"
        )


@frozen(kw_only=True)
class NetworkBudget:
    """
    How many new anonymous sessions visitors of one network may be given: for IPv4 a
    /24, for IPv6 a /56, by the address that L{Request.clientHost
    <txsessions.web.request.SessionRequest.clientHost>} tells.

    @ivar most: How many in a window.  Many people may share an address.
    @ivar seconds: How long a window is, from the first one on.
    """

    most: int = field(validator=_checkMost)
    seconds: float = field(validator=_checkSeconds)


class _Window:
    """
    What a network has been given since when.
    """

    __slots__ = ("begunAt", "count", "isTold")

    def __init__(self, begunAt: float) -> None:
        self.begunAt = begunAt
        self.count = 0
        self.isTold = False


class Spending:
    """
    What networks have spent of a budget.

    @ivar budget: The budget.
    """

    def __init__(self, table: LiveTable, budget: NetworkBudget) -> None:
        if not isinstance(budget, NetworkBudget):
            raise ConfigurationError(
                f"networkBudget takes a NetworkBudget or None, not {budget!r}"
            )
        self._table = table
        self.budget = budget
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def admit(self, session: Session) -> None:
        """
        A new anonymous session is about to be kept.

        @raise TooManyNewSessions: Its network has been given as many as may be.
        """
        visit, network = _whence(session)
        if visit is None or network is None:
            return
        now = self._table.seconds()
        window = self._window(network, now)
        if window is None:
            window = self._windows[network] = _Window(now)
            if len(self._windows) > MAX_NETWORKS:
                self._windows.popitem(last=False)
        if window.count < self.budget.most:
            window.count += 1
            return
        anonymous = self._table.anonymous
        anonymous.refused += 1
        if not window.isTold:
            window.isTold = True
            anonymous.networks += 1
            self._table.tell(EventKind.REFUSED, None, f"network {network}")
        left = ceil(window.begunAt + self.budget.seconds - now)
        tag = self._table.tagOf(session._uid)
        error = TooManyNewSessions(tag, network, max(1, left))
        visit.failure = Failure(error)
        raise error

    def isSpent(self, session: Session) -> bool:
        """
        Whether L{admit} would refuse a session.
        """
        network = _whence(session)[1]
        if network is None:
            return False
        window = self._window(network, self._table.seconds())
        return window is not None and window.count >= self.budget.most

    def _window(self, network: str, now: float) -> _Window | None:
        """
        The window of a network, if there is one that is not over.
        """
        window = self._windows.get(network)
        if window is None or 0 <= now - window.begunAt < self.budget.seconds:
            return window
        del self._windows[network]
        return None


def _whence(session: Any) -> tuple[Visit | None, str | None]:
    """
    By which request a session is made, and out of which network.
    """
    for held in session._visits or ():
        visit = held()
        if visit is not None and visit.exchange is not None:
            host = clientHostOf(visit.exchange.request)
            address = None if host is None else addressOf(host.encode("ascii"))
            return visit, None if address is None else networkOf(address)
    return None, None


__all__ = ["MAX_NETWORKS", "NetworkBudget", "Spending"]
