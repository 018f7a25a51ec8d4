"""
Floods of visitors who are nobody: those who only look, and those who leave something.

Owns the visitors.  Each has a connection of its own in memory, without a socket, so that
what is counted is the site's.  As a program it says what came of many of them::

    python -m tests.floods looking 1000000
    python -m tests.floods writing 100000 sqlite:/tmp/sessions.sqlite
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, react
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource

from txsessions import Site, openStore
from txsessions.core.keyring import KeyRing
from txsessions.live.deadlines import deadlinesOf
from txsessions.stores import MemoryStore

SIGNED_IN = 50
"""How many are signed in while others write."""

AT_ONCE = 64
"""How many visitors are there at a time."""

EACH = 20
"""After how many times so many those who are signed in look in, and all are counted."""


class Front(Resource):
    """
    Looks at the session at C{/look}, writes into it at C{/write}, signs in at C{/in}.
    """

    isLeaf = True

    def render(self, request: Any) -> bytes:
        """
        Render.
        """
        session = request.getSession()
        if request.path == b"/write":
            session["cart"] = session.sessionNamespaces.get("cart", 0) + 1
        elif request.path == b"/in":
            session["cart"] = 1
            session.login(request, request.args[b"who"][0].decode())
        who = session.principal or "nobody"
        return f"{who} {session.sessionNamespaces.get('cart', 0)}".encode()


class Line(StringTransport):
    """
    A connection in memory.

    @ivar answered: Fires with all that was said, when the server closes it.
    """

    def __init__(self, host: str) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, 4711))
        self.answered: Deferred[bytes] = Deferred()
        self.lenient = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        See C{ITCPTransport}.
        """

    def loseConnection(self) -> None:
        """
        See C{ITransport}.
        """
        super().loseConnection()
        if not self.answered.called:
            self.answered.callback(self.value())


def visit(
    site: Any, path: str, cookie: bytes = b"", host: str = "192.0.2.1"
) -> Deferred[bytes]:
    """
    Connect, send a request, and leave.

    @return: Fires with the whole response.
    """
    line = Line(host)
    protocol = site.buildProtocol(None)
    protocol.makeConnection(line)
    lines = [
        f"GET {path} HTTP/1.1".encode(),
        b"Host: example.org",
        b"Connection: close",
    ]
    lines += [b"Cookie: " + cookie] if cookie else []
    protocol.dataReceived(b"\r\n".join([*lines, b"", b""]))

    def left(answer: bytes) -> bytes:
        protocol.connectionLost(None)
        return answer

    return line.answered.addCallback(left)


def cookieOf(answer: bytes) -> bytes:
    """
    The cookie that a response gives out, as a browser sends it back.
    """
    for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name.lower() == b"set-cookie":
            return value.partition(b";")[0]
    return b""


def said(answer: bytes) -> bytes:
    """
    The body of a response.
    """
    return answer.partition(b"\r\n\r\n")[2]


def look(count: int) -> dict[str, int]:
    """
    Have many visitors look at a site, whose clock stands still.

    @return: How many records, cookies, timers, sessions in memory and bytes there are
        more than there were after the first hundredth of them.
    """
    clock = Clock()
    clock.advance(1_700_000_000.0)
    store = MemoryStore()
    keys = KeyRing.random(lambda size: bytes(range(100, 100 + size)))
    site = Site(Front(), store=store, keys=keys, reactor=clock)
    site.startFactory()
    cookies = 0

    def come(number: int) -> None:
        nonlocal cookies
        for _ in range(number):
            visit(site, "/look").addCallback(count_)

    def count_(answer: bytes) -> None:
        nonlocal cookies
        if not answer.startswith(b"HTTP/1.1 200") or said(answer) != b"nobody 0":
            raise AssertionError(answer)
        cookies += b"set-cookie" in answer.lower()

    def there() -> dict[str, int]:
        gc.collect()
        return {
            "records": len(store._slots),
            "cookies": cookies,
            "timers": len(clock.getDelayedCalls()) + deadlinesOf(clock).entries(),
            "sessions": len(site.sessions),
            "objects": len(gc.get_objects()),
            "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }

    come(max(1, count // 100))
    before = there()
    come(count)
    after = there()
    site.stopFactory()
    return {name: after[name] - before[name] for name in after}


async def write(
    site: Any, count: int, most: int, other: Any = None
) -> dict[str, float]:
    """
    Have many visitors write into their sessions, while some are signed in and look in
    now and then.

    @param most: How many anonymous sessions there may be.
    @param other: Another site on the same store, by which those who are signed in come.
    @return: How many sessions there were at most, and at the end; and so on.
    """
    site.maxAnonymous = most
    other = other or site
    there = [
        cookieOf(await visit(other, f"/in?who=user{number}"))
        for number in range(SIGNED_IN)
    ]
    store, seconds = site._live.store, site._live.seconds
    highest = 0
    begun = time.perf_counter()
    for start in range(0, count, AT_ONCE):
        some = min(AT_ONCE, count - start)
        answers = await gatherResults([visit(site, "/write") for _ in range(some)])
        for answer in answers:
            if said(answer) != b"nobody 1" or not cookieOf(answer):
                raise AssertionError(answer)
        if start // AT_ONCE % EACH == 0:
            highest = max(highest, await store.countSessions(seconds()))
            await gatherResults([visit(other, "/write", cookie) for cookie in there])
    took = time.perf_counter() - begun
    while site._live.anonymous._isEvicting:
        await visit(site, "/look")
    whole = 0
    for number, cookie in enumerate(there):
        answer = said(await visit(other, "/look", cookie))
        whole += answer.startswith(b"user%d " % number)
    left = await store.countSessions(seconds())
    floods = site.floods
    return {
        "seconds": round(took, 1),
        "a second": round(count / took),
        "at most": max(highest, left) - SIGNED_IN,
        "left": left - SIGNED_IN,
        "inserted": floods.inserted,
        "evicted": floods.evicted,
        "signed in and whole": whole,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


async def _writing(count: int, address: str) -> None:
    """
    Run the program about those who write.
    """
    keys = KeyRing.random(lambda size: bytes(range(100, 100 + size)))
    store = openStore(address, reactor=reactor)
    site = Site(Front(), store=store, keys=keys, reactor=reactor)
    site.startFactory()
    print(await write(site, count, count // 2))
    site.stopFactory()
    await site.closed()


def main(arguments: list[str]) -> None:
    """
    Run a program.
    """
    if arguments[0] == "looking":
        print(look(int(arguments[1])))
    else:
        count, address = int(arguments[1]), arguments[2]
        react(lambda _: Deferred.fromCoroutine(_writing(count, address)))


if __name__ == "__main__":
    main(sys.argv[1:])
