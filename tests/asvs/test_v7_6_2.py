"""
ASVS 7.6.2: no session begins without the user's consent or doing.

Nobody is signed in but by C{login}, which the application calls.  A visitor who only looks
around has no session: no cookie, no record.  One begins, with nobody signed in, when a
page puts something into it.
"""

from __future__ import annotations

from tests.asvs.world import AuditCase
from txsessions import CookiePolicy, Request, Site

LOOKED_AT = ("/plain", "/look", "/devices", "/nowhere", "/end?handle=", "/pay")


class GreedySite(Site):
    """
    Keeps a session for everybody.
    """

    def makeSession(self):
        """
        See L{Site.makeSession}.
        """
        session = super().makeSession()
        # One whose id was read is kept.
        session.uid
        return session


class WelcomingRequest(Request):
    """
    Signs in whoever comes with a header that a proxy may have set.
    """

    def getSession(self, *arguments):
        """
        See L{Request.getSession}.
        """
        session = super().getSession(*arguments)
        who = self.getHeader("remote-user")
        if who is not None and session.principal is None:
            session.login(self, who)
        return session


class WelcomingSite(Site):
    """
    Its requests do so.
    """

    requestFactory = WelcomingRequest


class ConsentTests(AuditCase):
    """
    Visitors.
    """

    async def looking(self, world):
        """
        Who looks around has no session, whatever he brings.
        """
        for more in (
            (),
            ("Remote-User: ann", "X-Forwarded-User: ann", "From: ann"),
            ("Authorization: Basic YW5uOmFubg==",),
            ("Authorization: Session",),
            (f"Cookie: __Host-sid={'0123456789abcdef' * 4}",),
        ):
            visitor = world.browser()
            for path in LOOKED_AT:
                answer = await visitor.get(path, headers=more, cookies=False)
                self.assertEqual(answer.all("set-cookie"), [])
            self.assertTrue(await visitor.isNobody())
        self.assertEqual(await world.stored(), 0)

    async def doing(self, world):
        """
        A session that somebody has begun says that it is nobody's until he signs in.
        """
        visitor = world.browser()
        answer = await visitor.get("/count")
        self.assertTrue(answer.sets)
        for path in LOOKED_AT:
            await visitor.get(path)
        self.assertEqual(await visitor.told(), "nobody 0 1")
        await visitor.get("/in")
        self.assertEqual(await visitor.told(), "ann 1 1")

    async def test_consent(self):
        """
        With programs' ids allowed too.
        """
        for bearer in (False, True):
            cookies = CookiePolicy(bearer=bearer)
            await self.holds(self.looking, cookies=cookies)
            await self.holds(self.doing, cookies=cookies)

    async def test_fault(self):
        """
        The checks find a site that keeps a session for everybody, and one that signs
        people in by itself.
        """
        for kind in ("nowhere", "memory", "sqlite"):
            await self.isFound(self.looking, kind, factory=GreedySite)
            await self.isFound(self.looking, kind, factory=WelcomingSite)
