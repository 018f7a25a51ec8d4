"""
One request: what its sessions need, and when.

Owns the order of things: settle at the first byte; again before the last one; and
what lies between.  L{Holding<txsessions.web.holding.Holding>} knows how the reply
waits for the store meanwhile, L{Visit<txsessions.web.visit.Visit>} the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure
from twisted.web import http

from txsessions.errors import SessionError
from txsessions.live.phases import ENDED, STORED
from txsessions.live.waiting import NOBODY
from txsessions.web.headers import announcedLength, mergeCookies, varyByCookie
from txsessions.web.holding import Holding
from txsessions.web.visits import DONE, FAILED, FREE, HELD, OPEN

if TYPE_CHECKING:
    from txsessions.live.session import Session
    from txsessions.web.visit import Visit


class Exchange(Holding):
    """
    A request with its sessions, and its response.

    @ivar body: What the resource returned, to be told apart from other writes:
        it is followed by C{finish()} with no code of the application between.
    """

    body: bytes | None = None
    _length: int | None = None
    _whole: bool = False

    def __init__(
        self,
        request: Any,
        site: Any,
        table: Any,
        visits: list[Visit],
        sitepath: Sequence[bytes] = (),
    ) -> None:
        self.request = request
        self.site = site
        self.table = table
        self.visits = visits
        # What each request looks at is the instance's own: it is found in a tenth of
        # the time.
        self.state = FREE
        self.turnIsOver = self.isLoaded = self._undecided = False
        self.afterwards = None
        self._pending = 0
        for visit in visits:
            visit.exchange = self
        if sitepath:
            self._sitepath = sitepath

    def joins(self) -> Exchange:
        """
        Begin in the middle of a request.  If the response has started, the sessions
        come too late.
        """
        request = self.request
        self.turnIsOver = True
        if request.startedWriting:
            self.frozen = self._bytesAreOut = True
            self.state = DONE if request.finished else OPEN
        return self

    # -- writing

    def mayWrite(self, data: bytes) -> bool:
        """
        The application writes.

        @return: Whether Twisted's own C{write} is to have the data.
        """
        if self.state != FREE:
            return self._mayWriteMore(data)
        request = self.request
        # Where this is all that the resource returned, no code of the application runs
        # before the end.
        self._whole = data is self.body
        if not self._whole and request._inFakeHead:
            return True
        # The first byte: decide what the sessions need.
        self.frozen = True
        try:
            for visit in self.visits:
                if visit.acquired and visit.session is not None:
                    self._settleFirst(visit, visit.session)
        except SessionError:
            self._fail(Failure())
            return False
        if self.state == FAILED:
            return False
        if request.cookies:
            mergeCookies(request)
        if not self._whole:
            self._length = announcedLength(request)
        if not self._undecided and not self._pending:
            self.state = OPEN
            self._bytesAreOut = True
            return True
        self._hold()
        if self._undecided:
            self.table.reactor.callLater(0, self._decide)
        return True

    def _settleFirst(self, visit: Visit, session: Session) -> None:
        """
        Decide what one session needs, and say so in the headers.

        @raise SessionError: It cannot be saved.
        """
        headers = self.request.responseHeaders
        if session._isNew and visit.isBlank():
            if self._whole or visit.homeless:
                visit.dismiss()
            else:
                visit.undecided = self._undecided = True
        elif session._phase == STORED:
            entry = session._entry
            if entry is not None and not entry.settle(self):
                self._pending += 1
        elif not visit.settle():
            self._pending += 1
        if visit.line is not None or visit.rotatedHere or session._phase >= ENDED:
            visit.sayHow()
            if visit.line is not None:
                self._forbidStoring(headers)
                if not visit.secure:
                    self.site._proxies.warn(self.request)
        varyByCookie(headers)

    def _mayWriteMore(self, data: bytes) -> bool:
        """
        The application writes, and not for the first time.

        @return: As L{mayWrite}.
        @raise RuntimeError: It has finished, as Twisted says then; an encoder does not
            get the data.
        """
        state, length = self.state, self._length
        if state == HELD and self._finishing:
            raise RuntimeError(
                "Request.write called on a request after Request.finish was called."
            )
        if state == FAILED:
            return False
        if length is None or state != OPEN:
            return True
        if self.request.sentLength + len(data) < length:
            return True
        # The client takes the body for complete with this.
        self._length = None
        return self._settleAll()

    def _settleAll(self) -> bool:
        """
        Settle once more, after the first byte.

        @return: Whether the application's call may go on.
        """
        pending = 0
        try:
            for visit in self._acquired():
                if not visit.undecided and not visit.settle():
                    pending += 1
        except SessionError:
            self._fail(Failure())
        self._pending += pending
        if self.state == FAILED:
            return False
        if self._pending and self._recorder is None and self.state == OPEN:
            self._hold()
        return True

    def _decide(self) -> None:
        """
        The turn is over in which a response began with a new and empty session:
        it may be filled yet, so it is kept.
        """
        if self.state != HELD or self._finishing:
            return
        for visit in self.visits:
            if visit.undecided:
                visit.undecided = False
                self.settleHeld(visit)
        if self.state == HELD and not self._pending:
            self._release()

    def mayFinish(self) -> bool:
        """
        The application has finished.

        @return: Whether Twisted's own C{finish} is to hear of it now.
        """
        state = self.state
        if state == OPEN and self._whole:
            # By far most are so.
            self._end()
            return True
        if state == FREE:
            request = self.request
            if not request.finished and not request._disconnected:
                self.body = b""
                if request._encoder:
                    self._beginEncoded(request, self.body)
                else:
                    request.write(self.body)
            state = self.state
        if state == OPEN and not self._whole:
            self._whole = True
            if not self._settleAll():
                return False
            state = self.state
        if state == HELD:
            if not self._finishing:
                self._finishing = True
                self.request.finished = 1
                self._finishHeld()
            return False
        if state == FAILED:
            return False
        self._end()
        return True

    def _beginEncoded(self, request: Any, body: bytes) -> None:
        """
        The application has written nothing.  What an encoder has to say at the end does
        Twisted's C{finish} write by itself, which then begins the response too.
        """
        if self.mayWrite(body) and self.state == HELD:
            # Its headers do not change any more.
            http.Request.write(request, body)
            if "write" in vars(request):
                # It has no body.
                request._encoder = None

    def _finishHeld(self) -> None:
        """
        The application has finished a held response.
        """
        if self._undecided:
            try:
                self._decideNow()
            except SessionError:
                self._fail(Failure())
                return
        if not self._whole and self.state == HELD:
            self._whole = True
            self._settleAll()
        if self.state == HELD and not self._pending:
            self._release()

    def _decideNow(self) -> None:
        """
        Keep what is new if there is something in it, or else forget it.

        @raise SessionError: It cannot be kept.
        """
        for visit in self.visits:
            if visit.undecided:
                if visit.isBlank():
                    visit.dismiss()
                else:
                    visit.undecided = False
                    self.settleHeld(visit)

    def turnEnds(self) -> None:
        """
        The resource has returned and goes on in the background: what it changed
        until now is saved now, if it has not begun to answer.
        """
        self.turnIsOver = True
        if self.state == HELD and self._finishing:
            # It is over when the store has answered, as that does or is late.
            return
        for visit in self.visits:
            visit.loosen()
        if self.state != FREE:
            return
        try:
            for visit in self._acquired():
                session = visit.session
                assert session is not None
                if session._phase >= ENDED or visit.homeless or visit.isBlank():
                    continue
                if self.table.anonymous.isRefused(session):
                    # Somebody may sign in on it yet.
                    continue
                if session._entry is not None:
                    session._entry.settle(NOBODY)
        except SessionError:
            self._fail(Failure())


__all__ = ["Exchange"]
