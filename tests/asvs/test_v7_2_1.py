"""
ASVS 7.2.1: session tokens are verified by a service that is trusted, not by the client.

The cookie has a random id and nothing else.  Only the store says whether there is such a
session, and the seal of the record whether it is the one that was kept under that id.
Where the store cannot say, the answer is 503 and nobody is in.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve
from twisted.internet.defer import succeed

from tests.asvs.world import SHARED, AuditCase
from tests.slowstore import SlowStore
from tests.web.pages import OUTAGE
from txsessions import Request, Site
from txsessions.core.seal import Sealer
from txsessions.core.uid import storeKeyOf


def forgeries(uid, handle):
    """
    Ids that somebody may try who knows much, and not the id.

    @param uid: The true one.
    @param handle: What the session is called in lists.
    """
    key = storeKeyOf(b"", uid.encode("ascii")).hex()
    flipped = "0123456789abcdef"[int(uid[-1], 16) ^ 1]
    return [
        uid[:-1] + flipped,
        uid[:-1],
        uid + "0",
        uid[::-1],
        uid.upper(),
        f'"{uid}"',
        f"%{ord(uid[0]):x}{uid[1:]}",
        key,
        key[:16],
        handle * 2,
        "0" * 64,
        "ann",
        "",
    ]


class TrustingRequest(Request):
    """
    Lets in who knows the tag of a session, as in a log.
    """

    def getSession(self, *arguments):
        """
        See L{Request.getSession}.
        """
        said = self.getCookie(b"__Host-sid") or b""
        for session in self.site.sessions.values():
            if said[:16].decode("ascii") == session.tag:
                return session
        return super().getSession(*arguments)


class TrustingSite(Site):
    """
    Its requests do so.
    """

    requestFactory = TrustingRequest


class HelplessStore(SlowStore):
    """
    Takes an outage for an answer.
    """

    def load(self, key, now, known=None):
        """
        See L{ISessionStore.load}.
        """
        if self.down is not None:
            return succeed(None)
        return super().load(key, now, known)


class VerifiedTests(AuditCase):
    """
    Who decides.
    """

    async def forged(self, world):
        """
        Nothing but the id itself lets anybody in.
        """
        ann, thief = await world.signedIn(), world.browser()
        (line,) = (await ann.get("/devices")).body.splitlines()

        async def asking(value):
            cookie = f"Cookie: __Host-sid={value}"
            return await thief.get("/look", cookies=False, headers=(cookie,))

        self.assertEqual((await asking(ann.cookie)).body, b"ann 1 0")
        for forged in forgeries(ann.cookie, line.split()[0].decode("ascii")):
            answer = await asking(forged)
            self.assertEqual(answer.body, b"nobody 0 0", forged)
            self.assertFalse(answer.sets)

    async def swapped(self, world):
        """
        Records that somebody has swapped in the store, or changed, are refused.
        """
        store, now = world.stores[0].inner, world.clock.seconds()
        ann, bob = await world.signedIn(), await world.signedIn("bob")
        carl = await world.signedIn("carl")
        records = [
            await store.load(storeKeyOf(b"", each.cookie.encode("ascii")), now)
            for each in (ann, bob, carl)
        ]
        anns, bobs, carls = (each.key for each in records)
        last = records[2].payload
        changed = [
            evolve(records[0], key=bobs),
            evolve(records[1], key=anns),
            evolve(records[2], key=carls, payload=last[:-1] + bytes([last[-1] ^ 1])),
        ]
        for record in records:
            await store.delete(record.key)
        for record in changed:
            await store.insert(record, now)
        for browser in (ann, bob, carl):
            self.assertEqual(await browser.told(1), "nobody 0 0")

    async def down(self, world):
        """
        While the store cannot be asked nobody is in, and nobody is out.
        """
        ann = await world.signedIn()
        await world.restart()
        world.stores[0].down = OUTAGE
        for _ in range(2):
            answer = await ann.get("/look")
            self.assertEqual((answer.code, answer.cookies), (503, {}))
        world.stores[0].down = None
        self.assertEqual(await ann.who(), "ann")

    async def test_forged(self):
        """
        Ids.
        """
        await self.holds(self.forged)

    async def test_swapped(self):
        """
        Records.
        """
        await self.holds(self.swapped, SHARED, processes=2)

    async def test_down(self):
        """
        Outages.
        """
        await self.holds(self.down, SHARED)

    async def test_faultForged(self):
        """
        The check finds a site that believes a visitor.
        """
        await self.isFound(self.forged, factory=TrustingSite)

    async def test_faultDown(self):
        """
        The check finds a store whose outage looks like an unknown id.
        """
        await self.isFound(self.down, plant=HelplessStore)

    async def test_faultSwapped(self):
        """
        The check finds a seal that is bound to no key.
        """
        seal, open_, none = Sealer.seal, Sealer.open, bytes(32)
        self.patch(
            Sealer, "seal", lambda self, _, version, t: seal(self, none, version, t)
        )
        self.patch(
            Sealer, "open", lambda self, _, version, p: open_(self, none, version, p)
        )
        for kind in SHARED:
            await self.isFound(self.swapped, kind, processes=2)
