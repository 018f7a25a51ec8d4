"""
TLS to a Redis server: always verified, and never without.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

from twisted.internet import reactor, ssl

from tests.stores.certificates import Authority
from tests.stores.proxies import Proxy
from tests.stores.redis_case import RedisTestCase
from tests.stores.valkeys import freePort, shared
from txsessions.errors import ConfigurationError, StoreUnavailable
from txsessions.stores import _redis_endpoints, _redis_tls, openStore
from txsessions.stores._redis_address import readAddress
from txsessions.testing._case import steps


class TLSTests(RedisTestCase):
    """
    A server behind a proxy that ends TLS.
    """

    def setUp(self):
        """
        Found an authority.
        """
        super().setUp()
        self.folder = self.mktemp()
        os.makedirs(self.folder)
        self.authority = Authority(self.folder)

    def serve(self, certificate, key, clients=None):
        """
        Serve with this certificate.

        @param clients: Who vouches for clients, or L{None} for all to be let in.
        @return: The proxy, and its port.
        """
        proxy = self.proxy(shared())
        with open(certificate, "rb") as one, open(key, "rb") as other:
            mine = ssl.PrivateCertificate.loadPEM(one.read() + other.read())
        options = mine.options(*clients) if clients else mine.options()
        port = reactor.listenSSL(0, proxy, options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return proxy, port.getHost().port

    async def refused(self, port, word, **options):
        """
        A store does not connect, and says why.
        """
        store = self.store(
            f"rediss://:hidden@localhost:{port}/0", deadline=1.0, **options
        )
        error = await self.fails(store.open(), StoreUnavailable)
        self.assertIn(word, str(error))

    @steps
    async def test_good(self):
        """
        A certificate of a trusted authority, for this host, by name or number.
        """
        for host in ("localhost", "127.0.0.1"):
            _, port = self.serve(*self.authority.issue("good", host))
            store = await self.opened(
                f"rediss://{host}:{port}/0?cafile={self.authority.file}"
            )
            record = await self.keep(store, host, payload=b"x" * 100_000)
            self.assertEqual(await store.load(record.key, self.now), record)

    @steps
    async def test_bad(self):
        """
        Each fault of a certificate is named; nothing was said to that server.
        """
        cafile = self.authority.file
        other = Authority(self.folder, "other")
        for certificate, word in (
            (self.authority.issue("expired", days=-2), "expired"),
            (self.authority.issue("elsewhere", "example.org"), "another host"),
            (other.issue("self", own=True), "self-signed"),
            (other.issue("unknown"), "not trusted"),
        ):
            proxy, port = self.serve(*certificate)
            await self.refused(port, word, cafile=cafile)
            self.assertEqual(proxy.asked, b"")

    @steps
    async def test_systemsAuthorities(self):
        """
        Without cafile the system's authorities count, which do not know ours.
        """
        _, port = self.serve(*self.authority.issue("good"))
        await self.refused(port, "not trusted")

    @steps
    async def test_plainServer(self):
        """
        A server without TLS: nothing is said to it in the clear.
        """
        proxy = self.proxy(shared())
        port = proxy.port.getHost().port
        await self.refused(port, "does not speak TLS", cafile=self.authority.file)
        self.assertNotIn(b"HELLO", proxy.asked)
        self.assertNotIn(b"hidden", proxy.asked)

    @steps
    async def test_plainClient(self):
        """
        A store without TLS at a port that wants it.
        """
        _, port = self.serve(*self.authority.issue("good"))
        store = self.store(f"redis://localhost:{port}/0", deadline=1.0)
        await self.fails(store.open(), StoreUnavailable)

    @steps
    async def test_ownCertificate(self):
        """
        A server that wants one of us, too.
        """
        with open(self.authority.file, "rb") as file:
            authority = ssl.Certificate.loadPEM(file.read())
        _, port = self.serve(*self.authority.issue("good"), clients=[authority])
        cafile = self.authority.file
        store = self.store(f"rediss://localhost:{port}/0?cafile={cafile}", deadline=1.0)
        await self.fails(store.open(), StoreUnavailable)
        certfile, keyfile = self.authority.issue("client")
        both = os.path.join(self.folder, "both.pem")
        with open(both, "wb") as out:
            for path in (certfile, keyfile):
                with open(path, "rb") as file:
                    out.write(file.read())
        for options in (
            {"certfile": certfile, "keyfile": keyfile},
            {"certfile": both},
        ):
            store = await self.opened(
                f"rediss://localhost:{port}/0", cafile=cafile, **options
            )
            await store.load(b"x", self.now)

    @steps
    async def test_expiresWhileRunning(self):
        """
        A certificate that goes bad later: refused at the next connection, and taken
        again when it was renewed.
        """
        port = freePort()
        good, bad = self.authority.issue("good"), self.authority.issue("old", days=-2)
        proxy = Proxy(shared().socket)
        self.addCleanup(proxy.stop)

        def listen(certificate, key):
            with open(certificate, "rb") as one, open(key, "rb") as other:
                mine = ssl.PrivateCertificate.loadPEM(one.read() + other.read())
            return reactor.listenSSL(port, proxy, mine.options(), interface="127.0.0.1")

        listening = listen(*good)
        cafile = self.authority.file
        store = await self.opened(f"rediss://localhost:{port}/0?cafile={cafile}")
        for certificate, opens in ((bad, False), (good, True)):
            await listening.stopListening()
            listening = listen(*certificate)
            proxy.cut()
            await self.pause(0.6)
            if opens:
                await self.until(lambda: store.load(b"x", self.now))
            else:
                error = await self.fails(store.load(b"x", self.now), StoreUnavailable)
                self.assertIn("expired", str(error))
        await listening.stopListening()

    def test_files(self):
        """
        Files that cannot be used are named when the store is made.
        """
        certfile, keyfile = self.authority.issue("client")
        other = self.authority.issue("other")[1]
        for options, word in (
            ({"cafile": "/not/there"}, "/not/there"),
            ({"cafile": "a\0b"}, "null byte"),
            ({"cafile": keyfile}, "no certificate"),
            ({"certfile": "/not/there"}, "/not/there"),
            ({"certfile": certfile}, certfile),
            ({"certfile": certfile, "keyfile": other}, certfile),
            ({"certfile": certfile, "keyfile": "/not/there"}, "/not/there"),
        ):
            error = self.assertRaises(
                ConfigurationError, openStore, "rediss://localhost/0", **options
            )
            self.assertIn(word, str(error), options)

    def test_hosts(self):
        """
        So is a host that can have no certificate.
        """
        for host in ("\udcff", "a" * 64, "a" * 300):
            with self.assertRaises(ConfigurationError) as caught:
                openStore(f"rediss://{host}/0")
            self.assertIn("is not the name of a host", str(caught.exception))

    @steps
    async def test_fileGone(self):
        """
        A file that has gone when the store is opened.
        """
        cafile = self.authority.file
        store = self.store("rediss://localhost:1/0", cafile=cafile)
        os.unlink(cafile)
        error = await self.fails(store.open(), ConfigurationError)
        self.assertIn(cafile, str(error))

    @steps
    async def test_noWayToAsk(self):
        """
        Where pyOpenSSL cannot be asked what was wrong, the certificate is refused
        all the same.
        """
        _, port = self.serve(*self.authority.issue("expired", days=-2))

        def missing(name):
            raise ImportError(name)

        store = self.store(f"rediss://localhost:{port}/0", deadline=1.0)
        self.patch(_redis_tls, "importlib", SimpleNamespace(import_module=missing))
        error = await self.fails(store.open(), StoreUnavailable)
        self.assertIn("cannot be trusted", str(error))

    def test_notInstalled(self):
        """
        Where TLS is not installed it is said how to get it.
        """

        def missing(name):
            raise ImportError(name)

        modules = SimpleNamespace(import_module=missing)
        self.patch(_redis_endpoints, "importlib", modules)
        error = self.assertRaises(
            ConfigurationError, _redis_endpoints.check, readAddress("rediss://h", {})
        )
        self.assertIn("pip install 'txsessions[tls]'", str(error))
