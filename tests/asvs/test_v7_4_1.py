"""
ASVS 7.4.1: when a session has ended, by a logout or by a limit, nothing goes on with it.

The record is gone before a logout is answered; requests under way find it gone and bring
nothing back, in any process.  Where the store cannot be told of a logout the answer is
503, the cookie goes nevertheless, and the process refuses the id until it is told; also
where it cannot even be read whose session that is.
"""

from __future__ import annotations

from twisted.python.monkey import MonkeyPatcher
from twisted.web import server

from tests.asvs.world import KINDS, SHARED, AuditCase
from tests.races.wrong import CachedStore, RevivingStore
from tests.slowstore import SlowStore
from tests.web.pages import OUTAGE
from txsessions import CookiePolicy, Site
from txsessions.core.lifetime import IDLE, TOUCH_LIMIT
from txsessions.live.tombstones import Tombstones
from txsessions.web.asking import Asking


class PoliteRequest(server.Request):
    """
    Takes the cookie from the browser at a logout, and does nothing more.
    """

    def logout(self):
        """
        In the place of ours.
        """
        self.cookies.append(self.site.cookies.renderDeletion(True))


class PoliteSite(Site):
    """
    Its requests do so.
    """

    requestFactory = PoliteRequest


class LeakyStore(SlowStore):
    """
    Says that it has deleted.
    """

    def delete(self, key, *_):
        """
        See L{ISessionStore.delete}.
        """
        return self.inner.load(key, 0.0).addCallback(lambda found: found is not None)


class EndTests(AuditCase):
    """
    What is left of a session.
    """

    async def begun(self, world):
        """
        Somebody signs in, a thief has the cookie too, and a request of each process is
        under way.

        @return: The browser, the thief, and those requests.
        """
        ann = world.browser()
        await ann.get("/count")
        await ann.get("/in")
        thief = ann.twin()
        clients = [thief.send("/wait", number) for number in range(len(world.sites))]
        await world.until(lambda: len(world.waiting) == len(clients))
        return ann, thief, clients

    async def finished(self, world, clients):
        """
        The requests that were under way change the session and are answered.
        """
        for number, (request, session) in enumerate(world.waiting):
            session.sessionNamespaces[f"late {number}"] = 1
            request.finish()
        world.waiting.clear()
        for client in clients:
            answer = await world.answer(client)
            self.assertFalse(answer.sets)

    async def loggedOut(self, world):
        """
        By a logout.
        """
        ann, thief, clients = await self.begun(world)
        answer = await ann.get("/out", len(world.sites) - 1)
        self.assertTrue(answer.deletes)
        await self.finished(world, clients)
        self.assertTrue(await thief.isNobody())
        self.assertEqual(await world.stored(), 0)
        await world.restart()
        self.assertTrue(await thief.isNobody())

    async def seenElsewhere(self, world):
        """
        By a logout, when another process has the session in memory.
        """
        ann = await world.signedIn()
        thief = ann.twin()
        self.assertEqual(await thief.who(), "ann")
        await ann.get("/out", len(world.sites) - 1)
        self.assertTrue(await thief.isNobody())

    async def ranOut(self, world):
        """
        By a limit.
        """
        _, thief, clients = await self.begun(world)
        await world.goBy(IDLE + TOUCH_LIMIT)
        await self.finished(world, clients)
        self.assertTrue(await thief.isNobody())
        self.assertEqual(await world.stored(), 0)

    async def loggedOutInVain(self, world):
        """
        By a logout of which the store cannot be told.
        """
        ann, store = await world.signedIn(), world.stores[0]
        thief = ann.twin()
        store.hold("delete")
        running = ann.send("/out")
        await world.until(lambda: store.pending)
        store.fail(OUTAGE)
        answer = await world.answer(running)
        self.assertEqual((answer.code, answer.deletes), (503, True))
        self.assertEqual(await thief.told(0), "nobody 0 0")
        store.holding = frozenset()
        # The other process may let the thief in until the store has been told.
        await world.goBy(2)
        self.assertTrue(await thief.isNobody())

    async def outOfReach(self, world):
        """
        By a logout while it cannot even be read whose session it is.
        """
        ann, bob = await world.signedIn(), await world.signedIn("bob")
        thief = ann.twin()
        await world.restart()
        store = world.stores[0]
        store.down = OUTAGE
        answer = await ann.get("/out")
        self.assertEqual((answer.code, answer.deletes), (503, True))
        self.assertEqual(await thief.told(0), "nobody 0 0")
        store.down = None
        self.assertEqual(await thief.told(0), "nobody 0 0")
        # The other process may let the thief in until the store has been told.
        await world.goBy(2)
        self.assertTrue(await thief.isNobody())
        self.assertEqual(await bob.who(), "bob")
        self.assertEqual(await world.stored(), 1)

    async def programOut(self, world):
        """
        By a program's logout.
        """
        answer = await world.browser().get(
            "/program", headers=("Authorization: Session",)
        )
        bearing = (f"Authorization: Session {answer.body.decode('ascii')}",)
        said = [
            (await world.browser().get(path, headers=bearing)).body
            for path in ("/look", "/out", "/look")
        ]
        self.assertEqual(said, [b"robot 1 0", b"out", b"nobody 0 0"])

    async def test_logout(self):
        """
        In one process and in two.
        """
        await self.holds(self.loggedOut)
        await self.holds(self.loggedOut, SHARED, processes=2)
        await self.holds(self.seenElsewhere, SHARED, processes=2)

    async def test_limit(self):
        """
        The same at the end of its time.
        """
        await self.holds(self.ranOut)
        await self.holds(self.ranOut, SHARED, processes=2)

    async def test_outage(self):
        """
        A logout that the store does not hear of at once.
        """
        await self.holds(self.loggedOutInVain, SHARED, processes=2)
        await self.holds(self.outOfReach, SHARED)
        await self.holds(self.outOfReach, SHARED, processes=2)

    async def test_program(self):
        """
        Programs.
        """
        await self.holds(self.programOut, cookies=CookiePolicy(bearer=True))

    async def test_fault(self):
        """
        The checks find a logout that is for the browser only, a late write that brings
        a session back, a deletion that is not one, and a process that does not ask.
        """
        for kind in KINDS:
            await self.isFound(self.loggedOut, kind, factory=PoliteSite)
        for kind in SHARED:
            await self.isFound(self.loggedOut, kind, processes=2, plant=RevivingStore)
            await self.isFound(self.loggedOut, kind, plant=LeakyStore)
            await self.isFound(self.seenElsewhere, kind, processes=2, plant=CachedStore)

    async def test_faultInOutage(self):
        """
        The checks find a process that forgets a logout which the store did not hear of,
        and a logout that does nothing where the session cannot be read.
        """
        with MonkeyPatcher((Tombstones, "_tryLater", lambda *_: None)):
            for kind in SHARED:
                for check in (self.loggedOutInVain, self.outOfReach):
                    await self.isFound(check, kind, processes=2)
        self.patch(Asking, "logout", lambda self: self.getSession().logout(self))
        for kind in SHARED:
            await self.isFound(self.outOfReach, kind)
