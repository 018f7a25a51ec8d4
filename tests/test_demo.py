"""
Tests for the demonstration page, through a channel in memory.
"""

from __future__ import annotations

import os
import re
from html import unescape
from http.client import HTTPResponse
from io import BytesIO
from urllib.parse import urlencode

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests._serving import Answer, Visitor
from tests.slowstore import SlowStore
from tests.web.pages import OUTAGE
from txsessions import CookiePolicy, Site
from txsessions._demo_page import cookieReasons, spanInWords
from txsessions.core.keyring import KeyRing
from txsessions.demo import NAME_LIMIT, Demo, _shownAddress
from txsessions.stores.memory import MemoryStore


class _Received:
    """
    Bytes that look like a socket to L{HTTPResponse}.
    """

    def __init__(self, data):
        """
        @param data: What was received.
        """
        self._data = data

    def makefile(self, mode):
        """
        See C{socket.makefile}.
        """
        return BytesIO(self._data)


class MemoryVisitor(Visitor):
    """
    A visitor whose requests go straight to a site.
    """

    def exchange(self, method, path, body, headers):
        """
        See L{Visitor.exchange}.
        """
        site, transport = self._where, StringTransport()
        body = (body or "").encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        channel = site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived("\r\n".join(lines).encode("latin-1") + body)
        response = HTTPResponse(_Received(transport.value()), method=method)
        response.begin()
        return Answer(response)


def tokenOf(page):
    """
    Find the token that the forms of a page bring along.
    """
    (token,) = set(re.findall('name="csrf_token" value="([\\w-]+)"', page.text))
    return token


def textOf(page, name):
    """
    Find what stands in an element of a page.
    """
    found = re.search(rf'<(\w+) id="{name}"[^>]*>(.*?)</\1>', page.text, re.DOTALL)
    return found and unescape(re.sub("<[^>]*>", "", found[2]))


class DemoTestCase(SynchronousTestCase):
    """
    A site with the demonstration, and a visitor.
    """

    def setUp(self):
        """
        Make both.
        """
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.site = self.makeSite()
        self.visitor = MemoryVisitor(self.site)

    def makeSite(self, **options):
        """
        Make a site that is closed after the test.
        """
        site = Site(Demo(), store="memory:", reactor=self.clock, **options)
        site.doStart()
        self.addCleanup(site.doStop)
        return site

    def post(self, path, **fields):
        """
        Send a form as the page has it.
        """
        fields.setdefault("csrf_token", tokenOf(self.visitor.get()))
        return self.visitor.post(path, **fields)

    def signIn(self, user="ada"):
        """
        Sign in.

        @return: The page that comes then.
        """
        self.assertEqual(self.post("/sign-in", user=user).status, 303)
        return self.visitor.get()


