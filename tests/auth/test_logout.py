"""
Tests of L{txsessions.auth._logout}: signing out.
"""

from __future__ import annotations

import gc

from tests.auth.guarding import GuardCase
from tests.web.pages import OUTAGE
from txsessions import Renewal
from txsessions.live.resting import LINGER


class LogoutTests(GuardCase):
    """
    How somebody signs out.
    """

    expectsDeletion = True

    def test_button(self):
        """
        Its page has a button, which ends the session, for good, and leads to the
        guard's beginning; the realm hears of it.
        """
        self.begin()
        client = self.signedIn()
        [known] = client.sent()
        page = client.fetch("/logout")
        self.assertEqual(page.code, 200)
        self.assertEqual(page.get("cache-control"), "no-store")
        self.assertIn("default-src 'none'", page.get("content-security-policy"))
        self.assertEqual(client.fetch("/").body, b"ann at ")
        answer = self.signOut(client)
        self.assertEqual((answer.code, answer.get("location")), (303, "/"))
        self.assertTrue(answer.deletes)
        self.assertEqual(answer.get("clear-site-data"), None)
        self.assertEqual(self.realm.left, [b"ann"])
        self.assertEqual(self.stored(), 0)
        answer = client.fetch(
            "/", headers=(f"Cookie: {known.decode()}",), cookies=False
        )
        self.assertEqual(answer.code, 303)

    def test_forged(self):
        """
        Another site cannot sign anybody out: the form has to be of this session.
        """
        self.begin()
        client = self.signedIn()
        other = self.form(self.signedIn("bob", "hunter2"), "/logout")
        mine = self.form(client, "/logout")
        for fields, header in (
            ({}, "A: b"),
            (other, "A: b"),
            (mine, "Sec-Fetch-Site: cross-site"),
        ):
            self.post(client, "/logout", fields, header)
            answer = client.answer()
            self.assertEqual(answer.code, 403)
            self.assertIn("csrf_token", self.fields(answer))
        self.assertEqual(client.fetch("/").body, b"ann at ")

    def test_nobody(self):
        """
        Who is not signed in any more is led on, whatever the form.
        """
        self.begin()
        client = self.signedIn()
        fields = self.form(client, "/logout")
        self.signOut(client)
        self.assertEqual(client.fetch("/logout").get("location"), "/")
        self.post(client, "/logout", fields)
        answer = client.answer()
        self.assertEqual((answer.code, answer.get("location")), (303, "/"))

    def test_outage(self):
        """
        While the store does not answer, the form of somebody whose session is not in
        memory is answered 503, and nobody is signed in by his cookie from then on.
        """
        self.begin(clear=["cache"])
        client = self.signedIn()
        [known] = client.sent()
        fields = self.form(client, "/logout")
        self.leaveMemory()
        self.store.down = OUTAGE
        client = self.client(jar=client.jar)
        self.assertEqual(client.fetch("/logout").code, 503)
        self.post(client, "/logout", fields)
        answer = client.answer()
        self.assertEqual((answer.code, answer.deletes), (503, True))
        self.assertEqual(answer.get("clear-site-data"), '"cache"')
        self.store.down = None
        self.assertEqual(self.nobody(known), 303)
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.nobody(known), 303)

    def test_forgedInOutage(self):
        """
        Another site cannot do so then either, and a form that is not of this id is not
        refused for good.
        """
        self.begin()
        client = self.signedIn()
        fields = self.form(client, "/logout")
        other = self.form(self.signedIn("bob", "hunter2"), "/logout")
        self.leaveMemory()
        self.store.down = OUTAGE
        for sent, *headers in (
            ({},),
            (other,),
            (other, "Origin: null"),
            (other, "Sec-Fetch-Site: cross-site"),
            (other, "Sec-Fetch-Site: same-site"),
            (other, "Origin: https://example.com"),
            (fields, "Sec-Fetch-Site: cross-site"),
        ):
            connection = self.client(jar=client.jar)
            self.post(connection, "/logout", sent, *headers)
            answer = connection.answer()
            self.assertEqual((answer.code, answer.cookie), (503, None), headers)
        self.store.down = None
        self.assertEqual(self.client(jar=client.jar).fetch("/").body, b"ann at ")

    def test_renewedInOutage(self):
        """
        An id that was renewed has the tokens of the one before, which nobody knows then:
        the browser has to say that the form is from here.
        """
        for headers in ((), ("Sec-Fetch-Site: same-origin",)):
            self.begin()
            self.site.renewal = Renewal(interval=300)
            client = self.signedIn()
            self.clock.advance(300)
            client = self.client(jar=client.jar)
            self.assertTrue(client.fetch("/").sets)
            client.fetch("/")
            [known] = client.sent()
            fields = self.form(client, "/logout")
            self.leaveMemory()
            self.store.down = OUTAGE
            client = self.client(jar=client.jar)
            self.post(client, "/logout", fields, *headers)
            answer = client.answer()
            self.assertEqual((answer.code, answer.deletes), (503, bool(headers)))
            self.store.down = None
            self.clock.advance(2)
            self.assertEqual(self.nobody(known), 303 if headers else 200)

    def leaveMemory(self):
        """
        Let all sessions leave memory.
        """
        self.clock.advance(LINGER)
        gc.collect()
        self.assertEqual(dict(self.site.sessions), {})

    def nobody(self, known):
        """
        With what code a browser with this cookie is answered: 303 if nobody is signed in.
        """
        headers = (f"Cookie: {known.decode()}",)
        return self.client().fetch("/", headers=headers, cookies=False).code

    def test_clear(self):
        """
        The browser may be told to forget more.
        """
        self.begin(clear=["cache"])
        client = self.signedIn()
        self.assertEqual(self.signOut(client).get("clear-site-data"), '"cache"')
