"""
Somebody with very many sessions, in two sites on a store of each kind.
"""

from __future__ import annotations

import os

from msgspec.structs import replace as evolve
from twisted.internet.defer import gatherResults

from tests.web.stored import StoredCase, inEveryStore
from txsessions.core.uid import storeKeyOf
from txsessions.live.watching import WATCH_INTERVAL

MANY = 1000
PAGE = 100


class ManyTests(StoredCase):
    """
    A thousand sessions of one, and one of another.
    """

    async def enter(self):
        """
        Sign in, and have the sessions there beside that.

        @return: The browsers of the one and of the other.
        """
        ann, bob = await self.visitor("/in"), await self.visitor("/in?who=bob")
        store, now = await self.storeOf(self.there), self.clock.seconds()
        key = storeKeyOf(b"", ann.sent()[0].partition(b"=")[2])
        like = await store.load(key, now)
        records = []
        for _ in range(MANY):
            # They are not sealed as they should be, as if the key had been lost.
            key, handle = os.urandom(32), os.urandom(16)
            records.append(evolve(like, key=key, handle=handle, version=1))
        for start in range(0, MANY, PAGE):
            some = records[start : start + PAGE]
            await gatherResults([store.insert(each, now) for each in some])
        self.name = like.principal
        return ann, bob

    async def test_listed(self):
        """
        They are listed page by page, each once, in the order of their handles; those
        that nobody can read do not hide the one that can be used.
        """
        ann, _ = await self.enter()
        store, now, found, after = (
            self.there._live.store,
            self.clock.seconds(),
            [],
            None,
        )
        while True:
            page, after = await store.sessionsOf(self.name, now, after, PAGE)
            self.assertLessEqual(len(page), PAGE)
            found += [each.handle for each in page]
            if after is None:
                break
        self.assertEqual(len(set(found)), MANY + 1)
        self.assertEqual(found, sorted(found))
        self.assertEqual(len(await self.site.sessionsOf("ann")), 1)
        self.assertEqual(await self.who(ann), ["ann"])

    async def test_ended(self):
        """
        All end at once, in both sites, by a few things that are written, as many for
        any number of sessions; the other stays, and nothing of them is found by who
        signs in afterwards.
        """
        ann, bob = await self.enter()
        before = self.place.held()
        self.assertEqual(await self.there.endPrincipal("ann"), MANY + 1)
        after = self.place.held()
        changed = set(before) ^ set(after)
        # Valkey notes it in each of its 64 shards.
        self.assertLess(len(changed), MANY / 4)
        self.assertEqual(await self.who(ann, bob), ["nobody", "bob"])
        self.assertEqual(await self.handles(), [])
        self.assertEqual(await self.site.endPrincipal("ann"), 0)
        await self.visitor("/in")
        self.assertEqual(len(await self.handles()), 1)
        store, now = await self.storeOf(self.site), self.clock.seconds()
        self.assertEqual(await store.countSessions(now), 2)


class CallbackTests(StoredCase):
    """
    Who waits in one site for the end of a session.
    """

    async def test_elsewhere(self):
        """
        He hears of it once, soon after it was ended in the other, by whatever; in time
        the other way round too.
        """

        def waits(request):
            request.getSession().notifyOnExpire(lambda: ends.append(request.path))
            return b""

        ends = []
        self.page("waits", waits)
        for number, way in enumerate(("out", "all", "one")):
            client = await self.visitor("/in")
            for site in (self.site, self.there):
                await self.body(client, "/waits", site)
            if way == "out":
                await self.body(client, "/out")
            elif way == "all":
                await self.there.endPrincipal("ann")
            else:
                await self.site.endSession("ann", (await self.handles())[0])
            for _ in range(2):
                self.clock.advance(WATCH_INTERVAL)
                await self.until(lambda n=number: len(ends) >= 2 * n + 2)
            self.assertEqual(len(ends), 2 * number + 2, way)


inEveryStore(ManyTests, globals())
inEveryStore(CallbackTests, globals())
del ManyTests, CallbackTests
