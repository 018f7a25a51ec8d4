"""
The cookie at the logout, and a store that is down then.
"""

from __future__ import annotations

from http.cookiejar import CookieJar
from urllib.request import Request as ClientRequest

from tests.web import rfc6265
from tests.web.browsing import NOW
from tests.web.pages import OUTAGE
from tests.web.test_logout import LogoutCase
from txsessions import CookiePolicy


class DeletingCookieTests(LogoutCase):
    """
    The deleting cookie matches the setting one.
    """

    POLICIES = (
        (CookiePolicy(), False),
        (CookiePolicy(), True),
        (CookiePolicy(secureName="__Secure-my", domain="example.org"), True),
        (
            CookiePolicy(
                secureName="__Secure-my", insecureName="my", path="/out", maxAge=3600
            ),
            False,
        ),
        (
            CookiePolicy(secure="always", sameSite="none", partitioned=True),
            True,
        ),
        (CookiePolicy.twisted(), False),
        (CookiePolicy.twisted(), True),
    )

    def test_matches(self):
        """
        Name, path, domain, Secure and Partitioned agree, so that a strict jar
        lets the cookie go.
        """
        for policy, secure in self.POLICIES:
            site = self.serve(self.root, cookies=policy)
            client = self.client(site=site, secure=secure)
            setting = client.fetch("/count").all("set-cookie")[0]
            value = setting.partition(";")[0]
            jar = rfc6265.Browser(now=NOW)
            jar.receive(setting.encode(), host="example.org", path="/", https=secure)
            deleting = client.fetch(
                "/out", headers=(f"Cookie: {value}",), cookies=False
            ).all("set-cookie")[0]
            self.assertEqual(len(jar.cookies), 1)
            jar.receive(deleting.encode(), host="example.org", path="/", https=secure)
            self.assertEqual(jar.cookies, {}, setting)

    def test_standardJar(self):
        """
        So does the jar of Python's own client, which takes whole responses.
        """
        for policy, secure in self.POLICIES:
            site = self.serve(self.root, cookies=policy)
            client = self.client(site=site, secure=secure)
            url = f"http{'s' if secure else ''}://www.example.org/out"
            jar, request = CookieJar(), ClientRequest(url)
            answer = client.fetch("/count")
            jar.extract_cookies(Response(answer), request)
            self.assertEqual(len(jar), 1, policy)
            (pair,) = (each.partition(";")[0] for each in answer.all("set-cookie"))
            deleting = client.fetch("/out", headers=(f"Cookie: {pair}",), cookies=False)
            jar.extract_cookies(Response(deleting), request)
            self.assertEqual(list(jar), [], policy)


class Response:
    """
    An answer, as a jar wants it.
    """

    def __init__(self, answer):
        """
        @param answer: It.
        """
        self._headers = answer.headers

    def info(self):
        """
        Its headers.
        """
        return self._headers


class OutageTests(LogoutCase):
    """
    A store that is down at the logout.
    """

    expectsDeletion = True

    def visitor(self, **how):
        """
        A client whose session is live and known to be fresh.
        """
        client = super().visitor(**how)
        client.fetch("/look")
        return client

    def test_fails(self):
        """
        The answer says so and deletes the cookie nevertheless; the id is
        refused here from now on; the record goes when the store is back.
        """
        client = self.visitor()
        twin = self.twin(client)
        self.store.down = OUTAGE
        answer = client.fetch("/out")
        self.assertEqual(answer.code, 503)
        self.assertTrue(answer.deletes)
        self.store.down = None
        self.assertEqual(self.stored(), 1)
        self.assertEqual(twin.fetch("/look").body, b"0")
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)

    def test_failsLater(self):
        """
        The same where the failure comes after a while.
        """
        client = self.visitor()
        self.store.hold()
        client.send("/out")
        self.store.fail(OUTAGE)
        answer = client.answer()
        self.assertEqual(answer.code, 503)
        self.assertTrue(answer.deletes)
        self.store.pass_()
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)

    def test_withANewSession(self):
        """
        A new session in the same answer does not hide the failure.
        """

        def page(request):
            request.getSession().expire()
            request.getSession()["flash"] = "out"
            return b"out"

        self.page(page)
        for hold in (True, False):
            client = self.visitor()
            if hold:
                self.store.hold("delete")
            else:
                self.store.down = OUTAGE
            client.send("/page")
            if hold:
                self.store.fail(OUTAGE)
            self.store.pass_()
            answer = client.answer()
            self.assertEqual(answer.code, 503)
            self.assertTrue(answer.deletes)
            self.store.down = None
            self.clock.advance(5)

    def test_laterSessionsAreFine(self):
        """
        The visitor can sign in again when the store is back.
        """
        client = self.visitor()
        self.store.down = OUTAGE
        client.fetch("/out")
        self.store.down = None
        self.assertEqual(client.fetch("/count").body, b"count 1")
        self.clock.advance(2)
        self.assertEqual(client.fetch("/count").body, b"count 2")
