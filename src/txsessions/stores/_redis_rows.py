"""
Records as bytes in a Redis server.

Owns the layout.  A record is one string: a head of fixed size and the sealed payload.
C{S1} is one in which nobody is signed in; one of an earlier version may have a
principal between the two, is read, and is in no index.  In C{S2} the head goes on: the
epochs of the principal and of its prefix when it signed in, the handle, the principal.
The checksum covers all but the two times that a touch moves, which are guarded by
C{span}, their difference, and the epochs, whose sum stands there, turned over.  The two
are not kept as one sum, as other stores can, for a server may lose one of them.  Times
are kept in the server's clock: what callers say plus an offset.  C{createdAt} is never
compared there, so it is kept as it was said, beside the offset of that time.

Knows no connection.
"""

from __future__ import annotations

import struct
from zlib import crc32

from twisted.logger import Logger

from txsessions.core.record import Answer, Record, tagOf
from txsessions.errors import SessionTooLarge
from txsessions.interfaces import ROTATION_MARKER

_log = Logger(namespace="txsessions")

GRACE = 86400
"""For how many seconds the server keeps a record that is past its deadline, for the
sweeper to find; after that it drops it by itself."""

MARKER_GRACE = 5
"""The same for the marker of a rotation, which nobody sweeps."""

LIMIT = 1 << 20
"""How large a record may be, in bytes: what is larger is not read."""

_FORMAT = struct.Struct("<2sqdddddIh")
_MARKER = struct.Struct("<2sd")
_LONG_MARKER = struct.Struct("<2sdd")
_MARKERS = {b"M1": Answer.ROTATED, b"E1": Answer.DELETED}
_SUMMED = struct.Struct("<qdqd").pack
HEAD = _FORMAT.size
"""How long the head of a record is in which nobody is signed in."""

TIMES = struct.calcsize("<2sqddd")
"""How much of it there has to be to say whether it is alive."""

_SIGN_IN = struct.Struct("<qqq16s32s")
SIGNED_HEAD = HEAD + _SIGN_IN.size
"""How long that of any other is."""

_SIZES = (16, 32)
_ANONYMOUS = (b"S1", b"", b"", -1)
_FIRST_EPOCHS = struct.pack("<qqq", 0, 0, -1)
_COVERED = HEAD + len(_FIRST_EPOCHS)
_HEADS = {b"S1": HEAD, b"S2": SIGNED_HEAD}

packTime = struct.Struct("<d").pack
"""Write a time as scripts read it."""

packTimes = struct.Struct("<ddd").pack
"""Write three of them."""


class Damaged(Exception):
    """
    What is stored is no record.
    """


def packVersion(version: int) -> bytes:
    """
    Write a version as scripts compare it.

    @return: What no version is written as, for a number that none can have.
    """
    try:
        return version.to_bytes(8, "little", signed=True)
    except OverflowError:
        return b""


def encode(record: Record, offset: float) -> bytes:
    """
    Write a record.  The epochs of its principal are written by the scripts.

    @param offset: How many seconds the server's clock is ahead of the caller's.
    @raise SessionTooLarge: It could not be read again.
    @raise ValueError: It has a handle and no principal, or one of another size.
    """
    principal, handle, payload = record.principal, record.handle, record.payload
    kind, epochs, signIn, length = _ANONYMOUS
    size = HEAD + len(payload)
    if principal is not None or handle is not None:
        kind, epochs, signIn, length = _signed(principal, handle)
        size += len(epochs) + len(signIn)
    if size > LIMIT or length > 0x7FFF:
        raise SessionTooLarge(record.tag, size, LIMIT)
    expiresAt, touchedAt = record.expiresAt + offset, record.touchedAt + offset
    version, createdAt = record.version, record.createdAt
    checksum = _sum(record.key, version, createdAt, offset, length, signIn, payload)
    head = _FORMAT.pack(
        kind,
        version,
        expiresAt,
        touchedAt,
        expiresAt - touchedAt,
        createdAt,
        offset,
        checksum,
        length,
    )
    return head + epochs + signIn + payload