class PageTests(DemoTestCase):
    """
    What the page shows.
    """

    def test_counts(self):
        """
        Visits are counted for each visitor; other methods do not count.
        """
        self.assertEqual(textOf(self.visitor.get(), "visits"), "1")
        self.assertEqual(self.visitor.request("HEAD", "/").text, "")
        self.assertEqual(textOf(self.visitor.get(), "visits"), "2")
        other = MemoryVisitor(self.site)
        self.assertEqual(textOf(other.get(), "visits"), "1")

    def test_age(self):
        """
        The session's age and what is left of it are shown, and whether this
        request made it.
        """
        page = self.visitor.get()
        self.assertEqual(textOf(page, "age"), "0 seconds")
        self.assertIn("made by this very request", page.text)
        self.assertIn("<strong>15 minutes</strong>", page.text)
        self.assertIn("<strong>12 hours</strong>", page.text)
        for _ in range(4):
            self.clock.advance(870)
            page = self.visitor.get()
        self.assertEqual(textOf(page, "age"), "58 minutes")
        self.assertIn("found again by your cookie", page.text)
        self.assertIn("<strong>11 hours 2 minutes</strong>", page.text)

    def test_cookie(self):
        """
        The page shows the cookie's attributes, and the tag, and never a uid.
        """
        page = self.visitor.get()
        (sent,) = page.headers.get_all("Set-Cookie")
        uid = self.visitor.cookies["sid"]
        shown = re.search(r'<pre class="cookie".*?>(.*?)</pre>', page.text)[1]
        shown = unescape(re.sub("<[^>]*>", "", shown))
        self.assertEqual(shown, f"Set-Cookie: {sent.replace(uid, '•' * 12)}")
        (session,) = self.site.sessions.values()
        self.assertEqual(textOf(page, "tag"), session.tag)
        pages = [page, self.signIn(), self.visitor.get("/nothing")]
        for shown in pages:
            self.assertNotIn(uid, shown.text)
            self.assertNotIn(self.visitor.cookies["sid"], shown.text)

    def test_store(self):
        """
        It says where sessions are, and does not promise of memory what only a
        file holds.
        """
        page = self.visitor.get()
        self.assertIn("<code>memory:</code>", page.text)
        self.assertNotIn("kill -9", page.text)
        self.assertEqual(_shownAddress("sqlite:/srv/a/s.db"), "sqlite:s.db")

    def test_headers(self):
        """
        Whatever the answer, the browser is told to let in nothing that is not
        ours; the pages do without scripts and without styles of their own.
        """
        for path, status in [
            ("/", 200),
            ("/signed-out", 200),
            ("/style.css", 200),
            ("/icon.svg", 200),
            ("/sign-in", 303),
            ("/a/b", 404),
        ]:
            answer = self.visitor.get(path)
            self.assertEqual(answer.status, status, path)
            policy = answer.headers["Content-Security-Policy"]
            self.assertTrue(policy.startswith("default-src 'none'; style-src 'self';"))
            self.assertNotIn("unsafe", policy)
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(answer.headers["Referrer-Policy"], "same-origin")
            again = MemoryVisitor(self.site).request(
                "GET", path, headers={"If-None-Match": answer.headers["ETag"] or ""}
            )
            self.assertEqual(again.status, 304 if "." in path else status)
            if "<html" in answer.text:
                self.assertNotRegex(answer.text, r"<script|<style|\sstyle=|\son\w+=")

    def test_needsNoSession(self):
        """
        What has nothing to do with the visitor asks for no session.
        """
        for path in ("/style.css", "/icon.svg", "/signed-out", "/nothing"):
            answer = self.visitor.get(path)
            self.assertNotIn("Set-Cookie", answer.headers)
        self.assertEqual(len(self.site.sessions), 0)

    def test_notFound(self):
        """
        From however deep, the links of a page that is not there lead to what is.
        """
        page = self.visitor.get("/a/b/c?d")
        self.assertIn('href="../../style.css"', page.text)
        self.assertIn('href="../../."', page.text)

    def test_overTLS(self):
        """
        The reasons fit the cookie: over TLS, behind a proxy, and without.
        """

        def reasons(overTLS, **options):
            return dict(cookieReasons(CookiePolicy(**options), overTLS))

        tls = reasons(True)
        self.assertIn("__Host-sid", tls)
        self.assertIn("Secure", tls)
        self.assertNotIn("no Secure", tls)
        plain = reasons(False)
        self.assertIn("__Host-sid", plain["sid"])
        self.assertIn("no Secure", plain)
        self.assertNotIn("__Host-sid", reasons(False, secure="never")["sid"])
        shared = reasons(
            False, secure="never", domain="example.org", path="/a", maxAge=60
        )
        self.assertEqual(
            list(shared)[2:5], ["Path=/a", "Domain=example.org", "Max-Age=60"]
        )
        self.assertNotIn("no Max-Age", shared)


