"""
How a request finds its sessions.

Owns the reading of the cookies and the loading of what they name, before the
resource is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from txsessions.live.events import EventKind
from txsessions.web import failing
from txsessions.web.cookie import Refusal, readCookie
from txsessions.web.exchange import Exchange
from txsessions.web.visit import Visit
from txsessions.web.visits import LOST

if TYPE_CHECKING:
    from txsessions.live.table import LiveTable


def arrive(request: Any, site: Any, table: LiveTable, header: bytes) -> bool:
    """
    Read the cookies of a request, and load the sessions that they name.

    @param header: The request's C{Cookie} header.
    @return: Whether all is there; if not, the request goes on by itself when the
        store has answered.
    """
    if len(header) == site._soleLength:
        # The usual browser of a site that sets no other cookie.
        secure, name, start = site._sole
        uid = header[len(start) :]
        session = table.sessions.get(uid)
        if session is not None and header.startswith(start):
            visit = Visit(secure, name, uid)
            exchange = request._exchange = Exchange(request, site, table, [visit])
            entry = session._entry
            if entry is None or entry.isCurrent():
                visit.take(session)
                return True
            # What partial does, in a third of the time.
            table.loader.ask(uid, MethodType(_soleAnswered, exchange))
            exchange.isLoading = not exchange.isLoaded
            return exchange.isLoaded
    visits = readNamed(site, site._cookieNames, header)
    if not visits:
        return True
    exchange = request._exchange = Exchange(request, site, table, visits)
    return load(exchange, request._processLoaded)


def readNamed(
    site: Any,
    names: Iterable[tuple[bool, bytes]],
    header: bytes,
    kind: type[Visit] = Visit,
) -> list[Visit]:
    """
    Read the cookies of these names.

    @param names: For each whether it is the secure one, and its name.
    @param kind: Of what kind visits are.
    @return: A visit for each that may be used.
    """
    visits = []
    for secure, name in names:
        if name not in header:
            continue
        found = readCookie((header,), name)
        if found is None:
            continue
        if isinstance(found, Refusal):
            table = site._live
            table.announcer.tell(EventKind.REFUSED, "", table.seconds(), found.value)
            continue
        visits.append(kind(secure, name, found))
    return visits


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


def load(exchange: Exchange, resume: Callable[[], None]) -> bool:
    """
    Load the sessions that a request came with.

    @param resume: Called when that has taken time.
    @return: Whether it has not: all is there.
    """
    table = exchange.table
    missing = None
    for visit in exchange.visits:
        session = table.sessions.get(visit.cameBy)
        if session is not None and (
            (entry := session._entry) is None or entry.isCurrent()
        ):
            visit.take(session)
        elif table.store is not None:
            missing = [visit] if missing is None else [*missing, visit]
    return missing is None or Arrival(exchange).load(missing, resume)


def _soleAnswered(exchange: Exchange, answer: Any) -> None:
    """
    The store has answered, or could not, about the one session of a request.
    """
    visit = exchange.visits[0]
    # As _note does.
    if isinstance(answer, Failure):
        visit.failure = answer
    elif exchange.state != LOST:
        visit.take(answer)
    exchange.isLoaded = True
    if not exchange.isLoading:
        return
    # As _goOn does.
    exchange.isLoading = False
    request = exchange.request
    try:
        request._processLoaded()
    except Exception:
        failing.giveUp(request)
    if exchange.afterwards is not None:
        exchange.goOn()


def _note(exchange: Exchange, visit: Visit, answer: Any) -> None:
    """
    Note what the store says of a session, which a client who is gone holds no more.
    """
    if isinstance(answer, Failure):
        visit.failure = answer
    elif exchange.state != LOST:
        visit.take(answer)


def _goOn(exchange: Exchange, resume: Callable[[], None]) -> None:
    """
    All that was waited for is there.

    @param resume: How the request goes on.
    """
    exchange.isLoading = False
    request = exchange.request
    try:
        resume()
    except Exception:
        failing.giveUp(request)
    if exchange.afterwards is not None:
        exchange.goOn()


class Arrival:
    """
    The loading of sessions that are not live, or not as the store has them.
    """

    __slots__ = ("_exchange", "_left", "_resume")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._left = 1
        self._resume: Callable[[], None] | None = None

    def load(self, missing: Sequence[Visit], resume: Callable[[], None]) -> bool:
        """
        Load them; see L{load}.
        """
        exchange = self._exchange
        ask = exchange.table.loader.ask
        self._left = len(missing)
        for visit in missing:
            ask(visit.cameBy, partial(self._answered, visit))
        if not self._left:
            return True
        self._resume = resume
        exchange.isLoading = True
        return False

    def _answered(self, visit: Visit, answer: Any) -> None:
        """
        The store has answered, or could not.
        """
        _note(self._exchange, visit, answer)
        self._oneLoaded()

    def _oneLoaded(self) -> None:
        """
        One load fewer is under way.
        """
        self._left -= 1
        resume = self._resume
        if not self._left and resume is not None:
            self._resume = None
            _goOn(self._exchange, resume)


__all__ = ["arrive", "load", "readByHand", "readNamed"]
