"""
C{python -m benchmarks.opcodes KIND:MODE}: how many instructions of Python's a
request takes, function by function, over bare.

Counts, where L{benchmarks.inprocess} measures: the same figures come out on any
machine, however busy, so that a change of a few per cent is seen.  Those of other
threads are counted too, and said apart.  What happens in C, in the kernel and in the
garbage collector is not; a hundred instructions are about a microsecond.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from benchmarks import ROOT
from benchmarks.alternatives import BARE, Alternative, named
from benchmarks.inprocess import BATCHES, TOGETHER, Runner
from benchmarks.tables import align

REQUESTS: Final = BATCHES * TOGETHER
"""How many requests are looked at."""

WARMING: Final = 3
"""How many turns go before."""


def shorten(code: CodeType) -> str:
    """
    Name a function.
    """
    path = code.co_filename
    for start in (f"{ROOT}/src/", "site-packages/", f"{ROOT}/"):
        path = path.rpartition(start)[2]
    return f"{path}:{code.co_firstlineno} {code.co_name}"


class Tracer:
    """
    Counts the instructions of one thread, while it is wanted.

    @ivar counts: How many, by function.
    @ivar wanted: Whether they are counted.
    """

    def __init__(self) -> None:
        self.counts: Counter[CodeType] = Counter()
        self.wanted = False

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """
        See C{sys.settrace}.
        """
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode" and self.wanted:
            self.counts[frame.f_code] += 1
        return self.trace

    def named(self) -> Counter[str]:
        """
        How many, by the name of the function.
        """
        byName: Counter[str] = Counter()
        for code, count in self.counts.items():
            byName[shorten(code)] += count
        return byName


def counted(
    alternative: Alternative, folder: Path
) -> tuple[Counter[str], Counter[str]]:
    """
    Count the instructions of one turn, by function.

    @return: Those of the reactor's thread, and those of all others.
    """
    reactors, others = Tracer(), Tracer()
    threading.settrace(others.trace)
    try:
        runner = Runner(alternative, 300, folder)
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
    for _ in range(WARMING):
        runner.turn()
    reactors.wanted = others.wanted = True
    sys.settrace(reactors.trace)
    try:
        runner.turn()
    finally:
        sys.settrace(None)
        others.wanted = False
        runner.close()
    return reactors.named(), others.named()


def ranked(title: str, counts: dict[str, float]) -> list[tuple[str, str]]:
    """
    The lines of a table: the sum, then the functions that have a share in it.
    """
    rows = [
        (name, f"{count:+.0f}")
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if abs(count) >= 0.5
    ]
    return [(title, f"{sum(counts.values()):+.0f}"), *rows]


def main(arguments: Sequence[str]) -> int:
    """
    Count, and print.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opcodes")
    parser.add_argument("alternative", type=named, metavar="KIND:MODE")
    alternative = parser.parse_args(arguments).alternative
    with tempfile.TemporaryDirectory() as folder:
        bare, _ = counted(BARE, Path(folder) / "bare")
        counts, others = counted(alternative, Path(folder) / "it")
    over = {name: (counts[name] - bare[name]) / REQUESTS for name in {*counts, *bare}}
    elsewhere = {name: count / REQUESTS for name, count in others.items()}
    print(f"{alternative}; bare takes {sum(bare.values()) / REQUESTS:.0f}\n")
    print("\n".join(align(ranked("instructions a request, over bare", over))))
    if elsewhere:
        print("\n" + "\n".join(align(ranked("in other threads", elsewhere))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
