"""
Tests of L{txsessions.web.channel}: whether a connection is secure.  What becomes of
clients that leave is in L{tests.web.test_clients}.
"""

from __future__ import annotations

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


class SecureTests(SynchronousTestCase):
    """
    Whether a connection is secure.
    """

    def channel(self, transport):
        """
        A channel of our site.
        """
        site = Site(Resource())
        site.doStart()
        self.addCleanup(site.doStop)
        protocol = site.buildProtocol(None)
        protocol.makeConnection(transport)
        self.addCleanup(protocol._channel.setTimeout, None)
        return protocol._channel

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
