"""
The long version: C{python -m tests.transact [TIMES]}.

Two processes each add one 10,000 times to one counter, over a database file with each
durability; prints what came of it.  Exits with 1 where the sum is not exact.
"""

from __future__ import annotations

import sys
import time

from tests.crash.__main__ import Case, show
from tests.crash.nursery import makeFolder
from tests.transact.counting import countTogether
from txsessions.core.keyfile import createKeyFile

TIMES = 10_000
"""How often each process adds one, if nothing else is said."""


def addresses(folder):
    """
    The stores to count over, by what they are called.
    """
    for durability in ("full", "normal"):
        address = f"sqlite:{folder}/{durability}.sqlite?durability={durability}"
        yield f"SQLite, {durability}", address


def main(times=str(TIMES)):
    """
    Run all.

    @return: The exit status.
    """
    wrong = 0
    show("store", "added", "told to have failed", "sum", "calls", "seconds")
    show(*["---"] * 6)
    with Case() as case:
        folder = makeFolder(case)
        keys = str(folder / "keys")
        createKeyFile(keys)
        for name, address in addresses(folder):
            begun = time.monotonic()
            count, told = countTogether(case, address, keys, int(times))
            seconds = time.monotonic() - begun
            added = sum(each["added"] for each in told)
            failed = sum(sum(each["failures"].values()) for each in told)
            calls = sum(each["calls"] for each in told)
            show(name, added, failed, count, calls, f"{seconds:.0f}")
            wrong += count != added or added + failed != 2 * int(times)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
