"""
Tests of L{txsessions.web.closing}: pages that stream end with their session.
"""

from __future__ import annotations

import gc
import weakref

import twisted.internet
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyChannel

from tests.web.browsing import Client
from tests.web.durable import DurableCase
from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, change, count, look
from tests.web.test_http2 import H2Client, Patient
from txsessions import Request, Site, openStore
from txsessions.errors import SessionGone
from txsessions.live.callbacks import MAX_CALLBACKS
from txsessions.live.watching import WATCH_INTERVAL


class Events:
    """
    A stream of events that belongs to its session.

    @ivar requests: The requests, in order.
    @ivar ends: What C{notifyFinish} has said.
    """

    def __init__(self, isWatched=True):
        self.isWatched = isWatched
        self.requests = []
        self.ends = []

    def __call__(self, request):
        """
        Render.
        """
        session = change(request)
        if self.isWatched:
            session.closes(request)
        self.requests.append(request)
        request.notifyFinish().addBoth(self.ends.append)
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.write(b"data: 1\n\n")
        return NOT_DONE_YET

    def say(self, number=-1):
        """
        Send an event.
        """
        self.requests[number].write(b"data: 2\n\n")


def logout(request):
    """
    A page that ends the session.
    """
    request.getSession().expire()
    return b"bye"


def makeRoot(events):
    """
    A site with a stream.
    """
    root = Resource()
    for name, render in {
        b"events": events,
        b"count": count,
        b"look": look,
        b"logout": logout,
    }.items():
        root.putChild(name, Page(render))
    return root


class ClosingCase(WebCase):
    """
    A site with a stream.
    """

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        self.events = Events()
        self.root = makeRoot(self.events)
        self.serve(self.root)

    def visitor(self, **how):
        """
        A browser with a session.
        """
        client = self.client(**how)
        client.fetch("/count")
        return client

    def listening(self, browser):
        """
        Its connection for the stream, on which the first event has come.
        """
        client = self.client(jar=browser.jar)
        client.send("/events")
        self.assertTrue(client.rest().endswith(b"data: 1\n\n\r\n"))
        return client

    def watched(self):
        """
        How many connections and callbacks are kept in mind.
        """
        live = self.site._live
        kept = [session.expireCallbacks for session in live.sessions.values()]
        kept += [parked._callbacks for parked in live.parked.values()]
        return sum(map(len, kept))

    def passes(self, seconds, client):
        """
        Let time pass until a connection is cut.

        @return: How long that took; L{None} if it was not.
        """
        for second in range(seconds):
            if client.wire.aborted:
                return second
            self.clock.advance(1)
        return None


