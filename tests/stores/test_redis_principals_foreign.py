"""
Who is signed in, in a Redis server: what others did there, what earlier versions wrote,
and when the server does not answer.
"""

from __future__ import annotations

import struct
import time
from zlib import crc32

from msgspec.structs import replace as evolve

from tests.stores.redis_case import IDLE
from tests.stores.redis_principals_case import WHO, PrincipalsCase
from txsessions.core.record import PREFIX_BYTES, UNCHANGED, SignInLimit
from txsessions.errors import SessionGone, StoreUnavailable, TooManySessions
from txsessions.stores._redis_keys import shardOf
from txsessions.stores._redis_rows import GRACE
from txsessions.testing._case import steps


class ForeignTests(PrincipalsCase):
    """
    What others did, and earlier versions wrote.
    """

    @steps
    async def test_droppedByTheServer(self):
        """
        A record that the server dropped is no error: it is in no list, count or limit,
        and its entry goes when it is met.
        """
        store = await self.on()
        for call, expected in (
            (lambda: self.listOf(store), []),
            (lambda: store.endPrincipal(WHO, self.now), 0),
            (lambda: store.endSession(WHO, record.handle, self.now), False),
            (lambda: store.erasePrincipal(WHO), 0),
            (
                lambda: store.insert(
                    self.signedIn("more"), self.now, SignInLimit(most=1, refuses=True)
                ),
                None,
            ),
        ):
            record = await self.signIn(store)
            self.command("DEL", self.names.record(record.key))
            self.assertEqual(await self.misfits(store), 1)
            self.assertEqual(await call(), expected)
            self.assertEqual(await self.misfits(store), 0)
            self.assertFalse(self.command("EXISTS", self.index(record)))
            await store.delete(record.key)

    @steps
    async def test_damaged(self):
        """
        A damaged record is nobody's who lives, and goes when its entry says so, with
        all that there was of its principal.
        """
        store = await self.on()
        for call, expected in (
            (lambda: store.endSession(WHO, record.handle, self.now), False),
            (lambda: store.erasePrincipal(WHO), 1),
        ):
            record = await self.signIn(store)
            await store.endPrincipal(WHO, self.now)
            self.command("SETRANGE", self.names.record(record.key), 0, "XX")
            self.assertEqual(await self.listOf(store), [])
            self.assertEqual(await store.endPrincipal(WHO, self.now), 0)
            self.assertEqual(await self.misfits(store), 1)
            self.assertEqual(await call(), expected)
            self.assertEqual(self.shared.names(), [])

    @steps
    async def test_aLostEntry(self):
        """
        One that lost its entry is counted by the look at the index, and has ended as
        the others have; with its next write it gets it back.
        """
        store = await self.on()
        one, two, three = self.inOneShard(3)
        for record in (one, two, three):
            await store.insert(record, self.now)
        for record in (one, two):
            self.command("ZREM", self.index(one), record.handle + record.key)
        self.assertEqual(await self.misfits(store), 2)
        self.assertEqual(await self.listOf(store), [three])
        self.command("DEL", self.index(one))
        self.assertEqual(await self.misfits(store), 3)
        await store.touch(one.key, self.now + 1, self.now + IDLE, self.now)
        await store.replace(evolve(two, version=2), 1, self.now)
        self.assertEqual(await self.misfits(store), 1)
        self.assertGreater(self.command("PTTL", self.index(one)), 0)
        await store.endPrincipal(WHO, self.now)
        for record in (one, two, three):
            self.assertIsNone(await store.load(record.key, self.now))
        self.command("ZADD", self.index(one), 0, one.handle + b"no record")
        self.assertEqual(await self.misfits(store), 2)

    @steps
    async def test_anEntryForAnother(self):
        """
        An entry does not make a session anybody's: not one of nobody, not one with
        another handle or principal.
        """
        store = await self.on()
        others = [self.record("anonymous"), self.signedIn("x", principal=b"o" * 32)]
        others.append(self.signedIn("mine"))
        for call in (
            lambda: self.listOf(store),
            lambda: store.endPrincipal(WHO, self.now),
            lambda: store.endSession(WHO, b"h" * 16, self.now),
            lambda: store.erasePrincipal(WHO),
        ):
            for record in others:
                await store.insert(record, self.now)
                self.command("ZADD", self.index(record), 0, b"h" * 16 + record.key)
                self.command(
                    "ZREM", self.index(record), (record.handle or b"") + record.key
                )
                self.assertGreaterEqual(await self.misfits(store), 1)
                self.assertIn(await call(), ([], 0, False))
                self.assertEqual(await store.load(record.key, self.now), record)
                await store.delete(record.key)

    @steps
    async def test_anEpochThatIsNone(self):
        """
        What nobody can read ends the sessions, and does not bring them back.
        """
        store = await self.on()
        record = await self.signIn(store)
        for nonsense in ("x", b"\xff" * 8, "nan"):
            self.command("SET", self.epoch(record), nonsense)
            for known in (None, 1):
                self.assertIsNone(await store.load(record.key, self.now, known))
            touched = store.touch(record.key, self.now + 1, self.now + 9, self.now)
            await self.fails(touched, SessionGone)
        self.command("DEL", self.epoch(record))
        self.command("LPUSH", self.epoch(record), "x")
        self.assertIsNone(await store.load(record.key, self.now))
        changed = store.replace(evolve(record, version=2), 1, self.now)
        await self.fails(changed, StoreUnavailable)

    @steps
    async def test_anEndOfEverybodyThatIsNone(self):
        """
        So it is with the end of everybody; and nobody signs in under it.
        """
        store = await self.on()
        record = await self.signIn(store)
        name = self.names.epochs(WHO[:PREFIX_BYTES])[shardOf(record.key)]
        for nonsense in ("x", b"\xff" * 8, "nan"):
            self.command("SET", name, nonsense)
            for known in (None, 1):
                self.assertIsNone(await store.load(record.key, self.now, known))
        another = evolve(record, key=b"a" + record.key[1:], handle=b"a" * 16)
        another = evolve(another, key=record.key[:1] + another.key[1:][::-1])
        self.command("SET", name, "x")
        await self.fails(store.insert(another, self.now), StoreUnavailable)
        await store.endEverybody(WHO[:PREFIX_BYTES])
        await store.insert(another, self.now)
        self.assertEqual(await store.load(another.key, self.now), another)
        self.assertIsNone(await store.load(record.key, self.now))

    @steps
    async def test_aForgedEpoch(self):
        """
        An epoch that was changed in the record does not make it live on.
        """
        store = await self.on()
        record = await self.signIn(store)
        name = self.names.record(record.key)
        await store.endPrincipal(WHO, self.now)
        await store.endEverybody(WHO[:PREFIX_BYTES])
        before = self.command("GETRANGE", name, 56, 79)
        for at in ((56,), (64,), (56, 64), (72,)):
            for place in at:
                self.command("SETRANGE", name, place, b"\xff" * 6 + b"\x0f\0")
            for known in (None, 1):
                self.assertIsNone(await store.load(record.key, self.now, known), at)
            self.command("SETRANGE", name, 56, before)

    @steps
    async def test_earlierRecords(self):
        """
        Records of the version before there were handles are read, changed, renamed,
        swept and deleted; in those without a principal no byte is different.
        """
        store = await self.on()
        await store.load(b"first", self.now)
        offset = store._calls.clock.offset
        for principal in (None, WHO, b""):
            record = self.record(principal=principal)
            written = _earlier(record, offset)
            if principal is None:
                await store.insert(record, self.now)
                name = self.names.record(record.key)
                self.assertEqual(self.command("GET", name), written)
                await store.delete(record.key)
            self.write(record, written)
            self.assertEqual(await store.load(record.key, self.now), record)
            self.assertIs(await store.load(record.key, self.now, 1), UNCHANGED)
            changed = evolve(record, version=2, payload=b"changed")
            await store.replace(changed, 1, self.now)
            self.assertEqual(await store.load(record.key, self.now), changed)
            await store.touch(record.key, self.now + 1, self.now + 99, self.now)
            signed = self.signedIn("in", version=3)
            await store.rename(record.key, signed, 2, self.now)
            self.assertEqual(await store.endPrincipal(WHO, self.now), 1)
            self.assertIsNone(await store.load(signed.key, self.now))
            self.shared.empty()

    def write(self, record, text):
        """
        Put a record there as an earlier version did.
        """
        until = int((time.time() + IDLE + GRACE) * 1000)
        self.command("SET", self.names.record(record.key), text, "PXAT", until)
        _, due, _, index = self.names.all(record.key)
        self.command("ZADD", due, record.expiresAt, record.key)
        self.command("ZADD", index, 0, record.key)

    @steps
    async def test_whatCannotBeEnded(self):
        """
        A record with a principal and no handle is not written anew, nor one whose
        handle or principal has another size.
        """
        store = await self.on()
        anonymous = await self.keep(store)
        for signIn in (
            {"handle": None},
            {"handle": b"h" * 15},
            {"principal": b"w" * 31},
            {"principal": None},
        ):
            record = self.signedIn("new", **signIn)
            await self.fails(store.insert(record, self.now), ValueError)
            renamed = store.rename(anonymous.key, record, 1, self.now)
            await self.fails(renamed, ValueError)

    @steps
    async def test_noHandle(self):
        """
        What is no handle ends nothing, and the last of all handles only its own.
        """
        store = await self.on()
        await self.signIn(store, "first", handle=b"\0" * 16)
        last = await self.signIn(store, "last", handle=b"\xff" * 16)
        for handle in (b"", b"\0" * 15, b"\0" * 17, b"\xff" * 15, b"\xff" * 17):
            self.assertFalse(await store.endSession(WHO, handle, self.now), handle)
        self.assertEqual(len(await self.listOf(store)), 2)
        page, cursor = await store.sessionsOf(WHO, self.now, None, 2)
        self.assertEqual(page[-1], last)
        self.assertEqual(await store.sessionsOf(WHO, self.now, cursor), ([], None))
        self.assertTrue(await store.endSession(WHO, last.handle, self.now))
        self.assertEqual(len(await self.listOf(store)), 1)


