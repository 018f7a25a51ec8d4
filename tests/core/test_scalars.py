"""
Tests for L{txsessions.core.scalars}.
"""

from __future__ import annotations

import struct
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.msgpack import Ext
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.scalars import (
    DATE,
    DATETIME,
    INT,
    TIME,
    TIMEDELTA,
    UUID_CODE,
    NoSuchScalar,
    packScalar,
    unpackScalar,
)

offsets = st.timedeltas(
    min_value=timedelta(hours=-24, microseconds=1),
    max_value=timedelta(hours=24, microseconds=-1),
).map(timezone)
folds = st.sampled_from([0, 1])
times = st.builds(
    lambda moment, fold: moment.replace(fold=fold),
    st.times(timezones=st.none() | offsets),
    folds,
)
datetimes = st.builds(
    lambda moment, fold: moment.replace(fold=fold),
    st.datetimes(timezones=st.none() | offsets),
    folds,
)
largeInts = st.integers(min_value=2**64) | st.integers(max_value=-(2**63) - 1)
scalars = st.one_of(
    largeInts, datetimes, times, st.dates(), st.timedeltas(), st.uuids()
)


class Somewhere(tzinfo):
    """
    A zone whose offset is as given, whatever the time.
    """

    def __init__(self, offset: timedelta | None) -> None:
        """
        Take the offset.
        """
        self.offset = offset

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """
        Give the offset.
        """
        return self.offset


def packed(value: object) -> Ext:
    """
    Pack what is a scalar for sure.
    """
    ext = packScalar(value)
    assert ext is not None
    return ext


def exactly(value: Any) -> tuple[object, ...]:
    """
    All that counts of a scalar, beyond what C{==} compares.
    """
    if isinstance(value, (datetime, time)):
        return type(value), value, value.fold, value.utcoffset()
    return type(value), value


class RoundTripTests(SynchronousTestCase):
    """
    What is packed comes back.
    """

    @settings(deadline=None)
    @given(scalars)
    def test_exact(self, value: object) -> None:
        """
        Every scalar comes back as the same value of the same type.
        """
        ext = packed(value)
        self.assertEqual(exactly(unpackScalar(ext.code, ext.data)), exactly(value))

    def test_bytes(self) -> None:
        """
        The bytes never change: stored sessions would be lost.
        """
        for value, code, data in (
            (2**64, INT, "010000000000000000"),
            (-(2**63) - 1, INT, "ff7fffffffffffffff"),
            (2**71 - 1, INT, "7fffffffffffffffff"),
            (2**71, INT, "00800000000000000000"),
            (-(2**71), INT, "800000000000000000"),
            (-(2**71) - 1, INT, "ff7fffffffffffffffff"),
            (date(2026, 7, 31), DATE, "07ea071f"),
            (time(23, 59, 58, 7), TIME, "173b3a0000000700"),
            (
                datetime(2026, 7, 31, 1, 2, 3, 4, timezone(timedelta(hours=-1))),
                DATETIME,
                "07ea071f0102030000000400ffffffff296c5c00",
            ),
            (timedelta(days=-1, seconds=2), TIMEDELTA, "ffffffff0000000200000000"),
            (UUID(int=5), UUID_CODE, "00" * 15 + "05"),
        ):
            ext = packed(value)
            self.assertEqual((ext.code, ext.data.hex()), (code, data), value)

    def test_zone(self) -> None:
        """
        Of a time zone its offset is kept.
        """
        zone = Somewhere(timedelta(hours=2))
        moment = datetime(2026, 7, 31, tzinfo=zone)
        ext = packed(moment)
        back = unpackScalar(ext.code, ext.data)
        assert isinstance(back, datetime)
        self.assertEqual(back, moment)
        self.assertEqual(back.tzinfo, timezone(timedelta(hours=2)))

    def test_noOffset(self) -> None:
        """
        A time zone that gives no offset is refused.
        """
        error = self.assertRaises(
            NoSuchScalar, packScalar, time(1, tzinfo=Somewhere(None))
        )
        self.assertIn("no offset", str(error))

    def test_noScalar(self) -> None:
        """
        Other values, and subclasses of these types, are not packed.
        """

        class Moment(datetime):
            """
            A class of the application.
            """

        for value in (None, "x", 1.5, [], object(), True, Moment(2026, 1, 1)):
            self.assertIsNone(packScalar(value))


