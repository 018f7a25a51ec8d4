"""
Changing bytes: a change is a few small numbers, so that Hypothesis can draw and shrink
it, and a source of chance can make it quickly.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from tests.fuzz.target import Target

Step = tuple[int, int, int, int]
"""Which change, where, how much, and what: numbers of any size."""

LONGEST = 16_384
"""No input is made longer than this, in bytes: as long as Twisted takes a header."""

WIDE = 1 << 16
"""The numbers of a step are below this."""

_NUMBERS = (0, 1, -1, 16, 31, 32, 63, 64, 127, 128, 255, 256, 1000, 1001, 65535, 65536)
_LARGE = (2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**19, 10**400)
_DIGITS = re.compile(rb"-?[0-9]+")


def _flip(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Change one bit.
    """
    if data:
        data[at % len(data)] ^= 1 << much % 8


def _set(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Put one byte in the place of another.
    """
    if data:
        data[at % len(data)] = much % 256


def _add(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Add to one byte, or take from it: sizes stand there.
    """
    if data:
        data[at % len(data)] = (data[at % len(data)] + much % 9 - 4) % 256


def _insert(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Put a byte in.
    """
    data.insert(at % (len(data) + 1), much % 256)


def _put(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Put a piece in.
    """
    at %= len(data) + 1
    data[at:at] = what


def _replace(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Put a piece over what is there.
    """
    at %= len(data) + 1
    data[at : at + len(what)] = what


def _drop(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Take some bytes out.
    """
    at %= len(data) + 1
    del data[at : at + 1 + much % 16]


def _cut(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Drop one end.
    """
    at %= len(data) + 1
    if much % 2:
        del data[at:]
    else:
        del data[:at]


def _double(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Have some bytes twice.
    """
    at %= len(data) + 1
    data[at:at] = data[at : at + 1 + much % 64]


def _carry(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Have some bytes elsewhere too.
    """
    at %= len(data) + 1
    there = much % (len(data) + 1)
    data[there:there] = data[at : at + 1 + (at ^ much) % 64]


def _stretch(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Repeat a piece very often: this is what slow readers are slow with.
    """
    at %= len(data) + 1
    data[at:at] = what * (much % 1024)


def _count(data: bytearray, at: int, much: int, what: bytes) -> None:
    """
    Put another number in the place of one that is written in digits.
    """
    found = [*_DIGITS.finditer(data)]
    if found:
        number = found[at % len(found)]
        known = (*_NUMBERS, *_LARGE, int(number[0][:18].rstrip(b"-")) + 1)
        data[slice(*number.span())] = b"%d" % known[much % len(known)]


_CHANGES: tuple[Callable[[bytearray, int, int, bytes], None], ...] = (
    _flip,
    _set,
    _add,
    _insert,
    _put,
    _replace,
    _drop,
    _cut,
    _double,
    _carry,
    _count,
    _stretch,
)


def mutate(data: bytes, steps: Sequence[Step], pieces: Sequence[bytes]) -> bytes:
    """
    Change bytes.

    @param pieces: What may be put in.
    """
    changed = bytearray(data)
    for which, at, much, what in steps:
        piece = pieces[what % len(pieces)]
        _CHANGES[which % len(_CHANGES)](changed, at, much, piece)
    return bytes(changed[:LONGEST])


_numbers = st.integers(0, WIDE - 1)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """
    Have Hypothesis make inputs for a target.
    """
    return st.builds(
        mutate,
        st.sampled_from(target.seeds) | target.more,
        st.lists(st.tuples(_numbers, _numbers, _numbers, _numbers), max_size=4),
        st.just((*target.pieces, *target.seeds)),
    )


def chosen(chance: random.Random, count: int) -> list[Step]:
    """
    Choose some steps.  Those at the end of the list of changes, that change most, are
    rare.
    """
    return [
        (
            min(chance.randrange(len(_CHANGES)), chance.randrange(2 * len(_CHANGES))),
            chance.randrange(WIDE),
            chance.randrange(WIDE),
            chance.randrange(WIDE),
        )
        for _ in range(count)
    ]


__all__ = ["LONGEST", "Step", "chosen", "inputs", "mutate"]
