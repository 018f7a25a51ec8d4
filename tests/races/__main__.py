"""
The long version of these tests: C{python -m tests.races [KIND-OR-ADDRESS [SHARE
[PART]]]}.

Lets requests meet in all orders of their steps and by chance, ends and freezes servers,
has every outage of the store, and checks what many saw; prints what was found as
tables.  C{KIND} is one of L{ENGINES}, C{SHARE} how much of it is done, 1 for all, and
C{PART} one of L{PARTS}, if not all of them.
Exits with 1 where something is there that must not be.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import random
import signal
import sys
import time

import twisted

from tests.crash.__main__ import Case, show
from tests.longrun import given, oneOf, share
from tests.races import running
from tests.races.accounts import closeAccounts
from tests.races.engines import ENGINES, start
from tests.races.expiry import runOut
from tests.races.faults import disturb, outage, outagesOf
from tests.races.fleet import Fleet
from tests.races.histories import Epochs
from tests.races.meetings import CROWDS, MEETINGS
from tests.races.signing import SIGN_IN_CROWDS, SIGN_INS

PROCESSES = 4
"""How many servers there are."""

FREE, STEPPED = 10_000, 2_000
"""How many meetings there are by chance, and how many of three in orders of chance."""

ACCOUNTS, OF_ONE = 10, 1000
"""How many accounts are closed, and how many sessions each has."""

SHORT = 100
"""How many short sessions each user uses."""

DISTURBANCES = 50
"""How often a server is killed, and how often one is frozen."""

DISTURBED = {
    "kill -9 of a server": signal.SIGKILL,
    "SIGSTOP of a server": signal.SIGSTOP,
}
"""What is done to servers."""

OUTAGES = 3
"""How often there is each outage."""

EPOCHS = 100
"""How many epochs there are."""

EACH = 200
"""How often each user does something in an epoch."""


WAYS = {
    "two": lambda fleet, chance, share, two, three, tally: running.stepAll(
        fleet, chance, two, most=some(running.MOST, share), tally=tally
    ),
    "three": lambda fleet, chance, share, two, three, tally: running.stepSome(
        fleet, chance, some(STEPPED, share), three, tally=tally
    ),
    "chance": lambda fleet, chance, share, two, three, tally: running.freeSome(
        fleet, chance, some(FREE, share), two + three, tally=tally
    ),
}
"""How they meet: two in all orders, three in orders of chance, or sent at once."""


def runMeetings(kind, chance, share, two=MEETINGS, three=CROWDS, ways=WAYS):
    """
    Let requests meet.  An interrupt ends a way of it, with what was counted by then.

    @param two: What meets two at a time.
    @param three: What meets three at a time.
    @param ways: Which of L{WAYS}.
    @return: The faults.
    """
    show("meetings", "scenario", "times", "faults", "seconds")
    show(*["---"] * 5)
    faults = []
    for name in ways:
        with Case() as case:
            fleet = Fleet(case, start(case, kind), PROCESSES)
            begun, tally = time.monotonic(), running.Tally()
            with contextlib.suppress(KeyboardInterrupt):
                WAYS[name](fleet, chance, share, two, three, tally)
            seconds = time.monotonic() - begun
            tally.faults += fleet.noises()
        for scenario, times in sorted(tally.runs.items()):
            bad = sum(fault.startswith(scenario) for fault in tally.faults)
            show(name, scenario, times, bad, "")
        all_ = sum(tally.runs.values())
        show(name, "all", all_, len(tally.faults), f"{seconds:.0f}")
        faults += tally.faults
    return faults


def runSignIns(kind, chance, share):
    """
    Let requests meet where people sign in and are put out, and close accounts.

    @return: The faults.
    """
    faults = runMeetings(kind, chance, share, SIGN_INS, SIGN_IN_CROWDS)
    print()
    show("accounts closed", "sessions", "counted", "signed in meanwhile", "faults")
    show(*["---"] * 5)
    with Case() as case:
        fleet = Fleet(case, start(case, kind), PROCESSES)
        found = closeAccounts(fleet, max(2, some(ACCOUNTS, share)), OF_ONE)
        found.faults += fleet.noises()
    show(
        found.closed,
        found.sessions,
        found.counted,
        found.meanwhile,
        len(found.faults),
    )
    return faults + found.faults


def some(times, share):
    """
    Take a share.
    """
    return max(1, round(times * share))


def runFaults(kind, chance, share):
    """
    End and freeze servers, and have outages.

    @return: The faults.
    """
    show(
        "what happens",
        "times",
        "answered",
        "503",
        "slowest, s",
        "well after, s",
        "faults",
    )
    show(*["---"] * 7)
    faults = []

    def tell(name, found):
        show(
            name,
            found.times,
            found.answered,
            found.unavailable,
            f"{found.slowest:.2f}",
            f"{found.recovery:.2f}",
            len(found.faults),
        )
        return found.faults

    for name, how in DISTURBED.items():
        with Case() as case:
            place, times = start(case, kind), some(DISTURBANCES, share)
            faults += tell(name, disturb(case, place, chance, times, how))
    with Case() as case:
        place, times = start(case, kind), some(OUTAGES, share)
        for name, *what in outagesOf(case, place):
            with Case() as one:
                faults += tell(name, outage(one, place, *what, times))
    return faults


def runExpiry(kind, chance, share):
    """
    Have sessions run out.

    @return: The faults.
    """
    show("sessions that ran out", "served", "refused", "swept", "faults")
    show(*["---"] * 5)
    with Case() as case:
        fleet = Fleet(case, start(case, kind), PROCESSES)
        ends = runOut(fleet, chance, some(SHORT, share))
    show(ends.sessions, ends.served, ends.refused, ends.swept, len(ends.faults))
    return ends.faults


def runHistories(kind, chance, share):
    """
    Check what many saw.

    @return: The faults.
    """
    show("operations", "unknown", "sessions", "servers killed", "cannot have been")
    show(*["---"] * 5)
    with Case() as case:
        fleet = Fleet(case, start(case, kind), PROCESSES)
        epochs = Epochs(fleet, chance)
        for number in range(some(EPOCHS, share)):
            epochs.run(EACH, kills=number % 2 == 0)
        history = epochs.history
        faults = history.faults + fleet.noises()
    show(
        history.operations,
        history.unknown,
        history.sessions,
        history.kills,
        len(history.faults),
    )
    return faults


PARTS = {
    **{name: functools.partial(runMeetings, ways=[name]) for name in WAYS},
    "signins": runSignIns,
    "expiry": runExpiry,
    "faults": runFaults,
    "histories": runHistories,
}
"""The parts of it."""


def main(kind, share, part):
    """
    Run all.

    @return: The exit status.
    """
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    with Case() as case:
        name = start(case, kind).name
    print(
        f"{name}; Python {platform.python_version()}, Twisted {twisted.__version__}, "
        f"{platform.system()} {platform.release()}; chance began with {seed}\n"
    )
    faults = []
    for run in [PARTS[part]] if part else PARTS.values():
        faults += run(kind, chance, share)
        print()
    for fault in faults:
        print(fault, file=sys.stderr)
    return int(bool(faults))


if __name__ == "__main__":
    about = (
        "Let requests of several processes meet, in all orders of their steps and by "
        "chance; end and freeze servers, have every outage of the store, and check what "
        "many saw. Tables say how often, and what was not as promised."
    )
    sys.exit(
        main(
            *given(
                about,
                store=("sqlite", oneOf(ENGINES, address=True), "the store"),
                share=(1.0, share, "how much of it is done"),
                part=("", oneOf(PARTS), "which part, if not all"),
            )
        )
    )
