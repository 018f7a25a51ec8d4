"""
ASVS 7.4.3: after a change of the password or of a factor the user can have all other
sessions ended.

C{session.endOthers(request)} ends them in every process, and gives the one in hand a new
id, so that a copy of its cookie is worth nothing either.  No answer says so before it is.
"""

from __future__ import annotations

from tests.asvs.test_v7_4_2 import ForgetfulStore
from tests.asvs.world import SHARED, AuditCase
from tests.slowstore import SlowStore
from tests.web.pages import OUTAGE
from txsessions import Session, Site


class RuthlessStore(SlowStore):
    """
    Ends the one that is to stay, too.
    """

    def endPrincipal(self, principal, now, but=None):
        """
        See L{ISessionStore.endPrincipal}.
        """
        return self.inner.endPrincipal(principal, now)


class SameIdSession(Session):
    """
    Ends the others, and keeps its id.
    """

    def endOthers(self, request):
        """
        See L{Session.endOthers}.
        """
        return self._table().principals.end(self.principal, self)


class SameIdSite(Site):
    """
    Its sessions do so.
    """

    sessionFactory = SameIdSession


class OthersTests(AuditCase):
    """
    A new password.
    """

    async def others(self, world):
        """
        The others end everywhere, this one goes on, and its thief does not.
        """
        last = len(world.sites) - 1
        others = [await world.signedIn("ann", n % (last + 1)) for n in range(3)]
        ann, bob = await world.signedIn(), await world.signedIn("bob")
        thief = ann.twin()
        for browser in (others[0], thief):
            self.assertEqual(await browser.who(), "ann")
        answer = await ann.get("/password")
        for browser in (*others, thief):
            self.assertTrue(await browser.isNobody())
        self.assertEqual((answer.body, answer.sets), (b"changed", True))
        self.assertEqual([await ann.who(), await bob.who()], ["ann", "bob"])

    async def down(self, world):
        """
        While the store is down nobody is told that it was done.
        """
        ann = await world.signedIn()
        world.stores[0].hold("endPrincipal")
        running = ann.send("/password")
        await world.until(lambda: world.stores[0].pending)
        self.assertTrue(running.silent)
        world.stores[0].fail(OUTAGE)
        answer = await world.answer(running)
        self.assertEqual((answer.code, answer.cookies), (503, {}))

    async def test_others(self):
        """
        In one process and in two.
        """
        await self.holds(self.others)
        await self.holds(self.others, SHARED, processes=2)

    async def test_down(self):
        """
        In an outage.
        """
        await self.holds(self.down, SHARED)

    async def test_fault(self):
        """
        The check finds others that stay, this one that goes, and an id that stays.
        """
        for kind in SHARED:
            for plant in (ForgetfulStore, RuthlessStore):
                await self.isFound(self.others, kind, plant=plant)
                await self.isFound(self.others, kind, processes=2, plant=plant)
            await self.isFound(self.others, kind, factory=SameIdSite)
        await self.isFound(self.others, "nowhere", factory=SameIdSite)
