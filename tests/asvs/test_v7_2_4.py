"""
ASVS 7.2.4: whoever signs in, or signs in again, gets a new session token, and the one
before it is good for nothing.

C{session.login(request, user)} draws a new id and has the store rename the record in one
step.  The old id ends in every process, with no time of grace, and only the answer to the
request that signed in carries the new one.
"""

from __future__ import annotations

from tests.asvs.world import SHARED, AuditCase
from tests.races.wrong import TwoIdsStore
from txsessions import CookiePolicy, Session, Site
from txsessions.live import signin


class KeepingSession(Session):
    """
    Signs people in on the id that they have.
    """

    def login(self, request, principal, *, level=1, keep=None):
        """
        See L{Session.login}; no new id.
        """
        now, handle = self._clock.seconds(), b"h" * 16
        signin.begin(self, signin.signInAs(principal, level, now, handle))
        return self.save()


class KeepingSite(Site):
    """
    Its sessions keep their ids.
    """

    sessionFactory = KeepingSession


class NewTokenTests(AuditCase):
    """
    What a sign-in does to the token.
    """

    async def fixation(self, world, **how):
        """
        Somebody plants an id of his own in another's browser, who then signs in, signs
        in once more, and lets somebody else sign in.
        """
        attacker = world.browser(**how)
        await attacker.get("/count")
        victim = attacker.twin()
        last = len(world.sites) - 1
        for path, who in (
            ("/in", "ann"),
            ("/in?level=2", "ann"),
            ("/in?who=bob", "bob"),
        ):
            thief = victim.twin()
            answer = await victim.get(path, last)
            self.assertTrue(await thief.isNobody())
            self.assertTrue(answer.sets)
            self.assertNotEqual(victim.cookie, thief.cookie)
            self.assertEqual(await victim.who(), who)
        self.assertTrue(await attacker.isNobody())

    async def test_browser(self):
        """
        In one process, with and without a store.
        """
        await self.holds(self.fixation)

    async def test_processes(self):
        """
        In two, of which one signs in and the other is asked.
        """
        await self.holds(self.fixation, SHARED, processes=2)

    async def test_http2(self):
        """
        By HTTP/2.
        """
        await self.holds(lambda world: self.fixation(world, http2=True))

    async def test_plain(self):
        """
        Without TLS.
        """
        await self.holds(lambda world: self.fixation(world, secure=False))

    async def program(self, world):
        """
        A program that sends its id by C{Authorization} signs in twice.
        """
        program, ids = world.browser(), [""]
        for _ in range(2):
            bearing = (f"Authorization: Session {ids[-1]}",)
            answer = await program.get("/program", headers=bearing)
            ids.append(answer.body.decode("ascii"))
        self.assertNotEqual(*ids[1:])
        said = []
        for each in ids[1:]:
            bearing = (f"Authorization: Session {each}",)
            said.append((await program.get("/look", headers=bearing)).body)
        self.assertEqual(said, [b"nobody 0 0", b"robot 1 0"])

    async def test_program(self):
        """
        So it is for programs.
        """
        await self.holds(self.program, cookies=CookiePolicy(bearer=True))

    async def test_fault(self):
        """
        The check finds a site that keeps the id, and a store that knows the old one.
        """
        await self.isFound(self.fixation, factory=KeepingSite)
        await self.isFound(self.fixation, "sqlite", factory=KeepingSite)
        await self.isFound(self.fixation, processes=2, plant=TwoIdsStore)
        bearing = CookiePolicy(bearer=True)
        await self.isFound(self.program, factory=KeepingSite, cookies=bearing)
