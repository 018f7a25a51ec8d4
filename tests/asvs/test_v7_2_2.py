"""
ASVS 7.2.2: session tokens are made at the time, for one session; they are no fixed keys.

Each session gets an id of its own, drawn when it is made; one that a client brings is
looked up and never taken over, so that nobody can hand out an id beforehand.
"""

from __future__ import annotations

from attrs import evolve

from tests.asvs.world import AuditCase
from txsessions import CookiePolicy, Site
from txsessions.core.uid import isUid

FIXED = "0123456789abcdef" * 4


class AdoptingSite(Site):
    """
    Takes over whatever id a visitor brings.
    """

    def _mkuid(self):
        """
        See L{Site._mkuid}.
        """
        said = self._live.current.getCookie(b"__Host-sid")
        if said is not None and isUid(said) and said not in self.sessions:
            return said
        return super()._mkuid()


class AdoptingProgramsSite(Site):
    """
    Takes over whatever id a program brings.
    """

    def _mkuid(self):
        """
        See L{Site._mkuid}.
        """
        said = self._live.current.getHeader(b"authorization")
        return said.split()[1] if said is not None else super()._mkuid()


class DynamicTests(AuditCase):
    """
    Where ids come from.
    """

    async def dynamic(self, world):
        """
        A visit, a sign-in, a visit after the sign-out: each has an id that was never
        there before, whatever the browser brings at first.
        """
        seen, times = {FIXED}, 8
        for number in range(times):
            browser = world.browser(http2=number % 2 == 1)
            planted = world.browser(http2=browser.http2)
            await planted.get("/count")
            for name, cookie in planted.jar.cookies.items():
                browser.jar.cookies[name] = evolve(cookie, value=FIXED)
            for path in ("/count", "/in", "/out", "/count"):
                await browser.get(path)
                seen.add(browser.cookie)
        self.assertEqual(len(seen - {None}), 1 + 3 * times)

    async def programs(self, world):
        """
        So it is with what a program brings.
        """
        bearing = (f"Authorization: Session {FIXED}",)
        ids = {FIXED}
        for _ in range(3):
            answer = await world.browser().get("/program", headers=bearing)
            ids.add(answer.body.decode("ascii"))
        self.assertEqual(len(ids), 4)
        answer = await world.browser().get("/look", headers=bearing)
        self.assertEqual(answer.body, b"nobody 0 0")

    async def test_dynamic(self):
        """
        With cookies.
        """
        await self.holds(self.dynamic)

    async def test_programs(self):
        """
        With C{Authorization}.
        """
        await self.holds(self.programs, cookies=CookiePolicy(bearer=True))

    async def test_fault(self):
        """
        The checks find a site that adopts ids.
        """
        await self.isFound(self.dynamic, factory=AdoptingSite)
        bearing = CookiePolicy(bearer=True)
        await self.isFound(self.programs, factory=AdoptingProgramsSite, cookies=bearing)
