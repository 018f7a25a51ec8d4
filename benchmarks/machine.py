"""
C{python -m benchmarks.machine}: how many instructions of the processor's a request
takes, by C{valgrind}.

Counts what L{benchmarks.inprocess} times, so that what happens in C and in other threads
is in it too, and a busy machine changes nothing: it comes out the same to a few in a
thousand.  Not counted is the kernel's part, and an instruction is not always as long as
another.  Each alternative runs twice, in a process of its own, for a different number of
turns; the difference is what the turns took.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks import ROOT
from benchmarks.alternatives import (
    ALL,
    BARE,
    CONNECTIONS,
    SIZES,
    TARGETS,
    Alternative,
    Cell,
    chosen,
)
from benchmarks.figures import Book, Figure, judge
from benchmarks.inprocess import BATCHES, TOGETHER
from benchmarks.tables import align

TURNS: Final = (4, 12)
"""How many turns the two runs take."""

REQUESTS: Final = BATCHES * TOGETHER
"""How many requests are in a turn."""

_TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")


class CountFailed(Exception):
    """
    Nothing was counted.
    """


def totalIn(said: str) -> int:
    """
    Find how many instructions a run took.

    @param said: What C{valgrind} said.
    @raise CountFailed: It did not say.
    """
    found = _TOTAL.search(said)
    if found is None:
        raise CountFailed(f"valgrind counted nothing: {said[-2000:]}")
    return int(found[1].replace(",", ""))


def run(alternative: Alternative, turns: int, folder: str) -> int:
    """
    Count the instructions of one run.

    @raise CountFailed: It failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CountFailed(
            "there is no valgrind: install it (Debian's package valgrind)"
        )
    command = [
        *(valgrind, "--tool=cachegrind", "--cache-sim=no", "--fair-sched=yes"),
        *("--cachegrind-out-file=/dev/null", sys.executable),
        *("-m", "benchmarks.inprocess", "--turns", f"{turns}", "--folder", folder),
        *("--only", f"{alternative.kind}:{alternative.mode}"),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CountFailed(f"{alternative} failed: {done.stderr[-2000:]}")
    return totalIn(done.stderr)


def count(alternative: Alternative, folder: str) -> float:
    """
    Count the instructions of a request.

    @raise CountFailed: A run failed.
    """
    few, many = TURNS
    more = run(alternative, many, folder) - run(alternative, few, folder)
    return more / ((many - few) * REQUESTS)


def render(counts: Mapping[Alternative, float]) -> str:
    """
    The table, in thousands, with what is known of the targets: they are judged as those
    of the timed run, with instructions for microseconds.
    """
    book = Book()
    for alternative, each in counts.items():
        book.add(_cellOf(alternative), Figure(cpu=each, rate=0, bare=counts.get(BARE)))
    targets = {target.alternative: target for target in TARGETS}
    rows = [("", "thousands a request", "over bare", "as us", "at most", "")]
    for alternative, each in counts.items():
        over = share = most = verdict = ""
        scaled = book.scaled(_cellOf(alternative))
        if scaled is not None and alternative != BARE:
            over, share = f"{(each - counts[BARE]) / 1000:+.1f}", f"{scaled.median:.1f}"
            if alternative in targets:
                judgement = judge(book, targets[alternative])
                if judgement.allowed is not None:
                    most = f"{judgement.allowed:.1f}"
                    verdict = "reached" if judgement.isReached else "MISSED"
        rows.append(
            (str(alternative), f"{each / 1000:.1f}", over, share, most, verdict)
        )
    return "\n".join(align(rows))


def _cellOf(alternative: Alternative) -> Cell:
    """
    Where the figure of an alternative stands that has a target.
    """
    return Cell(alternative=alternative, size=SIZES[0], connections=CONNECTIONS[0])


def main(arguments: Sequence[str]) -> int:
    """
    Count, and print.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.machine")
    parser.add_argument("--only", type=chosen, default=ALL, metavar="KIND[:MODE],...")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options = parser.parse_args(arguments)
    counts: dict[Alternative, float] = {}
    for alternative in options.only:
        print(alternative, file=sys.stderr, flush=True)
        try:
            counts[alternative] = count(alternative, options.folder)
        except CountFailed as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(render(counts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
