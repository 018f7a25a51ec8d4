"""
Signing in: what is told of it, and how it is without a store, and without a cookie.
"""

from __future__ import annotations

from tests.web.pages import OUTAGE, Page
from tests.web.signing import SignInCase, signIn
from txsessions import CookiePolicy


class EventTests(SignInCase):
    """
    What is told.
    """

    def setUp(self):
        """
        Listen.
        """
        super().setUp()
        self.events = []
        self.site.addSessionListener(self)

    def sessionEvent(self, event):
        """
        See C{ISessionListener}.
        """
        self.events.append(event)

    def told(self):
        """
        What was told since it was last asked: kind, reason, principal, level.
        """
        told = [(e.kind.value, e.reason, e.principal, e.level) for e in self.events]
        self.events = []
        return told

    def test_told(self):
        """
        Listeners hear who signed in and who went; the log does not.
        """
        self.page(lambda request: request.getSession().rotate(request) and b"")
        client = self.visitor("/count")
        self.told()
        client.fetch("/in?who=annabel")
        self.assertEqual(
            self.told(),
            [("rotated", "", None, None), ("signed-in", "", "annabel", 1)],
        )
        client.fetch("/in?who=annabel&level=2")
        self.assertEqual(self.told()[1:], [("signed-in", "", "annabel", 2)])
        client.fetch("/count")
        self.assertEqual(self.told(), [])
        client.fetch("/page")
        self.assertEqual(self.told(), [("rotated", "", None, None)])
        client.fetch("/in?who=bob")
        self.assertEqual(self.events[0].state["namespaces"], {"count": 2})
        self.assertEqual(
            self.told(),
            [
                ("ended", "login", "annabel", 2),
                ("rotated", "", None, None),
                ("signed-in", "", "bob", 1),
            ],
        )
        client.fetch("/out")
        self.assertEqual(self.told(), [("ended", "logout", "bob", 1)])
        self.client().fetch("/in")
        self.assertEqual(self.told()[-1], ("signed-in", "", "ann", 1))
        self.assertEqual(self.counted("signed-in"), 4)
        ours = [e for e in self.logged if e["log_namespace"] == "txsessions"]
        self.assertIn("signed-in", [event.get("kind") for event in ours])
        self.assertNotIn("annabel", repr(ours))

    def test_notBefore(self):
        """
        It is told when the store has it, and not where that failed.
        """
        client = self.visitor()
        self.store.hold()
        client.send("/in")
        self.assertNotIn("signed-in", [kind for kind, *_ in self.told()])
        self.store.fail(OUTAGE)
        self.store.pass_()
        client.answer()
        self.assertNotIn("signed-in", [kind for kind, *_ in self.told()])

    def test_swept(self):
        """
        Who was signed in is told at the end of a session that nobody uses.
        """
        self.visitor("/in")
        self.told()
        self.clock.advance(70)
        self.clock.advance(1000)
        self.turn(200)
        self.clock.advance(400)
        self.assertEqual(self.told(), [("expired", "idle", "ann", 1)])

    def test_shown(self):
        """
        The looks of an event do not say who it is about.
        """
        self.visitor("/in?who=annabel")
        self.assertNotIn("annabel", repr(self.events))


class NoStoreTests(SignInCase):
    """
    The same without a store.
    """

    def begin(self):
        """
        Serve without one.
        """
        self.serve(self.root, store=None)

    def test_all(self):
        """
        Signing in, again, as another, and out.
        """
        client = self.visitor()
        old = client.sent()[0].decode()
        for path, told in (
            ("/in", b"ann 1 1"),
            ("/in?level=2", b"ann 2 1"),
            ("/in?who=bob", b"bob 1 0"),
        ):
            self.assertEqual(self.seen(client, path), told)
            self.assertEqual(self.seen(client), told)
            self.assertEqual(self.asked(old).body, b"nobody 0 0")
            late = self.asked(old, path="/count")
            self.assertEqual((late.body, late.cookie), (b"count 1", None))
            live = [s for s in self.site.sessions.values() if s.principal]
            self.assertEqual(len(live), 1)
            old = client.sent()[0].decode()
        self.assertEqual(self.counted("signed-in"), 3)
        self.assertTrue(client.fetch("/out").deletes)
        live = [s for s in self.site.sessions.values() if s.principal]
        self.assertEqual(live, [])
        self.assertEqual(self.seen(self.client(), "/in"), b"ann 1 0")


class BearerTests(SignInCase):
    """
    A program that sends its id by C{Authorization}.
    """

    tellsIds = True

    def begin(self):
        """
        Serve programs.
        """

        def page(request):
            signIn(request)
            return request.getSession().uid

        self.root.putChild(b"program", Page(page))
        self.serve(self.root, cookies=CookiePolicy(bearer=True))

    def ask(self, path, uid):
        """
        What a program with this id is told.
        """
        headers = (f"Authorization: Session {uid}",)
        answer = self.client().fetch(path, headers=headers, cookies=False)
        self.assertIsNone(answer.cookie)
        return answer.body

    def test_all(self):
        """
        It signs in, with a new id that the page tells it, and out, with no cookie in
        any answer.
        """
        first = "0" * 64
        uid = self.ask("/program", first).decode()
        again = self.ask("/program?level=2", uid).decode()
        self.assertNotEqual(again, uid)
        self.assertEqual(self.ask("/look", uid), b"nobody 0 0")
        self.assertEqual(self.ask("/look", again), b"ann 2 0")
        self.assertEqual(self.ask("/out", again), b"out")
        self.assertEqual(self.ask("/look", again), b"nobody 0 0")
        self.assertEqual(self.stored(), 0)
