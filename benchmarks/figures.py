"""
What was measured, and the arithmetic on it.

Owns medians, spreads, differences and the judgement on the targets.  Starts nothing
and prints nothing.

What an alternative costs over bare is taken each time, for bare was measured just before
and after it, and the median is that of the rounds: a machine that gets slower meanwhile
then changes neither.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import Factory, define, frozen

from benchmarks.alternatives import (
    BARE,
    CONNECTIONS,
    REFERENCE,
    SIZES,
    Alternative,
    Cell,
    Target,
)


@frozen(kw_only=True)
class Figure:
    """
    One measurement.

    @ivar cpu: Microseconds of the server's processor time for each request.
    @ivar rate: Requests a second.
    @ivar errors: How many answers were none.
    @ivar bare: What a bare request took just before and after, where that was measured.
    """

    cpu: float
    rate: float
    errors: int = 0
    bare: float | None = None

    @property
    def beyond(self) -> float:
        """
        Microseconds beyond bare, as far as that was measured.
        """
        return self.cpu - (self.bare or 0)


@frozen
class Spread:
    """
    Several measurements of one thing.
    """

    median: float
    low: float
    high: float


def spreadOf(values: Iterable[float]) -> Spread | None:
    """
    Sum several measurements up.

    @return: L{None} where there are none.
    """
    found = sorted(values)
    if not found:
        return None
    return Spread(statistics.median(found), found[0], found[-1])


@define
class Book:
    """
    All measurements, those of a cell in the order of the rounds.
    """

    figures: dict[Cell, list[Figure]] = Factory(dict)

    def add(self, cell: Cell, figure: Figure) -> None:
        """
        Note a measurement.
        """
        self.figures.setdefault(cell, []).append(figure)

    def of(self, cell: Cell) -> Sequence[Figure]:
        """
        The measurements of a cell.
        """
        return self.figures.get(cell, ())

    def cpu(self, cell: Cell) -> Spread | None:
        """
        Microseconds a request.
        """
        return spreadOf(figure.cpu for figure in self.of(cell))

    def rate(self, cell: Cell) -> Spread | None:
        """
        Requests a second.
        """
        return spreadOf(figure.rate for figure in self.of(cell))

    def over(self, cell: Cell, kind: str) -> Spread | None:
        """
        Microseconds a request beyond what another kind takes in its place.

        @return: L{None} where it was not measured, or is the same.
        """
        mine = cell.alternative
        other = Alternative(kind, BARE.mode if kind == BARE.kind else mine.mode)
        if mine in {other, BARE}:
            return None
        if other == BARE:
            return spreadOf(over for over, _ in self._overBare(cell))
        place = Cell(alternative=other, size=cell.size, connections=cell.connections)
        pairs = zip(self.of(cell), self.of(place), strict=False)
        return spreadOf(each.beyond - base.beyond for each, base in pairs)

    def scaled(self, cell: Cell) -> Spread | None:
        """
        The same over bare, were bare what the targets take for it.
        """
        return spreadOf(over / bare * REFERENCE for over, bare in self._overBare(cell))

    def _overBare(self, cell: Cell) -> Iterator[tuple[float, float]]:
        """
        What something took beyond bare, and what bare took, time by time.
        """
        for figure in self.of(cell):
            if figure.bare is not None:
                yield figure.beyond, figure.bare

    def errors(self) -> int:
        """
        How many answers were none, in all.
        """
        return sum(each.errors for figures in self.figures.values() for each in figures)

    def plain(self) -> list[dict[str, Any]]:
        """
        All of it as plain data.
        """
        return [
            {
                "kind": cell.alternative.kind,
                "mode": cell.alternative.mode,
                "size": cell.size,
                "connections": cell.connections,
                "cpu": [figure.cpu for figure in figures],
                "rate": [figure.rate for figure in figures],
                "errors": [figure.errors for figure in figures],
            }
            for cell, figures in self.figures.items()
        ]


@frozen(kw_only=True)
class Judgement:
    """
    How a target was met.

    @ivar allowed: The most that it may be over bare, or L{None} where what that
        depends on was not measured.
    @ivar found: What it is over bare, see L{Book.scaled}, or L{None} where it was not
        measured.
    """

    target: Target
    allowed: float | None
    found: Spread | None

    @property
    def isReached(self) -> bool | None:
        """
        Whether it is; L{None} where nobody can tell.
        """
        if self.allowed is None or self.found is None:
            return None
        return self.found.median <= self.allowed


def judge(book: Book, target: Target) -> Judgement:
    """
    Compare a target with what was measured.
    """

    def found(alternative: Alternative) -> Spread | None:
        size, connections = SIZES[0], CONNECTIONS[0]
        return book.scaled(
            Cell(alternative=alternative, size=size, connections=connections)
        )

    allowed: float | None = target.microseconds
    if target.overBuiltin:
        builtin = found(Alternative("builtin", target.alternative.mode))
        allowed = None if builtin is None else builtin.median + target.microseconds
    return Judgement(target=target, allowed=allowed, found=found(target.alternative))


__all__ = ["Book", "Figure", "Judgement", "Spread", "judge", "spreadOf"]
