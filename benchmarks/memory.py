"""
C{python -m benchmarks.memory}: what a live, empty session takes of memory, and how
fast it is made, touched and ended, against the builtin's.

The sites are real and so is the reactor, which never runs: its timers are only
entered, and what it would do with new ones is counted with the making.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import Factory, define
from twisted.internet import reactor as _reactor
from twisted.web import server
from twisted.web.resource import Resource

from benchmarks.tables import align
from txsessions import Site, openStore
from txsessions.core.keyring import KeyRing

reactor: Any = _reactor

SESSIONS: Final = 10_000
"""How many sessions are looked at."""

MOST: Final = 600
"""How many bytes a live, empty session may take."""


def builtin() -> Any:
    """
    A site with the builtin sessions.
    """
    return server.Site(Resource())


def memory() -> Any:
    """
    A site whose sessions are in this process only.
    """
    return Site(Resource())


def withStore() -> Any:
    """
    A site with a store, which keeps an account for each live session besides.
    """
    keys = KeyRing.random(os.urandom)
    return Site(Resource(), store=openStore("memory:", reactor=reactor), keys=keys)


KINDS: Final[dict[str, Callable[[], Any]]] = {
    "builtin": builtin,
    "memory": memory,
    "memory-store": withStore,
}


def make(site: Any, count: int) -> list[Any]:
    """
    Make sessions, and have the reactor enter their timers, if they have any.
    """
    sessions = [site.makeSession() for _ in range(count)]
    reactor.runUntilCurrent()
    return sessions


def end(sessions: Sequence[Any]) -> None:
    """
    End sessions, and have the reactor forget their timers.
    """
    for session in sessions:
        session.expire()
    reactor.runUntilCurrent()


def bytesEach(kind: str, count: int = SESSIONS) -> float:
    """
    How many bytes a live, empty session takes, with its place in all tables.
    """
    site = KINDS[kind]()
    # The tables' own first steps are not the sessions'.
    first = make(site, 100)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sessions = [site.makeSession() for _ in range(count)]
    reactor.runUntilCurrent()
    # The list is ours.
    listed = sys.getsizeof(sessions)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before - listed
    tracemalloc.stop()
    end(first)
    end(sessions)
    return taken / count


@define
class Pace:
    """
    Microseconds for each session, the fewest of several turns.
    """

    made: float = float("inf")
    touched: float = float("inf")
    expired: float = float("inf")


@define
class Paces:
    """
    Those of all kinds, measured in turn.
    """

    of: dict[str, Pace] = Factory(lambda: {kind: Pace() for kind in KINDS})

    def turn(self, kind: str, count: int) -> None:
        """
        Time one kind once.
        """
        pace = self.of[kind]
        site = KINDS[kind]()
        gc.collect()
        began = time.thread_time()
        sessions = make(site, count)
        made = time.thread_time()
        for session in sessions:
            session.touch()
        touched = time.thread_time()
        end(sessions)
        expired = time.thread_time()
        pace.made = min(pace.made, (made - began) / count * 1e6)
        pace.touched = min(pace.touched, (touched - made) / count * 1e6)
        pace.expired = min(pace.expired, (expired - touched) / count * 1e6)


def render(sizes: dict[str, float], paces: Paces) -> str:
    """
    The table, and the targets of a session without a store.
    """
    rows = [("", "bytes", "made, us", "touched, us", "expired, us")]
    for kind, size in sizes.items():
        pace = paces.of[kind]
        times = (f"{t:.2f}" for t in (pace.made, pace.touched, pace.expired))
        rows.append((kind, f"{size:.0f}", *times))  # type: ignore[arg-type]
    stock, ours = paces.of["builtin"], paces.of["memory"]
    reached = {
        f"at most {MOST} bytes": sizes["memory"] <= MOST,
        "made at least as fast": ours.made <= stock.made,
    }
    verdicts = [
        f"{target}: {'reached' if isReached else 'MISSED'}"
        for target, isReached in reached.items()
    ]
    return "\n".join([*align(rows), "", "memory against builtin:", *verdicts])


def main(arguments: Sequence[str]) -> int:
    """
    Measure, and print.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--turns", type=int, default=150, help="how many (150)")
    options = parser.parse_args(arguments)
    sizes = {kind: bytesEach(kind) for kind in KINDS}
    paces = Paces()
    for _ in range(options.turns):
        for kind in KINDS:
            paces.turn(kind, 1_000)
    print(f"{SESSIONS:,} live, empty sessions\n\n{render(sizes, paces)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
