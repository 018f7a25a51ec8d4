"""
Tests of L{txsessions.web.asking}: C{request.logout()}, and which session that ends.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web import server

from tests.web.leaving import LeavingCase
from tests.web.pages import OUTAGE
from txsessions import CookiePolicy, Request
from txsessions.errors import ConfigurationError, StoreUnavailable
from txsessions.live.resting import LINGER


class ReadTests(LeavingCase):
    """
    Where it is known whose session it is, C{request.logout()} is C{session.logout()}.
    """

    def test_whole(self):
        """
        The response waits for the store and deletes the cookie, and the id is dead.
        """
        for make in (lambda: self.visitor("/in"), self.away):
            client = make()
            twin = self.twin(client)
            self.store.hold("delete")
            client.send("/leave?clear=cache&clear=storage")
            self.assertTrue(client.silent)
            self.store.pass_()
            answer = client.answer()
            self.assertEqual((answer.code, answer.body), (200, b"left"))
            self.assertTrue(answer.deletes)
            self.assertEqual(answer.get("clear-site-data"), '"cache", "storage"')
            self.assertEqual(self.stored(), 0)
            self.assertEqual(self.seen(twin), b"nobody 0 0")
        self.assertEqual(self.ends(), [("logout", "ann")] * 2)
        self.assertEqual(self.calls(), 2)

    def test_outage(self):
        """
        If the store fails only then, it is answered 503, with all that the browser is
        to forget.
        """
        client = self.visitor("/in")
        self.store.down = OUTAGE
        answer = self.assertLeft(client, "/leave?clear=*")
        self.assertEqual(answer.get("clear-site-data"), '"*"')
        self.assertEqual(self.ends(), [("logout", "ann")])
        client = self.visitor("/look")
        client.fetch("/leave?clear=*")
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.ends(), [("logout", "ann")])

    def test_onlyOfALogout(self):
        """
        What an application says by itself goes, when we answer in its place.
        """

        def page(request):
            request.setHeader(b"Clear-Site-Data", b'"cache"')
            request.getSession()["more"] = 1
            return b""

        self.page(page)
        client = self.visitor("/in")
        self.store.down = OUTAGE
        answer = client.fetch("/page")
        self.assertEqual((answer.code, answer.get("clear-site-data")), (503, None))

    def test_nobody(self):
        """
        Who brings no id has nothing to end: no session is made, and no store asked,
        be it there or not.
        """
        for down in (None, OUTAGE):
            self.store.down = down
            before = list(self.store.calls)
            for _ in range(3):
                answer = self.client().fetch("/leave")
                self.assertEqual((answer.code, answer.cookie), (200, None))
            self.assertEqual(self.store.calls, before)
            self.assertEqual(self.uids, [])
        self.assertEqual(self.ends(), [])

    def test_deferred(self):
        """
        A page may wait for it.
        """
        outcomes = []

        def page(request):
            done = request.logout()
            self.assertIsInstance(done, Deferred)
            done.addBoth(outcomes.append)
            return b""

        self.page(page)
        self.client().fetch("/page")
        self.visitor("/in").fetch("/page")
        client = self.away()
        self.store.down = OUTAGE
        client.fetch("/page")
        self.assertEqual(outcomes[:2], [None] * 2)
        outcomes[2].trap(StoreUnavailable)

    def test_made(self):
        """
        A session that was made in the same request leaves no record.
        """

        def page(request):
            request.getSession()["more"] = 1
            request.logout()
            return b""

        self.page(page)
        answer = self.client().fetch("/page")
        self.assertEqual((answer.code, answer.cookie), (200, None))
        self.assertEqual((self.stored(), self.calls("insert")), (0, 0))

    def test_twice(self):
        """
        Twice is once, in whatever way.
        """

        def twice(request):
            request.logout()
            request.logout()
            return b""

        def both(request):
            request.getSession().logout(request)
            request.logout()
            return b""

        for page in (twice, both):
            self.page(page)
            before = self.calls()
            self.assertTrue(self.visitor("/in").fetch("/page").deletes)
            self.assertEqual(self.calls(), before + 1)
            self.assertEqual(self.stored(), 0)

    def test_deadId(self):
        """
        With the id of a session that is gone there is nothing to end, but the cookie.
        """
        client = self.visitor("/in")
        twin, third = self.twin(client), self.twin(client)
        client.fetch("/leave")
        self.goBy(LINGER)
        before = self.calls()
        for one in (twin, third):
            answer = self.again(one).fetch("/leave")
            self.assertEqual(answer.code, 200)
            self.assertTrue(answer.deletes)
        self.assertEqual(self.calls(), before)
        self.assertEqual(self.ends(), [("logout", "ann")])
        self.assertEqual(self.stored(), 0)

    def test_rotatedByAnother(self):
        """
        What the request came by goes, though another has signed in on it meanwhile:
        that ends too.
        """
        client = self.visitor()
        other = self.twin(client)
        other.send("/wait")
        client.fetch("/in")
        request, _ = self.waiting.pop()
        request.logout()
        request.finish()
        self.assertEqual(self.seen(client), b"nobody 0 0")
        self.assertEqual(self.stored(), 0)

    def test_setSession(self):
        """
        A session that was given to the request is the one that ends.
        """
        client = self.visitor("/in")
        session = next(iter(self.site.sessions.values()))

        def page(request):
            request.setSession(session)
            request.logout()
            return b""

        self.page(page)
        self.client().fetch("/page")
        self.assertEqual(self.seen(client), b"nobody 0 0")

    def test_withoutStore(self):
        """
        So it is where there is no store.
        """
        site = self.serve(self.root, store=None)
        client = self.visitor("/in", site=site)
        twin = self.twin(client, site=site)
        self.assertTrue(client.fetch("/leave").deletes)
        self.assertEqual(self.seen(twin), b"nobody 0 0")
        self.assertIsNone(self.client(site=site).fetch("/leave").cookie)

    def test_refused(self):
        """
        What a browser would not know is refused before anything ends, and so are
        requests of other sites.
        """
        wrongs = []

        def page(request):
            wrongs.extend(
                str(self.assertRaises(ConfigurationError, request.logout, clear=clear))
                for clear in (["everything"], "cache")
            )
            return b""

        self.page(page)
        client = self.visitor("/in", "/page")
        self.goBy(LINGER)
        client = self.again(client)
        self.store.down = OUTAGE
        self.assertEqual(client.fetch("/page").code, 200)
        self.assertEqual(len(wrongs), 4)
        self.store.down = None
        self.assertEqual(self.seen(client), b"ann 1 0")
        self.assertRaises(ConfigurationError, _Stranger().logout)

    def test_theirs(self):
        """
        The name gives way to an application's own.
        """

        class Theirs(server.Request):
            """
            One of Twisted's.
            """

            def logout(self):
                """
                Their own.
                """
                return b"theirs"

        for policy in (None, CookiePolicy(bearer=True)):
            site = self.serve(
                lambda request: request.logout(), requestFactory=Theirs, cookies=policy
            )
            self.assertEqual(self.client(site=site).fetch().body, b"theirs")


class _Stranger(Request):
    """
    A request that has nothing to do with a site of ours.
    """

    site = channel = None

    def __init__(self):
        pass


class WhichTests(LeavingCase):
    """
    Which session it is, of those that a request came with.
    """

    def both(self):
        """
        A browser that has a session of each kind.
        """
        client = self.away()
        secure = self.client(jar=client.jar, secure=True)
        secure.fetch("/in?who=bob")
        self.goBy(LINGER)
        self.assertEqual(len(secure.sent()[0].split(b";")), 2)
        return self.again(client), self.again(secure)

    def test_kind(self):
        """
        That which C{getSession()} would give: over TLS it is not the one without.
        """
        for down in (None, OUTAGE):
            client, secure = self.both()
            self.store.down = down
            answer = secure.fetch("/leave")
            self.assertEqual(list(answer.cookies), ["__Host-sid"])
            self.store.down = None
            self.clock.advance(2)
            self.assertEqual(self.seen(client), b"ann 1 0")
            self.assertEqual(self.stored(), 1)
            client.fetch("/leave")

    def test_forced(self):
        """
        The other one by C{forceNotSecure}.
        """
        self.page(lambda request: request.logout(forceNotSecure=True) and b"")
        for down in (None, OUTAGE):
            client, secure = self.both()
            twin = self.twin(client)
            self.store.down = down
            self.assertEqual(list(secure.fetch("/page").cookies), ["sid"])
            self.store.down = None
            self.clock.advance(2)
            self.assertEqual(self.seen(twin), b"nobody 0 0")
            self.assertEqual(secure.fetch("/look").body, b"bob 1 0")
            secure.fetch("/leave")

    def test_differing(self):
        """
        Of two cookies that differ neither is taken, and so neither ends.
        """
        one, other = self.away().sent()[0], self.away().sent()[0]
        self.store.down = OUTAGE
        cookie = b"; ".join((one, other)).decode()
        answer = self.asked(cookie, path="/leave")
        self.assertEqual((answer.code, answer.cookie), (200, None))
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.stored(), 2)

    def test_same(self):
        """
        Copies of one are one.
        """
        cookie = self.away().sent()[0].decode()
        self.store.down = OUTAGE
        answer = self.asked(f"{cookie}; {cookie}", path="/leave")
        self.assertEqual((answer.code, answer.deletes), (503, True))
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)

    def test_wrongKind(self):
        """
        An id that comes by the cookie of the other kind ends nothing, as far as it is
        known that it is one.
        """
        client = self.client(secure=True)
        client.fetch("/in")
        value = client.sent()[0].decode().partition("=")[2]
        for down in (None, OUTAGE):
            for path in ("/out", "/leave")[bool(down) :]:
                self.store.sharedWithOthers = True
                self.store.down = down
                answer = self.asked(f"sid={value}", path=path)
                self.assertEqual(answer.code, 200)
                self.store.down = None
                self.clock.advance(2)
                self.assertEqual(client.fetch("/look").body, b"ann 1 0")
