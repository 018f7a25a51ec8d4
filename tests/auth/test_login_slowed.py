"""
Tests of L{txsessions.auth._login}: guesses that are slowed down, and who wants to be
remembered.
"""

from __future__ import annotations

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed

from tests.auth.guarding import LoginCase
from txsessions import Renewal
from txsessions.auth import Throttle

DAY = 86400


class ThrottleTests(LoginCase):
    """
    How guesses are slowed down.
    """

    throttle = Throttle(
        perName=3, perAddress=8, firstDelay=10, longestDelay=20, window=60
    )

    def serveSlowly(self, answer=None):
        """
        Serve with a checker that knows nobody.
        """
        answer = answer or (lambda: fail(UnauthorizedLogin()))
        return self.asking(answer, throttle=self.throttle)

    def test_refused(self):
        """
        After some wrong ones the next is refused without asking the checker, with when
        it is worth coming again; then it is asked, and what is right is right.
        """
        checker = self.serveSlowly()
        heard = self.listen()
        client = self.client()
        for _ in range(3):
            self.assertEqual(self.signIn(client).code, 403)
        self.clock.advance(0.5)
        checker.answer = lambda: succeed(b"ann")
        answer = self.signIn(client)
        self.assertEqual((answer.code, answer.get("retry-after")), (429, "10"))
        self.assertIn(b"too many tries", answer.body)
        self.assertEqual(self.fields(answer)["username"], "ann")
        self.assertEqual(len(checker.asked), 3)
        self.assertEqual(heard.events[-1].reason, "guesses")
        self.clock.advance(10)
        self.assertEqual(self.signIn(client).code, 303)
        checker.answer = lambda: fail(UnauthorizedLogin())
        for _ in range(3):
            self.assertEqual(self.signIn(client).code, 403)

    def test_unknownToo(self):
        """
        It is so for names that nobody has.
        """
        self.begin(throttle=self.throttle)
        for name in ("ann", "eve"):
            client = self.client()
            codes = [self.signIn(client, name, "wrong").code for _ in range(4)]
            self.assertEqual(codes, [403, 403, 403, 429])

    def test_address(self):
        """
        Many names from one address count together.
        """
        self.serveSlowly()
        client = self.client()
        codes = [self.signIn(client, f"n{number}").code for number in range(9)]
        self.assertEqual(codes, [403] * 8 + [429])

    def test_signedIn(self):
        """
        Who is signed in is not kept by strangers from giving his password once more.
        """
        checker = self.serveSlowly(lambda: succeed(b"ann"))
        client = self.signedIn()
        guesses = self.guard._own[b"login"]._resource._guesses
        guesses._known.clear()
        for _ in range(3):
            guesses.begin("ann", None, None, self.clock.seconds())
        self.assertEqual(self.signIn(self.client()).code, 429)
        self.assertEqual(self.signIn(client).code, 303)
        self.assertEqual(len(checker.asked), 2)

    def test_otherSpelling(self):
        """
        Where C{ANN} is somebody else than C{ann}, her being signed in gives her no more
        guesses at the other's password, by none of her sessions.
        """
        self.guessBetween("ANN")

    def test_unseenSpelling(self):
        """
        So it is where the difference cannot be seen.
        """
        self.guessBetween("ann\N{ZERO WIDTH SPACE}")

    def guessBetween(self, name):
        """
        Guess at C{ann}'s password between sign-ins under another name.
        """
        self.checker.addUser(name.encode(), b"hers")
        self.begin(throttle=self.throttle)
        for _ in range(3):
            client = self.signedIn(name, "hers")
            self.assertEqual(self.signIn(client, "ann", "wrong").code, 403)
        client = self.signedIn(name, "hers")
        self.assertEqual(self.signIn(client, "ann").code, 429)
        self.assertEqual(self.signIn(self.client(), "an n").code, 429)

    def test_broken(self):
        """
        What could not be checked was no guess.
        """
        self.serveSlowly(lambda: fail(OSError("down")))
        client = self.client()
        codes = [self.signIn(client).code for _ in range(5)]
        self.assertEqual(codes, [503] * 5)
        self.flushLoggedErrors(OSError)

    def test_left(self):
        """
        A guess counts also if its client leaves at once.
        """
        checker = self.serveSlowly(Deferred)
        for _ in range(3):
            client = self.client()
            self.enter(client)
            client.leave()
        self.assertEqual(self.signIn(self.client()).code, 429)
        self.assertEqual(len(checker.asked), 3)

    def test_off(self):
        """
        It can be turned off.
        """
        self.begin(throttle=None)
        client = self.client()
        codes = {self.signIn(client, password="wrong").code for _ in range(60)}
        self.assertEqual(codes, {403})


class RememberTests(LoginCase):
    """
    The box for those who want to be remembered.
    """

    def test_ticked(self):
        """
        Who ticks it stays signed in for as long, also after the browser was closed; who
        does not, does not.
        """
        self.begin(remember=30 * DAY)
        client = self.client()
        self.assertIn("remember", self.form(client))
        answer = self.signIn(client, remember="yes")
        self.assertEqual(answer.cookie.attributes["Max-Age"], str(30 * DAY))
        self.clock.advance(29 * DAY)
        self.assertEqual(self.client(jar=client.jar).fetch("/").body, b"ann at ")
        self.clock.advance(DAY)
        self.assertEqual(self.client(jar=client.jar).fetch("/").code, 303)
        answer = self.signIn(self.client())
        self.assertNotIn("Max-Age", answer.cookie.attributes)

    def test_renewed(self):
        """
        An id that is renewed in time brings what is left of the month; the avatar
        stays, and a form that was open works.
        """
        self.begin(remember=30 * DAY)
        self.site.renewal = Renewal(interval=20, grace=10)
        client = self.client()
        self.signIn(client, remember="yes")
        [before] = client.sent()
        fields = self.form(client, "/logout")
        self.clock.advance(30)
        answer = client.fetch("/")
        self.assertEqual(answer.body, b"ann at ")
        self.assertNotEqual(client.sent(), [before])
        left = str(30 * DAY - 30)
        self.assertEqual(answer.cookie.attributes["Max-Age"], left)
        self.assertEqual(self.realm.asked, [b"ann"])
        self.post(client, "/logout", fields)
        self.assertTrue(client.answer().deletes)
        self.assertEqual(self.realm.left, [b"ann"])

    def test_off(self):
        """
        Where there is no box nobody can tick it.
        """
        self.begin()
        client = self.client()
        self.assertNotIn("remember", self.form(client))
        answer = self.signIn(client, remember="yes")
        self.assertNotIn("Max-Age", answer.cookie.attributes)
