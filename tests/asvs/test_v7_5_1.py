"""
ASVS 7.5.1: before an address, a factor or whatever else an account hangs on is changed,
the user signs in again.

C{session.requireFresh(seconds)} on such a page raises C{SignInNeeded} unless somebody has
signed in on this session lately; left alone it is a 403.  Nothing makes a sign-in younger:
no use, no new id, no clock that was set back.
"""

from __future__ import annotations

from tests.asvs.world import SHARED, AuditCase
from txsessions import Session, Site

FRESH = 300


class EasySession(Session):
    """
    Is content with anybody who is signed in.
    """

    def requireFresh(self, seconds, *, level=1):
        """
        See L{Session.requireFresh}.
        """
        super().requireFresh(1e9, level=level)


class YoungSession(Session):
    """
    Is fresh again with each new id.
    """

    def rotate(self, request):
        """
        See L{Session.rotate}.
        """
        if self._signIn is not None:
            now = self._clock.seconds()
            self._signIn = self._signIn._replace(authenticatedAt=now)
        return super().rotate(request)


class FreshTests(AuditCase):
    """
    A page for a new password.
    """

    async def fresh(self, world):
        """
        Who has not signed in lately has to, and nothing is changed before.
        """
        last = len(world.sites) - 1
        other, ann = await world.signedIn(), await world.signedIn()
        for _ in range(2):
            await world.goBy(FRESH - 1)
            self.assertEqual((await ann.get("/password", last)).code, 200)
            await ann.get("/rotate")
            await ann.get("/count", last)
            self.assertTrue(await other.isNobody())
            other = await world.signedIn()
            await world.goBy(1)
            for number in range(last + 1):
                answer = await ann.get("/password", number)
                self.assertEqual((answer.code, answer.sets), (403, False))
                self.assertIn(b"sign in", answer.body)
            self.assertEqual(await other.who(), "ann")
            await ann.get("/in")

    async def setBack(self, world):
        """
        A clock that is set back makes nothing fresh.
        """
        ann = await world.signedIn()
        await world.goBy(FRESH + 100)
        self.assertEqual((await ann.get("/password")).code, 403)
        await world.written()
        # Without a store the last use is not known, but the sign-in is.
        world.clock.rightNow -= 3 * FRESH if world.kind == "nowhere" else 2 * FRESH
        self.assertEqual((await ann.get("/password")).code, 403)

    async def nobody(self, world):
        """
        Who is not signed in at all has to.
        """
        visitor = world.browser()
        await visitor.get("/count")
        for path in ("/password", "/pay", "/end?handle="):
            answer = await visitor.get(path)
            self.assertEqual((answer.code, answer.sets), (403, False))

    async def test_fresh(self):
        """
        In one process and in two.
        """
        await self.holds(self.fresh)
        await self.holds(self.fresh, SHARED, processes=2)

    async def test_setBack(self):
        """
        When the clock says nonsense.
        """
        await self.holds(self.setBack)

    async def test_nobody(self):
        """
        For visitors.
        """
        await self.holds(self.nobody)

    async def test_fault(self):
        """
        The checks find a session to which any sign-in is fresh, and one that has itself
        a sign-in that is younger.
        """
        for sessions in (EasySession, YoungSession):

            class OtherSite(Site):
                """
                Has such sessions.
                """

                sessionFactory = sessions

            for kind in ("nowhere", *SHARED):
                await self.isFound(self.fresh, kind, factory=OtherSite)
