"""
What a response says in its headers because of a session.

Owns C{Vary}, C{Cache-Control}, and the order among C{Set-Cookie} lines: those
that the application wrote, and ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

    from txsessions.web.visit import Visit


def varyByCookie(headers: Headers) -> None:
    """
    Say that the response depends on the cookie.
    """
    values = headers.getRawHeaders(b"vary")
    if values is None:
        headers.setRawHeaders(b"Vary", [b"Cookie"])
        return
    names = b",".join(values).lower()
    if b"cookie" not in names and names.strip() != b"*":
        headers.addRawHeader(b"Vary", b"Cookie")


def forbidStoring(headers: Headers) -> bool:
    """
    Say that no cache may keep the response, which carries a cookie.

    @return: Whether the application had not said so itself.
    """
    values = headers.getRawHeaders(b"cache-control", [])
    if b"no-store" in b",".join(values).lower():
        return False
    headers.setRawHeaders(b"Cache-Control", [b"no-store"])
    return True


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
    headers: Headers, request: Any, visits: Sequence[Visit], *, noStore: bool
) -> None:
    """
    Bring the cookie in held headers up to what has become of the session.

    @param headers: The held headers.
    @param noStore: Whether C{Cache-Control} is there because of the cookie.
    """
    values = headers.getRawHeaders(b"set-cookie")
    if values is None:
        return
    cookies = request.cookies
    before = list(cookies)
    for visit in visits:
        visit.sayHow()
    if cookies == before:
        return
    gone = [cookie for cookie in before if cookie not in cookies]
    kept = [value for value in values if value not in gone]
    kept += [cookie for cookie in cookies if cookie not in before]
    if kept:
        headers.setRawHeaders(b"Set-Cookie", kept)
        return
    headers.removeHeader(b"set-cookie")
    if noStore:
        headers.removeHeader(b"cache-control")


__all__ = ["correctCookies", "forbidStoring", "mergeCookies", "varyByCookie"]
