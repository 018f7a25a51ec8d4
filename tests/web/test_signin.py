"""
Signing in: a new id, somebody who is known from then on, and what becomes of the
state.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import NOW
from tests.web.pages import OUTAGE, change
from tests.web.signing import SignInCase, look, signIn, tell
from txsessions.errors import ConfigurationError, ResponseStarted, SessionGone
from txsessions.live import tokens


class IdTests(SignInCase):
    """
    The new id, and the old one.
    """

    def test_fixation(self):
        """
        An id that an attacker put into the victim's browser is dead in every process
        when the victim has signed in, and gets neither the session nor a cookie.
        """
        there = self.serveElsewhere(self.root)
        attacker = self.visitor()
        known = attacker.sent()[0].decode()
        self.assertEqual(self.asked(known, there).body, b"nobody 0 1")
        for keep in ("yes", "no"):
            victim = self.client(jar=None)
            answer = victim.fetch(
                f"/in?keep={keep}", headers=(f"Cookie: {known}",), cookies=False
            )
            self.assertTrue(answer.sets)
            self.assertEqual(len(answer.all("set-cookie")), 1)
            self.assertNotIn(answer.cookie.value, known)
            for site in (self.site, there):
                self.assertEqual(self.asked(known, site).body, b"nobody 0 0")
                late = self.asked(known, site, "/count")
                self.assertEqual((late.body, late.cookie), (b"count 1", None))
            self.assertEqual(self.stored(), 1)
            self.assertEqual(
                self.seen(victim), b"ann 1 1" if keep == "yes" else b"ann 1 0"
            )
            self.assertEqual(
                self.seen(self.twin(victim, there)),
                b"ann 1 1" if keep == "yes" else b"ann 1 0",
            )
            attacker = victim
            known = self.visitor().sent()[0].decode()
            attacker.fetch("/out")

    def test_oneWrite(self):
        """
        The store is told once, in one step.
        """
        for keep in ("yes", "no"):
            client = self.visitor()
            before = len(self.store.calls)
            client.fetch(f"/in?keep={keep}")
            calls = [call for call in self.store.calls[before:] if call != "load"]
            self.assertEqual(calls, ["rename"])

    def test_held(self):
        """
        The reply waits for the store.
        """
        for keep in ("yes", "no"):
            client = self.visitor()
            self.store.hold()
            client.send(f"/in?keep={keep}")
            self.assertEqual(self.store.names(), ["rename"])
            self.assertTrue(client.silent)
            self.store.pass_()
            self.assertTrue(client.answer().sets)

    def test_withoutASession(self):
        """
        Who comes without a session gets one, also where nothing is put into it.
        """
        for path in ("/in", "/in?keep=no"):
            client = self.client()
            answer = client.fetch(path)
            self.assertEqual(len(answer.all("set-cookie")), 1)
            self.assertEqual(self.seen(client), b"ann 1 0")
            self.assertNotIn("rename", self.store.calls)
        self.assertEqual(self.stored(), 2)

    def test_deadId(self):
        """
        So does who comes with a dead id, or with one that was rotated away.
        """
        client = self.visitor()
        old = self.twin(client)
        client.fetch("/in")
        self.assertEqual(self.seen(old, "/in?who=bob"), b"bob 1 0")
        self.assertEqual(self.seen(old), b"bob 1 0")
        self.assertEqual(self.seen(client), b"ann 1 1")
        gone = self.visitor()
        twin = self.twin(gone)
        gone.fetch("/out")
        self.assertEqual(self.seen(twin, "/in"), b"ann 1 0")
        self.assertEqual(self.seen(twin), b"ann 1 0")

    def test_steps(self):
        """
        Each rise of the level gives a new id, and so does the same level again; what
        is in the session stays.
        """
        client = self.visitor("/count", "/in")
        for path, told in (
            ("/in?level=2", b"ann 2 1"),
            ("/in?level=2", b"ann 2 1"),
            ("/in?level=1", b"ann 1 1"),
        ):
            old = client.sent()[0].decode()
            answer = client.fetch(path)
            self.assertEqual(answer.body, told)
            self.assertNotIn(answer.cookie.value, old)
            self.assertEqual(self.asked(old).body, b"nobody 0 0")
        self.assertEqual(self.stored(), 1)

    def test_twice(self):
        """
        Two in one request make one cookie and one live id.
        """

        def page(request):
            session = change(request)
            session.login(request, "ann")
            session.login(request, "ann", level=2)
            return look(request)

        self.page(page)
        client = self.visitor()
        answer = client.fetch("/page")
        self.assertEqual(answer.body, b"ann 2 2")
        self.assertEqual(len(answer.all("set-cookie")), 1)
        self.assertEqual(list(self.site.sessions), [answer.cookie.value.encode()])
        self.assertEqual(self.stored(), 1)
        self.assertEqual(self.seen(client), b"ann 2 2")

    def test_twiceAfresh(self):
        """
        The same by the object that another has taken the place of.
        """

        def page(request):
            session = change(request)
            session.login(request, "bob", keep=False)
            self.assertIsNot(request.getSession(), session)
            session.login(request, "bob", level=2)
            return look(request)

        self.page(page)
        client = self.visitor("/count", "/in")
        answer = client.fetch("/page")
        self.assertEqual(answer.body, b"bob 2 0")
        self.assertEqual(len(answer.all("set-cookie")), 1)
        self.assertEqual(self.stored(), 1)
        self.assertEqual(self.seen(client), b"bob 2 0")

    def test_collision(self):
        """
        A uid that is taken is drawn anew, and the cookie says the one that holds.
        """
        there = self.serveElsewhere(self.root)
        for keep in ("yes", "no"):
            first = self.visitor(site=there)
            taken = bytes.fromhex(first.sent()[0].decode().partition("=")[2])
            second = self.visitor()
            draws, entropy = [taken], self.site._entropy
            self.site._entropy = lambda size, draws=draws, entropy=entropy: (
                draws.pop() if draws and size == 32 else entropy(size)
            )
            answer = second.fetch(f"/in?keep={keep}")
            self.site._entropy = entropy
            self.assertEqual(draws, [])
            self.assertEqual(len(answer.all("set-cookie")), 1)
            self.assertEqual(self.seen(first), b"nobody 0 1")
            self.assertTrue(self.seen(second).startswith(b"ann 1"))

    def test_afterHeaders(self):
        """
        When the response has started it raises, and nothing has changed.
        """
        raised = []

        def page(request):
            session = request.getSession()
            request.write(b"one")
            try:
                session.login(request, "ann")
            except ResponseStarted as error:
                raised.append(error)
            request.finish()
            return NOT_DONE_YET

        self.page(page)
        client = self.visitor()
        self.assertIsNone(client.fetch("/page").cookie)
        self.assertEqual(len(raised), 1)
        self.assertEqual(self.seen(client), b"nobody 0 1")

    def test_storeFails(self):
        """
        What could not be saved is a 503 without a cookie, and nobody is signed in
        with an id that somebody may know: it can be tried again.
        """
        for keep in ("yes", "no"):
            for done in (False, True):
                client = self.visitor()
                old = client.sent()[0].decode()
                self.store.hold()
                client.send(f"/in?keep={keep}")
                self.store.fail(OUTAGE, done=done)
                self.store.pass_()
                self.assertEqual(client.answer().code, 503)
                self.assertEqual(client.sent()[0].decode(), old)
                self.assertEqual(
                    self.asked(old).body, b"nobody 0 0" if done else b"nobody 0 1"
                )
                self.assertEqual(self.seen(client, "/in"), b"ann 1 %d" % (not done))
                self.assertTrue(self.seen(client).startswith(b"ann 1"))

    def test_refused(self):
        """
        What cannot be kept as a sign-in is refused at once, and nothing has changed.
        """

        def page(request):
            session = change(request)
            for wrong in ("", None, b"ann", 7, "ann" * 100, "ann\ud800"):
                error = self.assertRaises(
                    ConfigurationError, session.login, request, wrong
                )
                self.assertNotIn("ann", str(error))
            for wrong in (0, True, 1.0, 1001, None):
                self.assertRaises(
                    ConfigurationError, session.login, request, "ann", level=wrong
                )
            self.assertRaises(ConfigurationError, session.login, object(), "ann")
            return look(request)

        self.page(page)
        client = self.visitor()
        answer = client.fetch("/page")
        self.assertEqual(answer.body, b"nobody 0 2")
        self.assertFalse(answer.sets)

    def test_otherRequest(self):
        """
        The request must be the one that uses the session.
        """
        client = self.visitor()
        client.send("/wait")
        ((_, session),) = self.waiting

        def page(request):
            self.assertRaises(ConfigurationError, session.login, request, "ann")
            self.assertRaises(ConfigurationError, session.logout, request)
            return b""

        self.page(page)
        self.client().fetch("/page")
        self.assertIsNone(session.principal)
        self.finish(self.waiting[0][0])
        client.answer()

    def test_gone(self):
        """
        The client has left: the id stays as it was, so that who tries again, or did
        already, finds the session.
        """
        client = self.visitor()
        client.send("/wait")
        client.leave()
        ((request, session),) = self.waiting
        self.failureResultOf(session.login(request, "ann"), SessionGone)
        self.assertEqual(self.asked(client.sent()[0].decode()).body, b"nobody 0 1")


class StateTests(SignInCase):
    """
    What becomes of the state.
    """

    def test_another(self):
        """
        What one user left is not there for another, unless that is said.
        """
        for keep, left in (("", 0), ("no", 0), ("yes", 1)):
            client = self.visitor("/count", "/in")
            told = b"bob 1 %d" % left
            self.assertEqual(self.seen(client, f"/in?who=bob&keep={keep}"), told)
            self.assertEqual(self.seen(client), told)

    def test_object(self):
        """
        Where the state is kept the session stays the object that it was; where not,
        nothing is taken out of it, its callbacks run, and it is of no more use.
        """
        ended = []

        def page(request):
            session = change(request)
            session.notifyOnExpire(lambda: ended.append(session.principal))
            session.login(request, "ann")
            self.assertIs(request.getSession(), session)
            session.login(request, "bob")
            self.assertEqual(ended, ["ann"])
            self.assertEqual(tell(session), b"ann 1 2")
            self.assertIsNot(request.getSession(), session)
            self.failureResultOf(session.save(), SessionGone)
            return look(request)

        self.page(page)
        client = self.visitor()
        self.assertEqual(client.fetch("/page").body, b"bob 1 0")
        self.assertEqual(ended, ["ann"])
        self.assertEqual(self.stored(), 1)

    def test_changedElsewhere(self):
        """
        What another process has saved meanwhile is there too where the state is kept,
        the limits with it, and is not where it is not.
        """
        there = self.serveElsewhere(self.root)

        def page(request):
            session = change(request)
            session["other"] = 1
            session.sessionTimeout = 300
            return b""

        self.page(page)
        for keep, told in (("yes", b"ann 1 2"), ("no", b"ann 1 0")):
            client = self.visitor()
            self.store.hold("rename")
            client.send(f"/in?keep={keep}")
            self.seen(self.twin(client, there), "/page")
            self.store.pass_()
            client.answer()
            self.assertEqual(self.seen(client), told)
            self.assertEqual(self.seen(self.twin(client, there)), told)
            (session,) = self.site.sessions.values()
            self.assertEqual("other" in session, keep == "yes")
            self.assertEqual(session.sessionTimeout, 300 if keep == "yes" else 900)
            self.site.sessions.clear()

    def test_savedMeanwhile(self):
        """
        A change that is on its way to the store when somebody signs in.
        """
        for keep, told in (("yes", b"ann 1 2"), ("no", b"ann 1 0")):
            client = self.visitor()
            twin = self.twin(client)
            self.store.hold()
            twin.send("/count")
            client.send(f"/in?keep={keep}")
            self.assertEqual(self.store.names(), ["replace"])
            self.store.pass_()
            self.assertIsNone(twin.answer().cookie)
            self.assertTrue(client.answer().sets)
            self.assertEqual(self.seen(client), told)

    def test_insertedMeanwhile(self):
        """
        The same with a new session that the store does not have yet.
        """

        def page(request):
            session = change(request)
            session.save()
            return signIn(request)

        self.page(page)
        for keep, told in (("yes", b"ann 1 1"), ("no", b"ann 1 0")):
            client = self.client()
            self.store.hold()
            client.send(f"/page?keep={keep}")
            self.assertEqual(self.store.names(), ["insert"])
            self.store.pass_()
            self.assertEqual(len(client.answer().all("set-cookie")), 1)
            self.assertEqual(self.seen(client), told)
        self.assertEqual(self.stored(), 2)

    def test_lifetime(self):
        """
        The lifetime begins anew; being used, or given a new id only, does not move
        it.
        """

        def page(request):
            request.getSession().rotate(request)
            return b""

        self.page(page)
        client, other = self.visitor(), self.visitor()
        for _ in range(47):
            self.clock.advance(800)
            self.seen(client, "/page")
            self.seen(other)
        self.seen(client, "/in")
        for _ in range(8):
            self.clock.advance(800)
            self.seen(client)
            self.seen(other)
        self.assertEqual(self.seen(client), b"ann 1 1")
        self.assertEqual(self.seen(other), b"nobody 0 0")
        for _ in range(46):
            self.clock.advance(800)
            self.seen(client, "/page")
        self.assertEqual(self.seen(client), b"nobody 0 0")

    def test_lifetimeInMemory(self):
        """
        So it is with a session that stays in memory.
        """

        def page(request):
            change(request).sessionLifetime = 100
            return b""

        self.page(page)
        client = self.visitor("/page")
        for path, told in (
            ("/look", b"nobody 0 1"),
            ("/in", b"ann 1 1"),
            ("/look", b"ann 1 1"),
            ("/look", b"ann 1 1"),
            ("/look", b"nobody 0 0"),
        ):
            self.clock.advance(40)
            self.assertEqual(self.seen(client, path), told)

    def test_transaction(self):
        """
        A transaction leaves the sign-in as it is, and cannot make one.
        """
        client = self.visitor("/count", "/in?level=2")
        uid = next(iter(self.site.sessions))

        def increase(session):
            session["count"] += 1
            return session.principal, session.level

        done = self.site.transact(uid, increase)
        self.assertEqual(self.successResultOf(done), ("ann", 2))
        self.assertEqual(self.seen(client), b"ann 2 2")

    def test_tokens(self):
        """
        Tokens against forged requests are void after each sign-in, also those that a
        change of the uid for its age had kept good.
        """
        made = []

        def page(request):
            session = change(request)
            made.append(tokens.makeToken(session).encode())
            tokens.keepSecret(session)
            found = [tokens.isTokenOf(session, token) for token in made]
            return b"%d" % found.count(True)

        self.page(page)
        client = self.visitor("/page", "/page")
        self.assertEqual(self.seen(client, "/page"), b"3")
        for number, path in enumerate(("/in", "/in?level=2", "/in?who=bob")):
            self.seen(client, path)
            self.assertEqual(self.seen(client, "/page"), b"1", number)

    def test_when(self):
        """
        It is known when somebody signed in, and renewed each time.
        """
        client = self.visitor("/in")
        (session,) = self.site.sessions.values()
        self.assertEqual(session.authenticatedAt, NOW)
        self.clock.advance(100)
        self.seen(client)
        self.assertEqual(session.authenticatedAt, NOW)
        self.seen(client, "/in")
        self.assertEqual(session.authenticatedAt, NOW + 100)
