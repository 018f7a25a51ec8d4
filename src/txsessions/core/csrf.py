"""
Tokens against forged requests, and what browsers say of where a request is from.

Owns the bytes of a token, and the comparison of origins.  Knows no session, no
request and no source of chance.

A session's secret is derived from its uid, which is as unpredictable as can be:
there is nothing to keep, and no key whose change a form would not survive.  Each
token is the secret under another pad, and the pad, so that no two pages show the
same bytes: what is the same in each answer can be guessed by the length of what
answers compress to (BREACH).
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

SECRET_BYTES: Final = 24
"""How long a session's secret is, and the pad that hides it, in bytes."""

TOKEN_LENGTH: Final = 64
"""How long a token is, in characters."""

SAFE_METHODS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""The methods that change nothing (RFC 9110, 9.2.1), of those that are in use."""

_PURPOSE: Final = b"txsessions csrf secret 1"

_WELL_FORMED = re.compile(rb"[A-Za-z0-9_-]{64}").fullmatch

_ORIGIN = re.compile(
    rb"(https?)://((?:\[[0-9a-f:.]+\]|[0-9a-z._~%!$&'()*+,;=-]+)(?::[0-9]+)?)"
).fullmatch

_PORTS: Final = {b"http": b":80", b"https": b":443"}


def secretOf(uid: bytes) -> bytes:
    """
    Derive what a session's tokens are made of.

    @param uid: The session's uid, which cannot be found from it.
    @return: L{SECRET_BYTES} bytes.
    """
    return hmac.digest(uid, _PURPOSE, "sha256")[:SECRET_BYTES]


def mask(secret: bytes, pad: bytes) -> str:
    """
    Make a token.

    @param pad: As many bytes of chance as the secret has.
    @return: L{TOKEN_LENGTH} characters that need no escaping anywhere.
    """
    return urlsafe_b64encode(pad + _xor(secret, pad)).decode("ascii")


def isTokenOf(secret: bytes, token: bytes) -> bool:
    """
    Tell whether a token is one of a session's, in a time that does not say how
    far it is.

    @param token: Whatever a client sent.
    """
    if _WELL_FORMED(token) is None:
        return False
    raw = urlsafe_b64decode(token)
    pad, hidden = raw[:SECRET_BYTES], raw[SECRET_BYTES:]
    return hmac.compare_digest(_xor(hidden, pad), secret)


def _xor(one: bytes, other: bytes) -> bytes:
    """
    Combine two strings of L{SECRET_BYTES} bytes.
    """
    combined = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return combined.to_bytes(SECRET_BYTES, "big")


def readOrigin(value: bytes) -> tuple[bytes, bytes] | None:
    """
    Read an C{Origin} header (RFC 6454).

    @return: The scheme, and the host with its port if that is not the scheme's
        own; L{None} for C{null} and whatever else no page of ours has.
    """
    found = _ORIGIN(value.lower())
    if found is None:
        return None
    scheme, host = found.groups()
    return scheme, host.removesuffix(_PORTS[scheme])


def isOwnOrigin(
    origin: tuple[bytes, bytes], host: bytes | None, *, secure: bool
) -> bool:
    """
    Tell whether an origin is that of the request itself.

    @param origin: What L{readOrigin} has read.
    @param host: The request's C{Host} header.
    @param secure: Whether the request is known to have come over TLS.  Then a page
        that came without, which anybody on the way may have written, is another
        origin.  Where it is not known, a proxy may have ended TLS.
    """
    scheme, place = origin
    if host is None or (secure and scheme != b"https"):
        return False
    return host.strip().lower().removesuffix(_PORTS[scheme]) == place


__all__ = [
    "SAFE_METHODS",
    "SECRET_BYTES",
    "TOKEN_LENGTH",
    "isOwnOrigin",
    "isTokenOf",
    "mask",
    "readOrigin",
    "secretOf",
]
