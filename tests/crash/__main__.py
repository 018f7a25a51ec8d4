"""
The long versions of these tests: C{python -m tests.crash [KIND [KILLS]]}.

Kills servers 200 times, ends a quarter as many, signs out 10,000 times in one of two
processes, and prints what was found as tables; C{KIND} is one of
L{tests.crash.kinds.KINDS}.  With SQLite, which is meant where none is named, that is
done with each durability, and a thousand requests are traced for the order of syncs
and answers.  Exits with 1 where something is there that must not be.
"""

from __future__ import annotations

import platform
import signal
import sqlite3
import sys
import time

import twisted
from twisted.trial.unittest import SkipTest

from tests.crash.kinds import KINDS
from tests.crash.nursery import makeFolder, startServer
from tests.crash.rounds import Rounds
from tests.crash.standing import Case, Progress, show
from tests.crash.test_heartbeat import measure
from tests.crash.test_processes import stillServed, twoServers
from tests.crash.tracing import TracedServer, ask, commits, tooEarly
from tests.crash.visiting import Connection
from tests.longrun import count, given, oneOf

KILLS = 200
"""How often a server is killed, if nothing else is said."""

TRACES = 10
"""How many hundreds of requests are traced."""

LOGOUTS = 10_000
"""How many logouts are looked at from another process."""

SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM}
"""How servers end."""


def kindsOf(kind):
    """
    What is run for a kind.
    """
    return ("sqlite", "sqlite-normal") if kind == "sqlite" else (kind,)


def runRounds(kind, kills):
    """
    Kill and end servers.

    @return: The faults.
    """
    faults = []
    show(
        "end",
        "store",
        "times",
        "acknowledged",
        "lost",
        "cut off",
        "of these saved",
        "dead ids tried",
        "accepted",
    )
    show(*["---"] * 9)
    for name, how in SIGNALS.items():
        times = kills if how == signal.SIGKILL else max(1, kills // 4)
        for each in kindsOf(kind):
            progress = Progress(f"times {name}", times)
            with Case() as case:
                rounds = Rounds(case, KINDS[each](case))
                rounds.run(times, how, progress.step)
            tally = rounds.tally
            accepted = sum("dead id" in fault for fault in tally.faults)
            show(
                name,
                each,
                times,
                tally.acknowledged,
                len(tally.faults) - accepted,
                tally.cut,
                tally.kept,
                tally.dead,
                accepted,
            )
            faults += tally.faults
    return faults


def runLogouts(kind):
    """
    Sign out in one process, and ask the other.

    @return: The faults.
    """
    progress, begun = Progress("logouts", LOGOUTS), time.monotonic()
    with Case() as case:
        one, two = (Connection(port) for port in twoServers(case, kind))
        served = stillServed(one, two, LOGOUTS, progress.step)
    show("store", "logouts in one process", "served by another afterwards", "seconds")
    show(*["---"] * 4)
    show(kind, LOGOUTS, served, f"{time.monotonic() - begun:.0f}")
    return ["a logout was not final"] * served


def runTraces():
    """
    Look at the order of syncs and answers.

    @return: The faults.
    """
    show("traced", "requests", "synced commits", "answered before their sync")
    show(*["---"] * 4)
    faults = []
    for what, options in (
        ("full", {}),
        ("synchronous=OFF, to see that it would be seen", {"store": "unsynced"}),
    ):
        with Case() as case:
            server = TracedServer(case, makeFolder(case), **options)
            ask(server.port, *["count"] * TRACES)
            trace = server.end()
        answered, early = tooEarly(trace)
        show(what, answered, len(commits(trace)), len(early))
        if bool(early) != bool(options):
            faults.append(f"{len(early)} of {answered} answered too early: {what}")
    return faults


def runHearts():
    """
    See how late the heart beats under load.
    """
    show("durability", "writes a second", "ms late at most", "ms computing at most")
    show(*["---"] * 4)
    for durability in ("full", "normal"):
        with Case() as case:
            server = startServer(case, makeFolder(case), durability=durability)
            beat = measure(server.port, 10.0)
        show(
            durability,
            f"{beat.requests:.0f}",
            f"{beat.late:.1f}",
            f"{beat.busy:.1f}",
        )


def main(kind, kills):
    """
    Run all.

    @return: The exit status.
    """
    print(
        f"Python {platform.python_version()}, Twisted {twisted.__version__}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.release()}\n"
    )
    faults = runRounds(kind, kills)
    print()
    faults += runLogouts(kind)
    if kind == "sqlite":
        print()
        try:
            faults += runTraces()
        except SkipTest as skipped:
            print(skipped)
        print()
        runHearts()
    for fault in faults:
        print(fault, file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    about = (
        "Kill servers, end a quarter as many, and sign out in one of two processes that "
        "share a store; with SQLite, with each durability, and a thousand requests are "
        "traced for the order of syncs and answers. Tables say how often, and what was "
        "not as promised."
    )
    sys.exit(
        main(
            *given(
                about,
                kind=("sqlite", oneOf(KINDS), "the store"),
                kills=(KILLS, count, "how many servers are killed"),
            )
        )
    )
