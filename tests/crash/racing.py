"""
A login, and another request of the same browser, at the same time in two processes.

Owns the races and the browser's cookies: whichever answer comes last, the jar must
hold the id that the login gave.  C{python -m tests.crash.racing [KIND [TIMES]]} runs
many; C{KIND} is one of L{tests.crash.kinds.KINDS}.
"""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.crash.kinds import KINDS
from tests.crash.nursery import startServer
from tests.crash.standing import Case, Progress, show
from tests.crash.visiting import Connection
from tests.longrun import count, given, oneOf
from tests.web.rfc6265 import Browser

TIMES = 10_000
"""How many races there are, if nothing else is said."""

LONGEST = 0.004
"""By how much one of the two requests comes later at most, in seconds; a request
takes about as long."""

LOGINS = ("login?name=me", "relogin?name=me")
"""The ways to sign in: a new id for the session, or a new session."""

SECONDS = ("look", "count", "add?name=x", "slow?seconds=0.01&count=no")
"""What else may be asked at the same time."""

ORDERS = ("together", "before", "after", "around", "random")
"""When the other request comes: at the same time; answered before the login is sent;
sent after that is answered; sent before, and answered after; or as chance has it."""


class Race:
    """
    Races between two servers.

    @ivar faults: What must not be.
    @ivar overlaps: How many answers to the other request had the session from before
        the login, by the order.
    """

    def __init__(self, ports, seed):
        """
        @param ports: Where two servers listen.
        @param seed: What chance begins with.
        """
        self._connections = [Connection(port) for port in ports]
        self._chance = random.Random(seed)
        self._threads = ThreadPoolExecutor(2)
        self.faults = []
        self.overlaps = Counter()

    def close(self):
        """
        Be done.
        """
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()

    def run(self, number):
        """
        Run one race.

        @param number: Which; all combinations come up in turn.
        """
        login = LOGINS[number % len(LOGINS)]
        other = SECONDS[number // 2 % len(SECONDS)]
        order = ORDERS[number // 8 % len(ORDERS)]
        if order == "around":
            other = "slow?seconds=0.02&count=no"
        one, two = self._connections
        if number // 40 % 2:
            one, two = two, one
        first = one.ask("count")
        two.ask("look", first.uid)
        answers = self._ask((one, login), (two, other), first.uid, order)
        self._check(first, answers, f"{login}, {other}, {order}")
        self.overlaps[order] += not answers[1].told.get("isNew", True)

    def _ask(self, login, other, uid, order):
        """
        Ask for both.

        @return: The answers.
        """
        if order == "before":
            return [self._one(*each, uid) for each in (other, login)][::-1]
        if order == "after":
            return [self._one(*each, uid) for each in (login, other)]
        if order == "around":
            other[0].send((other[1], uid))
            return [self._one(*login, uid), other[0].receive()]
        delays = [0.0, 0.0]
        if order == "random":
            delays[self._chance.randrange(2)] = self._chance.uniform(0, LONGEST)
        barrier = threading.Barrier(2)

        def begin(each, delay):
            barrier.wait()
            threading.Event().wait(delay)
            return self._one(*each, uid)

        running = [
            self._threads.submit(begin, each, delay)
            for each, delay in zip((login, other), delays, strict=True)
        ]
        return [each.result() for each in running]

    def _one(self, connection, path, uid):
        """
        Ask for one.
        """
        return connection.ask(path, uid)

    def _check(self, first, answers, what):
        """
        See what a browser is left with, whichever answer comes last.
        """
        if [answer.status for answer in answers] != [200, 200]:
            self.faults.append(f"{what}: {answers}")
        if answers[0].uid is None:
            self.faults.append(f"{what}: the login set no cookie")
            return
        for order in (answers, answers[::-1]):
            jar = Browser()
            for answer in (first, *order):
                if answer.cookie is not None:
                    jar.receive(answer.cookie, host="localhost", path="/", https=False)
            (kept,) = jar.send(host="localhost", path="/", https=False) or [b""]
            if kept != b"sid=" + answers[0].uid:
                said = "nothing" if not kept else "another id"
                self.faults.append(f"{what}: the jar holds {said}")
        for connection in self._connections:
            told = connection.ask("look", answers[0].uid).told
            if told["user"] != "me":
                self.faults.append(f"{what}: not signed in afterwards: {told}")
            if not connection.ask("look", first.uid).told["isNew"]:
                self.faults.append(f"{what}: the id from before is still good")


def race(case, kind, times, step=lambda: None, seed=None, **options):
    """
    Start two servers on one store, and run races.

    @param case: The test.
    @param kind: The name of the store's kind.
    @param step: Called after each race.
    @return: The L{Race}.
    """
    store = KINDS[kind](case)
    options = {**store.options, **options}
    ports = [startServer(case, store.folder, **options).port for _ in range(2)]
    seed = random.randrange(1 << 32) if seed is None else seed
    races = Race(ports, seed)
    case.addCleanup(races.close)
    for number in range(times):
        races.run(number)
        step()
    if races.faults:
        races.faults.append(f"the seed of chance was {seed}")
    return races


def main(kind, times):
    """
    Run the long version.

    @return: The exit status.
    """
    progress = Progress("races", times)
    with Case() as case:
        races = race(case, kind, times, progress.step)
    head = "races of a login", "the other request came in time", "the jar is wrong"
    show("store", *head)
    show(*["---"] * 4)
    show(kind, times, sum(races.overlaps.values()), len(races.faults))
    for fault in races.faults:
        print(fault, file=sys.stderr)
    return int(bool(races.faults))


if __name__ == "__main__":
    about = (
        "Race a login with another request of the same browser in another process: "
        "whichever answer comes last, the browser must have the id that the login gave."
    )
    sys.exit(
        main(
            *given(
                about,
                kind=("sqlite", oneOf(KINDS), "the store"),
                races=(TIMES, count, "how many there are"),
            )
        )
    )


__all__ = ["LOGINS", "ORDERS", "SECONDS", "TIMES", "Race", "race"]
