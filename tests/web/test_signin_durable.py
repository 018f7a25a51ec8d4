"""
Signing in on a database: across a restart, and in two sites that share it.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.browsing import NOW, Client
from tests.web.durable import DurableCase
from tests.web.pages import Page, count
from tests.web.signing import look, signIn, signOut
from txsessions import Site, openStore
from txsessions.errors import SessionGone


class DurableSignInTests(DurableCase):
    """
    A site with a sign-in, on a database.
    """

    def setUp(self):
        """
        Make the pages.
        """
        super().setUp()
        self.waiting = []
        self.root = Resource()
        self.root.putChild(b"count", Page(count))
        self.root.putChild(b"look", Page(look))
        self.root.putChild(b"in", Page(signIn))
        self.root.putChild(b"out", Page(signOut))
        self.root.putChild(b"wait", Page(self.wait))
        self.begin(self.root)
        self.there = Site(
            self.root,
            reactor=self.clock,
            store=openStore(f"sqlite:{self.database}", reactor=reactor),
        )
        self.there.startFactory()
        self.addCleanup(self.endThere)

    async def endThere(self):
        """
        End the other site.
        """
        self.there.stopFactory()
        await self.there.closed()

    def wait(self, request):
        """
        A page that answers when the test does.
        """
        self.waiting.append((request, request.getSession()))
        return NOT_DONE_YET

    def another(self, client, site):
        """
        A client with the cookies that another has now.
        """
        other = Client(self, site=site)
        other.jar.cookies.update(client.jar.cookies)
        self.clients.append(other)
        return other

    async def told(self, client, path="/look", site=None):
        """
        What a client is told, in one of the two sites.
        """
        other = Client(self, jar=client.jar, site=site or self.site)
        self.clients.append(other)
        return (await self.fetch(other, path)).body

    async def test_everywhere(self):
        """
        Who signs in is known in both sites at once, the old id is dead in both, and
        so it is with who signs out.
        """
        client = self.visitor()
        self.assertEqual(await self.told(client, "/count", self.there), b"count 1")
        for path, told in (
            ("/in", b"ann 1 1"),
            ("/in?level=2", b"ann 2 1"),
            ("/in?who=bob", b"bob 1 0"),
            ("/out", b"nobody 0 0"),
        ):
            old = self.another(client, self.site)
            await self.told(client, path)
            for site in (self.there, self.site):
                self.assertEqual(await self.told(client, site=site), told)
                late = self.another(old, site)
                answer = await self.fetch(late, "/look")
                self.assertEqual(answer.body, b"nobody 0 0")
                self.assertFalse(answer.sets)

    async def test_restart(self):
        """
        It outlives the process, with the lifetime that began at the sign-in.
        """
        client = self.visitor()
        await self.told(client, "/count")
        await self.told(client, "/in?level=2")
        await self.end()
        self.clock = Clock()
        self.clock.advance(NOW + 500)
        self.begin(self.root)
        self.assertEqual(await self.told(client), b"ann 2 1")
        session = next(iter(self.site.sessions.values()))
        self.assertEqual(session.authenticatedAt, NOW)
        session.requireFresh(501, level=2)

    async def both(self, client):
        """
        Send a form twice, and wait until both have come.
        """
        found = []
        for site in (self.site, self.there):
            twin = self.another(client, site)
            twin.send("/wait")
            await self.until(lambda: self.waiting)
            found.append((twin, *self.waiting.pop()))
        return found

    async def test_twice(self):
        """
        A form that is sent twice, to both sites: each answer has a good cookie.
        """
        client = self.visitor()
        await self.told(client, "/count")
        both = await self.both(client)
        for _, request, session in both:
            session.login(request, "ann")
            request.finish()
        found = []
        for twin, *_ in both:
            await self.until(lambda twin=twin: not twin.silent)
            self.assertTrue(twin.answer().sets)
            found += [await self.told(twin, site=s) for s in (self.site, self.there)]
        self.assertEqual(sorted(found), [b"ann 1 0"] * 2 + [b"ann 1 1"] * 2)

    async def test_secondFactor(self):
        """
        A second factor that is sent twice, to both sites: one has it, and the other
        is told that its session is gone.
        """
        client = self.visitor()
        await self.told(client, "/in")
        outcomes = []
        both = await self.both(client)
        for _, request, session in both:
            done = session.login(request, "ann", level=2)
            done.addBoth(outcomes.append)
            request.finish()
        await self.until(lambda: len(outcomes) == 2)
        failed = [one for one in outcomes if one is not None]
        self.assertEqual([one.check(SessionGone) for one in failed], [SessionGone])
        sets = []
        for twin, *_ in both:
            await self.until(lambda twin=twin: not twin.silent)
            sets.append(twin.answer().sets)
        self.assertEqual(sorted(sets), [False, True])
