"""
What a request makes the store and the disk do, in whole numbers.

Owns the counting run, which is not the timed one: C{strace} counts the calls that
wait for the disk, and a store around the store those of each verb
(L{benchmarks.instrumented}).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from benchmarks.alternatives import STORES, Cell
from benchmarks.load import Order, drive
from benchmarks.serving import Server

REQUESTS: Final = 1_000
"""How many requests are counted."""

WARMING: Final = 200
"""How many go before, in which the sessions are made."""

QUIET: Final = 0.2
"""Seconds without a sync after which none is to come."""

TRACE: Final = ("strace", "-f", "--seccomp-bpf", "-e", "trace=fdatasync,fsync")


@frozen(kw_only=True)
class Counted:
    """
    What L{REQUESTS} requests have taken.

    @ivar syncs: How often the disk was waited for, or L{None} where there is no
        C{strace}.
    @ivar calls: How often each verb of the store was called.
    """

    cell: Cell
    syncs: int | None
    calls: Mapping[str, int]

    def plain(self) -> dict[str, Any]:
        """
        It as plain data.
        """
        return {
            "kind": self.cell.alternative.kind,
            "mode": self.cell.alternative.mode,
            "size": self.cell.size,
            "connections": self.cell.connections,
            "requests": REQUESTS,
            "syncs": self.syncs,
            "calls": dict(self.calls),
        }


def syncsIn(trace: str) -> int:
    """
    Count the syncs in what C{strace} wrote.  One that another thread's call cuts
    in two is resumed without the bracket.
    """
    return sum("sync(" in line for line in trace.splitlines())


def settled(measure: Callable[[], int]) -> int:
    """
    Read a count once it stays the same for a while: what was begun is finished
    after the last answer.
    """
    last, since = measure(), time.monotonic()
    while time.monotonic() - since < QUIET:
        time.sleep(0.02)
        now = measure()
        if now != last:
            last, since = now, time.monotonic()
    return last


def count(cell: Cell, folder: str) -> Counted:
    """
    Count for one alternative.

    @param folder: Where databases go.
    """
    traces = shutil.which("strace") is not None
    with tempfile.TemporaryDirectory() as place:
        trace = Path(place) / "trace"
        around = [*TRACE, "-o", str(trace)] if traces else []
        made = Server(
            cell.alternative, cell.size, folder, "benchmarks.instrumented", around
        )
        with made as server:
            server.ready()

            def read() -> tuple[int, dict[str, int]]:
                syncs = settled(lambda: syncsIn(trace.read_text())) if traces else 0
                return syncs, json.loads(server.get("/-/calls"))

            warm = Order(
                port=server.port, connections=cell.connections, requests=WARMING
            )
            cookies = drive(warm).cookies
            before, callsBefore = read()
            drive(
                Order(
                    port=server.port,
                    connections=cell.connections,
                    requests=REQUESTS,
                    cookies=cookies,
                )
            )
            after, calls = read()
    grown = {verb: n - callsBefore.get(verb, 0) for verb, n in calls.items()}
    return Counted(
        cell=cell,
        syncs=after - before if traces else None,
        calls={verb: n for verb, n in grown.items() if n},
    )


def isCounted(cell: Cell) -> bool:
    """
    Whether there is anything to count: a store.
    """
    return cell.alternative.kind in STORES


__all__ = ["REQUESTS", "Counted", "count", "isCounted", "syncsIn"]
