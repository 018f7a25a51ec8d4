"""
Requests to a site whose sessions get new ids in time.

Owns which response carries a new id that nobody has asked for, and what a request is
given that came with an old one.  A site without renewal makes requests without this,
so that it costs nothing there.  When an id is renewed, and what an old one is good for,
is in L{txsessions.live.renewing}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from txsessions.errors import SessionGone, SessionUnavailable
from txsessions.live.phases import ENDED, STORED
from txsessions.live.reading import makeReading
from txsessions.live.renewing import Verdict
from txsessions.web import failing
from txsessions.web.arrival import Arrival, readNamed
from txsessions.web.exchange import Exchange
from txsessions.web.forwarded import clientHostOf
from txsessions.web.headers import cookieHeaderOf
from txsessions.web.request import SessionRequest
from txsessions.web.visit import Visit

if TYPE_CHECKING:
    from txsessions.live.session import Session


class RenewingVisit(Visit):
    """
    What a request has to do with a session whose id may be renewed.

    @ivar verdict: What the uid is good for that it came with, if that is an old one.
    @ivar gives: Whether it gives out a new uid that nobody has asked for.
    """

    verdict: Verdict | None = None
    gives = False

    def find(self, verdict: Verdict, session: Session | None) -> None:
        """
        This is what an old uid is good for; hold the session.
        """
        self.verdict = verdict
        if verdict is Verdict.READS and session is not None and self.cameBy is not None:
            session = makeReading(session, self.cameBy)
            self.outrun = True
        self.take(session)

    def renew(self, session: Session) -> None:
        """
        Give out a new uid, if it is time, or once more.
        """
        renewing = self.table.rotated.renewing
        if renewing is None or self.outrun or self.rotatedHere:
            return
        if self.verdict is Verdict.LED:
            self.rotatedHere = self.gives = renewing.isRenewed(session)
        elif session._uid == self.cameBy and renewing.mayRenew(session):
            with suppress(SessionUnavailable):
                renewing.renew(session)
                self.rotatedHere = self.gives = True

    def _make(self) -> Session:
        """
        See L{Visit._make}.  To a uid whose time is over that of nobody else answers.
        """
        isOver = self.verdict is Verdict.UNKNOWN and not self.exchange.frozen
        wasHomeless = self.homeless
        session = super()._make()
        if isOver and not wasHomeless:
            self.homeless = False
            self.say(self.exchange.render(session._uid, self))
        return session

    def part(self) -> None:
        """
        See L{Visit.part}: the uid that was to be given out is not that of now.
        """
        super().part()
        self.rotatedHere = False

    def sayHow(self) -> None:
        """
        See L{Visit.sayHow}.
        """
        if self.gives and not self.rotatedHere:
            self.gives = False
            self.say(None)
        super().sayHow()


class RenewingExchange(Exchange):
    """
    A request to such a site.
    """

    _isOutdated = False

    def _settleFirst(self, visit: Visit, session: Session) -> None:
        """
        See L{Exchange._settleFirst}.
        """
        if session._phase == STORED and isinstance(visit, RenewingVisit):
            visit.renew(session)
        super()._settleFirst(visit, session)

    def _fail(self, failure: Failure) -> None:
        """
        See L{Holding._fail<txsessions.web.holding.Holding._fail>}.
        """
        self._isOutdated = failure.check(SessionGone) is not None and any(
            isinstance(visit, RenewingVisit) and visit.verdict is Verdict.READS
            for visit in self.visits
        )
        super()._fail(failure)

    def _answerInstead(self, code: int, deletions: Sequence[bytes]) -> None:
        """
        See L{Holding._answerInstead<txsessions.web.holding.Holding._answerInstead>}.
        Who changes something by an id that is only good for reading has another one by
        now, or can be told nothing.
        """
        request = self.request
        if not self._isOutdated:
            super()._answerInstead(code, deletions)
        elif request.method in {b"GET", b"HEAD"}:
            failing.answerAgain(request)
        else:
            failing.answer(request, failing.CONFLICT, deletions, failing.OUTDATED)


class RenewingArrival(Arrival):
    """
    The loading of sessions that may have a new id.
    """

    __slots__ = ()

    def _answered(self, visit: Visit, answer: Any) -> None:
        """
        See L{Arrival._answered}.
        """
        exchange, uid = self._exchange, visit.cameBy
        if exchange.isLost or isinstance(answer, Failure) or uid is None:
            super()._answered(visit, answer)
            return
        table = exchange.table
        renewing = table.rotated.renewing
        if answer is None and renewing is not None and table.isRotated(uid):
            told = table.principals.keepsClients
            address = clientHostOf(exchange.request) if told else None
            _ = renewing.find(uid, address).addCallbacks(
                partial(self._found, visit), partial(self._notFound, visit)
            )
            return
        if answer is not None and renewing is not None:
            renewing.arrived(answer)
        super()._answered(visit, answer)

    def _found(self, visit: Visit, found: tuple[Verdict, Session | None]) -> None:
        """
        It is known what an old uid is good for.
        """
        if not self._exchange.isLost and isinstance(visit, RenewingVisit):
            visit.find(*found)
        self._oneLoaded()

    def _notFound(self, visit: Visit, failure: Failure) -> None:
        """
        The store could not answer.
        """
        self._exchange.table.broken(failure, None)
        super()._answered(visit, failure)


def loadRenewing(exchange: Exchange, resume: Callable[[], None]) -> bool:
    """
    Load the sessions that a request came with.

    @param resume: Called when that has taken time.
    @return: Whether it has not: all is there.
    """
    table = exchange.table
    renewing = table.rotated.renewing
    missing = []
    for visit in exchange.visits:
        session = table.sessions.get(visit.cameBy)
        entry = None if session is None else session._entry
        if session is not None and (entry is None or entry.isCurrent()):
            if renewing is not None and session._phase < ENDED:
                renewing.arrived(session)
            visit.take(session)
        else:
            missing.append(visit)
    return not missing or RenewingArrival(exchange).load(missing, resume)


class RenewingRequest(SessionRequest):
    """
    What a request gets where sessions are renewed.
    """

    def process(self: Any) -> None:
        """
        See C{Request.process}.
        """
        site = self.channel.site
        if self._exchange is None and site.renewal is not None:
            header = cookieHeaderOf(self.requestHeaders)
            visits = readNamed(site, site._cookieNames, header, RenewingVisit)
            del header  # a traceback may show what variables hold
            if visits:
                self._exchange = RenewingExchange(self, site, site._live, visits)
                if not loadRenewing(self._exchange, self._processLoaded):
                    return
        super().process()


__all__ = [
    "RenewingArrival",
    "RenewingExchange",
    "RenewingRequest",
    "RenewingVisit",
    "loadRenewing",
]
