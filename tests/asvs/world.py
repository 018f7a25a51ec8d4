"""
The world in which the items are looked at: a store, one or two sites on it that are to
each other as two processes are, and browsers.

Owns the making and the ending of it, and the passing of time.  Nothing takes time but
SQLite, whose answers are waited for.
"""

from __future__ import annotations

import os

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests._serving import makeFolder
from tests.asvs import http2
from tests.asvs.application import Application
from tests.slowstore import SlowStore
from tests.web import rfc6265
from tests.web.browsing import NOW, Client
from tests.web.durable import until
from txsessions import Site, openStore
from txsessions.core.keyring import KeyRing
from txsessions.stores.memory import MemoryStore

SHARED = ("memory", "sqlite")
"""The stores, in this process's memory and in a file."""

KINDS = ("nowhere", *SHARED)
"""The same, and no store at all."""

NOBODYS = b"nobody's" * 4
"""A key under which nothing is stored.  To delete that waits for earlier writes."""


class Browser:
    """
    A browser: cookies, and a connection for each request.

    @ivar jar: Its cookies.
    @ivar how: How it speaks.
    @ivar http2: Whether by HTTP/2.
    """

    def __init__(self, world, *, secure=True, http2=False, behindProxy=False):
        """
        @param world: Where it is.
        """
        self.world = world
        self.how = {"secure": secure, "behindProxy": behindProxy}
        self.http2 = http2
        self.jar = rfc6265.Browser(now=NOW)

    @property
    def cookie(self):
        """
        The session cookie's value, or L{None}.
        """
        found = [each.value for each in self.jar.cookies.values()]
        return found[0] if found else None

    def twin(self):
        """
        Another one that has the cookies which this one has now: a thief's.
        """
        other = Browser(self.world, http2=self.http2, **self.how)
        other.jar.cookies.update(self.jar.cookies)
        return other

    def send(self, path, process=0, **how):
        """
        Send a request.

        @param process: The number of the site that gets it.
        @return: The client, for L{World.answer}.
        """
        self.jar.now = self.world.clock.seconds()
        site = self.world.sites[process]
        client = Client(self.world, jar=self.jar, site=site, **self.how)
        self.world.clients.append(client)
        client.send(path, **how)
        return client

    async def get(self, path, process=0, **how):
        """
        Send a request and wait for the answer.
        """
        if self.http2:
            return await http2.fetch(self, path, self.world.sites[process])
        return await self.world.answer(self.send(path, process, **how))

    async def told(self, process=0):
        """
        What the site says of the session: who is signed in, how sure that is, and what
        was counted.
        """
        return (await self.get("/look", process)).body.decode("ascii")

    async def who(self):
        """
        Who is signed in, as all sites say.
        """
        said = [await self.told(number) for number in range(len(self.world.sites))]
        names = {each.split()[0] for each in said}
        self.world.case.assertEqual(len(names), 1, said)
        return names.pop()

    async def isNobody(self):
        """
        Whether no site has a session for it.
        """
        said = [await self.told(number) for number in range(len(self.world.sites))]
        return set(said) == {"nobody 0 0"}


class World:
    """
    A store, sites on it, and a clock.

    @ivar clock: The time of all sites.
    @ivar root: The pages that they serve.
    @ivar sites: They, each as in a process of its own.
    @ivar stores: Their stores, which do as they are told.
    @ivar answers: All that was answered.
    """

    def __init__(
        self, case, kind, *, processes=1, factory=Site, plant=SlowStore, **how
    ):
        """
        @param case: The test, after which this ends.
        @param kind: One of L{KINDS}.
        @param factory: Makes the sites.
        @param plant: Is put around each store.
        @param how: What else the sites are given.
        """
        self.case = case
        self.kind = kind
        self.clock = Clock()
        self.clock.advance(NOW)
        self.root = how.pop("root", None) or Application()
        self.folder = makeFolder(case)
        self.answers, self.clients = [], []
        self._inner = MemoryStore()
        self._factory, self._plant, self._how = factory, plant, how
        self._keys = KeyRing.random(os.urandom)
        self.sites, self.stores = [], []
        for _ in range(processes):
            self.begin(shared=processes > 1)
        case.addCleanup(self.end)

    def begin(self, *, shared=False):
        """
        Begin one more process.
        """
        how = dict(self._how)
        if self.kind != "nowhere":
            inner = self._inner
            if self.kind == "sqlite":
                path = self.folder / "sessions.sqlite"
                inner = openStore(f"sqlite:{path}", reactor=reactor)
            store = self._plant(inner)
            # SQLite itself tells that others have changed something.
            store.sharedWithOthers = shared and self.kind == "memory"
            self.stores.append(store)
            how.setdefault("keys", self._keys)
            how["store"] = store
        site = self._factory(self.root, reactor=self.clock, **how)
        site.startFactory()
        self.sites.append(site)
        return site

    async def restart(self):
        """
        End all processes, and begin as many anew on what is stored.
        """
        count = len(self.sites)
        await self.end()
        for _ in range(count):
            self.begin(shared=count > 1)

    async def end(self):
        """
        End all processes.
        """
        sites, self.sites, self.stores = self.sites, [], []
        for client in self.clients:
            client.leave()
        for site in sites:
            site.stopFactory()
            await site.closed()

    @property
    def site(self):
        """
        The first site.
        """
        return self.sites[0]

    @property
    def waiting(self):
        """
        The requests that wait.
        """
        return self.root.waiting

    def browser(self, **how):
        """
        A browser that has been nowhere.
        """
        return Browser(self, **how)

    async def signedIn(self, who="ann", process=0, **how):
        """
        A browser on which somebody has signed in.
        """
        browser = self.browser(**how)
        await browser.get(f"/in?who={who}", process)
        return browser

    async def answer(self, client):
        """
        Wait for the answer to a request.
        """
        await self.until(lambda: not client.silent)
        try:
            return client.answer()
        except rfc6265.NotClean as error:
            return self.case.fail(f"a browser takes no such cookie: {error}")
        finally:
            client.leave()

    def check(self, answer):
        """
        Note an answer.
        """
        self.answers.append(answer)

    async def until(self, condition):
        """
        Wait for the database.
        """
        await until(self.case, self.clock, condition)

    async def goBy(self, seconds):
        """
        Let time pass, once the stores have written what nobody waits for.
        """
        await self.written()
        self.clock.advance(seconds)
        await self.written()

    async def written(self):
        """
        Wait until the stores have written all that they were given.
        """
        for site, store in zip(self.sites, self.stores, strict=False):
            await site._live.lifecycle.whenOpen()
            await store.inner.delete(NOBODYS)

    async def stored(self):
        """
        How many sessions are kept.
        """
        if self.kind == "nowhere":
            return len(self.site.sessions)
        return await self.stores[0].inner.countSessions(self.clock.seconds())


class AuditCase(TestCase):
    """
    Checks that are run in a world as it should be, and in one with a fault.
    """

    timeout = 60

    def world(self, kind="memory", **how):
        """
        Make a world; see L{World}.
        """
        return World(self, kind, **how)

    async def holds(self, check, kinds=KINDS, **how):
        """
        Run a check in worlds of each kind.

        @param check: A coroutine function that takes a world.
        """
        for kind in kinds:
            world = self.world(kind, **how)
            await check(world)
            await world.end()

    async def isFound(self, check, kind="memory", **how):
        """
        Run a check where there is a fault, which it has to find.
        """
        done = ensureDeferred(check(self.world(kind, **how)))
        await self.assertFailure(done, self.failureException)


__all__ = ["KINDS", "SHARED", "AuditCase", "Browser", "World"]
