"""
Tests of L{txsessions.auth._login}: what becomes of a name and a password.
"""

from __future__ import annotations

from twisted.cred.checkers import FilePasswordDB
from twisted.cred.error import LoginDenied, UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail, succeed

from tests.auth.guarding import LoginCase
from tests.web.pages import OUTAGE, Page
from txsessions import SignInLimit
from txsessions.auth._entered import MAX_NAME, MAX_PASSWORD
from txsessions.live.events import EventKind


class PasswordTests(LoginCase):
    """
    What is right and what is wrong.
    """

    def test_same(self):
        """
        A wrong password and a name that nobody has get the same answer, to the letter
        but for the name and the token; the page is neither 200 nor 401, which would
        want a C{WWW-Authenticate}.
        """
        self.begin()
        client = self.client()
        bodies = []
        for name, password in (("ann", "wrong"), ("eve", "sesame")):
            answer = self.signIn(client, name, password)
            self.assertEqual(answer.code, 403)
            self.assertEqual(answer.get("www-authenticate"), None)
            fields = self.fields(answer)
            self.assertEqual(fields["username"], name)
            self.assertEqual(fields["password"], "")
            body = answer.body.decode().replace(fields["csrf_token"], "")
            bodies.append(body.replace(f'value="{name}"', ""))
        self.assertEqual(bodies[0], bodies[1])
        self.assertIn("do not go together", bodies[0])
        self.assertEqual(self.realm.asked, [])

    def test_denied(self):
        """
        All that C{twisted.cred} has for a refusal is one, by the checker or the realm.
        """
        for error in (LoginDenied(), UnauthorizedLogin()):
            self.asking(lambda error=error: fail(error))
            client = self.client(site=self.sites[-1])
            self.assertEqual(self.signIn(client).code, 403)
            self.asking(lambda: succeed(b"ann"))
            self.realm.answer = lambda avatarId, error=error: fail(error)
            client = self.client(site=self.sites[-1])
            self.assertEqual(self.signIn(client).code, 403)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_broken(self):
        """
        A checker that cannot tell says nothing about a password: 503, and the log has
        why.  So it is with one whose answer no session can be signed in as.
        """
        for answer in (
            lambda: fail(OSError("the directory is down")),
            lambda: 1 / 0,
            lambda: succeed(()),
            lambda: succeed(None),
            lambda: succeed(b"\xff"),
            lambda: succeed(b""),
            lambda: succeed(b"a" * 257),
            lambda: fail(UnhandledCredentials()),
        ):
            self.asking(answer)
            client = self.client(site=self.sites[-1])
            page = self.signIn(client)
            self.assertEqual(page.code, 503)
            self.assertIn(b"Nobody can sign in at the moment", page.body)
            self.assertEqual(len(self.flushLoggedErrors()), 1)
            self.assertEqual(client.fetch("/").code, 303)

    def test_noChecker(self):
        """
        So it is where there is none for passwords.
        """
        self.portal = Portal(self.realm)
        self.begin(throttle=None)
        self.assertEqual(self.signIn(self.client()).code, 503)
        self.flushLoggedErrors(UnhandledCredentials)

    def test_text(self):
        """
        An avatar id that is text is taken; the realm gets bytes, as ever.
        """
        self.asking(lambda: succeed("\N{SNOWMAN}"))
        client = self.signedIn("whoever", "whatever")
        self.assertEqual(client.fetch("/").body, "\N{SNOWMAN} at ".encode())
        [session] = self.site.sessions.values()
        self.assertEqual(session.principal, "\N{SNOWMAN}")

    def test_file(self):
        """
        C{FilePasswordDB} works: with names in whatever case, where it says so.
        """
        name = self.mktemp()
        with open(name, "w", encoding="utf-8") as file:
            file.write("ann:sesame\nbob:hunter2\n")
        self.portal = Portal(self.realm, [FilePasswordDB(name, caseSensitive=False)])
        self.begin()
        client = self.client()
        self.assertEqual(self.signIn(client, "ANN", "sesam").code, 403)
        self.assertEqual(self.signIn(client, "ANN").code, 303)
        self.assertEqual(client.fetch("/").body, b"ann at ")

    def test_lengths(self):
        """
        What is empty, too long, there twice or in the URL is not even asked about.
        """
        checker = self.asking(lambda: succeed(b"ann"), throttle=None)
        client = self.client()
        fields = self.form(client)
        for name, password in (
            ("", "sesame"),
            ("ann", ""),
            ("\u0007", "sesame"),
            ("\N{SNOWMAN}" * (MAX_NAME + 1), "sesame"),
            ("a" * 100_000, "sesame"),
            ("ann" + "\N{ZERO WIDTH SPACE}" * 1000, "sesame"),
            ("ann", "s" * (MAX_PASSWORD + 1)),
        ):
            fields.update(username=name, password=password)
            self.post(client, "/login", fields)
            answer = client.answer()
            self.assertEqual(answer.code, 403)
            self.assertLessEqual(len(self.fields(answer)["username"]), MAX_NAME)
        fields.update(username="ann", password="sesame")
        for query in (
            "username=ann",
            "password=sesame",
            "a;password=b",
            "%FC&username=",
        ):
            self.post(client, f"/login?{query}", fields)
            self.assertEqual(client.answer().code, 403)
        self.post(client, "/login", [*fields.items(), ("password", "b")])
        self.assertEqual(client.answer().code, 403)
        self.post(client, "/login?%FC=%E4", {**fields, "username": ""})
        self.assertEqual(client.answer().code, 403)
        self.assertEqual(checker.asked, [])
        name, password = "\N{SNOWMAN}" * MAX_NAME, "s" * MAX_PASSWORD
        fields.update(username=name, password=password)
        self.post(client, "/login", fields)
        self.assertEqual(client.answer().code, 303)
        self.assertEqual(checker.asked, [(name.encode(), password.encode())])

    def test_told(self):
        """
        Listeners hear that somebody could not sign in; neither they nor the log hear
        what was entered.
        """
        self.begin()
        heard = self.listen()
        client = self.client()
        self.signIn(client, "annabel", "open sesame")
        told = [e for e in heard.events if e.kind is EventKind.REFUSED]
        [session] = self.site.sessions.values()
        self.assertEqual([(e.reason, e.tag) for e in told], [("password", session.tag)])
        for event in (*heard.events, *self.logged):
            self.assertNotIn("annabel", str(event))
            self.assertNotIn("open sesame", str(event))


