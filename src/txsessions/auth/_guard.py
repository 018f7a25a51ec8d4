"""
The guard: a resource that stands before those of a realm.

Owns who is served what: the pages of the guard itself, what everybody may see, the
avatar of who is signed in, and for anybody else the way to the login page.  How
somebody signs in is in L{txsessions.auth._login}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from twisted.cred.credentials import IAnonymous
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import FORBIDDEN
from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource, getChildForRequest
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from txsessions.auth._avatars import Avatar, Avatars
from txsessions.auth._form import LoginForm
from txsessions.auth._leaving import ClientLeft, whileHere
from txsessions.auth._login import Login, StaleLogin, Terms, isWrong
from txsessions.auth._logout import Logout, ProtectedLogout, StaleLogout
from txsessions.auth._names import Names
from txsessions.auth._places import Places, addressOf
from txsessions.auth._showing import LoginPage, Redirect, Showing
from txsessions.auth._throttling import Guesses, Throttle
from txsessions.core.principals import HANDLE_BYTES
from txsessions.core.signin import SignIn, checkSignIn
from txsessions.errors import ConfigurationError
from txsessions.web.csrf import CSRFProtected


@implementer(IResource)
class SessionGuard:
    """
    A resource that has visitors sign in, and serves each the avatar that a realm of
    C{twisted.cred} has for him::

        root = SessionGuard(Portal(realm, [checker]))
        site = Site(root, store="sqlite:sessions.sqlite")

    The realm is asked for an C{IResource}.  It is asked with the principal of the
    session, so also where nobody ever brought a password: after a restart, and in other
    processes.

    Who is not signed in gets the avatar of nobody, if the portal has a checker for
    C{IAnonymous}; else he is led to C{login}, and back from there.  What is put here by
    L{putChild} is for everybody.
    """

    isLeaf = False

    def __init__(
        self,
        portal: Any,
        *,
        login: bytes = b"login",
        logout: bytes = b"logout",
        page: IResource | Callable[[LoginForm], Any] | None = None,
        remember: int | None = None,
        throttle: Throttle | None = Throttle(),  # noqa: B008 - a frozen value
        keep: bool | None = None,
        level: int = 1,
        clear: Sequence[str] = (),
        origins: Iterable[str] = (),
        prefix: str = "",
    ) -> None:
        """
        @param portal: A C{twisted.cred.portal.Portal} that has a checker for
            C{IUsernamePassword}.
        @param login: What the page to sign in is called, below the guard.
        @param logout: What the page to sign out is called.
        @param page: What is shown to sign in, instead of our page: a function that
            makes bytes, text or a C{twisted.web.template} element of a L{LoginForm}, or
            a resource, which gets it by C{LoginForm.of(request)} and has to render
            C{POST} too.
        @param remember: For how many seconds a session lasts if the visitor ticks the
            box for that, 400 days at most; L{None}: there is no such box.
        @param throttle: How guesses are slowed down; L{None}: they are not.
        @param keep: What becomes of what is in the session, as for C{session.login}.
        @param level: How sure a sign-in here is, as for C{session.login}.
        @param clear: What the browser forgets when signing out, as for
            C{request.logout}.
        @param origins: As for C{CSRFProtected}, where a proxy changes C{Host}.
        @param prefix: What stands before the names of these users in
            C{session.principal}, where another guard of the site has other users.
        @raise ConfigurationError: One of these cannot work.
        """
        names = Names(portal, prefix)
        signIn = SignIn(
            f"{prefix}nobody", level, 0.0, bytes(HANDLE_BYTES), remember=remember
        )
        try:
            checkSignIn(signIn)
        except ValueError as error:
            raise ConfigurationError(f"nobody can sign in so: {error}") from None
        places = Places(login, logout)
        showing = Showing(places=places, page=page, remembers=remember is not None)
        self._portal = portal
        self._places = places
        self._showing = showing
        self._names = names
        self._avatars = Avatars(portal, names)
        self._children: dict[bytes, Any] = {}
        origins = list(origins)
        signingIn = Login(
            portal,
            names,
            self._avatars,
            showing,
            Terms(level=level, keep=keep, remember=remember),
            None if throttle is None else Guesses(throttle),
        )
        signingOut = Logout(places, clear)
        self._own = {
            login: CSRFProtected(signingIn, page=StaleLogin(showing), origins=origins),
            logout: ProtectedLogout(
                signingOut, page=StaleLogout(signingOut), origins=origins
            ),
        }

    def putChild(self, path: bytes, child: Any) -> None:
        """
        See C{IResource.putChild}: a child that everybody gets, signed in or not, such
        as the style sheet of a login page.

        @raise ConfigurationError: It would take the place of the guard's own pages.
        """
        if path in self._own:
            raise ConfigurationError(f"the guard has a page of its own at {path!r}")
        self._children[path] = child

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """
        See C{IResource.getChildWithDefault}.
        """
        own = self._own.get(name)
        if own is not None:
            self._meet(request)
            return notFound() if request.postpath else own
        if name in self._children:
            return self._children[name]
        # What follows is found below the avatar.
        request.postpath.insert(0, request.prepath.pop())
        return self._served(request)

    def render(self, request: Any) -> Any:
        """
        See C{IResource.render}.
        """
        return self._served(request).render(request)

    def _served(self, request: Any) -> Any:
        """
        The resource that a request is served by.

        @raise SessionUnavailable: The store does not answer.
        """
        self._meet(request)
        session = request.getSession()
        signIn = session._signIn
        if signIn is not None and self._names.nameOf(signIn.principal) is not None:
            avatar = self._avatars.of(session, signIn.principal)
            # A page that says something else has the last word.
            request.setHeader(b"Cache-Control", b"no-store")
        elif IAnonymous in self._portal.checkers:
            avatar = self._avatars.ofNobody()
        else:
            return self._asks(request)
        if avatar.resource is not None:
            return avatar.resource
        return _Later(avatar, partial(self._served, request), self._asks)

    def _meet(self, request: Any) -> None:
        """
        See that this guard can be where it is.

        @raise ConfigurationError: It cannot: the message says why.
        """
        find = getattr(request, "_sessionExchange", None)
        if find is None:
            raise ConfigurationError("a SessionGuard needs a txsessions Site")
        self._names.meet(find().table)

    def _asks(self, request: Any) -> Any:
        """
        The way to the login page.
        """
        base = addressOf(request.prepath)
        if request.method in {b"GET", b"HEAD"}:
            returnTo = self._places.returnFrom(base, request.uri)
            return Redirect(self._places.loginAt(base, returnTo))
        return LoginPage(self._showing, base, code=FORBIDDEN, error="needed")


class _Later(Resource):
    """
    Stands for an avatar that is not there yet.
    """

    isLeaf = True

    def __init__(
        self,
        avatar: Avatar,
        served: Callable[[], Any],
        asks: Callable[[Any], Any],
    ) -> None:
        """
        @param served: Finds out anew what the request is served by: somebody may have
            signed out meanwhile.
        @param asks: What is served to whom the realm does not want.
        """
        super().__init__()
        self._avatar = avatar
        self._served = served
        self._asks = asks

    def render(self, request: Any) -> Any:
        """
        See C{IResource.render}.
        """
        ready: Deferred[None] = self._avatar.ready()
        _ = (
            whileHere(request, ready)
            .addCallbacks(
                self._goOn,
                self._none,
                callbackArgs=(request,),
                errbackArgs=(request, ready),
            )
            .addErrback(_fail, request)
        )
        return NOT_DONE_YET

    def _goOn(self, _: None, request: Any) -> None:
        """
        The realm has answered.
        """
        request.render(getChildForRequest(self._served(), request))

    def _none(self, failure: Failure, request: Any, ready: Deferred[None]) -> None:
        """
        The realm has given none, or there is nobody to serve.
        """
        if failure.check(ClientLeft):
            ready.cancel()
        elif isWrong(failure.value):
            request.render(self._asks(request))
        else:
            failure.raiseException()


def _fail(failure: Failure, request: Any) -> None:
    """
    There is nothing to serve.
    """
    if not request._disconnected:
        request.processingFailed(failure)


__all__ = ["SessionGuard"]
