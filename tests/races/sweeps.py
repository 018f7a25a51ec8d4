"""
A sweep of a session that runs out while a request uses or ends it, in all orders.

Owns the three that meet: a sweep in one process, a request in another, and the time,
which goes by for all at once; and the judge of how it ended.  The session is in use for
the last time, its record was written long before: it is past its deadline unless the
request moves that in time.  C{python -m tests.races.sweeps [KIND-OR-ADDRESS [MOST]]} is
the long version.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter

from attrs import Factory, define

from tests.crash.standing import Case, Progress, show
from tests.longrun import count, given, oneOf
from tests.races.engines import ENGINES, start
from tests.races.fleet import Fleet
from tests.races.meetings import NEW_IDS, Action, isGone
from tests.races.running import Orders, Request

IDLE = 900.0
"""The sessions' idle time, in seconds."""

BEFORE, AFTER = 500.0, 500.0
"""How much time has gone by when they meet, and goes by then: the record's deadline is
in between, and one that is moved is after both."""

REQUESTS = (
    "look",
    "bump?key=a",
    "cart?drop=plums",
    "transact?key=x",
    "logout",
    "rotate",
    "login",
)
"""What is asked for.  A look is a touch here, for the last use is long ago."""

LIVES, ENDED = "lives on", "ended"
"""What may become of the session."""

ELSEWHERE = "ended elsewhere"
"""The event that tells of no end, but that one was noticed."""

MOST = 1500
"""How many orders of one request are tried at most, and as many of chance after them
where there are more."""


@define
class Tally:
    """
    What was counted.

    @ivar runs: How many meetings there were, by the request.
    @ivar ways: How they ended, by that and the request.
    @ivar surplus: In how many an end more was told, see L{Judge.isEarly} and
        L{Judge.isLate}.
    @ivar whole: Of how many requests, warm or not, all orders were tried.
    @ivar faults: What must not be.
    """

    runs: Counter = Factory(Counter)
    ways: Counter = Factory(Counter)
    surplus: Counter = Factory(Counter)
    whole: int = 0
    faults: list = Factory(list)


class Sweep:
    """
    A sweep that can be taken step by step.
    """

    def __init__(self, member):
        self._line = member.line
        self._serial = None
        self.isOver = False

    def step(self):
        """
        Go on up to the next stop.
        """
        line = self._line
        if self._serial is None:
            self._serial = line.send("sweep")
        else:
            line.ask("go")
        while not line.held and self._serial not in line.told:
            line.read()
        self.isOver = line.told.pop(self._serial, None) is not None


class Time:
    """
    The time, which goes by in one step.
    """

    isOver = False

    def __init__(self, fleet):
        self._fleet = fleet

    def step(self):
        """
        Go by.
        """
        leap(self._fleet, AFTER)
        self.isOver = True


def leap(fleet, seconds):
    """
    Have time gone by in all processes.
    """
    for member in fleet.members:
        member.line.ask("leap", seconds=seconds)
        # Deadlines have rung when this is answered, a turn later.
        member.line.ask("sync")


