"""
Answers that we give in the place of the application's.

Owns how a response that was begun is taken back, and the pages that say that
sessions are out of reach, or too many.  They hold nothing of the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import (
    CONFLICT,
    FORBIDDEN,
    INTERNAL_SERVER_ERROR,
    SERVICE_UNAVAILABLE,
    TEMPORARY_REDIRECT,
    HTTPChannel,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

_log = Logger(namespace="txsessions")

TOO_MANY_REQUESTS = 429
"""RFC 6585, 4; Twisted has no name for it."""

RETRY_AFTER = 2
"""Seconds after which a client may try again."""

CLEAR = b"Clear-Site-Data"
"""The header that has a browser forget more than a cookie."""

_KEPT = (b"server", b"date", b"connection")

PAGES = {
    CONFLICT: (
        b"<!DOCTYPE html><title>Signed in too often</title>"
        b"<h1>Signed in too often</h1>"
        b"<p>Please sign out elsewhere first.</p>\n"
    ),
    FORBIDDEN: (
        b"<!DOCTYPE html><title>Not accepted</title>"
        b"<h1>This was not accepted</h1>"
        b"<p>The page that you sent it from is out of date, or was not ours. Nothing "
        b"has been changed. Please go back, reload the page, and send it again.</p>\n"
    ),
    INTERNAL_SERVER_ERROR: (
        b"<!DOCTYPE html><title>Internal error</title>"
        b"<h1>Internal error</h1><p>What you did could not be saved.</p>\n"
    ),
    SERVICE_UNAVAILABLE: (
        b"<!DOCTYPE html><title>Unavailable</title>"
        b"<h1>Unavailable for the moment</h1>"
        b"<p>Please try again in a few seconds.</p>\n"
    ),
    TOO_MANY_REQUESTS: (
        b"<!DOCTYPE html><title>Too many visitors</title>"
        b"<h1>Too many new visitors from your network</h1>"
        b"<p>Please try again later.</p>\n"
    ),
}

SIGN_IN = (
    b"<!DOCTYPE html><title>Please sign in</title>"
    b"<h1>Please sign in</h1>"
    b"<p>This wants you to sign in, again or in another way.</p>\n"
)
"""What is said to who has to sign in first."""

OUTDATED = (
    b"<!DOCTYPE html><title>Please try again</title>"
    b"<h1>Please try again</h1>"
    b"<p>Another page was faster. Nothing has been changed. Please go back, reload the "
    b"page, and send it again.</p>\n"
)
"""What is said to who comes with an old id, to change something."""


def reset(request: Any, *, keepCookies: bool) -> None:
    """
    Take back a response of which nothing has been sent.
    """
    request.startedWriting = 0
    request.chunked = 0
    request.sentLength = 0
    request.finished = 0
    request.__dict__.pop("write", None)
    request._encoder = None
    request.etag = None
    request.lastModified = None
    if not keepCookies:
        request.cookies[:] = []
    headers = request.responseHeaders
    for name, _ in list(headers.getAllRawHeaders()):
        if name.lower() not in _KEPT:
            headers.removeHeader(name)


def answer(
    request: Any,
    code: int,
    deletions: Sequence[bytes],
    page: bytes | None = None,
    retryAfter: int = RETRY_AFTER,
) -> None:
    """
    Answer in the place of the application.

    @param deletions: Cookies that go nevertheless: a logout that the client
        asked for.  What else the browser is to forget then, it still is.
    @param page: What is said, if not the usual.
    @param retryAfter: Seconds after which it may try again, where it may.
    """
    if request._disconnected or not hasattr(request, "channel"):
        return
    headers = request.responseHeaders
    clear = headers.getRawHeaders(CLEAR) if deletions else None
    reset(request, keepCookies=False)
    body = PAGES[code] if page is None else page
    said = b"Too Many Requests" if code == TOO_MANY_REQUESTS else None
    request.setResponseCode(code, said)
    request.cookies.extend(deletions)
    if clear is not None:
        headers.setRawHeaders(CLEAR, clear)
    if code in {SERVICE_UNAVAILABLE, TOO_MANY_REQUESTS}:
        headers.setRawHeaders(b"Retry-After", [b"%d" % retryAfter])
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])
    headers.setRawHeaders(b"Content-Type", [b"text/html; charset=utf-8"])
    headers.setRawHeaders(b"Content-Length", [b"%d" % len(body)])
    request._plainWrite(body)
    request._plainFinish()


def answerAgain(request: Any) -> None:
    """
    Have the client ask for the same page once more, in the place of an answer.
    """
    if not request._disconnected:
        reset(request, keepCookies=False)
        _pointBack(request)
        request._plainWrite(b"")
        request._plainFinish()


def forbid(request: Any, page: bytes = PAGES[FORBIDDEN]) -> None:
    """
    Refuse what the client asks for.  What the application has changed before is
    kept.

    @param page: What is said then.
    """
    if request._disconnected:
        return
    reset(request, keepCookies=True)
    request.setResponseCode(FORBIDDEN)
    _ = forbidden(request)
    request.setHeader(b"Content-Length", b"%d" % len(page))
    request.write(page)
    request.finish()


def forbidden(request: Any) -> bytes:
    """
    Begin the answer to a request that is refused.

    @return: The page.
    """
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
    return PAGES[FORBIDDEN]


def sendAgain(request: Any) -> None:
    """
    Have the client ask for the same page once more.
    """
    _pointBack(request)
    request.write(b"")
    request.finish()


def _pointBack(request: Any) -> None:
    """
    Begin the answer that has a client do so.
    """
    # Relative, since a path that begins with two slashes would be another host.
    name = request.uri.partition(b"?")[0].rpartition(b"/")[2]
    query = b"".join(request.uri.partition(b"?")[1:])
    request.setResponseCode(TEMPORARY_REDIRECT)
    request.setHeader(b"Location", b"./" + name + query)
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"Content-Length", b"0")


def isUpgraded(request: Any) -> bool:
    """
    Whether a connection has left HTTP during the request, as for a WebSocket:
    somebody else has the transport, or hears of what happens to it.
    """
    channel = request.channel
    return "connectionLost" in vars(channel) or (
        isinstance(channel, HTTPChannel) and channel.transport is None
    )


def abort(request: Any, reactor: IReactorTime) -> None:
    """
    Cut a response short, so that what was sent is not taken for whole.
    """
    channel = getattr(request, "channel", None)
    if channel is None:
        return
    if not hasattr(channel, "abortConnection"):
        if channel.transport is not None:
            channel.transport.abortConnection()
        return
    channel.abortConnection()
    # A stream tells nobody that it was reset, and a connection not before the
    # next turn.
    reactor.callLater(0, _aborted, request)


def _aborted(request: Any) -> None:
    """
    Whoever waits for the end of the response has to know.
    """
    if not request._disconnected:
        request.connectionLost(Failure(ConnectionAborted()))


def giveUp(request: Any) -> None:
    """
    What is being handled is an error outside of any resource.  Plain Twisted
    drops the connection where that happens while it reads.
    """
    _log.failure("a response could not be sent")
    channel = getattr(request, "channel", None)
    if channel is not None:
        channel.loseConnection()


__all__ = [
    "CLEAR",
    "CONFLICT",
    "FORBIDDEN",
    "INTERNAL_SERVER_ERROR",
    "OUTDATED",
    "SERVICE_UNAVAILABLE",
    "SIGN_IN",
    "TOO_MANY_REQUESTS",
    "abort",
    "answer",
    "answerAgain",
    "forbid",
    "forbidden",
    "giveUp",
    "isUpgraded",
    "reset",
    "sendAgain",
]
