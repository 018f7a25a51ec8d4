"""
A network that misbehaves: a proxy between a store and its server.
"""

from __future__ import annotations

import re

from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol

from txsessions.stores._redis_resp import INCOMPLETE, PureReader

_TIME = re.compile(rb"\*2\r\n\$10\r\n(\d{10})\r\n\$")


class _Near(Protocol):
    """
    The store's side.
    """

    def connectionMade(self):
        """
        Go on to the server.
        """
        self.proxy = self.factory
        self.proxy.open.add(self)
        self.proxy.count += 1
        self.far = None
        self.early = []
        if self.proxy.deaf:
            return
        far = _Far()
        far.near = self
        endpoint = UNIXClientEndpoint(reactor, self.proxy.path)
        connecting = endpoint.connect(Factory.forProtocol(lambda: far))
        connecting.addErrback(lambda _: self.transport.abortConnection())

    def dataReceived(self, data):
        """
        Pass it on.
        """
        self.proxy.asked += data
        if self.far is None:
            self.early.append(data)
        elif not self.proxy.swallow:
            self.far.transport.write(data)

    def connectionLost(self, reason=None):
        """
        Tell the server.
        """
        self.proxy.open.discard(self)
        if self.far is not None:
            self.far.transport.abortConnection()


class _Far(Protocol):
    """
    The server's side.
    """

    def connectionMade(self):
        """
        Say what was said meanwhile.
        """
        self.near.far = self
        self.transport.writeSequence(self.near.early)

    def dataReceived(self, data):
        """
        Pass it on, in the proxy's way.
        """
        self.near.proxy.answer(self.near.transport, data)

    def connectionLost(self, reason=None):
        """
        Tell the store.
        """
        self.near.transport.loseConnection()


class Proxy(Factory):
    """
    Passes on what is said between stores and a server's socket.

    @ivar asked: All that stores have said.
    @ivar count: How many connections there were.
    @ivar deaf: Whether new connections get no answer at all.
    @ivar swallow: Whether what stores say gets lost.
    @ivar delay: After how many seconds an answer comes.
    @ivar drip: Whether it comes byte by byte, and how long each takes.
    @ivar cutAfter: After how many bytes of answers the connection is cut.
    @ivar shift: How many seconds the server's clock is told to be ahead.
    """

    protocol = _Near
    noisy = False
    deaf = swallow = False
    delay = drip = shift = 0
    cutAfter = None

    def __init__(self, path):
        """
        @param path: The server's socket.
        """
        self.path = path
        self.open = set()
        self.count = 0
        self.asked = b""
        self.calls = []
        self.port = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.address = f"redis://127.0.0.1:{self.port.getHost().port}/0"

    def answer(self, transport, data):
        """
        Answer a store.
        """
        if self.shift:
            data = _TIME.sub(
                lambda found: b"*2\r\n$10\r\n%d\r\n$" % (int(found[1]) + self.shift),
                data,
            )
        if self.cutAfter is not None:
            part, self.cutAfter = data[: self.cutAfter], self.cutAfter - len(data)
            transport.write(part)
            if self.cutAfter <= 0:
                self.cutAfter = None
                transport.loseConnection()
        elif self.drip:
            for number, byte in enumerate(data):
                self.later(self.drip * (number + 1), transport, bytes([byte]))
        elif self.delay:
            self.later(self.delay, transport, data)
        else:
            transport.write(data)

    def later(self, delay, transport, data):
        """
        Answer in a while.
        """
        self.calls = [call for call in self.calls if call.active()]
        self.calls.append(reactor.callLater(delay, transport.write, data))

    def cut(self):
        """
        Break all connections.
        """
        for near in list(self.open):
            near.transport.abortConnection()

    def stop(self):
        """
        Close everything.
        """
        for call in self.calls:
            if call.active():
                call.cancel()
        self.cut()
        return self.port.stopListening()


class _Said(Protocol):
    """
    A connection to L{Scripted}.
    """

    def connectionMade(self):
        """
        Begin to listen.
        """
        self.factory.count += 1
        self.reader = PureReader()

    def dataReceived(self, data):
        """
        Answer each command by its name.
        """
        self.reader.feed(data)
        while (command := self.reader.gets()) is not INCOMPLETE:
            self.factory.asked.append(command[0])
            name = command[0].decode()
            self.transport.write(self.factory.answers.get(name, b"+OK\r\n"))


class Scripted(Factory):
    """
    What looks like a server, and says what the test wants.

    @ivar answers: Replies by the names of commands; C{OK} to all others.
    @ivar asked: The names of the commands that came.
    @ivar count: How many connections there were.
    """

    protocol = _Said
    noisy = False

    def __init__(self, **answers):
        self.answers = {"TIME": b"*2\r\n$1\r\n0\r\n$1\r\n0\r\n"}
        self.answers.update(answers)
        self.asked = []
        self.count = 0
        self.port = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.address = f"redis://127.0.0.1:{self.port.getHost().port}/1"

    def stop(self):
        """
        Close.
        """
        return self.port.stopListening()


__all__ = ["Proxy", "Scripted"]
