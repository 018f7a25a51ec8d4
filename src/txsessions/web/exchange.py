"""
One request, from the loading of its session to the last byte of its response.

Owns the order of things: load before render; settle at the first byte; hold the
reply until the store has acknowledged; settle again before the last byte; answer
503 where that fails.  L{Visit<txsessions.web.visit.Visit>} knows the session,
L{Recorder<txsessions.web.reply.Recorder>} how a reply is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.errors import (
    CannotBeKept,
    ConfigurationError,
    ResponseStarted,
    SessionError,
    SessionTooLarge,
)
from txsessions.live.session import ENDED
from txsessions.live.waiting import NOBODY
from txsessions.web import failing
from txsessions.web.headers import (
    correctCookies,
    forbidStoring,
    mergeCookies,
    varyByCookie,
)
from txsessions.web.reply import Recorder
from txsessions.web.visit import Visit, visitOf

if TYPE_CHECKING:
    from txsessions.live.session import Session

_log = Logger(namespace="txsessions")

FREE, HELD, OPEN, FAILED, LOST, DONE = range(6)
"""Where a response is: nothing written yet; held; on its way to the client;
answered by us instead; the client is gone; finished."""


class Exchange:
    """
    What a request has to do with sessions.

    @ivar request: The request.
    @ivar site: The site that owns the sessions.
    @ivar table: Its live table.
    @ivar visits: What it has to do with the session of each scheme.
    @ivar frozen: Whether the headers can no longer change.
    @ivar body: What the resource returned, to be told apart from other writes:
        it is followed by C{finish()} with no code of the application between.
    """

    __slots__ = (
        "_finishing",
        "_noStore",
        "_pending",
        "_recorder",
        "_sitepath",
        "_whole",
        "body",
        "frozen",
        "isLoading",
        "request",
        "site",
        "state",
        "table",
        "visits",
    )

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
        self.frozen = False
        self.body: bytes | None = None
        self._sitepath = sitepath
        self.visits = visits
        for visit in visits:
            visit.exchange = self
        self.state = FREE
        self._pending = 0
        self._recorder: Recorder | None = None
        self.isLoading = self._finishing = self._whole = self._noStore = False

    def _acquired(self) -> list[Visit]:
        """
        The visits in which the application uses the session.
        """
        return [v for v in self.visits if v.acquired and v.session is not None]

    def visit(self, secure: bool) -> Visit:
        """
        The visit for one scheme, made if there is none.
        """
        for visit in self.visits:
            if visit.secure == secure:
                return visit
        name = self.site.cookies.nameFor(secure, self._sitepath)
        visit = Visit(secure, name)
        visit.exchange = self
        self.visits.append(visit)
        return visit

    def render(self, uid: bytes, visit: Visit) -> bytes:
        """
        The C{Set-Cookie} value that gives out a uid.
        """
        policy = self.site.cookies
        return policy.render(uid, visit.secure, self._sitepath)  # type: ignore[no-any-return]

    def renderDeletion(self, visit: Visit) -> bytes:
        """
        The C{Set-Cookie} value that takes the cookie away.
        """
        policy = self.site.cookies
        return policy.renderDeletion(visit.secure, self._sitepath)  # type: ignore[no-any-return]

    # -- loading

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

    # -- what the application does

    def current(self, secure: bool) -> Session | None:
        """
        The session of one scheme, if the application uses one.
        """
        for visit in self.visits:
            if visit.secure == secure and visit.acquired:
                return visit.session
        return None

    def rotates(self, session: Session) -> None:
        """
        The response is to carry the session's new cookie.

        @raise ResponseStarted: It can carry none any more.
        """
        if self.frozen:
            raise ResponseStarted
        visit = visitOf(self, session)
        if visit is None:
            raise ConfigurationError(
                "rotate(request) takes the request that got the session by "
                "request.getSession(): this one did not"
            )
        visit.rotatedHere = True
        visit.homeless = False

    # -- writing

    def mayWrite(self, data: bytes) -> bool:
        """
        The application writes.

        @return: Whether Twisted's own C{write} is to have the data.
        """
        state = self.state
        if state == FREE:
            return self.request._inFakeHead or self._freeze(data is self.body)
        if state == FAILED or (state == HELD and self._finishing):
            return False
        if state == OPEN and not self._whole and self._completes(data):
            self._whole = True
            return self._settleAll()
        return True

    def _completes(self, data: bytes) -> bool:
        """
        Whether this is the last of a body whose length was announced.
        """
        request = self.request
        length = request.responseHeaders.getRawHeaders(b"content-length")
        if length is None or request._encoder is not None or not data:
            return False
        return request.sentLength + len(data) >= int(length[-1])  # type: ignore[no-any-return]

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
                if not visit.acquired:
                    continue
                varyByCookie(headers)
                if session is None:
                    continue
                if session._isNew and visit.isBlank():
                    if whole or visit.homeless:
                        visit.dismiss()
                    else:
                        visit.undecided = undecided = True
                elif session._entry is not None and not visit.settle():
                    self._pending += 1
                visit.sayHow()
                if visit.line is not None:
                    self._noStore = forbidStoring(headers) or self._noStore
        except SessionError:
            self._fail(Failure())
            return False
        if self.state == FAILED:
            return False
        if request.cookies:
            mergeCookies(request)
        if undecided:
            self._hold()
            self.table.reactor.callLater(0, self._decide)
        elif self._pending:
            self._hold()
        else:
            self.state = OPEN
        return True

    def _settleAll(self) -> bool:
        """
        Settle once more, after the first byte.

        @return: Whether the write may go on.
        """
        pending = 0
        try:
            for visit in self._acquired():
                if not visit.undecided and not visit.settle():
                    pending += 1
        except SessionError:
            self._fail(Failure())
            return False
        self._pending += pending
        if self._pending and self._recorder is None and self.state == OPEN:
            self._hold()
        return self.state != FAILED

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
            self._released()

    def _settleOne(self, visit: Visit) -> None:
        """
        Settle one visit of a held reply.
        """
        try:
            if visit.session is not None and not visit.settle():
                self._pending += 1
        except SessionError:
            self._fail(Failure())

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
            self._released()

    # -- holding

    def _hold(self) -> None:
        """
        Keep what is written from now on.
        """
        request = self.request
        self.state = HELD
        recorder = self._recorder = Recorder(request.channel)
        request.channel = recorder
        if request.producer is not None:
            recorder.takeOver(request.producer, request.streamingProducer)

    def sessionSaved(self) -> None:
        """
        See L{Waiter<txsessions.live.entry.Waiter>}.
        """
        self._pending -= 1
        if not self._pending and self.state == HELD:
            for visit in self.visits:
                if visit.undecided:
                    return
            self._released()

    sessionGone = sessionSaved
    """A session that has ended meanwhile is no failure: see L{_released}."""

    def saveFailed(self, failure: Failure) -> None:
        """
        See L{Waiter<txsessions.live.entry.Waiter>}.
        """
        self._pending -= 1
        if self.state in (FREE, HELD, OPEN):
            self._fail(failure)

    def _released(self) -> None:
        """
        The store has acknowledged what the reply tells.
        """
        for visit in self._acquired():
            session = visit.session
            assert session is not None
            if session._phase >= ENDED and session._entry is not None:
                self._settleOne(visit)
        if self._pending or self.state != HELD:
            return
        request, recorder = self.request, self._recorder
        assert recorder is not None
        if recorder.head is not None:
            correctCookies(
                recorder.head[3], request, self.visits, noStore=self._noStore
            )
        self._recorder = None
        self.state = OPEN
        request.channel = recorder.channel
        try:
            recorder.replay()
            if self._finishing:
                request.finished = 0
                self._end()
                request._plainFinish()
        except Exception:
            _log.failure("a held response could not be sent")
            channel = request.channel if hasattr(request, "channel") else None
            if channel is not None:
                channel.loseConnection()

    def _end(self) -> None:
        """
        The request has nothing more to do with sessions.
        """
        self.state = DONE
        for visit in self.visits:
            visit.leave()

    # -- failing

    def _fail(self, failure: Failure) -> None:
        """
        The session could not be saved: answer so, or, if bytes are out, let no
        complete answer stand for it.
        """
        request, recorder = self.request, self._recorder
        out = self.state == OPEN or (
            self.state == HELD and recorder is not None and recorder.head is None
        )
        self.state = FAILED
        if recorder is not None:
            self._recorder = None
            request.channel = recorder.channel
            recorder.stopProducing()
        deletions = [
            self.renderDeletion(visit)
            for visit in self.visits
            if visit.endedHere and visit.cameBy is not None
        ]
        for visit in self.visits:
            visit.leave()
        if failure.check(CannotBeKept, SessionTooLarge):
            _log.error("a session cannot be saved: {error}", error=str(failure.value))
            code = failing.INTERNAL_SERVER_ERROR
        else:
            code = failing.SERVICE_UNAVAILABLE
        if out:
            failing.abort(request)
        else:
            failing.answer(request, code, deletions)

    def unavailable(self, failure: Failure) -> None:
        """
        The application let C{SessionUnavailable} pass.
        """
        if self.state in (FREE, HELD) or self.state == OPEN:
            self._fail(failure)

    def startAgain(self) -> None:
        """
        Rendering failed while the reply was held: what was recorded is dropped,
        so that a clean error can take its place.
        """
        recorder = self._recorder
        if self.state == HELD and recorder is not None and recorder.head is not None:
            recorder.drop()
            failing.reset(self.request, keepCookies=True)
            self._finishing = False

    # -- the client is gone

    def lost(self) -> None:
        """
        The client is gone.  That does not undo what was changed.
        """
        recorder, state = self._recorder, self.state
        if recorder is not None:
            self._recorder = None
            self.request.channel = recorder.channel
            recorder.stopProducing()
        self.state = LOST
        if state in (FREE, HELD, OPEN):
            for visit in self._acquired():
                try:
                    if visit.isBlank():
                        visit.dismiss()
                    else:
                        visit.settle()
                except SessionError as error:
                    _log.error("a session cannot be saved: {error}", error=str(error))
        for visit in self.visits:
            visit.leave()

    def turnEnds(self) -> None:
        """
        The resource has returned and goes on in the background: what it changed
        until now is saved now.
        """
        for visit in self._acquired():
            session = visit.session
            assert session is not None
            entry = session._entry
            try:
                if entry is not None and session._phase < ENDED:
                    if not visit.homeless and not visit.isBlank():
                        entry.settle(NOBODY)
            except SessionError as error:
                _log.error("a session cannot be saved: {error}", error=str(error))


__all__ = ["Exchange"]
