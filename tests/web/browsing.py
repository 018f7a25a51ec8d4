"""
A client that writes and reads the bytes of HTTP/1 over a transport in memory.

Owns the transport, the reading of responses by Python's own client, and the
browser's cookies.  Knows nothing of what an answer should be like.
"""

from __future__ import annotations

import io
from http.client import HTTPResponse
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from tests.web import rfc6265

NOW = 1_700_000_000.0
"""When a test begins."""

TICK = 0.001
"""The length of a turn of the reactor."""

SESSION_NAMES = frozenset(
    {"sid", "__Host-sid", "TWISTED_SESSION", "TWISTED_SECURE_SESSION"}
)
"""Which cookies are ours."""


class Wire(StringTransport):
    """
    A transport in memory that knows whether it is TLS, and tells of its end.

    @ivar aborted: Whether the connection was cut.
    @ivar full: Whether the client does not read, so that each write pauses the
        producer.
    """

    protocol: Any = None
    aborted = False
    ended = False
    full = False

    def __init__(self, clock: Clock, *, secure: bool = False) -> None:
        super().__init__(lenient=True)
        self.clock = clock
        if secure:
            alsoProvides(self, ISSLTransport)

    def write(self, data: bytes) -> None:
        """
        See C{ITransport.write}; nothing is sent when the connection is gone.
        """
        if self.connected and not self.aborted:
            super().write(data)
            if self.full and self.producer is not None:
                self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        """
        See C{ITransport.writeSequence}.
        """
        self.write(b"".join(data))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        See C{ITCPTransport}.
        """

    def abortConnection(self) -> None:
        """
        See C{IAbortingTransport}.
        """
        if not self.aborted:
            self.aborted = True
            self.clock.callLater(0, self.lose, Failure(ConnectionAborted()))

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

    def endInput(self) -> None:
        """
        The client sends no more; whenever the server reads, it is told so.
        """
        self.ended = True
        if self.connected:
            self.protocol.readConnectionLost()

    def resumeProducing(self) -> None:
        """
        See C{IPushProducer}.
        """
        super().resumeProducing()
        if self.ended:
            self.clock.callLater(0, self.endInput)

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


class Unclosed(io.BytesIO):
    """
    What C{HTTPResponse} reads from, and may not close.
    """

    def makefile(self, mode: str) -> Unclosed:
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

    def __init__(self, data: Unclosed, method: str) -> None:
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
        case: Any,
        *,
        secure: bool = False,
        behindProxy: bool = False,
        jar: rfc6265.Browser | None = None,
        site: Any = None,
    ) -> None:
        """
        @param secure: Whether the connection is TLS.
        @param behindProxy: Whether it is plain but the browser's is TLS.
        """
        self.case = case
        self.https = secure or behindProxy
        self.jar = jar or rfc6265.Browser(now=NOW)
        self.wire = Wire(case.clock, secure=secure)
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
        return self.jar.send(host="example.org", path="/", https=self.https)

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
        self.wire.endInput()

    def pause(self) -> None:
        """
        Read no more, so that the server's transport fills up.
        """
        self.wire.full = True
        self.wire.producer.pauseProducing()

    def resume(self) -> None:
        """
        Read again.
        """
        self.wire.full = False
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
        data = Unclosed(self.wire.value())
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
                    https=self.https,
                )

    def fetch(self, path: str = "/", method: str = "GET", **how: Any) -> Answer:
        """
        Send a request that is answered at once, and read the answer.
        """
        self.send(path, method, **how)
        return self.answer()


__all__ = ["NOW", "TICK", "Answer", "Client", "Wire"]
