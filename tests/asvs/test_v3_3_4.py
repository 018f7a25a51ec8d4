"""
ASVS 3.3.4: a cookie that scripts have no business with, as that of a session, has
C{HttpOnly}, and its value goes to the browser by C{Set-Cookie} alone.

Every line has it, and there is no option to leave it out.  The id is in no other header,
no page, error page or log of ours; a token of a form is made of it, and does not tell it.
"""

from __future__ import annotations

from twisted.logger import formatEvent, globalLogPublisher

from tests.asvs.application import Application
from tests.asvs.cookies import CookieCase, behindProxy, without
from tests.asvs.world import KINDS
from tests.web.pages import Page
from txsessions import CookiePolicy, Site


def token(request):
    """
    A page with a form.
    """
    return request.getSession().csrfToken.encode("ascii")


def broken(request):
    """
    A page that fails with the session at hand.
    """
    session, cookies = request.getSession(), request.received_cookies
    raise ValueError(f"{session!r} {len(cookies)} {request!r}")


class ShowingApplication(Application):
    """
    Shows the id in a page.
    """

    PAGES = (
        *Application.PAGES,
        (b"count", Page(lambda request: request.getSession().uid)),
    )


class LoggingSite(Site):
    """
    Writes the id into the log.
    """

    def makeSession(self):
        """
        See L{Site.makeSession}.
        """
        session = super().makeSession()
        globalLogPublisher({"log_format": "made {uid}", "uid": session._uid.decode()})
        return session


class HiddenTests(CookieCase):
    """
    What keeps the id from scripts.
    """

    async def hidden(self, world):
        """
        Each line has C{HttpOnly}, and the ids are nowhere else.
        """
        logged = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        root, world.site.displayTracebacks = world.root, True
        root.putChild(b"token", Page(token))
        root.putChild(b"broken", Page(broken))
        ids = set()
        for line, cookie in await self.said(world):
            self.assertIn("HttpOnly", cookie.attributes, line)
            ids.add(cookie.value)
        ann = await world.signedIn()
        ids.add(ann.cookie)
        for path in ("/token", "/devices", "/broken", "/nowhere", "/pay", "/end"):
            await ann.get(path)
        await world.end()
        self.flushLoggedErrors()
        said = [formatEvent(event) for event in logged]
        said += [
            event["log_failure"].getTraceback()
            for event in logged
            if "log_failure" in event
        ]
        for answer in world.answers:
            said.append(answer.body.decode("latin-1"))
            said += [v for n, v in answer.headers.items() if n.lower() != "set-cookie"]
        ids.discard("")
        self.assertGreater(len(ids), len(KINDS))
        for text in said:
            for each in ids:
                self.assertNotIn(each, text)

    async def test_hidden(self):
        """
        By default.
        """
        await self.always(self.hidden)

    def test_noOption(self):
        """
        Nobody can turn it off.
        """
        names = {name.lower() for name in CookiePolicy.__init__.__annotations__}
        self.assertEqual({name for name in names if "http" in name}, set())

    async def test_fault(self):
        """
        The check finds cookies without C{HttpOnly}, a page that shows the id, and a log
        that has it.
        """
        for kind in KINDS:
            await self.isFound(self.hidden, kind, cookies=without(b" HttpOnly;"))
        cookies = behindProxy()
        shown = ShowingApplication()
        await self.isFound(self.hidden, cookies=cookies, root=shown)
        await self.isFound(self.hidden, cookies=cookies, factory=LoggingSite)
