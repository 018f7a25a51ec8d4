"""
The Redis store while its server or the network is broken: it fails closed, soon, and
heals by itself.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading

from msgspec.structs import replace as evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError

from tests.stores.redis_case import RedisTestCase
from tests.stores.valkeys import freePort, shared
from txsessions.errors import SessionError, StoreUnavailable
from txsessions.stores._redis_resp import pack
from txsessions.testing._case import steps

DEADLINE = 0.4
SLACK = 5.0
"""How much later than its deadline a call may fail on a busy machine."""


class FaultCase(RedisTestCase):
    """
    What these tests have in common.
    """

    def quick(self, address, **options):
        """
        Open a store with a short deadline.
        """
        return self.opened(address, **{"deadline": DEADLINE, **options})

    def verbs(self, store, record):
        """
        All calls that there are.
        """
        changed, later = evolve(record, version=2), self.now + 1
        return [
            store.load(record.key, self.now),
            store.load(record.key, self.now, 1),
            store.insert(self.record("new"), self.now),
            store.replace(changed, 1, self.now),
            store.touch(record.key, later, later, self.now),
            store.rename(record.key, self.record("renamed"), 1, self.now),
            store.delete(record.key),
            store.claimExpired(self.now, 9, 1.0),
            store.acknowledge([record.key]),
            store.countSessions(self.now),
            store.scan(None, 9),
            store.sessionsOf(b"w" * 32, self.now),
            store.endPrincipal(b"w" * 32, self.now),
            store.endSession(b"w" * 32, b"h" * 16, self.now),
            store.erasePrincipal(b"w" * 32),
            store.verifyIndex(),
        ]

    async def allFail(self, calls):
        """
        All of these fail in time.
        """
        begun = reactor.seconds()
        for outcome in await self.outcomes(calls):
            self.assertIsInstance(outcome, StoreUnavailable)
        self.assertLess(reactor.seconds() - begun, DEADLINE + SLACK)

    async def atOnce(self, store, record):
        """
        All calls fail at once.
        """
        for call in self.verbs(store, record):
            self.assertTrue(call.called)
            await self.fails(call, StoreUnavailable)


class ServerTests(FaultCase):
    """
    The server is down, killed, frozen, at its limits.
    """

    @steps
    async def test_downAtStart(self):
        """
        Opening fails at once, leaves nothing behind, and may be tried again.
        """
        server = self.server()
        server.kill()
        store = self.store(server.address)
        begun = reactor.seconds()
        error = await self.fails(store.open(), StoreUnavailable)
        self.assertIn("cannot be reached", str(error))
        self.assertLess(reactor.seconds() - begun, SLACK)
        await self.atOnce(store, self.record())
        server.start()
        await store.open()
        record = await self.keep(store)
        self.assertEqual(await store.load(record.key, self.now), record)

    @steps
    async def test_killed(self):
        """
        What is under way fails, what comes then fails at once, and when the server
        is back the store is.
        """
        server = self.server()
        store = await self.quick(server.address)
        record = await self.keep(store)
        server.pause()
        calls = self.verbs(store, record)
        server.kill()
        await self.allFail(calls)
        await self.atOnce(store, record)
        server.start()
        healed = await self.until(lambda: store.load(record.key, self.now))
        self.assertLess(healed, 1.0 + SLACK)
        await store.insert(record, self.now)
        self.assertEqual(await store.load(record.key, self.now), record)

    @steps
    async def test_frozen(self):
        """
        Each call ends at its deadline, later ones at once; what the server says
        after it was thawed is nobody's.
        """
        server = self.server()
        store = await self.quick(server.address)
        record, other = await self.keep(store), await self.keep(store, "other")
        server.pause()
        await self.allFail(self.verbs(store, record))
        await self.atOnce(store, record)
        calls = [store.load(record.key, self.now) for _ in range(20)]
        server.resume()
        await self.allFail(calls)
        await self.until(lambda: store.load(other.key, self.now))
        for _ in range(50):
            self.assertEqual(await store.load(other.key, self.now), other)

    @steps
    async def test_frozenUnderLoad(self):
        """
        The queue is bounded: beyond the bound calls fail at once, and all do in
        the end.
        """
        server = self.server()
        store = await self.quick(server.address, maxQueue=500)
        record = await self.keep(store)
        server.pause()
        calls = [store.load(record.key, self.now) for _ in range(10_000)]
        failed = [call for call in calls if call.called]
        self.assertEqual(len(failed), 9500)
        await self.allFail(calls)
        server.resume()
        await self.until(lambda: store.load(record.key, self.now))

    @steps
    async def test_heldCallsAreBounded(self):
        """
        So are those that wait for the clock of a new connection.
        """
        server = self.server()
        store = await self.quick(server.address, maxQueue=50)
        server.pause()
        calls = [store.load(b"x", self.now) for _ in range(100)]
        self.assertEqual(len([call for call in calls if call.called]), 50)
        cancelled = calls[3]
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        await self.allFail(calls[:3] + calls[4:])
        server.resume()
        await self.until(lambda: store.load(b"x", self.now))

    @steps
    async def test_cancelledWhileHeld(self):
        """
        What is cancelled before the clock of a new connection is known is never done.
        """
        server = self.server()
        record = await self.keep(await self.quick(server.address))
        store = await self.quick(server.address)
        changed = evolve(record, version=2, payload=b"changed")
        replaced = store.replace(changed, 1, self.now)
        loaded = store.load(record.key, self.now)
        replaced.addErrback(lambda failure: failure.trap(CancelledError))
        replaced.cancel()
        self.assertEqual(await loaded, record)
        self.assertEqual(await store.load(record.key, self.now), record)

    @steps
    async def test_tooManyClients(self):
        """
        A server at its limit of clients is unavailable, and says why; when there is
        room the store comes back.
        """
        server = self.server("--maxclients", "3")
        others = [self.letIn(server) for _ in range(3)]
        store = self.store(server.address, deadline=DEADLINE)
        error = await self.fails(store.open(), StoreUnavailable)
        self.assertIn("maxclients", str(error))
        others.pop().close()
        await self.until(store.open)
        await store.load(b"x", self.now)

    def letIn(self, server):
        """
        Connect to a server that may not have seen yet that others have left.
        """
        while True:
            link = server.connect()
            self.addCleanup(link.close)
            with contextlib.suppress(OSError):
                link.sendall(pack([b"PING"]))
                if link.recv(100).startswith(b"+PONG"):
                    return link

    @steps
    async def test_manyThatComeBack(self):
        """
        Stores of one machine do not all come back in the same moment, nor often.
        """
        server = self.server()
        proxy = self.proxy(server)
        stores = [await self.quick(proxy.address) for _ in range(10)]
        before = proxy.count
        server.kill()
        await self.pause(1.2)
        self.assertLess(proxy.count - before, 10 * 8)

        async def spread():
            waiting = [store._calls.client._retry for store in stores]
            moments = sorted(retry.getTime() for retry in waiting if retry)
            apart = [b - a > 0.01 for a, b in itertools.pairwise(moments)]
            self.assertGreater(sum(apart), 3)

        await self.until(spread)
        server.start()
        for store in stores:
            await self.until(lambda store=store: store.load(b"x", self.now))

    @steps
    async def test_full(self):
        """
        A server whose memory is full takes no writes; reads and logouts go on.
        """
        server = self.server()
        store = await self.quick(server.address)
        record, other = await self.keep(store), await self.keep(store, "other")
        server.command("CONFIG", "SET", "maxmemory", 1)
        later = self.now + 1
        for call in (
            store.insert(self.record("new"), self.now),
            store.replace(evolve(record, version=2), 1, self.now),
            store.touch(record.key, later, later, self.now),
            store.rename(record.key, self.record("renamed"), 1, self.now),
        ):
            error = await self.fails(call, StoreUnavailable)
            self.assertIn("maxmemory", str(error))
        self.assertEqual(await store.load(record.key, self.now), record)
        await store.load(record.key, self.now, 1)
        self.assertIs(await store.delete(other.key), True)
        self.assertIsNone(await store.load(other.key, self.now))
        server.command("CONFIG", "SET", "maxmemory", 0)
        await store.replace(evolve(record, version=2), 1, self.now)

    @steps
    async def test_busy(self):
        """
        A script of somebody else that does not end: unavailable, in time.
        """
        server = self.server("--lua-time-limit", "50")
        store = await self.quick(server.address)
        record = await self.keep(store)
        with server.connect() as link:
            link.sendall(pack([b"EVAL", b"while true do end", b"0"]))
            await self.pause(0.2)
            error = await self.fails(store.load(record.key, self.now), StoreUnavailable)
            self.assertIn("SCRIPT KILL", str(error))
            await self.fails(store.delete(record.key), StoreUnavailable)
            server.command("SCRIPT", "KILL")
        await self.until(lambda: store.load(record.key, self.now))

    @steps
    async def test_becameAReplica(self):
        """
        A server that was demoted: its READONLY drops the connection, and it is
        refused until it is the primary again.
        """
        server = self.server()
        store = await self.quick(server.address)
        record = await self.keep(store)
        server.command("CONFIG", "SET", "replica-serve-stale-data", "yes")
        server.command("REPLICAOF", "127.0.0.1", freePort())
        await self.until(lambda: self.fails(store.delete(record.key), StoreUnavailable))
        await self.pause(0.4)
        error = await self.fails(store.load(record.key, self.now), StoreUnavailable)
        self.assertIn("is a slave", str(error))
        server.command("REPLICAOF", "NO", "ONE")
        await self.until(lambda: store.load(record.key, self.now))

    @steps
    async def test_lostItsPrimary(self):
        """
        A replica is refused from the beginning.
        """
        server = self.server("--replicaof", "127.0.0.1", f"{freePort()}")
        store = self.store(server.address)
        error = await self.fails(store.open(), StoreUnavailable)
        self.assertIn("redis+sentinel://", str(error))

    @steps
    async def test_notPermittedAnyMore(self):
        """
        An ACL that changes at run time.
        """
        server = self.server()
        everything = ("on", ">pw", "~*", "&*", "+@all")
        server.command("ACL", "SETUSER", "me", *everything)
        address = server.address.replace("//", "//me:pw@")
        store = await self.quick(address)
        record = await self.keep(store)
        server.command("ACL", "SETUSER", "me", "-getrange")
        error = await self.fails(store.load(record.key, self.now), StoreUnavailable)
        self.assertIn("ACL", str(error))
        server.command("ACL", "SETUSER", "me", "+getrange")
        self.assertEqual(await store.load(record.key, self.now), record)


class PasswordTests(FaultCase):
    """
    Wrong and changed passwords.
    """

    @steps
    async def test_wrong(self):
        """
        It is told, and never shown.
        """
        server = self.server("--requirepass", "right-one")
        for user, word in ((":wrong-one@", "password is wrong"), ("", "password")):
            store = self.store(server.address.replace("//", f"//{user}"))
            error = await self.fails(store.open(), StoreUnavailable)
            self.assertIn(word, str(error))
            for shown in (f"{error!r} {error}", store.address, repr(vars(store))):
                self.assertNotIn("wrong-one", shown)
        store = await self.quick(server.address.replace("//", "//:right-one@"))
        await self.keep(store)

    @steps
    async def test_changed(self):
        """
        A password that was changed at run time: it keeps trying, for ever, and is
        back when the password is.
        """
        server = self.server()
        server.command("ACL", "SETUSER", "me", "on", ">one", "~*", "&*", "+@all")
        store = await self.quick(server.address.replace("//", "//me:one@"))
        record = await self.keep(store)
        server.command("ACL", "SETUSER", "me", "resetpass", ">two")
        server.command("CLIENT", "KILL", "USER", "me")
        await self.pause(0.8)
        error = await self.fails(store.load(record.key, self.now), StoreUnavailable)
        self.assertIn("password is wrong", str(error))
        self.assertIsNotNone(store._calls.client._retry or store._calls.client._attempt)
        server.command("ACL", "SETUSER", "me", ">one")
        await self.until(lambda: store.load(record.key, self.now))

    @steps
    async def test_noAnswerToIt(self):
        """
        A server that never answers the first words: the opening ends in time.
        """
        proxy = self.proxy(shared())
        proxy.deaf = True
        store = self.store(proxy.address, deadline=DEADLINE)
        begun = reactor.seconds()
        await self.fails(store.open(), StoreUnavailable)
        self.assertLess(reactor.seconds() - begun, DEADLINE * 2 + SLACK)


class NetworkTests(FaultCase):
    """
    Slow, cutting, swallowing networks.
    """

    @steps
    async def test_slow(self):
        """
        Answers that take their time are answers.
        """
        proxy = self.proxy(shared())
        store = await self.quick(proxy.address)
        record = await self.keep(store)
        proxy.delay = DEADLINE / 2
        calls = [store.load(record.key, self.now) for _ in range(20)]
        self.assertEqual(await self.outcomes(calls), [record] * 20)

    @steps
    async def test_dripping(self):
        """
        The deadline is that of the whole answer.
        """
        proxy = self.proxy(shared())
        store = await self.quick(proxy.address)
        record = await self.keep(store)
        proxy.drip = 0.1
        await self.allFail([store.load(record.key, self.now)])
        proxy.drip = 0
        await self.until(lambda: store.load(record.key, self.now))

    @steps
    async def test_cut(self):
        """
        Wherever an answer is cut, the call fails; the next connection begins anew.
        """
        proxy = self.proxy(shared())
        store = await self.quick(proxy.address)
        record = await self.keep(store)
        for after in (1, 3, 7, 30, 100):
            proxy.cutAfter = after
            found = await self.outcomes(
                [store.load(record.key, self.now) for _ in range(3)]
            )
            self.assertIsInstance(found[-1], StoreUnavailable)
            for outcome in found:
                if outcome != record:
                    self.assertIsInstance(outcome, StoreUnavailable)
            await self.until(lambda: store.load(record.key, self.now))

    @steps
    async def test_blackHole(self):
        """
        A connection that swallows everything is noticed by the deadline.
        """
        proxy = self.proxy(shared())
        store = await self.quick(proxy.address)
        record = await self.keep(store)
        proxy.swallow = True
        await self.allFail([store.load(record.key, self.now)])
        proxy.swallow = False
        await self.until(lambda: store.load(record.key, self.now))

    @steps
    async def test_resets(self):
        """
        A storm of resets: calls fail at most once for each, the state is sound.
        """
        proxy = self.proxy(shared())
        store = await self.quick(proxy.address)
        record = await self.keep(store, payload=b"0")
        done = 0
        for _ in range(8):
            current = await store.load(record.key, self.now)
            changed = evolve(
                current, version=current.version + 1, payload=b"%d" % (done + 1)
            )
            call = store.replace(changed, current.version, self.now)
            reactor.callLater(0, proxy.cut)
            await self.outcomes([call])
            await self.until(lambda: store.load(record.key, self.now))
            found = await store.load(record.key, self.now)
            self.assertIn(found, (current, changed))
            done = int(found.payload)

    @steps
    async def test_writesAreNotSentAgain(self):
        """
        A write whose connection broke is unknown: it fails, and is not sent twice.
        """
        proxy = self.proxy(shared())
        store = await self.quick(proxy.address)
        await store.load(b"x", self.now)
        proxy.swallow = True
        marked = self.record("once", payload=b"the mark of this write")
        await self.allFail([store.insert(marked, self.now)])
        proxy.swallow = False
        await self.until(lambda: store.load(b"x", self.now))
        self.assertEqual(proxy.asked.count(b"the mark of this write"), 1)

    @steps
    async def test_noRedisThere(self):
        """
        Something else on that port.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def answer():
            link, _ = listener.accept()
            with link:
                link.recv(999)
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        store = self.store(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        error = await self.fails(store.open(), SessionError)
        self.assertIn("does not speak Redis", str(error))
        thread.join(5)

    @steps
    async def test_anOldServer(self):
        """
        A server that does not know HELLO gets the older words; what it says of the
        password that it got is not passed on.
        """
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        heard = []

        def answer():
            link, _ = listener.accept()
            with link:
                heard.append(link.recv(999))
                link.sendall(
                    b"-ERR unknown command `HELLO`, with args beginning with: `3`, "
                    b"`AUTH`, `me`, `hidden`, \r\n"
                )
                heard.append(link.recv(999))
                link.sendall(b"-ERR invalid password hidden\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        store = self.store(f"redis://me:hidden@127.0.0.1:{port}/0")
        error = await self.fails(store.open(), SessionError)
        self.assertIn("password is wrong", str(error))
        self.assertNotIn("hidden", str(error))
        self.assertEqual(heard[1], pack([b"AUTH", b"me", b"hidden"]))
        thread.join(5)
