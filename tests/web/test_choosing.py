"""
Tests of L{txsessions.web.choosing}: sessions that the application gives to a request.
"""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.web import server
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyChannel

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, change, count, look
from txsessions import CookiePolicy, Request
from txsessions.errors import (
    ConfigurationError,
    ResponseStarted,
    SessionGone,
    SessionStale,
)


class ChoosingCase(WebCase):
    """
    A site with a page that gives C{self.chosen} to its request.

    @ivar how: How it does.
    """

    options = {}  # noqa: RUF012 - a constant

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        self.how = {}
        self.chosen = None
        self.root = Resource()
        for name, render in {
            b"choose": self.choose,
            b"count": count,
            b"look": look,
        }.items():
            self.root.putChild(name, Page(render))
        self.serve(self.root, **self.options)

    def page(self, render):
        """
        Serve one more page, as C{/page}.
        """
        self.root.putChild(b"page", Page(render))

    def choose(self, request):
        """
        The page.
        """
        request.setSession(self.chosen, **self.how)
        self.assertIs(request.getSession(), self.chosen)
        return count(request)

    def made(self, number=5):
        """
        A session that was made without a request.
        """
        session = self.site.makeSession()
        session["count"] = number
        self.successResultOf(session.save())
        return session

    def refuses(self, error, session, *, secure=False):
        """
        See that a session cannot be given to a request, which keeps its own.
        """
        raised = []

        def page(request):
            own = change(request)
            with self.assertRaises(error) as caught:
                request.setSession(session)
            raised.append(str(caught.exception))
            self.assertIs(request.getSession(), own)
            return b"%d" % own["count"]

        self.page(page)
        client = self.client(secure=secure)
        client.fetch("/count")
        self.assertEqual(client.fetch("/page").body, b"2")
        return raised[0]


