"""
Tests of L{txsessions.web.channel}: whether a connection is secure, and where its ends
are.  What becomes of clients that leave is in L{tests.web.test_clients}.
"""

from __future__ import annotations

from types import SimpleNamespace

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel, _GenericHTTPChannelProtocol
from twisted.web.resource import Resource
from zope.interface import directlyProvides

from txsessions import Site

ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Answering(Resource):
    """
    A page that a function renders.
    """

    isLeaf = True

    def __init__(self, render):
        super().__init__()
        self.render_GET = render


class Encrypted(StringTransport):
    """
    A transport that says itself how it is.

    @ivar asked: How often it was asked.
    @ivar isEncrypted: What it says.
    """

    asked = 0
    isEncrypted = True

    def __conform__(self, interface):
        """
        Be an encrypted transport.
        """
        if interface is not ISSLTransport:
            return None
        self.asked += 1
        return self if self.isEncrypted else None


class Located(StringTransport, Server):
    """
    A connection that says where its ends are as Twisted's do, and counts how often.

    @ivar asked: How often.
    """

    asked = 0
    getHost = Server.getHost
    getPeer = Server.getPeer

    def __init__(self, here, there):
        super().__init__()
        self.socket = SimpleNamespace(getsockname=lambda: (here.host, here.port))
        self.client = there.host, there.port

    def _addressType(self, *address):
        """
        Make an address.
        """
        self.asked += 1
        return IPv4Address(*address)

    def setTcpNoDelay(self, enabled):
        """
        There is no socket.
        """


class ChannelCase(SynchronousTestCase):
    """
    Makes channels.
    """

    def site(self, root):
        """
        A site of ours.
        """
        site = Site(root)
        site.doStart()
        self.addCleanup(site.doStop)
        return site

    def channel(self, transport, site=None):
        """
        A channel of our site.
        """
        site = site or self.site(Resource())
        protocol = site.buildProtocol(None)
        protocol.makeConnection(transport)
        self.addCleanup(protocol._channel.setTimeout, None)
        return protocol._channel


class SecureTests(ChannelCase):
    """
    Whether a connection is secure.
    """

    def test_plain(self):
        """
        It is not, and that may change: TLS may be started at any time.
        """
        transport = StringTransport()
        channel = self.channel(transport)
        for _ in range(2):
            self.assertIs(channel.isSecure(), False)
        directlyProvides(transport, ISSLTransport)
        for _ in range(2):
            self.assertIs(channel.isSecure(), True)

    def test_plainConnection(self):
        """
        So it is with a connection's own transport, which is asked once.
        """
        transport = Server.__new__(Server)
        channel = self.channel(StringTransport())
        channel.transport = transport
        for _ in range(3):
            self.assertIs(channel.isSecure(), False)
        self.assertIs(channel._plain, transport)
        # As startTLS does.
        directlyProvides(transport, ISSLTransport)
        transport.TLS = True
        for _ in range(3):
            self.assertIs(channel.isSecure(), True)
        channel.transport = StringTransport()
        self.assertIs(channel.isSecure(), False)

    def test_adapted(self):
        """
        What has to be asked for that is asked once a transport.
        """
        transport = Encrypted()
        channel = self.channel(transport)
        for _ in range(3):
            self.assertIs(channel.isSecure(), True)
        self.assertEqual(transport.asked, 1)
        channel.transport = Encrypted()
        channel.transport.isEncrypted = False
        for _ in range(2):
            self.assertIs(channel.isSecure(), False)


