"""
A guard by whole requests, in two sites on a store of each kind, each with a realm of its
own as processes have them.
"""

from __future__ import annotations

from urllib.parse import urlencode

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal

from tests.auth.guarding import Realm, fieldsOf
from tests.web.forms import FORM
from tests.web.stored import StoredCase, inEveryStore
from txsessions.auth import SessionGuard

HOUR = 3600


class GuardTests(StoredCase):
    """
    Somebody who fills in the form.
    """

    def serve(self, **how):
        """
        Serve a guard, at C{/of}.
        """
        checker = InMemoryUsernamePasswordDatabaseDontUse(ann=b"sesame", bob=b"hunter2")
        realm = Realm()
        guard = SessionGuard(Portal(realm, [checker]), remember=10 * HOUR)
        root = self.root
        self.root = type(root)()
        self.root.children = {**root.children, b"of": guard}
        site = super().serve(**how)
        self.root = root
        site.realm = realm
        return site

    async def ask(self, client, path, site, fields=None):
        """
        Ask for a page, or send a form, with the cookies of a browser.
        """
        other = self.client(site)
        other.jar = client.jar
        if fields is None:
            return await self.fetch(other, path)
        body = urlencode(fields).encode("ascii")
        return await self.fetch(other, path, method="POST", headers=(FORM,), body=body)

    async def enter(self, client, site, password="sesame", **more):
        """
        Fill in the login page of one site, to which one is led.
        """
        led = (await self.ask(client, "/of/a", site)).get("location")
        fields = fieldsOf(await self.ask(client, led, site))
        fields.pop("remember", None)
        fields.update(username="ann", password=password, **more)
        return await self.ask(client, "/of/login", site, fields)

    async def served(self, client, *sites):
        """
        What the sites serve at C{/of/a}: text, or the status that leads elsewhere.
        """
        answers = [await self.ask(client, "/of/a", site) for site in sites]
        return [a.body if a.code == 200 else a.code for a in answers]

    async def test_whole(self):
        """
        Who signs in in one site is served in both, by each realm's own avatar and under
        another id than before; who signs out in the other is signed out in both, for
        good, whoever has his id.
        """
        both = self.site, self.there
        client = await self.visitor()
        self.assertEqual(await self.served(client, *both), [303, 303])
        planted = self.client(like=client)
        answer = await self.enter(client, self.there, "wrong")
        self.assertEqual(answer.code, 403)
        answer = await self.enter(client, self.there)
        self.assertEqual((answer.code, answer.get("location")), (303, "/of/a"))
        self.assertTrue(answer.sets)
        for _ in range(2):
            self.assertEqual(await self.served(client, *both), [b"ann at of/a"] * 2)
        self.assertEqual(await self.who(planted), ["nobody"])
        self.assertEqual([site.realm.asked for site in both], [[b"ann"]] * 2)
        thief = self.client(like=client)
        fields = fieldsOf(await self.ask(client, "/of/logout", self.there))
        answer = await self.ask(client, "/of/logout", self.site, fields)
        self.assertTrue(answer.deletes)
        self.assertEqual(await self.served(thief, *both), [303, 303])
        self.assertEqual(await self.who(thief), ["nobody"])
        self.assertEqual([site.realm.left for site in both], [[b"ann"]] * 2)

    async def test_restart(self):
        """
        Who wants to be remembered is, over a restart and the limits of others, and no
        longer than was said; nobody brings a password for that.
        """
        ann, other = self.client(), self.client()
        answer = await self.enter(ann, self.site, remember="yes")
        self.assertEqual(answer.cookie.attributes["Max-Age"], str(10 * HOUR))
        await self.enter(other, self.site)
        self.clock.advance(9 * HOUR)
        again = self.serve()
        for site in (again, self.there):
            self.assertEqual(await self.served(ann, site), [b"ann at of/a"])
            self.assertEqual(await self.served(other, site), [303])
            self.assertEqual(site.realm.asked, [b"ann"])
        self.clock.advance(HOUR)
        found = await self.served(ann, self.site, self.there, again)
        self.assertEqual(found, [303] * 3)

    async def test_ended(self):
        """
        Whose sessions were all ended is served by no site, and signs in anew.
        """
        both = self.site, self.there
        clients = [self.client(), self.client()]
        for client, site in zip(clients, both, strict=True):
            await self.enter(client, site)
            self.assertEqual(await self.served(client, *both), [b"ann at of/a"] * 2)
        self.assertEqual(await self.site.endPrincipal("ann"), 2)
        for client in clients:
            self.assertEqual(await self.served(client, *both), [303, 303])
        await self.enter(clients[0], self.there)
        self.assertEqual(await self.served(clients[0], *both), [b"ann at of/a"] * 2)


inEveryStore(GuardTests, globals())
del GuardTests
