"""
Clients that leave, that have sent their last byte, that send many requests at
once, or that speak older HTTP.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

from tests.web.pages import OUTAGE, Waiting, count
from tests.web.test_loading import LoadingCase


class LeavingTests(LoadingCase):
    """
    Clients that close the connection.
    """

    def test_whileLoading(self):
        """
        A request that was received is carried out, though its client is gone
        when the session has been loaded: plain Twisted runs it, too, before it
        learns that the client is gone.
        """
        page = Waiting()
        client = self.start(page)
        self.slow.hold("load")
        client.send(method="POST")
        client.leave()
        self.assertEqual(page.requests, [])
        self.slow.release()
        self.assertEqual(len(page.requests), 1)
        self.assertEqual(len(page.ends), 1, "and is told at once")
        page.ends[0].trap(ConnectionDone)
        self.assertTrue(client.silent)
        self.assertEqual(
            self.client(site=self.site, jar=client.jar).fetch().body, b"count 3"
        )

    def test_answeredToNobody(self):
        """
        The same for a page that answers at once.
        """
        client = self.start(count)
        self.slow.hold("load")
        client.send(method="POST")
        client.leave()
        self.slow.release()
        self.assertTrue(client.silent)
        self.assertEqual(
            self.client(site=self.site, jar=client.jar).fetch().body, b"count 3"
        )

    def test_loadFailsMeanwhile(self):
        """
        If the load fails then, nobody is told.
        """
        client = self.start(count)
        self.slow.hold("load")
        client.send()
        client.leave()
        self.slow.fail(OUTAGE)
        self.assertTrue(client.silent)

    def test_whileHeld(self):
        """
        A reply that was held is not sent; its session is saved.
        """
        page = Waiting()
        self.serve(page)
        client = self.client()
        self.store.hold()
        client.send()
        page.requests[0].write(b"one")
        page.requests[0].finish()
        client.leave()
        self.assertEqual(len(page.ends), 1)
        page.ends[0].trap(ConnectionDone)
        self.store.release()
        self.assertTrue(client.silent)
        self.assertEqual(self.stored(), 1)

    def test_changesAreSaved(self):
        """
        What was changed before the client left is saved, whether anything had
        been written or not.
        """
        for write in (False, True):
            page = Waiting()
            site = self.serve(page)
            client = self.client(site=site)
            client.send()
            session = page.requests[0].getSession()
            if write:
                page.requests[0].write(b"one")
            session["more"] = 1
            before = self.store.calls.count("replace")
            client.leave()
            self.assertEqual(self.store.calls.count("replace"), before + 1)
            site.stopFactory()
            self.sites.remove(site)

    def test_finishAfterwards(self):
        """
        C{finish()} after that raises, and C{write()} does not, as in plain
        Twisted.
        """
        page = Waiting()
        self.serve(page)
        client = self.client()
        client.send()
        client.leave()
        page.requests[0].write(b"one")
        self.assertRaises(RuntimeError, page.requests[0].finish)

    def test_sessionAfterwards(self):
        """
        A page that goes on can use its session, and saves it by C{save()}.
        """
        page = Waiting()
        self.serve(page)
        client = self.client()
        client.send()
        session = page.requests[0].getSession()
        client.leave()
        session["late"] = 1
        self.successResultOf(session.save())
        self.assertEqual(self.store.calls.count("replace"), 1)

    def test_empty(self):
        """
        A client that leaves before a new session was used leaves nothing.
        """
        requests = []

        def page(request):
            request.getSession()
            requests.append(request)
            return NOT_DONE_YET

        self.serve(page)
        client = self.client()
        client.send()
        client.leave()
        self.assertEqual(self.store.calls, ["open"])
        self.assertEqual(dict(self.site.sessions), {})

    def test_unsavable(self):
        """
        A state that cannot be saved when the client has left is logged only.
        """
        page = Waiting()
        self.serve(page)
        client = self.client()
        client.send()
        page.requests[0].getSession()["large"] = b"x" * 70_000
        client.leave()
        self.assertEqual(self.warned("cannot be saved"), 1)


class HalfClosedTests(LoadingCase):
    """
    Clients that have sent their last byte, and wait for the answer.
    """

    def test_halfCloseable(self):
        """
        The protocol is one that outlasts the end of its input.
        """
        self.serve(count)
        self.assertTrue(verifyObject(IHalfCloseableProtocol, self.client().protocol))

    def test_idle(self):
        """
        Without a request under way the connection ends at once.
        """
        self.serve(count)
        client = self.client()
        client.fetch()
        client.endInput()
        self.assertFalse(client.wire.connected)

    def test_whileLoading(self):
        """
        The answer is sent, then the connection is closed.
        """
        client = self.start(count)
        self.slow.hold("load")
        client.send()
        client.endInput()
        self.assertTrue(client.wire.connected)
        self.slow.release()
        self.assertEqual(client.answer().body, b"count 2")
        self.turn()
        self.assertTrue(client.wire.disconnecting)

    def test_whileHeld(self):
        """
        The same while the reply is held.
        """
        self.serve(count)
        client = self.client()
        self.store.hold()
        client.send()
        client.endInput()
        self.assertTrue(client.wire.connected)
        self.store.release()
        self.assertEqual(client.answer().body, b"count 1")
        self.turn()
        self.assertTrue(client.wire.disconnecting)

    def test_loadedThenHeld(self):
        """
        The same for a request that is loaded and then held.
        """
        client = self.start(count)
        self.slow.hold("load", "replace")
        client.send()
        client.endInput()
        self.slow.release()
        self.assertEqual(self.slow.names(), ["replace"])
        self.assertTrue(client.wire.connected)
        self.assertFalse(client.wire.disconnecting)
        self.slow.release()
        self.assertEqual(client.answer().body, b"count 2")
        self.turn()
        self.assertTrue(client.wire.disconnecting)

    def test_pipelined(self):
        """
        All that the client had sent is answered.
        """
        self.serve(count)
        client = self.client()
        self.store.hold()
        client.sendBytes(b"".join(client.render() for _ in range(3)))
        client.endInput()
        for _ in range(3):
            self.assertFalse(client.wire.disconnecting)
            self.store.release()
        self.assertEqual(len(client.answers()), 3)
        self.turn()
        self.assertTrue(client.wire.disconnecting)

    def test_longPoll(self):
        """
        A page that waits for something else hears that the client is gone as
        soon as the store has answered, as it would in plain Twisted.
        """
        page = Waiting()
        client = self.start(page)
        self.slow.hold("load")
        client.send()
        client.endInput()
        self.assertEqual(page.ends, [])
        self.slow.release()
        self.turn()
        if client.wire.disconnecting:
            client.leave()
        self.assertEqual(len(page.ends), 1)
        page.ends[0].trap(ConnectionDone)

    def test_plainLongPoll(self):
        """
        At once, where the store is not asked.
        """
        page = Waiting()
        self.serve(page)
        client = self.client()
        client.send()
        client.endInput()
        self.assertEqual(len(page.ends), 1)

    def test_streaming(self):
        """
        A client that ended its input while the first byte was held, and whose
        answer goes on after that, is closed when what was held is out.
        """
        page = Waiting()
        self.serve(page)
        client = self.client()
        self.store.hold()
        client.send()
        page.requests[0].write(b"one")
        client.endInput()
        self.assertTrue(client.wire.connected)
        self.store.release()
        self.assertIn(b"one", client.wire.value())
        self.turn()
        self.assertTrue(client.wire.disconnecting)
