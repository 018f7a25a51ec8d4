"""
Visitors who are nobody, and too many, by whole requests in two sites on a store of each
kind.
"""

from __future__ import annotations

from tests.web.stored import StoredCase, inEveryStore
from txsessions import NetworkBudget

MOST = 5
"""How many sessions there may be in which nobody is signed in."""


class FloodTests(StoredCase):
    """
    A few places, and more visitors.
    """

    def serve(self, **how):
        """
        Serve.
        """
        site = super().serve(**how)
        site.maxAnonymous = MOST
        return site

    async def flood(self, number, path="/count"):
        """
        Have new visitors come, to the two sites in turn.

        @return: Their browsers, in order.
        """
        came = []
        for each in range(number):
            # Who was first has the least time left.
            self.clock.advance(1)
            site = (self.site, self.there)[each % 2]
            client = self.client(site)
            await self.body(client, path)
            came.append(client)
        return came

    async def counted(self):
        """
        How many sessions there are in which nobody is signed in, at last: who makes too
        many does not wait for the others to go.
        """
        for site in (self.site, self.there):
            await self.until(lambda site=site: not site._live.anonymous._isEvicting)
        store = await self.storeOf(self.site)
        return await store.countSessions(self.clock.seconds())

    async def test_lookingCostsNothing(self):
        """
        Who only looks leaves nothing, in no store and no memory.
        """
        await self.visitor("/in")
        before, live = self.place.held(), len(self.site.sessions)
        visitors = await self.flood(30, "/look")
        self.assertEqual(self.place.held(), before)
        self.assertFalse(any(client.sent() for client in visitors))
        self.assertEqual(len(self.site.sessions), live)
        self.assertEqual(len(self.there.sessions), 0)

    async def test_theOldestGo(self):
        """
        Of many who leave something the last stay, and everybody who is signed in,
        however long ago; whose session had to go has none in either site, no request
        brings it back, and he begins anew.
        """
        signedIn = [await self.visitor(f"/in?who=user{n}") for n in range(3)]
        (first,) = await self.flood(1)
        late, request, session = await self.pending(first, self.there)
        visitors = await self.flood(3 * MOST)
        self.assertLessEqual(await self.counted(), MOST + 2 + len(signedIn))
        self.assertEqual(await self.who(*signedIn), [f"user{n}" for n in range(3)])
        for client in (first, *visitors[:MOST]):
            for site in (self.site, self.there):
                found = await self.body(self.client(site, like=client))
                self.assertEqual(found, b"nobody 0 0")
        for client in visitors[-2:]:
            for site in (self.site, self.there):
                found = await self.body(self.client(site, like=client))
                self.assertEqual(found, b"nobody 0 1")
        session["late"] = True
        request.finish()
        self.assertFalse((await self.answered(late)).sets)
        self.assertLessEqual(await self.counted(), MOST + 2 + len(signedIn))
        self.assertEqual(await self.body(first, "/count"), b"count 1")

    async def test_aSignInLeavesTheCrowd(self):
        """
        Who signs in on a session that was anybody's stays, whoever comes after him.
        """
        (client,) = await self.flood(1)
        await self.body(client, "/in", self.there)
        await self.flood(3 * MOST)
        self.assertEqual(await self.who(client), ["ann"])

    async def test_budget(self):
        """
        A network that has made as many as it may is refused more, and leaves nothing
        more; who has a session, and who signs in, is not.
        """
        self.site.networkBudget = NetworkBudget(most=2, seconds=60)
        clients = [self.client() for _ in range(2)]
        for client in clients:
            await self.body(client, "/count")
        held = self.place.held()
        for _ in range(3):
            answer = await self.fetch(self.client(), "/count")
            self.assertEqual((answer.code, answer.sets), (429, False))
        self.assertEqual(self.place.held(), held)
        for client in clients:
            self.assertEqual(await self.body(client, "/count"), b"count 2")
        self.assertEqual(await self.who(await self.visitor("/in")), ["ann"])
        self.clock.advance(61)
        await self.body(self.client(), "/count")


inEveryStore(FloodTests, globals())
del FloodTests
