"""
C{twisted.web.distrib}, whole: a server in front that receives, a process behind it
that renders, and a UNIX socket between the two.
"""

from __future__ import annotations

import os

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.python.components import registerAdapter
from twisted.web import server, static
from twisted.web.resource import Resource
from zope.interface import Interface, implementer

import txsessions
from tests.slowstore import SlowStore
from tests.web.oracle import Page
from tests.web.pair import Answer, DistributedCase
from txsessions import CookiePolicy
from txsessions.core.keyring import KeyRing
from txsessions.errors import StoreUnavailable
from txsessions.stores.memory import MemoryStore

SIZE = 700_000
"""More than one PB message holds, and than one write of a file."""


class ICount(Interface):
    """
    Counts visits.
    """


@implementer(ICount)
class Count:
    """
    The simplest such counter.
    """

    def __init__(self, session):
        """
        @param session: Whose visits.
        """
        self.visits = 0


registerAdapter(Count, server.Session, ICount)


def count(request):
    """
    Count the visits of a session, in all places where it keeps things.
    """
    session = request.getSession()
    visits = session.sessionNamespaces.get("visits", 0) + 1
    session.sessionNamespaces["visits"] = session.visits = visits
    counter = session.getComponent(ICount)
    counter.visits += 1
    return f"{visits} {session.visits} {counter.visits}".encode("ascii")


