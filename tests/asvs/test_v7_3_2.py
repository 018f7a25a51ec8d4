"""
ASVS 7.3.2: a session ends some time after the sign-in, however busy it is, and its user
has to sign in again.

The moment of the sign-in is sealed in the record.  Use does not move it, nor does a new id;
only C{login} does.  All processes agree to the second.
"""

from __future__ import annotations

from tests.asvs.world import SHARED, AuditCase
from txsessions import Session, Site
from txsessions.core.lifetime import LIFETIME

STEP = 800


class RenewingSession(Session):
    """
    Begins anew with each new id.
    """

    def rotate(self, request):
        """
        See L{Session.rotate}.
        """
        self._createdAt = self._clock.seconds()
        self._reschedule()
        return super().rotate(request)


class SlidingSession(Session):
    """
    Begins anew with each use.
    """

    def touch(self):
        """
        See L{Session.touch}.
        """
        self._createdAt = self._clock.seconds()
        self._endsAt = self._createdAt + LIFETIME
        super().touch()


class LifetimeTests(AuditCase):
    """
    Sessions that are always used.
    """

    async def busy(self, world):
        """
        Used in all processes, with new ids and changes: to the second.
        """
        await self.useUntilTheEnd(world, await world.signedIn())

    async def useUntilTheEnd(self, world, browser):
        """
        Use a session that has just begun, until it ends.
        """
        steps, last = int(LIFETIME) // STEP, len(world.sites)
        for number in range(1, steps):
            await world.goBy(STEP)
            path = ("/look", "/count", "/rotate")[number % 3]
            answer = await browser.get(path, number % last)
            self.assertNotIn(b"nobody", answer.body)
        thief = browser.twin()
        await world.goBy(STEP - 1)
        self.assertEqual(await browser.who(), "ann")
        await world.goBy(1)
        self.assertEqual(await browser.who(), "nobody")
        await world.restart()
        self.assertEqual(await thief.who(), "nobody")

    async def again(self, world):
        """
        Somebody who signs in once more has the whole time again.
        """
        browser = await world.signedIn()
        for _ in range(20):
            await world.goBy(STEP)
            await browser.get("/count")
        await browser.get("/in?level=2")
        await self.useUntilTheEnd(world, browser)

    async def test_busy(self):
        """
        In one process and in two.
        """
        await self.holds(self.busy)
        await self.holds(self.busy, SHARED, processes=2)

    async def test_again(self):
        """
        At a sign-in.
        """
        await self.holds(self.again)

    async def setBack(self, world):
        """
        A clock that is set back gives the same time again, and no more.
        """
        browser = await world.signedIn()
        await world.goBy(STEP)
        self.assertEqual(await browser.who(), "ann")
        await world.written()
        world.clock.rightNow -= STEP
        await self.useUntilTheEnd(world, browser)

    async def test_setBack(self):
        """
        Where the clock is wrong.
        """
        await self.holds(self.setBack)

    async def test_fault(self):
        """
        The check finds a limit that moves.
        """
        for sessions in (RenewingSession, SlidingSession):

            class MovingSite(Site):
                """
                Has such sessions.
                """

                sessionFactory = sessions

            await self.isFound(self.busy, "nowhere", factory=MovingSite)
            for kind in SHARED:
                await self.isFound(self.busy, kind, factory=MovingSite)
