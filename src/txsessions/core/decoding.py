"""
From bytes to values.

Owns what is refused of the bytes that it is given.  What it reads is data: it
imports nothing, makes no object and runs no code but the C{restore} that it is
given.  The form of the bytes is described in L{txsessions.core.codec}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import MsgspecError
from msgspec.msgpack import Decoder, Encoder, Ext

from txsessions.core.plain import (
    BACK_CODE,
    FROZENSET,
    LIMITS,
    OBJECT,
    PAIRS,
    SCALARS,
    SET,
    TUPLE,
    Limits,
    countDown,
)
from txsessions.core.scalars import unpackScalar

Restore = Callable[[str, int, object], object]
"""Makes an object of the name and version of its class and its state."""

_toBytes = Encoder().encode
_fromBytes = Decoder().decode


def decodeValue(
    data: bytes,
    restore: Restore | None = None,
    backReference: object = None,
    limits: Limits = LIMITS,
) -> object:
    """
    Read what L{encodeValue<txsessions.core.encoding.encodeValue>} wrote.

    @param data: The bytes.
    @param restore: Makes the objects; what it raises is passed on.  Without it
        there may be none.
    @param backReference: What to put where the session stood.
    @raise ValueError: These are not bytes that C{encodeValue} would write.
    """
    try:
        raw = _fromBytes(data)
        # Written again it is the same, unless it was written in another way:
        # an integer in more bytes than it takes, a key that stands twice.
        canonical = _toBytes(raw) == data
    except (MsgspecError, UnicodeError, RecursionError, TypeError):
        raise ValueError("a kept value is malformed") from None
    if not canonical:
        raise ValueError("a kept value is not written as we would")
    if type(raw) in SCALARS or countDown(raw, limits, limits.depth, len(data)) >= 0:
        return raw
    return _Decoding(restore, backReference, limits).value(raw, 0)


class _Decoding:
    """
    One value on its way from what MessagePack read.
    """

    def __init__(
        self, restore: Restore | None, backReference: object, limits: Limits
    ) -> None:
        """
        Start at the outermost value.
        """
        self.restore = restore
        self.backReference = backReference
        self.limits = limits

    def value(self, raw: Any, depth: int) -> object:
        """
        Turn what MessagePack read into what was kept.

        @param depth: How many containers it stands in.
        """
        kind = type(raw)
        if kind in SCALARS:
            return raw
        if kind is Ext:
            return self.extension(raw)
        if kind is not list and kind is not dict:
            raise ValueError(f"a kept value holds a {kind.__name__}")
        depth += 1
        if depth > self.limits.depth:
            raise ValueError("a kept value is deeper than we would write it")
        if kind is dict:
            return self.mapping(list(raw), list(raw.values()), depth)
        if raw and type(raw[0]) is Ext and raw[0].code in _MARKED:
            if raw[0].data:
                raise ValueError("a mark is not written as we would")
            return _MARKED[raw[0].code](self, raw[1:], depth)
        return [self.value(member, depth) for member in raw]

    def extension(self, raw: Ext) -> object:
        """
        Turn a scalar, or the back reference.
        """
        data = bytes(raw.data)
        if raw.code == BACK_CODE and not data:
            return self.backReference
        return unpackScalar(raw.code, data)

    def mapping(self, keys: list[Any], values: list[Any], depth: int) -> object:
        """
        Turn the keys and values of a dict.
        """
        if len(keys) > self.limits.keys:
            raise ValueError("a kept dict has more keys than we would write")
        made: dict[object, object] = {}
        for key, value in zip(keys, values, strict=True):
            _put(made.__setitem__, self.value(key, depth), self.value(value, depth))
        if len(made) != len(keys):
            raise ValueError("a kept dict has a key twice")
        return made

    def asPairs(self, raw: list[Any], depth: int) -> object:
        """
        Turn a dict that has keys beyond MessagePack's scalars.
        """
        keys, values = raw[::2], raw[1::2]
        if len(keys) != len(values) or all(type(key) in SCALARS for key in keys):
            raise ValueError("a kept dict is not written as we would")
        return self.mapping(keys, values, depth)

    def asTuple(self, raw: list[Any], depth: int) -> object:
        """
        Turn a tuple.
        """
        return tuple([self.value(member, depth) for member in raw])

    def asSet(self, raw: list[Any], depth: int) -> set[object]:
        """
        Turn a set, whose members stand in the order of their bytes.
        """
        written = [_toBytes(member) for member in raw]
        made: set[object] = set()
        for member in raw:
            _put(made.add, self.value(member, depth))
        if len(made) != len(raw) or written != sorted(written):
            raise ValueError("a kept set is not written as we would")
        return made

    def asFrozenset(self, raw: list[Any], depth: int) -> object:
        """
        Turn a frozenset.
        """
        return frozenset(self.asSet(raw, depth))

    def asObject(self, raw: list[Any], depth: int) -> object:
        """
        Turn an object, by having it made.
        """
        if len(raw) != 3 or type(raw[0]) is not str or type(raw[1]) is not int:
            raise ValueError("a kept object is not written as we would")
        if raw[1] < 0 or raw[1] >= 2**63:
            raise ValueError("a kept object has no version")
        if self.restore is None:
            raise ValueError("a kept value holds an object, where none may be")
        return self.restore(raw[0], raw[1], self.value(raw[2], depth))


_MARKED: dict[int, Callable[[_Decoding, list[Any], int], object]] = {
    TUPLE: _Decoding.asTuple,
    SET: _Decoding.asSet,
    FROZENSET: _Decoding.asFrozenset,
    PAIRS: _Decoding.asPairs,
    OBJECT: _Decoding.asObject,
}


def _put(put: Callable[..., object], *member: object) -> None:
    """
    Put a key or a member where it must be hashable.
    """
    try:
        put(*member)
    except TypeError:
        raise ValueError("a kept dict or set has an unhashable member") from None


__all__ = ["Restore", "decodeValue"]
