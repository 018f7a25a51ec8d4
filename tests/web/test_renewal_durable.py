"""
New ids in time on each engine that processes can share: across a restart, and in two
sites.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.web.resource import Resource

from tests.live.sites import Listener
from tests.races.engines import start
from tests.web.browsing import Client
from tests.web.durable import DurableCase
from tests.web.pages import Page, count
from tests.web.renewing import GRACE, INTERVAL, RULE
from tests.web.signing import look, signIn, signOut
from txsessions import Site, openStore
from txsessions.live.events import EventKind
from txsessions.stores import _postgresql_clock, _redis_clock


def mark(request):
    """
    A page that leaves something of its own, and says what all have left.
    """
    left = request.getSession().sessionNamespaces
    for name in request.args.get(b"name", []):
        left[name.decode()] = True
    return b" ".join(sorted(name.encode() for name in left))


class RenewalOnEngines:
    """
    Two sites on one store.

    @cvar kind: Which of L{tests.races.engines.ENGINES}.
    """

    kind = ""

    def setUp(self):
        """
        Make the pages, and begin to serve.
        """
        super().setUp()
        # Time leaps here, and the server's does not.
        self.patch(_redis_clock, "TOLERANCE", 1e6)
        self.patch(_postgresql_clock, "TOLERANCE", 10**12)
        self.place = start(self, self.kind)
        self.heard = Listener()
        self.root = Resource()
        for name, render in ((b"count", count), (b"look", look), (b"in", signIn)):
            self.root.putChild(name, Page(render))
        self.root.putChild(b"out", Page(signOut))
        self.root.putChild(b"mark", Page(mark))
        self.begin()
        self.there = self.serve()
        self.addCleanup(self.endThere)

    def serve(self):
        """
        Have one more site.
        """
        store = openStore(self.place.address, reactor=reactor)
        site = Site(
            self.root,
            reactor=self.clock,
            store=store,
            keys=self.place.keys,
            timeout=None,
        )
        site.renewal = RULE
        site.addSessionListener(self.heard)
        site.startFactory()
        return site

    def begin(self):
        """
        Begin to serve.
        """
        self.site = self.serve()
        self.addCleanup(self.end)

    async def endThere(self):
        """
        End the other site.
        """
        self.there.stopFactory()
        await self.there.closed()

    def twin(self, client, site=None):
        """
        A client with the cookies that another has now.
        """
        other = Client(self, site=site or self.site)
        other.jar.cookies.update(client.jar.cookies)
        self.clients.append(other)
        return other

    def replays(self):
        """
        How many were told.
        """
        return [e.kind for e in self.heard.events].count(EventKind.REPLAYED)

    async def due(self, path="/count"):
        """
        A client whose id has had its time.
        """
        client = self.visitor()
        await self.fetch(client, path)
        self.clock.advance(INTERVAL)
        return client

    async def test_allAtOnce(self):
        """
        Of many requests that are sent at once, to both sites, each is answered with
        the session and with the same new id, and no change is lost.
        """
        client = await self.due("/mark?name=first")
        sites = (self.site, self.there) * 3
        clients = [self.twin(client, site) for site in sites]
        for number, each in enumerate(clients):
            each.send(f"/mark?name={number}")
        await self.until(lambda: not any(each.silent for each in clients))
        answers = [each.answer() for each in clients]
        self.assertEqual({answer.code for answer in answers}, {200})
        self.assertEqual(len({answer.cookie.value for answer in answers}), 1)
        for site in (self.site, self.there):
            found = await self.fetch(self.twin(clients[0], site), "/mark")
            self.assertEqual(found.body, b"0 1 2 3 4 5 first")
        self.assertEqual(self.replays(), 0)

    async def test_confirmed(self):
        """
        When the client has the new id the old one reads in both sites, and then its
        use is told; a restart changes nothing of that.
        """
        client = await self.due("/in")
        old = [self.twin(client, site) for site in (self.site, self.there)]
        self.assertTrue((await self.fetch(client, "/look")).sets)
        self.assertFalse((await self.fetch(client, "/look")).sets)
        for each in old:
            answer = await self.fetch(each, "/look")
            self.assertEqual((answer.body, answer.cookie), (b"ann 1 0", None))
            self.assertEqual((await self.fetch(each, "/count")).code, 307)
        await self.end()
        self.begin()
        late = self.twin(old[0])
        self.assertEqual((await self.fetch(late, "/look")).body, b"ann 1 0")
        self.clock.advance(GRACE)
        self.assertEqual((await self.fetch(late, "/look")).body, b"nobody 0 0")
        self.assertEqual(self.replays(), 1)
        again = self.twin(client)
        self.assertEqual((await self.fetch(again, "/look")).body, b"ann 1 0")

    async def test_lost(self):
        """
        Where the site ends before the client has its answer, the old id leads on in
        the next one.
        """
        client = await self.due("/in")
        old = self.twin(client)
        old.send("/look")
        old.leave()
        await self.end()
        self.begin()
        for site in (self.site, self.there):
            answer = await self.fetch(self.twin(client, site), "/look")
            self.assertEqual((answer.body, answer.sets), (b"ann 1 0", True))

    async def test_logout(self):
        """
        A logout by the old id ends the session in both.
        """
        client = await self.due("/in")
        old = self.twin(client, self.there)
        self.assertTrue((await self.fetch(client, "/look")).sets)
        await self.fetch(client, "/look")
        self.assertTrue((await self.fetch(old, "/out")).deletes)
        self.assertEqual((await self.fetch(client, "/look")).body, b"nobody 0 0")


class SQLiteTests(RenewalOnEngines, DurableCase):
    """
    A database file.
    """

    kind = "sqlite-normal"


class RedisTests(RenewalOnEngines, DurableCase):
    """
    Valkey.
    """

    kind = "redis"


class PostgreSQLTests(RenewalOnEngines, DurableCase):
    """
    PostgreSQL.
    """

    kind = "postgresql"
