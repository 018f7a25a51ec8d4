"""
The uid: the secret in the cookie, and what a store knows a session by instead.

Owns how a uid is minted, what one looks like, and how the store key is derived
from it.  Knows no cookie and no store; where the entropy comes from is the
caller's choice.
"""

from __future__ import annotations

import hashlib
import re
from binascii import hexlify
from collections.abc import Callable
from typing import Final

ENTROPY_BYTES: Final = 32
"""How much entropy goes into a uid, in bytes."""

UID_LENGTH: Final = 64
"""How long a uid is, in bytes of lower-case hexadecimal digits."""

_WELL_FORMED = re.compile(rb"[0-9a-f]{64}").fullmatch

# What a broken generator, or somebody typing, comes up with.
_REFUSED = frozenset({b"0" * UID_LENGTH, b"f" * UID_LENGTH})

_DOMAIN: Final = b"txsessions store key 1"


def mintUid(entropy: Callable[[int], bytes]) -> bytes:
    """
    Make a new uid.

    @param entropy: Gives as many unpredictable bytes as it is asked for, such
        as L{os.urandom}.  What it raises is passed on: there is no other
        source to fall back to.
    @return: 64 lower-case hexadecimal digits.
    @raise ValueError: The source gave something else than 32 bytes, or bytes
        that are all zeros or all ones.
    """
    drawn = entropy(ENTROPY_BYTES)
    if type(drawn) is not bytes or len(drawn) != ENTROPY_BYTES:
        raise ValueError(
            f"the source of entropy was asked for {ENTROPY_BYTES} bytes and gave "
            f"{_sizeOf(drawn)}: a session id cannot be made from it"
        )
    uid = hexlify(drawn)
    if uid in _REFUSED:
        raise ValueError(
            "the source of entropy gave bytes that are all the same: it is broken"
        )
    return uid


def isUid(value: bytes) -> bool:
    """
    Tell whether this could be a uid of ours, before any store is asked.

    @param value: What a client sent.
    """
    return (
        isinstance(value, bytes)
        and _WELL_FORMED(value) is not None
        and value not in _REFUSED
    )


def storeKeyOf(siteName: bytes, uid: bytes) -> bytes:
    """
    Derive what a store knows the session by.

    Each part goes in with its length before it, so that no two pairs of site
    name and uid run together into the same input.

    @param siteName: Whose session it is; sites that share a store have
        different names.
    @param uid: The uid.
    @return: 32 bytes, from which the uid cannot be found.
    """
    return hashlib.sha256(
        b"%b%b%b%b%b%b"
        % (
            len(_DOMAIN).to_bytes(8, "big"),
            _DOMAIN,
            len(siteName).to_bytes(8, "big"),
            siteName,
            len(uid).to_bytes(8, "big"),
            uid,
        )
    ).digest()


def _sizeOf(drawn: object) -> str:
    """
    Say for people what was drawn, without saying what is in it.
    """
    if isinstance(drawn, bytes):
        return f"{len(drawn)}"
    return f"a {type(drawn).__name__}"


__all__ = ["ENTROPY_BYTES", "UID_LENGTH", "isUid", "mintUid", "storeKeyOf"]
