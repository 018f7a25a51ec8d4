"""
Which processors those who answer have, and which those who ask.

Owns the division of the machine.  Where the kernel moves a server from one processor to
another, or lets it share one with who asks, the same server takes a quarter more or
less for a minute, and its neighbour in the table does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def apart() -> Iterator[frozenset[int]]:
    """
    Keep one processor free of this process, and of what it starts meanwhile.

    @return: It, or all where there is only one.
    """
    ours = os.sched_getaffinity(0)
    kept = frozenset({max(ours)})
    os.sched_setaffinity(0, ours - kept or ours)
    try:
        yield kept
    finally:
        os.sched_setaffinity(0, ours)


def confine(pid: int, processors: frozenset[int]) -> None:
    """
    Have all threads of a process run on some processors only, but not the processes that
    it has started before.
    """
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), processors)


__all__ = ["apart", "confine"]
