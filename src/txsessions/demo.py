"""
The demonstration that C{twistd web --sessions} serves when it is given no root.

Owns what its few forms do to the session, and what each answer's headers say.
Uses sessions as any application would: C{request.getSession()}, a dict in it,
C{rotate} and C{request.logout}, tokens in its forms and messages after them.  Knows
nothing of how sessions are kept.

The demonstration's sign-in asks for a name and believes it.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.http import CACHED, FORBIDDEN, NOT_FOUND, SEE_OTHER
from twisted.web.resource import Resource
from twisted.web.server import Request
from twisted.web.template import Element, flattenString

from txsessions._demo_page import FILES, DemoPage, Message, Visit
from txsessions.core.lifetime import lifetimeOf
from txsessions.web.csrf import CSRFProtected
from txsessions.web.policy import CookiePolicy

NAMESPACE = "txsessions.demo"
"""Under which name the demonstration keeps its dict in a session."""

NAME_LIMIT = 60
"""The longest name, in characters."""

_HEADERS = (
    (
        b"Content-Security-Policy",
        b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        b"base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"same-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
)


def _harden(request: Any) -> None:
    """
    Tell the browser to let nothing in that is not ours.
    """
    for name, value in _HEADERS:
        request.responseHeaders.setRawHeaders(name, [value])


def _render(request: Any, page: Element) -> bytes:
    """
    Make a page the answer to a request.
    """
    _harden(request)
    request.setHeader(b"content-type", b"text/html; charset=utf-8")
    pages: list[bytes] = []
    failures: list[Failure] = []
    flattened: Deferred[bytes] = flattenString(request, page)
    done = flattened.addCallbacks(pages.append, failures.append)
    assert done.called, "nothing on our pages has to be waited for"
    for failure in failures:
        failure.raiseException()
    return b"<!DOCTYPE html>\n" + b"".join(pages)


def _shownAddress(address: str) -> str:
    """
    Make an address fit for the public: it need not know our directories.
    """
    scheme, colon, place = address.partition(":")
    return f"{scheme}{colon}{os.path.basename(place)}"


def _stateOf(session: Any) -> dict[str, Any]:
    """
    Find the demonstration's dict in a session.  Reading it changes nothing.
    """
    state = session.sessionNamespaces.get(NAMESPACE)
    return state if isinstance(state, dict) else {}


def _field(request: Any, name: bytes) -> str:
    """
    Read one line of text out of a form.
    """
    value: bytes = request.args.get(name, [b""])[0]
    text = unicodedata.normalize("NFC", value.decode("utf-8", "replace"))
    shown = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())[:NAME_LIMIT].rstrip()


class _Page(Resource):
    """
    The page itself.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """
        Count the visit, and show the page.
        """
        session = request.getSession()
        state = session.sessionNamespaces.setdefault(NAMESPACE, {})
        if request.method == b"GET":
            state["visits"] = state.get("visits", 0) + 1
        notice = " ".join(flash.text for flash in session.takeFlashes())
        site = request.site
        cookies: CookiePolicy = site.cookies
        store = site._live.store
        idle = session.sessionTimeout
        visit = Visit(
            visits=state.get("visits", 0),
            name=state.get("name", ""),
            user=state.get("user", ""),
            before=state.get("before", ""),
            tag=session.tag,
            notice=notice,
            token=session.csrfToken,
            isNew=session.isNew,
            age=session._reactor.seconds() - session._createdAt,
            idle=idle,
            lifetime=lifetimeOf(idle, session.sessionLifetime),
            address=_shownAddress(store.address),
            durability=store.durability,
            survives=not store.address.startswith("memory:"),
            secure=cookies.isSecure(request.isSecure()),
            cookies=cookies,
        )
        # What one visitor left is not to be found by the next, by going back.
        request.setHeader(b"cache-control", b"no-store")
        return _render(request, DemoPage(visit))


