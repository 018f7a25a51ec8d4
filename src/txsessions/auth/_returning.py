"""
Where somebody is led to after signing in.

Owns which addresses that may be.  The visitor sends it along, so whoever sent him here
may have made it up: it has to be a path of this very site, with a query or without, as
a browser would have asked for it.  What is in doubt is refused.  Knows no request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

MAX_RETURN: Final = 2000
"""The longest address, in bytes."""

_LAYERS: Final = 4
"""How often what is percent-encoded may be so."""

_ADDRESS = re.compile(rb"/[!$-;=?-\[\]^-~]*").fullmatch
"""Printable ASCII without blanks, quotes, angle brackets, backslashes and C{#}."""

_CONTROLS = re.compile(rb"[\x00-\x1f\x7f\\]").search


def addressOf(segments: Sequence[bytes]) -> bytes:
    """
    Write the address of what lies below these segments.

    @return: A path that begins and ends with one slash: two at its beginning would be
        another host.
    """
    quoted = [
        quote_from_bytes(segment, safe="").encode("ascii") for segment in segments
    ]
    path = b"/".join([*quoted, b""]).lstrip(b"/")
    return b"/" + path


def safeReturn(value: bytes, never: Iterable[bytes] = ()) -> bytes | None:
    """
    Take an address only if it is one of this site.

    @param value: What came with the request.
    @param never: Paths that lead nowhere, nor does what is below them: the login page.
    @return: It, unchanged; L{None} if it is none.
    """
    if len(value) > MAX_RETURN or _ADDRESS(value) is None:
        return None
    path = value.partition(b"?")[0]
    for _ in range(_LAYERS):
        if path.startswith(b"//") or _CONTROLS(path) is not None:
            return None
        segments = path.split(b"/")
        if b"." in segments or b".." in segments:
            return None
        plain = unquote_to_bytes(path)
        if plain == path:
            break
        path = plain
    else:
        return None
    below = path + b"/"
    if any(below.startswith(unquote_to_bytes(each) + b"/") for each in never):
        return None
    return value


__all__ = ["MAX_RETURN", "addressOf", "safeReturn"]
