"""
Failover: a primary, a replica, and three sentinels.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from tests.stores.redis_case import RedisTestCase
from tests.stores.valkeys import Sentinel, Server, freePort
from txsessions.errors import SessionConflict, StoreUnavailable
from txsessions.testing._case import steps


class FailoverTests(RedisTestCase):
    """
    The primary dies, and comes back as a replica.
    """

    running = True

    def site(self):
        """
        Start all servers.
        """
        self.primary = Server(port=freePort())
        self.addCleanup(self.primary.stop)
        self.replica = self.server(
            "--replicaof", f"127.0.0.1 {self.primary.port}", port=freePort()
        )
        self.sentinels = [Sentinel(self.primary, 2) for _ in range(3)]
        for sentinel in self.sentinels:
            self.addCleanup(sentinel.stop)
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels)
        return f"redis+sentinel://{hosts}/main/0"

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
            role, names = self.primary.command("ROLE"), self.primary.names()
            if role[0] == b"master":
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
