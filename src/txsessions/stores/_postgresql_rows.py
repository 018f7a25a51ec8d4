"""
Rows of the PostgreSQL store: what goes into one, and what becomes a record.

Owns the turning of a caller's seconds into the server's microseconds and back, and
the checks of a row.  The server need not notice a flipped bit inside a value, so each
row carries a checksum over what only a change of the session moves, and C{span},
the difference of the two times that a touch moves without reading the rest.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import floor
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
from txsessions.stores._postgresql_exchange import Values
from txsessions.stores._postgresql_values import number

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

Found = Record | Answer | None
Value = bytes | None

FARTHEST = 1 << 62
"""The last microsecond that a row can hold; what is later becomes this."""

HANDLE_AT, PAYLOAD_AT, KEY_AT = 7, 9, 10
"""Where in the columns of an answer these are; the key where it is asked for."""

FAR = 4e12
"""Seconds that are surely less than that, whatever the offset."""

_MARKED = round(ROTATION_MARKER * 1e6)

_log = Logger()
_head = struct.Struct("!qqq").pack
_HALF, _WHOLE = (1 << 32) - 1, (1 << 64) - 1

# Where in the columns of an answer is what a record is made of.
_NUMBERS_AT, _OTHERS_AT = (1, 2, 3, 4, 6, 8), (0, 5, HANDLE_AT, PAYLOAD_AT)
_numbers = struct.Struct("!6q").unpack

# A row that comes as one value begins with the number of its fields; before each stand
# the number of its type and its length, which is -1 for NULL.  No number but the
# version is ever NULL, so that all of them have their place.
_spaced = struct.Struct("!4x" + "8xq" * 6).unpack_from
_OTHERS_FROM = 4 + 16 * 6
# How long one is all of whose fields are NULL.
_NOTHING_THERE = 4 + 8 * 10
_length = struct.Struct("!4xi").unpack_from


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
    if not -FAR < seconds < FAR:
        return FARTHEST if seconds > 0 else -FARTHEST
    return floor(seconds * 1e6 + 0.5) + offset


def checksumOf(
    key: bytes,
    version: int,
    createdAt: int,
    principal: Value,
    handle: Value,
    payload: bytes,
) -> int:
    """
    The checksum over all of a row but its times and its epoch.
    """
    length = -1 if principal is None else len(principal)
    head = key + _head(version, createdAt, length) + (principal or b"")
    return crc32(payload, crc32(head + (handle or b"")))


def numbersOf(record: Record, offset: int) -> tuple[int, int, int, int, int]:
    """
    The numbers of a row, in this order: version, three times, checksum.
    """
    version, createdAt, touchedAt = record.version, record.createdAt, record.touchedAt
    expiresAt = record.expiresAt
    if -FAR < createdAt <= touchedAt <= expiresAt < FAR:
        # Nearly always they are in that order, and so not one is too far: what
        # instant does, without asking of each.
        created = floor(createdAt * 1e6 + 0.5) + offset
        touched = floor(touchedAt * 1e6 + 0.5) + offset
        expires = floor(expiresAt * 1e6 + 0.5) + offset
    else:
        created = instant(createdAt, offset)
        touched = instant(touchedAt, offset)
        expires = instant(expiresAt, offset)
    checksum = checksumOf(
        record.key, version, created, record.principal, record.handle, record.payload
    )
    return version, created, touched, expires, checksum


def valuesOf(record: Record, offset: int) -> Values:
    """
    The values of a row but its key: its numbers, then the payload; without who is signed
    in.
    """
    return [*map(number, numbersOf(record, offset)), record.payload]


def recordOf(
    key: bytes, numbers: tuple[int, ...], others: Sequence[Value], offset: int
) -> Record:
    """
    Make the record of a row, if it is undamaged.

    @param numbers: Three times, span, checksum and epoch.
    @param others: Version, principal, handle and payload.
    @raise Damaged: It is not.
    """
    createdAt, touchedAt, expiresAt, span, checksum, epoch = numbers
    version, principal, handle, payload = others
    if version is None or payload is None:
        raise Damaged
    counted = int.from_bytes(version, "big", signed=True)
    found = checksumOf(key, counted, createdAt, principal, handle, payload)
    # The epoch, of four bytes as it stands there, and the checksum.
    sealed = (epoch & _HALF) << 32 | found
    if sealed != checksum & _WHOLE or expiresAt - touchedAt != span:
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


def _tellDamaged(key: bytes) -> None:
    """
    Tell the operator of a damaged row.  It stays where it is.
    """
    _log.error(
        "The stored record of session {tag} is damaged: its checksum does not "
        "match. It is treated as absent and left where it is",
        tag=tagOf(key),
    )


def readable(key: bytes, result: PGresult, row: int, offset: int) -> Record | None:
    """
    Make the record of a row that came as columns; tell the operator of a damaged one.

    @return: L{None} if it is damaged.
    """
    get = result.get_value
    try:
        numbers = _numbers(b"".join([get(row, at) or b"" for at in _NUMBERS_AT]))
        others = [get(row, at) for at in _OTHERS_AT]
        return recordOf(key, numbers, others, offset)
    except (Damaged, struct.error):
        _tellDamaged(key)
        return None


def _othersOf(composite: bytes) -> list[Value]:
    """
    What stands behind the numbers of a row that came as one value: version,
    principal, handle and payload.
    """
    others: list[Value] = []
    place = _OTHERS_FROM
    while place < len(composite):
        (length,) = _length(composite, place)
        place += 8
        if length < 0:
            others.append(None)
        else:
            others.append(composite[place : place + length])
            place += length
    return others


About = tuple[bytes, int, int]
"""What is known of a load: the key; when it was asked, by the server's clock; and how far
that is ahead."""


def found(result: PGresult, about: About) -> Found:
    """
    Read the answer to a load.
    """
    return foundIn(result.get_value(0, 0), about) if result.ntuples else None


def foundIn(composite: Value, about: About) -> Found:
    """
    Read what a load was answered, or one of several that were asked together.
    """
    if composite is None:
        return UNCHANGED
    if len(composite) == _NOTHING_THERE:
        return None
    key, present, offset = about
    numbers, others = _spaced(composite), _othersOf(composite)
    if others[0] is not None:
        try:
            return recordOf(key, numbers, others, offset)
        except Damaged:
            _tellDamaged(key)
            return None
    if others[-1] == NOTHING:
        return DELETED
    # Earlier versions did not say when they made a marker.
    return FORMER if 0 < numbers[0] <= present - _MARKED else ROTATED


__all__ = [
    "FAR",
    "FARTHEST",
    "HANDLE_AT",
    "KEY_AT",
    "PAYLOAD_AT",
    "Damaged",
    "Found",
    "Value",
    "checksumOf",
    "found",
    "foundIn",
    "instant",
    "numbersOf",
    "readable",
    "recordOf",
    "valuesOf",
]
