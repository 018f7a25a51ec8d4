"""
Signing out, and having to sign in again.
"""

from __future__ import annotations

from twisted.web.resource import Resource

from tests.web.pages import OUTAGE, Page, change
from tests.web.signing import SignInCase, look, signIn, signOut
from txsessions import Session
from txsessions.errors import ConfigurationError, SessionGone, SignInNeeded


class SignOutTests(SignInCase):
    """
    What a logout does.
    """

    expectsDeletion = True

    def test_out(self):
        """
        The record is gone, in every process, before the answer; it deletes the
        cookie.
        """
        there = self.serveElsewhere(self.root)
        client = self.visitor("/count", "/in")
        old = client.sent()[0].decode()
        self.assertEqual(self.asked(old, there).body, b"ann 1 1")
        self.store.hold()
        client.send("/out")
        self.assertEqual(self.store.names(), ["delete"])
        self.assertTrue(client.silent)
        self.store.pass_()
        answer = client.answer()
        self.assertTrue(answer.deletes)
        self.assertIsNone(answer.get("clear-site-data"))
        self.assertEqual(self.stored(), 0)
        for site in (self.site, there):
            self.assertEqual(self.asked(old, site).body, b"nobody 0 0")

    def test_wrongKind(self):
        """
        It does not end the session of an id that came by the cookie of the other kind.
        """
        client = self.client(secure=True)
        client.fetch("/in")
        value = client.sent()[0].decode().partition("=")[2]
        answer = self.asked(f"sid={value}", path="/out")
        self.assertEqual((answer.code, answer.body), (200, b"out"))
        self.assertEqual(client.fetch("/look").body, b"ann 1 0")

    def test_newSession(self):
        """
        The same request gets a new session if it asks for one, with nothing in it
        but what is put there, and somebody may sign in on it.
        """
        outcomes = []

        def page(request):
            session = change(request)
            session.logout(request)
            fresh = request.getSession()
            self.assertIsNot(fresh, session)
            outcomes.append((fresh.principal, dict(fresh.sessionNamespaces)))
            fresh["count"] = 3
            if request.args:
                signIn(request)
            return look(request)

        self.page(page)
        for path, told in (("/page", b"nobody 0 3"), ("/page?who=ann", b"ann 1 3")):
            client = self.visitor("/count", "/in")
            old = client.sent()[0].decode()
            answer = client.fetch(path)
            self.assertTrue(answer.sets)
            self.assertEqual(answer.body, told)
            self.assertEqual(self.seen(client), told)
            self.assertEqual(self.asked(old).body, b"nobody 0 0")
        self.assertEqual(outcomes, [(None, {})] * 2)
        self.assertEqual(self.stored(), 2)

    def test_endedBetween(self):
        """
        A request that has signed somebody in, and ended that by itself, may sign the
        same one in once more, also where the session was its own; one whose sign-in
        somebody else has ended may not.
        """
        outcomes = []

        def page(request):
            for _ in range(3):
                session = request.getSession()
                outcomes.append(session.login(request, "ann"))
                if len(outcomes) < 3:
                    session.expire()
            return look(request)

        self.page(page)
        for paths in ((), ("/count",), ("/in",)):
            client = self.visitor(*paths) if paths else self.client()
            answer = client.fetch("/page")
            self.assertEqual((answer.body, answer.sets), (b"ann 1 0", True))
            for outcome in outcomes:
                self.assertIsNone(self.successResultOf(outcome))
            self.assertEqual(self.seen(client), b"ann 1 0")
            del outcomes[:]
        client = self.client()
        client.send("/wait")
        request, session = self.waiting.pop()
        self.successResultOf(session.login(request, "ann"))
        self.successResultOf(self.site.endPrincipal("ann"))
        outcome = request.getSession().login(request, "ann", level=2)
        self.failureResultOf(outcome, SessionGone)
        self.finish(request, b"done")
        self.assertFalse(client.answer().sets)

    def test_nobody(self):
        """
        Without a session there is nothing to do.  A dead id is deleted, since that is
        what the visitor asked for.
        """
        client = self.visitor()
        dead = self.twin(client)
        client.fetch("/out")
        calls = len(self.store.calls)
        for _ in range(100):
            answer = self.client().fetch("/out")
            self.assertEqual((answer.code, answer.cookie), (200, None))
        self.assertEqual(len(self.store.calls), calls)
        self.assertTrue(dead.fetch("/out").deletes)
        self.assertFalse(dead.sent())
        self.assertEqual(self.stored(), 0)
        self.assertEqual(dict(self.site.sessions), {})

    def test_afterSigningIn(self):
        """
        Signed in and out in one request.
        """

        def page(request):
            session = change(request)
            session.login(request, "ann", keep=not request.args)
            session.logout(request)
            return b"out"

        self.page(page)
        for path in ("/page", "/page?a=b"):
            client = self.visitor()
            self.assertTrue(client.fetch(path).deletes)
            self.assertEqual(self.stored(), 0)
            self.assertIsNone(self.client().fetch(path).cookie)
            self.assertEqual(self.stored(), 0)

    def test_afterHeaders(self):
        """
        When the response has started, the cookie stays, and is worth nothing.
        """

        def page(request):
            session = request.getSession()
            request.write(b"one")
            session.logout(request, clear=["cache"])
            request.finish()
            return 1

        self.page(page)
        client = self.visitor("/count", "/in")
        answer = client.fetch("/page")
        self.assertIsNone(answer.cookie)
        self.assertIsNone(answer.get("clear-site-data"))
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.seen(client), b"nobody 0 0")

    def test_clear(self):
        """
        A browser can be told to forget more.
        """
        client = self.visitor()
        answer = client.fetch("/out?clear=cache&clear=storage")
        self.assertEqual(answer.get("clear-site-data"), '"cache", "storage"')
        self.assertTrue(answer.deletes)
        client = self.visitor()
        self.assertEqual(client.fetch("/out?clear=*").get("clear-site-data"), '"*"')

    def test_clearWhat(self):
        """
        What no browser knows is refused before anything is done.
        """

        def page(request):
            session = change(request)
            for wrong in (["cash"], ["cache", "x\r\nSet-Cookie: a"], "cache", "*"):
                self.assertRaises(
                    ConfigurationError, session.logout, request, clear=wrong
                )
            self.assertRaises(ConfigurationError, session.logout, object())
            return look(request)

        self.page(page)
        client = self.visitor()
        answer = client.fetch("/page")
        self.assertEqual(answer.body, b"nobody 0 2")
        self.assertIsNone(answer.get("clear-site-data"))

    def test_outage(self):
        """
        If the store is down the answer says so, the cookie goes nevertheless, and the
        id is refused here from now on.
        """
        client = self.visitor("/count", "/in", "/look")
        twin = self.twin(client)
        self.store.down = OUTAGE
        answer = client.fetch("/out")
        self.assertEqual(answer.code, 503)
        self.assertTrue(answer.deletes)
        self.store.down = None
        self.assertEqual(self.seen(twin), b"nobody 0 0")
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)

    def test_others(self):
        """
        Other requests of the session do not bring it back, and delete no cookie.
        """
        client = self.visitor("/count", "/in")
        twin = self.twin(client)
        twin.send("/wait")
        client.fetch("/out")
        request, session = self.waiting.pop()
        session["count"] = 100
        self.finish(request, b"late")
        self.assertIsNone(twin.answer().cookie)
        self.assertEqual(self.stored(), 0)

    def test_stale(self):
        """
        A session that could not be saved is logged out too.
        """

        def page(request):
            session = change(request)
            self.store.down = OUTAGE
            session.save()
            self.store.down = None
            session.logout(request)
            return b"out"

        self.page(page)
        client = self.visitor("/count", "/in")
        self.assertTrue(client.fetch("/page").deletes)
        self.assertEqual(self.stored(), 0)


