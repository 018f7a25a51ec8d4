"""
A sign-in: who somebody is, how sure that is, and since when.

Owns the value that is sealed with a session, what is refused of it, and the rule
that tells a fresh one.  Knows no clock, and nothing of how anybody proves anything.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from txsessions.core.lifetime import MAX_SECONDS, SKEW
from txsessions.core.principals import HANDLE_BYTES

MAX_PRINCIPAL: Final = 256
"""The longest name of a principal, in characters."""

MAX_LEVEL: Final = 1000
"""The highest level."""

MAX_CLIENT: Final = 256
"""How much is kept of what a browser says that it is, and of an address, in
characters."""


MAX_REMEMBER: Final = 400 * 24 * 60 * 60
"""For how long somebody may be remembered, in seconds: no browser keeps a cookie for
longer."""


class SignIn(NamedTuple):
    """
    That somebody is signed in.

    @ivar principal: What the application calls him or her.
    @ivar level: How sure it is: 1 for one factor; higher is surer.
    @ivar authenticatedAt: When that was proved, in seconds since the epoch.
    @ivar handle: By what the principal names this session among others: 16 bytes of
        chance, which stay when the same one signs in again.
    @ivar userAgent: What the browser said that it is, where the site keeps that.
    @ivar address: Where the client was, where the site keeps that.
    @ivar remember: For how many seconds the session lasts, and its cookie, if that is
        not what the site's do.
    """

    principal: str
    level: int
    authenticatedAt: float
    handle: bytes
    userAgent: str | None = None
    address: str | None = None
    remember: int | None = None

    def __repr__(self) -> str:
        """
        Show what people may see: not who it is.
        """
        return f"<SignIn of level {self.level}>"


def checkSignIn(signIn: SignIn) -> None:
    """
    Refuse what no sign-in of ours is.

    @raise ValueError: It is none; the message does not say whose.
    """
    principal, level, authenticatedAt, handle, *client, remember = signIn
    if type(principal) is not str or not 0 < len(principal) <= MAX_PRINCIPAL:
        raise ValueError(f"a principal is a text of 1 to {MAX_PRINCIPAL} characters")
    if type(level) is not int or not 0 < level <= MAX_LEVEL:
        raise ValueError(f"a level is a whole number from 1 to {MAX_LEVEL}")
    if type(authenticatedAt) is not float or not 0 <= authenticatedAt <= MAX_SECONDS:
        raise ValueError("somebody signed in before 1970 or after 9999")
    if type(handle) is not bytes or len(handle) != HANDLE_BYTES:
        raise ValueError(f"a handle is {HANDLE_BYTES} bytes")
    for text in client:
        if text is not None and (type(text) is not str or len(text) > MAX_CLIENT):
            raise ValueError(f"of a client {MAX_CLIENT} characters are kept")
    if remember is not None and (
        type(remember) is not int or not 0 < remember <= MAX_REMEMBER
    ):
        raise ValueError(
            f"somebody is remembered for whole seconds from 1 to {MAX_REMEMBER}"
        )


def writtenSignIn(signIn: SignIn | None) -> tuple[Any, ...] | None:
    """
    A sign-in as it stands in a record: as before there was anything to remember, if
    there is not.
    """
    if signIn is None or signIn.remember is not None:
        return signIn
    return signIn[:-1]


def isFresh(now: float, authenticatedAt: float, usedAt: float, seconds: float) -> bool:
    """
    Tell whether a sign-in is so recent.

    A clock that was set back would make it younger than it is.  So one that lies
    ahead by more than the clocks of two machines may differ is not fresh, nor that
    of a session whose last use lies so far ahead.

    @param usedAt: The last use of the session that is known.
    @param seconds: How long ago it may be.
    """
    age = now - authenticatedAt
    return -SKEW <= age < seconds and usedAt - now <= SKEW


__all__ = [
    "MAX_CLIENT",
    "MAX_LEVEL",
    "MAX_PRINCIPAL",
    "MAX_REMEMBER",
    "SignIn",
    "checkSignIn",
    "isFresh",
    "writtenSignIn",
]