@define(kw_only=True)
class Judge:
    """
    Finds what must not be in one meeting.

    @ivar uid: The id that the request shows.
    @ivar faults: What was found.
    @ivar way: How it ended.
    @ivar isEarly: Whether an end was told too early: the session was claimed past
        its deadline, and a use that had set out for the store before that came
        after.  It counts, so that the session lives on, and has another end.
    @ivar isLate: Whether a logout came when the session had been swept, and nothing
        was left to end.  It is told all the same where the process had not heard of
        that, for a logout does not wait for the store to be told.
    @ivar surplus: How many ends were told besides the one that was, or none.
    """

    fleet: object
    action: Action
    uid: bytes
    faults: list = Factory(list)
    way: str = ""
    isEarly: bool = False
    isLate: bool = False
    surplus: int = 0
    _answer: object = None
    _log: list = Factory(list)
    _before: dict = Factory(lambda self: self.fleet.events(), takes_self=True)

    def _fault(self, text):
        """
        Note what must not be.
        """
        self.faults.append(f"{self.action.path}: {text}: {self._log}")

    def shown(self, action):
        """
        What is sent.
        """
        return action.path, self.uid

    def stopped(self, action, member):
        """
        The request has come to a stop: L{watch} is asked after each step.
        """

    def answered(self, action, answer):
        """
        The request was answered.
        """
        self._answer = answer
        if answer.status != 200:
            self._fault(f"answered {answer.status}: {answer.told}")
        elif answer.uid and not ("did" in answer.told and action.does in NEW_IDS):
            self._fault("a cookie was set")

    def watch(self):
        """
        See what the store was asked for in the last step.
        """
        for number, member in enumerate(self.fleet.members[:2]):
            for verb, outcome in member.line.ask("witnessed"):
                self._log.append((number, verb, outcome))

    def _should(self):
        """
        What should have become of the record, by what the store has acknowledged.

        @return: Whether it is there, and whether its deadline was moved.
        """
        isThere, isUsed, isClaimed = True, False, False
        for _, verb, outcome in self._log:
            if verb == "claimExpired" and outcome:
                if isUsed:
                    self._fault("claimed after it was used")
                isClaimed = True
            elif verb == "acknowledge":
                isThere = isThere and not isClaimed
            elif verb in {"touch", "replace", "rename"} and not outcome:
                if not isThere:
                    self._fault(f"{verb} after the end")
                self.isEarly = self.isEarly or isClaimed
                isUsed, isClaimed = True, False
            elif verb == "delete" and outcome:
                isThere = False
            elif verb == "delete":
                self.isLate = self.action.does == "logout" and not isThere
        return isThere, isUsed

    def finish(self):
        """
        It is over: sweep what is left, and look.
        """
        isThere, isUsed = self._should()
        members = self.fleet.members
        for member in members:
            while member.line.ask("sweep"):
                pass
        fresh = self._answer.uid
        uids = [self.uid, *([fresh] if fresh else [])]
        alive = [uid for uid in uids if self._isAlive(uid)]
        if len(alive) > 1:
            self._fault("two ids are alive")
        if isThere and isUsed and not alive:
            self._fault("it was used in time, and is gone")
        if not (isThere and isUsed) and alive:
            self._fault("it ended, and is there")
        left = members[0].line.ask("records")
        if left != len(alive):
            self._fault(f"{left} records are left")
        self.surplus = self._ends() - (0 if alive else 1)
        if not self.isEarly <= self.surplus <= self.isEarly + self.isLate:
            self._fault(f"{self.surplus} ends too many, and {len(alive)} ids are alive")
        self.way = LIVES if alive else ENDED
        for uid in alive:
            members[-1].ask("logout", uid)

    def _isAlive(self, uid):
        """
        Look for it everywhere.
        """
        gone = [isGone(member.ask("look", uid)) for member in self.fleet.members]
        if len(set(gone)) > 1:
            self._fault(f"not the same in all processes: {gone}")
        return not gone[0]

    def _ends(self):
        """
        How many ends were told.
        """
        now = self.fleet.events()
        return sum(
            count - self._before.get(kind, 0)
            for kind, count in now.items()
            if kind == "expired" or (kind.startswith("ended") and kind != ELSEWHERE)
        )


def runOne(fleet, path, choose, *, isWarm):
    """
    Let one request, a sweep and the time meet.

    @param choose: Picks one of so many that can go on.
    @param isWarm: Whether all processes have the session in memory.
    @return: The judge.
    """
    sweeping, asking, maker = fleet.members
    action = Action(path=path)
    uid = maker.get(f"begin?idle={IDLE}").uid
    if isWarm:
        for member in fleet.members:
            member.get("look", uid)
    leap(fleet, BEFORE)
    judge = Judge(fleet=fleet, action=action, uid=uid)
    sweeping.line.ask("arm", sweeps=True)
    asking.line.ask("arm")
    judge.watch()
    all_ = [Sweep(sweeping), Request(asking, action, judge), Time(fleet)]
    while running := [each for each in all_ if not each.isOver]:
        running[choose(len(running))].step()
        settle(sweeping.line, asking.line)
        judge.watch()
    for member in (sweeping, asking):
        member.line.ask("disarm")
    judge.finish()
    return judge