class Departing(Session):
    """
    A session that does more when it ends.
    """

    departed = 0

    def expire(self):
        """
        Count, and end.
        """
        Departing.departed += 1
        return super().expire()


class OwnExpireTests(SignInCase):
    """
    An C{expire} of the application's own.
    """

    def test_called(self):
        """
        It does its part, once for each logout.
        """

        def page(request):
            session = request.getSession()
            session.logout(request)
            session.logout(request)
            return b"out"

        self.page(page)
        self.site.sessionFactory = Departing
        Departing.departed = 0
        for number, path in enumerate(("/out", "/page")):
            client = self.visitor("/count", "/in")
            self.assertTrue(client.fetch(path).deletes)
            self.assertEqual(Departing.departed, number + 1)
            self.assertEqual(self.stored(), 0)


class FreshTests(SignInCase):
    """
    What wants a sign-in that is not long ago.
    """

    def setUp(self):
        """
        Serve a page that does.
        """
        super().setUp()
        self.needed = []

        def page(request):
            level = int(request.args.get(b"level", [b"1"])[0])
            try:
                change(request).requireFresh(300, level=level)
            except SignInNeeded as error:
                self.needed.append(error)
                if b"pass" in request.args:
                    raise
                return b"no"
            return b"yes"

        self.page(page)

    def test_age(self):
        """
        It goes for so long after a sign-in, and no longer, however busy the session
        is; nobody is never fresh.
        """
        client = self.visitor()
        self.assertEqual(self.seen(client, "/page"), b"no")
        self.seen(client, "/in")
        for seconds, told in ((0, b"yes"), (200, b"yes"), (99, b"yes"), (1, b"no")):
            self.clock.advance(seconds)
            self.assertEqual(self.seen(client, "/page"), told)
        self.seen(client, "/in")
        self.assertEqual(self.seen(client, "/page"), b"yes")

    def test_level(self):
        """
        It may have to be surer.
        """
        client = self.visitor("/in")
        self.assertEqual(self.seen(client, "/page?level=2"), b"no")
        self.seen(client, "/in?level=2")
        self.assertEqual(self.seen(client, "/page?level=2"), b"yes")
        self.assertEqual(self.seen(client, "/page?level=1"), b"yes")

    def test_says(self):
        """
        The error says what a page needs to know, and not who it is about.
        """
        client = self.visitor()
        self.seen(client, "/page")
        self.seen(client, "/in?who=annabel")
        self.seen(client, "/page?level=3")
        nobody, somebody = self.needed
        self.assertEqual((nobody.seconds, nobody.level), (300, 1))
        self.assertIsNone(nobody.authenticatedAt)
        self.assertEqual((somebody.seconds, somebody.level), (300, 3))
        self.assertEqual(somebody.authenticatedAt, self.clock.seconds())
        self.assertNotIn("annabel", str(somebody))

    def test_passed(self):
        """
        A page that lets it pass answers 403, keeps what was changed before, and no
        error is logged.
        """
        client = self.visitor("/count")
        answer = client.fetch("/page?pass=1")
        self.assertEqual(answer.code, 403)
        self.assertIn(b"sign in", answer.body)
        self.assertEqual(self.seen(client), b"nobody 0 2")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_passedByNobody(self):
        """
        The same for somebody without a session, and for C{HEAD}.
        """
        root = Resource()
        root.putChild(b"", Page(lambda r: r.getSession().requireFresh(1)))
        site = self.serve(root, store=None)
        for method in ("GET", "HEAD"):
            answer = self.client(site=site).fetch("/", method)
            self.assertEqual(answer.code, 403)
            self.assertIsNone(answer.cookie)

    def test_setBack(self):
        """
        A clock that was set back by more than five minutes makes nothing fresh: not
        what was proved just before, and not what seems recent only since then.
        """
        client = self.visitor("/in")
        self.clock.rightNow -= 299
        self.assertEqual(self.seen(client, "/page"), b"yes")
        self.clock.rightNow -= 2
        self.assertEqual(self.seen(client, "/page"), b"no")
        client = self.visitor("/in")
        self.clock.advance(800)
        self.seen(client)
        self.clock.rightNow -= 800
        self.assertEqual(self.seen(client, "/page"), b"no")

    def test_setBackElsewhere(self):
        """
        In a process too that has not seen the session before.
        """
        client = self.visitor("/in")
        self.clock.advance(800)
        self.seen(client)
        self.clock.rightNow -= 800
        there = self.serveElsewhere(self.root)
        self.assertEqual(self.seen(self.twin(client, there), "/page"), b"no")

    def test_ended(self):
        """
        Nothing is fresh in a session that has ended.
        """
        session = self.visitor("/in") and next(iter(self.site.sessions.values()))
        session.requireFresh(300)
        session.expire()
        self.assertRaises(SignInNeeded, session.requireFresh, 300)

    def test_wrong(self):
        """
        Seconds are a number of them.
        """
        self.visitor("/in")
        (session,) = self.site.sessions.values()
        for wrong in (0, -1, None, "300"):
            self.assertRaises(ConfigurationError, session.requireFresh, wrong)

    def test_withoutASite(self):
        """
        A session of no site has nobody signed in.
        """
        session = Session(None, b"1" * 64, self.clock)
        self.assertIsNone(session.principal)
        self.assertEqual((session.level, session.authenticatedAt), (0, None))
        self.assertRaises(SignInNeeded, session.requireFresh, 300)
        self.assertRaises(ConfigurationError, session.login, object(), "ann")
        self.assertRaises(ConfigurationError, session.logout, object())


__all__ = ["FreshTests", "SignOutTests", "signOut"]
