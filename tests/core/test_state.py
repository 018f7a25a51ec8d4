"""
Tests for L{txsessions.core.state}.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.msgpack import encode
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.lifetime import MAX_SECONDS
from txsessions.core.signin import MAX_LEVEL, MAX_PRINCIPAL, MAX_REMEMBER, SignIn
from txsessions.core.state import (
    ATTRIBUTE,
    COMPONENT,
    MAX_PARTS,
    MAX_PAYLOAD,
    NAMESPACE,
    State,
    packState,
    partName,
    splitPart,
    unpackState,
)
from txsessions.errors import CannotBeKept, SessionTooLarge

STATE = State(
    createdAt=1_800_000_000.25,
    idle=900.0,
    lifetime=43200.0,
    secure=True,
    cookieName=b"__Host-Http-sid",
    signIn=SignIn("ann", 2, 1_800_000_100.5, b"h" * 16, "Mozilla", None),
    parts={b"nuser": b"\xa3ann", b"acart": b"\x90", b"cIFoo": b"\xc0"},
)

FIELDS: list[Any] = [
    1,
    STATE.createdAt,
    STATE.idle,
    STATE.lifetime,
    STATE.secure,
    STATE.cookieName,
    ["ann", 2, 1_800_000_100.5, b"h" * 16, "Mozilla", None],
    dict(STATE.parts),
]
"""What L{STATE} is written as."""

kinds = st.sampled_from([NAMESPACE, ATTRIBUTE, COMPONENT])
spans = st.floats(min_value=0, max_value=MAX_SECONDS, exclude_min=True)
states = st.builds(
    State,
    createdAt=st.floats(min_value=0, max_value=MAX_SECONDS),
    idle=spans,
    lifetime=spans,
    secure=st.booleans(),
    cookieName=st.binary(max_size=30),
    signIn=st.none()
    | st.builds(
        SignIn,
        st.text(min_size=1, max_size=30),
        st.integers(min_value=1, max_value=MAX_LEVEL),
        st.floats(min_value=0, max_value=MAX_SECONDS),
        st.binary(min_size=16, max_size=16),
        st.none() | st.text(max_size=30),
        st.none() | st.text(max_size=30),
        st.none() | st.integers(min_value=1, max_value=MAX_REMEMBER),
    ),
    parts=st.dictionaries(
        st.builds(partName, kinds, st.binary(max_size=20)), st.binary(max_size=50)
    ),
)


class PartTests(SynchronousTestCase):
    """
    How parts are named.
    """

    @settings(deadline=None)
    @given(kinds, st.binary())
    def test_roundTrip(self, kind: bytes, name: bytes) -> None:
        """
        A name can be taken apart again.
        """
        self.assertEqual(splitPart(partName(kind, name)), (kind, name))

    def test_different(self) -> None:
        """
        Parts of the same name and another kind are others.
        """
        self.assertEqual(
            len({partName(kind, b"n") for kind in (NAMESPACE, ATTRIBUTE, COMPONENT)}), 3
        )

    def test_refused(self) -> None:
        """
        There are no other kinds.
        """
        for kind in (b"", b"x", b"nn", b"N"):
            self.assertRaises(ValueError, partName, kind, b"name")
        for name in (b"", b"x", b"Name"):
            self.assertRaises(ValueError, splitPart, name)


class PackTests(SynchronousTestCase):
    """
    From a state to bytes.
    """

    def test_bytes(self) -> None:
        """
        The bytes never change: stored sessions would be lost.
        """
        self.assertEqual(packState(STATE), encode(FIELDS))

    def test_remembered(self) -> None:
        """
        For how long somebody is remembered stands behind what older versions wrote, and
        is not written where nobody is; neither form passes for the other.
        """
        assert STATE.signIn is not None
        state = evolve(STATE, signIn=STATE.signIn._replace(remember=60))
        fields = [*FIELDS[:6], [*FIELDS[6], 60], FIELDS[7]]
        self.assertEqual(packState(state), encode(fields))
        self.assertEqual(unpackState(encode(fields)), state)
        for wrong in (None, 0, -1, MAX_REMEMBER + 1, "1", 1.0):
            fields[6][-1] = wrong
            self.assertRaises(ValueError, unpackState, encode(fields))

    @settings(deadline=None)
    @given(states)
    def test_roundTrip(self, state: State) -> None:
        """
        Every state comes back, with its parts in their order, and is written
        the same again.
        """
        data = packState(state)
        back = unpackState(data)
        self.assertEqual(back, state)
        self.assertEqual(list(back.parts), list(state.parts))
        self.assertEqual(packState(back), data)

    def test_numbers(self) -> None:
        """
        Integers are written as the floats that they stand for, and any mapping
        will do.
        """
        state = evolve(
            STATE,
            createdAt=1_800_000_000,
            idle=900,
            lifetime=43200,
            parts=MappingProxyType(dict(STATE.parts)),
        )
        exact = evolve(STATE, createdAt=1_800_000_000.0)
        self.assertEqual(packState(state), packState(exact))
        self.assertEqual(unpackState(packState(state)), exact)

    def test_size(self) -> None:
        """
        Up to the limit it may be packed and unpacked; beyond it is refused, by
        the tag of the session.
        """
        room = MAX_PAYLOAD - len(packState(evolve(STATE, parts={b"n": b"x" * 60000})))
        state = evolve(STATE, parts={b"n": b"x" * (60000 + room)})
        data = packState(state)
        self.assertEqual(len(data), MAX_PAYLOAD)
        self.assertEqual(unpackState(data), state)
        for more in (1, MAX_PAYLOAD, 10 * MAX_PAYLOAD):
            size = 60000 + room + more
            error = self.assertRaises(
                SessionTooLarge,
                packState,
                evolve(STATE, parts={b"n": b"x" * size}),
                "0123456789abcdef",
            )
            self.assertEqual(error.tag, "0123456789abcdef")
            self.assertEqual(error.limit, MAX_PAYLOAD)
            self.assertGreater(error.size, size)

    def test_manyParts(self) -> None:
        """
        Up to a thousand parts it may be.
        """
        parts = {b"n%d" % number: b"\xc0" for number in range(MAX_PARTS)}
        state = evolve(STATE, parts=parts)
        self.assertEqual(unpackState(packState(state)), state)
        parts[b"more"] = b"\xc0"
        error = self.assertRaises(CannotBeKept, packState, state)
        self.assertIn("1001 parts, and 1000 may be", str(error))

    def test_refused(self) -> None:
        """
        What could not be read again is not written.
        """
        for change in (
            {"createdAt": -1.0},
            {"createdAt": math.nan},
            {"createdAt": math.inf},
            {"createdAt": MAX_SECONDS + 1},
            {"idle": 0.0},
            {"idle": -1.0},
            {"idle": math.nan},
            {"idle": math.inf},
            {"lifetime": 0.0},
            {"lifetime": math.nan},
            {"lifetime": 2.0**63},
            {"signIn": SignIn("", 1, 1.0, b"h" * 16)},
            {"signIn": SignIn("ann", 0, 1.0, b"h" * 16)},
            {"signIn": SignIn("ann", 1, -1.0, b"h" * 16)},
            {"parts": {b"": b""}},
            {"parts": {b"xname": b""}},
        ):
            self.assertRaises(ValueError, packState, evolve(STATE, **change))

    def test_surrogate(self) -> None:
        """
        A principal is a text.
        """
        error = self.assertRaises(
            CannotBeKept,
            packState,
            evolve(STATE, signIn=SignIn("bob\ud800", 1, 1.0, b"h" * 16)),
        )
        self.assertIn("principal", str(error))
        self.assertNotIn("bob", str(error))

    def test_shown(self) -> None:
        """
        Its representation shows neither what is in it nor who is signed in.
        """
        self.assertNotIn("ann", repr(STATE))
        self.assertNotIn("cart", repr(STATE))


class UnpackTests(SynchronousTestCase):
    """
    What L{packState} would not write is refused, all of it.
    """

    def refused(self, data: bytes) -> None:
        """
        Check that these bytes are refused, and that the error shows none.
        """
        error = self.assertRaises(ValueError, unpackState, data)
        self.assertIs(type(error), ValueError)
        self.assertNotIn("ann", str(error))

    def test_wrongTypes(self) -> None:
        """
        Each field has one type.
        """
        wrong: Any
        for index, wrong in (
            (0, 0),
            (0, 2),
            (0, "1"),
            (0, True),
            (0, 1.0),
            (1, 5),
            (1, "5"),
            (1, None),
            (2, 900),
            (3, True),
            (4, 1),
            (4, None),
            (5, "name"),
            (5, None),
            (6, b"ann"),
            (6, 5),
            (6, "ann"),
            (6, []),
            (6, ["ann", 1]),
            (6, ["ann", 1, 1.0, None]),
            (6, [b"ann", 1, 1.0]),
            (6, ["", 1, 1.0]),
            (6, ["a" * (MAX_PRINCIPAL + 1), 1, 1.0]),
            (6, ["ann", 1.0, 1.0]),
            (6, ["ann", True, 1.0]),
            (6, ["ann", 0, 1.0]),
            (6, ["ann", MAX_LEVEL + 1, 1.0]),
            (6, ["ann", 1, 1]),
            (6, ["ann", 1, None]),
            (6, ["ann", 1, -1.0]),
            (6, ["ann", 1, math.nan]),
            (6, {"principal": "ann", "level": 1, "authenticatedAt": 1.0}),
            (7, None),
            (7, []),
            (7, {"nuser": b""}),
            (7, {b"nuser": "x"}),
            (7, {b"nuser": None}),
            (7, {5: b"x"}),
        ):
            fields = list(FIELDS)
            fields[index] = wrong
            self.refused(encode(fields))

    def test_wrongFields(self) -> None:
        """
        None is missing, and none is more.
        """
        for count in range(len(FIELDS)):
            self.refused(encode(FIELDS[:count]))
        self.refused(encode([*FIELDS, None]))
        self.refused(encode({"createdAt": 1.0}))
        self.refused(encode(FIELDS[-1]))
        self.refused(encode([FIELDS]))

    def test_absurdTimes(self) -> None:
        """
        No time is negative, beyond the year 9999, or no number.
        """
        for wrong in (-1.0, math.nan, math.inf, -math.inf, MAX_SECONDS + 1, 2.0**63):
            for index in (1, 2, 3):
                fields = list(FIELDS)
                fields[index] = wrong
                self.refused(encode(fields))
        for index in (2, 3):
            fields = list(FIELDS)
            fields[index] = 0.0
            self.refused(encode(fields))

    def test_parts(self) -> None:
        """
        No part stands twice, is of an unknown kind, or one too many.
        """
        data = encode(FIELDS)
        twice = data.replace(b"\xc4\x05acart", b"\xc4\x05nuser")
        self.assertNotEqual(twice, data)
        self.refused(twice)
        for name in (b"", b"x", b"Nuser"):
            self.refused(encode([*FIELDS[:-1], {name: b"\xc0"}]))
        many = {b"n%d" % number: b"\xc0" for number in range(MAX_PARTS + 1)}
        self.refused(encode([*FIELDS[:-1], many]))

    def test_otherEncodings(self) -> None:
        """
        What means the same but is written in another way.
        """
        data = encode(FIELDS)
        for one, other in (
            (b"\x98\x01", b"\x98\xcc\x01"),
            (b"\x98\x01", b"\xdc\x00\x08\x01"),
            (b"\xa3ann\x02", b"\xd9\x03ann\x02"),
            (b"\xc4\x0f__", b"\xc5\x00\x0f__"),
            (b"ann\x02", b"ann\xcc\x02"),
            (b"\x96\xa3ann", b"\xdc\x00\x06\xa3ann"),
            (b"\x83\xc4", b"\xde\x00\x03\xc4"),
            (encode(900.0), b"\xca\x44\x61\x00\x00"),
        ):
            self.assertIn(one, data)
            self.refused(data.replace(one, other, 1))

    def test_malformed(self) -> None:
        """
        What is no MessagePack, too long, or goes on after its end.
        """
        data = encode(FIELDS)
        for length in range(len(data)):
            self.refused(data[:length])
        self.refused(data + b"\0")
        self.refused(b"\x91" * 10_000)
        self.refused(b"\xdd\xff\xff\xff\xff")
        self.refused(data.replace(b"\xa3ann", b"\xa3\xed\xa0\x80"))
        self.refused(encode([*FIELDS[:-1], {b"n": bytes(MAX_PAYLOAD)}]))

    @settings(deadline=None)
    @given(states, st.data())
    def test_changed(self, state: State, choose: Any) -> None:
        """
        A changed byte gives another state, or is refused.
        """
        data = bytearray(packState(state))
        at = choose.draw(st.integers(min_value=0, max_value=len(data) - 1))
        data[at] ^= choose.draw(st.integers(min_value=1, max_value=255))
        try:
            back = unpackState(bytes(data))
        except ValueError:
            return
        self.assertEqual(packState(back), bytes(data))
        self.assertNotEqual(packState(back), packState(state))

    @settings(deadline=None)
    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        """
        Random bytes are refused, also behind a good beginning.
        """
        self.refused(data)
        self.refused(encode(FIELDS) + b"\xc1" + data)
