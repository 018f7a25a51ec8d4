"""
C{examples/login.py}: what its pages do, with two people and several browsers.

How it looks in a real one is in L{tests.test_login_browser}, and how it stands up to an
attack in L{tests.attacks}.
"""

from __future__ import annotations

import importlib.util
import re
from urllib.parse import urlencode

from twisted.internet.defer import maybeDeferred

from tests.served import ROOT
from tests.web.forms import FORM
from tests.web.oracle import WebCase

EXAMPLE = ROOT / "examples" / "login.py"

TOKEN = re.compile(rb'name="csrf_token" value="([^"]+)"')
HANDLE = re.compile(rb'name="end" value="([0-9a-f]+)"')

IPHONE = (
    "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Safari/604.1"
)
FIREFOX = "User-Agent: Mozilla/5.0 (Windows NT 10.0; rv:127.0) Gecko Firefox/127.0"


def loadExample():
    """
    Import the program, which is in no package.
    """
    spec = importlib.util.spec_from_file_location("login_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class LoginTests(WebCase):
    """
    The pages.
    """

    def setUp(self):
        """
        Serve them.  Passwords are hashed at once.
        """
        super().setUp()
        self.example = loadExample()
        self.example.deferToThread = maybeDeferred
        self.users = {"ann": "ann-password", "bob": "bob-password"}
        self.serve(None, lambda _, **how: self.example.makeSite(self.users, **how))

    def check(self, answer):
        """
        See L{WebCase.check}.  Handles are drawn too, and shown.
        """
        self.uids[:] = [each for each in self.uids if len(each) == 64]
        super().check(answer)

    def post(self, client, path, page=None, headers=(), **fields):
        """
        Send a form of a page.
        """
        found = TOKEN.search(client.fetch(page or path).body)
        if found is not None:
            fields["csrf_token"] = found[1].decode()
        body = urlencode(fields).encode()
        return client.fetch(path, "POST", headers=(FORM, *headers), body=body)

    def signIn(self, client, name="ann", password=None, **more):
        """
        Fill in the form to sign in.
        """
        password = password or self.users[name]
        said = {"username": name, "password": password, **more.pop("fields", {})}
        return self.post(client, "/login", **more, **said)

    def enter(self, name="ann", **more):
        """
        A client that has signed in.
        """
        client = self.client()
        self.assertEqual(self.signIn(client, name, **more).code, 303)
        return client

    def who(self, client):
        """
        Whom the first page takes a client for.
        """
        found = re.search(rb'id="signed-in">(\w+)<', client.fetch().body)
        return found and found[1].decode()

    def handles(self, client):
        """
        The handles of the others, as the page of devices has them.
        """
        return [h.decode() for h in HANDLE.findall(client.fetch("/devices").body)]

    def test_back(self):
        """
        Who is not signed in is led to the login, and from there back; a wrong password
        leads nowhere.
        """
        client = self.client()
        answer = client.fetch("/devices")
        self.assertEqual(answer.code, 303)
        login = answer.get("location")
        self.assertEqual(login, "/login?next=/devices")
        self.assertEqual(self.signIn(client, password="wrong").code, 403)
        self.assertIsNone(self.who(client))
        fields = {"next": "/devices"}
        answer = self.signIn(client, page=login, fields=fields)
        self.assertEqual((answer.code, answer.get("location")), (303, "/devices"))
        self.assertEqual(self.who(client), "ann")
        self.post(client, "/logout", "/")
        self.assertIsNone(self.who(client))

    def test_devices(self):
        """
        The page has each device with its name, this one marked and first, and nobody
        else's; one is ended by its handle.
        """
        phone, desk = self.enter(headers=(IPHONE,)), self.enter(headers=(FIREFOX,))
        bob = self.enter("bob")
        page = desk.fetch("/devices").body.decode()
        self.assertLess(page.index("Firefox on Windows"), page.index("this one"))
        self.assertLess(page.index("this one"), page.index("Safari on iPhone"))
        self.assertEqual(page.count("<li "), 2)
        self.assertEqual(page.count("this one"), 1)
        (handle,) = self.handles(desk)
        self.post(bob, "/devices", end=handle)
        self.assertEqual(self.who(phone), "ann")
        answer = self.post(desk, "/devices", end=handle)
        self.assertEqual(answer.get("location"), "/devices")
        self.assertIn(b"That device is signed out.", desk.fetch("/devices").body)
        self.assertEqual([self.who(c) for c in (phone, desk)], [None, "ann"])

    def test_agent(self):
        """
        What a browser calls itself is no part of the page, whatever it says.
        """
        client = self.enter(headers=("User-Agent: <b>{token}</b> curl",))
        page = client.fetch("/devices").body
        self.assertIn(b"<strong>curl</strong>", page)
        self.assertNotIn(b"<b>", page)
        said = self.example.browserOf
        self.assertEqual(said(""), "Unknown browser")
        self.assertEqual(
            said("Chrome/1 Safari/1 Edg/1 (Linux; Android)"), "Edge on Android"
        )

    def test_others(self):
        """
        The others are signed out, and this one stays.
        """
        other, here = self.enter(), self.enter()
        self.post(here, "/devices", end="others")
        self.assertEqual([self.who(c) for c in (other, here)], [None, "ann"])

    def test_everywhere(self):
        """
        All are signed out, this one too, whose cookie goes.
        """
        other, here, bob = self.enter(), self.enter(), self.enter("bob")
        answer = self.post(here, "/devices", end="everywhere")
        self.assertTrue(answer.deletes)
        self.assertEqual([self.who(c) for c in (other, here, bob)], [None, None, "bob"])

    def test_most(self):
        """
        The eleventh device takes the place of the first.
        """
        clients = []
        for _ in range(11):
            clients.append(self.enter())
            self.clock.advance(1)
        self.assertEqual([self.who(c) for c in clients], [None] + ["ann"] * 10)

    def test_fresh(self):
        """
        A new password wants a sign-in of the last minutes, both for its form and when
        that is sent.
        """
        client = self.enter()
        page = client.fetch("/password").body
        self.assertIn(b'name="new"', page)
        self.clock.advance(self.example.FRESH + 1)
        client = self.client(jar=client.jar)
        for answer in (
            client.fetch("/password"),
            self.post(client, "/password", "/", new="another-password"),
        ):
            self.assertEqual(answer.code, 303)
            self.assertEqual(answer.get("location"), "/login?next=/password")
        self.assertEqual(self.signIn(client).code, 303)
        self.assertIn(b'name="new"', client.fetch("/password").body)

    def test_password(self):
        """
        With a new password the old one is none any more, and others are signed out.
        """
        other, here = self.enter(), self.enter()
        self.post(here, "/password", new="short")
        self.assertIn(b"too short", here.fetch("/password").body)
        self.assertEqual(self.who(other), "ann")
        answer = self.post(here, "/password", new="another-password")
        self.assertEqual(answer.get("location"), "/")
        self.assertTrue(answer.sets)
        self.assertIn(b"Your password is changed", here.fetch().body)
        self.assertEqual([self.who(c) for c in (other, here)], [None, "ann"])
        self.assertEqual(self.signIn(self.client()).code, 403)
        self.users["ann"] = "another-password"
        self.assertEqual(self.who(self.enter()), "ann")

    def test_longPassword(self):
        """
        One that the form to sign in would refuse is none; the longest that it takes is.
        """
        here, most = self.enter(), self.example.MAX_PASSWORD
        snow = "\N{SNOWMAN}" * (most // 3)
        for wrong in ("n" * (most + 1), snow + "nn"):
            answer = self.post(here, "/password", new=wrong)
            self.assertEqual(answer.get("location"), "/password")
            self.assertIn(b"4096 bytes", here.fetch("/password").body)
        self.assertEqual(self.who(self.enter()), "ann")
        for right in ("n" * most, snow + "n"):
            self.post(here, "/password", new=right)
            self.users["ann"] = right
            self.assertEqual(self.who(self.enter()), "ann")

    def test_forged(self):
        """
        Each form wants a token.
        """
        client = self.enter()
        for path in ("/devices", "/password", "/logout", "/"):
            answer = client.fetch(
                path, "POST", headers=(FORM,), body=b"end=everywhere&new=another-one"
            )
            self.assertEqual(answer.code, 403, path)
        self.assertEqual(self.who(client), "ann")

    def test_headers(self):
        """
        No page is kept, framed, or lets a script in.
        """
        client = self.enter()
        for path in ("/", "/devices", "/password"):
            answer = client.fetch(path)
            self.assertIn("no-store", answer.get("cache-control"))
            policy = answer.get("content-security-policy")
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn(b"<script", answer.body)

    def test_ago(self):
        """
        Times are said in words.
        """
        self.patch(self.example.time, "time", lambda: 1_000_000.0)
        for seconds, words in [
            (-5, "just now"),
            (59, "just now"),
            (60, "a minute ago"),
            (120, "2 minutes ago"),
            (7200, "2 hours ago"),
            (86400 * 3, "3 days ago"),
        ]:
            self.assertEqual(self.example.ago(1_000_000.0 - seconds), words)