class StreamTests(ClosingCase):
    """
    Server-sent events, as an example of what streams.
    """

    def test_logoutHere(self):
        """
        A logout in this process cuts the stream at once, without a proper end; the
        page hears of it as of a client that has left, and what it writes goes nowhere.
        """
        browser = self.visitor()
        client, other = self.listening(browser), self.listening(self.visitor())
        self.assertEqual(browser.fetch("/logout").body, b"bye")
        self.assertTrue(client.wire.aborted)
        self.events.say(0)
        self.turn(2)
        self.assertEqual(client.rest(), b"")
        self.assertEqual(len(self.events.ends), 1)
        self.events.say(0)
        self.assertFalse(other.wire.aborted)
        self.events.say(1)
        self.assertIn(b"data: 2", other.rest())

    def test_logoutElsewhere(self):
        """
        A logout in another process does so within ten seconds, or how long the site
        says.
        """
        there = self.serveElsewhere(self.root)
        for interval in (WATCH_INTERVAL, 3):
            self.site.watchInterval = interval
            browser = self.visitor()
            client = self.listening(browser)
            self.assertIs(self.passes(30, client), None)
            self.client(site=there, jar=browser.jar).fetch("/logout")
            self.assertLessEqual(self.passes(30, client), interval)
        self.assertEqual(len(self.events.ends), 2)
        self.assertEqual(self.watched(), 0)

    def test_callbacks(self):
        """
        C{notifyOnExpire} works for it as well, in any process.
        """
        self.events.isWatched = False
        there = self.serveElsewhere(self.root)
        browser = self.visitor()
        client, unheard = self.listening(browser), self.listening(browser)
        (session,) = self.site.sessions.values()
        session.notifyOnExpire(self.events.requests[0].finish)
        self.client(site=there, jar=browser.jar).fetch("/logout")
        self.clock.advance(WATCH_INTERVAL)
        self.assertEqual(client.rest(), b"0\r\n\r\n")
        self.assertFalse(unheard.wire.aborted)

    def test_limits(self):
        """
        So do its limits, exactly: that a stream is open does not keep a session alive,
        and C{touch()} does.
        """
        client = self.listening(self.visitor())
        for _ in range(14):
            self.clock.advance(60)
            self.events.say()
        self.assertEqual(self.passes(120, client), 60)
        client = self.listening(self.visitor())
        session = self.events.requests[-1].getSession()
        session.sessionLifetime = 3600
        for _ in range(9):
            self.clock.advance(390)
            session.touch()
        self.assertEqual(self.passes(120, client), 3600 - 9 * 390)

    def test_usedElsewhere(self):
        """
        A session that is used in another process, and is changed there, lives on.
        """
        there = self.serveElsewhere(self.root)
        browser = self.visitor()
        client = self.listening(browser)
        for number in range(10):
            self.clock.advance(300)
            other = self.client(site=there, jar=browser.jar)
            self.assertEqual(other.fetch("/count").body, b"count %d" % (number + 3))
        self.assertFalse(client.wire.aborted)
        self.assertIsNotNone(self.passes(1000, client))

    def test_rotated(self):
        """
        A new id in this process changes nothing.  In another it is an end: the browser
        comes again, with its new cookie.
        """

        def renew(request):
            request.getSession().rotate(request)
            return b""

        self.root.putChild(b"renew", Page(renew))
        there = self.serveElsewhere(self.root)
        browser = self.visitor()
        client = self.listening(browser)
        browser.fetch("/renew")
        self.assertIs(self.passes(30, client), None)
        self.client(site=there, jar=browser.jar).fetch("/renew")
        self.assertLessEqual(self.passes(30, client), WATCH_INTERVAL)
        self.listening(browser)

    def test_finished(self):
        """
        A response that has come to its end leaves nothing, and the connection that it
        was on is the next one's.
        """

        def page(request):
            request.getSession().closes(request)
            return b"whole"

        self.root.putChild(b"page", Page(page))
        browser = self.visitor()
        for _ in range(20):
            self.assertEqual(browser.fetch("/page").body, b"whole")
        self.assertLessEqual(self.watched(), 1)
        self.assertEqual(browser.fetch("/logout").body, b"bye")
        self.assertFalse(browser.wire.aborted)
        self.assertEqual(browser.fetch("/look").body, b"count 0")

    def test_comeAndGone(self):
        """
        Streams that have come and gone leave nothing in memory, nor does anybody ask.
        """
        self.store.sharedWithOthers = True
        browser = self.visitor()
        for _ in range(20):
            self.listening(browser).leave()
        self.assertLessEqual(self.watched(), 1)
        browser.leave()
        del browser, self.events.requests[:], self.events.ends[:], self.clients[:]
        session = weakref.ref(next(iter(self.site.sessions.values())))
        self.clock.advance(61)
        del self.store.calls[:]
        self.clock.advance(61)
        self.clock.advance(61)
        gc.collect()
        self.assertEqual(self.watched(), 0)
        self.assertIs(session(), None)
        self.assertNotIn("load", self.store.calls)

    def test_whileOpen(self):
        """
        An open stream keeps its session in memory.
        """
        client = self.listening(self.visitor())
        (session,) = self.site.sessions.values()
        for _ in range(5):
            self.clock.advance(61)
        self.assertEqual(list(self.site.sessions.values()), [session])
        self.assertFalse(client.wire.aborted)

    def test_notBegun(self):
        """
        A response that has not begun is cut too, as one that waits for news is; also
        one that is held until its session is saved.
        """
        requests = []

        def wait(request):
            request.getSession().closes(request)
            requests.append(request)
            request.notifyFinish().addBoth(self.events.ends.append)
            return NOT_DONE_YET

        self.root.putChild(b"wait", Page(wait))
        for isHeld in (False, True):
            browser = self.visitor()
            client = self.client(jar=browser.jar)
            client.send("/wait")
            self.store.hold("replace")
            if isHeld:
                change(requests[-1])
                requests[-1].write(b"news")
            session = requests[-1].getSession()
            session.expire()
            self.store.pass_()
            self.assertTrue(client.wire.aborted)
            requests[-1].write(b"more")
            requests[-1].finish()
            self.turn(2)
            self.assertEqual(client.rest(), b"")
            self.assertIs(session._visits, None)
        self.assertEqual(len(self.events.ends), 2)

    def test_itself(self):
        """
        A page that ends its own session still answers; one that does so later, while
        it streams, is cut.
        """

        def page(request):
            session = request.getSession()
            session.closes(request)
            session.expire()
            return b"bye"

        self.root.putChild(b"page", Page(page))
        browser = self.visitor()
        answer = browser.fetch("/page")
        self.assertEqual((answer.body, answer.deletes), (b"bye", True))
        client = self.listening(self.visitor())
        self.events.requests[-1].getSession().expire()
        self.assertTrue(client.wire.aborted)

    def test_otherSession(self):
        """
        What the page has changed meanwhile in the session of the other cookie is saved.
        """
        found = []

        def page(request):
            session = request.getSession()
            session.closes(request)
            found[:] = session, request.getSession(forceNotSecure=True)
            found[1]["a"] = 1
            request.write(b"data: 1\n\n")
            return NOT_DONE_YET

        self.root.putChild(b"page", Page(page))
        client = self.client(secure=True)
        client.send("/page")
        session, other = found
        other["a"] = 2
        session.expire()
        self.assertTrue(client.wire.aborted)
        uid = other.uid
        del other, found[:]
        there = self.serveElsewhere(self.root)
        loaded = self.successResultOf(there.loadSession(uid))
        self.assertEqual(loaded["a"], 2)

    def test_noSite(self):
        """
        The connection of a request that is of no site of ours is closed.
        """
        channel = DummyChannel()
        request = Request(channel, False)
        session = self.site.makeSession()
        session.closes(request)
        session.expire()
        self.assertTrue(channel.transport.disconnected)

    def test_outage(self):
        """
        While the store cannot tell the stream goes on.
        """
        there = self.serveElsewhere(self.root)
        browser = self.visitor()
        client = self.listening(browser)
        self.client(site=there, jar=browser.jar).fetch("/logout")
        self.store.down = OUTAGE
        self.assertIs(self.passes(60, client), None)
        self.store.down = None
        self.assertLessEqual(self.passes(30, client), WATCH_INTERVAL)

    def test_ended(self):
        """
        A stream cannot belong to a session that has ended.
        """
        self.listening(self.visitor())
        session = self.events.requests[-1].getSession()
        session.expire()
        with self.assertRaises(SessionGone):
            session.closes(self.events.requests[-1])

    def test_tooMany(self):
        """
        Of more than a thousand the oldest is closed; none is forgotten.
        """
        browser = self.visitor()
        oldest = self.listening(browser)
        (session,) = self.site.sessions.values()
        for _ in range(MAX_CALLBACKS - 1):
            session.notifyOnExpire(len)
        self.assertFalse(oldest.wire.aborted)
        client = self.listening(browser)
        self.assertTrue(oldest.wire.aborted)
        self.assertFalse(client.wire.aborted)
        self.assertEqual(self.watched(), MAX_CALLBACKS)
        browser.fetch("/logout")
        self.assertTrue(client.wire.aborted)
        self.flushLoggedErrors(TypeError)

    def test_shutdown(self):
        """
        That the process ends is no end of a session.
        """
        client = self.listening(self.visitor())
        self.successResultOf(self.site.closed())
        self.assertFalse(client.wire.aborted)
        client.leave()
        self.clock.advance(61)


