"""
One request's dealings with one session.

Owns which session the request came with, which it uses, and the line that its response
says about the cookie.  There are two at most: the secure one and the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.error import AlreadyCalled
from twisted.logger import Logger

from txsessions.errors import SessionStale, SessionUnavailable
from txsessions.live.events import EventKind
from txsessions.live.phases import ENDED, NEW, STALE
from txsessions.web.headers import varyByCookie
from txsessions.web.holder import HELD_ON, Holder

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.core.signin import SignIn
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")


class Visit(Holder):
    """
    What a request has to do with the session of one scheme.

    @ivar secure: Whether it is about the secure cookie.
    @ivar name: The cookie's name.
    @ivar cameBy: The uid in the request's cookie.
    @ivar failure: Why it is not known whether there is one.
    @ivar line: The C{Set-Cookie} value that it put into C{request.cookies}.
    @ivar heldLine: What that was when the reply was held.
    @ivar homeless: Whether the session may not get a cookie.
    @ivar endedHere: Whether it was this request that ended what it came with.
    @ivar ended: The session that it ended, which may be one that it had made.
    @ivar rotatedHere: Whether it was this request that rotated it.
    @ivar outrun: Whether another request has rotated it since this one came.
    @ivar knew: Who was signed in on a session that is no longer this request's.
    @ivar former: A session that this request had before another took its place.
    @ivar became: What took the place of the one that it had, by another request.
    @ivar undecided: Whether it is still open if a new session is kept.
    @ivar taken: Which messages this request took, see L{txsessions.live.flashes}.
    """

    # What is seldom changed is the class's until it is.
    former: Session | None = None
    became: Session | None = None
    ended: Session | None = None
    knew: SignIn | None = None
    homeless = undecided = endedHere = rotatedHere = outrun = False
    failure: Failure | None = None
    line: bytes | None = None
    heldLine: bytes | None = None
    taken: frozenset[bytes] = frozenset()

    def __init__(self, secure: bool, name: bytes, cameBy: bytes | None = None) -> None:
        self.secure = secure
        self.name = name
        self.cameBy = cameBy
        # What each request looks at is the instance's own, as in Exchange.
        self.acquired = self.rotatedHere = False
        self.line = self._found = None

    @property
    def table(self) -> LiveTable:
        """
        The live table.
        """
        table: LiveTable = self.exchange.table
        return table

    # -- getting the session

    def use(self) -> Session:
        """
        The session, for the application: the one that came, or a new one.

        @raise SessionUnavailable: It cannot be known which.
        @raise SessionStale: It was dropped in this very request.
        """
        session = self.session
        if session is not None and session._phase < ENDED:
            if self.acquired:
                if self.left is HELD_ON or self.left is session._signIn:
                    return session
                # Somebody has signed in since it was over.
                self.former, self.session, self.homeless = session, None, True
                return self._make()
            scheme = session._scheme
            if scheme is None or scheme == (self.secure, self.name):
                try:
                    session.touch()
                except AlreadyCalled:
                    pass
                else:
                    self.acquired = True
                    return session
            else:
                self._refuse(session)
        if self.failure is not None:
            if not self.exchange.frozen:
                varyByCookie(self.exchange.request.responseHeaders)
            raise SessionUnavailable
        if self.acquired and session is not None and session._phase == STALE:
            raise SessionStale
        return self._make()

    def _refuse(self, session: Session) -> None:
        """
        Tell that the session's uid came by the wrong cookie.
        """
        table = self.table
        tag = table.tagOf(session._uid)
        table.announcer.tell(EventKind.REFUSED, tag, table.seconds(), "scheme")

    def _make(self) -> Session:
        """
        A new session, with its cookie.
        """
        exchange = self.exchange
        if self.acquired and self.session is not None:
            exchange.waitForEnd(self.session)
        if self.session is not None:
            self._loses(self.session)
        self.leave()
        if not self.endedHere and self.table.isRotated(self.cameBy):
            self.homeless = True
        if exchange.frozen:
            self.homeless = True
            _log.warn(
                "request.getSession() was first called after the response had "
                "started, so the new session has no cookie and is lost; call it "
                "before the first request.write()"
            )
        return self._makeOne()

    def _makeOne(self) -> Session:
        """
        Make it.
        """
        exchange, table = self.exchange, self.table
        table.isMaking = True
        try:
            session: Session = exchange.site.makeSession()
        finally:
            table.isMaking = False
        table.receive(session, (self.secure, self.name))
        self.left = HELD_ON
        if exchange.isOver:
            # Nobody would release it.
            table.leave(session)
            self.session = session
        else:
            self.take(session)
        self.acquired = True
        self.rotatedHere = False
        if not self.homeless:
            self.say(exchange.render(session._uid, self))
        return session

    def _loses(self, session: Session) -> None:
        """
        The session has ended, or came by the wrong cookie.
        """
        self._remember(session)
        self.former, self.outrun = session, False

    def _remember(self, session: Session) -> None:
        """
        Remember who was signed in on a session that has ended without this request's
        doing.
        """
        if session._phase >= ENDED and session is not self.ended and not self.endedHere:
            self.knew = self.knew or session._signIn

    def hasLost(self, session: Session, principal: str) -> bool:
        """
        Whether this request came while a principal was signed in, who is so no more
        without its doing.

        @param session: The one that it came with, as far as the application knows.
        """
        if session is self.session:
            self._remember(session)
        knew = self.knew
        if knew is None or knew.principal != principal:
            return False
        # Another request may have signed the same one in again.
        now = self.former or session
        signIn = now._signIn
        return now._phase >= ENDED or signIn is None or signIn.principal != principal

    # -- changing it

    def rotates(self, session: Session) -> list[Visit]:
        """
        The response is to give out a new uid of the session.

        @return: The other requests' visits, none of which may.
        """
        self.rotatedHere = True
        self.homeless = False
        held = [visit() for visit in session._visits or ()]
        others = [v for v in held if v is not None and v is not self]
        for other in others:
            other.outrun = True
            other.knew = session._signIn
        return others

    def replace(self) -> Session:
        """
        Begin another session in the place of the one that came, and give out its
        uid.
        """
        self.former = self.session or self.former
        self.leave()
        self.homeless = self.outrun = False
        self.knew = None
        return self._makeOne()

    def part(self) -> None:
        """
        The session is somebody else's from now on: what this request has changed in
        it is waited for, and the next one that it asks for is empty and has no
        cookie, since that of the other is on its way to the client.
        """
        session = self.session
        if session is not None:
            if self.acquired:
                self.exchange.waitFor(session)
            self.leave()
            self.former, self.session = session, None
            self.outrun = False
        self.homeless = True

    @property
    def isAlive(self) -> bool:
        """
        Whether there is a session that has not ended.
        """
        return self.session is not None and self.session._phase < ENDED

    def sessionEnded(self) -> None:
        """
        The application ended the session, in this request.
        """
        self.ended = session = self.session
        if session is not None and not session._isNew:
            self.endedHere = True

    def tookFlashes(self, keys: frozenset[bytes]) -> None:
        """
        This request, it seems, has taken messages.
        """
        self.taken |= keys

    def flashesWereTaken(self, keys: frozenset[bytes]) -> None:
        """
        Another process has taken messages and saved that first.
        """
        if self.taken & keys:
            self.exchange.askAgain()

    @property
    def deletes(self) -> bool:
        """
        Whether the response deletes the cookie, unless it sets another one.
        """
        return self.endedHere and self.cameBy is not None

    # -- what the response says of the cookie

    def say(self, line: bytes | None) -> None:
        """
        Put this line, and no other of ours, into C{request.cookies}.
        """
        old, self.line = self.line, line
        if old == line:
            return
        cookies = self.exchange.request.cookies
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
            self.say(self.exchange.renderDeletion(self) if self.deletes else None)
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
        Forget the new session.
        """
        session = self.session
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
        session: Any = self.session
        entry = session._entry
        if entry is None:
            self.table.anonymous.keep(session)
            return True
        if self.homeless and session._phase == NEW and not self.rotatedHere:
            # Nobody has a cookie for it.
            self.dismiss()
            return True
        done: bool = entry.settle(self.exchange)
        return done

    def __repr__(self) -> str:
        return f"<Visit {self.session!r}>"


__all__ = ["Visit"]
