"""
Tests of L{txsessions.auth._guard}: which avatar somebody is served, and for how long.
What becomes of one by itself is in L{tests.auth.test_avatars}.
"""

from __future__ import annotations

from twisted.cred.checkers import AllowAnonymousAccess
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from tests.auth.guarding import GuardCase, Home
from tests.web.pages import Page
from txsessions.auth import SessionGuard


class AvatarTests(GuardCase):
    """
    How avatars come and go.
    """

    def test_restart(self):
        """
        In another process, where nobody brought a password, the realm is asked with
        the principal; once.
        """
        self.begin()
        client = self.signedIn()
        there = self.serveElsewhere(SessionGuard(self.portal))
        other = self.client(jar=client.jar, site=there)
        for _ in range(2):
            self.assertEqual(other.fetch("/a").body, b"ann at a")
        self.assertEqual(self.realm.asked, [b"ann", b"ann"])

    def test_memory(self):
        """
        An avatar goes when its session leaves memory, which it does in spite of the
        avatar; when that comes back it is asked for again.
        """
        self.begin()
        client = self.signedIn()
        self.clock.pump([30, 31])
        self.assertEqual(list(self.site.sessions), [])
        self.assertEqual(self.realm.left, [b"ann"])
        self.assertEqual(self.site._live.companions, {})
        other = self.client(jar=client.jar)
        self.assertEqual(other.fetch("/").body, b"ann at ")
        self.assertEqual(self.realm.asked, [b"ann", b"ann"])
        self.assertEqual(self.realm.left, [b"ann"])

    def test_expired(self):
        """
        Its logout is called once when the session ends, however that is; one that
        raises is logged.
        """
        self.begin()
        self.signedIn()
        [session] = self.site.sessions.values()
        self.realm.left = None
        session.expire()
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.realm.left = []
        client = self.signedIn()
        self.signOut(client)
        self.clock.advance(1000)
        self.assertEqual(self.realm.left, [b"ann"])

    def test_endOfSite(self):
        """
        Its logout is called when the site stops.
        """
        self.begin()
        self.signedIn()
        self.site.stopFactory()
        self.successResultOf(self.site.closed())
        self.assertEqual(self.realm.left, [b"ann"])

    def test_another(self):
        """
        Who signs in on the session of another gets his own, and the other's logout is
        called; also where the session stays.
        """
        for keep in (None, True):
            self.realm.asked, self.realm.left = [], []
            self.begin(keep=keep)
            client = self.client(site=self.sites[-1])
            self.signIn(client)
            self.signIn(client, "bob", "hunter2")
            self.assertEqual(client.fetch("/").body, b"bob at ")
            self.assertEqual(self.realm.asked, [b"ann", b"bob"])
            self.assertEqual(self.realm.left, [b"ann"])

    def test_byOtherMeans(self):
        """
        Who is signed in by the application itself is served too.
        """
        self.begin()
        self.guard.putChild(b"passkey", Page(self.passkey))
        client = self.client()
        client.fetch("/passkey")
        self.assertEqual(client.fetch("/").body, "\N{SNOWMAN} at ".encode())
        self.assertEqual(self.realm.asked, ["\N{SNOWMAN}".encode()])

    def test_anotherByOtherMeans(self):
        """
        Also where he takes over the session of another, which stays.
        """
        self.begin()
        self.guard.putChild(b"passkey", Page(self.passkey))
        client = self.signedIn()
        client.fetch("/passkey")
        self.assertEqual(client.fetch("/").body, "\N{SNOWMAN} at ".encode())
        self.assertEqual(self.realm.left, [b"ann"])

    def passkey(self, request):
        """
        Sign somebody in.
        """
        request.getSession().login(request, "\N{SNOWMAN}", keep=True)
        return b""

    def test_ownAttribute(self):
        """
        An application's own attributes of such names disturb nothing.
        """
        self.begin()
        client = self.signedIn()
        [session] = self.site.sessions.values()
        session.principal, session.login, session.logout = "bob", 1, 2
        session.csrfToken = 3
        self.assertEqual(client.fetch("/").body, b"ann at ")
        self.signIn(client)
        self.assertEqual(self.signOut(client).code, 303)

    def test_deferred(self):
        """
        A realm may take its time: all that come meanwhile wait for one answer; who has
        left is not served.
        """
        self.begin()
        client = self.signedIn()
        there = self.serveElsewhere(SessionGuard(self.portal))
        answers = []
        home = self.realm.answer
        self.realm.answer = lambda avatarId: answers.append(Deferred()) or answers[-1]
        others = [self.client(jar=client.jar, site=there) for _ in range(3)]
        for other in others:
            other.send("/a/b")
        others[2].leave()
        self.assertTrue(others[0].silent)
        answers[0].callback(home(b"ann"))
        for other in others[:2]:
            self.assertEqual(other.answer().body, b"ann at a/b")
        self.assertEqual(len(answers), 1)

    def test_deferredItself(self):
        """
        So it is where the guard itself is rendered.
        """
        self.portal.registerChecker(AllowAnonymousAccess())
        answer = Deferred()
        self.realm.answer = lambda avatarId: answer
        root = Resource()
        root.putChild(b"app", SessionGuard(self.portal))
        self.serve(root)
        client = self.client()
        client.send("/app")
        answer.callback((IResource, Home(b"nobody"), lambda: None))
        self.assertEqual(client.answer().body, b"nobody at app")

    def test_signedOutMeanwhile(self):
        """
        Who signs out while the realm thinks is not served what it gives, and its logout
        is called.
        """
        self.begin()
        client = self.signedIn()
        self.clock.pump([30, 31])
        home = self.realm.answer
        answer = Deferred()
        self.realm.answer = lambda avatarId: answer
        self.realm.left = []
        one, other = (self.client(jar=client.jar) for _ in range(2))
        one.send("/a")
        self.signOut(other)
        answer.callback(home(b"ann"))
        self.assertEqual(one.answer().get("location"), "/login?next=/a")
        self.assertEqual(self.realm.left, [b"ann"])

    def test_refused(self):
        """
        Somebody whom the realm does not want any more has to sign in; what else it
        raises is an error, and it is asked again.
        """
        self.begin()
        client = self.signedIn()
        self.clock.pump([30, 31])
        client = self.client(jar=client.jar)
        home = self.realm.answer
        self.realm.answer = lambda avatarId: fail(UnauthorizedLogin())
        self.assertEqual(client.fetch("/a").get("location"), "/login?next=/a")
        self.expects500 = True
        for wrong in (
            fail(KeyError("a")),
            succeed((IResource, None)),
            succeed((IResource, None, lambda: None)),
            None,
        ):
            self.realm.answer = lambda avatarId, wrong=wrong: wrong
            self.assertEqual(client.fetch("/a").code, 500)
        self.assertEqual(len(self.flushLoggedErrors()), 4)
        self.realm.answer = home
        self.assertEqual(client.fetch("/a").body, b"ann at a")

    def test_twoGuards(self):
        """
        Two guards of one site each have an avatar of their own.
        """
        root = Resource()
        for name in (b"x", b"y"):
            root.putChild(name, SessionGuard(self.portal))
        self.serve(root)
        client = self.signedIn(path="/x/login")
        self.assertEqual(client.fetch("/y/a").body, b"ann at y/a")
        self.assertEqual(client.fetch("/x/a").body, b"ann at x/a")
        self.assertEqual(len(self.realm.asked), 2)

    def test_lostMeanwhile(self):
        """
        A realm that fails after the client has left disturbs nobody.
        """
        self.begin()
        client = self.signedIn()
        self.clock.pump([30, 31])
        for failure in (KeyError("a"), UnauthorizedLogin()):
            answer = Deferred()
            self.realm.answer = lambda avatarId, answer=answer: answer
            other = self.client(jar=client.jar)
            other.send("/a")
            other.leave()
            answer.errback(failure)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_closing(self):
        """
        A site that closes while the realm thinks answers 503.
        """
        self.begin()
        client = self.signedIn()
        self.clock.pump([30, 31])
        home = self.realm.answer
        answer = Deferred()
        self.realm.answer = lambda avatarId: answer
        client = self.client(jar=client.jar)
        client.send("/a")
        self.site.stopFactory()
        self.successResultOf(self.site.closed())
        answer.callback(home(b"ann"))
        self.assertEqual(client.answer().code, 503)
        self.assertEqual(self.realm.left, [b"ann", b"ann"])
        self.clock.advance(61)

    def test_slowPage(self):
        """
        A page of an avatar may answer later.
        """
        waiting = []
        self.realm.make = lambda who: Page(lambda r: waiting.append(r) or NOT_DONE_YET)
        self.begin()
        client = self.signedIn()
        client.send("/a")
        waiting[0].write(b"late")
        waiting[0].finish()
        self.assertEqual(client.answer().body, b"late")
