"""
ASVS 7.4.5: administrators can end the sessions of one user, or those of all.

Of one: C{site.endPrincipal(user)}.  Of all who are signed in: C{site.endEverybody()}, in one
step of the store and in all processes at once.  Where a key has become known, it is
changed and revoked, C{python -m txsessions.keys revoke KEY --end-sessions}, and each
process is restarted; no record under it is opened any more, wherever a copy of it may be,
visitors' neither.
"""

from __future__ import annotations

import io
import re

from twisted.internet.defer import succeed

from tests.asvs import test_v7_4_2
from tests.asvs.world import KINDS, SHARED, AuditCase
from tests.slowstore import SlowStore
from txsessions import Site
from txsessions.core import keysteps
from txsessions.core.keyfile import createKeyFile
from txsessions.keys import main


class ForgetfulStore(SlowStore):
    """
    Counts nothing up: it forgets epochs.
    """

    def endEverybody(self, prefix):
        """
        See L{ISessionStore.endEverybody}.
        """
        return succeed(None)


class HereSite(Site):
    """
    Ends only what is in this process's memory.
    """

    async def endEverybody(self):
        """
        See L{Site.endEverybody}.
        """
        for session in list(self.sessions.values()):
            if session.principal is not None:
                await session.expire()


class RoughSite(Site):
    """
    Ends those of visitors, too.
    """

    async def endEverybody(self):
        """
        See L{Site.endEverybody}.
        """
        for session in list(self.sessions.values()):
            await session.expire()
        await super().endEverybody()


class DeafSite(test_v7_4_2.DeafSite):
    """
    Does nothing of it.
    """

    def endEverybody(self):
        """
        See L{Site.endEverybody}.
        """
        return succeed(None)


class EverybodyTests(AuditCase):
    """
    An administrator at work.
    """

    async def one(self, world):
        """
        One user's sessions end, and no other's.
        """
        anns = [await world.signedIn() for _ in range(3)]
        bob, admin = await world.signedIn("bob"), await world.signedIn("root")
        await admin.get("/close?who=ann", len(world.sites) - 1)
        who = [await each.who() for each in (*anns, bob)]
        self.assertEqual(who, ["nobody"] * 3 + ["bob"])

    async def everybody(self, world):
        """
        All who are signed in are out, the administrator too, wherever they are in memory
        and whatever requests are under way; visitors go on, and whoever signs in
        afterwards is in.
        """
        last = len(world.sites) - 1
        names = ("ann", "bob", "root")
        browsers = [await world.signedIn(who, n) for who in names for n in (0, last)]
        visitor = world.browser()
        await visitor.get("/count")
        for browser, who in zip(browsers[::2], names, strict=True):
            self.assertEqual(await browser.who(), who)
        running = browsers[0].send("/wait", last)
        await world.until(lambda: world.waiting)
        answer = await browsers[-1].get("/closeall")
        self.assertEqual((answer.body, answer.sets), (b"all ended", False))
        request, session = world.waiting.pop()
        session.sessionNamespaces["late"] = 1
        request.finish()
        self.assertFalse((await world.answer(running)).sets)
        late = await world.signedIn("carl", last)
        for _ in range(2):
            for browser in browsers:
                self.assertTrue(await browser.isNobody())
            self.assertEqual(await late.who(), "carl")
            if world.kind in SHARED:
                await world.restart()
        self.assertEqual((await visitor.get("/count")).body, b"count 2")

    def keys(self, *arguments):
        """
        Run C{python -m txsessions.keys}.

        @return: What it says.
        """
        said = io.StringIO()
        self.assertEqual(main([arguments[0], self.path, *arguments[1:]], said), 0)
        return said.getvalue()

    async def revoked(self, world):
        """
        All sessions under a key end, and whoever signs in again is in.
        """
        browsers = [await world.signedIn(who) for who in ("ann", "bob")]
        visitor = world.browser()
        await visitor.get("/count")
        old = re.search(r"\b([0-9a-f]{16})\b", self.keys("show"))[1]
        self.keys("add")
        await world.restart()
        self.keys("promote")
        await world.restart()
        late = await world.signedIn("carl")
        for browser, who in zip([*browsers, late], ("ann", "bob", "carl"), strict=True):
            self.assertEqual(await browser.who(), who)
        self.keys("revoke", old, "--end-sessions")
        await world.restart()
        for browser in (*browsers, visitor):
            self.assertTrue(await browser.isNobody())
        self.assertEqual(await late.who(), "carl")
        again = await world.signedIn()
        self.assertEqual(await again.who(), "ann")

    def keyFile(self):
        """
        Make a key file.

        @return: Its path.
        """
        self.path = self.mktemp()
        createKeyFile(self.path)
        return self.path

    async def test_one(self):
        """
        One.
        """
        await self.holds(self.one)
        await self.holds(self.one, SHARED, processes=2)

    async def test_everybody(self):
        """
        All, in one process and in two.
        """
        await self.holds(self.everybody)
        await self.holds(self.everybody, SHARED, processes=2)

    async def test_revoked(self):
        """
        All under a key.
        """
        for kind in SHARED:
            await self.holds(self.revoked, [kind], keys=self.keyFile())
            keys = self.keyFile()
            await self.holds(self.revoked, [kind], processes=2, keys=keys)

    async def test_fault(self):
        """
        The checks find a store that forgets, a site that ends nothing, or only what it
        has in memory, or also what is nobody's, and a key that is said to be revoked and
        still opens.
        """
        for kind in KINDS:
            for check in (self.one, self.everybody):
                await self.isFound(check, kind, factory=DeafSite)
            await self.isFound(self.everybody, kind, factory=RoughSite)
        self.patch(keysteps, "revoke", lambda text, *_: text)
        for kind in SHARED:
            await self.isFound(self.everybody, kind, plant=ForgetfulStore)
            for fault in ({"plant": ForgetfulStore}, {"factory": HereSite}):
                await self.isFound(self.everybody, kind, processes=2, **fault)
            await self.isFound(self.revoked, kind, keys=self.keyFile())
