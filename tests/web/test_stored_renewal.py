"""
Old ids of renewed sessions that have ended, on every store and in two sites: a late
request takes no cookie away that the browser has got meanwhile.
"""

from __future__ import annotations

from tests.web.stored import StoredCase, inEveryStore
from txsessions import Renewal

INTERVAL = 10.0
"""How old an id becomes, in seconds: engines have clocks of their own, and the site's
cannot go far from theirs."""


class LateIdTests(StoredCase):
    """
    Requests that were sent before a logout, and come after the next sign-in.
    """

    def serve(self):
        """
        See L{StoredCase.serve}.
        """
        site = super().serve()
        site.renewal = Renewal(interval=INTERVAL, grace=1, watch=1800)
        return site

    async def renewed(self, *paths, times=1):
        """
        A browser whose id was renewed.

        @return: It, and one that has the first id still.
        """
        client = await self.visitor(*paths)
        late = self.client(like=client)
        for _ in range(times):
            self.clock.advance(INTERVAL)
            self.assertTrue((await self.fetch(client, "/count")).sets)
            self.assertFalse((await self.fetch(client, "/look")).sets)
        return client, late

    async def assertNoCookie(self, late, client):
        """
        Check that in both sites nobody is given a cookie, and that the browser goes on
        with its own.
        """
        for site in (self.there, self.site):
            answer = await self.fetch(self.client(site, like=late), "/count")
            self.assertEqual((answer.code, answer.body), (200, b"count 1"))
            self.assertEqual(answer.cookies, {})
        self.assertEqual(await self.who(client), ["ann"])

    async def test_loggedOut(self):
        """
        The first id, after a logout by the new one and a sign-in.
        """
        for times in (1, 2):
            for site in (self.site, self.there):
                client, late = await self.renewed(times=times)
                await self.body(client, "/out", site)
                await self.body(client, "/in", site)
                await self.assertNoCookie(late, client)

    async def test_loggedOutAtOnce(self):
        """
        So it is where the logout is the first request that came with the new one.
        """
        client = await self.visitor()
        late = self.client(like=client)
        self.clock.advance(INTERVAL)
        self.assertTrue((await self.fetch(client, "/count")).sets)
        await self.body(client, "/out")
        await self.body(client, "/in")
        await self.assertNoCookie(late, client)

    async def test_loggedOutBeforeALogin(self):
        """
        So it is where somebody has signed in on it between the two.
        """
        client, late = await self.renewed()
        for path in ("/in?who=bob", "/out", "/in"):
            await self.body(client, path)
        await self.assertNoCookie(late, client)

    async def test_signsIn(self):
        """
        A sign-in by it gives a new id as always.
        """
        client, late = await self.renewed()
        await self.body(client, "/out")
        other = self.client(self.there, like=late)
        answer = await self.fetch(other, "/in?who=bob")
        self.assertTrue(answer.sets)
        self.assertEqual(await self.who(other), ["bob"])


inEveryStore(LateIdTests, globals())
del LateIdTests
