"""
The long version: C{python -m tests.transact [KIND-OR-ADDRESS [TIMES]]}.

Two processes each add one 10,000 times to one counter; prints what came of it.
C{KIND} is one of L{tests.races.engines.ENGINES}; where none is named it is SQLite with
each durability.  Exits with 1 where the sum is not exact.
"""

from __future__ import annotations

import sys
import time

from tests.crash.standing import Case, Progress, show
from tests.longrun import count, given, oneOf
from tests.races.engines import ENGINES, start
from tests.transact.counting import countTogether

TIMES = 10_000
"""How often each process adds one, if nothing else is said."""


def main(kind, times):
    """
    Run all.

    @return: The exit status.
    """
    wrong = 0
    show("store", "added", "told to have failed", "sum", "calls", "seconds")
    show(*["---"] * 6)
    for each in [kind] if kind else ["sqlite", "sqlite-normal"]:
        progress, begun = Progress("added", 2 * times), time.monotonic()
        with Case() as case:
            place = start(case, each)
            count, told = countTogether(
                case, place.address, place.keys, times, step=progress.step
            )
        seconds = time.monotonic() - begun
        added = sum(one["added"] for one in told)
        failed = sum(sum(one["failures"].values()) for one in told)
        calls = sum(one["calls"] for one in told)
        show(place.name, added, failed, count, calls, f"{seconds:.0f}")
        wrong += count != added or added + failed != 2 * times
    return int(bool(wrong))


if __name__ == "__main__":
    about = (
        "Have two processes add one to the same counter of a session, exactly, and say "
        "what came of it. Where no store is named, SQLite is meant, with each durability."
    )
    sys.exit(
        main(
            *given(
                about,
                store=("", oneOf(ENGINES, address=True), "the store"),
                times=(TIMES, count, "how often each adds one"),
            )
        )
    )