class NoStoreTests(ClosingCase):
    """
    A site without a store.
    """

    def test_logout(self):
        """
        It works there too.
        """
        self.site = self.serve(self.root, store=None)
        browser = self.visitor()
        client = self.listening(browser)
        browser.fetch("/logout")
        self.assertTrue(client.wire.aborted)


class HTTP2Tests(ClosingCase):
    """
    Streams of one connection.
    """

    def test_oneStream(self):
        """
        The stream of the session that has ended is reset, and the others go on.
        """
        from twisted.internet import reactor  # noqa: F401 - so that there is one

        self.patch(twisted.internet, "reactor", Patient(self.clock))
        there = self.serveElsewhere(self.root)
        client, other = H2Client(self), self.visitor(secure=True)
        self.clients.append(client)
        client.send("/count")
        client.receive()
        ours = client.streams[client.send("/events")]
        theirs = client.streams[client.send("/events", cookies=other.sent())]
        client.receive()
        self.assertEqual((ours.body, theirs.body), (b"data: 1\n\n",) * 2)
        elsewhere = self.client(site=there, secure=True, jar=client.jar)
        elsewhere.fetch("/logout")
        self.clock.advance(WATCH_INTERVAL)
        self.events.say(0)
        client.receive()
        self.assertEqual((ours.wasReset, ours.ended), (True, False))
        self.assertEqual(len(self.events.ends), 1)
        self.events.say(1)
        client.receive()
        self.assertEqual(theirs.body, b"data: 1\n\ndata: 2\n\n")
        self.assertFalse(theirs.wasReset)
        number = client.send("/look")
        client.receive()
        self.assertEqual(client.streams[number].body, b"count 0")

    def test_writes(self):
        """
        What the page does in the same turn goes nowhere.
        """
        from twisted.internet import reactor  # noqa: F401 - so that there is one

        self.patch(twisted.internet, "reactor", Patient(self.clock))
        client = H2Client(self)
        self.clients.append(client)
        ours = client.streams[client.send("/events")]
        client.receive()
        request = self.events.requests[0]
        request.getSession().expire()
        self.events.say(0)
        request.finish()
        client.receive()
        self.assertEqual((ours.body, ours.wasReset), (b"data: 1\n\n", True))


