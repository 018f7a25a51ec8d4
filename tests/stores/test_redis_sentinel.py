"""
Failover: a primary, a replica, and three sentinels.
"""

from __future__ import annotations

import os

from msgspec.structs import replace as evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import SkipTest

from tests.stores.certificates import Authority
from tests.stores.redis_case import RedisTestCase
from tests.stores.valkeys import Sentinel, freePort, withTLS
from txsessions.errors import SessionConflict, StoreUnavailable
from txsessions.testing._case import steps


def capable() -> str:
    """
    A server that can do TLS.
    """
    found = withTLS()
    if found is None:
        raise SkipTest("no server here can do TLS")
    return found


class FailoverCase(RedisTestCase):
    """
    Has all of these servers.
    """

    def site(self):
        """
        Start all servers.
        """
        hosts = self.start()
        return f"redis+sentinel://{hosts}/main/0"

    def start(self, options=(), lines=(), signIn=(), **how):
        """
        Start a primary, a replica and three sentinels.

        @param options: Of the servers, see L{Server}.
        @param lines: Of the sentinels, see L{Sentinel}.
        @param signIn: What has to be said first to a server, and to a sentinel.
        @param how: See L{Server}.
        @return: The hosts and ports of the sentinels.
        """
        first, other = signIn or ((), ())
        self.primary = self.server(*options, port=freePort(), signIn=first, **how)
        follows = ("--replicaof", "127.0.0.1", f"{self.primary.port}")
        self.replica = self.server(
            *options, *follows, port=freePort(), signIn=first, **how
        )
        self.sentinels = [
            Sentinel(self.primary, 2, *lines, signIn=other) for _ in range(3)
        ]
        for sentinel in self.sentinels:
            self.addCleanup(sentinel.stop)
        return ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels)

    async def agreed(self):
        """
        Wait until the sentinels know each other and the replica.
        """

        async def know():
            for sentinel in self.sentinels:
                found = sentinel.command("SENTINEL", "master", "main")
                told = (
                    dict(zip(found[::2], found[1::2], strict=True))
                    if isinstance(found, list)
                    else found
                )
                self.assertEqual(told[b"num-other-sentinels"], b"2")
                self.assertEqual(told[b"num-slaves"], b"1")
                state = self.replica.command("INFO", "replication")
                self.assertIn(b"master_link_status:up", state)

        await self.until(know, 20.0)


class FailoverTests(FailoverCase):
    """
    The primary dies, and comes back as a replica.
    """

    running = True

    async def writer(self, store, name, failures):
        """
        Count in a session of one's own, as often as it goes.

        @return: How far it came, as it was acknowledged last.
        """
        count = 0
        record = self.record(name, payload=b"0")
        while self.running:
            try:
                found = await store.load(record.key, self.now)
                if found is None:
                    await store.insert(record, self.now)
                    found = record
                changed = evolve(
                    found,
                    version=found.version + 1,
                    payload=b"%d" % (int(found.payload) + 1),
                )
                await store.replace(changed, found.version, self.now)
                count = int(changed.payload)
            except StoreUnavailable:
                failures.append(reactor.seconds())
                await self.pause(0.02)
            except SessionConflict:
                pass
            await self.pause(0.002)
        return count

    def finish(self, writers):
        """
        Have the writers end, whatever went wrong.
        """
        self.running = False
        return DeferredList(writers, consumeErrors=True)

    @steps
    async def test_failover(self):
        """
        32 callers write while the primary dies: writes are back within seconds, the
        old primary is not used when it comes back, and nothing is shifted.
        """
        address = self.site()
        await self.agreed()
        store = await self.opened(address, deadline=1.0)
        failures = []
        writers = [
            Deferred.fromCoroutine(self.writer(store, f"w{n}", failures))
            for n in range(32)
        ]
        self.addCleanup(self.finish, writers)
        await self.pause(0.3)
        self.assertEqual(failures, [])
        self.primary.kill()
        died = reactor.seconds()

        async def written():
            await store.insert(self.record(f"at {reactor.seconds()}"), self.now)

        await self.pause(0.1)
        await self.until(written, 20.0)
        self.assertLess(reactor.seconds() - died, 15.0)
        self.primary.start()
        for _ in range(5):
            await self.pause(0.1)
            store._calls.client.connection.drop("is to be looked for anew")
            await self.until(written)
            names = self.primary.names()
            # What it has as a replica is what it was sent.
            if self.primary.command("ROLE")[0] == b"master":
                self.assertEqual(names, [], "the old primary was written to")
        self.running = False
        counts = await self.outcomes(writers)
        self.assertTrue(failures)
        for number, count in enumerate(counts):
            record = await store.load(self.record(f"w{number}").key, self.now)
            # The last write may have been done without having been acknowledged.
            self.assertIn(int(record.payload), (count, count + 1))
            self.assertGreater(count, 0)
        names = self.replica.names()
        self.assertTrue(any(self.record("w1").key in name for name in names))


