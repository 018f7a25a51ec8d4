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
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import FORBIDDEN, OK, SERVICE_UNAVAILABLE, parse_qs
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from txsessions.auth._avatars import Avatar, Avatars
from txsessions.auth._form import NAME, PASSWORD, REMEMBER
from txsessions.auth._names import avatarIdOf, principalOf
from txsessions.auth._places import addressOf
from txsessions.auth._showing import LoginPage, Redirect, Showing
from txsessions.auth._throttling import Guess, Guesses
from txsessions.errors import SessionError, SessionGone, SessionUnavailable
from txsessions.live.events import EventKind
from txsessions.live.session import Session
from txsessions.web.failing import RETRY_AFTER
from txsessions.web.forwarded import clientHostOf

_log = Logger(namespace="txsessions")

TOO_MANY_REQUESTS = 429
"""The status for who has tried too often (RFC 6585, 4)."""

MAX_NAME = 256
"""The longest name that is looked at, in characters."""

MAX_NAME_BYTES = 4 * MAX_NAME
"""No name is longer in bytes, what is not shown of it included."""

MAX_PASSWORD = 4096
"""The longest password that a checker is given, in bytes: some take long to hash."""


class Naming:
    """
    A realm that tells with an avatar whose it is, which C{Portal.login} does not.
    """

    def __init__(self, realm: Any) -> None:
        """
        @param realm: The one that has the avatars.
        """
        self._realm = realm

    def requestAvatar(
        self, avatarId: Any, mind: object, *interfaces: Any
    ) -> Deferred[Any]:
        """
        See C{IRealm.requestAvatar}.

        @return: Fires with the principal, and what the realm has answered.
        @raise ConfigurationError: No session can be signed in as this.
        """
        principal = principalOf(avatarId)
        asked: Deferred[Any] = maybeDeferred(
            self._realm.requestAvatar, avatarIdOf(principal), mind, *interfaces
        )
        return asked.addCallback(lambda found: (principal, found))


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
        avatars: Avatars,
        showing: Showing,
        terms: Terms,
        guesses: Guesses | None,
    ) -> None:
        """
        @param portal: A C{twisted.cred.portal.Portal}.
        @param avatars: Where those of its realm are kept.
        @param guesses: What slows guesses down, if anything does.
        """
        super().__init__()
        self._portal = portal
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
        username, password = _entered(request)
        shown, tag = _shown(username), session._tag()
        isTooLong = len(shown) > MAX_NAME or len(username) > MAX_NAME_BYTES
        if not shown or not password or isTooLong:
            # An empty password never is one, though some directories let it pass.
            self._refuse(request, "wrong", FORBIDDEN, shown)
            return
        guess = self._begin(request, session, username)
        if isinstance(guess, float):
            _tell(request, tag, "guesses")
            self._refuse(request, "throttled", TOO_MANY_REQUESTS, shown, ceil(guess))
            return
        try:
            principal, found = await self._check(username, password)
        except Exception as error:
            if isWrong(error):
                _tell(request, tag, "password")
                self._refuse(request, "wrong", FORBIDDEN, shown)
            else:
                _log.failure("a name and a password could not be checked")
                if guess is not None:
                    guess.wasNotChecked()
                self._refuse(
                    request, "unavailable", SERVICE_UNAVAILABLE, shown, RETRY_AFTER
                )
            return
        if guess is not None:
            guess.wasRight()
        asked: Deferred[Any] = Deferred()
        avatar = Avatar(principal, asked)
        asked.callback(found)
        try:
            await self._signIn(request, principal, avatar)
        except BaseException:
            avatar()
            raise

    def _begin(
        self, request: Any, session: Session, username: bytes
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
        name = username.decode("utf-8", "surrogateescape")
        if signIn is not None and signIn.principal == name:
            handle = signIn.handle
        now = request._sessionExchange().table.seconds()
        return guesses.begin(name, clientHostOf(request), handle, now)

    async def _check(self, username: bytes, password: bytes) -> Any:
        """
        Ask the portal.

        @return: The principal, and what the realm has answered.
        """
        portal = Portal(cast("Any", Naming(self._portal.realm)))
        portal.checkers = self._portal.checkers
        credentials = UsernamePassword(username, password)
        return await portal.login(
            cast("Any", credentials), None, cast("Any", IResource)
        )

    async def _signIn(self, request: Any, principal: str, avatar: Avatar) -> None:
        """
        It was right.
        """
        terms, session = self._terms, request.getSession()
        try:
            await Session.login(
                session,
                request,
                principal,
                level=terms.level,
                keep=terms.keep,
                remember=terms.remember if _wantsToBeRemembered(request) else None,
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
        username: str,
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
                username=username[:MAX_NAME],
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


def _entered(request: Any) -> tuple[bytes, bytes]:
    """
    Read the two fields out of a form.

    @return: Empty bytes for what is not there once, or is in the URL, where a password
        has no business to be.
    """
    query = parse_qs(request.uri.partition(b"?")[2], keep_blank_values=1)
    found = []
    for name in (NAME.encode("ascii"), PASSWORD.encode("ascii")):
        values = [] if name in query else request.args.get(name, [])
        found.append(values[0] if len(values) == 1 else b"")
    username, password = found
    return username, password if len(password) <= MAX_PASSWORD else b""


def _shown(username: bytes) -> str:
    """
    A name as it is shown again.
    """
    text = username[: MAX_NAME_BYTES + 4].decode("utf-8", "replace")
    return "".join(character for character in text if character.isprintable())


def _wantsToBeRemembered(request: Any) -> bool:
    """
    Whether the box is ticked.
    """
    return bool(request.args.get(REMEMBER.encode("ascii")))


def _tell(request: Any, tag: str, reason: str) -> None:
    """
    Tell that somebody could not sign in, and on which session; not who.
    """
    table = request._sessionExchange().table
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


__all__ = ["Login", "Naming", "StaleLogin", "Terms", "isWrong"]
