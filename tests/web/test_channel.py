"""
Tests of L{txsessions.web.channel}: whether a connection is secure, and where its ends
are.  What becomes of clients that leave is in L{tests.web.test_clients}.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from zope.interface import directlyProvides

from txsessions import Site


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


class Located(StringTransport):
    """
    A transport that counts who asks for its ends.

    @ivar asked: How often it was asked.
    """

    asked = 0

    def getHost(self):
        """
        See C{ITransport.getHost}.
        """
        self.asked += 1
        return super().getHost()

    def getPeer(self):
        """
        See C{ITransport.getPeer}.
        """
        self.asked += 1
        return super().getPeer()


class ChannelCase(SynchronousTestCase):
    """
    Makes channels.
    """

    def channel(self, transport, root=None):
        """
        A channel of our site.
        """
        site = Site(root or Resource())
        site.doStart()
        self.addCleanup(site.doStop)
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
            self.assertIs(channel.getHost(), here)
            self.assertIs(channel.getPeer(), there)
        self.assertEqual(transport.asked, 2)
        channel.transport = Located(here, elsewhere)
        self.assertIs(channel.getPeer(), elsewhere)
        self.assertIs(channel.getHost(), here)

    def test_requests(self):
        """
        Each request of a connection knows them.
        """
        known = []
        page = Resource()
        page.isLeaf = True
        page.render_GET = lambda request: (
            known.append((request.getHost(), request.getClientAddress())) or b""
        )
        here, there = (IPv4Address("TCP", "127.0.0.1", port) for port in (1, 2))
        transport = Located(here, there)
        channel = self.channel(transport, page)
        for _ in range(3):
            channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(known, [(here, there)] * 3)
        self.assertEqual(transport.asked, 2)

    def test_disconnected(self):
        """
        Without a transport, nobody knows them, as in Twisted.
        """
        channel = self.channel(StringTransport())
        channel.transport = None
        for ask in (channel.getHost, channel.getPeer):
            self.assertRaises(AttributeError, ask)
