"""
What a Redis server is asked first, and what it promises.
"""

from __future__ import annotations

import gc
import itertools

from msgspec.structs import replace as evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.redis_case import IDLE, RedisTestCase
from tests.stores.valkeys import REDIS, freePort, shared
from txsessions.core.record import ROTATED, SignInLimit
from txsessions.errors import SessionConflict, StoreUnavailable
from txsessions.stores import _redis_greeting
from txsessions.stores._redis_address import Settings
from txsessions.stores._redis_greeting import Promises
from txsessions.testing._case import steps

RIGHTS = [
    "+hello",
    "+auth",
    "+select",
    "+ping",
    "+role",
    "+client|setname",
    "+script|load",
    "+time",
    "+eval",
    "+evalsha",
    "+getrange",
    "+setrange",
    "+strlen",
    "+exists",
    "+set",
    "+del",
    "+pexpireat",
    "+pttl",
    "+wait",
    "+scan",
    "+zadd",
    "+zrem",
    "+zscore",
    "+zcount",
    "+zrange",
    "+zrangebyscore",
    "+zrangebylex",
]
"""What the module's docstring says that a user needs."""


class PromisesTests(RedisTestCase):
    """
    L{Promises}, by the settings of real servers.
    """

    def listen(self):
        """
        Hear what the operator is told.
        """
        events = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        return events

    async def durability(self, *options):
        """
        What a server with these settings promises.
        """
        server = self.server(*options)
        store = await self.opened(server.address)
        text = store.durability
        await store.close()
        self.assertEqual(store.durability, text)
        return text

    @steps
    async def test_durability(self):
        """
        It says what the server's settings mean.
        """
        for options, word in (
            (("--appendonly", "no"), "last snapshot"),
            (("--appendonly", "yes", "--appendfsync", "always"), "every write"),
            (("--appendonly", "yes", "--appendfsync", "everysec"), "last second"),
            (("--appendonly", "yes", "--appendfsync", "no"), "appendfsync no"),
        ):
            self.assertIn(word, await self.durability(*options))

    @steps
    async def test_notToldYet(self):
        """
        Before it was ever connected, and where it may not be asked, it says so.
        """
        server = self.server()
        store = self.store(server.address)
        self.assertIn("not asked yet", store.durability)
        server.command("ACL", "SETUSER", "default", "-config", "-info")
        await store.open()
        self.assertIn("does not say", store.durability)

    @steps
    async def test_eviction(self):
        """
        A server that may drop sessions: the operator is told, at each connection.
        """
        events = self.listen()
        for policy, warned in (
            ("noeviction", False),
            ("allkeys-lru", True),
            ("volatile-ttl", True),
        ):
            events.clear()
            server = self.server("--maxmemory-policy", policy, "--maxmemory", "100mb")
            await self.opened(server.address)
            told = [e for e in events if e.get("policy") == policy]
            self.assertEqual(bool(told), warned, policy)

    @steps
    async def test_rights(self):
        """
        A user with the rights that the documentation names, and no other, can do
        everything.
        """
        for program in (None, *([REDIS] if REDIS else [])):
            server = self.server(program=program)
            keys = "~{mine:*"
            server.command("ACL", "SETUSER", "me", "on", ">pw", keys, "-@all", *RIGHTS)
            address = server.address.replace("//", "//me:pw@")
            store = await self.opened(f"{address}?db=2&prefix=mine")
            record = await self.keep(store)
            changed = evolve(record, version=2)
            await store.replace(changed, 1, self.now)
            await self.fails(store.replace(changed, 1, self.now), SessionConflict)
            later = self.now + 1
            await store.touch(record.key, later, later, self.now)
            new = self.record("new", version=3, expiresAt=self.now)
            await store.rename(record.key, new, 2, self.now)
            self.assertIs(await store.load(record.key, self.now, 1), ROTATED)
            self.assertIsNone(await store.load(b"nothing", self.now))
            claimed = await store.claimExpired(self.now + 999, 9, 60.0)
            self.assertEqual([found.key for found in claimed], [new.key])
            self.assertEqual(len((await store.scan(None, 9))[0]), 1)
            self.assertEqual(await store.countSessions(self.now), 0)
            await store.acknowledge([new.key])
            await store.delete(new.key)
            await self.signInAndOut(store)
            server.command("SCRIPT", "FLUSH")
            await self.keep(store, "another")

    async def signInAndOut(self, store):
        """
        Do everything that is about principals.
        """
        who, limit = b"w" * 32, SignInLimit(most=2, refuses=False)
        for number in range(3):
            signIn = {"principal": who, "handle": b"%d" % number * 16}
            record = self.record(f"signed in {number}", **signIn)
            await store.insert(record, self.now, limit)
        new = evolve(record, key=b"n" * 32, version=2)
        await store.rename(record.key, new, 1, self.now, limit)
        await store.touch(new.key, self.now + 1, self.now + 1e6, self.now)
        await store.replace(evolve(new, version=3), 2, self.now)
        self.assertEqual(len((await store.sessionsOf(who, self.now))[0]), 2)
        self.assertEqual(await store.endPrincipal(who, self.now, new.key), 1)
        wrong, cursor = await store.verifyIndex()
        while cursor is not None:
            more, cursor = await store.verifyIndex(cursor)
            wrong += more
        self.assertEqual(wrong, 0)
        self.assertTrue(await store.endSession(who, b"2" * 16, self.now))
        await store.endEverybody(who[:8])
        self.assertEqual(await store.erasePrincipal(who), 1)

    def test_rightsAreDocumented(self):
        """
        They are those of the documentation.
        """
        from txsessions.stores import redis

        for right in RIGHTS:
            self.assertIn(right, redis.__doc__)

    @steps
    async def test_oldProtocol(self):
        """
        Everything works without HELLO, too: RESP2.
        """
        server = self.server()
        server.command("ACL", "SETUSER", "me", "on", ">pw", "~*", "+@all", "-hello")

        async def older(connection, settings):
            await connection.call(b"AUTH", b"me", b"pw")

        self.patch(_redis_greeting, "_introduce", older)
        for setting in ("always", "everysec"):
            server.command("CONFIG", "SET", "appendonly", "yes")
            server.command("CONFIG", "SET", "appendfsync", setting)
            store = await self.opened(server.address)
            self.assertIn(setting, store.durability)
            record = await self.keep(store, setting)
            self.assertEqual(await store.load(record.key, self.now), record)
            self.assertIsNone(await store.load(b"nothing", self.now, 1))
            found = await store.claimExpired(self.now + 9e9, 9, 1.0)
            self.assertEqual(found, [record])
            await store.acknowledge([record.key])

    @steps
    async def test_lostInTheMiddle(self):
        """
        A connection that breaks at any of the first words: the opening fails, and
        no error is left lying about.
        """
        server = shared()
        proxy = self.proxy(server)
        for after in (1, 150, 200, 250, 300, 400, 600, 900):
            proxy.cutAfter = after
            store = self.store(proxy.address)
            await self.fails(store.open(), StoreUnavailable)
            proxy.cutAfter = None
        await store.open()

    @steps
    async def test_sentAtOnce(self):
        """
        Over TCP small commands do not wait for one another.
        """
        store = await self.opened(self.proxy(shared()).address)
        transport = store._calls.client.connection.transport
        self.assertTrue(transport.getTcpNoDelay())
        self.assertTrue(transport.getTcpKeepAlive())

    @steps
    async def test_database(self):
        """
        A database that there is not.
        """
        store = self.store(shared().address + "?db=99")
        error = await self.fails(store.open(), StoreUnavailable)
        self.assertIn("databases", str(error))


