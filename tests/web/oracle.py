"""
Whole requests through a real channel, in memory, and what must be true after each.

Owns the client that writes and reads HTTP/1 bytes, and the invariants that hold
in every case: no unhandled error, no answer of another kind than expected, at
most one clean session cookie, no cookie set or cleared by an outage, no uid in
a log or a page, and nothing left over when the site stops.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any

from twisted.internet import task
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock, Cooperator
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from zope.interface import alsoProvides

from tests.slowstore import SlowStore
from tests.web import rfc6265
from txsessions import Site
from txsessions.core.keyring import KeyRing
from txsessions.stores.memory import MemoryStore

NOW = 1_700_000_000.0
FINE = frozenset({200, 201, 204, 206, 302, 303, 304, 400, 404, 405, 416, 501, 503})
"""What may be answered; 500 only where a case expects it."""

SESSION_NAMES = frozenset(
    {"sid", "__Host-sid", "TWISTED_SESSION", "TWISTED_SECURE_SESSION"}
)


class Page(Resource):
    """
    A page for all methods that a function renders.
    """

    isLeaf = True

    def __init__(self, render: Callable[[Any], Any]) -> None:
        Resource.__init__(self)
        self.render = render


class GetPage(Resource):
    """
    A page that knows C{GET} and C{POST} only.
    """

    isLeaf = True

    def __init__(self, render: Callable[[Any], Any]) -> None:
        Resource.__init__(self)
        self.render_GET = self.render_POST = render


class Wire(StringTransport):
    """
    A transport in memory that knows whether it is TLS, and tells of its end.

    @ivar aborted: Whether the connection was cut.
    """

    protocol: Any = None
    aborted = False

    def __init__(self, *, secure: bool = False) -> None:
        super().__init__(lenient=True)
        if secure:
            alsoProvides(self, ISSLTransport)

    def write(self, data: bytes) -> None:
        """
        See C{ITransport.write}; nothing is sent when the connection is gone.
        """
        if self.connected:
            super().write(data)

    def writeSequence(self, data: Any) -> None:
        """
        See C{ITransport.writeSequence}.
        """
        self.write(b"".join(data))

    def abortConnection(self) -> None:
        """
        See C{IAbortingTransport}.
        """
        self.aborted = True
        self.lose()

    def connectionLost(self, reason: Failure) -> None:
        """
        The connection is gone, as C{tcp.Connection} is told it.
        """
        self.lose(reason)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """
        See C{IConsumer}; one that comes late is stopped.
        """
        if self.connected:
            super().registerProducer(producer, streaming)
        else:
            producer.stopProducing()

    def unregisterProducer(self) -> None:
        """
        See C{IConsumer}.
        """
        self.producer = None

    def lose(self, reason: Failure | None = None) -> None:
        """
        End the connection.
        """
        if self.connected:
            self.connected = False
            producer, self.producer = self.producer, None
            if producer is not None:
                producer.stopProducing()
            self.protocol.connectionLost(reason or Failure(ConnectionDone()))


class _Unclosed(io.BytesIO):
    """
    What C{HTTPResponse} reads from, and may not close.
    """

    def makefile(self, mode: str) -> _Unclosed:
        """
        Be the file of a socket.
        """
        return self

    def close(self) -> None:
        """
        Stay open.
        """


class Answer:
    """
    One response, as Python's own client understands it.

    @ivar code: The status.
    @ivar headers: The headers; C{get_all} gives all of one name.
    @ivar body: The body.
    """

    def __init__(self, data: _Unclosed, method: str) -> None:
        self.start = data.tell()
        response = HTTPResponse(data, method=method)  # type: ignore[arg-type]
        response.begin()
        self.code = response.status
        self.headers = response.msg
        self.body = response.read()

    def all(self, name: str) -> list[str]:
        """
        All values of a header.
        """
        return self.headers.get_all(name, [])

    def get(self, name: str) -> str | None:
        """
        The value of a header.
        """
        value: str | None = self.headers.get(name)
        return value

    @property
    def cookies(self) -> dict[str, rfc6265.SetCookie]:
        """
        The session cookies that it sets or deletes, by name.
        """
        found: dict[str, rfc6265.SetCookie] = {}
        for value in self.all("set-cookie"):
            if value.partition("=")[0] in SESSION_NAMES:
                cookie = rfc6265.parse(value.encode("latin-1"))
                if cookie.name in found:
                    raise AssertionError(f"two {cookie.name} cookies in one response")
                found[cookie.name] = cookie
        return found

    @property
    def cookie(self) -> rfc6265.SetCookie | None:
        """
        The one session cookie, if there is one.
        """
        cookies = list(self.cookies.values())
        if len(cookies) > 1:
            raise AssertionError("more than one session cookie")
        return cookies[0] if cookies else None

    @property
    def sets(self) -> bool:
        """
        Whether it gives out a session cookie.
        """
        return any(cookie.value for cookie in self.cookies.values())

    @property
    def deletes(self) -> bool:
        """
        Whether it deletes the session cookie.
        """
        return any(c.attributes.get("Max-Age") == "0" for c in self.cookies.values())


class Client:
    """
    A client with one connection, and with a browser's cookies.

    @ivar wire: The transport.
    @ivar jar: The cookies, which other clients may share.
    """

    def __init__(
        self,
        case: WebCase,
        *,
        secure: bool = False,
        jar: rfc6265.Browser | None = None,
        site: Any = None,
    ) -> None:
        self.case = case
        self.secure = secure
        self.jar = jar or rfc6265.Browser(now=NOW)
        self.wire = Wire(secure=secure)
        self.protocol = (site or case.site).buildProtocol(None)
        self.wire.protocol = self.protocol
        self.protocol.makeConnection(self.wire)
        self._methods: list[str] = []
        self._read = 0

    # -- sending

    def send(
        self,
        path: str = "/",
        method: str = "GET",
        *,
        headers: tuple[str, ...] = (),
        body: bytes = b"",
        version: str = "HTTP/1.1",
        cookies: bool = True,
    ) -> None:
        """
        Send a request.
        """
        self.sendBytes(
            self.render(
                path,
                method,
                headers=headers,
                body=body,
                version=version,
                cookies=cookies,
            )
        )

    def render(
        self,
        path: str = "/",
        method: str = "GET",
        *,
        headers: tuple[str, ...] = (),
        body: bytes = b"",
        version: str = "HTTP/1.1",
        cookies: bool = True,
    ) -> bytes:
        """
        Write a request down, and expect the answer to it.
        """
        lines = [f"{method} {path} {version}", "Host: example.org", *headers]
        if cookies:
            lines += [f"Cookie: {header.decode('ascii')}" for header in self.sent()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self._methods.append(method)
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def sent(self) -> list[bytes]:
        """
        The C{Cookie} headers that the browser would send.
        """
        return self.jar.send(host="example.org", path="/", https=self.secure)

    def sendBytes(self, data: bytes) -> None:
        """
        Send bytes, as far as the server reads.
        """
        self.protocol.dataReceived(data)

    def leave(self) -> None:
        """
        Close the connection.
        """
        self.wire.lose()

    def endInput(self) -> None:
        """
        Send no more, as C{shutdown(SHUT_WR)} does.
        """
        self.protocol.readConnectionLost()

    def pause(self) -> None:
        """
        Read no more, so that the server's transport fills up.
        """
        self.wire.producer.pauseProducing()

    def resume(self) -> None:
        """
        Read again.
        """
        self.wire.producer.resumeProducing()

    # -- receiving

    @property
    def silent(self) -> bool:
        """
        Whether nothing has come that was not read.
        """
        return len(self.wire.value()) == self._read

    def answer(self) -> Answer:
        """
        Read the next answer, the only one that has come.
        """
        answers = self.answers()
        if len(answers) != 1:
            raise AssertionError(f"expected one answer, found {len(answers)}")
        return answers[0]

    def answers(self) -> list[Answer]:
        """
        Read all answers that have come.
        """
        data = _Unclosed(self.wire.value())
        data.seek(self._read)
        size = len(data.getvalue())
        found = []
        while data.tell() < size:
            answer = Answer(data, self._methods.pop(0))
            self.case.check(answer)
            self._keep(answer)
            found.append(answer)
        self._read = size
        return found

    def rest(self) -> bytes:
        """
        The bytes that have come and were not read, as they are.
        """
        data = self.wire.value()[self._read :]
        self._read += len(data)
        return data

    def _keep(self, answer: Answer) -> None:
        """
        Take the cookies of an answer, as a browser does.
        """
        for value in answer.all("set-cookie"):
            if value.partition("=")[0] in SESSION_NAMES:
                self.jar.receive(
                    value.encode("latin-1"),
                    host="example.org",
                    path="/",
                    https=self.secure,
                )

    def fetch(self, path: str = "/", method: str = "GET", **how: Any) -> Answer:
        """
        Send a request that is answered at once, and read the answer.
        """
        self.send(path, method, **how)
        return self.answer()


class WebCase(SynchronousTestCase):
    """
    A site with a store that answers when it is told to.

    @ivar clock: The reactor.
    @ivar store: The store, which holds nothing at first.
    @ivar site: The site, once L{serve} has been called.
    @ivar expects500: Whether a 500 is right in this case.
    @ivar expectsDeletion: Whether an outage may delete the cookie, because the
        client has asked for a logout.
    """

    expects500 = False
    expectsDeletion = False

    def setUp(self) -> None:
        """
        Watch the log; no work is done outside the clock.
        """
        self.clock = Clock()
        self.clock.advance(NOW)
        self.patch(
            task,
            "_theCooperator",
            Cooperator(
                scheduler=lambda work: self.clock.callLater(0, work),
                terminationPredicateFactory=lambda: lambda: True,
            ),
        )
        self.store = SlowStore(MemoryStore())
        self.stores = [self.store]
        self.keys = KeyRing.random(os.urandom)
        self.site: Any = None
        self.sites: list[Any] = []
        self.uids: list[bytes] = []
        self.logged: list[dict[str, Any]] = []
        self.clients: list[Client] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)
        self.addCleanup(self._checkEnd)

    # -- the site

    def serve(self, root: Any, factory: Any = Site, **how: Any) -> Any:
        """
        Make the site and start it.

        @param root: The root resource, or a function that renders it.
        """
        resource = root if hasattr(root, "getChildWithDefault") else Page(root)
        if how.setdefault("store", self.store) is self.store:
            how.setdefault("keys", self.keys)
        site = factory(resource, reactor=self.clock, **how)
        draw = site._entropy

        def drawAndNote(size: int) -> bytes:
            drawn: bytes = draw(size)
            self.uids.append(drawn.hex().encode("ascii"))
            return drawn

        site._entropy = drawAndNote
        site.startFactory()
        if self.site is None:
            self.site = site
        self.sites.append(site)
        return site

    def serveElsewhere(self, root: Any, **how: Any) -> Any:
        """
        Make the site of another process, on the same sessions.

        @return: It; its C{slow} is its store.
        """
        slow = SlowStore(self.store.inner)
        slow.sharedWithOthers = self.store.sharedWithOthers = True
        site = self.serve(root, store=slow, keys=self.keys, **how)
        site.slow = slow
        self.stores.append(slow)
        return site

    def client(self, **how: Any) -> Client:
        """
        Connect a client.
        """
        client = Client(self, **how)
        self.clients.append(client)
        return client

    def turn(self, times: int = 1) -> None:
        """
        Let the reactor turn.
        """
        for _ in range(times):
            self.clock.advance(0)

    # -- looking

    def stored(self) -> int:
        """
        How many sessions the store holds.
        """
        return self.successResultOf(
            self.store.inner.countSessions(self.clock.seconds())
        )

    def counted(self, kind: str) -> int:
        """
        How often an event was told.
        """
        return self.site._live.announcer.counts[kind]

    def warned(self, text: str) -> int:
        """
        How many messages hold this text.
        """
        return sum(text in _messageOf(event) for event in self.logged)

    # -- the oracle

    def check(self, answer: Answer) -> None:
        """
        What is true of every response.
        """
        fine = FINE | {500} if self.expects500 else FINE
        self.assertIn(answer.code, fine)
        cookies = answer.cookies.values()
        for cookie in cookies:
            self.assertIn("HttpOnly", cookie.attributes)
            self.assertIn("no-store", answer.get("cache-control") or "")
        if answer.code == 503:
            self.assertFalse(answer.sets, "an outage sets no cookie")
            self.assertEqual(len(answer.all("set-cookie")), len(cookies))
            if not self.expectsDeletion:
                self.assertEqual(answer.all("set-cookie"), [])
            self.assertEqual(answer.get("retry-after"), "2")
        for uid in self.uids:
            self.assertNotIn(uid, answer.body)

    def _checkEnd(self) -> None:
        """
        What is true after every case.
        """
        for client in self.clients:
            client.leave()
        for store in self.stores:
            store.down = None
            store.pass_()
        for site in self.sites:
            site.stopFactory()
            self.successResultOf(site.closed())
        self.clock.advance(0)
        left = [str(call) for call in self.clock.getDelayedCalls()]
        self.assertEqual(left, [], "timers are left over")
        for event in self.logged:
            message = _messageOf(event).encode("utf-8", "replace")
            for uid in self.uids:
                self.assertNotIn(uid, message, "a uid in the log")


def _messageOf(event: dict[str, Any]) -> str:
    """
    All that is said in a log event.
    """
    message = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None:
        message += failure.getTraceback()
    return message


__all__ = ["NOW", "Answer", "Client", "GetPage", "Page", "WebCase", "Wire"]
