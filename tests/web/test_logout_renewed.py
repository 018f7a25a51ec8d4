"""
Logouts by ids that were changed, while the store does not answer: what ends is what a
logout by that id ends otherwise, as far as it can be known.
"""

from __future__ import annotations

import gc

from tests.web.leaving import leave
from tests.web.pages import OUTAGE, Page
from tests.web.renewing import GRACE, ElsewhereCase
from txsessions.live.events import EventKind
from txsessions.live.resting import LINGER


class RenewedTests(ElsewhereCase):
    """
    Ids that were renewed.
    """

    expectsDeletion = True

    def begin(self):
        """
        Begin to serve.
        """
        self.root.putChild(b"leave", Page(leave))
        super().begin()

    def leave(self, cookie, code=503):
        """
        Sign out by some id, while the store is down.
        """
        self.store.down = OUTAGE
        answer = self.asked(cookie, path="/leave")
        self.assertEqual((answer.code, answer.deletes), (code, True))
        self.store.down = None

    def forget(self):
        """
        Let all sessions leave the memory of the first process.
        """
        self.site._live.forgetAll()
        gc.collect()

    def assertOut(self, *cookies, known=True):
        """
        By none of these ids is anybody signed in, here at once, and elsewhere when the
        store has heard of it.

        @param known: Whether it is known here that the others are of the same session
            as the first.
        """
        for cookie in cookies if known else cookies[:1]:
            self.assertEqual(self.asked(cookie).body, b"nobody 0 0")
        self.clock.advance(2)
        for site in (self.site, self.there):
            for cookie in cookies:
                self.assertEqual(self.asked(cookie, site=site).body, b"nobody 0 0")
        self.assertEqual(self.stored(), 0)
        reasons = [event.reason for event in self.told(EventKind.ENDED)]
        self.assertEqual(reasons.count("logout"), 1)

    def test_led(self):
        """
        By the old one, while nobody has come with the new one.
        """
        client, old = self.renewed("/in", confirmed=False)
        self.leave(old)
        self.assertOut(old, self.cookieOf(client))

    def test_again(self):
        """
        Who asks for it once more, by either id, is told the truth: it is certain when
        the store has heard of it.
        """
        client, old = self.renewed("/in", confirmed=False)
        self.leave(old)
        self.leave(old)
        self.leave(self.cookieOf(client))
        self.assertOut(old, self.cookieOf(client))

    def test_atOnce(self):
        """
        The same if it has yet to hear of the first, and it was another process that
        made the new one.
        """
        client, old = self.renewed("/in", confirmed=False, site=self.there)
        self.store.hold("delete")
        asked = [self.client() for _ in range(2)]
        for each in asked:
            each.send("/leave", headers=(f"Cookie: {old}",), cookies=False)
        self.assertEqual([each.silent for each in asked], [True, True])
        self.store.pass_()
        self.assertEqual([each.answer().code for each in asked], [200, 200])
        self.assertOut(old, self.cookieOf(client))

    def test_reads(self):
        """
        By the old one, while it still reads.
        """
        client, old = self.renewed("/in")
        self.clock.advance(GRACE / 2)
        self.leave(old)
        self.assertOut(old, self.cookieOf(client))

    def test_replayed(self):
        """
        Not by the old one after that: who has it is nobody.
        """
        client, old = self.renewed("/in")
        self.clock.advance(GRACE - 1)
        self.assertEqual(self.seen(client), b"ann 1 0")
        self.store.down = OUTAGE
        self.clock.advance(1)
        self.leave(old, 200)
        self.assertEqual(self.asked(self.cookieOf(client)).body, b"ann 1 0")

    def test_new(self):
        """
        By the new one, be it in memory or not.
        """
        for isAway in (False, True):
            client, old = self.renewed("/in")
            new = self.cookieOf(client)
            self.heard.events.clear()
            if isAway:
                self.clock.advance(LINGER)
                self.forget()
            self.leave(new)
            self.assertOut(old, new)

    def test_elsewhere(self):
        """
        By the old one in a process that does not know of the new one: the store does.
        """
        client, old = self.due("/in")
        gc.collect()
        there = self.twin(client, site=self.there)
        self.assertTrue(there.fetch("/look").sets)
        new = self.cookieOf(there)
        self.leave(old)
        self.assertOut(old, new, known=False)

    def test_heardOf(self):
        """
        The same where this process has heard from the store that it is an old one.
        """
        client, old = self.due("/in")
        there = self.twin(client, site=self.there)
        self.assertTrue(there.fetch("/look").sets)
        self.forget()
        self.assertEqual(self.asked(old).body, b"ann 1 0")
        self.forget()
        self.leave(old)
        self.assertOut(old, self.cookieOf(there), known=False)

    def test_awayMeanwhile(self):
        """
        The same where this process has known it, and the session has left memory.
        """
        client, old = self.renewed("/in", confirmed=False)
        new = self.cookieOf(client)
        self.clock.advance(LINGER - 1)
        self.asked(old)
        self.forget()
        self.leave(old)
        self.assertOut(old, new, known=False)

    def test_signedIn(self):
        """
        Not by one that this process knows to have been given up in a sign-in.
        """
        client = self.visitor()
        old = self.cookieOf(client)
        client.fetch("/in")
        self.leave(old, 200)
        self.assertEqual(self.asked(self.cookieOf(client)).body, b"ann 1 1")
        self.assertEqual(self.told(EventKind.ENDED), [])
