"""
C{python -m benchmarks.opcodes KIND:MODE}: how many instructions of Python's a
request takes, function by function, over bare.

Counts, where L{benchmarks.inprocess} measures: the same figures come out on any
machine, however busy, so that a change of a few per cent is seen.  What happens in
C, in the kernel, in other threads and in the garbage collector is not counted; a
hundred instructions are about a microsecond.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
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


def counted(alternative: Alternative, folder: Path) -> Counter[str]:
    """
    Count the instructions of one turn, by function.
    """
    runner = Runner(alternative, 300, folder)
    for _ in range(WARMING):
        runner.turn()
    counts: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            counts[frame.f_code] += 1
        return trace

    sys.settrace(trace)
    try:
        runner.turn()
    finally:
        sys.settrace(None)
        runner.close()
    byName: Counter[str] = Counter()
    for code, count in counts.items():
        byName[shorten(code)] += count
    return byName


def main(arguments: Sequence[str]) -> int:
    """
    Count, and print.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opcodes")
    parser.add_argument("alternative", type=named, metavar="KIND:MODE")
    alternative = parser.parse_args(arguments).alternative
    with tempfile.TemporaryDirectory() as folder:
        bare = counted(BARE, Path(folder) / "bare")
        counts = counted(alternative, Path(folder) / "it")
    over = {name: (counts[name] - bare[name]) / REQUESTS for name in {*counts, *bare}}
    rows = [
        (name, f"{count:+.0f}")
        for name, count in sorted(over.items(), key=lambda item: (-item[1], item[0]))
        if abs(count) >= 1
    ]
    rows.insert(0, ("instructions a request, over bare", f"{sum(over.values()):+.0f}"))
    print(f"{alternative}; bare takes {sum(bare.values()) / REQUESTS:.0f}\n")
    print("\n".join(align(rows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
