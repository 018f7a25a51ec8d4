"""
ASVS 7.4.2: when an account is closed, all of its sessions end.

C{site.endPrincipal(user)} ends them in one step of the store, however many there are and
whatever process made them: the store compares a counter at each read, so that neither a
process that has one in memory nor a late write can go on with it.
"""

from __future__ import annotations

from twisted.internet.defer import succeed

from tests.asvs.world import KINDS, SHARED, AuditCase
from tests.slowstore import SlowStore
from txsessions import Site


class ForgetfulStore(SlowStore):
    """
    Counts nothing up: it forgets epochs.
    """

    def endPrincipal(self, principal, now, but=None):
        """
        See L{ISessionStore.endPrincipal}.
        """
        found = self.inner.sessionsOf(principal, now, None, 100)
        return found.addCallback(lambda page: len(page[0]))


class HereSite(Site):
    """
    Ends only what is in this process's memory.
    """

    async def _endThese(self, principal):
        """
        End them, one by one.
        """
        sessions = list(self.sessions.values())
        found = [each for each in sessions if each.principal == principal]
        for session in found:
            await session.expire()
        return len(found)

    def endPrincipal(self, principal):
        """
        See L{Site.endPrincipal}.
        """
        return self._endThese(principal)


class DeafSite(Site):
    """
    Does not do it.
    """

    def endPrincipal(self, principal):
        """
        See L{Site.endPrincipal}.
        """
        return succeed(0)


class ClosedTests(AuditCase):
    """
    An account with sessions everywhere.
    """

    async def closed(self, world):
        """
        All of them end, in memory or not, also those of which a request is under way,
        and nobody else's.
        """
        last = len(world.sites) - 1
        browsers = [await world.signedIn("ann", n % (last + 1)) for n in range(4)]
        bob, admin = await world.signedIn("bob"), await world.signedIn("root")
        for browser in browsers[:2]:
            self.assertEqual(await browser.who(), "ann")
        running = browsers[0].send("/wait", last)
        await world.until(lambda: world.waiting)
        answer = await admin.get("/close?who=ann")
        request, session = world.waiting.pop()
        session.sessionNamespaces["late"] = 1
        request.finish()
        self.assertFalse((await world.answer(running)).sets)
        for browser in browsers:
            self.assertTrue(await browser.isNobody())
        self.assertEqual(answer.body, b"4 ended")
        self.assertEqual([await bob.who(), await admin.who()], ["bob", "root"])
        await world.restart()
        for browser in browsers:
            self.assertTrue(await browser.isNobody())

    async def again(self, world):
        """
        Whoever signs in afterwards is in, so the account has to be closed before.
        """
        before, admin = await world.signedIn(), await world.signedIn("root")
        await admin.get("/close?who=ann", len(world.sites) - 1)
        after = await world.signedIn()
        self.assertEqual([await before.who(), await after.who()], ["nobody", "ann"])

    async def test_closed(self):
        """
        In one process and in two.
        """
        for check in (self.closed, self.again):
            await self.holds(check)
            await self.holds(check, SHARED, processes=2)

    async def test_fault(self):
        """
        The check finds a store that forgets, a site that ends what it has in memory
        only, and one that ends nothing.
        """
        for kind in SHARED:
            await self.isFound(self.closed, kind, plant=ForgetfulStore)
            await self.isFound(self.closed, kind, processes=2, plant=ForgetfulStore)
            await self.isFound(self.closed, kind, processes=2, factory=HereSite)
        for kind in KINDS:
            await self.isFound(self.closed, kind, factory=DeafSite)
