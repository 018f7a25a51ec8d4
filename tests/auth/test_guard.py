"""
Tests of L{txsessions.auth._guard}: who is served what.
"""

from __future__ import annotations

from tests.auth.guarding import GuardCase


class ServedTests(GuardCase):
    """
    Who is served what.
    """

    def test_signIn(self):
        """
        A visitor is led to the login page and back to where he wanted to go, and
        served by the avatar that the realm has for him, at whatever depth.
        """
        self.begin()
        client = self.client()
        answer = client.fetch("/a/b?c=d")
        self.assertEqual(answer.code, 303)
        where = answer.get("location")
        self.assertEqual(where, "/login?next=/a/b%3Fc%3Dd")
        answer = self.signIn(client, path=where)
        self.assertEqual(answer.code, 303)
        self.assertEqual(answer.get("location"), "/a/b?c=d")
        self.assertEqual(client.fetch("/a/b?c=d").body, b"ann at a/b")
        self.assertEqual(self.realm.asked, [b"ann"])

    def test_wrong(self):
        """
        A wrong password, and a name that nobody has, are answered in the same way.
        """
        self.begin()
        client = self.client()
        wrong = self.signIn(client, password="sesam")
        unknown = self.signIn(client, name="eve")
        self.assertEqual(wrong.code, 403)
        self.assertEqual(unknown.code, 403)
        self.assertIn(b"do not go together", wrong.body)

    def test_signOut(self):
        """
        Signing out ends the session; the realm hears of it once.
        """
        self.begin()
        client = self.signedIn()
        self.assertEqual(client.fetch("/").body, b"ann at ")
        answer = self.signOut(client)
        self.assertEqual((answer.code, answer.get("location")), (303, "/"))
        self.assertTrue(answer.deletes)
        self.assertEqual(client.fetch("/").code, 303)
        self.assertEqual(self.realm.left, [b"ann"])
