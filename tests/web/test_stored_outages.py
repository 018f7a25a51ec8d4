"""
Logouts while the store is away, by whole requests in two sites on a store of each kind:
engines that are shut down and begun again, and a database that is not where it was.
"""

from __future__ import annotations

import functools
import os
import shutil

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred, succeed
from twisted.internet.task import deferLater

from tests.stores import postgres_servers, valkeys
from tests.web.leaving import leave
from tests.web.pages import OUTAGE
from tests.web.stored import (
    InMemory,
    InPostgreSQL,
    InSQLite,
    InValkey,
    StoredCase,
    inEveryStore,
)
from txsessions.live.rotating import Rotated
from txsessions.live.tombstones import FIRST_RETRY, Tombstones

LOOKS, PAUSE = 300, 0.05
"""How often it is looked whether a store is back, and how many seconds lie between."""


class MemoryAway(InMemory):
    """
    A store in memory that says that it is out of order.
    """

    _down = None

    def __init__(self, case):
        super().__init__(case)
        self._opened = []

    def open(self):
        """
        See L{InMemory.open}.
        """
        store = super().open()
        # It is that of the other process too.
        store.close = lambda: succeed(None)
        store.down = self._down
        self._opened.append(store)
        return store

    def goAway(self):
        """
        Begin the outage.
        """
        self.comeBack(OUTAGE)

    def comeBack(self, down=None):
        """
        End it.
        """
        self._down = down
        for store in self._opened:
            store.down = down


class SQLiteAway(InSQLite):
    """
    A database in whose place there is another one.
    """

    def __init__(self, case):
        super().__init__(case)
        self._opened = []

    def open(self):
        """
        See L{InSQLite.open}.
        """
        store = super().open()
        self._opened.append(store)
        return store

    def goAway(self):
        """
        Begin the outage.
        """
        os.rename(self._path, f"{self._path}.away")
        shutil.copyfile(f"{self._path}.away", self._path)
        self._pass()

    def comeBack(self):
        """
        End it.
        """
        os.replace(f"{self._path}.away", self._path)
        self._pass()

    def _pass(self):
        """
        Let the second pass in which the file is not looked at again.
        """
        for store in self._opened:
            store._lookAgainAt = 0.0


class ValkeyAway(InValkey):
    """
    A Valkey server that is killed, and reads its log when it begins again.
    """

    def __init__(self, case):
        options = "--appendonly", "yes", "--appendfsync", "always"
        server = valkeys.Server(*options)
        case.addCleanup(server.stop)
        super().__init__(case, server)

    def goAway(self):
        """
        Begin the outage.
        """
        self._server.kill()

    def comeBack(self):
        """
        End it.
        """
        self._server.start()


@functools.cache
def _postgres():
    """
    A server that no other tests have: it is shut down.
    """
    return postgres_servers.Server()


class PostgreSQLAway(InPostgreSQL):
    """
    A PostgreSQL server that is shut down at once, and recovers.
    """

    def __init__(self, case):
        super().__init__(case, _postgres())

    def goAway(self):
        """
        Begin the outage.
        """
        self._server.halt()

    def comeBack(self):
        """
        End it.
        """
        self._server.start()


class AwayCase(StoredCase):
    """
    Two sites on a store that can go away.
    """

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        self.page("leave", leave)
        self.isAway = False
        self.addCleanup(self.back)

    async def away(self):
        """
        The outage begins.
        """
        await self.there._live.lifecycle.whenOpen()
        # What is told at once when a connection is made again, is told by the timer here,
        # as with stores that have none.
        self.patch(self.there._live.tombstones, "storeConnected", lambda: None)
        self.isAway = True
        self.place.goAway()

    def back(self):
        """
        It is over.
        """
        if self.isAway:
            self.isAway = False
            self.place.comeBack()

    async def leaves(self, client):
        """
        Somebody signs out on the other site, and is told that this is not certain.
        """
        other = self.client(self.there, like=client)
        answer = await self.fetch(other, "/leave?clear=cache")
        self.assertEqual((answer.code, answer.deletes), (503, True))
        self.assertEqual(answer.get("clear-site-data"), '"cache"')
        self.assertEqual(other.sent(), [])

    async def told(self, client, site, path="/look"):
        """
        What a browser is told, once a site can say so.
        """
        for _ in range(LOOKS):
            answer = await self.fetch(self.client(site, like=client), path)
            if answer.code == 200:
                break
            await deferLater(reactor, PAUSE, lambda: None)
        self.assertEqual((answer.code, answer.sets), (200, False))
        return answer.body

    async def carriedOut(self):
        """
        Wait until the store has heard of all.
        """
        stones = self.there._live.tombstones
        for _ in range(LOOKS):
            if not len(stones):
                break
            self.clock.advance(FIRST_RETRY / 5)
            await deferLater(reactor, PAUSE, lambda: None)
        self.assertEqual(len(stones), 0)


