"""
ASVS 7.5.2: users see which sessions they have and, when they have signed in again, can end
any of them.

C{site.sessionsOf(user)} finds those of all processes, and has no id of any of them;
C{site.endSession(user, handle)} ends one, wherever it is, and nobody else's.  A page puts
C{requireFresh} in front of it.
"""

from __future__ import annotations

from attrs import evolve

from tests.asvs.world import SHARED, AuditCase
from tests.slowstore import SlowStore
from txsessions import Site


class AnybodysStore(SlowStore):
    """
    Ends whatever session has that handle.
    """

    def endSession(self, principal, handle, now):
        """
        See L{ISessionStore.endSession}.
        """

        def end(page):
            for record in page[0]:
                if record.handle == handle:
                    return self.inner.endSession(record.principal, handle, now)
            return False

        return self.inner.scan(None, 100).addCallback(end)


class TellingSite(Site):
    """
    Shows ids.
    """

    def sessionsOf(self, principal, after=None, limit=100):
        """
        See L{Site.sessionsOf}.
        """
        ids = [uid.decode() for uid, s in self.sessions.items() if s.principal]
        found = super().sessionsOf(principal, after, limit)
        return found.addCallback(
            lambda page: [
                evolve(each, handle=uid) for each, uid in zip(page, ids, strict=False)
            ]
        )


class DevicesTests(AuditCase):
    """
    A page of devices.
    """

    async def handles(self, browser, process=0):
        """
        What the page shows.

        @return: The handles, that of the browser's own session last.
        """
        text = (await browser.get("/devices", process)).body.decode("ascii")
        lines = [line.split() for line in text.splitlines()]
        return [handle for handle, _ in sorted(lines, key=lambda line: line[1:])]

    async def ended(self, world):
        """
        All are shown, and each can be ended, by its owner only.
        """
        last = len(world.sites) - 1
        anns = [await world.signedIn("ann", n % (last + 1)) for n in range(3)]
        bob = await world.signedIn("bob")
        handles = await self.handles(anns[0], last)
        self.assertEqual(len(handles), 3)
        for browser in (*anns, bob):
            # It is no id, nor a part of one.
            self.assertFalse([h for h in handles if h in browser.cookie])
            self.assertNotIn(browser.cookie, handles)
        (his,) = await self.handles(bob)
        self.assertEqual(
            (await anns[0].get(f"/end?handle={his}")).body, b"none of yours"
        )
        self.assertEqual(await bob.who(), "bob")
        await anns[1].get("/out", last)
        left = await self.handles(anns[0])
        self.assertEqual(len(left), 2)
        for handle in left:
            path = f"/end?handle={handle}"
            self.assertEqual((await bob.get(path, last)).body, b"none of yours")
        self.assertEqual([await each.who() for each in anns], ["ann", "nobody", "ann"])
        answer = await anns[0].get(f"/end?handle={left[0]}", last)
        self.assertEqual(answer.body, b"ended")
        self.assertEqual([await each.who() for each in anns[::2]], ["ann", "nobody"])
        self.assertEqual(await self.handles(anns[0]), left[1:])
        self.assertEqual(await bob.who(), "bob")

    async def notFresh(self, world):
        """
        Who has not signed in lately sees them, and ends none before he has.
        """
        ann, other = await world.signedIn(), await world.signedIn()
        await world.goBy(400)
        handles = await self.handles(ann)
        self.assertEqual(len(handles), 2)
        for handle in handles:
            self.assertEqual((await ann.get(f"/end?handle={handle}")).code, 403)
        self.assertEqual([await ann.who(), await other.who()], ["ann", "ann"])
        await ann.get("/in")
        self.assertEqual(sorted(await self.handles(ann)), sorted(handles))

    async def test_devices(self):
        """
        In one process and in two.
        """
        for check in (self.ended, self.notFresh):
            await self.holds(check)
            await self.holds(check, SHARED, processes=2)

    async def test_fault(self):
        """
        The check finds a store that ends anybody's, and a list with ids.
        """
        for kind in SHARED:
            await self.isFound(self.ended, kind, plant=AnybodysStore)
            await self.isFound(self.ended, kind, processes=2, plant=AnybodysStore)
        await self.isFound(self.ended, factory=TellingSite)
