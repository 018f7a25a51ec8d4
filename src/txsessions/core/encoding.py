"""
From values to bytes.

Owns how a value is turned into what MessagePack can write, and how a value that
cannot be kept is named.  Knows no class of an application: what an object is
made of, it asks.  The form of the bytes is described in
L{txsessions.core.codec}.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, Literal, NoReturn

from msgspec import Raw
from msgspec.msgpack import Encoder, Ext

from txsessions.core.plain import (
    BACK_CODE,
    BACK_REFERENCE,
    FROZENSET,
    LIMITS,
    OBJECT,
    PAIRS,
    SCALARS,
    SET,
    TUPLE,
    Limits,
    Marker,
    countDown,
)
from txsessions.core.scalars import NoSuchScalar, packScalar
from txsessions.errors import CannotBeKept, SessionTooLarge

Reduced = tuple[str, int, object] | Literal[Marker.BACK_REFERENCE] | None
"""What an object is made of: the name and the version of its class, and its
state; or the back reference; or L{None}, for it cannot be kept."""

Reduce = Callable[[object], Reduced]
"""Takes an object apart."""

_SHOWN: Final = 40
"""How much of a key an error shows, in characters."""

_toBytes = Encoder().encode
encodeScalar: Final[Callable[[object], bytes]] = _toBytes
"""Writes what is known to be in L{SCALARS} as L{encodeValue} would.  It raises
C{OverflowError} for an integer of more than 64 bits and C{UnicodeEncodeError} for a lone
surrogate."""


def encodePlain(value: object, limits: Limits = LIMITS) -> bytes | None:
    """
    Write a value as bytes, if all in it is what MessagePack knows.

    @return: As L{encodeValue} would write it; L{None} if that takes more.
    """
    if (
        type(value) in SCALARS
        or countDown(value, limits, limits.depth, limits.values) >= 0
    ):
        try:
            return _toBytes(value)
        except (OverflowError, UnicodeEncodeError):
            pass
    return None


def encodeValue(
    value: object,
    where: str = "",
    reduce: Reduce | None = None,
    limits: Limits = LIMITS,
) -> bytes:
    """
    Write a value as bytes.

    @param value: Plain data: None, bool, int, float, str, bytes, list, tuple,
        set, frozenset, dict, datetime, date, time, timedelta and UUID, of
        exactly these types.  An aware datetime keeps its offset from UTC, not
        its zone.  What is referred to twice is written twice.
    @param where: What the program calls the value, for errors.
    @param reduce: Is asked about anything else.
    @return: The same bytes for equal values whose dicts have the same order.
    @raise CannotBeKept: Something in it is not plain, or it is too deep.
    @raise SessionTooLarge: It has more values than could fit.
    """
    encoded = encodePlain(value, limits)
    if encoded is not None:
        return encoded
    # The long way writes it, or says where it is wrong.
    return _toBytes(_Encoding(where, reduce, limits).plain(value, 0))


class _Encoding:
    """
    One value on its way to bytes.

    @ivar path: The way to what is being written: how each step looks, and the
        key.
    @ivar left: How many values may still come.
    """

    def __init__(self, where: str, reduce: Reduce | None, limits: Limits) -> None:
        """
        Start at the outermost value.
        """
        self.where = where
        self.reduce = reduce
        self.limits = limits
        self.left = limits.values
        self.path: list[tuple[str, object]] = []

    def plain(self, value: Any, depth: int) -> object:
        """
        Turn a value into what MessagePack can write.

        @param depth: How many containers it stands in.
        """
        kind = type(value)
        if kind in SCALARS:
            return self.scalar(value)
        if kind is dict:
            return self.mapping(value, depth + 1, "[]")
        if kind is list:
            return self.members(value, depth + 1)
        if kind is tuple:
            return [Ext(TUPLE, b""), *self.members(value, depth + 1)]
        if kind is set or kind is frozenset:
            mark = Ext(SET if kind is set else FROZENSET, b"")
            written = sorted(map(_toBytes, self.members(value, depth + 1)))
            return [mark, *map(Raw, written)]
        try:
            scalar = packScalar(value)
        except NoSuchScalar as error:
            self.refuse(str(error))
        return self.reduced(value, depth + 1) if scalar is None else scalar

    def scalar(self, value: object) -> object:
        """
        Pass a scalar on, if MessagePack can write it.
        """
        if type(value) is int and not -(2**63) <= value < 2**64:
            return packScalar(value)
        if type(value) is str and not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                self.refuse("it holds a lone surrogate, which is no character")
        return value

    def members(self, value: Collection[object], depth: int) -> list[object]:
        """
        Turn the members of a list, tuple or set.
        """
        self.enter(len(value), depth)
        return [
            self.step("[]", index, member, depth)
            # A copy, since taking objects apart runs code that may change it.
            for index, member in enumerate(list(value))
        ]

    def mapping(self, value: dict[object, object], depth: int, form: str) -> object:
        """
        Turn a dict.

        @param form: How its keys look in the way to its values, C{"[]"} for
            items or C{"."} for attributes.
        """
        self.enter(len(value), depth)
        if len(value) > self.limits.keys:
            self.refuse(f"it has {len(value)} keys, and {self.limits.keys} may be")
        pairs = [
            (
                self.step("key", key, key, depth),
                self.step(form, key, member, depth),
            )
            for key, member in list(value.items())
        ]
        if all(type(key) in SCALARS for key, _ in pairs):
            return dict(pairs)
        return [Ext(PAIRS, b""), *(part for pair in pairs for part in pair)]

    def reduced(self, value: object, depth: int) -> object:
        """
        Turn what is no plain data, by asking what it is made of.
        """
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}"
        reduced = None if self.reduce is None else self.reduce(value)
        if reduced is None:
            self.refuse(f"{name} is neither plain data nor a class that is kept")
        if reduced is BACK_REFERENCE:
            return Ext(BACK_CODE, b"")
        self.enter(3, depth)
        called, version, state = reduced
        if type(version) is not int or not 0 <= version < 2**63:
            self.refuse(f"the persistenceVersion of {name} is no version number")
        if type(state) is dict:
            made = self.mapping(state, depth + 1, ".")
        else:
            made = self.plain(state, depth)
        return [Ext(OBJECT, b""), self.scalar(called), version, made]

    def step(self, form: str, key: object, value: object, depth: int) -> object:
        """
        Turn one value within a container, and know where it is meanwhile.
        """
        self.path.append((form, key))
        made = self.plain(value, depth)
        self.path.pop()
        return made

    def enter(self, count: int, depth: int) -> None:
        """
        Check the limits on the way into a container.

        @param count: How many values it has.
        @param depth: Its level; the outermost is 1.
        """
        if depth > self.limits.depth:
            self.refuse(
                f"it stands {depth} levels deep, and {self.limits.depth} may be; "
                "does it contain itself?"
            )
        self.left -= count
        if self.left < 0:
            raise SessionTooLarge(
                "", self.limits.values - self.left, self.limits.values
            )

    def refuse(self, reason: str) -> NoReturn:
        """
        Say that the value at the end of the path cannot be kept.
        """
        steps = [_show(form, key) for form, key in self.path]
        raise CannotBeKept(self.where + "".join(steps), reason)


def _show(form: str, key: object) -> str:
    """
    Show one step of the way to people, in short.

    @param form: C{"[]"} for an item, C{"."} for an attribute, C{"key"} for the
        key itself.
    """
    if form == "key":
        return " (a key)"
    if type(key) is str or type(key) is bytes:
        shown = repr(key[:_SHOWN])
    elif type(key) is int and abs(key) < 2**64:
        shown = repr(key)
    else:
        shown = f"a {type(key).__name__}"
    if form == "." and type(key) is str and key.isidentifier():
        return f".{key[:_SHOWN]}"
    return f"[{shown}]"


__all__ = ["Reduce", "Reduced", "encodePlain", "encodeValue"]
