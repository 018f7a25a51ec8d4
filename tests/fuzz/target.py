"""
What a target is, and how one says that something is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen
from hypothesis import strategies as st


class Wrong(Exception):
    """
    What was looked at is not as promised.
    """


def demand(isSo: object, what: str) -> None:
    """
    See that something is so.

    @raise Wrong: It is not.
    """
    if not isSo:
        raise Wrong(what)


def demandSame(found: object, expected: object, what: str) -> None:
    """
    See that two things are the same.

    @raise Wrong: They are not.
    """
    if found != expected:
        raise Wrong(f"{what}: {found!r} is not {expected!r}")


@frozen(kw_only=True)
class Target:
    """
    Something that reads bytes.

    @ivar name: What the command calls it.
    @ivar check: Has bytes read, and raises where that is not as promised; whatever it
        raises is a fault.  Depends on the bytes alone.  Says in a word what became of
        them.
    @ivar seeds: Inputs to begin with, most of them good.
    @ivar pieces: What inputs are made of, more often than chance would have it.
    @ivar steps: How many instructions of ours each byte may take at most.
    @ivar fixed: How many more any input may take.
    @ivar more: Makes further inputs to begin with.
    """

    name: str
    check: Callable[[bytes], str]
    seeds: tuple[bytes, ...]
    pieces: tuple[bytes, ...]
    steps: int
    fixed: int = 3000
    more: st.SearchStrategy[bytes] = field(factory=st.nothing)


__all__ = ["Target", "Wrong", "demand", "demandSame"]
