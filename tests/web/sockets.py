"""
A site on a real socket, with a store that answers when it is told to, and a client
for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL.crypto import X509, PKey
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    optionsForClientTLS,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from tests.slowstore import SlowStore
from txsessions import Site
from txsessions.core.keyring import KeyRing
from txsessions.stores.memory import MemoryStore


def keyBytes(size):
    """
    Bytes for a key.
    """
    return bytes(range(7, 7 + size))


@implementer(IHalfCloseableProtocol)
class Speaker(Protocol):
    """
    A client.

    @ivar received: What has come.
    @ivar ended: Fires when the connection is gone.
    """

    def __init__(self):
        self.received = b""
        self.ended = Deferred()

    def dataReceived(self, data):
        """
        See C{IProtocol}.
        """
        self.received += data

    def connectionLost(self, reason):
        """
        See C{IProtocol}.
        """
        self.ended.callback(None)

    def readConnectionLost(self):
        """
        The server has closed.
        """
        self.transport.loseConnection()

    def writeConnectionLost(self):
        """
        We have closed our half.
        """


def selfSigned():
    """
    Make a certificate for C{localhost}.

    @return: Options for a server that has it, and for a client that trusts it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = X509.from_cryptography(made)
    server = CertificateOptions(
        privateKey=PKey.from_cryptography_key(key), certificate=certificate
    )
    return server, optionsForClientTLS("localhost", Certificate(certificate))


class SocketCase(TestCase):
    """
    A site on a real socket.

    @ivar store: Its store; nothing is held at first.
    @ivar uid: The uid of a session in which C{count} is 1.
    @ivar secure: Whether the socket is TLS.
    """

    timeout = 30
    secure = False

    async def serve(self, resource):
        """
        Serve a resource at the root.
        """
        self.store = SlowStore(MemoryStore())
        keys = KeyRing.random(keyBytes)
        self.site = site = Site(resource, store=self.store, keys=keys)
        factory = site
        if self.secure:
            server, self.trusting = selfSigned()
            factory = TLSMemoryBIOFactory(server, False, site)
        self.port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        made = site.makeSession()
        made["count"] = 1
        await made.save()
        self.uid = made.uid
        self.store.sharedWithOthers = True

    async def connect(self):
        """
        Connect a client.
        """
        address = self.port.getHost()
        endpoint = TCP4ClientEndpoint(reactor, address.host, address.port)
        if self.secure:
            endpoint = wrapClientTLS(self.trusting, endpoint)
        return await connectProtocol(endpoint, Speaker())

    async def until(self, condition):
        """
        Wait until something is so.
        """
        while not condition():
            await self.turns(1)

    async def turns(self, count):
        """
        Let the reactor turn.
        """
        for _ in range(count):
            turned = Deferred()
            reactor.callLater(0.001, turned.callback, None)
            await turned


__all__ = ["SocketCase", "Speaker"]
