"""
C{python -m benchmarks}: compare bare twisted.web, its sessions and ours.

Owns the command line.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.alternatives import ALL, CONNECTIONS, SIZES, Cell, chosen, named
from benchmarks.counting import Counted, count, isCounted
from benchmarks.figures import Book
from benchmarks.generating import generatorName
from benchmarks.load import LoadFailed
from benchmarks.profiling import profile
from benchmarks.rounds import Plan, measure
from benchmarks.serving import ServerFailed
from benchmarks.tables import show


def whole(text: str) -> int:
    """
    Read a number that is 1 at least.
    """
    if not text.isdigit() or not int(text):
        raise ValueError(f"{text!r} is no whole number of at least 1")
    return int(text)


def reading(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """
    Have the parser say what a reader raises.
    """

    def said(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return said


def parser() -> argparse.ArgumentParser:
    """
    The options.
    """
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What sessions cost, measured side by side in one run.",
    )
    add = made.add_argument
    add("--only", type=reading(chosen), default=ALL, metavar="KIND[:MODE],...")
    add("--rounds", type=reading(whole), help="how often (5)")
    add("--seconds", type=reading(whole), default=1, help="how long each time (1)")
    add(
        "--quick",
        action="store_true",
        help="32 connections and 300 bytes only, nothing counted",
    )
    add(
        "--profile",
        type=reading(named),
        metavar="KIND:MODE",
        help="show where one spends its time, and do nothing else",
    )
    add("--json", metavar="FILE", help="write all figures there too")
    add(
        "--folder",
        default=tempfile.gettempdir(),
        help="where databases go (%(default)s); on a disk, not in memory",
    )
    return made


def say(text: str) -> None:
    """
    Tell how far it is.
    """
    print(text, file=sys.stderr, flush=True)


def surroundings(folder: str) -> dict[str, Any]:
    """
    What the figures depend on.
    """
    return {
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "sqlite": sqlite3.sqlite_version,
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "generator": generatorName(),
        "file system": fileSystemOf(folder, Path("/proc/self/mounts").read_text()),
    }


def fileSystemOf(folder: str, mounts: str) -> str:
    """
    Which file system a folder is on.

    @param mounts: What C{/proc/self/mounts} says.
    """
    place = os.path.realpath(folder)
    found = ("", "unknown")
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(found[0]):
            found = point, kind
    return found[1]


def compare(options: argparse.Namespace, folder: str) -> tuple[Book, list[Counted]]:
    """
    Measure what the options say, then count.
    """
    quick = options.quick
    plan = Plan(
        alternatives=options.only,
        sizes=SIZES[:1] if quick else SIZES,
        connections=CONNECTIONS[:1] if quick else CONNECTIONS,
        rounds=options.rounds or 5,
        seconds=options.seconds,
        folder=folder,
    )
    book = measure(plan, say)
    cells = [
        Cell(alternative=alternative, size=SIZES[0], connections=connections)
        for alternative in plan.alternatives
        for connections in (1, CONNECTIONS[0])
    ]
    counted = []
    for cell in [] if quick else filter(isCounted, cells):
        say(f"counting, {cell.connections} connections: {cell.alternative}")
        counted.append(count(cell, folder))
    return book, counted


def main(arguments: Sequence[str]) -> int:
    """
    Do what the command line says.

    @return: The exit status: 1 where a request or a server failed.
    """
    options = parser().parse_args(arguments)
    where = surroundings(options.folder)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        try:
            if options.profile is not None:
                size, connections = SIZES[0], CONNECTIONS[0]
                seconds = max(options.seconds, 3)
                print(profile(options.profile, size, connections, seconds, folder, say))
                return 0
            book, counted = compare(options, folder)
        except (LoadFailed, ServerFailed) as error:
            say(f"error: {error}")
            return 1
    print(", ".join(f"{name} {value}" for name, value in where.items()), end="\n\n\n")
    print(show(book, counted), end="")
    if where["file system"] in {"tmpfs", "ramfs"}:
        print(f"\n{options.folder} is in memory: syncs cost nothing there")
    if options.json:
        found = {
            "surroundings": where,
            "figures": book.plain(),
            "counted": [each.plain() for each in counted],
        }
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    return 1 if book.errors() else 0


if __name__ == "__main__":
    # So that the servers end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    raise SystemExit(main(sys.argv[1:]))
