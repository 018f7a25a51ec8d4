"""
How a reply is kept back, let go, or taken back.

Owns what becomes of a response once it is known what its sessions need: it is held
until the store has acknowledged, sent, or answered by us instead.
L{Recorder<txsessions.web.reply.Recorder>} keeps the bytes; what the sessions need is
decided in L{txsessions.web.exchange}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.errors import (
    CannotBeKept,
    SessionError,
    SessionTooLarge,
    TooManyNewSessions,
    TooManySessions,
)
from txsessions.live.phases import ENDED
from txsessions.web import failing
from txsessions.web.headers import correctCookies, varyByCookie
from txsessions.web.reply import Recorder, StandIn
from txsessions.web.visits import DONE, FAILED, HELD, LOST, OPEN, Visits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from txsessions.live.session import Session
    from txsessions.web.visit import Visit

_log = Logger(namespace="txsessions")


class Holding(Visits):
    """
    A request with its sessions, whose response waits for them.
    """

    _bytesAreOut: bool = False
    _finishing: bool = False
    _orphan: Any = None
    _pending: int = 0
    _recorder: Recorder | None = None
    _repeats: bool = False
    _undecided: bool = False

    # -- holding

    def _hold(self) -> None:
        """
        Keep what is written from now on.
        """
        request = self.request
        self.state = HELD
        self._finishing = self._repeats = False
        for visit in self.visits:
            visit.heldLine = visit.line
        recorder = self._recorder = Recorder(request.channel, [])
        request.channel = StandIn(recorder)
        if request.producer is not None:
            recorder.takeOver(request.producer, request.streamingProducer)

    def waitForEnd(self, session: Session) -> None:
        """
        See L{Visits.waitForEnd}.
        """
        if session._phase == ENDED:
            self.waitFor(session)

    def waitFor(self, session: Session) -> None:
        """
        See L{Visits.waitFor}.
        """
        entry = session._entry
        if entry is None or self.isOver:
            return
        try:
            if not entry.settle(self):
                self._pending += 1
        except SessionError:
            self._fail(Failure())

    def waitForMore(self) -> None:
        """
        The response waits for one thing more, of which L{sessionSaved} or
        L{saveFailed} is to tell.
        """
        self._pending += 1

    def settleHeld(self, visit: Visit) -> None:
        """
        Settle one visit of a held reply.
        """
        try:
            if visit.session is not None and not visit.settle():
                self._pending += 1
        except SessionError:
            self._fail(Failure())

    def sessionSaved(self) -> None:
        """
        See L{Waiter<txsessions.live.waiting.Waiter>}.
        """
        self._pending -= 1
        if (
            not self._pending
            and self.state == HELD
            and not (self._undecided and any(v.undecided for v in self.visits))
        ):
            self._release()

    sessionGone = sessionSaved
    """A session that has ended meanwhile is no failure: see L{_release}."""

    def saveFailed(self, failure: Failure) -> None:
        """
        See L{Waiter<txsessions.live.waiting.Waiter>}.
        """
        self._pending -= 1
        if self.state < FAILED:
            self._fail(failure)

    def _release(self) -> None:
        """
        The store has acknowledged what the reply tells.
        """
        speaks = False
        for visit in self.visits:
            session = visit.session
            if not visit.acquired or session is None:
                speaks = speaks or visit.heldLine is not None
            elif (
                visit.heldLine is not None
                or visit.line is not None
                or visit.rotatedHere
                or session._phase >= ENDED
            ):
                speaks = True
                self._settleLast(visit, session)
        if speaks and (self._pending or self.state != HELD):
            return
        isLast = self._finishing
        if isLast and self._repeats:
            self._sendAgain()
            return
        request, recorder = self.request, self._recorder
        assert recorder is not None
        self._recorder = None
        self.state = OPEN
        self._bytesAreOut = True
        request.channel = recorder.channel
        try:
            if speaks:
                correctCookies(recorder.headers, self.visits, self._cacheControl)
            # The end of a chunked one is Twisted's to write.
            recorder.replay(atOnce=not (isLast and request.chunked))
            if isLast:
                request.finished = 0
                self._end()
                request._plainFinish()
        except Exception:
            failing.giveUp(request)
        if self.afterwards is not None:
            self.goOn()

    def _settleLast(self, visit: Visit, session: Session) -> None:
        """
        The reply is to tell what has become of a session: the store must have that.
        """
        entry = session._entry
        if entry is not None and (
            session._phase >= ENDED
            # The application has given it one more id.
            or entry.storedKey not in {None, entry.key}
        ):
            self.settleHeld(visit)

    def _end(self) -> None:
        """
        The request has nothing more to do with sessions.
        """
        self.state = DONE
        self.frozen = True
        for visit in self.visits:
            visit.leave()
            visit.exchange = None
        # All is let go at once, without the help of the collector.
        self.request = None

    # -- failing

    def _fail(self, failure: Failure) -> None:
        """
        The session could not be saved: answer so, or, if bytes are out, let no
        complete answer stand for it.
        """
        request, recorder = self.request, self._recorder
        self.state = FAILED
        self._abandonProducer()
        if recorder is not None:
            self._recorder = None
            request.channel = recorder.channel
        deletions = self._deletions()
        for visit in self.visits:
            visit.leave()
        if self._refusal() is not None:
            code = failing.TOO_MANY_REQUESTS
        elif failure.check(CannotBeKept, SessionTooLarge):
            _log.error("a session cannot be saved: {error}", error=str(failure.value))
            code = failing.INTERNAL_SERVER_ERROR
        elif failure.check(TooManySessions):
            code = failing.CONFLICT
        else:
            code = failing.SERVICE_UNAVAILABLE
        try:
            if self._bytesAreOut or failing.isUpgraded(request):
                failing.abort(request, self.table.reactor)
            else:
                self._answerInstead(code, deletions)
        except Exception:
            # Others wait for the same save, and are still to hear of it.
            failing.giveUp(request)
        self.goOn()

    def _answerInstead(self, code: int, deletions: Sequence[bytes]) -> None:
        """
        Answer in the place of the application.
        """
        refusal = self._refusal()
        wait = failing.RETRY_AFTER if refusal is None else refusal.retryAfter
        failing.answer(self.request, code, deletions, retryAfter=wait)

    def _refusal(self) -> TooManyNewSessions | None:
        """
        Why a new session was not kept.
        """
        for visit in self.visits:
            error = None if visit.failure is None else visit.failure.value
            if isinstance(error, TooManyNewSessions):
                return error
        return None

    def unavailable(self, failure: Failure) -> None:
        """
        The application let C{SessionUnavailable} pass.
        """
        if self.state < FAILED:
            self._fail(failure)

    def startAgain(self) -> None:
        """
        Rendering failed while the reply was held: what was recorded is dropped,
        so that a clean error can take its place.
        """
        recorder = self._recorder
        if self.state != HELD or self._bytesAreOut or recorder is None:
            return
        self._abandonProducer()
        recorder.drop()
        failing.reset(self.request, keepCookies=True)
        self._finishing = False
        headers = self.request.responseHeaders
        for visit in self._acquired():
            varyByCookie(headers)
            if visit.line is not None:
                self._forbidStoring(headers)

    def askAgain(self) -> None:
        """
        The page shows what another page of this session shows too, and only one
        may: a request that changes nothing is better made once more.
        """
        if self.request.method in {b"GET", b"HEAD"}:
            self._repeats = True

    def _sendAgain(self) -> None:
        """
        What the page changed is saved; have the client ask for it once more, if it
        was complete.  To one that still goes on the client is left.
        """
        self._repeats = False
        self.startAgain()
        failing.sendAgain(self.request)

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
        self.afterwards = None
        if state < FAILED:
            for visit in self._acquired():
                try:
                    if visit.isBlank():
                        visit.dismiss()
                    else:
                        visit.settle()
                except TooManyNewSessions:
                    # That has been told.
                    continue
                except SessionError as error:
                    _log.error("a session cannot be saved: {error}", error=str(error))
        for visit in self.visits:
            visit.leave()

    # -- producers

    def mayRegister(self, producer: Any) -> bool:
        """
        The application registers a producer.

        @return: Whether Twisted's own C{registerProducer} is to hear of it.
        """
        if self.state == FAILED:
            producer.stopProducing()
            return False
        return True

    def mayUnregister(self) -> bool:
        """
        The application's producer has nothing more to say.

        @return: Whether Twisted's own C{unregisterProducer} is to hear of it.
        """
        if self._orphan is not None or self.state == FAILED:
            self._orphan = None
            return False
        return True

    def _abandonProducer(self) -> None:
        """
        Want nothing more from the producer.  It is stopped a little later, and
        only if it has not ended by itself: it may just be writing.
        """
        request = self.request
        producer = request.producer
        if producer is not None:
            request.channel.unregisterProducer()
            request.producer = None
            self._orphan = producer
            self.table.reactor.callLater(0, self._stopOrphan)

    def _stopOrphan(self) -> None:
        """
        Stop the abandoned producer.
        """
        orphan, self._orphan = self._orphan, None
        if orphan is not None:
            orphan.stopProducing()


__all__ = ["Holding"]