def _signed(
    principal: bytes | None, handle: bytes | None
) -> tuple[bytes, bytes, bytes, int]:
    """
    Write who is signed in.

    @return: The kind of the record, room for the epochs, they, and how long the
        principal is.
    @raise ValueError: See L{encode}.
    """
    signIn = principal or b""
    length = -1 if principal is None else len(signIn)
    if handle is None:
        return b"S1", b"", signIn, length
    if (len(handle), length) != _SIZES:
        raise ValueError(
            "a principal has 32 bytes and its handle 16, and there is none without "
            f"the other; these have {max(length, 0)} and {len(handle)}"
        )
    return b"S2", _FIRST_EPOCHS, handle + signIn, length


def decode(
    key: bytes, text: bytes, offset: float, now: float | None
) -> Record | Answer | None:
    """
    Read a record, or the marker of a rotation or of an end.

    @param now: The server's time; L{None} to read what is expired, too.
    @return: L{None} if it is past its deadline.
    @raise Damaged: It is neither.
    """
    kind = text[:2]
    if kind in _MARKERS and len(text) in {_MARKER.size, _LONG_MARKER.size}:
        return _marked(text, now)
    if kind not in _HEADS or not _HEADS[kind] <= len(text) <= LIMIT:
        raise Damaged
    _, version, expires, touched, span, created, then, checksum, length = (
        _FORMAT.unpack_from(text)
    )
    if now is not None and expires <= now and expires - touched == span:
        return None
    if kind == b"S2":
        principal, handle = signInOf(text).values()
        signIn, payload = text[_COVERED:SIGNED_HEAD], text[SIGNED_HEAD:]
    else:
        end = HEAD + max(length, 0)
        signIn, payload = text[HEAD:end], text[end:]
        principal, handle = None if length == -1 else signIn, None
    if (
        not -1 <= length == (-1 if principal is None else len(principal))
        or expires - touched != span
        or checksum != _sum(key, version, created, then, length, signIn, payload)
    ):
        raise Damaged
    return Record(
        key=key,
        version=version,
        createdAt=created + (then - offset) if then != offset else created,
        touchedAt=touched - offset,
        expiresAt=expires - offset,
        principal=principal,
        handle=handle,
        payload=payload,
    )


def _marked(text: bytes, now: float | None) -> Answer | None:
    """
    Read a marker.

    @param now: See L{decode}.
    """
    kind, until = _MARKER.unpack_from(text)
    if now is None:
        return _MARKERS[kind]
    if until <= now:
        return None
    if len(text) == _LONG_MARKER.size:
        *_, madeAt = _LONG_MARKER.unpack(text)
        if madeAt + ROTATION_MARKER <= now:
            return Answer.FORMER
    return _MARKERS[kind]


def packMarker(now: float, marks: float) -> bytes:
    """
    Write the marker of a rotation, but for its kind: when it runs out and, if it
    stays for long, when it was made.

    @param now: The server's time.
    """
    isLong = marks > ROTATION_MARKER
    return packTime(now + marks) + (packTime(now) if isLong else b"")


def signInOf(text: bytes) -> dict[str, bytes | None]:
    """
    Read who is signed in from the beginning of a record.

    @return: The principal and the handle, by the names of the fields.
    @raise Damaged: They are not what was written.
    """
    if text[:2] != b"S2":
        return {"principal": None, "handle": None}
    epoch, among, check, handle, principal = _SIGN_IN.unpack_from(text, HEAD)
    if check != -1 - epoch - among:
        raise Damaged
    return {"principal": principal, "handle": handle}


def _sum(
    key: bytes,
    version: int,
    created: float,
    then: float,
    length: int,
    signIn: bytes,
    payload: bytes,
) -> int:
    """
    The checksum over all but the times that a touch moves.
    """
    known = crc32(key + _SUMMED(version, created, length, then))
    return crc32(payload, crc32(signIn, known) if signIn else known)


def reportDamage(key: bytes) -> None:
    """
    Tell the operator of a record that cannot be used.
    """
    _log.error(
        "The stored record of session {tag} is damaged: it is not what was written "
        "there. It is treated as absent and left where it is",
        tag=tagOf(key),
    )


__all__ = [
    "GRACE",
    "HEAD",
    "LIMIT",
    "MARKER_GRACE",
    "SIGNED_HEAD",
    "TIMES",
    "Damaged",
    "decode",
    "encode",
    "packMarker",
    "packTime",
    "packTimes",
    "packVersion",
    "reportDamage",
    "signInOf",
]
