"""
What somebody has entered into the form to sign in.

Owns the limits of that, and how it is read out of a request.  Knows nothing of what is
right.
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from twisted.web.http import parse_qs

from txsessions.auth._form import NAME, PASSWORD, REMEMBER

MAX_NAME = 256
"""The longest name that is looked at, in characters."""

MAX_NAME_BYTES = 4 * MAX_NAME
"""No name is longer in bytes, what is not shown of it included."""

MAX_PASSWORD = 4096
"""The longest password that a checker is given, in bytes: some take long to hash."""


@frozen(kw_only=True)
class Entered:
    """
    A name and a password.

    @ivar username: The name, as bytes of a form.
    @ivar password: The password; nothing if it is too long.
    @ivar remember: Whether the box is ticked.
    @ivar shown: The name, as it is shown again.
    """

    username: bytes = field(repr=False)
    password: bytes = field(repr=False)
    remember: bool
    shown: str = field(repr=False)

    @property
    def canBe(self) -> bool:
        """
        Whether a checker is to be asked.  An empty password never is one, though some
        directories let it pass.
        """
        isTooLong = len(self.shown) > MAX_NAME or len(self.username) > MAX_NAME_BYTES
        return bool(self.shown and self.password) and not isTooLong

    @classmethod
    def of(cls, request: Any) -> Entered:
        """
        Read a form.  Nothing was entered into what is not there once, or is in the URL,
        where a password has no business to be.
        """
        query = parse_qs(request.uri.partition(b"?")[2], keep_blank_values=1)
        found = []
        for name in (NAME.encode("ascii"), PASSWORD.encode("ascii")):
            values = [] if name in query else request.args.get(name, [])
            found.append(values[0] if len(values) == 1 else b"")
        username, password = found
        return cls(
            username=username,
            password=password if len(password) <= MAX_PASSWORD else b"",
            remember=bool(request.args.get(REMEMBER.encode("ascii"))),
            shown=_shown(username),
        )


def _shown(username: bytes) -> str:
    """
    A name as it is shown again.
    """
    text = username[: MAX_NAME_BYTES + 4].decode("utf-8", "replace")
    return "".join(character for character in text if character.isprintable())


__all__ = ["MAX_NAME", "MAX_NAME_BYTES", "MAX_PASSWORD", "Entered"]
