"""
An application's own classes of requests and sessions, made durable.

Owns the composition: a class that derives from Twisted's gets ours besides.  For
a request ours comes first, so that no write escapes the hold; for a session
theirs comes first, and ours before Twisted's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from twisted.web import server
from twisted.web.server import Request as _TwistedRequest
from twisted.web.server import Session as _TwistedSession
from zope.interface import directlyProvidedBy, directlyProvides

from txsessions.errors import ConfigurationError
from txsessions.live.session import Session
from txsessions.web.request import Request, SessionRequest

_log = Logger(namespace="txsessions")

_requests: dict[type, type] = {}
_sessions: dict[type, type] = {}
_warned: set[Any] = set()


def _compose(name: str, bases: tuple[type, ...], theirs: type) -> type:
    """
    Make a class of two.

    @raise ConfigurationError: Python cannot.
    """
    try:
        made = type(theirs)(name, bases, {"__module__": theirs.__module__})
    except TypeError as error:
        raise ConfigurationError(
            f"{theirs.__module__}.{theirs.__qualname__} cannot be combined with "
            f"txsessions' own class ({error}): derive it from txsessions.Request or "
            "txsessions.Session instead"
        ) from error
    made.__qualname__ = theirs.__qualname__
    return made


def composeRequest(factory: Any) -> Any:
    """
    What a channel is to make requests with.

    @param factory: What the application set as C{requestFactory}: a class, or
        a function that makes requests.
    """
    if not isinstance(factory, type):
        return _composingCalls(factory)
    if issubclass(factory, SessionRequest) or not issubclass(factory, _TwistedRequest):
        return factory
    if factory is _TwistedRequest:
        return Request
    made = _requests.get(factory)
    if made is None:
        made = _compose(factory.__name__, (SessionRequest, factory), factory)
        directlyProvides(made, directlyProvidedBy(factory))
        _requests[factory] = made
    return made


def _composingCalls(factory: Callable[..., Any]) -> Callable[..., Any]:
    """
    Wrap a function that makes requests.
    """

    def make(*args: Any, **kwargs: Any) -> Any:
        request = factory(*args, **kwargs)
        composed = composeRequest(type(request))
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
        made = _sessions[factory] = _compose(
            factory.__name__, (factory, Session), factory
        )
    return made


def warnForeign(factory: Any, made: object) -> None:
    """
    Say once that a factory's sessions stay in this process.
    """
    if factory not in _warned:
        _warned.add(factory)
        _log.warn(
            "{factory} made a session of {cls}, which is not derived from "
            "txsessions.Session: such sessions stay in this process",
            factory=factory,
            cls=type(made),
        )


__all__ = ["composeRequest", "composeSession", "warnForeign"]
