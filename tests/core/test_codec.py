"""
Tests for L{txsessions.core.codec}: what is plain data, and that it comes back.
"""

from __future__ import annotations

import collections
import enum
import math
import struct
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_scalars import Somewhere, exactly, scalars
from txsessions.core.codec import (
    BACK_REFERENCE,
    LIMITS,
    Limits,
    decodeValue,
    encodeValue,
)
from txsessions.errors import CannotBeKept, SessionTooLarge

atoms = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()
)
keys = st.recursive(
    st.one_of(atoms, scalars),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3)
    ),
    max_leaves=4,
)
values = st.recursive(
    st.one_of(atoms, scalars),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(keys, max_size=4),
        st.frozensets(keys, max_size=4),
        st.dictionaries(st.text(), inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=12,
)


def shape(value: Any) -> object:
    """
    All that counts of a value, in a form in which C{==} sees every difference:
    types, NaN, signs of zeros, the order of dicts.
    """
    if type(value) is float:
        return float, struct.pack(">d", value)
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(shape(item)) for item in value)
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    return exactly(value)


def nested(levels: int) -> list[Any]:
    """
    Make lists within lists.
    """
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


class RoundTripTests(SynchronousTestCase):
    """
    Plain data come back as they were.
    """

    @settings(deadline=None, max_examples=150)
    @given(values)
    def test_exact(self, value: object) -> None:
        """
        Every value comes back with all its types, and equal bytes come of it.
        """
        data = encodeValue(value)
        back = decodeValue(data)
        self.assertEqual(shape(back), shape(value))
        self.assertEqual(encodeValue(back), data)

    def test_bytes(self) -> None:
        """
        The bytes never change: every stored session would be written anew.
        """
        for value, data in (
            (None, "c0"),
            (True, "c3"),
            (-1, "ff"),
            (2**63, "cf8000000000000000"),
            (2**64, "c70901010000000000000000"),
            (1.5, "cb3ff8000000000000"),
            ("é", "a2c3a9"),
            (b"\xff", "c401ff"),
            ([], "90"),
            ((), "91c70010"),
            ({2, 1}, "93c700110102"),
            (frozenset({"a"}), "92c70012a161"),
            ({"a": 1, b"b": 2, 3: None}, "83a16101c401620203c0"),
            ({(1,): 2}, "93c7001392c700100102"),
            ((2**63,), "92c70010cf8000000000000000"),
            ((2**64 - 1,), "92c70010cfffffffffffffffff"),
            ((-(2**63),), "92c70010d38000000000000000"),
            ((2**64,), "92c70010c70901010000000000000000"),
        ):
            self.assertEqual(encodeValue(value).hex(), data, value)
            self.assertEqual(shape(decodeValue(bytes.fromhex(data))), shape(value))

    def test_twins(self) -> None:
        """
        Values that Python or people take for equal stay apart.
        """
        twins = [1, True, 1.0, "1", b"1", (1,), [1], "e\u0301", "é", 0.0, -0.0]
        self.assertEqual(len({encodeValue(value) for value in twins}), len(twins))
        for key in (0, False, None, "", b"", 0.0, (), UUID(int=0), 10**30):
            back = decodeValue(encodeValue({key: "x"}))
            assert isinstance(back, dict)
            self.assertEqual([shape(key) for key in back], [shape(key)])

    def test_extremes(self) -> None:
        """
        Integers of any size and every float are exact.
        """
        for value in (10**4301, -(10**4301), -0.0, math.inf, -math.inf, 5e-324):
            self.assertEqual(shape(decodeValue(encodeValue(value))), shape(value))
        back = decodeValue(encodeValue(math.nan))
        assert isinstance(back, float)
        self.assertTrue(math.isnan(back))

    def test_setOrder(self) -> None:
        """
        A set's members are written in the same order however it came about.
        """
        # Numbers that are alike to a hash table of this size collide, so that
        # the set goes through them in the order in which they came.
        numbers = [number * 1024 for number in range(50)]
        one, other = set(numbers), set(range(49 * 1024, -1, -1024))
        self.assertNotEqual(list(one), list(other))
        self.assertEqual(encodeValue({"s": one}), encodeValue({"s": other}))

    def test_longWay(self) -> None:
        """
        One value beyond MessagePack's does not change how the others are
        written.
        """
        value = {"cart": [{"id": 7, "tags": ["a", b"b", None, 1.5]}], "é": -5}
        short = encodeValue(value)
        long = encodeValue((value,))
        self.assertEqual(long, b"\x92\xc7\x00\x10" + short)


