"""
One request, from the loading of its session to the last byte of its response.

Owns the order of things: load before render; settle at the first byte; hold the
reply until the store has acknowledged; settle again before the last byte; answer
503 where that fails.  L{Visit<txsessions.web.visit.Visit>} knows the session,
L{Recorder<txsessions.web.reply.Recorder>} how a reply is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from txsessions.web.arrival import Arrival, readCookies
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
    @ivar frozen: Whether the headers can no longer change.
    @ivar body: What the resource returned, to be told apart from other writes:
        it is followed by C{finish()} with no code of the application between.
    """

    __slots__ = (
        "_arrival",
        "_finishing",
        "_insecure",
        "_noStore",
        "_pending",
        "_recorder",
        "_secure",
        "_sitepath",
        "_state",
        "_whole",
        "body",
        "frozen",
        "request",
        "site",
        "table",
    )

    def __init__(self, request: Any, site: Any, sitepath: Sequence[bytes] = ()) -> None:
        self.request = request
        self.site = site
        self.table = site._live
        self.frozen = False
        self.body: bytes | None = None
        self._sitepath = sitepath
        self._secure: Visit | None = None
        self._insecure: Visit | None = None
        self._state = FREE
        self._pending = 0
        self._recorder: Recorder | None = None
        self._finishing = False
        self._whole = False
        self._noStore = False
        self._arrival = Arrival(self)

    def visits(self) -> Iterator[Visit]:
        """
        The visits there are.
        """
        if self._insecure is not None:
            yield self._insecure
        if self._secure is not None:
            yield self._secure

    def _acquired(self) -> list[Visit]:
        """
        The visits in which the application uses the session.
        """
        return [v for v in self.visits() if v.acquired and v.session is not None]

    def visit(self, secure: bool) -> Visit:
        """
        The visit for one scheme, made if there is none.
        """
        visit = self._secure if secure else self._insecure
        if visit is None:
            name = self.site.cookies.nameFor(secure, self._sitepath)
            visit = Visit(self, name, secure=secure)
            if secure:
                self._secure = visit
            else:
                self._insecure = visit
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

    def load(self, headers: Sequence[bytes], resume: Callable[[], None]) -> bool:
        """
        Load the sessions that the request came with.

        @param headers: Its C{Cookie} headers.
        @param resume: Called when that has taken time.
        @return: Whether it has not: all is there.
        """
        return not readCookies(self, headers) or self._arrival.load(resume)

    @property
    def isBusy(self) -> bool:
        """
        Whether the client waits for the store.
        """
        return self._arrival.isUnderWay or self._state == HELD

    @property
    def isLost(self) -> bool:
        """
        Whether the client is gone.
        """
        return self._state == LOST

    # -- what the application does

    def session(self, secure: bool) -> Session:
        """
        The session of one scheme.

        @raise SessionUnavailable: The store could not be asked.
        """
        return self.visit(secure).use()

    def current(self, secure: bool) -> Session | None:
        """
        The session of one scheme, if the application uses one.
        """
        visit = self._secure if secure else self._insecure
        return visit.session if visit is not None and visit.acquired else None

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

    def write(self, data: bytes) -> None:
        """
        See C{Request.write}.
        """
        request, state = self.request, self._state
        if state == FREE:
            if request._inFakeHead:
                request._plainWrite(data)
                return
            if not self._freeze(data is self.body):
                return
        elif state == FAILED or (state == HELD and self._finishing):
            return
        elif state == OPEN and not self._whole and self._completes(data):
            self._whole = True
            if not self._settleAll():
                return
        request._plainWrite(data)

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
        undecided = False
        try:
            for visit in self._acquired():
                if visit.isBlank():
                    if whole or visit.homeless:
                        visit.dismiss()
                    else:
                        visit.undecided = undecided = True
                elif not visit.settle():
                    self._pending += 1
                visit.sayHow()
        except SessionError:
            self._fail(Failure())
            return False
        if self._state == FAILED:
            return False
        headers = request.responseHeaders
        for visit in self.visits():
            if visit.acquired:
                varyByCookie(headers)
            if visit.line is not None:
                self._noStore = forbidStoring(headers) or self._noStore
        mergeCookies(request)
        if undecided:
            self._hold()
            self.table.reactor.callLater(0, self._decide)
        elif self._pending:
            self._hold()
        else:
            self._state = OPEN
        return request is not None

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
        if self._pending and self._recorder is None and self._state == OPEN:
            self._hold()
        return self._state != FAILED

    def _decide(self) -> None:
        """
        The turn is over in which a response began with a new and empty session:
        it may be filled yet, so it is kept.
        """
        if self._state != HELD or self._finishing:
            return
        for visit in self.visits():
            if visit.undecided:
                visit.undecided = False
                self._settleOne(visit)
        if self._state == HELD and not self._pending:
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

    def finish(self) -> None:
        """
        See C{Request.finish}.
        """
        request = self.request
        if self._state == FREE and not request.finished and not request._disconnected:
            self.body = b""
            request.write(self.body)
        state = self._state
        if state == HELD:
            if not self._finishing:
                self._finishing = True
                request.finished = 1
                self._finishHeld()
            return
        if state == FAILED:
            return
        if state == OPEN and not self._whole:
            self._whole = True
            if not self._settleAll():
                return
            if self._state == HELD:
                self._finishing = True
                request.finished = 1
                return
        self._end()
        request._plainFinish()

    def _finishHeld(self) -> None:
        """
        The application has finished a held response.
        """
        try:
            for visit in self.visits():
                if visit.undecided:
                    if visit.isBlank():
                        visit.dismiss()
                    else:
                        visit.undecided = False
                        self._settleOne(visit)
        except SessionError:
            self._fail(Failure())
            return
        if not self._whole and self._state == HELD:
            self._whole = True
            self._settleAll()
        if self._state == HELD and not self._pending:
            self._released()

    # -- holding

    def _hold(self) -> None:
        """
        Keep what is written from now on.
        """
        request = self.request
        self._state = HELD
        recorder = self._recorder = Recorder(request.channel)
        request.channel = recorder
        if request.producer is not None:
            recorder.takeOver(request.producer, request.streamingProducer)

    def sessionSaved(self) -> None:
        """
        See L{Waiter<txsessions.live.entry.Waiter>}.
        """
        self._pending -= 1
        if not self._pending and self._state == HELD:
            for visit in self.visits():
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
        if self._state in (FREE, HELD, OPEN):
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
        if self._pending or self._state != HELD:
            return
        request, recorder = self.request, self._recorder
        assert recorder is not None
        if recorder.head is not None:
            correctCookies(
                recorder.head[3], request, list(self.visits()), noStore=self._noStore
            )
        self._recorder = None
        self._state = OPEN
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
        self._state = DONE
        for visit in self.visits():
            visit.leave()

    # -- failing

    def _fail(self, failure: Failure) -> None:
        """
        The session could not be saved: answer so, or, if bytes are out, let no
        complete answer stand for it.
        """
        request, recorder = self.request, self._recorder
        out = self._state == OPEN or (
            self._state == HELD and recorder is not None and recorder.head is None
        )
        self._state = FAILED
        if recorder is not None:
            self._recorder = None
            request.channel = recorder.channel
            recorder.stopProducing()
        deletions = [
            self.renderDeletion(visit)
            for visit in self.visits()
            if visit.endedHere and visit.cameBy is not None
        ]
        for visit in self.visits():
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
        if self._state in (FREE, HELD) or self._state == OPEN:
            self._fail(failure)

    def startAgain(self) -> None:
        """
        Rendering failed while the reply was held: what was recorded is dropped,
        so that a clean error can take its place.
        """
        recorder = self._recorder
        if self._state == HELD and recorder is not None and recorder.head is not None:
            recorder.drop()
            failing.reset(self.request, keepCookies=True)
            self._finishing = False

    # -- the client is gone

    def lost(self) -> None:
        """
        The client is gone.  That does not undo what was changed.
        """
        recorder, state = self._recorder, self._state
        if recorder is not None:
            self._recorder = None
            self.request.channel = recorder.channel
            recorder.stopProducing()
        self._state = LOST
        if state in (FREE, HELD, OPEN):
            for visit in self._acquired():
                try:
                    if visit.isBlank():
                        visit.dismiss()
                    else:
                        visit.settle()
                except SessionError as error:
                    _log.error("a session cannot be saved: {error}", error=str(error))
        for visit in self.visits():
            visit.leave()

    def turnEnds(self) -> None:
        """
        The resource has returned and goes on in the background: what it changed
        until now is saved now.
        """
        if self._state != FREE:
            return
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
