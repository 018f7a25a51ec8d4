"""
A load generator that needs nothing installed: raw sockets and epoll.

Owns the asking: so many connections, each with one request under way, kept alive,
and C{CLIENTS} cookies taken in turn.  Run as C{python -m benchmarks.load}, it
takes its order as JSON from its standard input and answers in JSON, so that the
time it takes is not that of the process that measures.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

from attrs import asdict, frozen

from benchmarks.alternatives import CLIENTS

PATIENCE: Final = 30.0
"""Seconds without any answer after which the server is given up."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_COOKIE = re.compile(rb"\r\nset-cookie: *([^;\r]+)", re.IGNORECASE)


class LoadFailed(Exception):
    """
    The server does not do what a server does.
    """


@frozen(kw_only=True)
class Order:
    """
    What is to be asked.

    @ivar seconds: For how long, if it is not a number of requests.
    @ivar requests: How many requests, exactly; 0 for as many as fit.
    @ivar cookies: What the clients have already.
    """

    port: int
    connections: int
    seconds: float = 0.0
    requests: int = 0
    cookies: Sequence[str] = ()


@frozen(kw_only=True)
class Outcome:
    """
    What came of it.

    @ivar requests: How many were answered.
    @ivar seconds: In what time.
    @ivar errors: How many of them not with 200, or not at all.
    @ivar cookies: What the clients have now.
    """

    requests: int
    seconds: float
    errors: int
    cookies: Sequence[str] = ()


class _Connection:
    """
    One connection, and what was received of the answer.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def answer(self) -> bytes | None:
        """
        Receive.

        @return: The head of the answer, if it is whole.
        @raise LoadFailed: It will never be.
        """
        data = self.socket.recv(65536)
        if not data:
            raise LoadFailed("the server closed a connection that is kept alive")
        received = self.received + data
        end = received.find(b"\r\n\r\n")
        if end >= 0:
            head = received[:end]
            length = _LENGTH.search(head)
            if length is None:
                raise LoadFailed("the server does not say how long its answer is")
            if len(received) - end - 4 >= int(length[1]):
                self.received = b""
                return head
        self.received = received
        return None


class _Load:
    """
    One order, carried out.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._cookies = [cookie.encode("ascii") for cookie in order.cookies]
        self._requests: list[bytes] = []
        self._turn = self._sent = self._answered = self._errors = 0
        self._plain = self._request(b"")
        for cookie in self._cookies:
            self._requests.append(self._request(b"Cookie: " + cookie + b"\r\n"))

    def _request(self, more: bytes) -> bytes:
        """
        Write a request.
        """
        host = b"Host: 127.0.0.1:%d\r\n" % self._order.port
        return b"GET / HTTP/1.1\r\n" + host + more + b"\r\n"

    def _ask(self, connection: _Connection) -> None:
        """
        Send the next request, unless there were enough.
        """
        if self._order.requests and self._sent >= self._order.requests:
            return
        self._sent += 1
        request = self._plain
        if len(self._requests) >= CLIENTS:
            self._turn = (self._turn + 1) % len(self._requests)
            request = self._requests[self._turn]
        connection.socket.sendall(request)

    def _note(self, head: bytes) -> None:
        """
        Count an answer, and keep its cookie.
        """
        self._answered += 1
        if not head.startswith(b"HTTP/1.1 200 "):
            self._errors += 1
        if len(self._cookies) < CLIENTS:
            found = _COOKIE.search(head)
            if found is not None:
                self._cookies.append(found[1])
                self._requests.append(self._request(b"Cookie: " + found[1] + b"\r\n"))

    def run(self) -> Outcome:
        """
        Ask, until there is enough.

        @raise LoadFailed: The server does not answer.
        """
        order = self._order
        made = [_Connection(order.port) for _ in range(order.connections)]
        connections = {each.socket.fileno(): each for each in made}
        with select.epoll() as poll:
            for number in connections:
                poll.register(number, select.EPOLLIN)
            began = now = time.monotonic()
            for connection in made:
                self._ask(connection)
            while (
                self._answered < order.requests
                if order.requests
                else now - began < order.seconds
            ):
                ready = poll.poll(PATIENCE)
                if not ready:
                    raise LoadFailed(f"no answer for {PATIENCE:g} s")
                for number, _ in ready:
                    head = connections[number].answer()
                    if head is not None:
                        self._note(head)
                        self._ask(connections[number])
                now = time.monotonic()
        for connection in made:
            connection.socket.close()
        return Outcome(
            requests=self._answered,
            seconds=now - began,
            errors=self._errors,
            cookies=[cookie.decode("ascii") for cookie in self._cookies],
        )


def drive(order: Order) -> Outcome:
    """
    Carry out an order, in this process.

    @raise LoadFailed: The server does not answer.
    """
    return _Load(order).run()


if __name__ == "__main__":
    outcome = drive(Order(**json.loads(sys.stdin.read())))
    print(json.dumps(asdict(outcome)))


__all__ = ["LoadFailed", "Order", "Outcome", "drive"]