class RefusalTests(SynchronousTestCase):
    """
    What cannot be kept is refused, by name.
    """

    def refused(self, value: object, where: str, reason: str, **more: Any) -> None:
        """
        Check that a value is refused, where, and why.
        """
        error = self.assertRaises(CannotBeKept, encodeValue, value, "session", **more)
        self.assertEqual(error.where, where)
        self.assertIn(reason, error.reason)

    def test_notPlain(self) -> None:
        """
        Subclasses of the plain types are not plain, nor is anything else.
        """

        class Colour(enum.IntEnum):
            """
            An integer of the application's.
            """

            RED = 1

        for value, name in (
            (collections.OrderedDict(), "collections.OrderedDict"),
            (Colour.RED, "Colour"),
            (bytearray(b"x"), "builtins.bytearray"),
            (memoryview(b"x"), "builtins.memoryview"),
            (1j, "builtins.complex"),
            (object(), "builtins.object"),
            (int, "builtins.type"),
            (len, "builtins.builtin_function_or_method"),
        ):
            self.refused(value, "session", f"{name} is neither plain data nor")

    def test_where(self) -> None:
        """
        The error tells the way to the value.
        """
        self.refused(
            {"cart": [1, 2, {"x": (object(),)}]},
            "session['cart'][2]['x'][0]",
            "object",
        )
        self.refused({b"k": {5: {2.5: {object()}}}}, "session[b'k'][5][a float][0]", "")
        self.refused({(1, object()): 1}, "session (a key)[1]", "object")
        self.refused({10**5000: object()}, "session[a int]", "object")
        self.refused({"k" * 100: object()}, f"session['{'k' * 40}']", "object")

    def test_afterwards(self) -> None:
        """
        The way is right too after other containers have been left.
        """
        self.refused([[1, (2,)], {"a": (1,)}, object()], "session[2]", "object")

    def test_surrogates(self) -> None:
        """
        A lone surrogate is refused, in a text and in a key.
        """
        self.refused("\ud800", "session", "surrogate")
        self.refused(["é", "\udfff"], "session[1]", "surrogate")
        self.refused({"a": {"\ud800": 1}}, "session['a'] (a key)", "surrogate")
        self.refused({"\ud800": object()}, "session (a key)", "surrogate")

    def test_depth(self) -> None:
        """
        As many levels as the limit allows come back; one more is refused, of
        whatever containers.
        """
        deepest = nested(LIMITS.depth)
        self.assertEqual(decodeValue(encodeValue(deepest)), deepest)
        for levels in (LIMITS.depth + 1, 500, 1000, 100_000):
            self.refused(
                nested(levels), "session" + "[0]" * 32, "33 levels deep, and 32 may be"
            )
        mixed: Any = {"d": ()}
        for _ in range(10):
            mixed = {"d": (frozenset([(1,)]), [mixed])}
        self.assertEqual(decodeValue(encodeValue(mixed)), mixed)
        self.refused(
            [mixed], "session[0]" + "['d'][1][0]" * 10 + "['d']", "levels deep"
        )

    def test_itself(self) -> None:
        """
        What contains itself is refused.
        """
        value: list[Any] = []
        value.append(value)
        self.refused(value, "session" + "[0]" * 32, "does it contain itself?")
        table: dict[str, Any] = {}
        table["self"] = (table,)
        self.refused(table, "session" + "['self'][0]" * 16, "does it contain itself?")

    def test_keys(self) -> None:
        """
        A dict may have as many keys as the limit says.
        """
        most: dict[Any, Any] = {str(number): number for number in range(1000)}
        self.assertEqual(decodeValue(encodeValue(most)), most)
        most[(1,)] = 1
        self.refused({"k": most}, "session['k']", "1001 keys, and 1000 may be")
        del most["0"]
        self.assertEqual(decodeValue(encodeValue(most)), most)
        most["0"] = 0
        del most[(1,)]
        most["more"] = 1
        self.refused(most, "session", "1001 keys, and 1000 may be")

    def test_values(self) -> None:
        """
        More values than there could be room for are not even written, be they
        there or only referred to many times.
        """
        shared: list[Any] = [0] * 8
        for _ in range(30):
            shared = [shared, shared]
        for value in ([0] * 65537, {0: [(), *[0] * 65536]}, shared, (shared,)):
            error = self.assertRaises(SessionTooLarge, encodeValue, value)
            self.assertGreater(error.size, 65536)
            self.assertEqual(error.limit, 65536)
        full = [0] * 65536
        self.assertEqual(decodeValue(encodeValue(full)), full)

    def test_ownLimits(self) -> None:
        """
        Other limits may be given.
        """
        self.refused([[1]], "session[0]", "2 levels", limits=Limits(depth=1))
        self.refused({1: 1}, "session", "1 keys", limits=Limits(keys=0))
        self.assertRaises(SessionTooLarge, encodeValue, [1, 2], limits=Limits(values=1))

    def test_zone(self) -> None:
        """
        A time without an offset from UTC is refused where it stands.
        """
        moment = datetime(2026, 7, 31, tzinfo=Somewhere(None))
        self.refused({"at": moment}, "session['at']", "no offset from UTC")
        self.assertEqual(
            decodeValue(encodeValue(moment.replace(tzinfo=timezone.utc))),
            moment.replace(tzinfo=timezone.utc),
        )


