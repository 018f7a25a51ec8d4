"""
How values travel to PostgreSQL: in binary.

Owns the numbers of its types, and their form.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

BYTEA, BIGINT, BYTEAS, BIGINTS = 17, 20, 1001, 1016
"""The numbers of PostgreSQL's types."""

_array = struct.Struct("!5i").pack
_length = struct.Struct("!i").pack
number = struct.Struct("!q").pack
"""A C{bigint}."""


def arrayOf(kind: int, values: Sequence[bytes]) -> bytes:
    """
    An array.

    @param kind: The number of the type of its values.
    @param values: At least one, and all of one size.
    """
    before = _length(len(values[0]))
    return _array(1, 0, kind, len(values), 1) + before + before.join(values)


def keysOf(keys: Sequence[bytes]) -> bytes:
    """
    A C{bytea[]}, of any number of keys of any size.
    """
    if not keys:
        return struct.pack("!iii", 0, 0, BYTEA)
    parts = [_array(1, 0, BYTEA, len(keys), 1)]
    for key in keys:
        parts += (_length(len(key)), key)
    return b"".join(parts)


__all__ = ["BIGINT", "BIGINTS", "BYTEA", "BYTEAS", "arrayOf", "keysOf", "number"]
