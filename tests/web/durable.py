"""
Whole requests through a channel in memory, to a site on a SQLite database.

Owns the site's life: it can be ended and begun again on the same database.  Time
stands still unless a test lets it pass; only the database does its work in real
time.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from tests._serving import makeFolder
from tests.web.oracle import NOW, Client
from txsessions import Site, openStore

PATIENCE = 5000
"""How often a test looks, once a millisecond, for what it waits for."""


async def until(case, clock, condition):
    """
    Wait for what a database will bring about.

    @param case: The test, which fails if it does not.
    @param clock: Its clock, which stands still meanwhile.
    """
    for _ in range(PATIENCE):
        if condition():
            return
        clock.advance(0)
        await deferLater(reactor, 0.001, lambda: None)
    case.fail("waited in vain")


class DurableCase(TestCase):
    """
    A site on a database.

    @ivar folder: Where the database is.
    @ivar clock: The site's reactor.
    @ivar site: The site.
    @ivar clients: All clients that have been.
    """

    def setUp(self):
        """
        Make the folder.
        """
        self.folder = makeFolder(self)
        self.clock = Clock()
        self.clock.advance(NOW)
        self.site = None
        self.clients = []

    @property
    def database(self):
        """
        Where the database is.
        """
        return self.folder / "sessions.sqlite"

    def begin(self, root, factory=Site, **how):
        """
        Serve.

        @return: The site.
        """
        store = openStore(f"sqlite:{self.database}", reactor=reactor)
        self.site = factory(root, reactor=self.clock, store=store, **how)
        self.prepare(self.site)
        self.site.startFactory()
        self.addCleanup(self.end)
        return self.site

    def prepare(self, site):
        """
        Called with each site before it serves.
        """

    async def end(self):
        """
        End the site: nothing of it stays in memory.
        """
        site, self.site = self.site, None
        if site is not None:
            for client in self.clients:
                client.leave()
            site.stopFactory()
            await site.closed()

    def visitor(self, before=None):
        """
        Connect a client.

        @param before: The one whose cookies it has.
        """
        jar = None if before is None else before.jar
        client = Client(self, jar=jar)
        self.clients.append(client)
        return client

    async def until(self, condition):
        """
        Wait for the database.
        """
        await until(self, self.clock, condition)

    async def fetch(self, client, path="/", **how):
        """
        Send a request and read the answer.
        """
        client.send(path, **how)
        await self.until(lambda: not client.silent)
        return client.answer()

    def check(self, answer):
        """
        Called with each answer.
        """
