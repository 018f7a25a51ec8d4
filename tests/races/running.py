"""
Letting requests meet: by chance, or step by step in all orders there are.

Owns the steps of a request, the orders of steps, and what is counted.  A request that
is stepped stops after it has read its session, before and after each change of the
store, and goes on when the driver says so; each of those that meet is in a process of
its own, so that none waits for another.
"""

from __future__ import annotations

import time
from collections import Counter
from select import select

from attrs import Factory, define, evolve

from tests.races.fleet import PATIENCE
from tests.races.meetings import CROWDS, MEETINGS

MOST = 1000
"""How many orders of two are tried at most, before as many more of chance."""


@define
class Tally:
    """
    What was counted.

    @ivar runs: How many meetings there were of each kind, by scenario.
    @ivar whole: How many of those that were stepped were so in all orders.
    @ivar faults: What must not be.
    """

    runs: Counter = Factory(Counter)
    whole: int = 0
    faults: list = Factory(list)

    def add(self, meeting, judge):
        """
        One more meeting is over.
        """
        self.runs[meeting.scenario] += 1
        self.faults += judge.finish()


class Request:
    """
    A request that can be taken step by step.

    @ivar action: What is asked for.
    @ivar isOver: Whether it has been answered and nothing of it is under way.
    """

    def __init__(self, member, action, judge):
        self._member = member
        self._judge = judge
        self._connection = None
        self._answer = None
        self.action = action
        self.isOver = False

    def send(self):
        """
        Send it.
        """
        self._connection = self._member.connect()
        self._connection.send(self._judge.shown(self.action))

    def receive(self):
        """
        Wait for the answer, and have it judged.
        """
        self._answer = self._connection.receive()
        self._member.giveBack(self._connection)
        self._judge.answered(self.action, self._answer)

    def hasAnswer(self):
        """
        Whether there is an answer.
        """
        return self._connection.hasAnswer(0)

    def step(self):
        """
        Go on up to the next stop.
        """
        self._goOn()
        self._judge.stopped(self.action, self._member)

    def _goOn(self):
        """
        Let it go on, and wait until it stops or is over.
        """
        line = self._member.line
        if self._connection is None:
            self.send()
        else:
            line.ask("go")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            line.readAll()
            if line.held:
                return
            if self._answer is None and self.hasAnswer():
                self.receive()
            if self._answer is not None:
                line.ask("sync")
                if not line.held and not line.pending:
                    self.isOver = True
                if line.held or self.isOver:
                    return
            waiting = [line]
            if self._answer is None:
                waiting.append(self._connection)
            select(waiting, [], [], 1.0)
        raise AssertionError(f"{self.action.path} goes nowhere")


def begin(fleet, meeting, chance, *, isWarm=True, isStepped=False):
    """
    Make a session for a meeting.

    @param isWarm: Whether all processes have it in memory.
    @return: The judge.
    """
    # Where steps are counted the maker is one that does not take part.
    maker = fleet.members[-1] if isStepped else chance.choice(fleet.members)
    judge = meeting.judge(fleet=fleet, meeting=meeting, isStepped=isStepped)
    judge.prepare(maker, isWarm=isWarm)
    return judge


def runStepped(fleet, meeting, choose, chance, *, isWarm):
    """
    Let requests meet step by step.

    @param choose: Picks one of so many that can go on.
    @return: The judge.
    """
    judge = begin(fleet, meeting, chance, isWarm=isWarm, isStepped=True)
    members = fleet.members[: len(meeting.actions)]
    requests = [
        Request(member, action, judge)
        for member, action in zip(members, meeting.actions, strict=True)
    ]
    for member in members:
        member.arm()
    running = requests
    while running:
        running[choose(len(running))].step()
        running = [request for request in requests if not request.isOver]
    for member in members:
        member.arm(isArmed=False)
    return judge


def runFree(fleet, meeting, chance):
    """
    Let requests meet by chance: sent within some microseconds, each to any process.

    @return: The judge.
    """
    judge = begin(fleet, meeting, chance, isWarm=chance.random() < 0.7)
    members = list(fleet.members)
    chance.shuffle(members)
    requests = [
        Request(members[number % len(members)], action, judge)
        for number, action in enumerate(meeting.actions)
    ]
    chance.shuffle(requests)
    for request in requests:
        request.send()
        for _ in range(chance.choice((0, 0, 50, 500, 3000))):
            pass
    waiting = list(requests)
    while waiting:
        connections = [request._connection for request in waiting]
        if not select(connections, [], [], PATIENCE)[0]:
            raise AssertionError(f"no answer to {meeting.name}")
        for request in [each for each in waiting if each.hasAnswer()]:
            waiting.remove(request)
            request.receive()
    return judge


class Orders:
    """
    All orders of steps, one after another: each run asks L{choose} who goes on, and
    L{turn} makes the next run go another way at the last point where there is one.

    @ivar strays: How often that did not lead where it had led before.
    """

    def __init__(self):
        self.strays = 0
        self._path = []
        self._depth = 0

    def choose(self, count):
        """
        Choose one of so many.
        """
        if self._depth == len(self._path):
            self._path.append([0, count])
        chosen, expected = self._path[self._depth]
        if count != expected:
            # The same steps led somewhere else, which a timer may bring about.
            del self._path[self._depth :]
            chosen = min(chosen, count - 1)
            self._path.append([chosen, count])
            self.strays += 1
        self._depth += 1
        return chosen

    def turn(self):
        """
        Go another way from now on.

        @return: Whether there is one.
        """
        del self._path[self._depth :]
        self._depth = 0
        while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
            self._path.pop()
        if self._path:
            self._path[-1][0] += 1
        return bool(self._path)


def stepAll(
    fleet, chance, meetings=MEETINGS, warmths=(True, False), most=MOST, tally=None
):
    """
    Let each two meet in all orders; where there are more than so many, go on with as
    many of chance.

    @param tally: Where it is counted; a new one, if not given.
    @return: What was counted.
    """
    tally = tally or Tally()
    for meeting in meetings:
        for isWarm in warmths:
            orders = Orders()
            for number in range(2 * most):
                choose = orders.choose if number < most else chance.randrange
                judge = runStepped(fleet, meeting, choose, chance, isWarm=isWarm)
                tally.add(meeting, judge)
                if number < most and not orders.turn():
                    tally.whole += 1
                    break
    return tally


def stepSome(fleet, chance, times, meetings=MEETINGS + CROWDS, tally=None):
    """
    Let some meet in orders of chance.

    @param tally: See L{stepAll}.
    @return: What was counted.
    """
    tally = tally or Tally()
    for number in range(times):
        meeting = meetings[number % len(meetings)]
        isWarm = chance.random() < 0.5
        judge = runStepped(fleet, meeting, chance.randrange, chance, isWarm=isWarm)
        tally.add(meeting, judge)
    return tally


def freeSome(fleet, chance, times, meetings=MEETINGS + CROWDS, tally=None):
    """
    Let some meet by chance, now and then twice as many.

    @param tally: See L{stepAll}.
    @return: What was counted.
    """
    tally = tally or Tally()
    for number in range(times):
        meeting = meetings[number % len(meetings)]
        if not meeting.does("note") and chance.random() < 0.2:
            twice = [action.text for action in meeting.actions * 2]
            meeting = evolve(meeting, actions=twice)
        tally.add(meeting, runFree(fleet, meeting, chance))
    return tally


__all__ = [
    "Orders",
    "Request",
    "Tally",
    "begin",
    "freeSome",
    "runFree",
    "runStepped",
    "stepAll",
    "stepSome",
]