class RefusalTests(SynchronousTestCase):
    """
    What was not packed by us is refused.
    """

    def refused(self, code: int, data: bytes) -> None:
        """
        Check that this is refused.
        """
        self.assertRaises(ValueError, unpackScalar, code, data)

    def test_codes(self) -> None:
        """
        Other extensions are unknown.
        """
        for code in (-128, -1, 0, 7, 16, 20, 127):
            self.refused(code, b"")

    def test_ints(self) -> None:
        """
        An integer that fits 64 bits, or has a byte too many, is refused.
        """
        for data in (
            b"",
            b"\x05",
            b"\xff",
            (2**64 - 1).to_bytes(9, "big"),
            (-(2**63)).to_bytes(9, "big", signed=True),
            (2**64).to_bytes(10, "big"),
            (-(2**63) - 1).to_bytes(10, "big", signed=True),
        ):
            self.refused(INT, data)

    def test_shapes(self) -> None:
        """
        Every other length is refused.
        """
        for value in (
            date(2026, 7, 31),
            time(1),
            time(1, tzinfo=timezone.utc),
            datetime.combine(date(2026, 7, 31), time(1)),
            datetime(2026, 7, 31, tzinfo=timezone.utc),
            timedelta(1),
            UUID(int=5),
        ):
            ext = packed(value)
            for length in range(len(ext.data)):
                if type(value) in (time, datetime) and length in (8, 12):
                    continue  # That is the naive one.
                self.refused(ext.code, ext.data[:length])
            self.refused(ext.code, ext.data + b"\0")

    def test_ranges(self) -> None:
        """
        What no calendar and no clock shows is refused.
        """
        for data in ("0000071f", "07ea0d01", "07ea021e", "27100101"):
            self.refused(DATE, bytes.fromhex(data))
        for data in ("1800000000000000", "0000000000000002", "00000000ffffffff00"):
            self.refused(TIME, bytes.fromhex(data))
        self.refused(TIME, bytes(8) + struct.pack(">q", 86400 * 10**6))
        self.refused(TIME, bytes(8) + struct.pack(">q", 2**63 - 1))

    def test_spans(self) -> None:
        """
        A span that is not normalized, or longer than any, is refused.
        """
        for days, seconds, microseconds in (
            (0, 86400, 0),
            (0, -1, 0),
            (0, 0, 10**6),
            (2**31 - 1, 0, 0),
        ):
            self.refused(TIMEDELTA, struct.pack(">iiI", days, seconds, microseconds))

    @settings(deadline=None, max_examples=200)
    @given(st.integers(min_value=-128, max_value=127), st.binary(max_size=24))
    def test_anything(self, code: int, data: bytes) -> None:
        """
        Whatever is accepted is packed as it was.
        """
        try:
            value = unpackScalar(code, data)
        except ValueError:
            return
        ext = packed(value)
        self.assertEqual((ext.code, ext.data), (code, data))

    @settings(deadline=None)
    @given(scalars, st.data())
    def test_flipped(self, value: object, choose: Any) -> None:
        """
        A changed byte gives another value, or is refused.
        """
        ext = packed(value)
        data = bytearray(ext.data)
        at = choose.draw(st.integers(min_value=0, max_value=len(data) - 1))
        data[at] ^= choose.draw(st.integers(min_value=1, max_value=255))
        try:
            back = unpackScalar(ext.code, bytes(data))
        except ValueError:
            return
        self.assertNotEqual(exactly(back), exactly(value))