class FormTests(DemoTestCase):
    """
    What the forms do.
    """

    def test_name(self):
        """
        A name is kept, and can be taken back.
        """
        answer = self.post("/name", name="Ada")
        self.assertEqual(answer.status, 303)
        self.assertEqual(answer.headers["Location"], "./")
        page = self.visitor.get()
        self.assertEqual(textOf(page, "hello"), "Hello, Ada.")
        self.assertIn("Ada is kept.", page.text)
        self.assertNotIn("Ada is kept.", self.visitor.get().text)
        self.post("/name", name=" ")
        page = self.visitor.get()
        self.assertEqual(textOf(page, "hello"), "Hello, visitor.")
        self.assertIn("The name is forgotten.", page.text)

    def test_escaped(self):
        """
        Whatever a name is, it is shown as text.
        """
        hostile = "\"><script>alert('&')</script>"
        self.post("/name", name=hostile)
        page = self.signIn(hostile)
        self.assertNotIn("<script", page.text)
        self.assertEqual(textOf(page, "hello"), f"Hello, {hostile}.")
        self.assertEqual(textOf(page, "signed-in"), hostile)

    def test_odd(self):
        """
        What is no line of text is made one: controls, broken UTF-8, novels.
        """
        for sent, kept in [
            ("a\x00b\r\nc\u202ed", "a b c d"),
            (b"\xff\xfe", "\ufffd\ufffd"),
            ("e\u0301", "\xe9"),
            ("x" * 1000, "x" * NAME_LIMIT),
            ("\U0001f600", "\U0001f600"),
        ]:
            self.post("/name", name=sent)
            self.assertEqual(textOf(self.visitor.get(), "hello"), f"Hello, {kept}.")

    def test_signIn(self):
        """
        Signing in keeps the state, gives a new id, and shows both tags.
        """
        self.post("/name", name="Ada")
        before = self.visitor.get()
        old = dict(self.visitor.cookies)
        page = self.signIn("ada")
        self.assertNotEqual(self.visitor.cookies, old)
        self.assertEqual(textOf(page, "signed-in"), "ada")
        self.assertEqual(textOf(page, "hello"), "Hello, Ada.")
        self.assertNotEqual(textOf(page, "tag"), textOf(before, "tag"))
        self.assertIn(textOf(before, "tag"), page.text)
        answer = self.visitor.post("/name", csrf_token=tokenOf(before), name="Eve")
        self.assertEqual(answer.status, 403)
        thief = MemoryVisitor(self.site)
        thief.cookies = old
        self.assertIsNone(textOf(thief.get(), "signed-in"))

    def test_signInWithoutName(self):
        """
        No name, no sign-in.
        """
        page = self.signIn(" ")
        self.assertIsNone(textOf(page, "signed-in"))
        self.assertIn("Type a name", page.text)

    def test_signOut(self):
        """
        Signing out ends the session, in the browser and here.
        """
        page = self.signIn()
        old = dict(self.visitor.cookies)
        answer = self.visitor.post("/sign-out", csrf_token=tokenOf(page))
        self.assertEqual(answer.headers["Location"], "signed-out")
        self.assertEqual(self.visitor.cookies, {})
        self.assertIn("You are signed out", self.visitor.get("/signed-out").text)
        self.visitor.cookies = old
        page = self.visitor.get()
        self.assertEqual(textOf(page, "visits"), "1")
        self.assertIsNone(textOf(page, "signed-in"))

    def test_signOutInOutage(self):
        """
        The same while the store does not answer, where no page can be shown.
        """
        slow = SlowStore(MemoryStore())
        keys = KeyRing.random(os.urandom)
        site = Site(Demo(), store=slow, reactor=self.clock, keys=keys)
        site.doStart()
        self.addCleanup(site.doStop)
        self.visitor = MemoryVisitor(site)
        page = self.signIn()
        old = dict(self.visitor.cookies)
        slow.sharedWithOthers, slow.down = True, OUTAGE
        self.assertEqual(self.visitor.get().status, 503)
        answer = self.visitor.post("/sign-out", csrf_token=tokenOf(page))
        self.assertEqual((answer.status, self.visitor.cookies), (503, {}))
        self.visitor.cookies, slow.down = old, None
        self.assertIsNone(textOf(self.visitor.get(), "signed-in"))
        self.clock.advance(2)
        self.visitor.cookies = dict(old)
        self.assertIsNone(textOf(self.visitor.get(), "signed-in"))

    def test_forged(self):
        """
        A form without this session's token changes nothing.
        """
        self.post("/name", name="Ada")
        mine = tokenOf(self.visitor.get())
        others = tokenOf(MemoryVisitor(self.site).get())
        for path in ("/name", "/sign-in", "/sign-out"):
            for token in ("", "\N{SNOWMAN}", others, mine[:-1], mine.upper() + "0"):
                answer = self.visitor.post(
                    path, csrf_token=token, name="Eve", user="eve"
                )
                self.assertEqual(answer.status, 403)
                self.assertIn("Nothing has been changed", answer.text)
        page = self.visitor.get()
        self.assertEqual(textOf(page, "hello"), "Hello, Ada.")
        self.assertIsNone(textOf(page, "signed-in"))

    def test_withoutSession(self):
        """
        A form from a session that has ended makes no new one.
        """
        self.visitor.get()
        self.visitor.cookies.clear()
        answer = self.visitor.post("/name", csrf_token="", name="Eve")
        self.assertEqual(answer.status, 403)
        self.assertEqual(self.visitor.cookies, {})

    def test_noForm(self):
        """
        A form without fields, or of another kind, is refused as well.
        """
        self.visitor.get()
        for kind in ("application/x-www-form-urlencoded", "text/plain"):
            answer = self.visitor.request(
                "POST", "/name", urlencode({"a": "b"}), {"Content-Type": kind}
            )
            self.assertEqual(answer.status, 403)


class WordsTests(SynchronousTestCase):
    """
    Time in words.
    """

    def test_spans(self):
        """
        Two units at most, and none left out between them.
        """
        for seconds, words in [
            (-5, "0 seconds"),
            (0.9, "0 seconds"),
            (1, "1 second"),
            (61, "1 minute 1 second"),
            (900, "15 minutes"),
            (3605, "1 hour"),
            (43200, "12 hours"),
            (90061, "1 day 1 hour"),
            (172800 + 60, "2 days"),
        ]:
            self.assertEqual(spanInWords(seconds), words)
