"""
Klein, on a site whose sessions are kept.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.web.pages import OUTAGE, Page, change, count
from tests.web.test_hold import HeldCase


class KleinTests(HeldCase):
    """
    Klein.
    """

    def setUp(self):
        """
        Serve an application.
        """
        super().setUp()
        from klein import Klein

        app = Klein()

        @app.route("/")
        def sync(request):
            return count(request)

        self.waiting = []

        @app.route("/later")
        async def later(request):
            self.waiting.append(Deferred())
            await self.waiting[-1]
            return count(request)

        @app.route("/branch/", branch=True)
        def branch(request):
            return Page(count)

        @app.route("/raises")
        def raises(request):
            change(request)
            return 1 / 0

        self.serve(app.resource())

    def test_routes(self):
        """
        Routes that answer at once, and branches.
        """
        client = self.client()
        self.assertEqual(self.held(client).body, b"count 1")
        self.assertEqual(self.held(client, path="/branch/x").body, b"count 2")

    def test_later(self):
        """
        Routes that answer later.
        """
        client = self.client()
        client.fetch()
        client.send("/later")
        self.store.hold()
        self.waiting[0].callback(None)
        self.assertTrue(client.silent)
        self.store.release()
        self.assertEqual(client.answer().body, b"count 2")

    def test_raises(self):
        """
        Routes that raise.
        """
        self.expects500 = True
        answer = self.held(self.client(), path="/raises")
        self.assertEqual(answer.code, 500)
        self.assertTrue(answer.sets)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_outage(self):
        """
        An outage that a route lets pass, at once or later.
        """
        client = self.client()
        client.fetch()
        self.store.sharedWithOthers = True
        self.store.down = OUTAGE
        self.assertEqual(client.fetch().code, 503)
        client.send("/later")
        self.waiting[0].callback(None)
        self.assertEqual(client.answer().code, 503)

    def test_failing(self):
        """
        A save that fails, after Klein has finished.
        """
        client = self.client()
        client.send("/later")
        self.store.hold()
        self.waiting[0].callback(None)
        self.store.fail(OUTAGE)
        self.assertEqual(client.answer().code, 503)

    def test_clientLeaves(self):
        """
        A client that leaves while a route waits.
        """
        client = self.client()
        client.send("/later")
        client.leave()
        self.waiting[0].callback(None)
        self.assertEqual(self.flushLoggedErrors(ZeroDivisionError), [])
