"""
Who waits for the end of a session is not told of one where another process has only
given it a new id.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from tests.web.pages import OUTAGE
from tests.web.renewing import INTERVAL, ElsewhereCase


class ClosingElsewhereTests(ElsewhereCase):
    """
    What is closed when the session ends.
    """

    def setUp(self):
        """
        Have a page that streams.
        """
        super().setUp()

        def page(request):
            request.getSession().closes(request)
            request.write(b"data")
            return NOT_DONE_YET

        self.page(page)

    def test_longAgo(self):
        """
        Nor does one of which that process hears only much later.
        """
        client = self.visitor("/in")
        listener = self.twin(client, site=self.there)
        listener.send("/page")
        self.clock.advance(INTERVAL)
        self.assertTrue(client.fetch("/look").sets)
        client.fetch("/look")
        self.clock.advance(200)
        self.clock.advance(0)
        self.assertFalse(listener.wire.aborted)
        client.fetch("/out")
        self.clock.advance(15)
        self.clock.advance(0)
        self.assertTrue(listener.wire.aborted)

    def test_stream(self):
        """
        A new id from another process closes nothing; the end does.
        """
        client = self.visitor("/in")
        listener = self.twin(client, site=self.there)
        listener.send("/page")
        for _ in range(3):
            self.clock.advance(INTERVAL)
            self.assertTrue(client.fetch("/look").sets)
            client.fetch("/look")
            for _ in range(3):
                self.clock.advance(15)
            self.assertFalse(listener.wire.aborted)
        client.fetch("/out")
        self.clock.advance(15)
        self.clock.advance(0)
        self.assertTrue(listener.wire.aborted)


class ParkedElsewhereTests(ElsewhereCase):
    """
    Expiry callbacks of a session that has left the memory of another process.
    """

    def setUp(self):
        """
        Have a page that wants to be called back.
        """
        super().setUp()
        self.called = []
        self.browser = self.visitor("/in")
        self.page(self.wants)
        self.parkThere()
        self.clock.advance(INTERVAL - 60)
        self.assertEqual(self.called, [])

    def wants(self, request):
        """
        A page that does.
        """
        number = len(self.called)
        request.getSession().notifyOnExpire(lambda: self.called.append(number))
        return b""

    def parkThere(self):
        """
        Have it do so there, and the session leave.
        """
        self.twin(self.browser, site=self.there).fetch("/page")
        for _ in range(3):
            self.clock.advance(20)
        self.assertEqual(len(self.there._live.parked), 1)
        self.assertEqual(dict(self.there.sessions), {})

    def renew(self):
        """
        Renew the id, here.
        """
        self.assertTrue(self.browser.fetch("/look").sets)
        self.browser.fetch("/look")

    def endHere(self):
        """
        End the session here, and wait until it is known there.
        """
        self.assertEqual(self.called, [])
        self.browser.fetch("/out")
        self.clock.advance(15)

    def test_renewed(self):
        """
        They are not called when another process renews it, but at its end.
        """
        for _ in range(2):
            self.renew()
            self.clock.advance(15)
            self.clock.advance(INTERVAL - 15)
        self.endHere()
        self.assertEqual(self.called, [0])

    def test_renewedLongAgo(self):
        """
        Nor where that process hears of it only much later.
        """
        self.renew()
        self.clock.advance(200)
        self.endHere()
        self.assertEqual(self.called, [0])

    def test_comesBack(self):
        """
        Nor if it comes back by its new id.
        """
        self.renew()
        self.twin(self.browser, site=self.there).fetch("/look")
        self.clock.advance(15)
        self.assertEqual(dict(self.there._live.parked), {})
        self.endHere()
        self.assertEqual(self.called, [0])

    def test_leavesAgain(self):
        """
        Nor if it then leaves again, with others.
        """
        self.renew()
        self.there.slow.hold("follow")
        self.clock.advance(15)
        self.assertEqual(self.there.slow.names(), ["follow"])
        self.twin(self.browser, site=self.there).fetch("/page")
        for _ in range(3):
            self.clock.advance(20)
        self.assertEqual(len(self.there._live.parked), 2)
        self.there.slow.pass_()
        self.assertEqual(len(self.there._live.parked), 1)
        self.endHere()
        self.assertEqual(self.called, [0, 0])

    def test_outage(self):
        """
        While the store cannot tell they wait.
        """
        self.renew()
        self.there.slow.hold("follow")
        self.clock.advance(15)
        self.there.slow.fail(OUTAGE)
        self.there.slow.pass_()
        self.clock.advance(60)
        self.assertEqual(self.called, [])
        self.endHere()
        self.assertEqual(self.called, [0])

    def test_signedIn(self):
        """
        Where it has got another id on purpose they are called, as ever.
        """
        self.renew()
        self.browser.fetch("/in")
        self.clock.advance(15)
        self.assertEqual(self.called, [0])

    def test_ranOut(self):
        """
        They are called once, whatever is answered late.
        """
        self.renew()
        self.there.slow.hold("follow")
        self.clock.advance(15)
        [parked] = self.there._live.parked.values()
        parked.gone()
        self.there.slow.pass_()
        self.browser.fetch("/out")
        self.clock.advance(15)
        self.assertEqual(self.called, [0])
