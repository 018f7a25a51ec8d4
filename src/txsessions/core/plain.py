"""
What plain data is: the types that are kept as they are, and how much of them.

Owns the bounds on a value's shape, the marks of the containers that MessagePack
does not know, and the test for the values that it knows.  Knows neither how
bytes are written (L{txsessions.core.encoding}) nor how they are read
(L{txsessions.core.decoding}).
"""

from __future__ import annotations

import enum
from typing import Any, Final

from attrs import frozen

MAX_PAYLOAD: Final = 65536
"""How large the encoded state of one session may be, in bytes."""


@frozen(kw_only=True)
class Limits:
    """
    The bounds on the shape of one value.

    @ivar depth: How many containers may stand within one another.
    @ivar keys: How many keys one dict may have.
    @ivar values: How many values there may be in all.  Each takes a byte at
        least, so that more would not fit anyway; but a small list that is
        referred to from many places may stand for more values than there are
        atoms.
    """

    depth: int = 32
    keys: int = 1000
    values: int = MAX_PAYLOAD


LIMITS: Final = Limits()


class Marker(enum.Enum):
    """
    What stands for something that is not data.
    """

    BACK_REFERENCE = "back reference"
    """The session itself, as its components know it."""


BACK_REFERENCE: Final = Marker.BACK_REFERENCE

BACK_CODE: Final = 7
"""The extension that stands for L{BACK_REFERENCE}."""

TUPLE: Final = 16
"""The mark of a tuple."""

SET: Final = 17
"""The mark of a set."""

FROZENSET: Final = 18
"""The mark of a frozenset."""

PAIRS: Final = 19
"""The mark of a dict that has keys other than L{SCALARS}."""

OBJECT: Final = 20
"""The mark of an object of a class that the program named."""

SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
"""The exact types of the scalars that MessagePack knows, but for integers
beyond 64 bits."""

_areScalars = SCALARS.issuperset


def countDown(value: Any, limits: Limits, depth: int, left: int) -> int:
    """
    Tell whether MessagePack knows everything in a container, quickly: this is
    asked for each part of each session at each response.

    @param value: A container, or anything else that is not in L{SCALARS}.
    @param depth: How many levels are left, this one included.
    @param left: How many values are left.
    @return: How many values are left afterwards; below zero if there is
        something that MessagePack does not know, or that is beyond the limits.
    """
    kind = type(value)
    if kind is dict:
        if len(value) > limits.keys or not _areScalars(map(type, value)):
            return -1
        children = value.values()
    elif kind is list:
        children = value
    else:
        return -1
    left -= len(value)
    if left < 0 or depth < 1:
        return -1
    if _areScalars(map(type, children)):
        return left
    for child in children:
        if type(child) not in SCALARS:
            left = countDown(child, limits, depth - 1, left)
            if left < 0:
                return -1
    return left


__all__ = [
    "BACK_CODE",
    "BACK_REFERENCE",
    "FROZENSET",
    "LIMITS",
    "MAX_PAYLOAD",
    "OBJECT",
    "PAIRS",
    "SCALARS",
    "SET",
    "TUPLE",
    "Limits",
    "Marker",
    "countDown",
]
