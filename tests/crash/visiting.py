"""
The clients, and what they were told.

Owns plain HTTP over sockets, in blocking calls, and the ledger of a visitor: what
the server has acknowledged to him, what he asked for last and was not answered, and
which of his ids are dead.  Comparing that with what a server says is how it is found
out if anything was lost.
"""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from select import select
from threading import Lock

from attrs import Factory, define, frozen

PATIENCE = 20.0
"""Seconds that a client waits."""

_SET_COOKIE = re.compile(rb"(?i)\r\nset-cookie: ([^\r]*)")
_COOKIE = re.compile(rb"(?i)\r\nset-cookie: sid=([0-9a-f]*);")


class Broken(Exception):
    """
    The connection was lost before the whole answer had come.
    """


@frozen(kw_only=True)
class Answer:
    """
    What the server said.

    @ivar status: The status code.
    @ivar told: What was in the body, if that was JSON.
    @ivar uid: The value of the session's cookie, empty where it is deleted, and
        L{None} where there is none.
    @ivar cookie: The whole C{Set-Cookie} value, or L{None}.
    """

    status: int
    told: dict = Factory(dict)
    uid: bytes | None = None
    cookie: bytes | None = None


class Connection:
    """
    One connection, used again and again.
    """

    def __init__(self, port):
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        except OSError as error:
            raise Broken(str(error)) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

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

    def send(self, *requests):
        """
        Send requests, all at once.

        @param requests: For each what is asked for, and the uid to show or L{None}.
        """
        lines = []
        for path, uid in requests:
            lines.append(b"GET /%s HTTP/1.1\r\nHost: localhost\r\n" % path.encode())
            lines.append(b"Cookie: sid=%s\r\n\r\n" % uid if uid else b"\r\n")
        try:
            self._socket.sendall(b"".join(lines))
        except OSError as error:
            raise Broken(str(error)) from error

    def receive(self):
        """
        Wait for one answer.
        """
        head = self._take(b"\r\n\r\n")
        length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head)[1])
        body = self._take(length)
        status = int(head.split(b" ", 2)[1])
        cookies = _COOKIE.findall(head)
        assert len(cookies) <= 1, head
        whole = _SET_COOKIE.search(head)
        return Answer(
            status=status,
            told=json.loads(body) if status == 200 else {"error": body.decode()},
            uid=cookies[0] if cookies else None,
            cookie=whole and whole[1],
        )

    def hasAnswer(self, seconds):
        """
        Wait so long for something to come.
        """
        return bool(self._received or select([self._socket], [], [], seconds)[0])

    def ask(self, path, uid=None):
        """
        Send one request and wait for the answer.
        """
        self.send((path, uid))
        return self.receive()

    def _take(self, end):
        """
        Take from what was received: so many bytes, or up to these bytes.
        """
        while True:
            if isinstance(end, int):
                size = end if len(self._received) >= end else -1
            else:
                size = self._received.find(end)
                size += len(end) if size >= 0 else 0
            if size >= 0:
                taken, self._received = self._received[:size], self._received[size:]
                return taken
            try:
                more = self._socket.recv(65536)
            except TimeoutError:
                raise AssertionError(f"no answer in {PATIENCE:.0f} s") from None
            except OSError as error:
                raise Broken(str(error)) from error
            if not more:
                raise Broken("the connection was closed")
            self._received += more


def ask(port, path, uid=None):
    """
    Send one request over a connection of its own.
    """
    connection = Connection(port)
    try:
        return connection.ask(path, uid)
    finally:
        connection.close()


@define(kw_only=True)
class Tally:
    """
    What was counted over all rounds.

    @ivar acknowledged: How many changes were.
    @ivar cut: How many were asked for and not answered.
    @ivar kept: How many of these had been saved all the same.
    @ivar dead: How many ids were tried after their end.
    @ivar faults: What must not be.
    """

    acknowledged: int = 0
    cut: int = 0
    kept: int = 0
    dead: int = 0
    faults: list = Factory(list)

    def add(self, other):
        """
        Add what another has counted.
        """
        self.acknowledged += other.acknowledged
        self.cut += other.cut
        self.kept += other.kept
        self.dead += other.dead
        self.faults += other.faults


