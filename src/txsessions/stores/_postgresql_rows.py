"""
Rows of the PostgreSQL store: what goes into one, and what becomes a record.

Owns the turning of a caller's seconds into the server's microseconds and back, and
the checks of a row.  The server need not notice a flipped bit inside a value, so each
row carries a checksum over what only a change of the session moves, and C{span},
the difference of the two times that a touch moves without reading the rest.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from zlib import crc32

from twisted.logger import Logger

from txsessions.core.record import (
    DELETED,
    FORMER,
    ROTATED,
    UNCHANGED,
    Answer,
    Record,
    tagOf,
)
from txsessions.interfaces import ROTATION_MARKER
from txsessions.stores._postgresql_ending import NOTHING
from txsessions.stores._postgresql_statements import number

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

Found = Record | Answer | None
Value = bytes | None

FARTHEST = 1 << 62
"""The last microsecond that a row can hold; what is later becomes this."""

HANDLE_AT, PAYLOAD_AT, KEY_AT = 7, 9, 10
"""Where in the columns of an answer these are; the key where it is asked for."""

_MARKED = round(ROTATION_MARKER * 1e6)

_log = Logger()
_head = struct.Struct("!qqq").pack
_times = struct.Struct("!qqqq").unpack


class Damaged(Exception):
    """
    A row does not match its checks.
    """


def instant(seconds: float, offset: int) -> int:
    """
    Turn a caller's time into the server's.

    @param seconds: Since the epoch, by the caller's clock.
    @param offset: How far the server's clock is ahead, in microseconds.
    """
    if not -4e12 < seconds < 4e12:
        return FARTHEST if seconds > 0 else -FARTHEST
    return round(seconds * 1e6) + offset


def checksumOf(
    key: bytes, version: int, createdAt: int, rest: tuple[Value, Value, bytes]
) -> int:
    """
    The checksum over all of a row but its times and its epoch.

    @param rest: The principal, the handle and the payload.
    """
    principal, handle, payload = rest
    length = -1 if principal is None else len(principal)
    head = key + _head(version, createdAt, length) + (principal or b"")
    return crc32(payload, crc32(head + (handle or b"")))


def valuesOf(record: Record, offset: int) -> tuple[Value, ...]:
    """
    The values of a row but its key, in this order: version, three times, checksum,
    payload; without who is signed in.
    """
    createdAt = instant(record.createdAt, offset)
    rest = (record.principal, record.handle, record.payload)
    checksum = checksumOf(record.key, record.version, createdAt, rest)
    return (
        number(record.version),
        number(createdAt),
        number(instant(record.touchedAt, offset)),
        number(instant(record.expiresAt, offset)),
        number(checksum),
        record.payload,
    )


def recordOf(key: bytes, result: PGresult, row: int, offset: int) -> Record:
    """
    Make the record of a row, if it is undamaged.

    @param result: With the columns version, three times, span, principal, checksum,
        handle, epoch and payload.
    @raise Damaged: It is not.
    """
    get = result.get_value
    times = b"".join([get(row, column) or b"" for column in (1, 2, 3, 4)])
    version, checksum, payload = get(row, 0), get(row, 6), get(row, PAYLOAD_AT)
    if version is None or checksum is None or payload is None or len(times) != 32:
        raise Damaged
    createdAt, touchedAt, expiresAt, span = _times(times)
    counted = int.from_bytes(version, "big", signed=True)
    principal, handle = get(row, 5), get(row, HANDLE_AT)
    found = checksumOf(key, counted, createdAt, (principal, handle, payload))
    # The epoch, of four bytes as it stands there, and the checksum.
    sealed = (get(row, 8) or b"")[4:] + found.to_bytes(4, "big")
    if sealed != checksum or expiresAt - touchedAt != span:
        raise Damaged
    return Record(
        key=key,
        version=counted,
        createdAt=(createdAt - offset) / 1e6,
        touchedAt=(touchedAt - offset) / 1e6,
        expiresAt=(expiresAt - offset) / 1e6,
        principal=principal,
        handle=handle,
        payload=payload,
    )


def readable(key: bytes, result: PGresult, row: int, offset: int) -> Record | None:
    """
    Make the record of a row; tell the operator of a damaged one.

    @return: L{None} if it is damaged.  The row stays where it is.
    """
    try:
        return recordOf(key, result, row, offset)
    except Damaged:
        _log.error(
            "The stored record of session {tag} is damaged: its checksum does not "
            "match. It is treated as absent and left where it is",
            tag=tagOf(key),
        )
        return None


def found(
    key: bytes, known: int | None, result: PGresult, offset: int, present: int
) -> Found:
    """
    Read the answer to a load.

    @param present: When it was asked, by the server's clock.
    """
    if not result.ntuples:
        return None
    version = result.get_value(0, 0)
    if version is None:
        if result.get_value(0, PAYLOAD_AT) == NOTHING:
            return DELETED
        # Earlier versions did not say when they made a marker.
        madeAt = int.from_bytes(result.get_value(0, 1) or b"", "big", signed=True)
        return FORMER if 0 < madeAt <= present - _MARKED else ROTATED
    if known is not None and version == number(known):
        return UNCHANGED
    return readable(key, result, 0, offset)


__all__ = [
    "FARTHEST",
    "HANDLE_AT",
    "KEY_AT",
    "PAYLOAD_AT",
    "Damaged",
    "Found",
    "Value",
    "checksumOf",
    "found",
    "instant",
    "readable",
    "recordOf",
    "valuesOf",
]