class EndsTests(ChannelCase):
    """
    Where a connection comes from and goes to.
    """

    def test_askedOnce(self):
        """
        A transport is asked once, and another one anew.
        """
        here, there, elsewhere = (IPv4Address("TCP", "127.0.0.1", n) for n in (1, 2, 3))
        transport = Located(here, there)
        channel = self.channel(transport)
        for _ in range(3):
            self.assertEqual(channel.getHost(), here)
            self.assertEqual(channel.getPeer(), there)
        self.assertEqual(transport.asked, 2)
        channel.transport = Located(here, elsewhere)
        self.assertEqual(channel.getPeer(), elsewhere)
        self.assertEqual(channel.getHost(), here)

    def test_ownTransport(self):
        """
        One that says it in a way of its own is asked each time.
        """

        class Own(Located):
            port = 0

            def getPeer(self):
                self.port += 1
                return IPv4Address("TCP", "127.0.0.1", self.port)

        here = IPv4Address("TCP", "127.0.0.1", 1)
        channel = self.channel(Own(here, here))
        self.assertEqual([channel.getPeer().port for _ in range(3)], [1, 2, 3])

    def test_requests(self):
        """
        Each request of a connection knows them.
        """
        known = []
        site = self.site(
            Answering(
                lambda request: (
                    known.append((request.getHost(), request.getClientAddress())) or b""
                )
            )
        )
        here, there = (IPv4Address("TCP", "127.0.0.1", port) for port in (1, 2))
        transport = Located(here, there)
        channel = self.channel(transport, site)
        for _ in range(3):
            channel.dataReceived(ASK)
        self.assertEqual(known, [(here, there)] * 3)
        self.assertEqual(transport.asked, 2)

    def test_learning(self):
        """
        A transport that stands before a connection's own is asked each time: it learns
        from the PROXY protocol who is there, be it after somebody has asked.
        """
        here, there = (IPv4Address("TCP", "127.0.0.1", port) for port in (1, 2))
        site = self.site(
            Answering(
                lambda request: (
                    b"%d to %d"
                    % (request.getClientAddress().port, request.getHost().port)
                )
            )
        )

        for asksFirst in (False, True):
            protocol = HAProxyWrappingFactory(site).buildProtocol(there)
            transport = Located(here, there)
            protocol.makeConnection(transport)
            channel = protocol.wrappedProtocol._channel
            self.addCleanup(channel.setTimeout, None)
            if asksFirst:
                self.assertEqual((channel.getHost(), channel.getPeer()), (here, there))
            protocol.dataReceived(b"PROXY TCP4 127.0.0.1 127.0.0.1 3 4\r\n")
            for _ in range(2):
                protocol.dataReceived(ASK)
                self.assertTrue(transport.value().endswith(b"3 to 4"))
                transport.clear()

    def test_ownWord(self):
        """
        A program's own channel may say something else for each request.
        """
        said = []

        class Told(HTTPChannel):
            """
            Believes what a front server says.
            """

            def getPeer(self):
                """
                See C{HTTPChannel.getPeer}.
                """
                return IPv4Address("TCP", "127.0.0.1", len(said))

            def isSecure(self):
                """
                See C{HTTPChannel.isSecure}.
                """
                return len(said) % 2 == 1

        site = self.site(
            Answering(
                lambda request: (
                    said.append((request.getClientAddress().port, request.isSecure()))
                    or b""
                )
            )
        )
        site.protocol = lambda: _GenericHTTPChannelProtocol(Told())
        here, there = (IPv4Address("TCP", "127.0.0.1", port) for port in (1, 2))
        channel = self.channel(Located(here, there), site)
        for _ in range(3):
            channel.dataReceived(ASK)
        self.assertEqual([secure for _, secure in said], [False, True, False])
        # Twisted asks for the peer when a request begins.
        self.assertEqual([port for port, _ in said], [0, 1, 2])

    def test_gone(self):
        """
        Of a connection that is gone it is still known who it was, though not where.
        """
        there = IPv4Address("TCP", "127.0.0.1", 2)
        transport = Located(there, there)
        channel = self.channel(transport)
        del transport.socket
        self.assertEqual(channel.getPeer(), there)
        self.assertRaises(AttributeError, channel.getHost)

    def test_disconnected(self):
        """
        Without a transport, nobody knows them, as in Twisted.
        """
        channel = self.channel(StringTransport())
        channel.transport = None
        for ask in (channel.getHost, channel.getPeer):
            self.assertRaises(AttributeError, ask)
