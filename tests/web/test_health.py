"""
The page that says whether sessions can be kept.
"""

from __future__ import annotations

import gc
import json

from twisted.web.resource import Resource

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, count
from txsessions import HealthResource, Site


class HealthCase(WebCase):
    """
    A site with a page that counts, and the page about its health.
    """

    def start(self, details=False, **how):
        """
        Serve them.

        @return: A client.
        """
        root = Resource()
        root.putChild(b"health", HealthResource(details=details))
        root.putChild(b"count", Page(count))
        self.serve(root, **how)
        return self.client()

    def ask(self, client, *headers, method="GET"):
        """
        Ask for it.
        """
        return client.fetch("/health", headers=headers, method=method)


class HealthTests(HealthCase):
    """
    L{HealthResource}.
    """

    def test_good(self):
        """
        All is well: 200, in text, not to be kept, and without a cookie.
        """
        answer = self.ask(self.start())
        self.assertEqual(answer.code, 200)
        self.assertEqual(answer.all("cache-control"), ["no-store"])
        self.assertEqual(answer.all("content-type"), ["text/plain; charset=utf-8"])
        self.assertEqual(answer.all("set-cookie"), [])
        self.assertEqual(answer.all("retry-after"), [])
        lines = answer.body.decode().splitlines()
        self.assertEqual(lines[:2], ["good: yes", "reachable: yes"])
        self.assertIn("writeSeconds: 0.000000", lines)
        self.assertEqual(self.store.inner._slots, {})

    def test_JSON(self):
        """
        Who accepts JSON gets JSON.
        """
        client = self.start(details=True)
        for accept in ("application/json", "text/html, Application/JSON;q=0.9"):
            answer = self.ask(client, f"Accept: {accept}")
            self.assertEqual(answer.all("content-type"), ["application/json"])
            told = json.loads(answer.body)
            self.assertEqual(
                (told["good"], told["writable"], told["readable"], told["why"]),
                (True, True, True, ""),
            )
            self.assertEqual(told["address"], self.store.address)
            self.assertEqual(told["durability"], self.store.durability)

    def test_down(self):
        """
        If the store is out of order it says 503, and to whom it may also why.
        """
        for details in (False, True):
            client = self.start(details)
            self.store.down = OUTAGE
            answer = self.ask(client, "Accept: application/json")
            self.store.down = None
            self.assertEqual(answer.code, 503)
            self.assertEqual(answer.all("retry-after"), ["2"])
            self.assertEqual(answer.all("cache-control"), ["no-store"])
            told = json.loads(answer.body)
            self.assertEqual((told["good"], told["writable"]), (False, False))
            self.assertEqual("pulled the plug" in told.get("why", ""), details)
            self.assertEqual(b"memory" in answer.body, details)
            self.clock.advance(1)
            self.site = None

    def test_notOpen(self):
        """
        It says so while the store cannot be opened.
        """
        self.store.hold("open")
        client = self.start(details=True)
        self.store.fail(OUTAGE)
        answer = self.ask(client)
        self.assertEqual(answer.code, 503)
        self.assertIn(b"why: pulled the plug", answer.body)
        self.assertIn(b"reachable: no", answer.body)

    def test_shared(self):
        """
        Many who ask at once share one look, and so do those who ask within a
        second; one who has left disturbs nobody.
        """
        self.start()
        clients = [self.client() for _ in range(4)]
        self.store.hold("insert")
        for client in clients:
            client.send("/health")
        self.assertEqual(self.store.names(), ["insert"])
        clients[0].leave()
        self.store.pass_()
        for client in clients[1:]:
            self.assertEqual(client.answer().code, 200)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.ask(clients[1])
        self.assertEqual(self.store.calls.count("insert"), 1)
        self.clock.advance(1)
        self.ask(clients[1])
        self.assertEqual(self.store.calls.count("insert"), 2)

    def test_visitor(self):
        """
        A visitor with a session keeps it, and hears of no cookie.
        """
        client = self.start()
        client.fetch("/count")
        self.assertEqual(self.ask(client).all("set-cookie"), [])
        self.assertEqual(client.fetch("/count").body, b"count 2")

    def test_methods(self):
        """
        HEAD is answered as GET is, without a body; nothing else is.
        """
        client = self.start()
        answer = self.ask(client, method="HEAD")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(self.ask(client, method="POST").code, 405)

    def test_anotherSite(self):
        """
        It may be served by another site than the one that is meant, as on a port
        for the monitoring.
        """
        self.start()
        inner = self.site
        self.serve(HealthResource(inner, details=True), store=None)
        client = self.client(site=self.sites[-1])
        self.assertIn(b"memory:", client.fetch("/").body)
        self.assertIsInstance(inner, Site)

    def test_withoutStore(self):
        """
        Where there is no store all is well.
        """
        self.assertEqual(self.ask(self.start(store=None)).code, 200)