class OutageTests(AwayCase):
    """
    A logout in a process that does not have the session in memory.
    """

    async def begun(self):
        """
        Somebody has signed in on one site, and signs out on the other, which never had
        the session, while the store is away.

        @return: A browser that has the cookies of before.
        """
        client = await self.visitor("/count", "/in", site=self.site)
        thief = self.client(like=client)
        await self.away()
        await self.leaves(client)
        return thief

    async def final(self):
        """
        The id is dead in that process at once, though the store has not heard of it; in
        the other when it has, and for good.
        """
        thief = await self.begun()
        self.back()
        self.assertEqual(await self.told(thief, self.site), b"ann 1 1")
        self.assertEqual(await self.told(thief, self.there), b"nobody 0 0")
        await self.carriedOut()
        self.assertEqual(await self.who(thief), ["nobody"])
        self.assertEqual(await self.handles(), [])

    async def atTheEnd(self):
        """
        A process that ends before it has tried again tells the store at its end.
        """
        other = await self.visitor("/in?who=bob")
        thief = await self.begun()
        self.back()
        self.assertEqual(await self.told(thief, self.site), b"ann 1 1")
        # Until it is seen that the store is back all calls fail at once.
        await self.told(other, self.there, "/count")
        await self.stop(self.there)
        self.assertEqual(await self.told(thief, self.site), b"nobody 0 0")

    async def isFound(self, check):
        """
        The check finds that somebody is still signed in.
        """
        done = ensureDeferred(check())
        error = await self.assertFailure(done, self.failureException)
        self.assertIn("ann 1 1", str(error))

    async def test_meanwhile(self):
        """
        While the store is away, that process knows that the id is dead, and of another
        nothing.
        """
        other = await self.visitor("/in?who=bob")
        thief = await self.begun()
        self.assertEqual(await self.told(thief, self.there), b"nobody 0 0")
        answer = await self.fetch(self.client(self.there, like=other), "/look")
        self.assertEqual((answer.code, answer.cookie), (503, None))

    async def test_final(self):
        """
        It is final in every process.
        """
        await self.final()

    async def test_atTheEnd(self):
        """
        A clean end is soon enough.
        """
        await self.atTheEnd()

    async def test_faultForgets(self):
        """
        A process that forgets what the store did not hear is found.
        """
        self.patch(Tombstones, "refuse", lambda *_, **__: None)
        self.patch(Rotated, "noteEnd", lambda *_: None)
        await self.isFound(self.final)

    async def test_faultNeverTells(self):
        """
        So is one that does not tell the store at its end.
        """
        self.patch(Tombstones, "__iter__", lambda *_: iter(()))
        await self.isFound(self.atTheEnd)


class BeginningTests(AwayCase):
    """
    A process that begins while the store is away.
    """

    async def test_begins(self):
        """
        It keeps the logout in mind until it can open the store.
        """
        client = await self.visitor("/in")
        thief = self.client(like=client)
        await self.away()
        self.there = self.serve()
        await self.leaves(client)
        self.back()
        self.assertEqual(await self.told(thief, self.site), b"ann 1 0")
        await self.carriedOut()
        self.assertEqual(await self.who(thief), ["nobody"])


AWAY = {
    "Memory": MemoryAway,
    "SQLite": SQLiteAway,
    "Valkey": ValkeyAway,
    "PostgreSQL": PostgreSQLAway,
}
"""The kinds of stores that can go away."""

inEveryStore(OutageTests, globals(), AWAY)
# To a process that begins then, a database in the place of another is a database.
inEveryStore(BeginningTests, globals(), {n: AWAY[n] for n in AWAY if n != "SQLite"})
del OutageTests, BeginningTests