class SecuredFailoverTests(FailoverTests):
    """
    The same with TLS between all, and with passwords, one of the servers and one
    of the sentinels.
    """

    def site(self):
        """
        See L{FailoverTests.site}.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        authority = Authority(os.path.abspath(folder))
        files = authority.issue("all", "127.0.0.1")
        hosts = self.start(
            ("--requirepass", "secret-1", "--masterauth", "secret-1"),
            (
                "sentinel auth-pass main secret-1",
                "requirepass secret-2",
                "sentinel sentinel-pass secret-2",
            ),
            (("AUTH", "secret-1"), ("AUTH", "secret-2")),
            program=capable(),
            tls=(*files, authority.file),
        )
        return (
            f"rediss+sentinel://:secret-1@{hosts}/main/0?cafile={authority.file}"
            "&sentinelPassword=secret-2"
        )


class TLSTests(RedisTestCase):
    """
    Certificates of sentinels and of the primary that they name.
    """

    @steps
    async def test_certificates(self):
        """
        That of a sentinel is looked at before anything is said to it, and that of
        the primary, and what is wrong with one is told.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        authority = Authority(os.path.abspath(folder))
        named, numbered, bad = (
            (*authority.issue(host, host), authority.file)
            for host in ("localhost", "127.0.0.1", "example.org")
        )
        cafile = authority.file
        for primary, sentinel, trusted, word in (
            (numbered, named, {"cafile": cafile}, ""),
            (numbered, named, {}, "not trusted"),
            (numbered, bad, {"cafile": cafile}, "another host"),
            (bad, named, {"cafile": cafile}, "another host"),
        ):
            server = self.server(program=capable(), port=freePort(), tls=primary)
            server.tls = sentinel  # which the sentinel takes over
            watching = Sentinel(server, 1)
            self.addCleanup(watching.stop)
            store = self.store(
                f"rediss+sentinel://localhost:{watching.port}/main/0",
                deadline=4.0,
                **trusted,
            )
            if word:
                error = await self.fails(store.open(), StoreUnavailable)
                self.assertIn(word, str(error))
            else:
                await store.open()


class AskingTests(RedisTestCase):
    """
    Sentinels that do not know, or are not there.
    """

    @steps
    async def test_nobody(self):
        """
        No sentinel answers, or none knows the name: it is told which, in time.
        """
        primary = self.server(port=freePort())
        sentinel = Sentinel(primary, 1)
        self.addCleanup(sentinel.stop)
        gone, known = freePort(), sentinel.port
        address = f"redis+sentinel://127.0.0.1:{gone},127.0.0.1:{known}/other/0"
        store = self.store(address, deadline=1.0)
        error = await self.fails(store.open(), StoreUnavailable)
        self.assertIn(f"127.0.0.1:{gone}", str(error))
        self.assertIn("knows no 'other'", str(error))

    @steps
    async def test_someAreGone(self):
        """
        One that knows is enough; one that is frozen only costs time.
        """
        primary = self.server(port=freePort())
        sentinel, frozen = Sentinel(primary, 1), Sentinel(primary, 1)
        for each in (sentinel, frozen):
            self.addCleanup(each.stop)
        frozen.pause()
        ports = (freePort(), frozen.port, sentinel.port)
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        store = await self.opened(f"redis+sentinel://{hosts}/main/0", deadline=1.5)
        record = await self.keep(store)
        self.assertEqual(await store.load(record.key, self.now), record)

    @steps
    async def test_passwords(self):
        """
        Sentinels that want to know who asks: what is wrong is told without the
        password, and a user needs no more than the right to ask.
        """
        primary = self.server("--requirepass", "secret-1", port=freePort())
        sentinel = Sentinel(
            primary,
            1,
            "requirepass secret-2",
            "user asker on >secret-3 -@all +auth +sentinel|get-master-addr-by-name",
            "user other on >secret-4 -@all +auth",
        )
        self.addCleanup(sentinel.stop)
        address = f"redis+sentinel://:secret-1@127.0.0.1:{sentinel.port}/main/0"
        for options, word in (
            ({}, "give sentinelPassword (NOAUTH)"),
            ({"sentinelPassword": "secret-1"}, "is wrong (WRONGPASS)"),
            ({"sentinelPassword": "secret-2"}, ""),
            ({"sentinelUser": "asker", "sentinelPassword": "secret-3"}, ""),
            ({"sentinelUser": "other", "sentinelPassword": "secret-4"}, "(NOPERM)"),
        ):
            store = self.store(address, **options)
            if word:
                error = await self.fails(store.open(), StoreUnavailable)
                self.assertIn(word, str(error))
                self.assertNotIn("secret", str(error))
            else:
                await store.open()
            self.assertNotIn("secret", store.address + repr(store._settings))
