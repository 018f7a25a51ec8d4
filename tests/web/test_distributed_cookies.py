"""
How a cookie gets from the process behind to the server in front.
"""

from __future__ import annotations

import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import server
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyChannel

from tests.slowstore import SlowStore
from tests.web.pages import OUTAGE, change
from tests.web.pair import DistributedCase
from txsessions import CookiePolicy, Site
from txsessions.core.keyring import KeyRing
from txsessions.stores.memory import MemoryStore
from txsessions.web.distributed import cookieArguments


class CookieArgumentsTests(SynchronousTestCase):
    """
    A C{Set-Cookie} line, taken apart for C{addCookie}.
    """

    def test_roundTrip(self):
        """
        All that C{addCookie} knows comes out as it went in.
        """
        site = Site(Resource(), reactor=Clock())
        lines = [
            b"a=b",
            b"a=",
            b"a=b=c; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.org; "
            b"Path=/x; Max-Age=0; Comment=why; Secure; HttpOnly; SameSite=lax",
            site.cookies.render(b"0123456789abcdef" * 4, True),
            site.cookies.renderDeletion(False),
        ]
        for line in lines:
            request = server.Request(DummyChannel())
            cookie, arguments = cookieArguments(line)
            request.addCookie(*cookie, **arguments)
            [made] = request.cookies
            self.assertEqual(
                sorted(made.lower().split(b"; ")), sorted(line.lower().split(b"; "))
            )


class PartitionedTests(DistributedCase):
    """
    Cookies with attributes that C{addCookie} does not know.
    """

    async def partitioned(self, factory, sameSite="none"):
        """
        What the server in front sends of two such cookies and one that is like others.

        @param factory: Makes that server.
        @param sameSite: That of the session's cookie.
        """

        def page(request):
            change(request)
            for name in (b"theme", b"tongue"):
                line = name + b"=x; Secure; Partitioned"
                request.responseHeaders.addRawHeader(b"set-cookie", line)
            request.addCookie(b"like", b"others", httpOnly=True)
            return b""

        policy = CookiePolicy(secure="always", sameSite=sameSite, partitioned=True)
        await self.serveBehind(page, store="memory:", cookies=policy)
        self.serveInFront(factory)
        answer = await self.fetch()
        return {each.name: each.attributes for each in answer.cookies}

    async def test_whole(self):
        """
        They come as they were sent.
        """
        cookies = await self.partitioned(Site)
        whole = ["Path", "Secure", "HttpOnly", "SameSite", "Partitioned"]
        self.assertEqual(sorted(cookies.pop("__Host-sid")), sorted(whole))
        self.assertEqual(cookies.pop("like"), {"HttpOnly": None})
        plain = {"Secure": None, "Partitioned": None}
        self.assertEqual(cookies, {"theme": plain, "tongue": plain})

    async def test_stock(self):
        """
        A server in front that is Twisted's own gets what it can say, of which the
        lowest Twisted knows less.
        """
        cookies = await self.partitioned(server.Site, "lax")
        whole = ["Path", "Secure", "HttpOnly", "SameSite"]
        self.assertEqual(sorted(cookies.pop("__Host-sid")), sorted(whole))
        plain = {"Secure": None}
        others = {"theme": plain, "tongue": plain, "like": {"HttpOnly": None}}
        self.assertEqual(cookies, others)


class LogoutTests(DistributedCase):
    """
    Signing out behind.
    """

    async def test_outage(self):
        """
        A logout while the store behind is away deletes the cookie in front, says what
        else is to be forgotten, and is final.
        """

        def render(request):
            if request.method == b"POST":
                request.logout(clear=["cache"])
                return b""
            return b"%d" % change(request)["count"]

        store = SlowStore(MemoryStore())
        keys = KeyRing.random(os.urandom)
        await self.serveBehind(render, store=store, keys=keys)
        self.serveInFront()
        await self.fetch()
        before = dict(self.jar)
        store.sharedWithOthers, store.down = True, OUTAGE
        answer = await self.fetch("/x", "POST")
        [cookie] = answer.cookies
        self.assertEqual((answer.code, cookie.value), (503, ""))
        self.assertEqual(answer.headers["Clear-Site-Data"], '"cache"')
        self.assertEqual(self.jar, {})
        store.down, self.jar = None, before
        answer = await self.fetch()
        self.assertEqual((answer.body, answer.cookies), (b"1", []))


class BearerTests(DistributedCase):
    """
    Programs that send their id by C{Authorization}, to the server in front.
    """

    def page(self, request):
        """
        Count, and tell the id.
        """
        session = change(request)
        self.carriers.append(request.sessionCarrier)
        return b"%d %s" % (session["count"], session.uid)

    async def test_whole(self):
        """
        The process behind has their sessions.  What the front says of it is not ours.
        """
        self.carriers = []
        policy = CookiePolicy(bearer=True, perSitePath=True)
        await self.serveBehind(self.page, store="memory:", cookies=policy)
        self.serveInFront()
        header = "Authorization: Session"
        first = await self.fetch(headers=(header,))
        number, uid = first.body.split()
        self.assertEqual((number, first.cookies), (b"1", []))
        self.assertEqual(first.headers["Vary"], "Authorization, Cookie")
        self.assertEqual(first.headers["Cache-Control"], "no-store")
        again = await self.fetch(headers=(f"{header} {uid.decode()}",))
        self.assertEqual(again.body, b"2 " + uid)
        other = await self.fetch(headers=(f"Cookie: sid={uid.decode()}",))
        self.assertTrue(other.body.startswith(b"1 "))
        self.assertEqual(self.carriers, ["bearer", "bearer", "cookie"])
        there = await self.fetch()
        self.assertEqual(len(there.cookies), 0, "it has one by now")


class ClosingTests(DistributedCase):
    """
    Streams that belong to a session.
    """

    async def test_whole(self):
        """
        The server in front is told to cut the connection.
        """

        def page(request):
            session = change(request)
            if request.path == b"/out":
                session.expire()
                return b"bye"
            session.closes(request)
            request.write(b"data: 1")
            return NOT_DONE_YET

        await self.serveBehind(page, store="memory:")
        self.serveInFront()
        await self.fetch("/out")
        self.jar["sid"] = self.back.makeSession().uid.decode()
        stream = await self.connect("/stream")
        await self.until(lambda: b"data: 1" in stream.received)
        await self.fetch("/out")
        received = await stream.ended
        self.assertFalse(received.endswith(b"0\r\n\r\n"))
