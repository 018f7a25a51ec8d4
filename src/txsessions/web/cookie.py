"""
Reading the session cookie out of a request, strictly.

Owns the one rule by which a uid gets from C{Cookie} headers into the program:
exactly our name, exactly one value, exactly the form of a uid.  Knows no
request, no policy and no store, and takes time linear in the size of the
headers whatever they hold.

RFC 6265bis gives the C{Cookie} header no quoting, no escapes and no reserved
names, and browsers use none.  A reader that undoes any of them can be made to
see another cookie than the one that the browser keeps apart, so this one does
not: a C{;} ends a cookie also between quotes, C{%73id} is not C{sid}, C{$Path}
is an ordinary name and a comma is an ordinary character.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from functools import lru_cache

from txsessions.core.uid import UID_LENGTH, isUid

_BLANKS = b" \t"
_EQUALS = ord("=")


class Refusal(enum.Enum):
    """
    Why a cookie of our name is not used.  The request goes on without a
    session, and an event tells the reason.
    """

    DUPLICATE = "duplicate"
    """The name came more than once, with different values: somebody else, such
    as a neighbouring subdomain, planted one of them, and which one is not
    to be known."""

    MALFORMED = "malformed"
    """The value is not a uid."""


@lru_cache(maxsize=64)
def _valuesOf(name: bytes) -> re.Pattern[bytes]:
    """
    Make the pattern that finds the values of all cookies of this name in a
    header that begins with a semicolon.

    The name is matched in C and only where a cookie begins, so a header full of
    other cookies, of semicolons or of blanks costs no Python at all.

    @param name: The name of a cookie.
    @return: A pattern whose one group is the value, blanks included.
    """
    return re.compile(rb";[ \t]*" + re.escape(name) + rb"[ \t]*=([^;]*)")


def readCookie(headers: Sequence[bytes] | None, name: bytes) -> bytes | Refusal | None:
    """
    Find the uid that a request brings.

    @param headers: The values of all C{Cookie} headers, in order: HTTP/2 may
        send one for each cookie.  L{None} if there are none.
    @param name: The name of the session cookie, matched byte for byte.
    @return: The uid.  L{None} if no cookie has this name; the reason why not if
        one has it but cannot be used.  Copies that agree are one.
    """
    if not headers:
        return None
    header = headers[0] if len(headers) == 1 else b";".join(headers)
    size = len(name)
    if (
        len(header) == size + 1 + UID_LENGTH
        and header.startswith(name)
        and header[size] == _EQUALS
        and isUid(only := header[size + 1 :])
    ):
        return only
    if name not in header:
        return None
    values = _valuesOf(name).findall(b";" + header)
    if len(values) != 1:
        values = [*{value.strip(_BLANKS) for value in set(values)}]
        if len(values) != 1:
            return Refusal.DUPLICATE if values else None
    value = values[0].strip(_BLANKS)
    return value if isUid(value) else Refusal.MALFORMED


__all__ = ["Refusal", "readCookie"]
