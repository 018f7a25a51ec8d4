"""
Changing keys by whole requests: two sites on a store of each kind, of which one seals
with the old key and the other with the new one, and both know both.
"""

from __future__ import annotations

import os

from tests.web.stored import StoredCase, inEveryStore
from txsessions.core.keyring import KeyRing
from txsessions.core.uid import storeKeyOf


class KeysCase(StoredCase):
    """
    Two such sites.
    """

    def serve(self, **how):
        """
        Serve with the one ring, then with the other.
        """
        old, *others = self.keys.keys
        new = others[0] if others else KeyRing.random(os.urandom).active
        self.keys = KeyRing(active=new, others=(old,))
        site = super().serve(**how)
        site.sealsUnder = new.id
        return site


class SealTests(KeysCase):
    """
    Under which key records are.
    """

    async def isUnder(self, client, site):
        """
        Whether a browser's record is sealed under the key that a site seals with.
        """
        key = storeKeyOf(b"", client.sent()[0].partition(b"=")[2])
        record = await (await self.storeOf(site)).load(key, self.clock.seconds())
        return site.sealsUnder in record.payload

    async def test_rewritten(self):
        """
        What is new is under the key of the site that made it; either site opens it, and
        seals it with its own key when it changes it, by a change or by a sign-in, and
        not before.
        """
        for here, there in ((self.site, self.there), (self.there, self.site)):
            one, two = [await self.visitor("/count", site=here) for _ in range(2)]
            for client, path in ((one, "/count"), (two, "/in")):
                self.assertTrue(await self.isUnder(client, here))
                await self.body(client, "/look", there)
                self.assertTrue(await self.isUnder(client, here))
                await self.body(client, path, there)
                self.assertTrue(await self.isUnder(client, there))
            self.assertEqual(await self.body(one, site=here), b"nobody 0 2")
            self.assertEqual(await self.body(two, site=here), b"ann 1 1")


class PrincipalTests(KeysCase):
    """
    Who is signed in under either.
    """

    async def test_ended(self):
        """
        Each finds the sessions of both, and ends them: one, the others, and all.
        """
        counts = []

        def others(request):
            request.getSession().endOthers(request).addBoth(counts.append)
            return b""

        self.page("others", others)
        names = self.site._live.principals.hashes.all("ann")
        self.assertEqual(names, self.there._live.principals.hashes.all("ann")[::-1])
        for end in range(3):
            one, two = [
                await self.visitor("/in", site=site) for site in (self.there, self.site)
            ]
            handles = await self.handles()
            self.assertEqual(len(handles), 2)
            self.assertEqual(await self.who(one, two), ["ann"] * 2)
            if end == 0:
                for handle in handles:
                    self.assertTrue(await self.site.endSession("ann", handle))
            elif end == 1:
                await self.body(one, "/others", self.site)
                self.assertEqual(counts, [1])
                self.assertEqual(await self.who(one, two), ["ann", "nobody"])
                await self.body(one, "/out")
            else:
                self.assertEqual(await self.there.endPrincipal("ann"), 2)
            self.assertEqual(await self.who(one, two), ["nobody"] * 2)
            self.assertEqual(await self.handles(), [])
        await self.visitor("/in", site=self.there)
        await self.site.erasePrincipal("ann")
        held = b"|".join(self.place.held())
        self.assertFalse(any(name in held for name in names))


inEveryStore(SealTests, globals())
inEveryStore(PrincipalTests, globals())
del KeysCase, SealTests, PrincipalTests
