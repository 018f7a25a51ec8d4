"""
Ends, freezes and outages while requests are under way.

Owns what is done to servers and to what is behind them, and what may come of it: an
answer within the deadline, right or 503, and afterwards everything as it was told.
Knows nothing of engines but what a L{Place<tests.races.engines.Place>} says.
"""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from attrs import Factory, define

from tests.crash.visiting import Broken, Connection
from tests.races.engines import withOption
from tests.races.fleet import Fleet
from tests.races.meetings import isGone
from tests.races.wires import Wire

DEADLINE = 0.5
"""The store's deadline here, in seconds."""

SLACK = 3.0
"""Seconds beyond it in which an answer has to be there on a busy machine."""

RECOVERY = 45.0
"""Seconds after which all must be well again: longer than the longest pause between
two tries."""

MEMBERS = 3
"""How many servers there are."""


@define
class Found:
    """
    What was counted.

    @ivar times: How often something was done.
    @ivar answered: How many requests were answered as always.
    @ivar unavailable: How many were answered 503.
    @ivar slowest: The longest that an answer took.
    @ivar recovery: The longest until all was well again.
    @ivar faults: What must not be.
    """

    times: int = 0
    answered: int = 0
    unavailable: int = 0
    slowest: float = 0.0
    recovery: float = 0.0
    faults: list = Factory(list)

    def fault(self, text):
        """
        Note what must not be.
        """
        self.faults.append(text)

    def ask(self, connection, path, uid, *, isFrozen=lambda: False):
        """
        Ask for a page, and see that the answer is one that may be.

        @param isFrozen: Whether the server cannot help being late.
        """
        begun = time.monotonic()
        wasFrozen = isFrozen()
        answer = connection.ask(path, uid)
        took = time.monotonic() - begun
        self.judge(path, answer)
        if not (wasFrozen or isFrozen()):
            self.slowest = max(self.slowest, took)
            if took > DEADLINE + SLACK:
                self.fault(f"{path} was answered after {took:.1f} s")
        return answer

    def judge(self, path, answer):
        """
        See that an answer is one that may be.
        """
        does = path.partition("?")[0]
        if answer.status == 200:
            self.answered += 1
        elif answer.status == 503:
            self.unavailable += 1
            if answer.uid and does != "logout":
                self.fault(f"{path} was answered 503 with a cookie")
        else:
            self.fault(f"{path} was answered {answer.status}: {answer.told}")
        if answer.uid is not None and does not in {"logout", "rotate", "begin"}:
            self.fault(f"{path} touched the cookie")


class Writer:
    """
    Somebody who counts in a session without pause.

    @ivar acknowledged: How often it was said to be done.
    @ivar sent: How often it was asked for.
    """

    def __init__(self, found, member, number, uid):
        self._found = found
        self._member = member
        self._number = number
        self._uid = uid
        self.acknowledged = self.sent = 0

    def write(self, stopped, isDisturbed):
        """
        Count until told to stop.
        """
        try:
            connection = Connection(self._member.server.port)
            while not stopped.is_set():
                self.sent += 1
                page = f"note?key=w{self._number}"
                answer = self._found.ask(
                    connection, page, self._uid, isFrozen=isDisturbed
                )
                self.acknowledged += answer.status == 200
                if "gone" in answer.told:
                    self._found.fault("a session is gone that nobody has ended")
        except Broken:
            if not isDisturbed():
                self._found.fault("a server has closed a connection")
        else:
            connection.close()

    def judge(self, state):
        """
        See if what was acknowledged is there.
        """
        count = state["notes"].get(f"w{self._number}", 0)
        if not self.acknowledged <= count <= self.sent:
            self._found.fault(f"{count}, not {self.acknowledged} to {self.sent}")


