"""
Pages that change their session exactly.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import WebCase


class TransactTests(WebCase):
    """
    C{site.transact()} in requests.
    """

    def setUp(self):
        """
        Have functions that wait in the middle, as long as the test likes.
        """
        super().setUp()
        self.waits = []

    def page(self, request):
        """
        Count, and tell the number that was committed and the one that the request's
        own session shows then.
        """
        session = request.getSession()

        async def add(own):
            number = own.sessionNamespaces.get("count", 0)
            if self.waits is not None:
                wait = Deferred()
                self.waits.append(wait)
                await wait
            own["count"] = number + 1
            return number + 1

        def answer(number):
            request.write(b"%d %d" % (number, session["count"]))
            request.finish()

        request.site.transact(session.uid, add).addCallback(answer)
        return NOT_DONE_YET

    def goOn(self):
        """
        Let the function that waits go on.
        """
        self.waits.pop(0).callback(None)

    def test_newSession(self):
        """
        A session that was made for it gets its cookie, and is kept.
        """
        for store in (self.store, None):
            self.waits = []
            client = self.client(site=self.serve(self.page, store=store))
            client.send()
            self.goOn()
            answer = client.answer()
            self.assertEqual(answer.body, b"1 1")
            self.assertTrue(answer.sets)
            self.waits = None
            self.assertEqual(client.fetch().body, b"2 2")

    def test_together(self):
        """
        Requests of one visitor in two processes that count at the same time all
        count.
        """
        here = self.serve(self.page)
        there = self.serveElsewhere(self.page)
        client = self.client(site=here)
        client.send()
        self.goOn()
        client.answer()
        clients = [self.client(site=site, jar=client.jar) for site in (here, there) * 2]
        for one in clients:
            one.send()
        self.assertEqual(len(self.waits), 2)
        while self.waits:
            self.goOn()
            self.clock.advance(1)
        counts = sorted(one.answer().body.split()[0] for one in clients)
        self.assertEqual(counts, [b"2", b"3", b"4", b"5"])


__all__ = ["TransactTests"]
