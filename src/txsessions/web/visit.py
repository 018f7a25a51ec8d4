"""
One request's dealings with one session.

Owns which session the request came with, which it uses, and the line that its
response says about the cookie.  There are two at most: the secure one and the
other.  Knows nothing of how the reply is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from txsessions.errors import SessionStale, SessionUnavailable
from txsessions.live.events import EventKind
from txsessions.live.session import ENDED, NEW, STALE

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable
    from txsessions.web.exchange import Exchange

_log = Logger(namespace="txsessions")


class Visit:
    """
    What a request has to do with the session of one scheme.

    @ivar secure: Whether it is about the secure cookie.
    @ivar name: The cookie's name.
    @ivar cameBy: The uid in the request's cookie.
    @ivar session: The session: the one that came, then the one in use.
    @ivar acquired: Whether the application has asked for it.
    @ivar failure: Why it is not known whether there is one.
    @ivar line: The C{Set-Cookie} value that this visit put into
        C{request.cookies}.
    @ivar homeless: Whether the session may not get a cookie.
    @ivar endedHere: Whether it was this request that ended it.
    @ivar rotatedHere: Whether it was this request that rotated it.
    @ivar undecided: Whether it is still open if a new session is kept.
    """

    __slots__ = (
        "acquired",
        "cameBy",
        "endedHere",
        "exchange",
        "failure",
        "homeless",
        "line",
        "name",
        "rotatedHere",
        "secure",
        "session",
        "undecided",
    )

    exchange: Exchange

    def __init__(self, secure: bool, name: bytes, cameBy: bytes | None = None) -> None:
        self.secure = secure
        self.name = name
        self.cameBy = cameBy
        self.session: Session | None = None
        self.failure: Failure | None = None
        self.line: bytes | None = None
        self.acquired = self.homeless = self.undecided = False
        self.endedHere = self.rotatedHere = False

    @property
    def table(self) -> LiveTable:
        """
        The live table.
        """
        table: LiveTable = self.exchange.table
        return table

    # -- getting the session

    def take(self, session: Session | None) -> None:
        """
        This is the session that came, as far as the store knows; hold it.
        """
        self.session = session
        if session is not None:
            if session._visits is None:
                session._visits = {self: None}
            else:
                session._visits[self] = None

    def use(self) -> Session:
        """
        The session, for the application: the one that came, or a new one.

        @raise SessionUnavailable: It cannot be known which.
        @raise SessionStale: It was dropped in this very request.
        """
        session = self.session
        if session is not None and session._phase < ENDED:
            if self.acquired:
                return session
            scheme = session._scheme
            if scheme is None or scheme == (self.secure, self.name):
                self.acquired = True
                session.touch()
                return session
            self.table.announcer.tell(
                EventKind.REFUSED,
                self.table.tagOf(session._uid),
                self.table.seconds(),
                "scheme",
            )
        if self.failure is not None:
            raise SessionUnavailable
        if self.acquired and session is not None and session._phase == STALE:
            raise SessionStale
        return self._make()

    def _make(self) -> Session:
        """
        A new session, with its cookie.
        """
        exchange = self.exchange
        self.leave()
        if self.cameBy is not None and self.table.isRotated(self.cameBy):
            self.homeless = True
        if exchange.frozen:
            self.homeless = True
            _log.warn(
                "request.getSession() was first called after the response had "
                "started, so the new session has no cookie and is lost; call it "
                "before the first request.write()"
            )
        session: Session = exchange.site.makeSession()
        self.table.receive(session, (self.secure, self.name))
        self.take(session)
        self.acquired = True
        self.endedHere = self.rotatedHere = False
        if not self.homeless:
            self.say(exchange.render(session._uid, self))
        return session

    # -- what the response says of the cookie

    def say(self, line: bytes | None) -> None:
        """
        Put this line, and no other of ours, into C{request.cookies}.
        """
        cookies = self.exchange.request.cookies
        old, self.line = self.line, line
        if old is not None and old in cookies:
            where = cookies.index(old)
            if line is None:
                del cookies[where]
            else:
                cookies[where] = line
        elif line is not None:
            cookies.append(line)

    def sayHow(self) -> None:
        """
        Bring the line up to what has become of the session.
        """
        session = self.session
        if session is None or not self.acquired:
            return
        if session._phase >= ENDED:
            deletes = self.endedHere and self.cameBy is not None
            self.say(self.exchange.renderDeletion(self) if deletes else None)
        elif self.rotatedHere or (self.line is not None and session._isNew):
            self.say(self.exchange.render(session._uid, self))

    # -- settling

    def isBlank(self) -> bool:
        """
        Whether this request made a session into which nobody put anything.

        @raise CannotBeKept: What is in it is beyond the limits.
        """
        session = self.session
        if (
            session is None
            or not session._isNew
            or session._phase != NEW
            or len(session._visits or ()) > 1
        ):
            return False
        entry = session._entry
        return session._isBare() if entry is None else entry.isEmpty()

    def dismiss(self) -> None:
        """
        Forget the new session, and its cookie.
        """
        session = self.session
        self.say(None)
        self.undecided = False
        self.leave()
        if session is not None:
            self.table.dismiss(session)

    def settle(self) -> bool:
        """
        Save what has changed.

        @return: Whether there is nothing to wait for.
        @raise SessionError: It cannot be saved.
        """
        session = self.session
        assert session is not None
        entry = session._entry
        if entry is None:
            return True
        if self.homeless and session._phase == NEW and not self.rotatedHere:
            # Nobody has a cookie for it.
            self.dismiss()
            return True
        done: bool = entry.settle(self.exchange)
        return done

    def leave(self) -> None:
        """
        Hold the session no more.
        """
        session, self.session = self.session, None
        if session is not None:
            if session._isNew and self.acquired:
                session._isNew = False
            visits = session._visits
            if visits is not None and visits.pop(self, self) is None and not visits:
                session._visits = None
                if session._entry is not None:
                    session._entry.released()

    def __repr__(self) -> str:
        return f"<Visit {self.session!r}>"


def visitOf(exchange: Any, session: Session) -> Visit | None:
    """
    The visit in which a request uses this session.
    """
    for visit in exchange.visits:
        if visit.session is session and visit.acquired:
            return visit  # type: ignore[no-any-return]
    return None


__all__ = ["Visit", "visitOf"]
