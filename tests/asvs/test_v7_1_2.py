"""
ASVS 7.1.2: it is decided how many sessions an account may have at the same time, and what
happens when there are more.

C{site.signInLimit} is the number, the same in all processes: the oldest make room, or the
new sign-in is refused.  The store keeps to it in the transaction of the sign-in.
"""

from __future__ import annotations

from tests.asvs.world import SHARED, AuditCase
from tests.slowstore import SlowStore
from txsessions import SignInLimit, Site


class LimitlessStore(SlowStore):
    """
    Does not count.
    """

    def insert(self, record, now, limit=None):
        """
        See L{ISessionStore.insert}.
        """
        return self.inner.insert(record, now)

    def rename(self, oldKey, record, expected, now, limit=None):
        """
        See L{ISessionStore.rename}.
        """
        return self.inner.rename(oldKey, record, expected, now)


class CountingInsertsStore(SlowStore):
    """
    Counts only those who were no visitors before.
    """

    def rename(self, oldKey, record, expected, now, limit=None):
        """
        See L{ISessionStore.rename}.
        """
        return self.inner.rename(oldKey, record, expected, now)


class ForgetfulSite(Site):
    """
    Counts its own process's sign-ins only.
    """

    @property
    def signInLimit(self):
        """
        See L{Site.signInLimit}.
        """
        return None

    @signInLimit.setter
    def signInLimit(self, limit):
        """
        Do not hear of it.
        """


class LimitTests(AuditCase):
    """
    A limit of two.
    """

    async def signIn(self, world, number):
        """
        Sign in on one process after the other, with a visit before or without.

        @return: The browser, and the answer.
        """
        await world.goBy(1)
        process, browser = number % len(world.sites), world.browser()
        if number % 2:
            await browser.get("/count", process)
        return browser, await browser.get("/in", process)

    async def oldestGo(self, world):
        """
        The oldest make room.
        """
        for site in world.sites:
            site.signInLimit = SignInLimit(most=2, refuses=False)
        bob = await world.signedIn("bob")
        pairs = [await self.signIn(world, number) for number in range(4)]
        self.assertEqual([answer.code for _, answer in pairs], [200] * 4)
        who = [await browser.who() for browser, _ in pairs]
        self.assertEqual(who, ["nobody"] * 2 + ["ann"] * 2)
        self.assertEqual(await bob.who(), "bob")

    async def newOnesRefused(self, world):
        """
        What is too much is refused, and said so.
        """
        for site in world.sites:
            site.signInLimit = SignInLimit(most=2, refuses=True)
        pairs = [await self.signIn(world, number) for number in range(4)]
        codes = [answer.code for _, answer in pairs]
        self.assertEqual(codes, [200, 200, 409, 409])
        who = [await browser.who() for browser, _ in pairs]
        self.assertEqual(who, ["ann", "ann", "nobody", "nobody"])
        # Who is refused stays who he was, with what he had.
        self.assertEqual(await pairs[3][0].told(), "nobody 0 1")
        await pairs[0][0].get("/out")
        browser, answer = await self.signIn(world, 4)
        self.assertEqual((answer.code, await browser.who()), (200, "ann"))

    async def test_limit(self):
        """
        In one process and in two.
        """
        for check in (self.oldestGo, self.newOnesRefused):
            await self.holds(check, SHARED)
            await self.holds(check, SHARED, processes=2)

    async def test_fault(self):
        """
        The checks find a store and a site that do not count, or not all.
        """
        for check in (self.oldestGo, self.newOnesRefused):
            for kind in SHARED:
                await self.isFound(check, kind, plant=LimitlessStore)
                await self.isFound(check, kind, plant=CountingInsertsStore)
            await self.isFound(check, factory=ForgetfulSite)
