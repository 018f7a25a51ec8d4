"""
ASVS 7.1.1: it is written down after how long without use a session ends and after how
long in all, with the reasons, and what is written is so.

docs/operating.md has the numbers under I{Limits} and docs/security.md the reason, which is
NIST's highest level.  C{twistd web} says in its log which hold, the defaults or others.
"""

from __future__ import annotations

import re

from twisted.web import server

from tests.asvs.world import SHARED, AuditCase
from tests.served import ROOT
from tests.web.pages import Page
from txsessions import Session, Site, tap


def written():
    """
    What the documents say.

    @return: The two limits, in seconds.
    """
    text = (ROOT / "docs" / "operating.md").read_text()
    idle = re.search(r"^\| idle time of a session \| (\d+) s \|", text, re.MULTILINE)
    life = re.search(r"^\| life of a session \| (\d+) h", text, re.MULTILINE)
    return int(idle[1]), int(life[1]) * 3600


def takeAnew(request):
    """
    A page that has a session take the limits that hold now, as docs/operating.md says.
    """
    session = request.getSession()
    text = (ROOT / "docs" / "operating.md").read_text()
    (recipe,) = re.findall(
        r"^for name, before in .*?^```", text, re.MULTILINE | re.DOTALL
    )
    exec(recipe.removesuffix("```"), {"session": session})
    return b"taken"


def liveLonger(request):
    """
    A page that has a session live longer than others.
    """
    request.getSession().sessionTimeout = 1200
    return b"longer"


class LongIdle(Session):
    """
    Sessions that may be unused for longer.
    """

    sessionTimeout = 1800


class LongLife(Session):
    """
    Sessions that live for longer.
    """

    sessionLifetime = 86400


class SaidTests(AuditCase):
    """
    What is said of the limits.
    """

    said = ()

    async def asSaid(self, world):
        """
        The limits are those that are said, to the second.
        """
        idle, life = self.said
        for seconds, who in ((idle - 1, "ann"), (idle, "nobody")):
            browser = await world.signedIn()
            await world.goBy(seconds)
            self.assertEqual(await browser.who(), who)
        browser, step = await world.signedIn(), idle - idle // 15
        for _ in range((life - 1) // step):
            await world.goBy(step)
            self.assertEqual(await browser.who(), "ann")
        await world.goBy((life - 1) % step)
        self.assertEqual(await browser.who(), "ann")
        await world.goBy(1)
        self.assertEqual(await browser.who(), "nobody")

    async def test_documents(self):
        """
        What the documents say is so.
        """
        self.said = written()
        await self.holds(self.asSaid)

    def commanded(self, *options):
        """
        The settings that options of C{twistd web} make, which the log is told, and
        from which C{said} is read.

        @return: Makes sites like the one that C{twistd} makes.
        """
        command = tap.Options()
        command.parseOptions(["--session-store=memory:", *options])
        words = command.settings.inWords()
        found = re.search(
            r"after (\d+) s unused and after (\d+) s at the latest", words
        )
        self.said = int(found[1]), int(found[2])

        def factory(root, **how):
            theirs = command.settings.makeSite(server.Site(root))
            made = Site(root, cookies=theirs.cookies, **how)
            made.sessionFactory = theirs.sessionFactory
            return made

        return factory

    async def test_command(self):
        """
        What C{twistd web} says is so, be it the defaults, which are those of the
        documents, or not.
        """
        factory = self.commanded()
        self.assertEqual(self.said, written())
        await self.holds(self.asSaid, factory=factory)
        factory = self.commanded("--session-timeout=60", "--session-lifetime=600")
        self.assertEqual(self.said, (60, 600))
        await self.holds(self.asSaid, factory=factory)

    async def test_lowered(self):
        """
        Limits hold for sessions that begin under them; one that is there already keeps
        its own over a restart, unless a page has it take the others, which is written down
        too, and spares who was given limits of his own.
        """
        text = (ROOT / "docs" / "operating.md").read_text()
        self.assertIn("keeps the limits that it began with", text)
        for kind in SHARED:
            world, how = self.world(kind), {"sessionTimeout": 60}
            old, longer = await world.signedIn(), await world.signedIn()
            world.root.putChild(b"longer", Page(liveLonger))
            await longer.get("/longer")
            await world.restart()
            world.site.sessionFactory = type("ShortSession", (Session,), how)
            new = await world.signedIn()
            await world.goBy(300)
            self.assertEqual([await old.who(), await new.who()], ["ann", "nobody"])
            world.root.putChild(b"anew", Page(takeAnew))
            for each in (old, longer):
                await each.get("/anew")
            await world.goBy(150)
            self.assertEqual([await old.who(), await longer.who()], ["nobody", "ann"])
            await world.end()

    async def test_fault(self):
        """
        The check finds limits that are others than what is written.
        """
        self.said = written()
        for sessions in (LongIdle, LongLife):

            class OtherSite(Site):
                """
                Has other limits.
                """

                sessionFactory = sessions

            await self.isFound(self.asSaid, factory=OtherSite)
            await self.isFound(self.asSaid, "sqlite", factory=OtherSite)

    def test_reasons(self):
        """
        The reason is written down too.
        """
        text = (ROOT / "docs" / "security.md").read_text()
        (row,) = re.findall(r"^\| 7\.1\.1 .*", text, re.MULTILINE)
        self.assertIn("15 minutes", row)
        self.assertIn("12 hours", row)
        self.assertIn("NIST", row)