class Visitor:
    """
    Somebody who counts, signs in and out, and remembers what he was told.

    @ivar tally: What he has counted.
    @ivar uid: His id, or L{None}.
    @ivar dead: Ids that must never be accepted again.
    @ivar leastLost: How many sessions there are at least whose id nobody was told,
        since the answer that held it was cut off.
    @ivar mostLost: How many of these there are at most: it may have been cut off
        before there was a session.
    """

    CHANGES = ("count",) * 7 + ("login", "rotate", "logout")

    def __init__(self, chance):
        """
        @param chance: A C{random.Random}.
        """
        self._chance = chance
        self.tally = Tally()
        self.dead = []
        self.leastLost = self.mostLost = 0
        self._asked = None
        self._forget()

    def _forget(self):
        """
        Be nobody.
        """
        self.uid = None
        self._state = {"count": 0, "twin": 0, "user": ""}

    def _after(self, change, name):
        """
        What his session is after a change.
        """
        state = dict(self._state)
        if change == "count":
            state["count"] = state["twin"] = state["count"] + 1
        elif change == "login":
            state["user"] = name
        elif change == "logout":
            state = {"count": 0, "twin": 0, "user": ""}
        return state

    def change(self, connection):
        """
        Make one change, and write down the answer.

        @return: Whether there may be more: not where the server says that it
            cannot.
        """
        change = self._chance.choice(self.CHANGES) if self.uid else "count"
        name = f"user{self._chance.randrange(1000)}"
        self._asked = change, name
        answer = connection.ask(f"{change}?name={name}", self.uid)
        if answer.status != 200:
            if answer.status != 503:
                self._fault(f"{change} was answered {answer.status}: {answer.told}")
            return False
        self._asked = None
        self.tally.acknowledged += 1
        expected = self._after(change, name)
        if change != "logout":
            self._compare(answer, expected, f"the answer to {change}")
        self._state = expected
        if change in {"login", "rotate", "logout"}:
            self.dead.append(self.uid)
            self.uid = None
        if answer.uid:
            self.uid = answer.uid
        if change != "logout" and self.uid is None:
            self._fault(f"{change} left no cookie")
        return True

    def check(self, connection):
        """
        Look what a server says now, and take that for true.
        """
        asked, self._asked = self._asked, None
        self.tally.cut += asked is not None
        if self.uid is None:
            self.mostLost += asked is not None
            return
        answer = connection.ask("look", self.uid)
        if answer.status != 200:
            self._fault(f"a look was answered {answer.status}: {answer.told}")
            return
        change, name = asked or ("nothing", "")
        found = {part: answer.told[part] for part in self._state}
        if answer.told["isNew"]:
            if change not in {"login", "rotate", "logout"}:
                self._fault(f"a session was lost; cut off: {change}")
            else:
                self.tally.kept += 1
            self.leastLost += change in {"login", "rotate"}
            self.mostLost += change in {"login", "rotate"}
            self.dead.append(self.uid)
            self._forget()
            return
        changed = self._after(change, name)
        if change in {"count", "nothing"} and found == changed:
            self.tally.kept += change == "count"
            self._state = changed
        else:
            self._compare(answer, self._state, f"a look; cut off: {change}")
            self._state = found

    def tryDead(self, connection, ids):
        """
        Show ids that are dead.
        """
        for uid in ids:
            self.tally.dead += 1
            answer = connection.ask("look", uid)
            if answer.status != 200 or not answer.told["isNew"] or answer.uid:
                self._fault(f"a dead id was accepted: {answer.status} {answer.told}")

    def _compare(self, answer, expected, what):
        """
        See if an answer is what it must be.
        """
        found = {part: answer.told.get(part) for part in expected}
        if found != expected:
            self._fault(f"{what}: {found} instead of {expected}")

    def _fault(self, text):
        """
        Note what must not be.
        """
        self.tally.faults.append(text)


class Crowd:
    """
    The visitors of one session, who all count in it at the same time.

    @ivar faults: What must not be.
    """

    def __init__(self):
        self.uid = None
        self.faults = []
        self._numbers = Counter()
        self._last = 0
        self._asked = 0
        self._lock = Lock()

    def begin(self, connection):
        """
        Make the session.
        """
        answer = connection.ask("count")
        self.uid = answer.uid
        self._numbers[answer.told["count"]] += 1

    def count(self, connection):
        """
        Count once.
        """
        with self._lock:
            self._asked += 1
        answer = connection.ask("count", self.uid)
        if answer.status == 200:
            with self._lock:
                self._asked -= 1
                self._numbers[answer.told["count"]] += 1

    def check(self, connection):
        """
        Look what a server says now.  No number may have been told twice, the last
        one told must be there, and beyond it only what was cut off.
        """
        told = connection.ask("look", self.uid).told
        last = max(self._last, *self._numbers)
        self._last = told.get("count", 0)
        if not last <= self._last <= last + self._asked:
            self.faults.append(f"{told} instead of {last} and {self._asked} cut off")
        if told.get("count") != told.get("twin"):
            self.faults.append(f"half a change: {told}")
        twice = [number for number, times in self._numbers.items() if times > 1]
        if twice:
            self.faults.append(f"told twice: {twice}")
        self._asked = 0


__all__ = [
    "PATIENCE",
    "Answer",
    "Broken",
    "Connection",
    "Crowd",
    "Tally",
    "Visitor",
    "ask",
]
