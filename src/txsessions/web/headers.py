"""
What a response says in its headers because of a session.

Owns C{Vary}, C{Cache-Control}, and the order among C{Set-Cookie} lines: those
that the application wrote, and ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.web.http_headers import Headers

if TYPE_CHECKING:
    from txsessions.web.visit import Visit


def _spelt(name: bytes) -> bytes:
    """
    Learn under what name Twisted's C{Headers} keeps a header.
    """
    (spelt,) = getattr(Headers({name: [b""]}), "_rawHeaders", (name,))
    return bytes(spelt)


# To look into the table that Headers has takes a tenth of what its methods take, which
# spell each name and clean each value anew, and each request with a session has four
# such calls.  Where the table is not what it was, the methods are called.
KNOWN: type | None = Headers if [*Headers.__slots__] == ["_rawHeaders"] else None
_COOKIE, _LENGTH, _VARY = map(_spelt, (b"cookie", b"content-length", b"vary"))


class _AsTold(Headers):
    """
    Headers as another class tells them, with the spelling of that.
    """

    def __init__(self, headers: Headers) -> None:
        super().__init__()
        self._told = {}
        for name, values in headers.getAllRawHeaders():
            self._told[name.lower()] = name
            for value in values:
                self.addRawHeader(name, value)

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """
        See C{Headers.getAllRawHeaders}.
        """
        for name, values in super().getAllRawHeaders():
            yield self._told.get(name.lower(), name), values


def copyOf(headers: Headers) -> Headers:
    """
    Headers as they are at this moment, whatever becomes of the others.
    """
    if type(headers) is not KNOWN:
        return _AsTold(headers)
    table = headers._rawHeaders
    made: Headers = Headers.__new__(Headers)
    made._rawHeaders = dict(zip(table, map(list, table.values()), strict=True))
    return made


def headersOf(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """
    Make headers of what L{KNOWN} ones have told, just as it is.
    """
    made: Headers = Headers.__new__(Headers)
    table = made._rawHeaders = {}
    for name, value in pairs:
        table.setdefault(name, []).append(value)
    return made


def cookieHeaderOf(headers: Headers) -> bytes:
    """
    All that C{Cookie} headers say, in order, in one: HTTP/2 may send one for each
    cookie.
    """
    lines: Sequence[bytes] | None
    if type(headers) is KNOWN:
        lines = headers._rawHeaders.get(_COOKIE)
    else:
        lines = headers.getRawHeaders(b"cookie")
    if not lines:
        return b""
    return lines[0] if len(lines) == 1 else b";".join(lines)


def varyByCookie(headers: Headers) -> None:
    """
    Say that the response depends on the cookie.
    """
    if type(headers) is KNOWN:
        table = headers._rawHeaders
        if _VARY not in table:
            table[_VARY] = [b"Cookie"]
            return
    elif not headers.hasHeader(b"Vary"):
        headers.addRawHeader(b"Vary", b"Cookie")
        return
    values = headers.getRawHeaders(b"Vary", [])
    names = {name.strip() for name in b",".join(values).lower().split(b",")}
    if not names & {b"cookie", b"*"}:
        headers.addRawHeader(b"Vary", b"Cookie")


def varyByAuthorization(headers: Headers) -> None:
    """
    Say that the response depends on who asked by C{Authorization}.
    """
    values = headers.getRawHeaders(b"vary", [])
    names = {name.strip() for name in b",".join(values).lower().split(b",")}
    if not names & {b"authorization", b"*"}:
        headers.addRawHeader(b"Vary", b"Authorization")


def forbidStoring(headers: Headers) -> Sequence[bytes] | None:
    """
    Say that no cache may keep the response, which carries a cookie.

    @return: What was said before; L{None} if it was that.
    """
    values = headers.getRawHeaders(b"cache-control", [])
    if b"no-store" in b",".join(values).lower():
        return None
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])
    return values


def announceLength(headers: Headers, length: int) -> None:
    """
    Tell the client how long the body will be.
    """
    text = b"%d" % length
    if type(headers) is KNOWN:
        headers._rawHeaders[_LENGTH] = [text]
    else:
        headers.setRawHeaders(b"Content-Length", [text])


def announcedLength(request: Any) -> int | None:
    """
    How long the body will be, as the client is told, if it is.
    """
    values = request.responseHeaders.getRawHeaders(b"content-length")
    if values is None or not values[-1].isdigit():
        return None
    return int(values[-1])


def mergeCookies(request: Any) -> None:
    """
    Keep cookies that the application wrote as raw headers: the base would put
    C{request.cookies} in their place.
    """
    if request.cookies:
        raw = request.responseHeaders.getRawHeaders(b"set-cookie")
        if raw:
            mine = [cookie for cookie in request.cookies if cookie not in raw]
            request.cookies[:] = [*raw, *mine]


def correctCookies(
    find: Callable[[], Headers | None],
    visits: Sequence[Visit],
    cacheControl: Sequence[bytes] | None,
) -> None:
    """
    Bring the cookies in held headers up to what has become of the sessions.

    @param find: Finds the held headers, if there are any.
    @param cacheControl: What the application had said of caching, if that was
        replaced because of the cookie.
    """
    isSaid, changes = False, []
    for visit in visits:
        before = visit.heldLine
        visit.sayHow()
        after = visit.line
        isSaid = isSaid or after is not None
        if after != before:
            changes.append((before, after))
    headers = find() if changes else None
    if headers is None:
        return
    for before, after in changes:
        lines = headers.getRawHeaders(b"set-cookie", [])
        said: list[bytes | None]
        if before in lines:
            said = [after if line == before else line for line in lines]
        else:
            said = [*lines, after]
        _change(headers, b"Set-Cookie", [line for line in said if line])
    if isSaid:
        _ = forbidStoring(headers)
    elif cacheControl is not None:
        _change(headers, b"Cache-Control", cacheControl)


def _change(headers: Headers, name: bytes, values: Sequence[bytes]) -> None:
    """
    Give a header other values, or take it out.
    """
    if values:
        headers.setRawHeaders(name, values)
    else:
        headers.removeHeader(name)


__all__ = [
    "KNOWN",
    "announceLength",
    "announcedLength",
    "cookieHeaderOf",
    "copyOf",
    "correctCookies",
    "forbidStoring",
    "headersOf",
    "mergeCookies",
    "varyByAuthorization",
    "varyByCookie",
]
