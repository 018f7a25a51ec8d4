"""
The codec: plain data to bytes and back, exactly.

Owns the description of the bytes, and is where the rest of the library finds
them made and read.  It knows no class of an application, no session and no
encryption.

How a value is written
======================

None, booleans, integers of 64 bits, floats, strings, bytes, lists, and dicts
whose keys are of those scalar types, are what MessagePack says.  Other scalars
are extensions (L{txsessions.core.scalars}).  Other containers are arrays whose
first item is a mark, an empty extension, which nothing else begins with:

  - tuple, set, frozenset: the mark, then the members.  Those of a set stand in
    the order of their bytes.
  - dict with other keys: the mark, then key, value, key, value.
  - object: the mark, the name and the version of its class, its state.

There is only one way to write each value and any other is refused, so that
equal bytes mean an unchanged session, and duplicate keys cannot hide.
"""

from __future__ import annotations

from txsessions.core.decoding import Restore, decodeValue
from txsessions.core.encoding import (
    Reduce,
    Reduced,
    encodePlain,
    encodeScalar,
    encodeValue,
)
from txsessions.core.plain import (
    BACK_REFERENCE,
    LIMITS,
    MAX_PAYLOAD,
    Limits,
    Marker,
)

__all__ = [
    "BACK_REFERENCE",
    "LIMITS",
    "MAX_PAYLOAD",
    "Limits",
    "Marker",
    "Reduce",
    "Reduced",
    "Restore",
    "decodeValue",
    "encodePlain",
    "encodeScalar",
    "encodeValue",
]
