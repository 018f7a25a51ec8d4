"""
How the figures look to people.

Owns the columns.  Measures nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.alternatives import CONNECTIONS, REFERENCE, SIZES, TARGETS, Cell
from benchmarks.counting import REQUESTS, Counted
from benchmarks.figures import Book, Judgement, Spread, judge


def showSpread(spread: Spread | None, decimals: int = 1) -> str:
    """
    Show a median, and the lowest and the highest where there were several.
    """
    if spread is None:
        return "-"
    text = f"{spread.median:,.{decimals}f}"
    if spread.low == spread.high:
        return text
    return f"{text} ({spread.low:,.{decimals}f} to {spread.high:,.{decimals}f})"


def showOver(spread: Spread | None) -> str:
    """
    Show a difference.
    """
    return "-" if spread is None else f"{spread.median:+.1f}"


def align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """
    Put rows into columns: the first to the left, the others to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(w) for text, w in others)]
        yield "  ".join(cells).rstrip()


def showPlace(book: Book, size: int, connections: int) -> Iterator[str]:
    """
    The table of one size and one number of connections.
    """
    rows = [("", "CPU us a request", "over bare", "over builtin", "requests a second")]
    rows += [
        (
            str(cell.alternative),
            showSpread(book.cpu(cell)),
            showOver(book.over(cell, "bare")),
            showOver(book.over(cell, "builtin")),
            showSpread(book.rate(cell), 0),
        )
        for cell in book.figures
        if (cell.size, cell.connections) == (size, connections)
    ]
    yield f"State of {size:,} bytes, {connections} connection{'s'[: connections - 1]}"
    yield ""
    yield from align(rows)


def showJudgement(judgement: Judgement) -> tuple[str, str, str, str]:
    """
    One target, and how it was met.
    """
    target, allowed, found = judgement.target, judgement.allowed, judgement.found
    most = "-" if allowed is None else f"{allowed:.1f}"
    if target.overBuiltin:
        most += f" (builtin + {target.microseconds:g})"
    verdict = "not measured"
    if judgement.isReached:
        verdict = "reached"
    elif allowed is not None and found is not None:
        verdict = f"MISSED by {found.median - allowed:.1f}"
    return str(target.alternative), showSpread(found), most, verdict


def showTargets(book: Book) -> Iterator[str]:
    """
    The targets, and how they were met.
    """
    rows = [("", "over bare, us", "at most", "")]
    rows += [showJudgement(judge(book, target)) for target in TARGETS]
    yield f"Targets: state of {SIZES[0]} bytes, {CONNECTIONS[0]} connections,"
    yield f"were this a machine on which a bare request takes {REFERENCE:g} us"
    yield ""
    yield from align(rows)


def showCounts(counted: Iterable[Counted]) -> Iterator[str]:
    """
    What was counted.
    """
    rows = [("", "connections", "fsyncs", "store calls")]
    for each in counted:
        calls = ", ".join(f"{n:,} {verb}" for verb, n in sorted(each.calls.items()))
        syncs = "-" if each.syncs is None else f"{each.syncs:,}"
        where = str(each.cell.connections)
        rows.append((str(each.cell.alternative), where, syncs, calls or "none"))
    yield f"Counted in {REQUESTS:,} requests, state of {SIZES[0]} bytes"
    yield ""
    yield from align(rows)


def show(book: Book, counted: Sequence[Counted]) -> str:
    """
    All of it.
    """
    places: dict[tuple[int, int], Cell] = {}
    for cell in book.figures:
        places.setdefault((cell.size, cell.connections), cell)
    parts = [showPlace(book, *place) for place in places]
    if (SIZES[0], CONNECTIONS[0]) in places:
        parts.append(showTargets(book))
    if counted:
        parts.append(showCounts(counted))
    text = "\n\n\n".join("\n".join(part) for part in parts) + "\n"
    if book.errors():
        text += f"\n{book.errors()} requests failed: the figures are worth nothing\n"
    return text


__all__ = ["align", "show", "showOver", "showSpread"]
