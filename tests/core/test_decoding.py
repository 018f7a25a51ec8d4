"""
Tests for L{txsessions.core.decoding}: what is refused of hostile bytes.
"""

from __future__ import annotations

import pickle
import sys
from datetime import datetime, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.msgpack import Ext, encode
from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_codec import nested, shape, values
from txsessions.core.codec import decodeValue, encodeValue
from txsessions.core.plain import FROZENSET, OBJECT, PAIRS, SET, TUPLE


def mark(code: int) -> Ext:
    """
    The mark of a container.
    """
    return Ext(code, b"")


def restore(name: str, version: int, state: object) -> object:
    """
    Make something hashable of any object.
    """
    return (name, version, repr(state))


class Canary:
    """
    Raises where it is unpickled.
    """

    def __reduce__(self) -> Any:
        """
        Choose a function that would be noticed.
        """
        return (sys.exit, (1,))


class HostileTests(SynchronousTestCase):
    """
    Bytes that we did not write are refused, with C{ValueError} and nothing
    else.
    """

    def refused(self, data: bytes) -> None:
        """
        Check that these bytes are refused, and that the error shows none.
        """
        error = self.assertRaises(ValueError, decodeValue, data, restore, "me")
        self.assertIs(type(error), ValueError)
        self.assertIsNone(error.__cause__)
        self.assertTrue(error.__suppress_context__ or error.__context__ is None)

    def test_malformed(self) -> None:
        """
        What is no MessagePack, or claims to be longer than it is.
        """
        for data in (
            b"",
            b"\xc1",
            b"\xa3ab",
            b"\xa1\xff",
            b"\xa3\xed\xa0\x80",
            b"\xdf\xff\xff\xff\xff",
            b"\xdd\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\xc9\xff\xff\xff\xff\x01",
            b"\x81\x80\x01",
            b"\x81\x91\x80\x01",
            b"\xc7\x00\xff",
        ):
            self.refused(data)

    def test_trailing(self) -> None:
        """
        What goes on after its end.
        """
        for more in (b"\0", b"\xc0", b"\xc1", b"x" * 64):
            self.refused(encodeValue({"a": 1}) + more)

    def test_otherEncodings(self) -> None:
        """
        What is written in another way than we would, though it means the same.
        """
        for data in (
            b"\xcc\x05",
            b"\xd0\x05",
            b"\xd9\x01a",
            b"\xdc\x00\x01\x01",
            b"\xde\x00\x01\x01\x01",
            b"\xca\x3f\xc0\x00\x00",
            b"\xd4\x10\x00",
            b"\xc7\x01\x10\x00",
            b"\xc8\x00\x00\x10",
        ):
            self.refused(data)

    def test_deep(self) -> None:
        """
        What is deeper than we would write it, however deep.
        """
        for levels in (33, 500, 1000, 100_000):
            self.refused(b"\x91" * (levels - 1) + b"\x90")
            self.refused(b"\x81\x01" * levels + b"\x01")
        self.refused(encode([mark(TUPLE), nested(32)]))
        decodeValue(encode([mark(TUPLE), nested(31)]))

    def test_duplicates(self) -> None:
        """
        A key or a member that is there twice, or that Python takes for the
        same as another.
        """
        self.refused(b"\x82\xa1a\x01\xa1a\x02")
        self.refused(b"\x82\x01\x01\xc3\x02")
        self.refused(b"\x82\x01\x01\xcb\x3f\xf0\0\0\0\0\0\0\x02")
        for members in ([1, 1], [1, True], [1, 1.0], [True, 1]):
            self.refused(encode([mark(SET), *members]))
            self.refused(encode([mark(FROZENSET), *members]))
        key = [mark(TUPLE), 1]
        self.refused(encode([mark(PAIRS), key, 1, key, 2]))
        self.refused(encode([mark(PAIRS), key, 1, [mark(TUPLE), True], 2]))

    def test_order(self) -> None:
        """
        A set in another order than ours.
        """
        self.assertEqual(decodeValue(encode([mark(SET), 1, 2])), {1, 2})
        self.refused(encode([mark(SET), 2, 1]))

    def test_unhashable(self) -> None:
        """
        A member or a key that can be none.
        """
        self.refused(encode([mark(SET), []]))
        self.refused(encode([mark(SET), {}]))
        self.refused(encode([mark(PAIRS), [], 1]))
        self.refused(encode([mark(PAIRS), [mark(TUPLE), []], 1]))

    def test_pairs(self) -> None:
        """
        A dict in the long form that should have the short one, or that lacks a
        value, or has too many keys.
        """
        key = [mark(TUPLE)]
        self.assertEqual(decodeValue(encode([mark(PAIRS), key, 1])), {(): 1})
        self.refused(encode([mark(PAIRS)]))
        self.refused(encode([mark(PAIRS), "a", 1]))
        self.refused(encode([mark(PAIRS), key]))
        self.refused(encode([mark(PAIRS), key, 1, "a"]))
        many = [part for number in range(1000) for part in (number, 0)]
        self.refused(encode([mark(PAIRS), key, 1, *many]))

    def test_keys(self) -> None:
        """
        More keys in a dict than we would write, even far more.
        """
        self.refused(encode(dict.fromkeys(range(1001), 0)))
        self.refused(encode(dict.fromkeys(range(100_000), 0)))
        self.refused(encode([(), {number: [] for number in range(1001)}, mark(7)]))

    def test_tupleKeys(self) -> None:
        """
        An array as the key of a MessagePack map, which we never write.
        """
        self.refused(b"\x81\x91\x01\x01")
        self.refused(b"\x91\x81\x90\x01")

    def test_marks(self) -> None:
        """
        A mark that is not at the beginning of an array, or is not empty, or
        unknown.
        """
        for code in (TUPLE, SET, FROZENSET, PAIRS, OBJECT):
            self.refused(encode(mark(code)))
            self.refused(encode([1, mark(code)]))
            self.refused(encode({"a": mark(code)}))
            self.refused(encode([Ext(code, b"x")]))
            self.refused(encode([mark(code), mark(code)]))
        for code in (0, 21, 127, -2):
            self.refused(encode([mark(code), 1]))
        self.refused(encode(Ext(7, b"x")))

    def test_objects(self) -> None:
        """
        An object without name, version or state, or with more.
        """
        good = encode([mark(OBJECT), "C", 1, None])
        self.assertEqual(decodeValue(good, restore), ("C", 1, "None"))
        for parts in (
            [],
            ["C"],
            ["C", 1],
            ["C", 1, None, None],
            [b"C", 1, None],
            [None, 1, None],
            ["C", True, None],
            ["C", "1", None],
            ["C", 1.0, None],
            ["C", -1, None],
            ["C", 2**63, None],
            ["C", Ext(1, b"\1" + bytes(8)), None],
        ):
            self.refused(encode([mark(OBJECT), *parts]))

    def test_timestamps(self) -> None:
        """
        MessagePack's own timestamps, which we never write.
        """
        moment = datetime(2026, 7, 31, tzinfo=timezone.utc)
        self.refused(encode(moment))
        self.refused(encode({"a": [moment]}))

    def test_noCode(self) -> None:
        """
        Pickles, names of classes and the like are data or refused; nothing is
        run, and nothing imported.
        """
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            self.refused(pickle.dumps(Canary(), protocol))
        self.refused(b'{"a": 1}')
        self.refused(b"!!python/object/apply:os.system ['true']")
        before = set(sys.modules)
        plain = {"__class__": "os.system", "\0__proto__": {"__reduce__": "this"}}
        self.assertEqual(decodeValue(encodeValue(plain)), plain)
        decodeValue(encode([mark(OBJECT), "antigravity.x", 1, {}]), restore)
        self.assertEqual(set(sys.modules) - before, set())
        self.assertNotIn("antigravity", sys.modules)

    @settings(deadline=None, max_examples=150)
    @given(st.binary(max_size=64))
    def test_anything(self, data: bytes) -> None:
        """
        What is accepted of random bytes is written so again.
        """
        try:
            value = decodeValue(data)
        except ValueError:
            return
        self.assertEqual(encodeValue(value), data)

    @settings(deadline=None, max_examples=200)
    @given(values, st.data())
    def test_changed(self, value: object, choose: Any) -> None:
        """
        A changed byte gives another value, or is refused.
        """
        data = bytearray(encodeValue(value))
        at = choose.draw(st.integers(min_value=0, max_value=len(data) - 1))
        data[at] ^= choose.draw(st.integers(min_value=1, max_value=255))
        try:
            back = decodeValue(bytes(data), restore, "me")
        except ValueError:
            return
        self.assertNotEqual(shape(back), shape(value))

    @settings(deadline=None, max_examples=100)
    @given(values, st.data())
    def test_cut(self, value: object, choose: Any) -> None:
        """
        What was cut off anywhere is refused.
        """
        data = encodeValue(value)
        self.refused(
            data[: choose.draw(st.integers(min_value=0, max_value=len(data) - 1))]
        )
