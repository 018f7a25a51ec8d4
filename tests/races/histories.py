"""
What many saw of many sessions, written down and checked.

Owns the random operations, their writing down, the ends of servers in between, and
epochs: in each there are some new sessions, and at its end all is looked at once more
and L{tests.races.linear} says whether it can have been so.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from math import inf

from attrs import Factory, define

from tests.crash.visiting import Broken, Connection
from tests.races.linear import GONE, UNKNOWN, Operation, isPossible

SESSIONS = 20
"""How many sessions there are in an epoch."""

USERS = 8
"""How many do something at the same time."""

KINDS = ("read",) * 8 + ("touch",) * 3 + ("put",) * 5 + ("swap",) * 3
KINDS += ("rotate",) * 2 + ("expire",)
"""What they do, by how often."""

PAGES = {"read": "look", "expire": "logout"}
"""The pages that are called otherwise."""


@define
class Chronicle:
    """
    What was done to one session.

    @ivar ids: The ids that it had, the last one at the end.
    @ivar operations: What was done.
    """

    ids: list
    operations: list = Factory(list)


@define
class History:
    """
    What was counted.

    @ivar operations: How many were answered.
    @ivar unknown: How many were not.
    @ivar sessions: How many sessions there were.
    @ivar kills: How many servers were killed.
    @ivar faults: What cannot have been.
    """

    operations: int = 0
    unknown: int = 0
    sessions: int = 0
    kills: int = 0
    faults: list = Factory(list)


def outcomeOf(kind, answer):
    """
    Say what came of an operation.
    """
    if answer.status != 200:
        return UNKNOWN
    told = answer.told
    if "gone" in told or told["outcome"] == "gone":
        return GONE
    if kind == "read":
        return told["state"]["value"]
    if kind == "rotate":
        return answer.uid or GONE
    if kind == "swap" and told["outcome"].endswith(("Conflict", "TooLong")):
        return "nothing"
    if kind in {"put", "swap"} and told["outcome"] == "StoreUnavailable":
        return UNKNOWN
    return told["outcome"] if kind == "swap" else "did"


class User:
    """
    Somebody who does something to sessions, in any of the processes.
    """

    def __init__(self, fleet, chance, name):
        self._fleet = fleet
        self._chance = chance
        self._name = name
        self._connections = {}
        self.faults = []

    def act(self, chronicle, number):
        """
        Do something and write it down.
        """
        chance = self._chance
        kind = chance.choice(KINDS)
        uid = (
            chronicle.ids[-1] if chance.random() < 0.9 else chance.choice(chronicle.ids)
        )
        value = f"{self._name}.{number}"
        member = chance.choice(self._fleet.members)
        self.do(chronicle, member, kind, uid, value)

    def do(self, chronicle, member, kind, uid, value=""):
        """
        Do one thing and write it down.
        """
        path = PAGES.get(kind, kind) + (
            f"?value={value}" if kind in {"put", "swap"} else ""
        )
        kind = "read" if kind == "touch" else kind
        operation = Operation(kind=kind, uid=uid, value=value)
        try:
            connection = self._connect(member)
            operation.begun = time.monotonic()
            chronicle.operations.append(operation)
            answer = connection.ask(path, uid)
        except Broken:
            self._connections.pop(member, None)
            return
        if answer.status not in {200, 503} or (
            answer.uid is not None and kind not in {"rotate", "expire"}
        ):
            self.faults.append(f"{path} was answered {answer.status} {answer.uid}")
        operation.result = outcomeOf(kind, answer)
        if operation.result is not UNKNOWN:
            operation.ended = time.monotonic()
        if kind == "rotate" and answer.uid:
            chronicle.ids.append(answer.uid)

    def _connect(self, member):
        """
        A connection to a server, his own.
        """
        if member not in self._connections:
            self._connections[member] = Connection(member.server.port)
        return self._connections[member]

    def close(self):
        """
        Be done.
        """
        for connection in self._connections.values():
            connection.close()


class Epochs:
    """
    Epochs of one fleet.

    @ivar history: What was counted.
    """

    def __init__(self, fleet, chance):
        self._fleet = fleet
        self._chance = chance
        self.history = History()

    def run(self, each, *, kills=True):
        """
        Run one.

        @param each: How often each user does something.
        @param kills: Whether a server is killed in the middle.
        """
        maker = self._fleet.members[0]
        chronicles = [
            Chronicle([maker.get("begin?value=first").uid]) for _ in range(SESSIONS)
        ]
        users = [
            User(self._fleet, random.Random(self._chance.random()), f"u{number}")
            for number in range(USERS)
        ]
        finished = threading.Event()

        def live(user):
            for number in range(each):
                user.act(user._chance.choice(chronicles), number)

        with ThreadPoolExecutor(USERS) as threads:
            running = [threads.submit(live, user) for user in users]
            if kills:
                finished.wait(self._chance.uniform(0.05, 0.4))
                self._kill()
        for one in running:
            one.result()
        for chronicle in chronicles:
            for member in self._fleet.members:
                users[0].do(chronicle, member, "read", chronicle.ids[-1])
            self._check(chronicle)
            users[0].do(Chronicle([]), maker, "expire", chronicle.ids[-1])
        for user in users:
            self.history.faults += user.faults
            user.close()

    def _kill(self):
        """
        Kill a server, and start another.
        """
        number = self._chance.randrange(len(self._fleet.members))
        self._fleet.members[number].server.end(signal.SIGKILL)
        self._fleet.replace(number)
        self.history.kills += 1

    def _check(self, chronicle):
        """
        See whether all that can have been.
        """
        history, operations = self.history, chronicle.operations
        history.sessions += 1
        unknown = sum(each.ended == inf for each in operations)
        history.unknown += unknown
        history.operations += len(operations) - unknown
        if not isPossible(operations, ("first", chronicle.ids[0])):
            names = {uid: f"id {n}" for n, uid in enumerate(chronicle.ids)}
            told = "\n".join(
                f"{each.begun:.4f} {each.ended:.4f} {each.kind} {names.get(each.uid)} "
                f"{each.value}: {names.get(each.result, each.result)}"
                for each in sorted(operations, key=lambda each: each.begun)
            )
            history.faults.append(f"this cannot have been:\n{told}")


__all__ = ["SESSIONS", "USERS", "Chronicle", "Epochs", "History", "User"]
