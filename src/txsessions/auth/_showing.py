"""
How the login page is shown.

Owns the headers of the answer, and the three ways in which an application may bring a
page of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import SEE_OTHER
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.template import flattenString

from txsessions.auth._form import LoginForm
from txsessions.auth._page import POLICY, loginPage
from txsessions.auth._places import Places
from txsessions.live import tokens

_HEADERS = (
    (b"Cache-Control", b"no-store"),
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"same-origin"),
)


def harden(request: Any) -> None:
    """
    Begin an answer that no cache keeps and no other page frames.
    """
    for name, value in _HEADERS:
        request.responseHeaders.setRawHeaders(name, [value])


def demandStyle(request: Any) -> None:
    """
    Let nothing into one of our own pages.
    """
    request.responseHeaders.setRawHeaders(b"Content-Security-Policy", [POLICY])


@frozen(kw_only=True)
class Showing:
    """
    How login pages are shown.

    @ivar places: Where they are.
    @ivar page: What the application shows in the place of ours.
    @ivar remembers: Whether there is a checkbox.
    """

    places: Places
    page: IResource | Callable[[LoginForm], Any] | None
    remembers: bool

    def body(self, request: Any, form: LoginForm) -> Any:
        """
        Make the page.

        @return: As C{IResource.render} does.
        """
        harden(request)
        page: Any = self.page
        if page is None:
            demandStyle(request)
            return loginPage(form)
        if IResource.providedBy(page):
            request.setComponent(LoginForm, form)
            return page.render(request)
        made = page(form)
        if isinstance(made, str):
            made = made.encode("utf-8")
        if isinstance(made, bytes):
            return made
        flattened: Deferred[bytes] = flattenString(request, made)
        _ = flattened.addCallbacks(
            _send, _refuse, callbackArgs=(request,), errbackArgs=(request,)
        )
        return NOT_DONE_YET


def _send(page: bytes, request: Any) -> None:
    """
    A template has been filled in.
    """
    if not request._disconnected:
        request.write(b"<!DOCTYPE html>\n" + page)
        request.finish()


def _refuse(failure: Failure, request: Any) -> None:
    """
    A template could not be filled in.
    """
    if not request._disconnected:
        request.processingFailed(failure)


class LoginPage(Resource):
    """
    A login page, on one occasion.
    """

    isLeaf = True

    def __init__(
        self,
        showing: Showing,
        base: bytes,
        *,
        code: int,
        error: str | None = None,
        username: str = "",
        returnTo: bytes | None = None,
        retryAfter: int | None = None,
    ) -> None:
        """
        @param base: Where the guard is.
        @param code: The response code.
        @param returnTo: Where to go then, if it is not there.

        The rest is as in L{LoginForm}.
        """
        super().__init__()
        self._showing = showing
        self._base = base
        self._code = code
        self._returnTo = base if returnTo is None else returnTo
        self._said: dict[str, Any] = {
            "error": error,
            "username": username,
            "retryAfter": retryAfter,
        }

    def render(self, request: Any) -> Any:
        """
        See C{IResource.render}.
        """
        showing = self._showing
        request.setResponseCode(
            self._code, HTTPStatus(self._code).phrase.encode("ascii")
        )
        retryAfter = self._said["retryAfter"]
        if retryAfter is not None:
            request.setHeader(b"Retry-After", b"%d" % retryAfter)
        form = LoginForm(
            action=showing.places.loginAt(self._base).decode("ascii"),
            csrfToken=tokens.makeToken(request.getSession()),
            returnTo=self._returnTo.decode("ascii"),
            remembers=showing.remembers,
            **self._said,
        )
        return showing.body(request, form)


class Redirect(Resource):
    """
    Leads a visitor on, by GET.
    """

    isLeaf = True

    def __init__(self, address: bytes) -> None:
        """
        @param address: A path of this site, with a query or without.
        """
        super().__init__()
        self._address = address

    def render(self, request: Any) -> bytes:
        """
        See C{IResource.render}.
        """
        request.setResponseCode(SEE_OTHER)
        request.setHeader(b"Location", self._address)
        request.setHeader(b"Cache-Control", b"no-store")
        return b""


__all__ = ["LoginPage", "Redirect", "Showing", "demandStyle", "harden"]
