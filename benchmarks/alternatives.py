"""
What is compared, and what is to be reached.

Owns the names of the alternatives and the targets.  Knows no figures and starts
nothing.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

MODES: Final = ("read", "write")
"""What a request does to its session: look at it, or change it."""

KINDS: Final = {
    "bare": "twisted.web without sessions",
    "builtin": "the sessions of twisted.web",
    "memory": "txsessions, store=None",
    "memory-store": 'txsessions, store="memory:"',
    "sqlite": "txsessions, SQLite, every commit synced (FULL)",
    "sqlite-normal": "txsessions, SQLite, durability=normal (NORMAL)",
    "redis": "txsessions, Valkey, in its memory only",
    "postgresql": "txsessions, PostgreSQL, every commit synced",
}
"""The alternatives, and what each is."""

STORES: Final = ("memory-store", "sqlite", "sqlite-normal", "redis", "postgresql")
"""Those that have a store."""

SIZES: Final = (300, 3_000, 30_000)
"""How large the state of a session is, in bytes."""

CONNECTIONS: Final = (32, 8, 1)
"""How many connections ask at once."""

CLIENTS: Final = 64
"""How many sessions there are, taken in turn."""


@frozen(order=True)
class Alternative:
    """
    One thing that is compared with the others.

    @ivar kind: One of L{KINDS}.
    @ivar mode: One of L{MODES}; C{"read"} where there is no session.
    """

    kind: str
    mode: str

    def __str__(self) -> str:
        return self.kind if self.kind == "bare" else f"{self.kind} {self.mode}"


BARE: Final = Alternative("bare", "read")

ALL: Final = (
    BARE,
    *(Alternative(kind, mode) for kind in KINDS if kind != "bare" for mode in MODES),
)
"""All of them, in the order in which they take their turns."""


@frozen(kw_only=True)
class Cell:
    """
    What one figure is about.

    @ivar size: How large the state is, in bytes.
    @ivar connections: How many connections asked.
    """

    alternative: Alternative
    size: int
    connections: int


REFERENCE: Final = 64.0
"""Microseconds of the server's CPU that a bare request took on the machine on which the
targets were set: on another, a target is the same share of what bare takes there."""


@frozen(kw_only=True)
class Target:
    """
    What an alternative may cost over bare, at most: a state of 300 bytes, 32
    connections.

    @ivar microseconds: That many, of the server's CPU, for each request, where bare
        takes L{REFERENCE}.
    @ivar overBuiltin: Whether they count from the builtin's cost in the same mode.
    """

    alternative: Alternative
    microseconds: float
    overBuiltin: bool = False


TARGETS: Final = (
    *(
        Target(
            alternative=Alternative("memory", mode), microseconds=8, overBuiltin=True
        )
        for mode in MODES
    ),
    Target(alternative=Alternative("sqlite", "read"), microseconds=15),
    Target(alternative=Alternative("sqlite-normal", "read"), microseconds=15),
    Target(alternative=Alternative("sqlite-normal", "write"), microseconds=45),
    Target(alternative=Alternative("sqlite", "write"), microseconds=75),
    Target(alternative=Alternative("redis", "read"), microseconds=20),
    Target(alternative=Alternative("redis", "write"), microseconds=35),
    Target(alternative=Alternative("postgresql", "read"), microseconds=20),
    Target(alternative=Alternative("postgresql", "write"), microseconds=40),
)
"""The targets, where they are measured at C{SIZES[0]} and C{CONNECTIONS[0]}."""


def named(text: str) -> Alternative:
    """
    Read the name of one alternative: C{KIND:MODE}, or C{bare}.

    @raise ValueError: There is none of this name.
    """
    kind, _, mode = text.partition(":")
    found = Alternative(kind, mode or ("read" if kind == "bare" else ""))
    if found not in ALL:
        raise ValueError(
            f"there is no {text!r}: say {'|'.join(KINDS)}, then :read or :write"
        )
    return found


def chosen(text: str) -> tuple[Alternative, ...]:
    """
    Read a list of alternatives: C{KIND} or C{KIND:MODE}, with commas between.

    @return: They, in the order of L{ALL}; all of them where the list is empty.
    @raise ValueError: There is none of this name.
    """
    wanted: set[Alternative] = set()
    for name in filter(None, text.split(",")):
        if name in KINDS:
            wanted.update(each for each in ALL if each.kind == name)
        else:
            wanted.add(named(name))
    return tuple(each for each in ALL if not wanted or each in wanted)


__all__ = [
    "ALL",
    "BARE",
    "CLIENTS",
    "CONNECTIONS",
    "KINDS",
    "MODES",
    "REFERENCE",
    "SIZES",
    "STORES",
    "TARGETS",
    "Alternative",
    "Cell",
    "Target",
    "chosen",
    "named",
]