class Cart:
    """
    A class of an application.
    """

    def __init__(self, **attributes: object) -> None:
        """
        Take the attributes.
        """
        self.__dict__.update(attributes)


def reduce(value: object) -> Any:
    """
    Take a L{Cart} apart, at version 3; the class L{Cart} stands for the
    session.
    """
    if value is Cart:
        return BACK_REFERENCE
    return ("shop.Cart", 3, vars(value)) if isinstance(value, Cart) else None


class ObjectTests(SynchronousTestCase):
    """
    Objects go in and come out through what the caller gives.
    """

    def test_roundTrip(self) -> None:
        """
        An object is the name and version of its class, and its state; its back
        reference is what the reader says.
        """
        inner = Cart(n=(1, 2))
        data = encodeValue({"cart": Cart(items=[inner], back=Cart)}, reduce=reduce)
        made: list[tuple[str, int, object]] = []

        def restore(name: str, version: int, state: object) -> object:
            """
            Note what was asked for.
            """
            made.append((name, version, state))
            return "restored"

        self.assertEqual(decodeValue(data, restore, "me"), {"cart": "restored"})
        self.assertEqual(
            made,
            [
                ("shop.Cart", 3, {"n": (1, 2)}),
                ("shop.Cart", 3, {"items": ["restored"], "back": "me"}),
            ],
        )

    def test_stateOfAnyKind(self) -> None:
        """
        A state need not be a dict.
        """
        for state in (None, 5, "x", (1,), [2], {(1,): 2}):
            data = encodeValue(Cart(), reduce=lambda _, state=state: ("C", 0, state))
            back = decodeValue(data, lambda *made: made)
            self.assertEqual(back, ("C", 0, state))

    def test_asKey(self) -> None:
        """
        An object may be a key or a member of a set, if what is made of it may.
        """
        data = encodeValue({Cart(a=1): {Cart(b=2)}}, reduce=reduce)
        back = decodeValue(data, lambda name, version, state: str(state))
        self.assertEqual(back, {"{'a': 1}": {"{'b': 2}"}})
        self.assertRaises(
            ValueError, decodeValue, data, lambda name, version, state: state
        )

    def test_noRestore(self) -> None:
        """
        Without the means to make objects there may be none.
        """
        data = encodeValue([Cart()], reduce=reduce)
        error = self.assertRaises(ValueError, decodeValue, data)
        self.assertIn("object", str(error))

    def test_restoreRaises(self) -> None:
        """
        What C{restore} raises is passed on.
        """

        def restore(name: str, version: int, state: object) -> object:
            """
            Know no class.
            """
            raise LookupError(name)

        data = encodeValue([Cart()], reduce=reduce)
        self.assertRaises(LookupError, decodeValue, data, restore)

    def test_where(self) -> None:
        """
        Attributes of objects are named as such.
        """
        for value, where in (
            (Cart(items=[object()]), "session.items[0]"),
            ({"c": Cart(**{"no name": object()})}, "session['c']['no name']"),
            (Cart(x={"y": object()}), "session.x['y']"),
            (Cart(**{"v" * 50: object()}), "session." + "v" * 40),
        ):
            error = self.assertRaises(
                CannotBeKept, encodeValue, value, "session", reduce
            )
            self.assertEqual(error.where, where)

    def test_badVersion(self) -> None:
        """
        The version of a class is a number.
        """
        for version in (-1, 2**63, "1", None, True):
            error = self.assertRaises(
                CannotBeKept,
                encodeValue,
                Cart(),
                "session",
                lambda _, version=version: ("C", version, None),
            )
            self.assertIn("persistenceVersion of tests.core", error.reason)

    def test_itself(self) -> None:
        """
        An object that contains itself is refused.
        """
        cart = Cart()
        cart.__dict__["me"] = cart
        error = self.assertRaises(CannotBeKept, encodeValue, cart, "s", reduce)
        self.assertIn("does it contain itself?", error.reason)

    def test_changedMeanwhile(self) -> None:
        """
        Taking an object apart may change the container that it stands in.
        """
        table: dict[str, object] = {"a": Cart(), "b": Cart()}
        items: list[object] = [Cart(), table]

        def growing(value: object) -> Any:
            """
            Add to the containers.
            """
            table[f"more{len(table)}"] = 1
            items.append(2)
            return ("C", 0, None)

        back = decodeValue(encodeValue(items, reduce=growing), lambda *made: 0)
        self.assertEqual(back, [0, {"a": 0, "b": 0, "more2": 1}])

    def test_reducedDepth(self) -> None:
        """
        An object counts as a level, and its state as another.
        """
        value: Any = None
        for _ in range(16):
            value = Cart(inner=value)
        data = encodeValue(value, reduce=reduce)
        decodeValue(data, lambda *made: None)
        self.assertRaises(CannotBeKept, encodeValue, [value], "s", reduce)
