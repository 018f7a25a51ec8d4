"""
The page to sign in.

Owns the way from a name and a password to a session on which somebody is signed in.
Who may pass is decided by the portal's checker; what a failure is called, here: there
is one message for whoever is unknown and for a wrong password, and another one where
the checker itself has failed, which says nothing about either.
"""

from __future__ import annotations

from math import ceil
from typing import Any, cast

from attrs import frozen
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import LoginFailed, Unauthorized, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import FORBIDDEN, OK, SERVICE_UNAVAILABLE
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from txsessions.auth._avatars import Avatar, Avatars
from txsessions.auth._entered import MAX_NAME, Entered
from txsessions.auth._leaving import ClientLeft, whileHere
from txsessions.auth._names import Names, Naming
from txsessions.auth._places import addressOf
from txsessions.auth._showing import LoginPage, Redirect, Showing
from txsessions.auth._throttling import Guess, Guesses
from txsessions.errors import SessionError, SessionGone, SessionUnavailable
from txsessions.live.events import EventKind
from txsessions.live.session import Session
from txsessions.live.table import LiveTable
from txsessions.web.failing import RETRY_AFTER
from txsessions.web.forwarded import clientHostOf

_log = Logger(namespace="txsessions")

TOO_MANY_REQUESTS = 429
"""The status for who has tried too often (RFC 6585, 4)."""


@frozen(kw_only=True)
class Terms:
    """
    What a sign-in is like.

    @ivar level: How sure it is who that is.
    @ivar keep: What becomes of what is in the session, as for C{session.login}.
    @ivar remember: For how long who wants that is remembered.
    """

    level: int
    keep: bool | None
    remember: int | None


