"""
Where the pages of a guard are.

Owns their addresses, which depend on where in the site the guard is, and so on the
request that has found it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_from_bytes

from txsessions.auth._form import RETURN
from txsessions.auth._returning import addressOf, safeReturn
from txsessions.errors import ConfigurationError


class Places:
    """
    The addresses of one guard.

    @ivar login: What the page to sign in is called.
    @ivar logout: What the page to sign out is called.
    """

    def __init__(self, login: bytes, logout: bytes) -> None:
        """
        @raise ConfigurationError: These cannot be names of two children.
        """
        for name in (login, logout):
            if not isinstance(name, bytes) or not name or b"/" in name:
                raise ConfigurationError(
                    f"a login or logout page is named by one segment of a path, such "
                    f"as b'login', not {name!r}"
                )
        if login == logout:
            raise ConfigurationError("the pages to sign in and out need two names")
        self.login = login
        self.logout = logout
        self._names = [addressOf([name])[1:-1] for name in (login, logout)]

    def loginAt(self, base: bytes, returnTo: bytes | None = None) -> bytes:
        """
        The address of the page to sign in.

        @param base: Where the guard is.
        @param returnTo: Where to go then, if it is not there.
        """
        address = base + self._names[0]
        if returnTo is None or returnTo == base:
            return address
        quoted = quote_from_bytes(returnTo, safe="/").encode("ascii")
        return b"%b?%b=%b" % (address, RETURN.encode("ascii"), quoted)

    def logoutAt(self, base: bytes) -> bytes:
        """
        The address of the page to sign out.
        """
        return base + self._names[1]

    def returnFrom(self, base: bytes, value: bytes) -> bytes:
        """
        Where to go after signing in: where the visitor wants to, if he may.
        """
        never = [base + name for name in self._names]
        return safeReturn(value, never) or base

    def returnOf(self, request: Any, base: bytes) -> bytes:
        """
        Where to go after signing in, by what a form or a query says.
        """
        values = request.args.get(RETURN.encode("ascii"), [b""])
        return self.returnFrom(base, values[0])


__all__ = ["Places", "addressOf"]
