"""
Tests of L{txsessions.auth._logout}: signing out.
"""

from __future__ import annotations

from tests.auth.guarding import GuardCase


class LogoutTests(GuardCase):
    """
    How somebody signs out.
    """

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

    def test_clear(self):
        """
        The browser may be told to forget more.
        """
        self.begin(clear=["cache"])
        client = self.signedIn()
        self.assertEqual(self.signOut(client).get("clear-site-data"), '"cache"')