class _Form(Resource):
    """
    Something that a form on the page asks for.  The answer to a form is a
    redirect, so that a reload does not ask for it again.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """
        A form's address, typed into the browser, leads to the page.
        """
        return self._leadTo(b"./", request)

    def render_POST(self, request: Any) -> bytes:
        """
        Do it: a form that is not ours does not come here.
        """
        session = request.getSession()
        state = _stateOf(session)
        return self._leadTo(self.act(request, session, state), request)

    def act(self, request: Any, session: Any, state: dict[str, Any]) -> bytes:
        """
        Do what the form asks for.

        @param state: The demonstration's dict in the session.
        @return: Where to go now.
        """
        raise NotImplementedError

    def _leadTo(self, where: bytes, request: Any) -> bytes:
        """
        Redirect with a GET.
        """
        _harden(request)
        request.setResponseCode(SEE_OTHER)
        request.setHeader(b"location", where)
        return b""


class _KeepName(_Form):
    """
    Keep the name.
    """

    def act(self, request: Any, session: Any, state: dict[str, Any]) -> bytes:
        """
        See L{_Form.act}.
        """
        state["name"] = name = _field(request, b"name")
        session.flash(f"{name} is kept." if name else "The name is forgotten.")
        return b"./"


class _SignIn(_Form):
    """
    Sign in: the session goes on under a new id.
    """

    def act(self, request: Any, session: Any, state: dict[str, Any]) -> bytes:
        """
        See L{_Form.act}.
        """
        user = _field(request, b"user")
        if not user:
            session.flash("Type a name to sign in with.")
            return b"./"
        state["user"] = user
        state["before"] = session.tag
        session.flash(f"Signed in as {user}, under a new id.")
        session.rotate(request)
        return b"./"


class _SignOut(_Form):
    """
    Sign out: the session ends.
    """

    def render_POST(self, request: Any) -> bytes:
        """
        See L{_Form.render_POST}.  It takes no session to end it: the store may be away.
        """
        request.logout()
        return self._leadTo(b"signed-out", request)


class _Message(Resource):
    """
    A page that says one thing, and asks for no session.
    """

    isLeaf = True

    def __init__(self, code: int, title: str, text: str, link: str) -> None:
        """
        @param code: The response code.
        """
        super().__init__()
        self._code = code
        self._words = (title, text, link)

    def render_GET(self, request: Any) -> bytes:
        """
        Say it.
        """
        request.setResponseCode(self._code)
        return _render(request, Message(*self._words))


class _Refusal(_Message):
    """
    What is said of a form that is not ours.
    """

    render_POST = _Message.render_GET


class _Asset(Resource):
    """
    The style sheet and the icon.
    """

    isLeaf = True

    def __init__(self, name: str, contentType: bytes) -> None:
        """
        @param name: The name of the file.
        """
        super().__init__()
        self._content: bytes = FILES.child(name).getContent()
        self._etag = b'"%s"' % hashlib.sha256(self._content).hexdigest().encode("ascii")
        self._contentType = contentType

    def render_GET(self, request: Any) -> bytes:
        """
        Send the file, or say that it has not changed.
        """
        _harden(request)
        request.setHeader(b"content-type", self._contentType)
        request.setHeader(b"cache-control", b"no-cache")
        if request.setETag(self._etag) is CACHED:
            return b""
        return self._content


class Demo(Resource):
    """
    The root of the demonstration: C{twistd web --sessions}.

    It also takes C{--class=txsessions.demo.Demo}.
    """

    def __init__(self) -> None:
        super().__init__()
        refusal = _Refusal(
            FORBIDDEN,
            "This form is not of this session",
            "Either the session has ended since the page was shown, or another site "
            "sent the form. Nothing has been changed.",
            "To the page as it is now",
        )
        forms = {b"name": _KeepName(), b"sign-in": _SignIn(), b"sign-out": _SignOut()}
        self.putChild(b"", _Page())
        for name, form in forms.items():
            self.putChild(name, CSRFProtected(form, page=refusal))
        self.putChild(
            b"signed-out",
            _Message(
                200,
                "You are signed out",
                "The session has ended, with its count and its name. Its id will not "
                "be taken again, by this server or after a restart, and your browser "
                "was told to forget it.",
                "Begin a new session",
            ),
        )
        self.putChild(b"style.css", _Asset("style.css", b"text/css; charset=utf-8"))
        self.putChild(b"icon.svg", _Asset("icon.svg", b"image/svg+xml"))

    def getChild(self, path: bytes, request: Request) -> Resource:
        """
        Everything else is not there.
        """
        return _Message(
            NOT_FOUND,
            "There is no such page",
            "This demonstration has one page only.",
            "To that page",
        )


__all__ = ["NAMESPACE", "NAME_LIMIT", "Demo"]
