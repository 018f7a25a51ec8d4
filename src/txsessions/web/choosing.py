"""
A session that the application gives to a request.

Owns what may be given, and what becomes of the session that the request had: the
response waits for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import AlreadyCalled

from txsessions.errors import ConfigurationError, ResponseStarted, SessionGone
from txsessions.live.phases import ENDED
from txsessions.live.session import Session
from txsessions.web.holder import HELD_ON

if TYPE_CHECKING:
    from txsessions.web.visit import Visit


def choose(visit: Visit, session: Any, *, cookie: bool) -> None:
    """
    Make a session the one of a request; the arguments and errors are those of
    L{Request.setSession<txsessions.web.request.SessionRequest.setSession>}.
    """
    exchange = visit.exchange
    if exchange.frozen:
        raise ResponseStarted
    scheme = visit.secure, visit.name
    _demandFitting(session, exchange.table, scheme)
    if session is not visit.session or not visit.acquired:
        _letGo(visit)
        if exchange.isOver or exchange.request._disconnected:
            # Nobody would release it.
            visit.session, visit.left = session, session._signIn
        else:
            visit.take(session)
            visit.left = HELD_ON
    visit.acquired = True
    visit.homeless = visit.rotatedHere = visit.outrun = False
    visit.knew = visit.former = None
    if cookie:
        session._scheme = scheme
        if session._entry is not None:
            session._entry.termsChanged()
    if cookie and session._uid != visit.cameBy:
        visit.say(exchange.render(session._uid, visit))
    else:
        visit.say(None)


def _demandFitting(session: Any, table: Any, scheme: tuple[bool, bytes]) -> None:
    """
    See that a session is one that this request can have.

    @raise ConfigurationError: It is not.
    @raise SessionGone: It has ended.
    """
    owner: Any = session._table() if isinstance(session, Session) else None
    if owner is not table:
        raise ConfigurationError(
            "setSession() takes a session that this site has made or loaded, by "
            f"makeSession() or loadSession(), not {session!r}"
        )
    if session._scheme not in {None, scheme}:
        raise ConfigurationError(
            "setSession() was given a session of another kind: an id that was given "
            "out by a cookie over TLS, by one over plain HTTP, or for Authorization, "
            "is good for that only"
        )
    try:
        session.touch()
    except AlreadyCalled:
        raise SessionGone(session._tag()) from None
    if owner.sessions.get(session._uid) is not session:
        raise ConfigurationError(
            "setSession() was given a session that is not live, such as a transaction's"
        )


def _letGo(visit: Visit) -> None:
    """
    The session that the request had is no longer its own.  What was changed in it is
    saved, and the response waits for that.
    """
    before, exchange = visit.session, visit.exchange
    if before is None:
        return
    if visit.acquired and not exchange.isOver:
        if before._phase >= ENDED:
            exchange.waitForEnd(before)
        elif visit.isBlank():
            visit.dismiss()
        else:
            exchange.settleHeld(visit)
    visit.leave()


__all__ = ["choose"]
