"""
Tests of L{txsessions.auth._guard}: who is served what, and where the guard is.
"""

from __future__ import annotations

from twisted.cred.checkers import (
    AllowAnonymousAccess,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import fail
from twisted.web import server
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import Resource
from twisted.web.static import Data

from tests.auth.guarding import GuardCase, Home
from tests.web.pages import OUTAGE, Page
from txsessions import CSRFProtected
from txsessions.auth import SessionGuard
from txsessions.core.signin import MAX_REMEMBER
from txsessions.errors import ConfigurationError

BASIC = "Authorization: Basic YW5uOnNlc2FtZQ=="


class ServedTests(GuardCase):
    """
    Who is served what.
    """

    def test_signIn(self):
        """
        A visitor is led to the login page and back to where he wanted to go, and
        served by the avatar that the realm has for him, at whatever depth.
        """
        self.begin()
        client = self.client()
        answer = client.fetch("/a/b?c=d")
        self.assertEqual(answer.code, 303)
        self.assertIn("no-store", answer.get("cache-control"))
        self.assertEqual(answer.get("vary"), "Cookie")
        where = answer.get("location")
        self.assertEqual(where, "/login?next=/a/b%3Fc%3Dd")
        answer = self.signIn(client, path=where)
        self.assertEqual(answer.code, 303)
        self.assertEqual(answer.get("location"), "/a/b?c=d")
        self.assertEqual(client.fetch("/a/b?c=d").body, b"ann at a/b")
        self.assertEqual(self.realm.asked, [b"ann"])

    def test_head(self):
        """
        So it is with HEAD, which gets no body.
        """
        self.begin()
        client = self.client()
        self.assertEqual(client.fetch("/a", "HEAD").get("location"), "/login?next=/a")
        self.assertEqual(client.fetch("/login", "HEAD").body, b"")
        client = self.signedIn()
        answer = client.fetch("/a", "HEAD")
        self.assertEqual((answer.code, answer.get("content-length")), (200, "8"))

    def test_posted(self):
        """
        What somebody sends who is not signed in goes nowhere: he sees the form.
        """
        self.begin()
        client = self.client()
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = client.fetch("/a", method)
            self.assertEqual(answer.code, 403)
            self.assertIn(b"Please sign in first", answer.body)
            self.assertEqual(answer.get("www-authenticate"), None)
        fields = self.fields(answer)
        self.assertEqual(fields["next"], "/")
        self.post(client, "/login", {**fields, "username": "ann", "password": "sesame"})
        self.assertEqual(client.answer().code, 303)
        self.post(client, "/a", {"x": "y"})
        self.assertEqual(client.answer().body, b"posted to ann at a")

    def test_noStore(self):
        """
        Pages of users are kept by no cache, unless they say something else.
        """
        self.begin()
        client = self.signedIn()
        self.assertEqual(client.fetch("/").get("cache-control"), "no-store")
        self.realm.make = lambda who: Page(self.cached)
        client = self.signedIn("bob", "hunter2")
        self.assertEqual(client.fetch("/").all("cache-control"), ["max-age=5"])

    def cached(self, request):
        """
        A page that may be cached.
        """
        request.setHeader(b"cache-control", b"max-age=5")
        return b"cached"

    def test_leaf(self):
        """
        An avatar that is a leaf sees the whole way.
        """
        self.realm.make = lambda who: Page(
            lambda request: (
                b"%s|%s" % tuple(map(repr_, (request.prepath, request.postpath)))
            )
        )
        self.begin()
        client = self.signedIn()
        self.assertEqual(client.fetch("/a/b").body, b"[]|[b'a', b'b']")
        self.assertEqual(client.fetch("/").body, b"[]|[b'']")

    def test_everybodys(self):
        """
        What is put beside the pages of the guard is for everybody, also while the store
        is down; it cannot take their place.
        """
        self.begin()
        self.guard.putChild(b"style.css", Data(b"p{}", "text/css"))
        client = self.client()
        self.assertEqual(client.fetch("/style.css").body, b"p{}")
        self.assertRaises(ConfigurationError, self.guard.putChild, b"login", Resource())
        self.assertRaises(
            ConfigurationError, self.guard.putChild, b"logout", Resource()
        )

    def test_below(self):
        """
        There is nothing below the pages of the guard.
        """
        self.begin()
        client = self.signedIn()
        for path in ("/login/", "/login/a", "/logout/"):
            self.assertEqual(client.fetch(path).code, 404)

    def test_outage(self):
        """
        A store that is down makes nobody a stranger: 503, no way to the login page.
        """
        self.begin()
        client = self.signedIn()
        self.store.sharedWithOthers = True
        self.store.down = OUTAGE
        for path in ("/", "/login"):
            self.assertEqual(client.fetch(path).code, 503)
        self.store.down = None
        self.assertEqual(client.fetch("/").body, b"ann at ")

    def test_otherSite(self):
        """
        On a site of another kind it says what it needs.
        """
        guard = SessionGuard(self.portal)
        site = server.Site(guard, reactor=self.clock)
        self.serve(Resource())
        self.expects500 = True
        self.assertEqual(self.client(site=site).fetch("/").code, 500)
        [error] = self.flushLoggedErrors(ConfigurationError)
        self.assertIn("txsessions Site", str(error.value))


def repr_(value):
    """
    A value as bytes.
    """
    return repr(value).encode()


class PlaceTests(GuardCase):
    """
    Where the guard may be.
    """

    def below(self, *segments, **how):
        """
        Put a guard somewhere below the root.
        """
        self.guard = SessionGuard(self.portal, **how)
        root = child = Resource()
        for segment in segments[:-1]:
            child.putChild(segment, Resource())
            child = child.children[segment]
        child.putChild(segments[-1], self.guard)
        self.serve(root)

    def test_below(self):
        """
        Its addresses are those of where it is.
        """
        self.below(b"x", b"a b")
        client = self.client()
        answer = client.fetch("/x/a%20b/c")
        self.assertEqual(answer.get("location"), "/x/a%20b/login?next=/x/a%2520b/c")
        answer = self.signIn(client, path=answer.get("location"))
        self.assertEqual(answer.get("location"), "/x/a%20b/c")
        self.assertEqual(client.fetch("/x/a%20b/c").body, b"ann at x/a b/c")
        self.post(client, "/x/a%20b/logout", self.form(client, "/x/a%20b/logout"))
        self.assertEqual(client.answer().get("location"), "/x/a%20b/")

    def test_itself(self):
        """
        Without anything behind it the guard itself is rendered.
        """
        self.below(b"app")
        client = self.client()
        answer = client.fetch("/app")
        self.assertEqual(answer.get("location"), "/app/login?next=/app")
        self.signIn(client, path="/app/login?next=/app")
        self.assertEqual(client.fetch("/app").body, b"ann at app")
        self.assertEqual(client.fetch("/app", "POST").body, b"posted to ann at app")

    def test_slashes(self):
        """
        However many slashes come before it, nobody is led to another host.
        """
        self.guard = SessionGuard(self.portal)

        class Anywhere(Resource):
            def getChild(this, path, request):
                return self.guard if path == b"app" else this

        self.serve(Anywhere())
        answer = self.client().fetch("//evil.example/app/x")
        self.assertEqual(answer.get("location"), "/evil.example/app/login")

    def test_names(self):
        """
        The pages may be called something else; two things need two names.
        """
        self.begin(login=b"sign in", logout=b"bye")
        client = self.client()
        self.assertEqual(client.fetch("/a").get("location"), "/sign%20in?next=/a")
        self.signIn(client, path="/sign%20in")
        self.assertEqual(client.fetch("/login").body, b"ann at login")
        self.assertEqual(self.fields(client.fetch("/bye")).keys(), {"csrf_token"})
        for how in (
            {"login": b""},
            {"login": "login"},
            {"login": b"a/b"},
            {"logout": b"login"},
            {"level": 0},
            {"level": "1"},
            {"remember": 0},
            {"remember": True},
            {"remember": 60.0},
            {"remember": MAX_REMEMBER + 1},
        ):
            self.assertRaises(ConfigurationError, SessionGuard, self.portal, **how)

    def test_protected(self):
        """
        It works below C{CSRFProtected}, where what users post is checked too.
        """
        self.guard = SessionGuard(self.portal)
        self.serve(CSRFProtected(self.guard))
        client = self.signedIn()
        self.assertEqual(client.fetch("/", "POST").code, 403)
        self.post(client, "/a", self.form(client, "/login"))
        self.assertEqual(client.answer().body, b"posted to ann at a")

    def test_authorization(self):
        """
        Programs that send a password with each request are served by Twisted's own
        wrapper beside the guard, and behind it.
        """
        wrapper = HTTPAuthSessionWrapper(self.portal, [BasicCredentialFactory(b"here")])
        self.begin()
        self.guard.putChild(b"api", wrapper)
        self.realm.make = self.home(wrapper)
        client = self.client()
        self.assertEqual(client.fetch("/api/a").code, 401)
        self.assertEqual(client.fetch("/api/a", headers=(BASIC,)).body, b"ann at api/a")
        self.assertEqual(self.realm.left, [b"ann"])
        self.assertEqual(client.fetch("/inner/a", headers=(BASIC,)).code, 303)
        client = self.signedIn("bob", "hunter2")
        self.assertEqual(client.fetch("/inner/a").code, 401)
        answer = client.fetch("/inner/a", headers=(BASIC,))
        self.assertEqual(answer.body, b"ann at inner/a")

    def home(self, wrapper):
        """
        Make homes with something behind a wrapper.
        """

        class WithInner(Home):
            def getChild(self, path, request):
                return wrapper if path == b"inner" else self

        return WithInner

    def check(self, answer):
        """
        See L{WebCase.check}: Twisted's wrapper answers 401.
        """
        if answer.code != 401:
            super().check(answer)


class UsersTests(GuardCase):
    """
    Several guards of one site, and their users.
    """

    def both(self, one, other):
        """
        Serve two guards, C{/x} and C{/y}.
        """
        root = Resource()
        root.putChild(b"x", one)
        root.putChild(b"y", other)
        return self.serve(root, siteName=b"%d" % len(self.sites))

    def others(self):
        """
        A portal that has another C{ann}.
        """
        checker = InMemoryUsernamePasswordDatabaseDontUse(ann=b"hers")
        return Portal(self.realm, [checker])

    def test_otherUsers(self):
        """
        Without a prefix the one that comes second is not served: neither its pages, nor
        its form, nor to who is signed in with the first; however the two are called.
        """
        self.expects500 = True
        for one, other in (("", ""), ("", "a/"), ("a", "a/"), ("a/", "a")):
            site = self.both(
                SessionGuard(self.portal, prefix=one),
                SessionGuard(self.others(), prefix=other),
            )
            client = self.client(site=site)
            self.assertEqual(self.signIn(client, path="/x/login").code, 303)
            for path in ("/y/a", "/y/login", "/y/logout"):
                self.assertEqual(client.fetch(path).code, 500)
            errors = self.flushLoggedErrors(ConfigurationError)
            self.assertEqual(len(errors), 3)
            self.assertIn("a prefix", str(errors[0].value))
            self.assertEqual(client.fetch("/x/a").body, b"ann at x/a")

    def test_prefixes(self):
        """
        With one each, who is signed in with the one is nobody with the other, also if
        the names are the same; the realms know them without.
        """
        x = SessionGuard(self.portal, prefix="x/")
        self.both(x, SessionGuard(self.others(), prefix="y/"))
        client = self.client()
        self.signIn(client, path="/x/login")
        [session] = self.site.sessions.values()
        self.assertEqual(session.principal, "x/ann")
        self.assertEqual(client.fetch("/x/a").body, b"ann at x/a")
        self.assertEqual(client.fetch("/y/a").get("location"), "/y/login?next=/y/a")
        self.assertEqual(client.fetch("/y/a", "POST").code, 403)
        self.assertEqual(
            self.signIn(client, password="sesame", path="/y/login").code, 403
        )
        self.assertEqual(client.fetch("/x/a").body, b"ann at x/a")
        self.signIn(client, password="hers", path="/y/login")
        self.assertEqual(client.fetch("/y/a").body, b"ann at y/a")
        self.assertEqual(client.fetch("/x/a").code, 303)
        self.assertEqual(self.realm.asked, [b"ann", b"ann"])
        self.assertEqual(self.realm.left, [b"ann"])

    def test_sameUsers(self):
        """
        Guards with the same checkers, or with one prefix, mean the same users.
        """
        again = Portal(self.realm, [self.checker, AllowAnonymousAccess()])
        for portal, prefix in ((again, ""), (self.others(), "z/")):
            site = self.both(
                SessionGuard(self.portal, prefix=prefix),
                SessionGuard(portal, prefix=prefix),
            )
            client = self.client(site=site)
            self.signIn(client, path="/x/login")
            self.assertEqual(client.fetch("/y/a").body, b"ann at y/a")

    def test_wrong(self):
        """
        What cannot stand before a name.
        """
        for prefix in (None, b"x/", "\udc80", "a\n", "a" * 256):
            self.assertRaises(
                ConfigurationError, SessionGuard, self.portal, prefix=prefix
            )


class AnonymousTests(GuardCase):
    """
    A portal that has something for nobody.
    """

    def setUp(self):
        """
        Let everybody in.
        """
        super().setUp()
        self.portal.registerChecker(AllowAnonymousAccess())

    def test_served(self):
        """
        Nobody is served by the avatar of nobody, of which there is one, and can sign
        in.
        """
        self.begin()
        client = self.client()
        self.assertEqual(client.fetch("/a").body, b"nobody at a")
        answer = client.fetch("/b")
        self.assertEqual((answer.body, answer.get("vary")), (b"nobody at b", "Cookie"))
        self.assertEqual(answer.cookies, {})
        self.assertEqual(client.fetch("/b", "POST").body, b"posted to nobody at b")
        self.signIn(client, path="/login?next=/b")
        self.assertEqual(client.fetch("/b").body, b"ann at b")
        self.signOut(client)
        self.assertEqual(client.fetch("/b").body, b"nobody at b")
        self.assertEqual(self.realm.asked, [(), b"ann"])
        self.assertEqual(self.realm.left, [b"ann"])

    def test_coroutine(self):
        """
        The realm may be a coroutine here, too.
        """
        home = self.realm.answer

        async def answer(avatarId):
            return home(avatarId)

        self.realm.answer = answer
        self.begin()
        client = self.client()
        self.assertEqual(client.fetch("/a").body, b"nobody at a")
        self.signIn(client)
        self.assertEqual(client.fetch("/a").body, b"ann at a")

    def test_refused(self):
        """
        Where the realm has none, nobody has to sign in; it is asked again.
        """
        home = self.realm.answer
        self.realm.answer = lambda avatarId: fail(UnauthorizedLogin())
        self.begin()
        client = self.client()
        self.assertEqual(client.fetch("/a").get("location"), "/login?next=/a")
        self.realm.answer = home
        self.assertEqual(client.fetch("/a").body, b"nobody at a")
