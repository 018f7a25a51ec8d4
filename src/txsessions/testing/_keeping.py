"""
The part of the store contract that is about keeping: the store itself, inserting,
loading, counting, paging, and keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from txsessions.core.record import UNCHANGED, Record
from txsessions.errors import SessionExists, SessionGone, StoreUnavailable
from txsessions.interfaces import ISessionStore
from txsessions.testing._case import IDLE, SOMEBODY, ContractCase, steps

HOSTILE_KEYS = (
    b"",
    b"\0",
    b"\0" * 32,
    b"\xff" * 32,
    b"%" * 32,
    b"_" * 32,
    b"'" * 64,
    b"' OR 1=1--",
    b"x'); DROP TABLE sessions;--",
    b"*",
    b"[a-f0-9]*",
    b"{tag}",
    b"\r\nFLUSHALL\r\n",
    b"../../../../etc/passwd",
    b"..%2f..%2fetc%2fpasswd",
    b"/etc/passwd",
    b"nul",
    b"con",
    "\N{LATIN SMALL LETTER LONG S}\N{FULLWIDTH DIGIT ONE}\N{RIGHT-TO-LEFT OVERRIDE}".encode(),
    b"\xc0\xaf\xed\xa0\x80",
    b"k" * 1000,
)
"""Keys that mean something to some engine, and must mean nothing to a store."""


class KeepingContract(ContractCase):
    """
    What goes in comes out, and nothing else does.
    """

    def test_providesTheInterface(self) -> None:
        """
        It is a store by its own word, and says for people what and where it is.
        """
        verifyObject(ISessionStore, self.store)
        self.assertIsInstance(self.store.address, str)
        self.assertIsInstance(self.store.durability, str)

    @steps
    async def test_openTwiceIsOnce(self) -> None:
        """
        Opening an open store does nothing.
        """
        record = await self.insert()
        await self.store.open()
        self.assertEqual(await self.load(record), record)

    @steps
    async def test_closedAnswersUnavailable(self) -> None:
        """
        A closed store answers no call, and can be opened again.
        """
        record = await self.insert()
        await self.store.close()
        await self.store.close()
        calls: list[Deferred[Any]] = [
            self.store.load(record.key, self.now),
            self.store.insert(self.record("new"), self.now),
            self.store.replace(record, 1, self.now),
            self.store.touch(record.key, self.now, self.now, self.now),
            self.store.rename(record.key, self.record("new"), 1, self.now),
            self.store.follow(record.key, self.now),
            self.store.delete(record.key),
            self.store.claimExpired(self.now, 1, 1.0),
            self.store.acknowledge([record.key]),
            self.store.countSessions(self.now),
            self.store.scan(None, 1),
            self.store.sessionsOf(SOMEBODY, self.now),
            self.store.endPrincipal(SOMEBODY, self.now),
            self.store.endSession(SOMEBODY, b"h" * 16, self.now),
            self.store.erasePrincipal(SOMEBODY),
            self.store.verifyIndex(),
        ]
        kinds = self.kinds(await self.outcomes(calls))
        self.assertEqual(kinds, {StoreUnavailable: len(calls)})
        await self.store.open()
        self.assertIsNone(await self.store.load(self.record("new").key, self.now))

    @steps
    async def test_changes(self) -> None:
        """
        What another process writes makes the number change; reading does not.
        """
        record = await self.insert()
        changed = evolve(record, version=2)
        renamed = self.record("new", version=3)
        later = self.now + 9
        calls: list[Callable[[], Deferred[Any]]] = [
            partial(self.other.touch, record.key, later, later + IDLE, self.now),
            partial(self.other.replace, changed, 1, self.now),
            partial(self.other.rename, record.key, renamed, 2, self.now),
            partial(self.other.delete, renamed.key),
            partial(self.other.insert, self.signedIn("another"), self.now),
            partial(self.other.endPrincipal, SOMEBODY, self.now),
            partial(self.other.erasePrincipal, SOMEBODY),
        ]
        for call in calls:
            before = self.store.changes()
            await self.store.load(record.key, self.now)
            self.assertEqual(self.store.changes(), before)
            await call()
            if self.other is not self.store and before is not None:
                self.assertNotEqual(self.store.changes(), before, call)

    @steps
    async def test_loadGivesWhatWasInserted(self) -> None:
        """
        Every field comes back as it went in.
        """
        everyByte = bytes(range(256))
        records = [
            await self.insert(),
            await self.signIn("somebody"),
            await self.signIn("low", everyByte[:32], handle=everyByte[:16]),
            await self.signIn("high", everyByte[-32:], handle=everyByte[-16:]),
            await self.insert("empty", payload=b""),
            await self.insert("bytes", payload=everyByte * 4),
            await self.insert("large", payload=everyByte * 256),
            await self.insert("fractions", createdAt=1.1, touchedAt=self.now + 0.1),
            await self.insert("version", version=2**53 + 1),
        ]
        for record in records:
            self.assertEqual(await self.load(record), record)

    @steps
    async def test_absent(self) -> None:
        """
        What was never there is absent, whatever the caller knows of it.
        """
        await self.insert()
        self.assertIsNone(await self.load(self.record("other")))
        known = await self.store.load(self.record("other").key, self.now, 1)
        self.assertIsNone(known)

    @steps
    async def test_insertOnlyIfAbsent(self) -> None:
        """
        An insert never takes the place of a session.
        """
        record = await self.insert()
        again = evolve(record, version=7, payload=b"another", expiresAt=self.now + 9e9)
        inserted = self.other.insert(again, self.now)
        error = await self.fails(inserted, SessionExists)
        self.assertEqual(error.tag, record.tag)
        self.assertEqual(await self.load(record), record)

    @steps
    async def test_insertNotOverTheExpired(self) -> None:
        """
        An expired session keeps its key until the sweeper has acknowledged it.
        """
        record = await self.insert()
        late = record.expiresAt + 1
        again = evolve(record, expiresAt=late + IDLE)
        await self.fails(self.store.insert(again, late), SessionExists)
        self.assertIsNone(await self.load(record, late))
        self.assertEqual(await self.claimAll(late), [record])
        await self.fails(self.store.insert(again, late), SessionExists)
        await self.store.acknowledge([record.key])
        await self.store.insert(again, late)
        self.assertEqual(await self.load(record, late), again)

    @steps
    async def test_expiredIsAbsent(self) -> None:
        """
        At its deadline a session is absent, though no sweeper has come by.
        """
        record = await self.insert()
        before, at = record.expiresAt - 1, record.expiresAt
        self.assertEqual(await self.load(record, before), record)
        self.assertIsNone(await self.load(record, at))
        self.assertIsNone(await self.load(record, at + 1))
        self.assertIsNone(await self.store.load(record.key, at, 1))
        self.assertEqual(await self.load(record, before), record)

    @steps
    async def test_known(self) -> None:
        """
        A caller that has the current version is told so, and gets nothing.
        """
        record = await self.insert(version=3)
        load = self.store.load
        self.assertIs(await load(record.key, self.now, 3), UNCHANGED)
        self.assertEqual(await load(record.key, self.now, 2), record)
        self.assertEqual(await load(record.key, self.now, 4), record)
        self.assertEqual(await load(record.key, self.now, 0), record)

    @steps
    async def test_countSessions(self) -> None:
        """
        The living are counted, whatever was swept.
        """
        self.assertEqual(await self.store.countSessions(self.now), 0)
        await self.insert("one")
        await self.insert("two", expiresAt=self.now + 10)
        await self.insert("expired", expiresAt=self.now)
        self.assertEqual(await self.store.countSessions(self.now), 2)
        self.assertEqual(await self.other.countSessions(self.now + 10), 1)
        await self.claimAll(self.now + 10)
        self.assertEqual(await self.store.countSessions(self.now + 10), 1)
        self.assertEqual(await self.store.countSessions(self.now + IDLE), 0)

    @steps
    async def test_scan(self) -> None:
        """
        Each record is seen once, page by page, while others come and go.
        """
        self.assertEqual(await self.store.scan(None, 5), ([], None))
        records = {}
        for number in range(23):
            expiresAt = self.now + (IDLE if number % 3 else -1)
            record = await self.insert(str(number), expiresAt=expiresAt)
            records[record.key] = record
        seen: list[Record] = []
        cursor = None
        for page in range(100):
            found, cursor = await self.store.scan(cursor, 5)
            self.assertLessEqual(len(found), 5)
            seen += found
            await self.insert(f"later {page}", payload=b"later")
            if page == 1:
                self.assertTrue(await self.store.delete(found[0].key))
            if cursor is None:
                break
        self.assertIsNone(cursor)
        there = [record for record in seen if record.payload != b"later"]
        self.assertEqual(len(there), len(records))
        self.assertEqual({record.key: record for record in there}, records)

    @steps
    async def test_hostileKeysAreOnlyKeys(self) -> None:
        """
        Keys that mean something to an engine mean nothing to a store.
        """
        bystander = await self.insert("bystander")
        records = []
        for number, key in enumerate(HOSTILE_KEYS):
            self.assertIsNone(await self.store.load(key, self.now))
            self.assertFalse(await self.store.delete(key))
            touched = self.store.touch(key, self.now + 1, self.now + 2, self.now)
            await self.fails(touched, SessionGone)
            records.append(await self.insert(key=key, payload=b"%d" % number))
        for record in records:
            self.assertEqual(await self.load(record), record)
            changed = evolve(record, version=2)
            await self.store.replace(changed, 1, self.now)
            self.assertEqual(await self.load(record), changed)
        self.assertEqual(await self.store.countSessions(self.now), len(records) + 1)
        for record in records:
            self.assertTrue(await self.store.delete(record.key))
            self.assertIsNone(await self.load(record))
        self.assertEqual(await self.load(bystander), bystander)

    @steps
    async def test_noErrorShowsKeyOrPayload(self) -> None:
        """
        An error names the session by its tag only.
        """
        key = hashlib.sha256(b"a secret key").digest()
        record = await self.insert(key=key, payload=b"the secret payload")
        other = evolve(record, version=9)
        calls: list[Deferred[Any]] = [
            self.store.insert(record, self.now),
            self.store.replace(other, 8, self.now),
            self.store.replace(other, 1, record.expiresAt),
            self.store.touch(key, self.now, self.now, record.expiresAt),
            self.store.rename(key, record, 1, self.now),
        ]
        for error in await self.outcomes(calls):
            self.assertIsInstance(error, Exception)
            said = f"{error!s} {error!r}"
            self.assertIn(record.tag, said)
            self.assertNotIn(key.hex(), said)
            self.assertNotIn(repr(key)[2:-1], said)
            self.assertNotIn("secret", said)


__all__ = ["KeepingContract"]
