"""
Sessions that last longer because somebody wants to be remembered.
"""

from __future__ import annotations

from tests.web.pages import Page
from tests.web.signing import SignInCase
from txsessions import CookiePolicy
from txsessions.core.lifetime import IDLE, LIFETIME
from txsessions.core.signin import MAX_REMEMBER
from txsessions.errors import ConfigurationError, SignInNeeded

DAY = 86400
MONTH = 30 * DAY


class RememberCase(SignInCase):
    """
    A site with a sign-in that remembers.
    """

    def setUp(self):
        """
        Have a page that remembers for a month, or what is asked for.
        """
        super().setUp()
        self.remember = MONTH
        self.keep = None
        self.page(self.signIn)

    def signIn(self, request):
        """
        Sign in.
        """
        who = request.args.get(b"who", [b"ann"])[0].decode()
        request.getSession().login(request, who, keep=self.keep, remember=self.remember)
        return b"in"

    def rotate(self, request):
        """
        Give out a new id.
        """
        request.getSession().rotate(request)
        return b"rotated"

    def again(self, client):
        """
        The same browser, by another connection.
        """
        return self.client(jar=client.jar)

    def assertMaxAge(self, answer, seconds):
        """
        See for how long the browser is to keep the cookie.
        """
        said = answer.cookie.attributes.get("Max-Age")
        self.assertEqual(said, None if seconds is None else str(seconds))


class RememberTests(RememberCase):
    """
    How long such a session lasts.
    """

    def test_lasts(self):
        """
        It lasts as long as was said, used or not, and so does its cookie: over both
        limits of others, and no longer, however busy it is.
        """
        client = self.visitor("/count")
        self.assertMaxAge(client.fetch("/page"), MONTH)
        self.clock.advance(MONTH - 1)
        self.assertEqual(self.seen(client), b"ann 1 1")
        self.clock.advance(1)
        self.assertEqual(self.seen(client), b"nobody 0 0")

    def test_left(self):
        """
        A new id later brings what is left.
        """
        self.root.putChild(b"turn", Page(self.rotate))
        client = self.visitor("/page")
        self.clock.advance(10 * DAY + 0.5)
        self.assertMaxAge(self.again(client).fetch("/turn"), 20 * DAY)
        self.clock.advance(20 * DAY - 1)
        self.assertMaxAge(self.again(client).fetch("/turn"), 1)

    def test_elsewhere(self):
        """
        Another process knows it from the record.
        """
        self.root.putChild(b"turn", Page(self.rotate))
        client = self.visitor("/page")
        there = self.serveElsewhere(self.root)
        self.clock.advance(10 * DAY)
        other = self.client(jar=client.jar, site=there)
        self.assertEqual(other.fetch("/look").body, b"ann 1 0")
        self.assertMaxAge(other.fetch("/turn"), 20 * DAY)
        [session] = there.sessions.values()
        self.assertEqual(session.sessionTimeout, MONTH)
        self.assertEqual(session._endsAt, self.clock.seconds() + 20 * DAY)

    def test_dropped(self):
        """
        Who signs in once more without it is remembered no longer: neither the session
        nor its cookie.
        """
        client = self.visitor("/page")
        self.remember = None
        self.assertMaxAge(client.fetch("/page"), None)
        [session] = self.site.sessions.values()
        self.assertEqual(session.sessionTimeout, IDLE)
        self.assertEqual(session._endsAt, self.clock.seconds() + LIFETIME)
        self.clock.advance(IDLE)
        self.assertEqual(self.seen(client), b"nobody 0 0")

    def test_droppedElsewhere(self):
        """
        So it is where the session comes from the store.
        """
        client = self.visitor("/page")
        there = self.serveElsewhere(self.root)
        self.remember = None
        other = self.client(jar=client.jar, site=there)
        self.assertMaxAge(other.fetch("/page"), None)
        [session] = there.sessions.values()
        self.assertEqual(session.sessionTimeout, IDLE)

    def test_ownLimits(self):
        """
        Limits that the application has set itself stay where nobody was remembered.
        """
        self.remember = None
        client = self.visitor("/count")
        [session] = self.site.sessions.values()
        session.sessionTimeout = 60
        client.fetch("/page")
        self.assertEqual(session.sessionTimeout, 60)

    def test_afresh(self):
        """
        It is so where another session takes the place of the one that was there, and
        for the second of two who sign in at once.
        """
        self.keep = False
        self.assertMaxAge(self.visitor("/count").fetch("/page"), MONTH)
        self.keep = None
        one = self.visitor("/count")
        two = self.twin(one)
        self.store.hold("load")
        for client in (one, two):
            client.send("/page")
        self.store.pass_()
        self.turn()
        for client in (one, two):
            self.assertMaxAge(client.answer(), MONTH)
            self.assertEqual(self.seen(client)[:5], b"ann 1")

    def test_policy(self):
        """
        It goes before what the policy says, which others still get.
        """
        site = self.serve(self.root, cookies=CookiePolicy(maxAge=60))
        client = self.client(site=site)
        self.assertMaxAge(client.fetch("/count"), 60)
        self.assertMaxAge(client.fetch("/page"), MONTH)

    def test_setBack(self):
        """
        A clock that is set back makes it last no longer in the browser.
        """
        client = self.visitor("/page")
        [session] = self.site.sessions.values()
        session._createdAt += DAY
        self.root.putChild(b"turn", Page(self.rotate))
        self.assertMaxAge(client.fetch("/turn"), MONTH)

    def test_fresh(self):
        """
        Being remembered is no fresh sign-in.
        """
        client = self.visitor("/page")
        self.clock.advance(DAY)
        self.again(client).fetch("/look")
        [session] = self.site.sessions.values()
        self.assertRaises(SignInNeeded, session.requireFresh, 300)

    def test_refused(self):
        """
        It takes whole seconds, and no more than browsers keep a cookie.
        """
        said = []

        def page(request):
            session = request.getSession()
            for wrong in (0, -1, True, 1.5, "1", MAX_REMEMBER + 1):
                error = self.assertRaises(
                    ConfigurationError, session.login, request, "ann", remember=wrong
                )
                self.assertIn(str(MAX_REMEMBER), str(error))
                said.append(session.principal)
            return b""

        self.page(page)
        self.visitor("/page")
        self.assertEqual(said, [None] * 6)
        self.remember = MAX_REMEMBER
        self.page(self.signIn)
        self.assertMaxAge(self.visitor().fetch("/page"), MAX_REMEMBER)
