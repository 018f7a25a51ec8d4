"""
The servers as the driver sees them.

Owns a member's connections and its second line, and the fleet of all members over one
store.  Knows no scenario.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import time
from select import select

from tests.crash.nursery import Nursery, Server
from tests.crash.rounds import NOISES
from tests.crash.visiting import Broken, Connection

MODULE = "tests.races.server"
"""The program of a server."""

PATIENCE = 20.0
"""Seconds that the driver waits for anything."""

SETTLED = 5.0
"""Seconds after which a store that was late has done what it was asked for."""


LATE = re.compile(r".*cannot be opened: .* takes longer than .* to connect.*")
"""What a server may say as it starts on a busy machine; it opens its store later."""


class Line:
    """
    The second line to a server.

    @ivar held: The names of the stops where somebody waits.
    @ivar pending: How many are stopped, or in the store.
    @ivar told: What was told and nobody has asked for yet, by the order's number.
    """

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._serials = itertools.count(1)
        self.held, self.pending = [], 0
        self.told = {}

    def fileno(self):
        """
        For C{select}.
        """
        return self._socket.fileno()

    def close(self):
        """
        Be done.
        """
        self._socket.close()

    def ask(self, do, **order):
        """
        Give an order, and wait for what is told.
        """
        serial = self.send(do, **order)
        while serial not in self.told:
            self.read()
        return self.told.pop(serial)

    def send(self, do, **order):
        """
        Give an order.

        @return: Its number.
        """
        serial = next(self._serials)
        line = json.dumps({"do": do, "serial": serial, **order})
        self._socket.sendall(line.encode() + b"\n")
        return serial

    def read(self):
        """
        Wait for a line.
        """
        while b"\n" not in self._received:
            more = self._socket.recv(65536)
            if not more:
                raise Broken("the second line was closed")
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        state = json.loads(line)
        self.held, self.pending = state["held"], state["pending"]
        if state["serial"] is not None:
            self.told[state["serial"]] = state["told"]

    def readAll(self):
        """
        Read what has come.
        """
        while b"\n" in self._received or select([self._socket], [], [], 0)[0]:
            self.read()


class Member:
    """
    One server of the fleet.

    @ivar server: Its process.
    @ivar line: The second line.
    """

    def __init__(self, case, place, **options):
        nursery = Nursery.get(MODULE)
        log = place.folder / "log"
        told = nursery.ask(
            address=options.pop("address", place.address),
            keys=place.keys,
            log=str(log),
            **options,
        )
        if "port" not in told:
            said = log.read_text()[-3000:]
            raise AssertionError(f"the server has not started: {said}")
        self.server = Server(nursery, told["pid"], told["port"], log)
        self.line = Line(told["control"])
        self._idle = []
        self._isArmed = False
        case.addCleanup(self.close)
        case.addCleanup(self.server.endAtLast)

    def connect(self):
        """
        A connection that nobody uses; L{giveBack} it.
        """
        while self._idle:
            connection = self._idle.pop()
            if not connection.hasAnswer(0):
                return connection
            # The server has closed what nobody used for long.
            connection.close()
        return Connection(self.server.port)

    def giveBack(self, connection):
        """
        It is not used any more.
        """
        self._idle.append(connection)

    def ask(self, path, uid=None):
        """
        Ask for one page.
        """
        connection = self.connect()
        answer = connection.ask(path, uid)
        self.giveBack(connection)
        return answer

    def get(self, path, uid=None, late=lambda: None):
        """
        Ask for one page until it is there: on a busy machine the store may be late.

        @param late: Called each time that it is.
        """
        end = time.monotonic() + PATIENCE
        while (answer := self.ask(path, uid)).status == 503 and time.monotonic() < end:
            late()
            time.sleep(0.1)
        return answer

    def arm(self, *, isArmed=True):
        """
        Stop its requests from now on, or let all go on.
        """
        self._isArmed = isArmed
        self.line.ask("arm" if isArmed else "disarm")

    def sessionsOf(self, who):
        """
        The handles of somebody's sessions, and how much is wrong in the index.
        """
        end = time.monotonic() + PATIENCE
        while isinstance(told := self.line.ask("principal", who=who), str):
            # On a busy machine the store may be late.
            if time.monotonic() > end:
                raise AssertionError(f"the sessions cannot be listed: {told}")
        return told

    @contextlib.contextmanager
    def resting(self):
        """
        Ask something in between that does not stop.

        @return: Whether it would be answered.
        """
        line = self.line
        if not self._isArmed:
            yield True
            return
        line.ask("rest")
        yield not (line.pending or line.held)
        line.ask("arm")

    def await_(self):
        """
        Wait until the store is open.
        """
        end = time.monotonic() + PATIENCE
        while (answer := self.ask("begin")).status != 200:
            if time.monotonic() > end:
                said = self.server.said[-3000:]
                raise AssertionError(f"{answer} is all that it answers: {said}")
            time.sleep(0.02)
        self.ask("logout", answer.uid)

    def freeze(self):
        """
        Stop the process.
        """
        os.kill(self.server.pid, signal.SIGSTOP)

    def thaw(self):
        """
        Let it go on.
        """
        os.kill(self.server.pid, signal.SIGCONT)

    def close(self):
        """
        Be done with it.
        """
        self.line.close()
        for connection in self._idle:
            connection.close()
        self._idle = []


class Fleet:
    """
    Some servers over one store.

    @ivar members: The servers.
    """

    def __init__(self, case, place, size, **options):
        """
        @param options: See L{tests.races.server.Options}.
        """
        self._case = case
        self._options = options
        self.place = place
        self.members = [Member(case, place, **options) for _ in range(size)]
        for member in self.members:
            member.await_()
        self._besides = self.count()

    def replace(self, number):
        """
        Start a server in the place of one that has ended.
        """
        self.members[number].close()
        member = Member(self._case, self.place, **self._options)
        self.members[number] = member
        member.await_()
        return member

    def events(self):
        """
        How many events of which kind there were in all processes.
        """
        total = {}
        for member in self.members:
            for kind, count in member.line.ask("events").items():
                total[kind] = total.get(kind, 0) + count
        return total

    def count(self):
        """
        How many sessions are alive.
        """
        end = time.monotonic() + PATIENCE
        while isinstance(counted := self.members[-1].line.ask("count"), str):
            # On a busy machine the store may be late.
            if time.monotonic() > end:
                raise AssertionError(f"the sessions cannot be counted: {counted}")
        return counted

    def living(self):
        """
        How many sessions are alive that were not so at first.
        """
        return self.count() - self._besides

    def settle(self):
        """
        The store was late: wait for the ends that are still to come, and count no
        more what is left, which nobody was told of.
        """
        end = time.monotonic() + SETTLED
        while (left := self.living()) and time.monotonic() < end:
            time.sleep(0.1)
        self._besides += left

    def complaint(self):
        """
        The last that a server said of the store being away.
        """
        lines = self.members[0].server.said.splitlines()
        return next((line for line in reversed(lines) if " unavailable: " in line), "")

    def noises(self):
        """
        What no server may say, if one did.
        """
        said = LATE.sub("", self.members[0].server.said)
        for noise in NOISES:
            where = said.find(noise)
            if where >= 0:
                return [f"something failed: {said[max(0, where - 500) : where + 3000]}"]
        return []


__all__ = ["PATIENCE", "Fleet", "Line", "Member"]