class ReplicaTests(RedisTestCase):
    """
    C{wait}: writes that replicas must have.
    """

    @steps
    async def test_wait(self):
        """
        With too few replicas a write is not acknowledged; with enough it is, and
        then they have it.
        """
        primary = self.server("--repl-diskless-sync-delay", "0", port=freePort())
        store = await self.opened(primary.address + "?wait=1&deadline=3")
        self.assertIn("1 replicas", store.durability)
        record = self.record()
        error = await self.fails(store.insert(record, self.now), StoreUnavailable)
        self.assertIn("wait=1", str(error))
        self.assertEqual(await store.load(record.key, self.now), record)
        replica = self.server("--replicaof", "127.0.0.1", f"{primary.port}")

        names = itertools.count()

        async def synced():
            await self.keep(store, f"another {next(names)}")

        await self.until(synced)
        await store.replace(evolve(record, version=2), 1, self.now)
        self.assertIs(await store.delete(record.key), True)
        left = [key for key in replica.names() if record.key in key]
        self.assertEqual(left, [])
        self.assertIs(await store.delete(record.key), False)

    @steps
    async def test_waitOfEachVerb(self):
        """
        Every verb that changes a session waits for them, a first time and where its
        script was forgotten.
        """
        server = shared()
        plain = await self.opened(server.address)
        store = await self.opened(server.address, wait=1, deadline=0.3)
        for forget in (False, True):
            record = await self.keep(plain)
            key, new = record.key, self.record("new", version=3)
            later = self.now + 1
            for verb, *about in (
                (store.insert, self.record("other")),
                (store.replace, evolve(record, version=2), 1),
                (store.touch, key, later, later + IDLE),
                (store.rename, key, new, 2),
                (store.delete, new.key),
            ):
                if forget:
                    server.command("SCRIPT", "FLUSH")
                error = await self.fails(verb(*about, self.now), StoreUnavailable)
                self.assertIn("0 replicas", str(error))
            server.command("FLUSHALL")


class LateTests(SynchronousTestCase):
    """
    A greeting that takes too long.
    """

    def test_nobodyWaits(self):
        """
        What was asked besides fails with the connection, and nobody hears of that.
        """
        calls = [Deferred() for _ in range(3)]
        greeting = Deferred.fromCoroutine(_redis_greeting._politely(calls))
        greeting.cancel()
        self.failureResultOf(greeting, CancelledError)
        while len(calls) > 1:
            calls.pop().errback(StoreUnavailable("it is gone"))
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])


class WordsTests(SynchronousTestCase):
    """
    L{Promises} without a server.
    """

    def test_unknown(self):
        """
        A server that says part of it.
        """
        self.assertIn("appendfsync unknown", Promises(log=True).durability)

    def test_nothingShowsThePassword(self):
        """
        Settings can be shown.
        """
        settings = Settings(hosts=(("h", 1),), user="me", password="hidden")
        self.assertNotIn("hidden", repr(settings))
        self.assertNotIn("hidden", settings.where)
        self.assertNotIn("me", settings.where)
