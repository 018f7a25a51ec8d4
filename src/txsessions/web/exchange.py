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

from txsessions.errors import SessionError
from txsessions.live.phases import ENDED
from txsessions.live.waiting import NOBODY
from txsessions.web.headers import announcedLength, mergeCookies, varyByCookie
from txsessions.web.holding import Holding
from txsessions.web.visits import DONE, FAILED, FREE, HELD, OPEN

if TYPE_CHECKING:
    from txsessions.web.visit import Visit


class Exchange(Holding):
    """
    A request with its sessions, and its response.

    @ivar body: What the resource returned, to be told apart from other writes:
        it is followed by C{finish()} with no code of the application between.
    """

    __slots__ = ("_length", "_whole", "body")

    def __init__(
        self,
        request: Any,
        site: Any,
        visits: list[Visit],
        sitepath: Sequence[bytes] = (),
    ) -> None:
        self.request = request
        self.site = site
        self.table = site._live
        self.visits = visits
        for visit in visits:
            visit.exchange = self
        self._sitepath = sitepath
        self.body: bytes | None = None
        self._length: int | None = None
        self.afterwards = self._cacheControl = self._orphan = self._recorder = None
        self._pending = 0
        self.isLoading = self._finishing = self._whole = False
        self.frozen = self._bytesAreOut = False
        self.state = FREE
        if request.startedWriting:
            # The sessions come too late.
            self.frozen = self._bytesAreOut = True
            self.state = DONE if request.finished else OPEN

    # -- writing

    def mayWrite(self, data: bytes) -> bool:
        """
        The application writes.

        @return: Whether Twisted's own C{write} is to have the data.
        """
        state = self.state
        if state == FREE:
            return self.request._inFakeHead or self._freeze(data is self.body)
        if state == FAILED:
            return False
        length = self._length
        if length is None or state != OPEN:
            return True
        if self.request.sentLength + len(data) < length:
            return True
        # The client takes the body for complete with this.
        self._length = None
        return self._settleAll()

    def _freeze(self, whole: bool) -> bool:
        """
        The first byte: decide what the sessions need.

        @param whole: Whether no code of the application runs before the end.
        @return: Whether the write may go on.
        """
        self.frozen = True
        self._whole = whole
        request = self.request
        headers = request.responseHeaders
        undecided = False
        try:
            for visit in self.visits:
                session = visit.session
                if not visit.acquired or session is None:
                    continue
                if session._isNew and visit.isBlank():
                    if whole or visit.homeless:
                        visit.dismiss()
                    else:
                        visit.undecided = undecided = True
                elif not visit.settle():
                    self._pending += 1
                visit.sayHow()
                varyByCookie(headers)
                if visit.line is not None:
                    self._forbidStoring(headers)
        except SessionError:
            self._fail(Failure())
            return False
        if self.state == FAILED:
            return False
        if request.cookies:
            mergeCookies(request)
        self._length = None if whole else announcedLength(request)
        if undecided:
            self._hold()
            self.table.reactor.callLater(0, self._decide)
        elif self._pending:
            self._hold()
        else:
            self.state = OPEN
            self._bytesAreOut = True
        return True

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
                self._settleOne(visit)
        if self.state == HELD and not self._pending:
            self._release()

    def mayFinish(self) -> bool:
        """
        The application has finished.

        @return: Whether Twisted's own C{finish} is to hear of it now.
        """
        request = self.request
        if self.state == FREE and not request.finished and not request._disconnected:
            self.body = b""
            request.write(self.body)
        if self.state == OPEN and not self._whole:
            self._whole = True
            if not self._settleAll():
                return False
        if self.state == HELD:
            if not self._finishing:
                self._finishing = True
                request.finished = 1
                self._finishHeld()
            return False
        if self.state == FAILED:
            return False
        self._end()
        return True

    def _finishHeld(self) -> None:
        """
        The application has finished a held response.
        """
        try:
            for visit in self.visits:
                if visit.undecided:
                    if visit.isBlank():
                        visit.dismiss()
                    else:
                        visit.undecided = False
                        self._settleOne(visit)
        except SessionError:
            self._fail(Failure())
            return
        if not self._whole and self.state == HELD:
            self._whole = True
            self._settleAll()
        if self.state == HELD and not self._pending:
            self._release()

    def turnEnds(self) -> None:
        """
        The resource has returned and goes on in the background: what it changed
        until now is saved now.
        """
        try:
            for visit in self._acquired():
                session = visit.session
                assert session is not None
                if session._phase >= ENDED or visit.homeless or visit.isBlank():
                    continue
                if session._entry is not None:
                    session._entry.settle(NOBODY)
        except SessionError:
            self._fail(Failure())


__all__ = ["Exchange"]
