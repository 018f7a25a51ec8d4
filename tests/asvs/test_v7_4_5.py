"""
ASVS 7.4.5: administrators can end the sessions of one user, or those of all.

Of one: C{site.endPrincipal(user)}.  Of all: the key that seals the records is changed and
revoked, C{python -m txsessions.keys revoke KEY --end-sessions}, and each process is
restarted; no record under it is opened any more, wherever a copy of it may be.
"""

from __future__ import annotations

import io
import re

from tests.asvs.test_v7_4_2 import DeafSite
from tests.asvs.world import SHARED, AuditCase
from txsessions.core import keysteps
from txsessions.core.keyfile import createKeyFile
from txsessions.keys import main


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

    def keys(self, *arguments):
        """
        Run C{python -m txsessions.keys}.

        @return: What it says.
        """
        said = io.StringIO()
        self.assertEqual(main([arguments[0], self.path, *arguments[1:]], said), 0)
        return said.getvalue()

    async def everybody(self, world):
        """
        All sessions end, and whoever signs in again is in.
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
        All.
        """
        for kind in SHARED:
            await self.holds(self.everybody, [kind], keys=self.keyFile())
            keys = self.keyFile()
            await self.holds(self.everybody, [kind], processes=2, keys=keys)

    async def test_fault(self):
        """
        The checks find a site that ends nothing, and a key that is said to be revoked
        and still opens.
        """
        self.patch(keysteps, "revoke", lambda text, *_: text)
        for kind in SHARED:
            await self.isFound(self.one, kind, factory=DeafSite)
            await self.isFound(self.everybody, kind, keys=self.keyFile())