class ChoosingTests(ChoosingCase):
    """
    What comes of it.
    """

    def test_whole(self):
        """
        The session is the request's, its cookie goes out once it is saved, and the
        browser comes back with it, also in another process.
        """
        self.chosen = session = self.made()
        client = self.client()
        self.store.hold()
        client.send("/choose")
        self.assertTrue(client.silent)
        self.store.pass_()
        answer = client.answer()
        self.assertEqual(answer.body, b"count 6")
        self.assertEqual(answer.cookie.value.encode(), session.uid)
        self.assertEqual(client.fetch("/count").body, b"count 7")
        there = self.serveElsewhere(self.root)
        other = self.client(site=there, jar=client.jar)
        self.assertEqual(other.fetch("/look").body, b"count 7")
        secure = self.client(secure=True)
        cookie = f"Cookie: __Host-sid={session.uid.decode()}"
        answer = secure.fetch("/look", headers=(cookie,))
        self.assertEqual(answer.body, b"count 0", "it is of the insecure kind now")

    def test_kind(self):
        """
        Of which kind the session is now is saved, also where the request does nothing
        else to one that the store has.
        """
        session = self.made()
        self.successResultOf(session.save())

        def page(request):
            request.setSession(session)
            return b"given"

        self.page(page)
        self.assertEqual(self.client().fetch("/page").body, b"given")
        there = self.serveElsewhere(self.root)
        secure = self.client(site=there, secure=True)
        cookie = f"Cookie: __Host-sid={session.uid.decode()}"
        self.assertEqual(secure.fetch("/look", headers=(cookie,)).body, b"count 0")

    def test_thatCame(self):
        """
        Where it is the one that came no cookie is set.
        """
        client = self.client()
        client.fetch("/count")
        (self.chosen,) = self.site.sessions.values()
        answer = client.fetch("/choose")
        self.assertEqual((answer.body, answer.cookie), (b"count 2", None))

    def test_insteadOfAnother(self):
        """
        What the request did to its former session is saved before the answer goes out,
        which has one cookie only.
        """

        def page(request):
            change(request)
            return self.choose(request)

        self.page(page)
        self.chosen = self.made()
        client = self.client()
        client.fetch("/count")
        (before,) = set(self.site.sessions.values()) - {self.chosen}
        self.store.hold("replace")
        client.send("/page")
        self.assertEqual(self.store.names(), ["replace"] * 2)
        self.store.release()
        self.assertEqual(client.answer().cookie.value.encode(), self.chosen.uid)
        self.assertEqual(before["count"], 2)
        self.assertIs(before._visits, None)
        self.assertEqual(self.stored(), 2)

    def test_formerCannotBeSaved(self):
        """
        If that fails the answer is an error.
        """

        def page(request):
            change(request)
            return self.choose(request)

        self.page(page)
        self.chosen = self.made()
        client = self.client()
        client.fetch("/count")
        self.store.down = OUTAGE
        self.assertEqual(client.fetch("/page").code, 503)
        self.store.down = None

    def test_insteadOfNew(self):
        """
        A new and empty one is dropped, with its cookie; one that was ended is deleted.
        """

        def page(request):
            session = request.getSession()
            if request.args:
                session.expire()
            return self.choose(request)

        self.page(page)
        self.chosen = self.made()
        answer = self.client().fetch("/page")
        self.assertEqual(answer.cookie.value.encode(), self.chosen.uid)
        self.assertEqual(self.stored(), 1)
        client = self.client()
        client.fetch("/count")
        self.assertEqual(self.stored(), 2)
        self.store.hold("delete")
        client.send("/page?out=1")
        self.assertEqual(self.store.names(), ["delete"])
        self.assertTrue(client.silent)
        self.store.pass_()
        answer = client.answer()
        self.assertEqual(answer.cookie.value.encode(), self.chosen.uid)
        self.assertEqual(self.stored(), 1)

    def test_withoutCookie(self):
        """
        Where the program carries the id no cookie goes out, nor is a new one's left;
        the session is of no kind.
        """

        def page(request):
            request.getSession()
            return self.choose(request)

        self.page(page)
        self.how = {"cookie": False}
        self.chosen = self.made()
        for path in ("/choose", "/page"):
            answer = self.client().fetch(path)
            self.assertIs(answer.cookie, None)
        self.assertIs(self.chosen._scheme, None)
        self.assertEqual(self.chosen["count"], 7)

    def test_empty(self):
        """
        One that is new and empty is kept, since the application wants it.
        """

        def page(request):
            request.setSession(self.site.makeSession())
            return b""

        self.page(page)
        client = self.client()
        self.assertTrue(client.fetch("/page").sets)
        self.assertEqual(self.stored(), 1)
        self.assertFalse(client.fetch("/count").sets)

    def test_fixation(self):
        """
        Who knew the id before has nothing by it after C{rotate}.
        """

        def page(request):
            request.setSession(self.chosen)
            self.chosen.rotate(request)
            return b""

        self.page(page)
        self.chosen = self.made()
        known = self.chosen.uid
        client = self.client()
        answer = client.fetch("/page")
        self.assertEqual(answer.cookie.value.encode(), self.chosen.uid)
        self.assertNotEqual(self.chosen.uid, known)
        self.assertEqual(client.fetch("/look").body, b"count 5")
        attacker = self.client()
        answer = attacker.fetch("/look", headers=(f"Cookie: sid={known.decode()}",))
        self.assertEqual(answer.body, b"count 0")

    def test_late(self):
        """
        It may be given later, when it has been loaded, as long as the response has not
        begun; when the client is gone by then nothing is held.
        """
        session = self.made()
        uid, requests = session.uid, []

        async def later(request):
            request.setSession(await self.site.loadSession(uid))
            if not request._disconnected:
                request.write(count(request))
                request.finish()

        def page(request):
            requests.append(ensureDeferred(later(request)))
            return NOT_DONE_YET

        self.page(page)
        self.store.sharedWithOthers = True
        self.store.hold("load")
        client, gone = self.client(), self.client()
        client.send("/page")
        gone.send("/page")
        gone.leave()
        self.store.pass_()
        self.assertEqual(client.answer().body, b"count 6")
        for done in requests:
            self.successResultOf(done)
        self.assertIs(session._visits, None)

    def test_unavailable(self):
        """
        It does not matter that it is unknown what the cookie names.
        """
        there = self.serveElsewhere(self.root)
        client = self.client()
        client.fetch("/count")
        session = there.makeSession()
        session["count"] = 8
        self.successResultOf(session.save())
        self.chosen = session
        there.slow.hold("load")
        other = self.client(site=there, jar=client.jar)
        other.send("/choose")
        there.slow.fail(OUTAGE)
        there.slow.pass_()
        answer = other.answer()
        self.assertEqual(answer.body, b"count 9")
        self.assertEqual(answer.cookie.value.encode(), session.uid)