class SessionTests(LoginCase):
    """
    What becomes of the session.
    """

    def test_fixation(self):
        """
        The id from before is dead, and the next forms need the new one's token.
        """
        self.begin()
        client = self.client()
        before = self.form(client)
        [known] = client.sent()
        self.assertEqual(self.signIn(client).code, 303)
        self.assertNotIn(known, client.sent())
        planted = self.client()
        answer = planted.fetch(
            "/", headers=(f"Cookie: {known.decode()}",), cookies=False
        )
        self.assertEqual(answer.code, 303)
        self.post(client, "/logout", before)
        self.assertEqual(client.answer().code, 403)
        self.assertEqual(client.fetch("/").body, b"ann at ")

    def test_how(self):
        """
        It is signed in at the guard's level, and what was in it goes where the guard
        says so.
        """
        self.begin(level=2, keep=False)
        self.guard.putChild(b"cart", Page(self.cart))
        client = self.client()
        client.fetch("/cart")
        self.signIn(client)
        [session] = self.site.sessions.values()
        self.assertEqual((session.principal, session.level), ("ann", 2))
        self.assertEqual(session.sessionNamespaces, {})
        self.assertEqual(self.realm.left, [])

    def cart(self, request):
        """
        Put something into the session.
        """
        request.getSession()["cart"] = 1
        return b""

    def test_again(self):
        """
        Who is signed in can sign in once more, for a page that wants it fresh.
        """
        self.begin()
        client = self.signedIn()
        self.clock.advance(50)
        answer = self.signIn(client, path="/login?next=/pay")
        self.assertEqual(answer.get("location"), "/pay")
        [session] = self.site.sessions.values()
        session.requireFresh(10)
        client.fetch("/")
        self.assertEqual(self.realm.asked, [b"ann", b"ann"])
        self.assertEqual(self.realm.left, [b"ann"])

    def test_outage(self):
        """
        A store that goes down meanwhile means 503: nobody is signed in, and the realm
        is told.
        """
        checker = self.asking(lambda: waiting, throttle=None)
        waiting = Deferred()
        client = self.client()
        self.enter(client)
        self.store.down = OUTAGE
        waiting.callback(b"ann")
        self.assertEqual(client.answer().code, 503)
        self.store.down = None
        self.assertEqual(self.realm.left, [b"ann"])
        self.assertEqual(client.fetch("/").code, 303)
        self.assertEqual(len(checker.asked), 1)

    def test_tooMany(self):
        """
        Who has too many sessions is told so.
        """
        self.begin()
        self.site.signInLimit = SignInLimit(most=1, refuses=True)
        self.signedIn()
        answer = self.signIn(self.client())
        self.assertEqual(answer.code, 409)
        self.assertEqual(self.realm.left, [b"ann"])

    def test_gone(self):
        """
        Who signs out in another tab while his password is asked for once more has to
        begin anew.
        """
        checker = self.asking(lambda: succeed(b"ann"))
        client = self.signedIn()
        checker.answer = lambda: waiting
        waiting = Deferred()
        other = self.client(jar=client.jar)
        self.enter(client, path="/login?next=/a")
        self.signOut(other)
        waiting.callback(b"ann")
        answer = client.answer()
        self.assertEqual((answer.code, answer.get("location")), (303, "/login?next=/a"))
        self.assertEqual(self.realm.left, [b"ann", b"ann"])


