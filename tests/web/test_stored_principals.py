"""
The sessions of one principal by whole requests, in two sites on a store of each kind.
"""

from __future__ import annotations

from tests.web.stored import StoredCase, inEveryStore
from txsessions import SignInLimit


class PrincipalTests(StoredCase):
    """
    Finding and ending them, and how many there may be.
    """

    def enter(self, who="ann", site=None):
        """
        A browser on which somebody has signed in.
        """
        return self.visitor(f"/in?who={who}", site=site)

    async def several(self, who="ann"):
        """
        A browser for each site on which somebody has signed in; both sites have both
        sessions in memory.
        """
        clients = [await self.enter(who, site) for site in (self.site, self.there)]
        self.assertEqual(await self.who(*clients), [who] * 2)
        return clients

    async def test_list(self):
        """
        Both sites tell of the same sessions, with the browser only where it is kept.
        """
        self.site.keepsClients = True
        await self.fetch(self.client(), "/in", headers=("User-Agent: Lynx",))
        await self.fetch(
            self.client(self.there), "/in", headers=("User-Agent: Mosaic",)
        )
        await self.enter("bob")
        self.assertEqual(len(await self.handles()), 2)
        self.assertEqual(len(await self.handles("bob")), 1)
        self.assertEqual(await self.handles("an"), [])
        for site in (self.site, self.there):
            found = await site.sessionsOf("ann")
            agents = [each.userAgent for each in found]
            self.assertCountEqual(agents, ["Lynx", None])
            paged, after = [], None
            while page := await site.sessionsOf("ann", after, 1):
                after = page[-1].handle
                paged += page
            self.assertEqual(paged, found)

    async def test_endAll(self):
        """
        All end at once, also those that the other site has in memory, by its next
        request; whoever signs in afterwards is in.
        """
        clients, (bob, _) = await self.several(), await self.several("bob")
        self.assertEqual(await self.site.endPrincipal("ann"), 2)
        for client in clients:
            for site in (self.there, self.site):
                answer = await self.fetch(self.client(site, like=client), "/look")
                self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False))
        self.assertEqual(await self.handles(), [])
        again = await self.enter(site=self.there)
        self.assertEqual(await self.who(again, bob), ["ann", "bob"])
        self.assertEqual(await self.there.endPrincipal("ann"), 1)
        self.assertEqual(await self.there.endPrincipal("ann"), 0)

    async def test_lateWrite(self):
        """
        What still runs in the other site brings none back: neither a change, nor a
        new id, nor a second factor; and none of them hands out a cookie.
        """

        async def end():
            self.assertEqual(await self.site.endPrincipal("ann"), 1)

        await self.comesLate(end)

    async def test_endOne(self):
        """
        One ends by its handle, in both sites, and only as its principal's.
        """
        clients, (bob, _) = await self.several(), await self.several("bob")
        handles = await self.handles()
        (others, _) = await self.handles("bob")
        self.assertFalse(await self.site.endSession("ann", others))
        for number, handle in enumerate(handles):
            self.assertTrue(await self.site.endSession("ann", handle))
            self.assertFalse(await self.there.endSession("ann", handle))
            self.assertEqual(
                sorted(await self.who(*clients)),
                ["ann"] * (1 - number) + ["nobody"] * (number + 1),
            )
        self.assertEqual(await self.who(bob), ["bob"])

    async def test_endOthers(self):
        """
        The others end in both sites; this one has another id, and its old one is dead.
        """
        counts = []

        def others(request):
            request.getSession().endOthers(request).addBoth(counts.append)
            return b""

        self.page("others", others)
        clients = await self.several()
        client = await self.enter()
        before = self.client(like=client)
        await self.body(client, "/others", self.there)
        self.assertEqual(counts, [2])
        found = await self.who(client, before, *clients)
        self.assertEqual(found, ["ann"] + ["nobody"] * 3)
        self.assertEqual(len(await self.handles()), 1)

    async def test_erase(self):
        """
        Of a principal that is erased the store has nothing left: no record, no index,
        no epoch; and nobody else is touched.
        """
        await self.several("bob")
        bob = await self.enter("bob")
        # The marker of a sign-out says nothing of who it was.
        await self.body(await self.enter(), "/out")
        (name,) = self.site._live.principals.hashes.all("ann")
        before = self.place.held()
        self.assertFalse(any(name in each for each in before))
        clients = await self.several()
        await self.site.endPrincipal("ann")
        clients.append(await self.enter())
        self.assertTrue(any(name in each for each in self.place.held()))
        await self.there.erasePrincipal("ann")
        held = self.place.held()
        self.assertFalse(any(name in each for each in held))
        self.assertEqual(len(held), len(before))
        found = await self.who(*clients, bob)
        self.assertEqual(found, ["nobody"] * 3 + ["bob"])
        self.assertEqual(await self.who(await self.enter()), ["ann"])
        self.assertEqual(len(await self.handles()), 1)

    async def test_makesRoom(self):
        """
        Of many sign-ins at once in both sites no more stay than may, and those are
        the last.
        """
        await self.several()
        for site in (self.site, self.there):
            site.signInLimit = SignInLimit(most=2, refuses=False)
        clients = await self.atOnce()
        self.assertEqual([answer.code for _, answer in clients], [200] * 8)
        found = await self.who(*(client for client, _ in clients))
        self.assertEqual(sorted(found), ["ann"] * 2 + ["nobody"] * 6)
        self.assertEqual(len(await self.handles()), 2)

    async def test_refuses(self):
        """
        Where one more is refused, of many at once no more get in than may.
        """
        for site in (self.site, self.there):
            site.signInLimit = SignInLimit(most=3, refuses=True)
        clients = await self.atOnce()
        codes = sorted(answer.code for _, answer in clients)
        self.assertEqual(codes, [200] * 3 + [409] * 5)
        for client, answer in clients:
            expected = "ann" if answer.code == 200 else "nobody"
            self.assertEqual(answer.sets, answer.code == 200)
            self.assertEqual(await self.who(client), [expected])
        self.assertEqual(len(await self.handles()), 3)

    async def atOnce(self):
        """
        Sign in eight times at once, in both sites.

        @return: The browsers, and what they were answered.
        """
        self.clock.advance(1)
        clients = [
            self.client(site) for _ in range(4) for site in (self.site, self.there)
        ]
        for client in clients:
            client.send("/in")
        return [(client, await self.answered(client)) for client in clients]


inEveryStore(PrincipalTests, globals())
del PrincipalTests
