"""
The sessions of one request: one for the secure cookie and one for the other.

Owns which there are, and what is said of their cookies.  Knows nothing of how the
response is held, settled or taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from txsessions.core.shapes import Shaped
from txsessions.errors import ConfigurationError, ResponseStarted
from txsessions.live.signin import rememberedFor
from txsessions.web.headers import forbidStoring
from txsessions.web.visit import Visit

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

    from txsessions.live.session import Session

FREE, HELD, OPEN, FAILED, LOST, DONE = range(6)
"""Where a response is: nothing written yet; held; on its way to the client;
answered by us instead; the client is gone; finished."""


class Visits(Shaped):
    """
    The sessions of one request.

    @ivar request: The request.
    @ivar site: The site that owns the sessions.
    @ivar table: Its live table.
    @ivar visits: What the request has to do with the session of each scheme.
    @ivar state: Where the response is.
    @ivar frozen: Whether the headers can no longer change.
    @ivar isLoading: Whether the sessions are being loaded.
    @ivar isLoaded: Whether its only one was, if the store was asked.
    @ivar turnIsOver: Whether the resource has returned, if not by way of us.
    @ivar afterwards: Called once when the store is no longer asked.
    """

    request: Any
    site: Any
    table: Any
    visits: list[Visit]
    state: int = FREE

    # What is seldom changed is the class's until it is.
    frozen: bool = False
    isLoading: bool = False
    isLoaded: bool = False
    turnIsOver: bool = False
    afterwards: Callable[[], None] | None = None
    _cacheControl: Sequence[bytes] | None = None
    _sitepath: Sequence[bytes] = ()

    def visit(self, secure: bool) -> Visit:
        """
        The visit for one scheme, made if there is none.
        """
        for visit in self.visits:
            if visit.secure == secure:
                visit.exchange = self  # let go where the response is over
                return visit
        name = self.site.cookies.nameFor(secure, self._sitepath)
        visit = Visit(secure, name)
        visit.exchange = self
        self.visits.append(visit)
        return visit

    def _acquired(self) -> list[Visit]:
        """
        The visits in which the application uses the session.
        """
        return [v for v in self.visits if v.acquired and v.session is not None]

    @property
    def isBusy(self) -> bool:
        """
        Whether the client waits for the store.
        """
        return self.state == HELD or self.isLoading

    @property
    def isLost(self) -> bool:
        """
        Whether the client is gone.
        """
        return self.state == LOST

    @property
    def isOver(self) -> bool:
        """
        Whether nothing is said to the client any more, at least not by the
        application.
        """
        return self.state >= FAILED

    def goOn(self) -> None:
        """
        The store is no longer asked: deal with what had to wait for that.
        """
        afterwards, self.afterwards = self.afterwards, None
        if afterwards is not None:
            afterwards()

    @property
    def carrier(self) -> str | None:
        """
        By what the id of a session came: C{"cookie"}, C{"bearer"}, or L{None} if
        none came.
        """
        came = any(visit.cameBy is not None for visit in self.visits)
        return "cookie" if came else None

    # -- what the application does

    def current(self, secure: bool) -> Session | None:
        """
        The session of one scheme, if the application uses one.
        """
        for visit in self.visits:
            if visit.secure == secure and visit.acquired:
                return visit.session
        return None

    def rotates(self, session: Session) -> bool:
        """
        The response is to carry the session's new cookie.

        @return: Whether it may: the uid that it came by is the session's.
        @raise ResponseStarted: It can carry none any more.
        """
        if self.frozen:
            raise ResponseStarted
        visit = self.visitOf(session, "rotate")
        if visit.outrun or visit.session is not session or self.isOver:
            return False
        _ = visit.rotates(session)
        return True

    def visitOf(self, session: Session, what: str) -> Visit:
        """
        The visit in which the application uses a session, or did until another took
        its place.

        @param what: What it calls, for the error.
        @raise ConfigurationError: There is none.
        """
        for visit in self.visits:
            if (visit.acquired and visit.session is session) or (
                visit.former is session
            ):
                return visit
        raise ConfigurationError(
            f"{what}(request) takes the request that got the session by "
            "request.getSession(): this one did not"
        )

    def waitForEnd(self, session: Session) -> None:
        """
        The application used a session that has ended, and now asks for another
        one: the response tells of the end too.
        """
        raise NotImplementedError

    def waitFor(self, session: Session) -> None:
        """
        The response waits until what a session is now has been saved.
        """
        raise NotImplementedError

    # -- what the response says

    def render(self, uid: bytes, visit: Visit) -> bytes:
        """
        The C{Set-Cookie} value that gives out a uid.
        """
        policy = self.site.cookies
        session = visit.session
        maxAge = None if session is None else rememberedFor(session)
        return policy.render(uid, visit.secure, self._sitepath, maxAge)  # type: ignore[no-any-return]

    def renderDeletion(self, visit: Visit) -> bytes:
        """
        The C{Set-Cookie} value that takes the cookie away.
        """
        policy = self.site.cookies
        return policy.renderDeletion(visit.secure, self._sitepath)  # type: ignore[no-any-return]

    def _deletions(self) -> list[bytes]:
        """
        The cookies that go whatever is answered: the client asked for a logout.
        """
        return [self.renderDeletion(v) for v in self.visits if v.deletes]

    def _forbidStoring(self, headers: Headers) -> None:
        """
        The response says something of a cookie: no cache may keep it.
        """
        before = forbidStoring(headers)
        if before is not None:
            self._cacheControl = before


__all__ = ["DONE", "FAILED", "FREE", "HELD", "LOST", "OPEN", "Visits"]