class Disturbance:
    """
    One server is killed or frozen while all write, and a session that it was asked
    to change is ended in another.
    """

    def __init__(self, fleet, chance, found):
        self._fleet = fleet
        self._chance = chance
        self._found = found
        self._disturbed = threading.Event()
        self._stopped = threading.Event()

    def run(self, how):
        """
        Run once.

        @param how: The signal.
        """
        fleet, found = self._fleet, self._found
        victim, other = fleet.members[:2]
        shared, doomed = (other.get("begin").uid for _ in range(2))
        for member in fleet.members:
            member.get("look", doomed)
        writers = [
            Writer(found, member, number, shared)
            for number, member in enumerate(fleet.members)
        ]
        with ThreadPoolExecutor(len(writers)) as threads:
            writing = [
                threads.submit(
                    writer.write,
                    self._stopped,
                    self._disturbed.is_set if number == 0 else lambda: False,
                )
                for number, writer in enumerate(writers)
            ]
            time.sleep(self._chance.uniform(0.02, 0.08))
            late = victim.connect()
            late.send(("bump?key=a", doomed), ("cart?drop=plums", doomed))
            self._disturb(victim, other, doomed, how)
            self._stopped.set()
        for each in writing:
            each.result()
        found.times += 1
        late.close()
        if how == signal.SIGKILL:
            fleet.replace(0)
        self._lookBack(shared, doomed, writers)

    def _disturb(self, victim, other, doomed, how):
        """
        Do it, end the session elsewhere, and undo it.
        """
        self._disturbed.set()
        if how == signal.SIGKILL:
            victim.server.end(how)
        else:
            victim.freeze()
        begun = time.monotonic()
        connection = Connection(other.server.port)
        answer = self._found.ask(connection, "logout", doomed)
        while answer.uid is None:
            # The store did not say who that is, so that nobody was signed out.
            answer = self._found.ask(connection, "logout", doomed)
        again = self._found.ask(connection, "look", doomed)
        if again.status == 200 and not isGone(again):
            self._found.fault("a session is served after its logout")
        connection.close()
        rest = self._chance.uniform(0.1, 2 * DEADLINE) - (time.monotonic() - begun)
        time.sleep(max(0.0, rest))
        if how == signal.SIGSTOP:
            victim.thaw()
            # What it was asked before is answered now, whatever it comes to.
            time.sleep(0.1)

    def _lookBack(self, shared, doomed, writers):
        """
        See what is left.
        """
        fleet, found = self._fleet, self._found
        begun = time.monotonic()
        awaitGone(found, fleet.members, doomed)
        for member in fleet.members:
            while (answer := member.ask("look", shared)).status == 503:
                if time.monotonic() - begun > RECOVERY:
                    found.fault("a server does not recover")
                    return
                time.sleep(0.02)
            if "state" not in answer.told:
                found.fault("the session of all is gone")
                continue
            for writer in writers:
                writer.judge(answer.told["state"])
        found.recovery = max(found.recovery, time.monotonic() - begun)
        fleet.members[1].ask("logout", shared)


def awaitGone(found, members, uid):
    """
    Wait until an id is refused everywhere.
    """
    begun = time.monotonic()
    for member in members:
        while not isGone(member.ask("look", uid)):
            if time.monotonic() - begun > RECOVERY:
                found.fault("a session is served long after its logout")
                break
            time.sleep(0.05)
    found.recovery = max(found.recovery, time.monotonic() - begun)


def disturb(case, place, chance, times, how, **options):
    """
    Kill or freeze servers.

    @param how: C{SIGKILL} or C{SIGSTOP}.
    @return: What was found.
    """
    found = Found()
    address = withOption(place.address, f"deadline={DEADLINE}")
    fleet = Fleet(case, place, MEMBERS, address=address, **options)
    for _ in range(times):
        Disturbance(fleet, chance, found).run(how)
    found.faults += fleet.noises()
    return found


