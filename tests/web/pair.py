"""
A server in front that receives, a process behind it that renders, and a UNIX
socket between the two, as C{twisted.web.distrib} has it; and a visitor.

Owns the beginning and the end of them.
"""

from __future__ import annotations

import io
import re
from http.client import HTTPResponse

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.spread import pb
from twisted.trial.unittest import TestCase
from twisted.web import distrib
from twisted.web.resource import Resource

from tests._serving import makeFolder
from tests.web import rfc6265
from tests.web.oracle import Page
from txsessions import Site

_SAME_SITE = re.compile("(?<=SameSite=)[a-z]+")


class Conversation(Protocol):
    """
    Sends one request and reads to the end.

    @ivar ended: Fires with what came.
    """

    def __init__(self, request):
        """
        @param request: The bytes of the request.
        """
        self.request = request
        self.received = b""
        self.ended = Deferred()

    def connectionMade(self):
        """
        Ask.
        """
        self.transport.write(self.request)

    def dataReceived(self, data):
        """
        Listen.
        """
        self.received += data

    def connectionLost(self, reason):
        """
        Tell.
        """
        self.ended.callback(self.received)


class _Said:
    """
    What C{HTTPResponse} reads from.
    """

    def __init__(self, data):
        """
        @param data: The bytes of a response.
        """
        self.data = data

    def makefile(self, mode):
        """
        Be the file of a socket.
        """
        return io.BytesIO(self.data)


class Answer:
    """
    A response.

    @ivar code: The status.
    @ivar headers: The headers.
    @ivar body: The body.
    """

    def __init__(self, data, method):
        """
        @param data: Its bytes.
        """
        response = HTTPResponse(_Said(data), method=method)
        response.begin()
        self.code, self.headers = response.status, response.msg
        self.body = response.read()

    @property
    def cookies(self):
        """
        What it says of cookies.
        """
        lines = self.headers.get_all("set-cookie", [])
        # C{addCookie} writes it in lower case, which is the same to browsers.
        lines = [_SAME_SITE.sub(lambda it: it[0].title(), line) for line in lines]
        return [rfc6265.parse(line.encode("ascii")) for line in lines]


class DistributedCase(TestCase):
    """
    Two servers and a visitor.

    @ivar folder: Where the sockets and the database are.
    @ivar jar: The visitor's cookies.
    """

    def setUp(self):
        """
        Make the folder.
        """
        self.folder = makeFolder(self)
        self.jar = {}
        self.brokers = []

    async def serveBehind(self, render, factory=Site, **how):
        """
        Start the process behind.

        @param render: A function that renders all pages, or a resource.
        """
        root = render if hasattr(render, "getChildWithDefault") else Page(render)
        self.back = factory(root, **how)
        protocols = pb.PBServerFactory(distrib.ResourcePublisher(self.back))
        build = protocols.buildProtocol

        def buildProtocol(addr):
            broker = build(addr)
            gone = Deferred()
            broker.notifyOnDisconnect(lambda: gone.callback(None))
            self.brokers.append((broker, gone))
            return broker

        protocols.buildProtocol = buildProtocol
        self.backPort = reactor.listenUNIX(str(self.folder / "back"), protocols)
        self.addCleanup(self.stopBehind)

    async def stopBehind(self):
        """
        End the process behind: its sessions leave its memory.
        """
        if self.backPort is None:
            return
        port, self.backPort = self.backPort, None
        await port.stopListening()
        brokers, self.brokers = self.brokers, []
        for broker, _ in brokers:
            if broker.transport is not None:
                broker.transport.loseConnection()
        await gatherResults([gone for _, gone in brokers])
        if isinstance(self.back, Site):
            await self.back.closed()

    def serveInFront(self, factory=Site, above=None, **how):
        """
        Start the server in front.

        @param above: Where the resources from behind are, if not at the root.
        """
        subscription = distrib.ResourceSubscription("unix", str(self.folder / "back"))
        root = subscription
        if above is not None:
            root = Resource()
            root.putChild(above, subscription)
        self.front = factory(root, **how)
        # distrib connects on its own, and leaves it to others to end that.
        self.subscription = subscription
        port = reactor.listenUNIX(str(self.folder / "front"), self.front)
        self.addCleanup(port.stopListening)

    def connect(self, path="/", method="GET", headers=(), version="1.1"):
        """
        Send a request.

        @return: Fires with the protocol.
        """
        lines = [f"{method} {path} HTTP/{version}", "Host: example.org", *headers]
        if self.jar:
            pairs = "; ".join(f"{name}={value}" for name, value in self.jar.items())
            lines.append(f"Cookie: {pairs}")
        lines.append("Connection: close")
        request = "\r\n".join([*lines, "", ""]).encode("ascii")
        endpoint = UNIXClientEndpoint(reactor, str(self.folder / "front"))
        return connectProtocol(endpoint, Conversation(request))

    async def fetch(self, path="/", method="GET", headers=(), version="1.1"):
        """
        Send a request and read the answer.
        """
        protocol = await self.connect(path, method, headers, version)
        answer = Answer(await protocol.ended, method)
        for cookie in answer.cookies:
            if cookie.attributes.get("Max-Age") == "0":
                self.jar.pop(cookie.name, None)
            else:
                self.jar[cookie.name] = cookie.value
        return answer

    async def until(self, condition):
        """
        Wait for what the other end of a socket will bring about.
        """
        for _ in range(2000):
            if condition():
                return
            await deferLater(reactor, 0.001, lambda: None)
        self.fail("waited in vain")

    def address(self):
        """
        The address of the database behind.
        """
        return f"sqlite:{self.folder / 'sessions.sqlite'}"
