"""
Sessions that run out while they are used, and while several processes sweep.

Owns the users of short sessions, what they may be told at which time, and the sweeps.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from attrs import Factory, define

from tests.crash.visiting import Connection
from tests.races.meetings import isGone

IDLE = 1.5
"""The sessions' idle time, in seconds.  No reply waits for a touch, so that a
fifteenth of it has to be longer than a commit takes on a busy machine."""

TOUCH = IDLE / 15
"""How much later a session may end in another process."""

SLACK = 0.02
"""How exact clocks are taken to be."""

USERS = 6
"""How many use sessions at the same time."""


@define
class Ends:
    """
    What was counted.

    @ivar sessions: How many sessions there were.
    @ivar served: How many requests were served.
    @ivar refused: How many were told that the session is gone.
    @ivar swept: How many records were swept.
    @ivar faults: What must not be.
    """

    sessions: int = 0
    served: int = 0
    refused: int = 0
    swept: int = 0
    faults: list = Factory(list)


class User:
    """
    Somebody who uses one session after another until it is gone.
    """

    def __init__(self, fleet, chance, ends):
        self._fleet = fleet
        self._chance = chance
        self._ends = ends
        self._connections = [Connection(m.server.port) for m in fleet.members]

    def use(self):
        """
        Use one session: some times in time, then once about when it runs out.
        """
        chance, ends = self._chance, self._ends
        sent = time.monotonic()
        uid = self._ask(f"begin?idle={IDLE}").uid
        used = sent, time.monotonic()
        ends.sessions += 1
        for _ in range(chance.randrange(4)):
            used = self._useOnce(uid, used, chance.uniform(0.1, 0.9) * IDLE)
            if used is None:
                return
        used = self._useOnce(uid, used, IDLE + chance.uniform(-0.03, 0.06))
        if used is not None:
            self._useOnce(uid, used, IDLE + TOUCH + 2 * SLACK)

    def _ask(self, path, uid=None):
        """
        Ask one of the servers.
        """
        return self._chance.choice(self._connections).ask(path, uid)

    def _useOnce(self, uid, used, pause):
        """
        Use it after a while, and see if it was rightly there or not.

        @param used: From when to when it was used before.
        @return: The same of this use, or L{None} if it is gone.
        """
        ends = self._ends
        time.sleep(max(0.0, used[0] + pause - time.monotonic()))
        path = self._chance.choice(("look", "bump?key=a", "touch", "logout"))
        sent = time.monotonic()
        answer = self._ask(path, uid)
        answered = time.monotonic()
        if isGone(answer):
            ends.refused += 1
            if answered - used[0] < IDLE:
                ends.faults.append(f"ended {answered - used[0]:.3f} s after its use")
            # Where it was not used last it may be there a little longer.
            self._stayGone(uid, used[1] + IDLE + TOUCH + SLACK)
            return None
        ends.served += 1
        if answer.status != 200 or (answer.uid is not None and path != "logout"):
            ends.faults.append(f"{path} was answered {answer.status} {answer.uid}")
        if sent - used[1] > IDLE + TOUCH + SLACK:
            ends.faults.append(f"served {sent - used[1]:.3f} s after its use")
        if path == "logout":
            self._stayGone(uid, answered)
            return None
        return sent, answered

    def _stayGone(self, uid, since):
        """
        What is gone is gone, for all.
        """
        time.sleep(max(0.0, since - time.monotonic()))
        for connection in self._connections:
            if not isGone(connection.ask("look", uid)):
                self._ends.faults.append("a session has come back")

    def close(self):
        """
        Be done.
        """
        for connection in self._connections:
            connection.close()


def sweepAll(fleet, stopped, ends):
    """
    Have all processes sweep, over and over.
    """
    while not stopped.wait(0.005):
        serials = [member.line.send("sweep") for member in fleet.members]
        for member, serial in zip(fleet.members, serials, strict=True):
            while serial not in member.line.told:
                member.line.read()
            swept = member.line.told.pop(serial)
            if isinstance(swept, int):
                ends.swept += swept
            else:
                ends.faults.append(f"a sweep has {swept}")


def runOut(fleet, chance, times):
    """
    Have sessions run out.

    @param times: How many each user uses.
    @return: What was counted.
    """
    ends, stopped = Ends(), threading.Event()
    users = [User(fleet, chance, ends) for _ in range(USERS)]

    def live(user):
        for _ in range(times):
            user.use()
        user.close()

    with ThreadPoolExecutor(USERS + 1) as threads:
        sweeping = threads.submit(sweepAll, fleet, stopped, ends)
        living = [threads.submit(live, user) for user in users]
        try:
            for each in living:
                each.result()
            time.sleep(2 * (IDLE + TOUCH))
        finally:
            stopped.set()
        sweeping.result()
    left = fleet.members[0].line.ask("records")
    if left:
        ends.faults.append(f"{left} records are left over")
    ends.faults += fleet.noises()
    return ends


__all__ = ["IDLE", "Ends", "User", "runOut", "sweepAll"]
