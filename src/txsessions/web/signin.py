"""
What a sign-in does to the requests that are there.

Owns which session somebody is signed in on, and what becomes of the other requests that
hold it.  What a sign-in does to the session itself is in L{txsessions.live.signin}.

Theory of operation.  Only a request that came by the uid which the session has may
give it another one and hand that out: else somebody who knew the old uid, and whose
request still waits, would be given that of whoever signed in meanwhile.  A request
that was outrun so, or that finds its session gone, signs in on a session of its own,
since the proof that it brings is its own too; but not where it built upon a sign-in
that is there no more, as a second factor does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.core.principals import HANDLE_BYTES
from txsessions.core.signin import MAX_CLIENT
from txsessions.errors import ResponseStarted, SessionGone, TooManySessions
from txsessions.live import signin, tokens
from txsessions.live.ignorable import IgnorableDeferred
from txsessions.live.phases import NEW
from txsessions.web.forwarded import clientHostOf
from txsessions.web.visits import HELD

if TYPE_CHECKING:
    from txsessions.core.signin import SignIn
    from txsessions.live.session import Session
    from txsessions.web.visit import Visit

_NOBODY = (None, None)


class SigningIn:
    """
    One call of C{login()}.

    @ivar done: What the caller has.
    """

    def __init__(self, exchange: Any, signIn: SignIn, keep: bool | None) -> None:
        """
        @param keep: See L{Session.login}.
        """
        self._exchange = exchange
        self._signIn = signIn
        self._keep = keep
        self._mayRepeat = True
        self.done: IgnorableDeferred[None] = IgnorableDeferred()

    def begin(self, visit: Visit, session: Session) -> None:
        """
        Sign in on a session, or on another in its place.
        """
        principal = self._signIn.principal
        if visit.hasLost(session, principal):
            self.done.fail(Failure(SessionGone(session._tag())))
        elif visit.session is session and visit.isAlive and not visit.outrun:
            known = session._signIn
            builds = known is not None and known.principal == principal
            self._mayRepeat = not builds
            if self._keep or (self._keep is None and (known is None or builds)):
                self._goOn(visit, session)
            else:
                self._startAfresh(visit, session)
        elif visit.isAlive and visit.session is not None and not visit.outrun:
            # Asked for meanwhile, by an application that calls the old one still.
            self.begin(visit, visit.session)
        else:
            self._takeAnother(visit)

    def _goOn(self, visit: Visit, session: Session) -> None:
        """
        The session stays what it is, and gets a new uid.
        """
        table = self._exchange.table
        others = visit.rotates(session)
        signin.begin(session, self._signIn)
        saved = table.rotate(session)
        if session._phase == NEW:
            saved = table.save(session)
        self._waitFor(visit, saved)
        for other in others:
            other.part()

    def _startAfresh(self, visit: Visit, session: Session) -> None:
        """
        The session ends, and another takes its place, with nothing in it.
        """
        table = self._exchange.table
        others = visit.rotates(session)
        successor = visit.replace()
        signin.begin(successor, self._signIn)
        signin.supersede(table, session, successor)
        self._waitFor(visit, table.save(successor))
        for other in others:
            other.part()
            other.became = successor

    def _takeAnother(self, visit: Visit) -> None:
        """
        The session is somebody else's now, or gone: this is another.
        """
        exchange, former = self._exchange, visit.session
        if former is not None and visit.acquired:
            exchange.waitFor(former)
            if exchange.isOver:
                # What was changed in that one cannot be kept, or the client has left.
                self.done.fail(Failure(SessionGone(former._tag())))
                return
        session = visit.replace()
        signin.begin(session, self._signIn)
        self._waitFor(visit, exchange.table.save(session))
        if exchange.state == HELD:
            exchange.settleHeld(visit)

    def _waitFor(self, visit: Visit, saved: Deferred[None]) -> None:
        """
        The store is told.
        """
        if self._exchange.table.store is None and visit.session is not None:
            table, session = self._exchange.table, visit.session
            tag = table.tagOf(session._uid)
            signin.tell(table, session, session._signIn, tag)
        _ = saved.addCallbacks(
            self._accepted, self._refused, callbackArgs=(visit,), errbackArgs=(visit,)
        )

    def _accepted(self, _: object, visit: Visit) -> None:
        """
        The store has taken it, and the browser gets another uid in the place of the
        one that it came with, even if that was dead already.
        """
        table, cameBy = self._exchange.table, visit.cameBy
        if cameBy is not None and cameBy not in table.sessions:
            session = visit.session or visit.former
            assert session is not None
            table.rotated.noteSignIn(cameBy, session._uid, table.seconds())
        self.done.callback(None)

    def _refused(self, failure: Failure, visit: Visit) -> None:
        """
        The store has not taken it: another process may have been faster.
        """
        if failure.check(SessionGone) and self._mayRepeat and not visit.endedHere:
            self._mayRepeat = False
            self._takeAnother(visit)
        else:
            if failure.check(TooManySessions):
                # The live session is lost by it: nothing else can be answered.
                self._exchange.unavailable(failure)
            self.done.fail(failure)


def signsIn(
    exchange: Any,
    session: Session,
    principal: str,
    level: int,
    keep: bool | None,
    remember: int | None,
) -> Deferred[None]:
    """
    Sign somebody in; see L{Session.login}.
    """
    table = exchange.table
    handle = exchange.site._entropy(HANDLE_BYTES)
    client = clientOf(exchange.request) if table.principals.keepsClients else _NOBODY
    now = table.seconds()
    signIn = signin.signInAs(principal, level, now, handle, client, remember)
    if exchange.frozen:
        raise ResponseStarted
    visit = exchange.visitOf(session, "login")
    signing = SigningIn(exchange, signIn, keep)
    if exchange.isOver:
        # Nobody can be given the new uid, so the old one stays good.
        signing.done.fail(Failure(SessionGone(session._tag(), "the client has left")))
    else:
        signing.begin(visit, session)
    return signing.done


def clientOf(request: Any) -> tuple[str | None, str | None]:
    """
    What is kept of a client.

    @return: Its user agent and its address, as far as it has any.
    """
    agent = request.requestHeaders.getRawHeaders(b"User-Agent", [b""])[0]
    host = clientHostOf(request)
    return (
        agent.decode("latin-1")[:MAX_CLIENT] or None,
        None if host is None else host[:MAX_CLIENT],
    )


def endsOthers(exchange: Any, session: Session) -> Deferred[int]:
    """
    End the other sessions of who is signed in; see L{Session.endOthers}.  After the
    rotation, since until then it is not certain under which key this one is to stay.
    """
    done: IgnorableDeferred[int] = IgnorableDeferred()
    signIn = session._signIn
    if signIn is None or not exchange.rotates(session):
        # No answer may say that the others have ended.
        failure = Failure(SessionGone(session._tag()))
        exchange.unavailable(failure)
        done.fail(failure)
        return done
    tokens.dropSecret(session)
    exchange.waitForMore()

    def rotated(_: object) -> Deferred[int]:
        ended: Deferred[int] = exchange.table.principals.end(signIn.principal, session)
        return ended

    def succeeded(count: int) -> None:
        exchange.sessionSaved()
        done.callback(count)

    def failed(failure: Failure) -> None:
        exchange.saveFailed(failure)
        done.fail(failure)

    _ = (
        exchange.table.rotate(session)
        .addCallback(rotated)
        .addCallbacks(succeeded, failed)
    )
    return done


__all__ = ["SigningIn", "clientOf", "endsOthers", "signsIn"]
