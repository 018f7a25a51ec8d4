"""
What a logout does to the requests that are there.

Owns which session a request logs out of, what else ends with it, and what the response
says.

Theory of operation.  Where the store does not answer nobody knows whose session it is,
nor whether there is one.  It ends all the same: this process refuses the id from now on,
and tells the store when it is back.  Until the store has heard of it the response
cannot say that all is well, so it is held, and answered 503, as that of any other
logout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from txsessions.core.uid import storeKeyOf
from txsessions.errors import ConfigurationError
from txsessions.live.phases import ENDED
from txsessions.live.session import Session
from txsessions.live.unread import findUnread, isBuried
from txsessions.web.failing import CLEAR

if TYPE_CHECKING:
    from txsessions.web.visit import Visit

CLEARED = frozenset(
    {
        "*",
        "cache",
        "clientHints",
        "cookies",
        "executionContexts",
        "prefetchCache",
        "prerenderCache",
        "storage",
    }
)
"""What C{Clear-Site-Data} can name."""


def leaves(visit: Visit, clear: Sequence[str]) -> Deferred[None]:
    """
    Log out of whatever session a request has; see
    L{Asking.logout<txsessions.web.asking.Asking.logout>}.
    """
    _demandKnown(clear)
    exchange, uid = visit.exchange, visit.cameBy
    session = visit.former if visit.session is None else visit.session
    if not visit.acquired:
        if uid is None:
            return succeed(None)
        if visit.failure is not None or (
            session is None and isBuried(exchange.table, uid)
        ):
            scheme = visit.secure, visit.name
            visit.session = findUnread(exchange.site, uid, scheme)
            visit.failure = None
        session = visit.use()
    assert session is not None
    return logsOut(exchange, session, clear)


def logsOut(exchange: Any, session: Session, clear: Sequence[str]) -> Deferred[None]:
    """
    Log out; see L{Session.logout}.
    """
    _demandKnown(clear)
    visit = exchange.visitOf(session, "logout")
    visit.endedHere = True
    if clear:
        named = ", ".join(f'"{what}"' for what in clear)
        headers = exchange.request.responseHeaders
        headers.setRawHeaders(CLEAR, [named.encode("ascii")])
    done = _end(session)
    kinds = {None, (visit.secure, visit.name)}
    for other in (visit.session, visit.former, visit.became, _leaving(visit)):
        # The one that the request came by has become another's meanwhile, or is about
        # to: whoever logs out wants an end of that too.  But not one whose id came by
        # the wrong cookie.
        if other is not None and other is not session and other._scheme in kinds:
            ended = _end(other)
            exchange.waitForEnd(other)
            done = done if ended.called else ended
    if visit.session is None:
        visit.session, visit.acquired = session, True
    return done


def _leaving(visit: Visit) -> Session | None:
    """
    The session that the store has under the id that a request came by, if it is in
    memory: also where it is about to give that id up, for the store may not take that.
    """
    table, uid = visit.table, visit.cameBy
    key = None if uid is None else storeKeyOf(table.siteName, uid)
    entry = None if key is None else table.byKey.get(key)
    return None if entry is None else entry.session


def _demandKnown(clear: Sequence[str]) -> None:
    """
    See that a browser knows what it is to clear.

    @raise ConfigurationError: It does not.
    """
    wrong = (
        [clear] if isinstance(clear, str) else [c for c in clear if c not in CLEARED]
    )
    if wrong:
        raise ConfigurationError(
            f"logout(clear=...) takes a list of {', '.join(sorted(CLEARED))}, and "
            f"was given {wrong[0]!r}"
        )


def _end(session: Session) -> Deferred[None]:
    """
    End a session, and have an C{expire} that an application has put in the place of
    ours do its part.
    """
    isFirst = session._phase != ENDED
    try:
        return session._end("logout")
    finally:
        if isFirst and type(session).expire is not Session.expire:
            session.expire()  # type: ignore[unused-awaitable]


__all__ = ["CLEARED", "leaves", "logsOut"]
