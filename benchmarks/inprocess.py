"""
C{python -m benchmarks.inprocess}: the same comparison in one process, without
sockets.

Requests go into the channel of a connection that writes into memory, and the time
is the processor's.  The alternatives take very short turns, and what counts of each
is its fastest turn: on a machine with other work to do that is steadier than a mean
by far.  What a socket, epoll and a context switch cost is in none of the figures,
nor is the wait for a disk.

Reading is timed in this thread.  Writing to SQLite takes the reactor and the thread
that commits, so there the time is the whole process's, over batches of
L{TOGETHER} requests at once.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport

from benchmarks.alternatives import ALL, BARE, Alternative, chosen
from benchmarks.counter import Counter, makeSite
from benchmarks.tables import align

reactor: Any = _reactor

TOGETHER: Final = 32
"""How many requests are under way at once, and how many clients there are."""

BATCHES: Final = 4
"""How many batches make a turn."""

PATIENCE: Final = 10.0
"""Seconds after which an answer that is not there will not come."""

REQUEST: Final = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"


class Wire(StringTransport, Server):  # type: ignore[misc]  # each has its attributes
    """
    What a connection of Twisted's own is to a channel, but that it writes into memory.  A
    site asks one of another kind more.
    """

    getHost = Server.getHost
    getPeer = Server.getPeer

    def __init__(self, address: IPv4Address) -> None:
        super().__init__()
        self.client = address.host, address.port
        self.socket: Any = self

    def getsockname(self) -> tuple[str, int]:
        """
        Do what a socket does.
        """
        return self.client

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        There is no socket.
        """


class Client:
    """
    One client, with a connection and a cookie of its own.

    @ivar request: The bytes that it sends.
    """

    def __init__(self, site: Any) -> None:
        address = IPv4Address("TCP", "127.0.0.1", 50000)
        self.transport = Wire(address)
        self._channel = site.buildProtocol(address)
        self._channel.makeConnection(self.transport)
        self.request = REQUEST + b"\r\n"

    def send(self) -> None:
        """
        Send a request.
        """
        self._channel.dataReceived(self.request)

    def received(self) -> bytes:
        """
        What has come back so far, once.
        """
        answer: bytes = self.transport.io.getvalue()
        if answer:
            self.transport.clear()
        return answer


class Runner:
    """
    One alternative, in this process.

    @ivar best: The least that a request took in any turn, in microseconds.
    """

    def __init__(self, alternative: Alternative, size: int, folder: Path) -> None:
        self.alternative = alternative
        folder.mkdir()
        counter = Counter(alternative.kind, alternative.mode, size)
        self.site: Any = makeSite(alternative.kind, counter, str(folder))
        self.site.doStart()
        self.clients = [Client(self.site) for _ in range(TOGETHER)]
        self.best = float("inf")
        self._clock: Callable[[], float] = (
            time.process_time
            if alternative.mode == "write" and alternative.kind.startswith("sqlite")
            else time.thread_time
        )
        for client in self.clients:
            client.send()
            answer = self._wait(client)
            cookie = re.search(rb"\r\nSet-Cookie: ([^;]+)", answer)
            if cookie is not None:
                client.request = REQUEST + b"Cookie: " + cookie[1] + b"\r\n\r\n"

    def _wait(self, client: Client) -> bytes:
        """
        Let the reactor work until a client has its answer.
        """
        end = time.monotonic() + PATIENCE
        while not (answer := client.received()):
            # What reactor.iterate does, but that it would go to sleep for those whose
            # answers this has just given.
            reactor.runUntilCurrent()
            if answer := client.received():
                break
            left = reactor.timeout()
            reactor.doIteration(0.01 if left is None else min(left, 0.01))
            if time.monotonic() > end:
                raise SystemExit(f"{self.alternative} does not answer")
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"{self.alternative} answers {answer[:60]!r}")
        return answer

    def turn(self) -> None:
        """
        Take one turn.
        """
        clock = self._clock
        began = clock()
        for _ in range(BATCHES):
            for client in self.clients:
                client.send()
            for client in self.clients:
                self._wait(client)
            # For every alternative, so that the timeouts of all connections count.
            reactor.iterate(0)
        each = (clock() - began) / (BATCHES * TOGETHER) * 1e6
        self.best = min(self.best, each)

    def close(self) -> None:
        """
        Close the store.
        """
        if hasattr(self.site, "closed"):
            done = self.site.closed()
            end = time.monotonic() + PATIENCE
            while not done.called and time.monotonic() < end:
                reactor.iterate(0.01)
        with suppress(AttributeError):
            self.site.doStop()


def render(best: dict[Alternative, float]) -> str:
    """
    The table.
    """
    rows = [("", "CPU us a request", "over bare", "over builtin")]
    for alternative, each in best.items():
        over = []
        for other in (BARE, Alternative("builtin", alternative.mode)):
            base = best.get(other)
            hidden = base is None or alternative in {other, BARE}
            over.append("-" if base is None or hidden else f"{each - base:+.1f}")
        rows.append((str(alternative), f"{each:.1f}", *over))  # type: ignore[arg-type]
    return "\n".join(align(rows))


def main(arguments: Sequence[str]) -> int:
    """
    Compare, and print.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inprocess")
    parser.add_argument("--only", type=chosen, default=ALL, metavar="KIND[:MODE],...")
    parser.add_argument("--turns", type=int, default=150, help="how many (150)")
    parser.add_argument("--bytes", type=int, default=300, help="size of the state")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        runners = [
            Runner(alternative, options.bytes, Path(folder) / f"{number}")
            for number, alternative in enumerate(options.only)
        ]
        # What was there before would be looked through now and then, at no request's
        # expense in particular.
        gc.collect()
        gc.freeze()
        for turn in range(options.turns):
            for runner in runners:
                runner.turn()
            if not (turn + 1) % 50:
                print(f"{turn + 1} turns", file=sys.stderr, flush=True)
        for runner in runners:
            runner.close()
    print(render({runner.alternative: runner.best for runner in runners}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