class RefusedTests(ChoosingCase):
    """
    Sessions that no request can have.
    """

    options = {"cookies": CookiePolicy(bearer=True)}  # noqa: RUF012 - a constant

    def test_noSession(self):
        """
        What is none.
        """
        for thing in (None, b"uid", server.Session(self.site, b"x", self.clock)):
            self.refuses(ConfigurationError, thing)

    def test_otherSite(self):
        """
        That of a site with another name, though the store is the same, or of none.
        """
        site = self.serve(self.root, siteName=b"other")
        session = site.makeSession()
        self.assertIn("this site", self.refuses(ConfigurationError, session))
        session.site = None
        self.refuses(ConfigurationError, session)

    def test_otherKind(self):
        """
        One that is of another kind: of plain HTTP, of TLS, or a program's.
        """
        for secure in (False, True):
            client = self.client(secure=secure)
            uid = client.fetch("/count").cookie.value.encode()
            session = self.site.sessions[uid]
            self.refuses(ConfigurationError, session, secure=not secure)
        self.client().fetch("/count", headers=("Authorization: Session",))
        (session,) = [s for s in self.site.sessions.values() if b" " in s._scheme[1]]
        self.assertIn("kind", self.refuses(ConfigurationError, session))

    def test_ended(self):
        """
        One that has ended, or was dropped.
        """
        session = self.made()
        self.successResultOf(session.expire())
        self.refuses(SessionGone, session)
        session = self.made()
        session._entry.drop()
        self.refuses(SessionStale, session)

    def test_transactions(self):
        """
        The one that a transaction works on.
        """
        tried = self.site.transact(
            self.made().uid, lambda draft: self.refuses(ConfigurationError, draft)
        )
        self.assertIn("transaction", self.successResultOf(tried))

    def test_started(self):
        """
        Any, once the response has begun.
        """
        requests, session = [], self.made()

        def page(request):
            request.write(b"begun")
            requests.append(request)
            return NOT_DONE_YET

        self.page(page)
        self.client().send("/page")
        with self.assertRaises(ResponseStarted):
            requests[0].setSession(session)
        requests[0].finish()
        with self.assertRaises(ResponseStarted):
            requests[0].setSession(session)

    def test_noSite(self):
        """
        A request of nobody's site.
        """
        request = Request(DummyChannel(), False)
        with self.assertRaises(ConfigurationError):
            request.setSession(self.made())


class BearerTests(ChoosingCase):
    """
    Requests that have C{Authorization: Session}.
    """

    options = RefusedTests.options

    def test_program(self):
        """
        They get no cookie, and the session is a program's from then on.
        """
        header = "Authorization: Session"
        self.chosen = self.made()
        answer = self.client().fetch("/choose", headers=(header,))
        self.assertEqual((answer.body, answer.cookie), (b"count 6", None))
        uid = self.chosen.uid.decode()
        answer = self.client().fetch("/look", headers=(f"{header} {uid}",))
        self.assertEqual(answer.body, b"count 6")
        answer = self.client().fetch("/look", headers=(f"Cookie: sid={uid}",))
        self.assertEqual(answer.body, b"count 0")


class MemoryTests(ChoosingCase):
    """
    A site without a store.
    """

    options = {"store": None}  # noqa: RUF012 - a constant

    def test_whole(self):
        """
        It works there too.
        """
        self.chosen = self.made()
        client = self.client()
        self.assertTrue(client.fetch("/choose").sets)
        self.assertEqual(client.fetch("/look").body, b"count 6")