class Outage:
    """
    The store cannot be reached for a while, or not well.
    """

    def __init__(self, fleet, found):
        """
        Make some sessions that all servers have in memory.
        """
        self._fleet = fleet
        self._found = found
        members = fleet.members
        self._kept = [self._begin() for _ in members]
        self._ended = [self._begin() for _ in members]
        self._moved = [self._begin() for _ in members]
        self._ending = [self._begin() for _ in members]
        self._new = {}
        self._made = []
        self._sent = [0] * len(members)
        self._acknowledged = [0] * len(members)

    def _begin(self):
        """
        Make a session.
        """
        uid = self._fleet.members[0].get("begin").uid
        for member in self._fleet.members:
            if member.get("look", uid).told.get("did") != "look":
                self._found.fault("a new session is not found")
        return uid

    def run(self, begin, end):
        """
        Run it.

        @param begin: Begins the outage.
        @param end: Ends it.
        """
        leaving = [self._leave(*each) for each in enumerate(self._fleet.members)]
        begin()
        try:
            for member in self._fleet.members:
                member.arm(isArmed=False)
            with ThreadPoolExecutor(MEMBERS) as threads:
                asking = [
                    threads.submit(self._ask, number, member, leaving[number])
                    for number, member in enumerate(self._fleet.members)
                ]
        finally:
            end()
        for each in asking:
            each.result()
        self._found.times += 1
        self._recover()
        self._lookBack()

    def _leave(self, number, member):
        """
        Have somebody sign out, and stop that when his session has been read.

        @return: The connection.
        """
        member.arm()
        connection = Connection(member.server.port)
        connection.send(("logout", self._ended[number]))
        while member.line.held != ["page"]:
            if member.line.held:
                member.line.ask("go")
            else:
                member.line.read()
        return connection

    def _ask(self, number, member, leaving):
        """
        Ask one server for everything.

        @param leaving: Where somebody signs out.
        """
        found = self._found
        kept, ended, moved, ending = (
            ids[number] for ids in (self._kept, self._ended, self._moved, self._ending)
        )
        connection = Connection(member.server.port)

        def ask(path, uid=None):
            answer = found.ask(connection, path, uid)
            if answer.status == 200 and "gone" in answer.told:
                found.fault(f"{path} logged somebody out")
            return answer

        for uid in self._kept:
            ask("look", uid)
        for path in ("bump?key=a", "touch", "transact?key=x", "bump?key=a"):
            answer = ask(path, kept)
            if path.startswith("bump"):
                self._sent[number] += 1
                self._acknowledged[number] += answer.status == 200
        answer = leaving.receive()
        leaving.close()
        found.judge("logout", answer)
        if answer.uid != b"":
            found.fault("a logout left its cookie")
        # Where the store does not say who that is nobody can be signed out.
        if ask("logout", ending).uid == b"":
            self._ended.append(ending)
            ended = ending
        else:
            self._made.append(ending)
        again = found.ask(connection, "look", ended)
        if again.status == 200 and not isGone(again):
            found.fault("a session is served after its logout")
        answer = ask("rotate", moved)
        if answer.status == 200:
            self._new[moved] = answer.uid
        answer = ask("begin")
        if answer.uid:
            self._made.append(answer.uid)
        connection.close()

    def _recover(self):
        """
        Wait until all is well, without a restart.
        """
        begun = time.monotonic()
        for number, member in enumerate(self._fleet.members):
            while True:
                looked, bumped = (
                    member.ask(path, self._kept[number])
                    for path in ("look", "note?key=c")
                )
                if looked.status == bumped.status == 200:
                    break
                if time.monotonic() - begun > RECOVERY:
                    self._found.fault("a server does not recover")
                    return
                time.sleep(0.02)
        self._found.recovery = max(self._found.recovery, time.monotonic() - begun)

    def _lookBack(self):
        """
        See what is left: nobody in or out by the fault.
        """
        found, members = self._found, self._fleet.members
        for number, member in enumerate(members):
            if not isGone(member.get("look", self._ended[number])):
                found.fault("a logout is forgotten where it was asked for")
                return
        for uid in self._ended:
            awaitGone(found, members, uid)
        for uid in set(self._moved) - set(self._new):
            gone = {isGone(member.get("look", uid)) for member in members}
            if len(gone) > 1:
                found.fault("an id is refused in one process and served in another")
        for member in members:
            self._lookForKept(member)
            for old in self._new:
                if not isGone(member.get("look", old)):
                    found.fault("an old id is served")
            for uid in (*self._new.values(), *self._made):
                if "state" not in member.get("look", uid).told:
                    found.fault("a session that was acknowledged is not there")

    def _lookForKept(self, member):
        """
        See whether the sessions that nobody ended are there.
        """
        for number, uid in enumerate(self._kept):
            told = member.get("look", uid).told
            if "state" not in told:
                self._found.fault(f"somebody was logged out: {told}")
                continue
            count, least = told["state"].get("a", 0), self._acknowledged[number]
            if not least <= count <= self._sent[number]:
                self._found.fault(f"{count}, not {least} to {self._sent[number]}")


def outagesOf(case, place):
    """
    All that can happen to a store.

    @return: For each its name, the address that servers are given, and what begins and
        ends it.
    """
    for name, (begin, end) in place.outages.items():
        yield name, place.address, begin, end
    if place.socket is not None:
        for way in ("cut", "swallow", "deaf", "delay", "bite"):
            wire = Wire(case, place.socket)
            address = place.through(wire.port)

            def begin(wire=wire, way=way):
                wire.be(way)

            def end(wire=wire):
                wire.be("good")

            yield f"the wire: {way}", address, begin, end


def outage(case, place, address, begin, end, times=1, **options):
    """
    Have an outage.

    @return: What was found.
    """
    found = Found()
    address = withOption(address, f"deadline={DEADLINE}")
    fleet = Fleet(case, place, MEMBERS, address=address, **options)
    for _ in range(times):
        Outage(fleet, found).run(begin, end)
    found.faults += fleet.noises()
    return found


__all__ = [
    "DEADLINE",
    "Disturbance",
    "Found",
    "Outage",
    "Writer",
    "awaitGone",
    "disturb",
    "outage",
    "outagesOf",
]
