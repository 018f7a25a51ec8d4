"""
The PostgreSQL store over a network that misbehaves, and who may come in over it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import time

from msgspec.structs import replace as evolve
from twisted.internet import reactor
from twisted.logger import capturedLogs

from tests.stores.certificates import Authority
from tests.stores.postgres_case import (
    DEADLINE,
    PATIENCE,
    SLACK,
    PostgresCase,
    pause,
    record,
)
from tests.stores.postgres_servers import DEBIAN, NOBODY, Server, folderFor
from tests.stores.proxies import Proxy
from txsessions.errors import StoreUnavailable
from txsessions.testing._case import steps


class ProxyTests(PostgresCase):
    """
    A proxy stands between.
    """

    def setUp(self) -> None:
        """
        Start the proxy.
        """
        super().setUp()
        self.proxy = Proxy(self.server.socketFile)
        self.addCleanup(self.proxy.stop)
        port = self.proxy.port.getHost().port
        self.address = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    @steps
    async def test_cutBeforeTheReply(self) -> None:
        """
        A write whose reply is cut off is unknown: it fails, and is made once only.
        """
        store = await self.open(self.address)
        kept = record()
        await store.insert(kept, self.now)
        self.proxy.cutAfter = 7
        changed = evolve(kept, version=2, payload=b"changed")
        error = await self.fails(store.replace(changed, 1, self.now))
        self.assertIn("not known", str(error))
        await self.until(lambda: self.count("version = 2"))
        await self.healed(store)
        again = await store.load(kept.key, self.now)
        self.assertEqual((again.version, again.payload), (2, b"changed"))

    @steps
    async def test_swallowed(self) -> None:
        """
        A connection that leads nowhere fails once, at the deadline.
        """
        store = await self.open(self.address, deadline=DEADLINE)
        await store.load(b"", self.now)
        self.proxy.swallow = True
        began = reactor.seconds()
        error = await self.fails(store.load(b"x", self.now))
        self.assertIn(f"{DEADLINE:g} s", str(error))
        self.assertLess(reactor.seconds() - began, DEADLINE + SLACK)
        self.proxy.swallow = False
        await self.healed(store)

    @steps
    async def test_slow(self) -> None:
        """
        Replies that take 200 ms are waited for.
        """
        store = await self.open(self.address)
        self.proxy.delay = 0.2
        kept = record()
        await store.insert(kept, self.now)
        self.assertEqual(await store.load(kept.key, self.now), kept)

    @steps
    async def test_dripping(self) -> None:
        """
        The deadline is for the whole reply, however it comes.
        """
        store = await self.open(self.address, deadline=DEADLINE)
        await store.load(b"", self.now)
        self.proxy.drip = 0.05
        began = reactor.seconds()
        await self.fails(store.load(b"x", self.now))
        self.assertLess(reactor.seconds() - began, DEADLINE + SLACK)
        self.proxy.drip = 0
        await self.healed(store)

    @steps
    async def test_storm(self) -> None:
        """
        Connections that break again and again: nothing hangs, nothing is left.
        """
        store = await self.open(self.address)
        for _ in range(8):
            calls = [store.load(b"x", time.time()), store.delete(b"x")]
            self.proxy.cut()
            for outcome in await self.outcomes(calls):
                if outcome not in (None, False):
                    self.assertIsInstance(outcome, StoreUnavailable)
            await pause(0.02)
        await self.healed(store)
        await store.close()
        await self.until(lambda: not self.proxy.open)
        self.assertEqual(self.timers(), [])

    @steps
    async def test_deafAtTheStart(self) -> None:
        """
        A server that accepts and says nothing: opening ends at the deadline, and
        later the store opens.
        """
        self.proxy.deaf = True
        store = self.make(self.address, deadline=DEADLINE)
        began = reactor.seconds()
        await self.fails(store.open())
        self.assertLess(reactor.seconds() - began, DEADLINE + SLACK)
        self.proxy.deaf = False
        self.proxy.cut()
        while isinstance((await self.outcomes([store.open()]))[0], Exception):
            self.assertLess(reactor.seconds() - began, PATIENCE)
            await pause(0.1)
        self.assertIsNone(await store.load(b"", time.time()))

    @steps
    async def test_noStateIsReliedOn(self) -> None:
        """
        Nothing that is said to the server outlives its transaction, or names what
        was said before.
        """
        store = await self.open(self.address)
        kept = record()
        await store.insert(kept, self.now)
        await store.load(kept.key, self.now)
        await store.delete(kept.key)
        for word in (
            b"SET SESSION",
            b"LISTEN",
            b"NOTIFY",
            b"PREPARE",
            b"txsessions_load",
        ):
            self.assertNotIn(word, self.proxy.asked, word)
        asked = self.proxy.asked
        self.assertEqual(asked.count(b"set_config"), asked.count(b", true)"))


class PasswordTests(PostgresCase):
    """
    Passwords that are wrong, or are changed.
    """

    def chooseServer(self) -> Server:
        """
        A server that asks for them.
        """
        return self.own(
            "password_encryption=scram-sha-256",
            access="local all postgres trust\nlocal all all scram-sha-256\n",
        )

    @steps
    async def test_changed(self) -> None:
        """
        With a wrong password opening fails with what is wrong.  When it is changed
        while the store runs, it tries for ever, tells once, and heals.  No password
        is seen.
        """
        server = self.server
        server.do("CREATE ROLE web LOGIN PASSWORD 'first-secret'")
        server.do("GRANT CREATE ON SCHEMA public TO web")
        place = f"@/postgres?host={server.folder}&port={server.port}"
        with capturedLogs() as events:
            wrong = self.make(f"postgresql://web:wrong-secret{place}")
            error = await self.fails(wrong.open())
            self.assertIn("password authentication failed", str(error))
            store = await self.open(f"postgresql://web:first-secret{place}")
            server.do("ALTER ROLE web PASSWORD 'second-secret'")
            server.terminate()
            await self.until(lambda: self.complaints(events) >= 2)
            await pause(0.8)
            attempts = store._database.reads._failures
            self.assertGreater(attempts, 1)
            self.assertLess(attempts, 12)
            self.assertEqual(self.complaints(events), 2)
            error = await self.fails(store.load(b"", self.now))
            server.do("ALTER ROLE web PASSWORD 'first-secret'")
            await self.healed(store)
        shown = [store.address, repr(store), str(error), repr(store._settings)]
        shown += [str(event) for event in events]
        for text in shown:
            self.assertNotIn("secret", text)

    def complaints(self, events: list) -> int:
        """
        How often was told that the password is wrong?
        """
        said = [str(event.get("said")) for event in events]
        return len([each for each in said if "password authentication" in each])

    @steps
    async def test_tooManyConnections(self) -> None:
        """
        A role that may have no more connections: opening fails, and succeeds later;
        a running store comes back.
        """
        server = self.server
        server.do("CREATE ROLE few LOGIN PASSWORD 'x' CONNECTION LIMIT 1")
        server.do("GRANT CREATE ON SCHEMA public TO few")
        place = f"@/postgres?host={server.folder}&port={server.port}"
        store = self.make(f"postgresql://few:x{place}")
        error = await self.fails(store.open())
        self.assertIn("too many connections", str(error))
        server.do("ALTER ROLE few CONNECTION LIMIT 2")
        await self.until(lambda: not server.backends())
        await store.open()
        server.do("ALTER ROLE few CONNECTION LIMIT 0")
        server.terminate()
        await self.until(lambda: store._database.reads._failures > 2)
        error = await self.fails(store.load(b"", self.now))
        self.assertIn("too many connections", str(error))
        server.do("ALTER ROLE few CONNECTION LIMIT 2")
        await self.healed(store)


if DEBIAN is not None:

    class TLSTests(PostgresCase):
        """
        Encrypted connections, which are verified as libpq is told.
        """

        server_: Server | None = None

        def chooseServer(self) -> Server:
            """
            A server with a certificate for C{localhost}; all tests have one.
            """
            if TLSTests.server_ is None:
                folder = folderFor("tls")
                atexit.register(shutil.rmtree, folder, True)
                authority = Authority(folder)
                TLSTests.authority = authority.file
                TLSTests.other = Authority(folder, "other").file
                certificate, key = authority.issue("server")
                for path in (certificate, key):
                    if NOBODY is not None:
                        shutil.chown(path, NOBODY)
                    os.chmod(path, 0o600)
                TLSTests.expired = authority.issue("expired", days=-1)
                for path in TLSTests.expired:
                    if NOBODY is not None:
                        shutil.chown(path, NOBODY)
                    os.chmod(path, 0o600)
                TLSTests.good = (certificate, key)
                TLSTests.server_ = Server(
                    "ssl=on",
                    f"ssl_cert_file={certificate}",
                    f"ssl_key_file={key}",
                    programs=DEBIAN,
                    tcp=True,
                    access="local all all trust\nhostssl all all all trust\n",
                )
            return TLSTests.server_

        def at(self, host: str, mode: str, authority: str) -> str:
            """
            The address of the server under a name.
            """
            port = self.server.port
            return (
                f"postgresql://postgres@{host}:{port}/postgres?hostaddr=127.0.0.1"
                f"&sslmode={mode}&sslrootcert={authority}"
            )

        @steps
        async def test_verified(self) -> None:
            """
            With the right certificate all works, and is encrypted.
            """
            store = await self.open(self.at("localhost", "verify-full", self.authority))
            kept = record()
            await store.insert(kept, self.now)
            self.assertEqual(await store.load(kept.key, self.now), kept)
            large = evolve(kept, version=2, payload=b"x" * 200_000)
            await store.replace(large, 1, self.now)
            self.assertEqual(await store.load(kept.key, self.now), large)
            encrypted = self.server.do(
                "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                "WHERE ssl AND application_name = 'txsessions'"
            )
            self.assertEqual(encrypted, [(2,)])

        @steps
        async def test_refused(self) -> None:
            """
            Another name, another authority, and a server that takes no plain
            connection are refused, with the check that failed.
            """
            for address, word in (
                (self.at("elsewhere", "verify-full", self.authority), "elsewhere"),
                (self.at("localhost", "verify-full", self.other), "verify failed"),
                (self.at("localhost", "disable", self.authority), "no pg_hba.conf"),
            ):
                error = await self.fails(self.make(address).open())
                self.assertIn(word, str(error))

        @steps
        async def test_expired(self) -> None:
            """
            A certificate that has expired is refused.
            """
            certificate, key = self.expired
            server = self.own(
                "ssl=on",
                f"ssl_cert_file={certificate}",
                f"ssl_key_file={key}",
                programs=DEBIAN,
                tcp=True,
            )
            self.server = server
            address = self.at("localhost", "verify-full", self.authority)
            error = await self.fails(self.make(address).open())
            self.assertIn("certificate verify failed", str(error))

        @steps
        async def test_noFallback(self) -> None:
            """
            A server without TLS is refused where TLS is asked for.
            """
            self.server = PostgresCase.chooseServer(self)
            for mode in ("require", "verify-full"):
                address = self.at("localhost", mode, self.authority)
                error = await self.fails(self.make(address).open())
                self.assertIn("does not support SSL", str(error))