class Login(Resource):
    """
    The page to sign in.
    """

    isLeaf = True

    def __init__(
        self,
        portal: Any,
        names: Names,
        avatars: Avatars,
        showing: Showing,
        terms: Terms,
        guesses: Guesses | None,
    ) -> None:
        """
        @param portal: A C{twisted.cred.portal.Portal}.
        @param names: What its users are called.
        @param avatars: Where those of its realm are kept.
        @param guesses: What slows guesses down, if anything does.
        """
        super().__init__()
        self._portal = portal
        self._names = names
        self._avatars = avatars
        self._showing = showing
        self._terms = terms
        self._guesses = guesses

    def render_GET(self, request: Any) -> Any:
        """
        Show the form, also to who is signed in: to be asked once more.
        """
        return self._page(request, code=OK).render(request)

    def render_POST(self, request: Any) -> Any:
        """
        Somebody signs in.
        """
        done = Deferred.fromCoroutine(self._answer(request))
        _ = done.addErrback(_failed, request)
        return NOT_DONE_YET

    def _page(self, request: Any, **how: Any) -> LoginPage:
        """
        The form, with what there is to say.
        """
        base = addressOf(request.prepath[:-1])
        returnTo = self._showing.places.returnOf(request, base)
        return LoginPage(self._showing, base, returnTo=returnTo, **how)

    async def _answer(self, request: Any) -> None:
        """
        Check what was entered, and answer.
        """
        session: Session = request.getSession()
        entered = Entered.of(request)
        if not entered.canBe:
            self._refuse(request, "wrong", FORBIDDEN, entered)
            return
        table, tag = request._sessionExchange().table, session._tag()
        guess = self._begin(request, session, entered)
        if isinstance(guess, float):
            _tell(table, tag, "guesses")
            self._refuse(request, "throttled", TOO_MANY_REQUESTS, entered, ceil(guess))
            return
        checked = self._check(table, tag, entered, guess)
        try:
            avatar = await whileHere(request, checked, late=Avatar.__call__)
        except ClientLeft:
            return
        except Exception as error:
            if isWrong(error):
                self._refuse(request, "wrong", FORBIDDEN, entered)
            else:
                self._refuse(
                    request, "unavailable", SERVICE_UNAVAILABLE, entered, RETRY_AFTER
                )
            return
        try:
            await self._signIn(request, entered, avatar)
        except BaseException:
            avatar()
            raise

    def _begin(
        self, request: Any, session: Session, entered: Entered
    ) -> Guess | float | None:
        """
        Ask whether a password may be tried.

        @return: The try; for how many seconds there may be none; or L{None}, where
            nothing is counted.
        """
        guesses = self._guesses
        if guesses is None:
            return None
        signIn, handle = session._signIn, None
        name = entered.username.decode("utf-8", "surrogateescape")
        if signIn is not None and self._names.nameOf(signIn.principal) == name:
            handle = signIn.handle
        now = request._sessionExchange().table.seconds()
        return guesses.begin(name, clientHostOf(request), handle, now)

    def _check(
        self, table: LiveTable, tag: str, entered: Entered, guess: Guess | None
    ) -> Deferred[Avatar]:
        """
        Ask the portal; what it says is counted and told, whoever waits for it.

        @param tag: That of the session on which somebody wants to sign in.
        @return: Fires with whom it has found.
        """

        def right(found: Any) -> Avatar:
            if guess is not None:
                guess.wasRight()
            principal, given = found
            return Avatar(principal, succeed(given))

        def wrong(failure: Failure) -> Failure:
            if isWrong(failure.value):
                _tell(table, tag, "password")
            else:
                _log.failure(
                    "a name and a password could not be checked", failure=failure
                )
                if guess is not None:
                    guess.wasNotChecked()
            return failure

        portal = Portal(cast("Any", Naming(self._portal.realm, self._names)))
        portal.checkers = self._portal.checkers
        credentials: Any = UsernamePassword(entered.username, entered.password)
        asked: Deferred[Any] = maybeDeferred(
            portal.login, credentials, None, cast("Any", IResource)
        )
        return asked.addCallbacks(right, wrong)

    async def _signIn(self, request: Any, entered: Entered, avatar: Avatar) -> None:
        """
        It was right.
        """
        terms, session, principal = self._terms, request.getSession(), avatar.principal
        assert principal is not None
        try:
            await Session.login(
                session,
                request,
                principal,
                level=terms.level,
                keep=terms.keep,
                remember=terms.remember if entered.remember else None,
            )
        except SessionGone:
            avatar()
            if not _isOver(request):
                request.render(Redirect(self._again(request)))
            return
        except SessionError as error:
            if _isOver(request):
                raise
            raise SessionUnavailable from error
        if _isOver(request):
            # Nobody has the new id.
            raise SessionGone
        _ = self._avatars.keep(request.getSession(), avatar)
        base = addressOf(request.prepath[:-1])
        where = self._showing.places.returnOf(request, base)
        request.render(Redirect(where))

    def _again(self, request: Any) -> bytes:
        """
        Where to begin anew.
        """
        base, places = addressOf(request.prepath[:-1]), self._showing.places
        return places.loginAt(base, places.returnOf(request, base))

    def _refuse(
        self,
        request: Any,
        error: str,
        code: int,
        entered: Entered,
        retryAfter: int | None = None,
    ) -> None:
        """
        Show the form again.
        """
        if not _isOver(request):
            page = self._page(
                request,
                error=error,
                code=code,
                username=entered.shown[:MAX_NAME],
                retryAfter=retryAfter,
            )
            request.render(page)


class StaleLogin(Resource):
    """
    What is shown in the place of a page if the form was not of its session.
    """

    isLeaf = True

    def __init__(self, showing: Showing) -> None:
        super().__init__()
        self._showing = showing

    def render(self, request: Any) -> Any:
        """
        See C{IResource.render}.
        """
        base = addressOf(request.prepath[:-1])
        returnTo = self._showing.places.returnOf(request, base)
        page = LoginPage(
            self._showing, base, code=FORBIDDEN, error="stale", returnTo=returnTo
        )
        return page.render(request)


def isWrong(error: object) -> bool:
    """
    Whether a checker or a realm says that somebody may not pass, and not that it could
    not find out.
    """
    known = isinstance(error, (LoginFailed, Unauthorized))
    return known and not isinstance(error, UnhandledCredentials)


def _tell(table: LiveTable, tag: str, reason: str) -> None:
    """
    Tell that somebody could not sign in, and on which session; not who.
    """
    table.announcer.tell(EventKind.REFUSED, tag, table.seconds(), reason)


def _isOver(request: Any) -> bool:
    """
    Whether there is nobody to answer, or an answer was given.
    """
    return bool(request._disconnected or request._sessionExchange().isOver)


def _failed(failure: Failure, request: Any) -> None:
    """
    Something else went wrong.
    """
    if not _isOver(request):
        request.processingFailed(failure)
    elif not failure.check(SessionError):
        _log.failure("a sign-in failed", failure=failure)


__all__ = ["Login", "StaleLogin", "Terms", "isWrong"]
