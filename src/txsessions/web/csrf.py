"""
Requests that another site sends in a visitor's name, and how they are refused.

Owns what is looked at: what the browser says of where a request is from, and the
token that it brings.  What a token is made of is in L{txsessions.live.tokens}.

The order is that of OWASP's cheat sheet.  C{Sec-Fetch-Site} decides where it is
there, since no page can set it and no proxy has a reason to change it; else
C{Origin} does; then the token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.web.http import parse_qs
from twisted.web.resource import IResource
from zope.interface import alsoProvides, implementer, providedBy

from txsessions.core import csrf
from txsessions.errors import ConfigurationError, CSRFRefused, SessionUnavailable
from txsessions.live import tokens
from txsessions.live.events import EventKind
from txsessions.web import failing

if TYPE_CHECKING:
    from txsessions.web.exchange import Exchange

FIELD = "csrf_token"
"""What the field of a form is called that has the token."""

HEADER = "X-CSRF-Token"
"""What the header is called that has it, where a script sends the request."""

_OWN_SITE = ([b"same-origin"], [b"none"])
"""
What C{Sec-Fetch-Site} may say: another page of this origin, or the visitor's own
doing.  C{same-site} is another host of the domain.
"""

_SAYS_NOTHING = (None, [b"null"])
"""
What C{Origin} may be in a request of a page of our own that nobody can tell from
another's: C{null} is what C{Referrer-Policy: no-referrer} makes of it.
"""


def checkCSRF(request: Any, *, field: str = FIELD, header: str = HEADER) -> None:
    """
    See that a request comes from a page of its session: by a token, see
    C{session.csrfToken}, in the header or, if that is not there, in a field of the
    form in its body.  A token in the URL does not count.

    Twisted reads forms of POST requests only; others, and those with JSON in them,
    need the header::

        def render_POST(self, request):
            checkCSRF(request)
            ...

    @raise CSRFRefused: It does not.  Left alone, it answers 403.
    @raise SessionUnavailable: The store does not answer, and the token is none of the
        id that came.
    """
    exchange = _exchangeOf(request)
    try:
        token = _tokenIn(request, field, header)
        if not _isTokenOf(request, token):
            raise CSRFRefused("wrong")
    except CSRFRefused:
        _tell(exchange)
        raise


def _isTokenOf(request: Any, token: bytes) -> bool:
    """
    Whether a token is one of the session of a request.

    @raise SessionUnavailable: The store does not answer, and the id that came does not
        tell: one that was renewed has the tokens of the one before.
    """
    try:
        return tokens.isTokenOf(request.getSession(), token)
    except SessionUnavailable:
        uid = request._demandVisit("checkCSRF").cameBy
        if uid is None or not csrf.isTokenOf(csrf.secretOf(uid), token):
            raise
        return True


def _exchangeOf(request: Any) -> Exchange:
    """
    What a request has to do with sessions.

    @raise ConfigurationError: Nothing.
    """
    find = getattr(request, "_sessionExchange", None)
    exchange: Exchange | None = None if find is None else find()
    if exchange is None:
        raise ConfigurationError(
            "only requests of a txsessions Site can be checked for being forged"
        )
    return exchange


def _tell(exchange: Exchange) -> None:
    """
    Tell that a request was refused, and of which session it was.
    """
    table = exchange.table
    came = (visit.session for visit in exchange.visits)
    tags = [s._tag() for s in came if s is not None and not s._isNew]
    tag = tags[0] if tags else ""
    table.announcer.tell(EventKind.REFUSED, tag, table.seconds(), "csrf")


def _tokenIn(request: Any, field: str, header: str) -> bytes:
    """
    Find the token in a request.

    @raise CSRFRefused: There is none, or more than one, or it is in the URL.
    """
    values = request.requestHeaders.getRawHeaders(header.encode("ascii"))
    if values is None:
        name = field.encode("utf-8")
        # C{request.args} does not tell what is from where.  Only Twisted's own function
        # finds in a query what it has found there, such as what stands behind a C{;}.
        if name in parse_qs(request.uri.partition(b"?")[2], keep_blank_values=1):
            raise CSRFRefused("query")
        values = request.args.get(name, [])
    if len(values) != 1:
        raise CSRFRefused("repeated" if values else "missing")
    token: bytes = values[0]
    return token


@implementer(IResource)
class _Refused:
    """
    Refuses, whatever is below.
    """

    isLeaf = True

    def __init__(self, page: Any) -> None:
        """
        @param page: What is shown, if not our own page.
        """
        self._page = page

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """
        See C{IResource.getChildWithDefault}.
        """
        return self

    def putChild(self, path: bytes, child: Any) -> None:
        """
        See C{IResource.putChild}.
        """

    def render(self, request: Any) -> Any:
        """
        See C{IResource.render}.
        """
        request.setResponseCode(failing.FORBIDDEN)
        body = failing.forbidden(request)
        return body if self._page is None else self._page.render(request)


@implementer(IResource)
class CSRFProtected:
    """
    A resource, and all that is below it, out of reach of other sites.

    Takes the place of the resource that it wraps, such as a site's root::

        site = Site(CSRFProtected(root), store="sqlite:sessions.sqlite")

    C{GET}, C{HEAD} and C{OPTIONS} pass, and have to be harmless.  A request with any
    other method is refused, before anything of the resource has run, unless it
    passes first the one and then the other:

     1. What the browser says.  If there is a C{Sec-Fetch-Site}, it is
        C{same-origin} or C{none}; else if there is an C{Origin}, it is that of the
        request itself.  An origin that is in C{origins} passes too.  Where there is
        neither, or the origin is C{null}, the token alone decides.

     2. The token, see L{checkCSRF}.  A request without a session has none, and is
        refused: else another site could sign a visitor in under its own name.

    Programs with an id in C{Authorization} pass, where the site's policy takes one;
    others that bring no cookie pass by C{exempt}, or by what is not wrapped.
    """

    def __init__(
        self,
        resource: Any,
        *,
        requireToken: bool = True,
        exempt: Callable[[Any], bool] | None = None,
        origins: Iterable[str] = (),
        page: Any = None,
        field: str = FIELD,
        header: str = HEADER,
    ) -> None:
        """
        @param resource: What is wrapped.
        @param requireToken: L{False}: a request that passes by what its browser says
            needs no token; for applications whose forms have none yet.
        @param exempt: Says of a request that it is not to be looked at.
        @param origins: Other origins that may send requests, such as
            C{"https://www.example.org"}: the address that browsers see, where a
            proxy changes the C{Host} header.
        @param page: A resource that is rendered, with 403, for what is refused.
        @param field: What the form's field is called.
        @param header: What the header is called.
        @raise ConfigurationError: One of C{origins} is no origin.
        """
        alsoProvides(self, providedBy(resource))
        self._resource = resource
        self._requireToken = requireToken
        self._exempt = exempt
        self._origins = frozenset(map(_demandOrigin, origins))
        self._refused = _Refused(page)
        self._where = {"field": field, "header": header}

    def __getattr__(self, name: str) -> Any:
        """
        For the rest it is what it wraps.
        """
        if name == "_resource":
            raise AttributeError(name)
        return getattr(self._resource, name)

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """
        See C{IResource.getChildWithDefault}.
        """
        if self._passes(request):
            return self._resource.getChildWithDefault(name, request)
        return self._refused

    def putChild(self, path: bytes, child: Any) -> None:
        """
        See C{IResource.putChild}.
        """
        self._resource.putChild(path, child)

    def render(self, request: Any) -> Any:
        """
        See C{IResource.render}.
        """
        wanted = self._resource if self._passes(request) else self._refused
        return wanted.render(request)

    def _passes(self, request: Any) -> bool:
        """
        Whether a request may go on.

        @raise SessionUnavailable: The store does not answer.
        """
        if request.method in csrf.SAFE_METHODS:
            return True
        if _exchangeOf(request).carrier == "bearer":
            # No browser sends that by itself, and no cookie counts beside it.
            return True
        if self._exempt is not None and self._exempt(request):
            return True
        try:
            if not self._isFromHere(request) or self._requireToken:
                checkCSRF(request, **self._where)
        except CSRFRefused:
            return False
        return True

    def _isFromHere(self, request: Any) -> bool:
        """
        Look at what the browser says.

        @return: L{False} if it says nothing.
        @raise CSRFRefused: It says that another site sent the request.
        """
        exchange = _exchangeOf(request)
        headers = request.requestHeaders
        sites = headers.getRawHeaders(b"sec-fetch-site")
        if sites in _OWN_SITE:
            return True
        values = headers.getRawHeaders(b"origin")
        if sites is None and values in _SAYS_NOTHING:
            return False
        origin = None if not values or len(values) > 1 else csrf.readOrigin(values[0])
        if origin is not None:
            if origin in self._origins:
                return True
            secure = exchange.site.cookies.isSecure(request.isSecure())
            host = request.getHeader(b"host")
            if sites is None and csrf.isOwnOrigin(origin, host, secure=secure):
                return True
        _tell(exchange)
        raise CSRFRefused("origin" if sites is None else "site")


def _demandOrigin(text: str) -> tuple[bytes, bytes]:
    """
    Read an origin that the program gave.
    """
    origin = csrf.readOrigin(text.encode("utf-8", "replace"))
    if origin is None:
        raise ConfigurationError(
            f"origins takes origins such as 'https://www.example.org', not {text!r}"
        )
    return origin


__all__ = ["FIELD", "HEADER", "CSRFProtected", "checkCSRF"]
