"""
C{python -m tests.fuzz}: the long run of the targets.
"""

from __future__ import annotations

import argparse
import ast
import platform
import random
import sys
import time
from collections.abc import Sequence

from twisted.logger import globalLogBeginner

from tests.crash.standing import OFTEN, show
from tests.fuzz.running import Report, run
from tests.fuzz.targets import TARGETS

DESCRIPTION = """\
Feeds readers of bytes with hostile ones, and checks what they make of them.

Each target begins with good inputs and changes them by chance: bits, bytes, sizes,
pieces of the format.  One of eight is looked at instruction by instruction: what
reaches something new is kept and changed further, and what takes too many instructions
for its length is a fault.  So is whatever a check raises, an input that does not end,
and one that has the interpreter load, compile, run or open something.

A table on standard output tells how many inputs there were, what became of them, and
what was found; a fault is printed with the shortest input that shows it, as Python
writes bytes.  On a terminal, standard error tells how far it is.
"""

EPILOG = """\
targets:
{targets}

examples:
  python -m tests.fuzz                        all targets, 60 seconds
  python -m tests.fuzz --seconds 1200         all of them, twenty minutes
  python -m tests.fuzz cookie --examples 500  one, with so many inputs
  python -m tests.fuzz --seed 7 value         as an earlier run began

exit status: 0 if nothing was found, 1 if something was, 2 for a wrong command line.
To look at a fault:  python -m tests.fuzz --input "b'...'" TARGET
"""


def parserFor() -> argparse.ArgumentParser:
    """
    Make the reader of the command line.
    """
    width = max(map(len, TARGETS))
    told = []
    for name, target in TARGETS.items():
        words = " ".join((target.check.__doc__ or "").split()).partition(":")[0]
        told.append(f"  {name:<{width}}  {words.rstrip('.')}")
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=DESCRIPTION,
        epilog=EPILOG.format(targets="\n".join(told)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds", type=float, default=60.0, help="for all targets together (60)"
    )
    length.add_argument(
        "--examples", type=int, default=0, help="inputs for each target, instead"
    )
    parser.add_argument(
        "--seed", type=int, help="where chance begins; told if not given"
    )
    parser.add_argument("--input", metavar="LITERAL", help="check this one input only")
    return parser


class Telling:
    """
    How far it is, on a terminal.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, report: Report) -> None:
        """
        See L{run}.
        """
        now = time.monotonic()
        if sys.stderr.isatty() and now >= self._next:
            self._next = now + OFTEN
            sys.stderr.write(
                f"\r{report.target.name}: {report.examples} inputs, "
                f"{report.seconds:.0f} s, {len(report.found)} found\x1b[K"
            )
            sys.stderr.flush()

    def end(self) -> None:
        """
        Leave no line.
        """
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


def showReports(reports: Sequence[Report]) -> None:
    """
    Print the table, and what was found.
    """
    words = ("read", "refused", "nothing")
    show(
        "target", "inputs", "seconds", *words, "kept", "a byte", "slowest, ms", "found"
    )
    show(*["---"] * 10)
    for report in reports:
        show(
            report.target.name,
            report.examples,
            f"{report.seconds:.0f}",
            *(report.outcomes[word] for word in words),
            len(report.corpus),
            f"{report.steps:.0f}",
            f"{report.slowest * 1000:.1f}",
            len(report.found),
        )
    everything = sum(r.examples for r in reports), sum(r.seconds for r in reports)
    found = sum(len(report.found) for report in reports)
    show("all", everything[0], f"{everything[1]:.0f}", *[""] * 6, found)
    for report in reports:
        for data, said in report.found.values():
            print(f"\n{report.target.name}: {said}\n    {data!r}")


def main(arguments: Sequence[str]) -> int:
    """
    Run.

    @return: The exit status.
    """
    parser = parserFor()
    given = parser.parse_args(arguments)
    names = given.targets or list(TARGETS)
    for name in names:
        if name not in TARGETS:
            parser.error(f"there is no target {name!r}: {', '.join(TARGETS)}")
    # What is logged is looked at by the checks.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    if given.input is not None:
        return lookAt(parser, names, given.input)
    seed = random.randrange(1 << 32) if given.seed is None else given.seed
    print(
        f"Python {platform.python_version()}, {platform.system()} "
        f"{platform.release()}; --seed {seed}\n"
    )
    telling = Telling()
    reports = [
        run(
            TARGETS[name],
            seed,
            seconds=given.seconds / len(names),
            examples=given.examples,
            hears=True,
            tell=telling,
        )
        for name in names
    ]
    telling.end()
    showReports(reports)
    return int(any(report.found for report in reports))


def lookAt(parser: argparse.ArgumentParser, names: Sequence[str], text: str) -> int:
    """
    Check one input, and let what it raises be seen.
    """
    try:
        data = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        data = None
    if not isinstance(data, bytes):
        parser.error("--input takes bytes as Python writes them, such as b'\\xff'")
    for name in names:
        print(f"{name}: {TARGETS[name].check(data)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
