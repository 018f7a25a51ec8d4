"""
Scalars that MessagePack has no type for: large integers, dates and UUIDs.

Owns one extension code for each type, and the bytes that stand behind it: one
way only to write each value, so that equal values are equal bytes.  Knows no
containers and no classes: see L{txsessions.core.codec}.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final
from uuid import UUID

from msgspec.msgpack import Ext

INT: Final = 1
"""An integer beyond 64 bits: two's complement, big-endian, no byte too many."""

DATETIME: Final = 2
"""A datetime, with its offset from UTC where it has one."""

DATE: Final = 3
"""A date."""

TIME: Final = 4
"""A time of day, with its offset from UTC where it has one."""

TIMEDELTA: Final = 5
"""A span of days, seconds and microseconds."""

UUID_CODE: Final = 6
"""A UUID."""

_DAY = struct.Struct(">HBB")
_CLOCK = struct.Struct(">BBBIB")
_OFFSET = struct.Struct(">q")
_SPAN = struct.Struct(">iiI")

_MICROSECOND = timedelta(microseconds=1)


class NoSuchScalar(ValueError):
    """
    The value cannot be written; the message says why, for people.
    """


def _packInt(value: int) -> bytes:
    """
    Write an integer of any size in as few bytes as it takes.
    """
    # For a negative number it is the bits of its complement that count.
    bits = (value if value >= 0 else ~value).bit_length()
    return value.to_bytes(bits // 8 + 1, "big", signed=True)


def _unpackInt(data: bytes) -> int:
    """
    Undo L{_packInt}; what fits 64 bits is not written so.
    """
    value = int.from_bytes(data, "big", signed=True)
    if -(2**63) <= value < 2**64:
        raise ValueError("an integer is written as larger than it is")
    return value


def _packOffset(value: datetime | time) -> bytes:
    """
    Write the offset from UTC, in microseconds; nothing for a naive value.
    """
    if value.tzinfo is None:
        return b""
    offset = value.utcoffset()
    if offset is None:
        raise NoSuchScalar("its time zone gives no offset from UTC for it")
    return _OFFSET.pack(offset // _MICROSECOND)


def _unpackOffset(data: bytes) -> tzinfo | None:
    """
    Undo L{_packOffset}, with a fixed offset for whatever the zone was.
    """
    if not data:
        return None
    return timezone(timedelta(microseconds=_OFFSET.unpack(data)[0]))


def _packClock(value: datetime | time) -> bytes:
    """
    Write the hours to the fold, and the offset.
    """
    clock = _CLOCK.pack(
        value.hour, value.minute, value.second, value.microsecond, value.fold
    )
    return clock + _packOffset(value)


def _unpackClock(data: bytes) -> time:
    """
    Undo L{_packClock}.
    """
    hour, minute, second, microsecond, fold = _CLOCK.unpack_from(data)
    zone = _unpackOffset(data[_CLOCK.size :])
    return time(hour, minute, second, microsecond, tzinfo=zone, fold=fold)


def _packDate(value: date) -> bytes:
    """
    Write year, month and day.
    """
    return _DAY.pack(value.year, value.month, value.day)


def _unpackDate(data: bytes) -> date:
    """
    Undo L{_packDate}.
    """
    return date(*_DAY.unpack(data))


def _packDatetime(value: datetime) -> bytes:
    """
    Write the day, then the clock.
    """
    return _packDate(value) + _packClock(value)


def _unpackDatetime(data: bytes) -> datetime:
    """
    Undo L{_packDatetime}.
    """
    return datetime.combine(
        _unpackDate(data[: _DAY.size]), _unpackClock(data[_DAY.size :])
    )


def _packSpan(value: timedelta) -> bytes:
    """
    Write a timedelta, which Python keeps normalized.
    """
    return _SPAN.pack(value.days, value.seconds, value.microseconds)


def _unpackSpan(data: bytes) -> timedelta:
    """
    Undo L{_packSpan}.
    """
    days, seconds, microseconds = _SPAN.unpack(data)
    return timedelta(days, seconds, microseconds)


def _packUuid(value: UUID) -> bytes:
    """
    Write the sixteen bytes of a UUID.
    """
    return value.bytes


def _unpackUuid(data: bytes) -> UUID:
    """
    Undo L{_packUuid}.
    """
    return UUID(bytes=data)


_PACKERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    int: (INT, _packInt),
    datetime: (DATETIME, _packDatetime),
    date: (DATE, _packDate),
    time: (TIME, _packClock),
    timedelta: (TIMEDELTA, _packSpan),
    UUID: (UUID_CODE, _packUuid),
}

_UNPACKERS: dict[int, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    INT: (_unpackInt, _packInt),
    DATETIME: (_unpackDatetime, _packDatetime),
    DATE: (_unpackDate, _packDate),
    TIME: (_unpackClock, _packClock),
    TIMEDELTA: (_unpackSpan, _packSpan),
    UUID_CODE: (_unpackUuid, _packUuid),
}


def packScalar(value: object) -> Ext | None:
    """
    Write a scalar that MessagePack has no type for.

    @param value: Anything; only these exact types count, not their subclasses.
        An integer is taken to be beyond 64 bits.
    @return: Its extension, or L{None} where the value is no such scalar.
    @raise NoSuchScalar: It is one, but cannot be written.
    """
    found = _PACKERS.get(type(value))
    if found is None:
        return None
    code, pack = found
    return Ext(code, pack(value))


def unpackScalar(code: int, data: bytes) -> object:
    """
    Read what L{packScalar} wrote.

    @raise ValueError: There is no such code, or it was written in another way
        than L{packScalar} would.
    """
    found = _UNPACKERS.get(code)
    if found is None:
        raise ValueError(f"extension {code} is not one of ours")
    unpack, pack = found
    try:
        value: object = unpack(data)
    except (struct.error, OverflowError):
        raise ValueError(f"a value of extension {code} is malformed") from None
    if pack(value) != data:
        raise ValueError(f"a value of extension {code} is not written as we would")
    return value


__all__ = [
    "DATE",
    "DATETIME",
    "INT",
    "TIME",
    "TIMEDELTA",
    "UUID_CODE",
    "NoSuchScalar",
    "packScalar",
    "unpackScalar",
]