class SlowTests(LoginCase):
    """
    Checkers that take their time.
    """

    def test_waits(self):
        """
        The answer comes when the checker's does.
        """
        waiting = Deferred()
        self.asking(lambda: waiting)
        client = self.client()
        self.enter(client)
        self.assertTrue(client.silent)
        waiting.callback(b"ann")
        self.assertEqual(client.answer().code, 303)
        self.assertEqual(client.fetch("/").body, b"ann at ")

    def test_left(self):
        """
        Whose client has left meanwhile is not signed in, whatever the checker says, and
        the realm is told; nothing is logged but what is broken.
        """
        for outcome, left in (
            (b"ann", [b"ann"]),
            (UnauthorizedLogin(), []),
            (OSError("down"), []),
        ):
            self.realm.left = []
            waiting = Deferred()
            self.asking(lambda waiting=waiting: waiting)
            client = self.client(site=self.sites[-1])
            self.enter(client)
            client.leave()
            if isinstance(outcome, bytes):
                waiting.callback(outcome)
            else:
                waiting.errback(outcome)
            self.assertEqual(self.realm.left, left)
            other = self.client(jar=client.jar, site=self.sites[-1])
            self.assertEqual(other.fetch("/").code, 303)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_leavesAtLast(self):
        """
        So it is where it leaves while the store is told.
        """
        self.asking(lambda: succeed(b"ann"))
        client = self.client()
        fields = self.form(client)
        self.store.hold("rename")
        self.post(client, "/login", {**fields, "username": "ann", "password": "a"})
        self.assertTrue(client.silent)
        client.leave()
        self.store.pass_()
        self.turn()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.realm.left, [b"ann"])

    def test_raises(self):
        """
        A page that raises when its client has left is logged.
        """
        self.begin(page=self.leaves)
        self.leaving = client = self.client()
        token = client.fetch("/login").body
        self.post(client, "/login", {"csrf_token": token, "username": "ann"})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def leaves(self, form):
        """
        A page whose client leaves.
        """
        if form.error is None:
            return form.csrfToken
        self.leaving.leave()
        return 1 / 0

    def test_two(self):
        """
        Two who sign in at once on one session each get one of their own.
        """
        first, second = Deferred(), Deferred()
        checker = self.asking([second, first].pop)
        client = self.client()
        fields = self.form(client)
        other = self.client()
        other.jar.cookies.update(client.jar.cookies)
        for each, name in ((client, "ann"), (other, "bob")):
            self.post(each, "/login", {**fields, "username": name, "password": "a"})
        second.callback(b"bob")
        first.callback(b"ann")
        for each, name in ((client, b"ann"), (other, b"bob")):
            self.assertEqual(each.answer().code, 303)
            self.assertEqual(each.fetch("/").body, name + b" at ")
        self.assertEqual(len(checker.asked), 2)
        self.assertEqual(self.realm.asked, [b"bob", b"ann"])


class ForgedTests(LoginCase):
    """
    That nobody is signed in by another site.
    """

    def test_token(self):
        """
        A form that is not of this session does not get as far as the checker; a fresh
        one is shown.
        """
        checker = self.asking(lambda: succeed(b"ann"))
        other = self.form(self.client(), "/login?next=/a")
        client = self.client()
        mine = self.form(client)
        del mine["csrf_token"]
        entered = {"username": "mallory", "password": "a"}
        for fields in (other, mine, {}):
            self.post(client, "/login", {**fields, **entered})
            answer = client.answer()
            self.assertEqual(answer.code, 403)
            self.assertIn(b"out of date", answer.body)
            shown = self.fields(answer)
            self.assertEqual(shown["username"], "")
        self.assertEqual(checker.asked, [])
        shown.update(username="ann", password="a")
        self.post(client, "/login", shown)
        self.assertEqual(client.answer().code, 303)

    def test_site(self):
        """
        Nor does one that a browser says another site sent.
        """
        checker = self.asking(lambda: succeed(b"ann"), origins=["https://a.example"])
        client = self.client()
        fields = {**self.form(client), "username": "ann", "password": "a"}
        for header in (
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
            "Origin: https://evil.example",
        ):
            self.post(client, "/login", fields, header)
            self.assertEqual(client.answer().code, 403)
        self.assertEqual(checker.asked, [])
        self.post(client, "/login", fields, "Origin: https://a.example")
        self.assertEqual(client.answer().code, 303)

    def test_return(self):
        """
        Whatever a link or a form says, nobody is led away from the site.
        """
        self.begin()
        for evil in (
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/%0d%0aa:b",
            "/login",
            "/logout",
        ):
            client = self.client()
            fields = self.form(client, f"/login?next={evil}")
            self.assertEqual(fields["next"], "/")
            fields.update(username="ann", password="sesame", next=evil)
            self.post(client, "/login", fields)
            self.assertEqual(client.answer().get("location"), "/")

    def test_otherMethods(self):
        """
        There are no other ways to sign in.
        """
        self.begin()
        client = self.client()
        fields = self.form(client)
        token = f"X-CSRF-Token: {fields['csrf_token']}"
        answer = client.fetch("/login", "PUT", headers=(token,))
        self.assertEqual(answer.code, 501)
        client.fetch("/login?username=ann&password=sesame")
        self.assertEqual(client.fetch("/").code, 303)

    def check(self, answer):
        """
        See L{LoginCase.check}; Twisted's own page with 501 says nothing of caches.
        """
        if answer.code != 501:
            super().check(answer)
