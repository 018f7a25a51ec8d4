"""
The cookies that a request brought.

Owns when they are parsed: when somebody asks for them, which few pages do.  What sessions
they name is read from the header, as it came, by L{txsessions.web.arrival}.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.web import server
from twisted.web.http_headers import Headers

from txsessions.web.headers import cookieHeaderOf

if TYPE_CHECKING:
    from txsessions.web.exchange import Exchange

UNPARSED: Any = b"(not parsed yet)"
"""In the place of the header as it came, until Twisted has it parsed."""

PARSE: Any = server.Request.parseCookies
"""How Twisted parses."""


def cameLater(request: Any) -> bytes:
    """
    The header of a request of which it is not, or no longer, noted as it came.
    """
    came: bytes | None = request._cookiesCame
    return cookieHeaderOf(request.requestHeaders) if came is None else came


class LateCookies:
    """
    What a request of ours does with its cookies: a mixin that comes first.

    @ivar _cookieHeader: The header as it came, until somebody has read what it says.
    @ivar _cookiesCame: The same afterwards.
    """

    _beyond: Any
    _exchange: Exchange | None
    _way: Any
    _cookieHeader: bytes | None = None
    _cookiesCame: bytes | None = None
    _cookiesRead: dict[bytes, bytes] | None = None
    requestHeaders: Headers

    def parseCookies(self) -> None:
        """
        See C{Request.parseCookies}: put off until somebody asks for the cookies, unless
        somebody may have the dictionary already, or parses them in another way.
        """
        before = self._cookieHeader
        if before is None or self._way is not True:
            super().parseCookies()  # type: ignore[misc]
            self._cookieHeader = None
            return
        header = cookieHeaderOf(self.requestHeaders)
        self._cookieHeader = (
            header if before is UNPARSED else b";".join((before, header))
        )

    @property
    def received_cookies(self) -> dict[bytes, bytes]:
        """
        The cookies that came, by their names.
        """
        cookies, header = self._cookiesRead, self._cookieHeader
        if cookies is None:
            # There is one already if it was made as one of another class.
            cookies = self._cookiesRead = self.__dict__.pop("received_cookies", {})
        self._cookieHeader = None
        if header is not None and header is not UNPARSED:
            self._cookiesCame = header
            headers = Headers({b"Cookie": [header]})
            PARSE(SimpleNamespace(requestHeaders=headers, received_cookies=cookies))
        return cookies

    @received_cookies.setter
    def received_cookies(self, cookies: dict[bytes, bytes]) -> None:
        way = self._way
        if isinstance(way, bool) or cookies:
            self._cookieHeader = None
            self._cookiesRead = cookies
            return
        # The first one is that of Twisted's __init__, which lets go of it.  What is the
        # instance's own is found in a tenth of the time.
        self._beyond, self._way = way
        self._exchange = None
        self._cookieHeader = UNPARSED


__all__ = ["PARSE", "UNPARSED", "LateCookies", "cameLater"]
