"""
The end of everybody's sessions by whole requests, in two sites on a store of each kind.
"""

from __future__ import annotations

from tests.web.stored import StoredCase, inEveryStore
from txsessions import SignInLimit
from txsessions.live.watching import WATCH_INTERVAL


class EverybodyTests(StoredCase):
    """
    Ending them.
    """

    async def everywhere(self):
        """
        A browser for each site and each of two people, which both sites have in memory.
        """
        names = [(who, site) for who in ("ann", "bob") for site in self.sites()]
        clients = [
            await self.visitor(f"/in?who={who}", site=site) for who, site in names
        ]
        self.assertEqual(await self.who(*clients), [who for who, _ in names])
        return clients

    def sites(self):
        """
        Both.
        """
        return (self.site, self.there)

    async def test_all(self):
        """
        All end at once, also those that the other site has in memory, by its next
        request; visitors stay, and whoever signs in afterwards is in, until the next
        time.
        """
        visitor = await self.visitor("/count")
        before = []
        for turn, site in enumerate((self.site, self.there, self.site)):
            clients = await self.everywhere()
            await site.endEverybody()
            for client in clients + before:
                for each in (self.there, self.site):
                    answer = await self.fetch(self.client(each, like=client), "/look")
                    self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False))
            for who in ("ann", "bob"):
                self.assertEqual(await self.handles(who), [])
                self.assertEqual(await self.there.endPrincipal(who), 0)
            body = await self.body(visitor, "/count", self.sites()[turn % 2])
            self.assertEqual(body, b"count %d" % (turn + 2))
            before = clients[:2]

    async def test_lateWrite(self):
        """
        What still runs in the other site brings none back: neither a change, nor a
        new id, nor a second factor; and none of them hands out a cookie.
        """
        await self.comesLate(self.site.endEverybody)

    async def test_atOnce(self):
        """
        Of sign-ins beside it each is in or out for both sites; those that were answered
        before are out, those that are sent afterwards in.
        """
        before = await self.everywhere()
        clients = [self.client(site) for _ in range(4) for site in self.sites()]
        for client in clients[:4]:
            client.send("/in")
        ended = self.there.endEverybody()
        for client in clients[4:]:
            client.send("/in?who=bob")
        await ended
        for client in clients:
            self.assertEqual((await self.answered(client)).code, 200)
        after = await self.visitor("/in?who=ann")
        self.assertEqual(await self.who(*before), ["nobody"] * 4)
        found = await self.who(after, *clients)
        self.assertEqual(found[0], "ann")
        self.assertEqual(len(await self.handles("ann")), found.count("ann"))
        self.assertEqual(len(await self.handles("bob")), found.count("bob"))
        await self.site.endEverybody()
        self.assertEqual(await self.who(after, *clients), ["nobody"] * 9)

    async def test_heard(self):
        """
        Who waits for the end hears of it without a request: at once in the site that
        ends them, in the other one when it asks the next time.
        """
        ends = []

        def hear(request):
            site = request.site
            request.getSession().notifyOnExpire(lambda: ends.append(site))
            return b""

        self.page("hear", hear)
        for site in self.sites():
            await self.visitor("/in?who=ann", "/hear", site=site)
        await self.visitor("/count", "/hear")
        await self.site.endEverybody()
        await self.until(lambda: ends)
        self.assertEqual(ends, [self.site])
        self.clock.advance(WATCH_INTERVAL)
        await self.until(lambda: len(ends) > 1)
        self.assertEqual(ends, [self.site, self.there])

    async def test_limited(self):
        """
        Where no more than one may be signed in, the ended do not count, and are erased
        with the others.
        """
        for site in self.sites():
            site.signInLimit = SignInLimit(most=1, refuses=True)
        for site in self.sites():
            client = await self.visitor("/in?who=ann", site=site)
            await self.there.endEverybody()
        client = await self.visitor("/in?who=ann")
        self.assertEqual(await self.who(client), ["ann"])
        self.assertEqual(await self.site.verifyPrincipals(), 0)
        self.assertEqual(await self.there.erasePrincipal("ann"), 3)
        (name,) = self.site._live.principals.hashes.all("ann")
        self.assertFalse(any(name in each for each in self.place.held()))
        self.assertEqual(await self.who(client), ["nobody"])


inEveryStore(EverybodyTests, globals())
del EverybodyTests