class SQLiteTests(DurableCase):
    """
    Two processes on one database.
    """

    async def test_elsewhere(self):
        """
        A logout in the other cuts the stream within ten seconds; until there is one
        the database is not asked.
        """
        events = Events()
        root = makeRoot(events)
        site = self.begin(root)
        store = openStore(f"sqlite:{self.database}", reactor=reactor)
        there = Site(root, reactor=self.clock, store=store)
        there.startFactory()
        self.addCleanup(there.closed)
        self.addCleanup(there.stopFactory)
        browser = self.visitor()
        await self.fetch(browser, "/count")
        client = self.visitor(browser)
        client.send("/events")
        await self.until(lambda: b"data: 1" in client.wire.value())
        asked = []
        load = site._live.store.load
        self.patch(site._live.store, "load", lambda *a: asked.append(a) or load(*a))
        for _ in range(5):
            self.clock.advance(WATCH_INTERVAL)
        self.assertEqual(asked, [])
        other = Client(self, jar=browser.jar, site=there)
        self.clients.append(other)
        await self.fetch(other, "/logout")
        self.assertFalse(client.wire.aborted)
        self.clock.advance(WATCH_INTERVAL)
        await self.until(lambda: client.wire.aborted)
        self.clock.advance(0)
        self.assertEqual(len(events.ends), 1)