class ClocksTests(PrincipalsCase):
    """
    Where machines have different clocks.
    """

    @steps
    async def test_theOldestByOneClock(self):
        """
        Who is the oldest does not depend on whose clock was fast.
        """
        store, fast = await self.on(), await self.on()
        late = self.now + 1000
        times = {"createdAt": late, "touchedAt": late, "expiresAt": late + IDLE}
        await fast.insert(self.signedIn("oldest", 200, **times), late)
        await self.signIn(store, "younger", 100, createdAt=self.now + 500)
        new = self.signedIn("new", createdAt=self.now + 600)
        two = SignInLimit(most=2, refuses=False)
        await store.insert(new, self.now, two)
        left = [record.createdAt - self.now for record in await self.listOf(store)]
        self.assertEqual(sorted(left), [500, 600])


class FailingTests(PrincipalsCase):
    """
    When the server does not answer, or its replicas do not.
    """

    @steps
    async def test_anUnknownOutcome(self):
        """
        Where the answer is lost all have ended or none has; then it is said again.
        """
        server = self.server()
        self.command = server.command
        store = await self.opened(server.address, deadline=0.3)
        records = [await self.signIn(store, str(n), n) for n in range(20)]
        server.pause()
        await self.fails(store.endPrincipal(WHO, self.now), StoreUnavailable)
        server.resume()
        await self.until(lambda: store.endPrincipal(WHO, self.now))
        for record in records:
            self.assertIsNone(await store.load(record.key, self.now))
        self.assertEqual(await store.endPrincipal(WHO, self.now), 0)

    @steps
    async def test_replicas(self):
        """
        An end is acknowledged when the replicas have it, however many it ended.
        """
        plain = await self.on()
        record = await self.signIn(plain)
        store = await self.on(wait=1, deadline=0.3)
        for call in (
            lambda: store.endPrincipal(WHO, self.now),
            lambda: store.endPrincipal(WHO, self.now),
            lambda: store.endSession(WHO, record.handle, self.now),
            lambda: store.erasePrincipal(WHO),
        ):
            error = await self.fails(call(), StoreUnavailable)
            self.assertIn("0 replicas", str(error))
        self.assertEqual(await self.listOf(store), [])

    @steps
    async def test_refusedInTime(self):
        """
        A refusal names the limit, and the session that was to be, and is no failure of
        the store.
        """
        store = await self.on(wait=1, deadline=0.3)
        plain = await self.on()
        await self.signIn(plain)
        more = self.signedIn("more")
        limit = SignInLimit(most=1, refuses=True)
        error = await self.fails(store.insert(more, self.now, limit), TooManySessions)
        self.assertEqual((error.most, error.tag), (1, more.tag))


def _earlier(record, offset):
    """
    Write a record as it was written before there were handles.
    """
    principal, version = record.principal or b"", record.version
    length = -1 if record.principal is None else len(principal)
    expires, touched = record.expiresAt + offset, record.touchedAt + offset
    covered = struct.pack("<qdqd", version, record.createdAt, length, offset)
    checksum = crc32(record.payload, crc32(record.key + covered + principal))
    times = (expires, touched, expires - touched, record.createdAt, offset)
    head = struct.pack("<2sqdddddIh", b"S1", version, *times, checksum, length)
    return head + principal + record.payload
