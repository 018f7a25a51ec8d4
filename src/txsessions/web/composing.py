"""
An application's own classes of requests and sessions, made durable.

Owns the composition: a class that derives from Twisted's gets ours besides.  For
a request ours comes first, so that no write escapes the hold; for a session
theirs comes first, and ours before Twisted's.
"""

from __future__ import annotations

from collections.abc import Callable
from types import new_class
from typing import TYPE_CHECKING, Any

from twisted.python.reflect import qual
from twisted.web import server
from twisted.web.server import Request as _TwistedRequest
from twisted.web.server import Session as _TwistedSession
from zope.interface import directlyProvidedBy, directlyProvides

from txsessions.errors import ConfigurationError
from txsessions.live.session import Session
from txsessions.web.bearer import Bearing
from txsessions.web.proxied import ProxiedRequest
from txsessions.web.renewing import RenewingRequest
from txsessions.web.request import Request, SessionRequest

if TYPE_CHECKING:
    from txsessions.web.policy import CookiePolicy

GIVING_WAY = ("clientHost", "logout")
"""New names of a request that give way to an application's own."""

_requests: dict[tuple[type, type], type] = {}
_sessions: dict[type, type] = {}


def combine(*bases: type, named: type) -> type:
    """
    Make one class of several.

    @param bases: The classes, the first one on top.
    @param named: The one whose name it has.
    @raise ConfigurationError: Python cannot.
    """
    try:
        made = new_class(
            named.__name__,
            bases,
            exec_body=lambda body: body.update(
                __module__=named.__module__, __qualname__=named.__qualname__
            ),
        )
    except TypeError as error:
        raise ConfigurationError(
            f"{qual(named)} cannot be combined with txsessions' own class ({error}): "
            "derive it from txsessions.Request or txsessions.Session instead"
        ) from error
    return made


def composeRequest(factory: Any, *mixins: type) -> Any:
    """
    What a channel is to make requests with.

    @param factory: What the application set as C{requestFactory}: a class, or
        a function that makes requests.
    @param mixins: What they get of ours beyond sessions, the last one on top.
    """
    if not isinstance(factory, type):
        return _composingCalls(factory, mixins)
    if factory is _TwistedRequest:
        factory = Request
    if not issubclass(factory, _TwistedRequest):
        return factory
    for mixin in (SessionRequest, *mixins):
        if not issubclass(factory, mixin):
            factory = _mixedInto(factory, mixin)
    if issubclass(factory, Request):
        factory.noteWay()
    return factory


def mixinsFor(policy: CookiePolicy, *, renews: bool) -> list[type]:
    """
    Say what requests get beyond sessions: what a proxy said comes before what is in
    the header of a program, and that before cookies.

    @param renews: Whether sessions get new ids in time.
    """
    mixins: list[type] = [RenewingRequest] if renews else []
    if policy.bearer:
        mixins.append(Bearing)
    return [*mixins, ProxiedRequest] if policy.trustedProxies else mixins


def _mixedInto(factory: type, mixin: type) -> type:
    """
    Give a class of requests something of ours; always the same for the same two.
    """
    made = _requests.get((mixin, factory))
    if made is None:
        made = combine(mixin, factory, named=factory)
        directlyProvides(made, directlyProvidedBy(factory))
        for name in GIVING_WAY:
            theirs = getattr(factory, name, None)
            if theirs is not None:
                setattr(made, name, theirs)
        _requests[mixin, factory] = made
    return made


def _composingCalls(
    factory: Callable[..., Any], mixins: tuple[type, ...]
) -> Callable[..., Any]:
    """
    Wrap a function that makes requests.
    """

    def make(*args: Any, **kwargs: Any) -> Any:
        request = factory(*args, **kwargs)
        composed = composeRequest(type(request), *mixins)
        if composed is not type(request):
            request.__class__ = composed
        return request

    directlyProvides(make, directlyProvidedBy(factory))
    return make


def composeSession(factory: Any) -> Any:
    """
    What a site is to make sessions with; it is called with the site and a uid.

    @param factory: What the application set as C{sessionFactory}.
    """
    if (
        not isinstance(factory, type)
        or issubclass(factory, Session)
        or not issubclass(factory, _TwistedSession)
    ):
        return factory
    if factory is _TwistedSession or factory is server.Session:
        return Session
    made = _sessions.get(factory)
    if made is None:
        made = _sessions[factory] = combine(factory, Session, named=factory)
    return made


def adopt(session: Any, site: Any, uid: bytes) -> Session:
    """
    Make durable what a factory made that is not ours.

    @param session: A session that was just made for this site and uid.
    @return: The session; where a function made one of a class that knows only
        Twisted's, another of a class of both, with the same attributes.
    @raise ConfigurationError: It is none.
    """
    if not isinstance(session, Session):
        session = _copied(session)
    # What Session.__init__ does, where a class does without it.
    if session.site is None:
        session.site = site
    if not session._uid:
        session._uid = uid
    try:
        object.__getattribute__(session, "_createdAt")
    except AttributeError:
        session._createdAt = session.lastModified = session._reactor.seconds()
    return session  # type: ignore[no-any-return]


def _copied(session: Any) -> Session:
    """
    Make a session of both classes with the attributes of one of theirs.

    @raise ConfigurationError: It is none of theirs either.
    """
    theirs = type(session)
    if not issubclass(theirs, _TwistedSession):
        raise ConfigurationError(
            f"site.sessionFactory made a {qual(theirs)}: it has to make sessions, of "
            "txsessions.Session or twisted.web.server.Session or classes derived "
            "from them"
        )
    cls = composeSession(theirs)
    made: Session = cls.__new__(cls)
    for name, value in vars(session).items():
        setattr(made, name, value)
    return made


__all__ = ["adopt", "combine", "composeRequest", "composeSession", "mixinsFor"]