class BothTests(DistributedCase):
    """
    Our site and request in front and behind.
    """

    async def test_session(self):
        """
        A session works behind, and its cookie arrives whole.
        """
        await self.serveBehind(count, store=self.address())
        self.serveInFront()
        first = await self.fetch()
        self.assertEqual((first.code, first.body), (200, b"1 1 1"))
        [cookie] = first.cookies
        self.assertEqual(cookie.name, "sid")
        self.assertEqual(len(cookie.value), 64)
        self.assertEqual(set(cookie.attributes), {"Path", "HttpOnly", "SameSite"})
        self.assertEqual(cookie.attributes["Path"], "/")
        self.assertEqual(first.headers["Cache-Control"], "no-store")
        self.assertEqual(first.headers["Vary"], "Cookie")
        second = await self.fetch()
        self.assertEqual(second.body, b"2 2 2")
        self.assertEqual(second.cookies, [])

    async def test_restart(self):
        """
        Sessions survive the end of the process behind.
        """
        await self.serveBehind(count, store=self.address())
        self.serveInFront()
        await self.fetch()
        await self.stopBehind()
        await self.until(lambda: self.subscription.publisher is None)
        await self.serveBehind(count, store=self.address())
        answer = await self.fetch()
        self.assertEqual(answer.body, b"2 2 2")
        self.assertEqual(answer.cookies, [])

    async def test_traversalHasTheSession(self):
        """
        The session is loaded before the resource is looked for.
        """
        seen = []

        class Root(Resource):
            """
            Decides by the session.
            """

            def getChild(self, name, request):
                """
                See C{Resource.getChild}.
                """
                seen.append(request.getSession().sessionNamespaces.get("visits"))
                return Page(count)

        await self.serveBehind(Root(), store=self.address())
        self.serveInFront()
        await self.fetch("/a/b")
        await self.stopBehind()
        await self.until(lambda: self.subscription.publisher is None)
        await self.serveBehind(Root(), store=self.address())
        await self.fetch("/a/b")
        self.assertEqual(seen, [None, 1])

    async def test_noSession(self):
        """
        A page without a session says nothing of one.
        """

        def plain(request):
            request.setHeader(b"X-Many", b"one")
            request.responseHeaders.addRawHeader(b"X-Many", b"two")
            request.addCookie(b"theme", b"dark", max_age=b"60", path=b"/x")
            request.setResponseCode(404, b"Gone Fishing")
            return b"nothing here"

        await self.serveBehind(plain, store=self.address())
        self.serveInFront()
        answer = await self.fetch()
        self.assertEqual((answer.code, answer.body), (404, b"nothing here"))
        self.assertEqual(
            answer.headers.get_all("set-cookie"),
            ["theme=dark; Path=/x; Max-Age=60"],
        )
        self.assertEqual(answer.headers["X-Many"], "one, two")
        self.assertIn("text/html", answer.headers["Content-Type"])
        self.assertNotIn("Cache-Control", answer.headers)

    async def test_blank(self):
        """
        A session that nobody put anything into is not kept, and has no cookie.
        """

        def blank(request):
            request.getSession()
            return b""

        await self.serveBehind(blank, store=self.address())
        self.serveInFront()
        answer = await self.fetch()
        self.assertEqual(answer.cookies, [])
        self.assertEqual(len(self.back.sessions), 0)

    async def test_logout(self):
        """
        A logout deletes the cookie.
        """

        def render(request):
            if request.postpath == [b"out"]:
                request.getSession().expire()
                return b"bye"
            return count(request)

        await self.serveBehind(render, store=self.address())
        self.serveInFront()
        await self.fetch()
        kept = dict(self.jar)
        answer = await self.fetch("/out")
        self.assertEqual(len(answer.cookies), 1)
        self.assertEqual(self.jar, {})
        self.jar = kept
        self.assertEqual((await self.fetch()).body, b"1 1 1")

    async def test_rotation(self):
        """
        A rotated session has a new cookie and keeps its state.
        """

        def render(request):
            if request.postpath == [b"in"]:
                request.getSession().rotate(request)
            return count(request)

        await self.serveBehind(render, store=self.address())
        self.serveInFront()
        await self.fetch()
        kept = dict(self.jar)
        answer = await self.fetch("/in")
        self.assertEqual(answer.body, b"2 2 2")
        self.assertNotEqual(self.jar, kept)
        self.assertEqual((await self.fetch()).body, b"3 3 3")

    async def test_head(self):
        """
        C{HEAD} has the headers, and no body.
        """
        await self.serveBehind(count, store=self.address())
        self.serveInFront()
        answer = await self.fetch(method="HEAD")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(len(answer.cookies), 1)
        self.assertEqual((await self.fetch()).body, b"2 2 2")

    async def test_oldClient(self):
        """
        A client that knows no chunks gets none.
        """
        await self.serveBehind(count, store=self.address())
        self.serveInFront()
        answer = await self.fetch(version="1.0")
        self.assertEqual(answer.body, b"1 1 1")
        self.assertNotIn("Transfer-Encoding", answer.headers)

    async def test_notModified(self):
        """
        A condition of the request is answered.
        """

        def tagged(request):
            count(request)
            if request.setETag(b'"x"') is not None:
                return b""
            return b"whole"

        await self.serveBehind(tagged, store=self.address())
        self.serveInFront()
        answer = await self.fetch(headers=['If-None-Match: "x"'])
        self.assertEqual((answer.code, answer.body), (304, b""))
        answer = await self.fetch(headers=['If-None-Match: "y"'])
        self.assertEqual((answer.code, answer.body), (200, b"whole"))

    async def test_long(self):
        """
        What one message cannot hold comes in several, in order.
        """
        body = os.urandom(SIZE)

        def long(request):
            count(request)
            return body

        await self.serveBehind(long, store=self.address())
        self.serveInFront()
        self.assertEqual((await self.fetch()).body, body)

    async def test_file(self):
        """
        A file, which is produced as fast as it is sent, comes whole, though its
        beginning is held.
        """
        body = os.urandom(SIZE)
        (self.folder / "file").write_bytes(body)

        class Counted(static.File):
            """
            Files behind a session.
            """

            def render_GET(self, request):
                """
                See C{File.render_GET}.
                """
                count(request)
                return static.File.render_GET(self, request)

        root = Resource()
        root.putChild(b"file", Counted(str(self.folder / "file")))
        await self.serveBehind(root, store=self.address())
        self.serveInFront()
        for _ in range(2):
            answer = await self.fetch("/file")
            self.assertEqual(answer.code, 200)
            self.assertEqual(answer.headers["Content-Length"], str(SIZE))
            self.assertEqual(answer.body, body)

    async def test_later(self):
        """
        A page that is finished later, and changes the session as it goes.
        """

        def later(request):
            def middle():
                request.getSession()["later"] = True
                request.write(b"one ")
                reactor.callLater(0, end)

            def end():
                request.getSession()["end"] = True
                request.write(b"two")
                request.finish()

            if "end" in request.getSession():
                return b"all there"
            reactor.callLater(0, middle)
            return server.NOT_DONE_YET

        await self.serveBehind(later, store=self.address())
        self.serveInFront()
        answer = await self.fetch()
        self.assertEqual(answer.body, b"one two")
        self.assertEqual(len(answer.cookies), 1)
        await self.stopBehind()
        await self.until(lambda: self.subscription.publisher is None)
        await self.serveBehind(later, store=self.address())
        self.assertEqual((await self.fetch()).body, b"all there")

    async def test_error(self):
        """
        A resource that fails is answered with 500, and without its headers;
        what it changed before is kept.
        """

        def fails(request):
            count(request)
            if request.postpath == [b"bad"]:
                request.setHeader(b"X-Mine", b"1")
                raise ZeroDivisionError
            return request.getSession()["visits"].__repr__().encode("ascii")

        await self.serveBehind(fails, store=self.address())
        self.serveInFront()
        answer = await self.fetch("/bad")
        self.assertEqual(answer.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((await self.fetch()).body, b"2")

    async def test_namesPerSitePath(self):
        """
        With the names of Twisted each site has a cookie of its own.
        """
        policy = CookiePolicy.twisted()
        await self.serveBehind(count, store=self.address(), cookies=policy)
        self.serveInFront(above=b"app", cookies=policy)
        answer = await self.fetch("/app")
        self.assertEqual([c.name for c in answer.cookies], ["TWISTED_SESSION_app"])
        self.assertEqual((await self.fetch("/app")).body, b"2 2 2")

    async def test_tlsInFront(self):
        """
        That the client came over TLS is known behind, and nothing of the session
        in front.
        """
        secure = []

        def render(request):
            secure.append(request.isSecure())
            return count(request)

        states = []

        class Secure(txsessions.Request):
            """
            As if it had come over TLS.
            """

            _forceSSL = 1

            def getStateToCopyFor(self, issuer):
                """
                See C{Copyable}.
                """
                states.append(super().getStateToCopyFor(issuer))
                return states[-1]

        await self.serveBehind(render, store=self.address())
        self.serveInFront(requestFactory=Secure)
        answer = await self.fetch()
        self.assertEqual(secure, [True])
        [cookie] = answer.cookies
        self.assertEqual(cookie.name, "__Host-sid")
        self.assertIn("Secure", cookie.attributes)
        await self.fetch()
        self.assertNotIn("_exchange", states[-1])


class HoldTests(DistributedCase):
    """
    The reply waits for the store behind.
    """

    async def serve(self, render, **how):
        """
        Start both, with a store that answers when it is told to.
        """
        self.store = SlowStore(MemoryStore())
        keys = KeyRing.random(os.urandom)
        await self.serveBehind(render, store=self.store, keys=keys)
        self.serveInFront(**how)

    async def test_waits(self):
        """
        Nothing goes out before the store has acknowledged it.
        """
        await self.serve(count)
        self.store.hold("insert")
        protocol = await self.connect()
        await self.until(lambda: self.store.pending)
        [call] = [c for c in self.back.sessions.values() if c["visits"] == 1]
        await deferLater(reactor, 0.01, lambda: None)
        self.assertEqual(protocol.received, b"")
        self.store.pass_()
        answer = Answer(await protocol.ended, "GET")
        self.assertEqual(answer.body, b"1 1 1")
        self.assertTrue(call.tag)

    async def test_failedSave(self):
        """
        What cannot be saved is answered with 503, and nothing of the
        application's answer is seen.
        """

        def render(request):
            request.setHeader(b"X-Mine", b"1")
            request.addCookie(b"mine", b"1")
            return count(request)

        await self.serve(render)
        self.store.hold("insert")
        protocol = await self.connect()
        await self.until(lambda: self.store.pending)
        self.store.fail(StoreUnavailable("gone"))
        answer = Answer(await protocol.ended, "GET")
        self.assertEqual(answer.code, 503)
        self.assertEqual(answer.headers["Retry-After"], "2")
        self.assertNotIn("X-Mine", answer.headers)
        self.assertEqual(answer.cookies, [])

    async def test_storeDown(self):
        """
        A session that cannot be loaded is answered with 503, without a cookie;
        a page that asks for none works.
        """

        def render(request):
            return b"plain" if request.postpath == [b"plain"] else count(request)

        await self.serve(render)
        await self.fetch()
        self.store.sharedWithOthers = True
        self.store.down = StoreUnavailable("gone")
        answer = await self.fetch()
        self.assertEqual((answer.code, answer.headers["Retry-After"]), (503, "2"))
        self.assertEqual(answer.cookies, [])
        self.assertEqual((await self.fetch("/plain")).body, b"plain")
        self.store.down = None
        self.assertEqual((await self.fetch()).body, b"2 2 2")

    async def test_failureAfterTheFirstByte(self):
        """
        Where the beginning of the answer is out, its end never comes.
        """
        going = []

        def render(request):
            request.getSession()["a"] = 1
            request.write(b"begun")
            going.append(request)
            return server.NOT_DONE_YET

        await self.serve(render)
        protocol = await self.connect()
        await self.until(lambda: b"begun" in protocol.received)
        self.store.hold("replace")
        [request] = going
        request.getSession()["b"] = 2
        request.write(b"more")
        request.finish()
        await self.until(lambda: self.store.pending)
        self.store.fail(StoreUnavailable("gone"))
        received = await protocol.ended
        self.assertNotIn(b"0\r\n\r\n", received)

    async def test_theServerInFrontLeaves(self):
        """
        When the server in front is gone, the request is over, and what it
        changed is saved.
        """
        ended = []

        def render(request):
            count(request)
            request.notifyFinish().addErrback(ended.append)
            return server.NOT_DONE_YET

        await self.serve(render)
        protocol = await self.connect()
        await self.until(lambda: self.back.sessions)
        self.subscription.publisher.broker.transport.loseConnection()
        await self.until(lambda: ended)
        self.assertEqual(self.store.calls.count("insert"), 1)
        protocol.transport.loseConnection()
        await protocol.ended

    async def test_theClientLeaves(self):
        """
        A client that has left disturbs nobody.
        """
        going, received = [], []

        def render(request):
            going.append(request)
            return server.NOT_DONE_YET

        class Noted(txsessions.Request):
            """
            The request in front.
            """

            def __init__(self, *args, **how):
                """
                See C{Request}.
                """
                super().__init__(*args, **how)
                received.append(self)

        await self.serve(render, requestFactory=Noted)
        protocol = await self.connect()
        await self.until(lambda: going)
        protocol.transport.abortConnection()
        await self.until(lambda: received[0]._disconnected)
        count(going[0])
        going[0].write(b"x")
        going[0].finish()
        self.assertEqual(going[0].finished, 1)
        self.assertEqual(self.store.calls.count("insert"), 1)
        protocol = await self.connect()
        await self.until(lambda: len(going) > 1)
        going[1].finish()
        self.assertEqual(Answer(await protocol.ended, "GET").code, 200)


class OneSideTests(DistributedCase):
    """
    Only one of the two knows durable sessions.
    """

    async def test_onlyBehind(self):
        """
        Twisted's own server in front of ours.
        """
        await self.serveBehind(count, store=self.address())
        self.serveInFront(server.Site)
        answer = await self.fetch()
        self.assertEqual(answer.body, b"1 1 1")
        [cookie] = answer.cookies
        self.assertIn("HttpOnly", cookie.attributes)
        self.assertEqual(cookie.attributes["SameSite"], "Lax")
        await self.stopBehind()
        await self.until(lambda: self.subscription.publisher is None)
        await self.serveBehind(count, store=self.address())
        self.assertEqual((await self.fetch()).body, b"2 2 2")

    async def test_onlyInFront(self):
        """
        Ours in front of Twisted's own, which knows nothing of it.
        """
        await self.serveBehind(count, server.Site)
        self.serveInFront(store=self.address())
        self.addCleanup(self.front.closed)
        answer = await self.fetch()
        self.assertEqual(answer.body, b"1 1 1")
        self.assertEqual([c.name for c in answer.cookies], ["TWISTED_SESSION"])
        self.assertEqual((await self.fetch()).body, b"2 2 2")
        for session in list(self.back.sessions.values()):
            session.expire()

    async def test_unknownKeys(self):
        """
        Where the keys cannot be had, pages with sessions answer 503.
        """
        (self.folder / "sessions.sqlite.key").write_bytes(b"nonsense")
        await self.serveBehind(count, store=self.address())
        self.serveInFront()
        self.assertEqual((await self.fetch()).code, 503)