def settle(*lines):
    """
    Wait until nobody is in the store: all that go on have come to a stop.
    """
    for line in lines:
        line.ask("sync")
        while line.pending > sum(name.startswith(("b", "a")) for name in line.held):
            line.read()


def sweepAll(fleet, chance, most=MOST, requests=REQUESTS, step=lambda: None):
    """
    Let each meet the other two in all orders; where there are more than so many, go on
    with as many of chance.

    @param step: Called after each meeting.
    @return: What was counted.
    """
    tally = Tally()
    for path in requests:
        for isWarm in (True, False):
            orders = Orders()
            for number in range(2 * most):
                choose = orders.choose if number < most else chance.randrange
                add(tally, runOne(fleet, path, choose, isWarm=isWarm))
                step()
                if number < most and not orders.turn():
                    tally.whole += 1
                    break
    return tally


def sweepSome(fleet, chance, times, requests=REQUESTS):
    """
    Let some meet in orders of chance.

    @return: What was counted.
    """
    tally = Tally()
    for number in range(times):
        path = requests[number % len(requests)]
        isWarm = chance.random() < 0.5
        add(tally, runOne(fleet, path, chance.randrange, isWarm=isWarm))
    return tally


def add(tally, judge):
    """
    One more meeting is over.
    """
    path = judge.action.path
    tally.runs[path] += 1
    tally.ways[path, judge.way] += 1
    tally.surplus[path] += judge.surplus > 0
    tally.faults += judge.faults


def main(kind, most):
    """
    Run all.

    @return: The exit status.
    """
    seed = random.randrange(1 << 32)
    cases = 2 * len(REQUESTS)
    progress, begun = Progress("at most", 2 * most * cases), time.monotonic()
    with Case() as case:
        place = start(case, kind)
        fleet = Fleet(case, place, 3, leaps=True)
        tally = sweepAll(fleet, random.Random(seed), most, step=progress.step)
        tally.faults += fleet.noises()
    seconds = time.monotonic() - begun
    print(f"chance began with {seed}\n")
    head = ("lives on", "ended", "an end too many told", "not as promised", "seconds")
    show("store", "a sweep meets", "times", *head)
    show(*["---"] * (len(head) + 3))
    for path, times in tally.runs.items():
        bad = sum(fault.startswith(path) for fault in tally.faults)
        ways = [tally.ways[path, way] for way in (LIVES, ENDED)]
        show(place.name, path, times, *ways, tally.surplus[path], bad, "")
    ways = [sum(tally.ways[path, way] for path in REQUESTS) for way in (LIVES, ENDED)]
    all_ = sum(tally.runs.values()), *ways, sum(tally.surplus.values())
    show(place.name, "all", *all_, len(tally.faults), f"{seconds:.0f}")
    print(f"\nin all orders: {tally.whole} of {cases}")
    for fault in tally.faults:
        print(fault, file=sys.stderr)
    return int(bool(tally.faults))


if __name__ == "__main__":
    about = (
        "Let a sweep of a session that runs out meet a request that uses or ends it, in "
        "all orders of their steps. Tables say how often, and what was not as promised."
    )
    sys.exit(
        main(
            *given(
                about,
                store=("sqlite", oneOf(ENGINES, address=True), "the store"),
                most=(MOST, count, "after how many orders a case is left"),
            )
        )
    )


__all__ = ["MOST", "REQUESTS", "Tally", "runOne", "sweepAll", "sweepSome"]
