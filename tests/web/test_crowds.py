"""
Very many requests of one visitor while the store hangs: what each costs the store.
"""

from __future__ import annotations

from twisted.web.resource import Resource

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, count, look

CROWD = 500
"""How many requests come at once."""


class CrowdTests(WebCase):
    """
    One visitor, and many connections.
    """

    def setUp(self):
        """
        Serve in two processes.
        """
        super().setUp()
        self.root = Resource()
        self.root.putChild(b"count", Page(count))
        self.root.putChild(b"look", Page(look))
        self.serve(self.root)
        self.there = self.serveElsewhere(self.root)
        self.visitor = self.client()
        self.visitor.fetch("/count")

    def crowd(self, path, site):
        """
        Send many requests, each on a connection of its own.
        """
        clients = [self.client(site=site, jar=self.visitor.jar) for _ in range(CROWD)]
        for client in clients:
            client.send(path)
        return clients

    def test_loading(self):
        """
        Those who wait for their session to be loaded cost the store two calls; where it
        cannot answer all are told so, and the next one is served.
        """
        slow = self.there.slow
        slow.hold("load")
        clients = self.crowd("/look", self.there)
        self.assertEqual(slow.names(), ["load"])
        self.assertTrue(all(client.silent for client in clients))
        before = len(slow.calls)
        slow.fail(OUTAGE)
        while slow.pending:
            slow.fail(OUTAGE)
        self.assertLessEqual(len(slow.calls) - before, 2)
        self.assertEqual({client.answer().code for client in clients}, {503})
        slow.pass_()
        again = self.client(site=self.there, jar=self.visitor.jar)
        self.assertEqual(again.fetch("/look").body, b"count 1")

    def test_saving(self):
        """
        Those who wait for what they changed to be saved cost it one call under way and
        one behind that; whether they are told that it failed or that it is done, what
        they are told is so.
        """
        self.store.sharedWithOthers = False
        self.store.hold("replace")
        clients = self.crowd("/count", self.site)
        self.assertEqual(self.store.names(), ["replace"])
        self.assertTrue(all(client.silent for client in clients))
        self.store.release()
        self.assertEqual(self.store.names(), ["replace"])
        self.store.fail(OUTAGE)
        self.assertEqual(self.store.pending, [])
        answers = [client.answer() for client in clients]
        self.assertEqual(answers[0].body, b"count 2")
        self.assertEqual({answer.code for answer in answers[1:]}, {503})
        self.store.pass_()
        self.assertEqual(
            self.client(jar=self.visitor.jar).fetch("/look").body, b"count 2"
        )
        self.store.hold("replace")
        clients = self.crowd("/count", self.site)
        calls = len(self.store.calls)
        self.store.pass_()
        told = {client.answer().body for client in clients}
        self.assertEqual(told, {b"count %d" % (3 + n) for n in range(CROWD)})
        self.assertLessEqual(len(self.store.calls) - calls, 1)
