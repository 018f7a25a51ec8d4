"""
The part of the store contract that is about who is signed in: finding the sessions of a
principal, and ending them at once.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve

from txsessions.core.record import ROTATED, UNCHANGED, Record
from txsessions.errors import SessionExists
from txsessions.testing._case import (
    IDLE,
    SOMEBODY,
    SOMEONE_ELSE,
    ContractCase,
    steps,
)

HOSTILE_PRINCIPALS = (
    b"\0" * 32,
    b"\xff" * 32,
    b"%" * 32,
    b"_" * 32,
    b"*" * 32,
    b"'" * 32,
    b"{tag}:p:".ljust(32, b"\r"),
    b"x'); DROP TABLE sessions;--".ljust(32),
    b"[a-f0-9]*\r\nFLUSHALL\r\n".ljust(32, b"\n"),
)
"""Principals that mean something to some engine, and must mean nothing to a store."""


class PrincipalsContract(ContractCase):
    """
    The sessions of one principal are found, and ended, and no others.
    """

    @steps
    async def test_sessionsOf(self) -> None:
        """
        The sessions of a principal come page by page, in the order of their handles,
        and nobody else's.
        """
        self.assertEqual(await self.listOf(), [])
        for name in ("anonymous", "nobody"):
            await self.insert(name)
        others = [await self.signIn(f"other {n}", SOMEONE_ELSE) for n in range(3)]
        records = [await self.signIn(str(n)) for n in range(11)]
        records.sort(key=lambda record: record.handle or b"")
        others.sort(key=lambda record: record.handle or b"")
        for limit in (1, 3, 11, 100):
            self.assertEqual(await self.listOf(limit=limit), records, limit)
        self.assertEqual(await self.listOf(SOMEONE_ELSE), others)
        self.assertEqual(await self.listOf(b"n" * 32), [])
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_pagesWhileOthersComeAndGo(self) -> None:
        """
        A session that is alive from the first page to the last is seen once.
        """
        records = [await self.signIn(str(n)) for n in range(12)]
        records.sort(key=lambda record: record.handle or b"")
        first, cursor = await self.store.sessionsOf(SOMEBODY, self.now, None, 5)
        self.assertEqual(first, records[:5])
        await self.store.delete(records[4].key)
        await self.other.delete(records[6].key)
        await self.signIn("first of all", handle=b"\0" * 16)
        last = await self.signIn("last of all", handle=b"\xff" * 16)
        seen: list[Record] = []
        for _ in range(100):
            page, cursor = await self.other.sessionsOf(SOMEBODY, self.now, cursor, 5)
            seen += page
            if cursor is None:
                break
        self.assertEqual(seen, [records[5], *records[7:], last])

    @steps
    async def test_theListFollows(self) -> None:
        """
        What is listed is what is there: after each change of a session, and not when
        it is over.
        """
        record = await self.signIn()
        changed = evolve(record, version=2, payload=b"changed")
        await self.other.replace(changed, 1, self.now)
        self.assertEqual(await self.listOf(), [changed])
        at, until = self.now + 1, self.now + 1 + IDLE
        await self.store.touch(record.key, at, until, self.now)
        touched = evolve(changed, touchedAt=at, expiresAt=until)
        self.assertEqual(await self.listOf(), [touched])
        self.assertEqual(await self.listOf(now=touched.expiresAt), [])
        renamed = self.signedIn("new", version=3, handle=record.handle)
        renamed = evolve(renamed, touchedAt=at, expiresAt=until)
        await self.other.rename(record.key, renamed, 2, self.now)
        self.assertEqual(await self.listOf(), [renamed])
        self.assertEqual(await self.misfits(), 0)
        self.assertTrue(await self.store.delete(renamed.key))
        self.assertEqual(await self.listOf(), [])
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_theListForgetsTheSwept(self) -> None:
        """
        A swept session leaves nothing behind, one used meanwhile stays.
        """
        await self.signIn("swept")
        used = await self.signIn("used")
        late, clock = self.now + IDLE, self.now + IDLE - 5
        self.assertEqual(len(await self.claimAll(late)), 2)
        self.assertEqual(await self.listOf(now=late), [])
        await self.store.touch(used.key, clock, clock + IDLE, clock)
        await self.store.acknowledge([used.key, self.record("swept").key])
        used = evolve(used, touchedAt=clock, expiresAt=clock + IDLE)
        self.assertEqual(await self.listOf(now=late), [used])
        self.assertEqual(await self.misfits(), 0)
        self.assertEqual(await self.store.erasePrincipal(SOMEBODY), 1)

    @steps
    async def test_replaceChangesNobody(self) -> None:
        """
        Who is signed in does not change under a key.
        """
        anonymous, record = await self.insert("anonymous"), await self.signIn()
        for each in (anonymous, record):
            signed = {"principal": SOMEONE_ELSE, "handle": b"h" * 16}
            forged = evolve(each, version=2, payload=b"changed", **signed)
            await self.store.replace(forged, 1, self.now)
        signedOut = evolve(record, version=3, principal=None, handle=None)
        await self.other.replace(signedOut, 2, self.now)
        changed = evolve(record, version=3)
        self.assertEqual(await self.load(record), changed)
        self.assertEqual(await self.listOf(), [changed])
        changed = evolve(anonymous, version=2, payload=b"changed")
        self.assertEqual(await self.load(anonymous), changed)
        self.assertEqual(await self.listOf(SOMEONE_ELSE), [])
        self.assertEqual(await self.misfits(), 0)
        self.assertEqual(await self.store.endPrincipal(SOMEONE_ELSE, self.now), 0)
        self.assertEqual(await self.store.endPrincipal(SOMEBODY, self.now), 1)

    @steps
    async def test_renameSignsIn(self) -> None:
        """
        With its new key a session may be signed in, become somebody else's and be
        signed out; each principal's end is that of its own sessions.
        """
        first = await self.insert("0", version=1)
        await self.signIn("bystander", SOMEONE_ELSE)
        second = self.signedIn("1", version=2)
        third = self.signedIn("2", SOMEONE_ELSE, version=3)
        last = self.record("3", version=4)
        await self.store.rename(first.key, second, 1, self.now)
        self.assertEqual(await self.listOf(), [second])
        await self.other.rename(second.key, third, 2, self.now)
        self.assertEqual(await self.listOf(), [])
        self.assertIn(third, await self.listOf(SOMEONE_ELSE))
        self.assertEqual(await self.store.endPrincipal(SOMEBODY, self.now), 0)
        self.assertEqual(await self.load(third), third)
        await self.store.rename(third.key, last, 3, self.now)
        self.assertEqual(await self.store.endPrincipal(SOMEONE_ELSE, self.now), 1)
        self.assertEqual(await self.load(last), last)
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_endPrincipal(self) -> None:
        """
        All sessions of a principal are as absent as deleted ones, at once and in every
        process; all others are as before.
        """
        anonymous = await self.insert("anonymous")
        other = await self.signIn("other", SOMEONE_ELSE)
        records = [await self.signIn(str(n)) for n in range(5)]
        await self.signIn("expired", expiresAt=self.now)
        self.assertEqual(await self.store.countSessions(self.now), 7)
        self.assertEqual(await self.other.endPrincipal(SOMEBODY, self.now), 5)
        for record in records:
            await self.isDead(record)
        for store in (self.store, self.other):
            self.assertEqual(await store.countSessions(self.now), 2)
            found = await store.load(other.key, self.now, other.version)
            self.assertIs(found, UNCHANGED)
        self.assertEqual(await self.listOf(), [])
        self.assertEqual(await self.load(anonymous), anonymous)
        self.assertEqual(await self.load(other), other)
        self.assertEqual(await self.listOf(SOMEONE_ELSE), [other])
        self.assertEqual(await self.store.endPrincipal(SOMEBODY, self.now), 0)
        self.assertEqual(await self.store.endPrincipal(b"n" * 32, self.now), 0)
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_theEndedKeepTheirKeys(self) -> None:
        """
        What has ended stays where it is until it is deleted, or swept at its deadline.
        """
        deleted, swept = await self.signIn("deleted"), await self.signIn("swept")
        await self.store.endPrincipal(SOMEBODY, self.now)
        for record in (deleted, swept):
            await self.fails(self.store.insert(record, self.now), SessionExists)
        bystander = await self.insert("bystander")
        taken = evolve(swept, version=2)
        renamed = self.store.rename(bystander.key, taken, 1, self.now)
        await self.fails(renamed, SessionExists)
        page, _ = await self.store.scan(None, 10)
        self.assertEqual(len(page), 3)
        self.assertTrue(await self.other.delete(deleted.key))
        self.assertFalse(await self.store.delete(deleted.key))
        await self.store.delete(bystander.key)
        self.assertEqual(await self.claimAll(swept.expiresAt), [swept])
        await self.store.acknowledge([swept.key])
        self.assertFalse(await self.store.delete(swept.key))
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_signInAfterTheEnd(self) -> None:
        """
        Who signs in after the end of all lives until the next, in a new session or in
        one that was there before.
        """
        first, anonymous = await self.signIn("first"), await self.insert("anonymous")
        for turn in range(1, 4):
            await self.store.endPrincipal(SOMEBODY, self.now)
            made = await self.signIn(f"made {turn}")
            renamed = self.signedIn(f"renamed {turn}", version=2)
            await self.other.rename(anonymous.key, renamed, 1, self.now)
            for record in (made, renamed):
                self.assertEqual(await self.load(record), record)
                known = await self.other.load(record.key, self.now, record.version)
                self.assertIs(known, UNCHANGED)
                changed = evolve(record, version=record.version + 1)
                await self.store.replace(changed, record.version, self.now)
                later = self.now + turn
                await self.other.touch(record.key, later, later + IDLE, self.now)
            self.assertEqual(len(await self.listOf()), 2)
            anonymous = await self.insert(f"anonymous {turn}")
            self.assertEqual(await self.store.countSessions(self.now), 3)
            self.assertEqual(await self.other.endPrincipal(SOMEBODY, self.now), 2)
            for record in (first, made, renamed):
                await self.isDead(record)
            await self.store.delete(made.key)

    @steps
    async def test_aRenameIsNoSignIn(self) -> None:
        """
        A new key is no new sign-in: an end that came before it in time holds.
        """
        old = await self.signIn()
        new = await self.rename(old)
        self.assertEqual(await self.load(new), new)
        self.assertEqual(await self.store.endPrincipal(SOMEBODY, self.now), 1)
        await self.isDead(new)
        self.assertIs(await self.load(old), ROTATED)
        self.assertTrue(await self.store.delete(old.key))
        self.assertFalse(await self.store.delete(new.key))
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_endAllBut(self) -> None:
        """
        One session may stay: it lives on, until another end that does not spare it.
        """
        kept = await self.signIn("kept")
        for turn in range(3):
            others = [await self.signIn(f"{turn}.{n}") for n in range(2)]
            ended = self.other.endPrincipal(SOMEBODY, self.now, kept.key)
            self.assertEqual(await ended, 2)
            self.assertEqual(await self.load(kept), kept)
            self.assertEqual(await self.listOf(), [kept])
            for record in others:
                await self.isDead(record)
            changed = evolve(kept, version=kept.version + 1, payload=b"%d" % turn)
            await self.store.replace(changed, kept.version, self.now)
            kept = changed if turn else await self.rename(changed, f"kept {turn}")
        self.assertEqual(await self.store.endPrincipal(SOMEBODY, self.now), 1)
        await self.isDead(kept)

    @steps
    async def test_endAllButOneThatCannotStay(self) -> None:
        """
        A key that is not of a live session of theirs spares none.
        """
        first = await self.signIn("first")
        anonymous = await self.insert("anonymous")
        other = await self.signIn("other", SOMEONE_ELSE)
        expired = await self.signIn("expired", expiresAt=self.now)
        rotated = await self.signIn("rotated")
        new = await self.rename(rotated)
        absent = self.record("absent")
        for record in (anonymous, other, expired, rotated, absent):
            ended = self.store.endPrincipal(SOMEBODY, self.now, record.key)
            self.assertEqual(await ended, 2, record)
            self.assertEqual(await self.listOf(), [])
            for key in (first.key, new.key):
                # Ended already, so not spared either.
                ended = self.other.endPrincipal(SOMEBODY, self.now, key)
                self.assertEqual(await ended, 0)
                self.assertEqual(await self.listOf(), [])
                await self.store.delete(key)
            self.assertEqual(await self.listOf(SOMEONE_ELSE), [other])
            self.assertEqual(await self.load(anonymous), anonymous)
            await self.store.insert(first, self.now)
            await self.store.insert(new, self.now)
        self.assertIsNone(await self.load(expired, self.now))

    @steps
    async def test_endSession(self) -> None:
        """
        One of their sessions is ended by its handle, for good.
        """
        record, another = await self.signIn(), await self.signIn("another")
        other = await self.signIn("other", SOMEONE_ELSE, handle=record.handle)
        handle = record.handle or b""
        for wrong in (b"h" * 16, b"\0" * 16, another.key[:16]):
            self.assertFalse(await self.store.endSession(SOMEBODY, wrong, self.now))
        self.assertFalse(await self.store.endSession(b"n" * 32, handle, self.now))
        self.assertTrue(await self.other.endSession(SOMEBODY, handle, self.now))
        await self.isDead(record)
        self.assertEqual(await self.listOf(), [another])
        self.assertEqual(await self.load(other), other)
        self.assertFalse(await self.store.endSession(SOMEBODY, handle, self.now))
        self.assertFalse(await self.store.delete(record.key))
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_endSessionThatIsOver(self) -> None:
        """
        One that has expired or ended was not alive; the handle follows a rename.
        """
        expired = await self.signIn("expired", expiresAt=self.now)
        handle = expired.handle or b""
        self.assertFalse(await self.store.endSession(SOMEBODY, handle, self.now))
        ended = await self.signIn("ended")
        await self.store.endPrincipal(SOMEBODY, self.now)
        handle = ended.handle or b""
        self.assertFalse(await self.other.endSession(SOMEBODY, handle, self.now))
        old = await self.signIn("old")
        new = await self.rename(old)
        self.assertEqual(new.handle, old.handle)
        handle = old.handle or b""
        self.assertTrue(await self.store.endSession(SOMEBODY, handle, self.now))
        await self.isDead(new)

    @steps
    async def test_hostilePrincipalsAreOnlyPrincipals(self) -> None:
        """
        Principals that mean something to an engine mean nothing to a store.
        """
        bystander = await self.signIn("bystander")
        for number, principal in enumerate(HOSTILE_PRINCIPALS):
            handles = (principal[:16], principal[:15] + b"h")
            self.assertEqual(await self.store.endPrincipal(principal, self.now), 0)
            records = [
                await self.signIn(f"{number} {handle!r}", principal, handle=handle)
                for handle in handles
            ]
            records.sort(key=lambda record: record.handle or b"")
            self.assertEqual(await self.listOf(principal, limit=1), records)
            ended = self.store.endSession(principal, handles[0], self.now)
            self.assertTrue(await ended)
            self.assertEqual(await self.store.endPrincipal(principal, self.now), 1)
            self.assertEqual(await self.other.erasePrincipal(principal), 1)
        self.assertEqual(await self.listOf(), [bystander])
        self.assertEqual(await self.load(bystander), bystander)
        self.assertEqual(await self.misfits(), 0)


__all__ = ["PrincipalsContract"]
