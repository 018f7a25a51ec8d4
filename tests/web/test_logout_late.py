"""
Who comes with an id whose session was just ended gets no new cookie: it might take the
place of the one that the browser has got meanwhile.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from tests.web.pages import Page, count
from tests.web.test_logout import LogoutCase
from txsessions.interfaces import END_MARKER


class LateCase(LogoutCase):
    """
    A site in two processes on which people sign in.

    @ivar here: The one.
    @ivar there: The other.
    @ivar browser: A browser that has a session.
    """

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        self.root.putChild(b"in", Page(self.signIn))
        self.root.putChild(b"who", Page(self.tellWho))
        self.root.putChild(b"limit", Page(self.setLimit))
        self.root.putChild(b"again", Page(self.again))
        self.here = self.site
        self.there = self.here if self.how else self.serveElsewhere(self.root)
        self.browser = self.client(site=self.here)
        self.browser.fetch("/count")

    def signIn(self, request):
        """
        A page that signs in.
        """
        request.getSession().login(request, "ann")
        return b"in"

    def tellWho(self, request):
        """
        A page that tells who is signed in.
        """
        return (request.getSession().principal or "nobody").encode()

    def setLimit(self, request):
        """
        A page that has the session end soon.
        """
        request.getSession().sessionTimeout = 30
        return b"limited"

    def again(self, request):
        """
        A page that ends a session and begins another.
        """
        request.getSession().expire()
        return count(request)

    def late(self, site=None):
        """
        The browser's connection with the cookies of now, which the browser's other
        connections do not change.

        @param site: To which process; as a rule the one that has the others.
        """
        (value,) = self.browser.sent()
        client = self.client(site=site or self.here)
        client.jar.receive(
            value + b"; Path=/", host="example.org", path="/", https=False
        )
        return client


class LateTests(LateCase):
    """
    A request that was sent before a logout, and comes after the next sign-in.
    """

    def endThen(self, path, *, site=None, after=0.0):
        """
        Sign out, sign in, and let a request come late that was sent before.

        @param site: Who gets it; as a rule the one that had the logout.
        @param after: How much later, in seconds.
        @return: The answer.
        """
        late = self.late(site)
        self.browser.fetch("/out")
        self.browser.fetch("/in")
        self.clock.advance(after)
        answer = late.fetch(path)
        if answer.sets:
            return answer
        self.assertEqual(self.browser.fetch("/who").body, b"ann")
        return answer

    def test_here(self):
        """
        It gets a session that is nobody's, and no cookie; so does one in the other
        process.
        """
        for site in (self.here, self.there):
            self.browser.fetch("/count")
            self.browser.fetch("/in")
            answer = self.endThen("/count", site=site)
            self.assertEqual((answer.code, answer.body), (200, b"count 1"))
            self.assertEqual(answer.cookies, {})

    def test_forAWhile(self):
        """
        That is so for some seconds; from then on it is an unknown id.
        """
        for after, sets in ((END_MARKER - 1, False), (END_MARKER + 1, True)):
            for site in (self.here, self.there):
                self.browser.fetch("/in")
                answer = self.endThen("/count", site=site, after=after)
                self.assertEqual(answer.sets, sets, after)

    def test_askedAgain(self):
        """
        Asking does not make it longer.
        """
        late = self.late(self.there)
        self.browser.fetch("/out")
        for _ in range(int(END_MARKER) // 3):
            self.assertFalse(late.fetch("/count").sets)
            self.clock.advance(3)
        self.clock.advance(END_MARKER)
        self.assertTrue(late.fetch("/count").sets)

    def test_signsIn(self):
        """
        Signing in by it gives a new id as always.
        """
        for site in (self.here, self.there):
            self.browser.fetch("/in")
            answer = self.endThen("/in", site=site)
            self.assertTrue(answer.sets)

    def test_ranOut(self):
        """
        Who comes with an id that has run out gets a cookie: nobody has asked for
        that end.
        """
        self.browser.fetch("/limit")
        late = self.late(self.there)
        self.clock.advance(40)
        self.assertTrue(self.browser.fetch("/count").sets)
        self.assertTrue(late.fetch("/count").sets)

    def test_inTheBackground(self):
        """
        So does one that ends it in the background, while another holds it too.
        """
        waiting = []

        def wait(request):
            request.getSession()
            waiting.append(request)
            return NOT_DONE_YET

        self.root.putChild(b"slow", Page(wait))
        one, two = self.late(), self.late()
        for client in (one, two):
            client.send("/slow")
        first, second = waiting
        first.getSession().expire()
        count(first)
        for request in (first, second):
            request.finish()
        self.assertTrue(one.answer().sets)
        self.assertFalse(two.answer().sets)

    def test_sameRequest(self):
        """
        The request that ended a session gets the next one with its cookie.
        """
        answer = self.browser.fetch("/again")
        self.assertTrue(answer.sets)


class OthersTests(LateCase):
    """
    Where somebody else has ended a session its browser knows of no other id, and comes
    with that one.
    """

    def end(self, how):
        """
        End the session of the browser without its doing.
        """
        uid = self.browser.sent()[0].partition(b"=")[2]
        session = self.here.sessions[uid]
        if how == "expire":
            self.page(lambda request: session.expire() and b"ended")
            self.client(site=self.here).fetch("/page")
        elif how == "del":
            del self.here.sessions[uid]
        elif how == "session":
            done = self.here.endSession("ann", session.handle)
            self.assertTrue(self.successResultOf(done))
        else:
            self.assertEqual(self.successResultOf(self.here.endPrincipal("ann")), 1)
        self.assertNotIn(uid, self.here.sessions)

    def test_cookieAtOnce(self):
        """
        It begins anew at once, in either process, and nothing of that is lost.
        """
        ways = ("expire", "del", "session", "principal")
        for how in ways[: 2 if self.how else 4]:
            for site in (self.here, self.there):
                self.browser.fetch("/in")
                client = self.late(site)
                self.end(how)
                answer = client.fetch("/count")
                self.assertEqual((answer.body, answer.sets), (b"count 1", True), how)
                self.assertEqual(client.fetch("/count").body, b"count 2")

    def test_signedInAgain(self):
        """
        When it has signed in by the dead id it knows a better one: what comes late with
        the dead one gets no cookie.
        """
        self.browser.fetch("/in")
        late = self.late()
        self.end("expire")
        self.assertTrue(self.browser.fetch("/in").sets)
        for _ in range(2):
            answer = late.fetch("/count")
            self.assertEqual((answer.body, answer.sets), (b"count 1", False))
            self.assertEqual(self.browser.fetch("/who").body, b"ann")
            self.clock.advance(50)

    def test_runOut(self):
        """
        So it is where nobody has ended it.
        """
        self.browser.fetch("/limit")
        late = self.late()
        self.clock.advance(40)
        self.assertTrue(self.browser.fetch("/in").sets)
        self.assertFalse(late.fetch("/count").sets)
        self.assertEqual(self.browser.fetch("/who").body, b"ann")


class WrongCookieTests(LateCase):
    """
    A sign-in by an id that lives, and came by the cookie of the other scheme.
    """

    def test_livesOn(self):
        """
        Its session lives on, and ends for this process where another ends it.
        """
        owner = self.client(site=self.here, secure=True)
        value = owner.fetch("/count").cookie.value
        cookie = f"Cookie: sid={value}"
        self.assertTrue(self.client().fetch("/in", headers=(cookie,)).sets)
        self.assertEqual(owner.fetch("/count").body, b"count 2")
        other = self.client(site=self.there, secure=True)
        other.jar.cookies.update(owner.jar.cookies)
        self.assertTrue(other.fetch("/out").deletes)
        self.assertEqual(owner.fetch("/count").body, b"count 1")


class OthersNoStoreTests(OthersTests):
    """
    The same where there is no store.
    """

    how = {"store": None}  # noqa: RUF012 - what Site is given


class NoStoreTests(LogoutCase):
    """
    The same where there is no store.
    """

    how = {"store": None}  # noqa: RUF012 - what Site is given

    def test_here(self):
        """
        It gets no cookie either, for some seconds; the next sign-in does.
        """
        for after, sets in ((END_MARKER - 1, False), (END_MARKER + 1, True)):
            browser = self.visitor()
            late = self.twin(browser)
            self.assertTrue(browser.fetch("/out").deletes)
            self.assertTrue(browser.fetch("/count").sets)
            self.clock.advance(after)
            answer = late.fetch("/count")
            self.assertEqual((answer.body, answer.sets), (b"count 1", sets))

    def test_startAgain(self):
        """
        The request that ended a session gets the next one with its cookie.
        """

        def again(request):
            request.getSession().expire()
            return count(request)

        self.page(again)
        self.assertTrue(self.visitor().fetch("/page").sets)

    def test_signedIn(self):
        """
        Where a sign-in took the session's place the old id is known for as long as
        one that was rotated away.
        """

        def signIn(request):
            request.getSession().login(request, "ann", keep=False)
            return b"in"

        self.page(signIn)
        browser = self.visitor()
        late = self.twin(browser)
        self.assertTrue(browser.fetch("/page").sets)
        self.clock.advance(END_MARKER + 1)
        self.assertFalse(late.fetch("/count").sets)
