"""
Logout is final also where another process gave the session a new id meanwhile, or another
request is about to.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from tests.web.leaving import LeavingCase
from tests.web.pages import OUTAGE, Page
from tests.web.test_logout import LogoutCase
from txsessions.errors import StoreUnavailable


class RotatedTests(LogoutCase):
    """
    A page has the session, another process rotates it, and then the page ends it.
    """

    def setUp(self):
        """
        Serve in two processes; in the first a page has the session.
        """
        super().setUp()
        self.root.putChild(b"in", Page(self.signIn))
        self.root.putChild(b"page", Page(self.slowPage))
        self.there = self.serveElsewhere(self.root)
        self.kept = []
        self.browser = self.visitor()
        self.slow = self.twin(self.browser)
        self.slow.send("/page")
        self.other = self.client(site=self.there, jar=self.browser.jar)

    def signIn(self, request):
        """
        A page that gives a new id.
        """
        session = request.getSession()
        session.rotate(request)
        return b"in"

    def slowPage(self, request):
        """
        A page that is slow.
        """
        self.kept.append((request, request.getSession()))
        return NOT_DONE_YET

    def rotate(self):
        """
        Another process gives the session a new id.
        """
        self.assertTrue(self.other.fetch("/in").sets)
        self.assertEqual(self.other.fetch("/look").body, b"1")

    def end(self):
        """
        The page signs out.

        @return: The answer.
        """
        request, session = self.kept[0]
        session.expire()
        request.write(b"out")
        request.finish()
        return self.slow.answer()

    def assertOut(self):
        """
        The new id is dead everywhere.
        """
        self.assertEqual(self.stored(), 0)
        for site in (self.site, self.there):
            client = self.client(site=site, jar=self.browser.jar)
            self.assertEqual(client.fetch("/look").body, b"0")

    def test_final(self):
        """
        The logout ends it under its new id, and the cookie is deleted.
        """
        self.rotate()
        answer = self.end()
        self.assertEqual(answer.body, b"out")
        self.assertTrue(answer.deletes)
        self.assertOut()

    def test_twice(self):
        """
        So it does under the second one.
        """
        self.rotate()
        self.rotate()
        self.assertTrue(self.end().deletes)
        self.assertOut()

    def test_noticed(self):
        """
        So it does where this process has heard of the rotation, and has let go of
        the session, before the page ends it.  The reply waits for that.
        """
        self.rotate()
        self.assertEqual(self.twin(self.slow).fetch("/look").body, b"0")
        self.assertNotIn(self.kept[0][1].uid, self.site.sessions)
        self.store.hold("delete")
        request, session = self.kept[0]
        done = session.expire()
        self.assertNoResult(done)
        self.assertNoResult(session.expire())
        request.write(b"out")
        request.finish()
        self.assertTrue(self.slow.silent)
        self.store.pass_()
        self.successResultOf(done)
        self.assertTrue(self.slow.answer().deletes)
        self.assertOut()
        self.assertEqual(self.store.calls.count("delete"), 1)

    def test_watched(self):
        """
        So it does where this process heard of it by looking for sessions that have
        expiry callbacks.
        """
        session = self.kept[0][1]
        session.notifyOnExpire(list)
        self.clock.advance(1)
        self.other.fetch("/look")
        self.assertEqual(self.twin(self.slow).fetch("/look").body, b"1")
        self.clock.advance(0)
        self.rotate()
        for _ in range(60):
            self.clock.advance(1)
        self.assertEqual(session.expireCallbacks, [])
        self.successResultOf(session.expire())
        self.assertOut()

    def test_inUseHere(self):
        """
        This process lets go of the session if it has it by its new id.
        """
        self.rotate()
        here = self.client(jar=self.browser.jar)
        self.assertEqual(here.fetch("/look").body, b"1")
        self.end()
        self.assertEqual(here.fetch("/look").body, b"0")
        self.assertOut()

    def test_outage(self):
        """
        A logout that the store could not be told of is carried out when it is back,
        whatever the id is then.
        """
        self.rotate()
        self.store.down = StoreUnavailable("down")
        self.expectsDeletion = True
        self.assertEqual(self.end().code, 503)
        self.assertEqual(self.other.fetch("/look").body, b"1")
        self.store.down = None
        self.clock.advance(1)
        self.assertOut()

    def test_callback(self):
        """
        Noticing the rotation ends nothing, whatever an expiry callback does.
        """
        session = self.kept[0][1]
        session.notifyOnExpire(session.expire)
        self.rotate()
        self.assertEqual(self.twin(self.slow).fetch("/look").body, b"0")
        self.assertEqual(session.expireCallbacks, [])
        self.assertEqual(self.other.fetch("/look").body, b"1")
        self.assertNotIn("delete", self.store.calls)


class BegunTests(LeavingCase):
    """
    A sign-in has given the session a new id, of which the store has yet to hear.
    """

    def begin(self):
        """
        Serve in two processes.
        """
        super().begin()
        self.there = self.serveElsewhere(self.root)

    def assertOut(self, path, *, isTaken):
        """
        Who signs out by the id of before waits for that, and is out.

        @param isTaken: Whether the store takes the new id.
        """
        client = self.visitor("/in")
        leaver, here = self.twin(client), self.twin(client)
        there = self.twin(client, site=self.there)
        self.store.hold("rename")
        client.send("/in?level=2")
        leaver.send(path)
        self.assertTrue(client.silent)
        self.assertTrue(leaver.silent)
        if not isTaken:
            self.store.fail(OUTAGE)
        self.store.pass_()
        answer = leaver.answer()
        self.assertEqual((answer.code, answer.deletes), (200, True))
        self.assertFalse(client.answer().sets)
        self.assertEqual(self.stored(), 0)
        for each in (client, here, there):
            self.assertEqual(self.seen(each), b"nobody 0 0")

    def test_taken(self):
        """
        The store takes it: it ends under the new id.
        """
        self.assertOut("/leave", isTaken=True)
        self.assertOut("/out", isTaken=True)

    def test_notTaken(self):
        """
        The store does not take it, and would find the session by the old id.
        """
        self.assertOut("/leave", isTaken=False)
        self.assertOut("/out", isTaken=False)

    def test_wrongKind(self):
        """
        An id that came by the cookie of the other kind ends nothing.
        """
        client = self.client(secure=True)
        client.fetch("/in")
        value = client.sent()[0].decode().partition("=")[2]
        self.store.hold("rename")
        client.send("/in?level=2")
        self.assertEqual(self.asked(f"sid={value}", path="/leave").code, 200)
        self.store.pass_()
        self.assertTrue(client.answer().sets)
        self.assertEqual(client.fetch("/look").body, b"ann 2 0")
