"""
ASVS 7.5.3: before what is most sensitive the user signs in again, or with a second factor.

C{session.requireFresh(seconds, level=2)} wants a sign-in of that level, which is what the
last C{login} said: a first factor afterwards takes it back, and no page can raise it but
by C{login}.
"""

from __future__ import annotations

from tests.asvs.world import SHARED, AuditCase
from txsessions import Session, Site


class OneFactorSession(Session):
    """
    Does not look at the level.
    """

    def requireFresh(self, seconds, *, level=1):
        """
        See L{Session.requireFresh}.
        """
        super().requireFresh(seconds)


class HighestSession(Session):
    """
    Keeps the highest level that there ever was.
    """

    def login(self, request, principal, *, level=1, keep=None):
        """
        See L{Session.login}.
        """
        level = max(level, self.level)
        return super().login(request, principal, level=level, keep=keep)


class SecondFactorTests(AuditCase):
    """
    A payment.
    """

    async def factors(self, world):
        """
        It wants two factors, the second one lately.
        """
        last, ann = len(world.sites) - 1, world.browser()
        for path, seconds, code in (
            ("/count", 0, 403),
            ("/in", 0, 403),
            ("/in?level=2", 0, 200),
            ("/rotate", 59, 200),
            ("/rotate", 1, 403),
            ("/in?level=2", 0, 200),
            ("/in?level=1", 0, 403),
            ("/in?level=3", 0, 200),
            ("/in?who=bob", 0, 403),
            ("/in?who=bob&level=2", 0, 200),
            ("/out", 0, 403),
        ):
            await world.goBy(seconds)
            await ann.get(path)
            for number in range(last + 1):
                answer = await ann.get("/pay", number)
                self.assertEqual(answer.code, code, path)

    async def test_factors(self):
        """
        In one process and in two.
        """
        await self.holds(self.factors)
        await self.holds(self.factors, SHARED, processes=2)

    async def test_fault(self):
        """
        The check finds a session that does not look at the level, and one whose level
        never falls.
        """
        for sessions in (OneFactorSession, HighestSession):

            class OtherSite(Site):
                """
                Has such sessions.
                """

                sessionFactory = sessions

            for kind in ("nowhere", *SHARED):
                await self.isFound(self.factors, kind, factory=OtherSite)
