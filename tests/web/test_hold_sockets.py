"""
When a held reply leaves by a real socket.
"""

from __future__ import annotations

from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.unix import Server
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import WebCase
from tests.web.pages import count
from tests.wires import Wire


class LeavingTests(WebCase):
    """
    A store answers, and the reactor has not come to write yet.
    """

    def ask(self, page, **how):
        """
        Have a client who has a session ask for a page that changes it, and the store
        answer.

        @return: The connection, and what has come before the store answered.
        """
        self.serve(page)
        client = self.client()
        client.fetch()
        channel = self.site.buildProtocol(UNIXAddress(None))
        wire = Wire(self, channel, Server)
        channel.makeConnection(wire.transport)
        self.store.hold()
        channel.dataReceived(client.render(**how))
        wire.turn()
        before = wire.received()
        self.store.release()
        self.store.pass_()
        self.addCleanup(self.leave, wire.transport)
        return wire, before

    def leave(self, transport):
        """
        The client leaves, if it has not left.
        """
        if transport.connected:
            transport.connectionLost(Failure(ConnectionDone()))

    def test_atOnce(self):
        """
        It leaves at once, as a whole.
        """
        wire, before = self.ask(count)
        sent = wire.received()
        self.assertEqual(before, b"")
        self.assertTrue(sent.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertTrue(sent.endswith(b"\r\n\r\ncount 2"))
        self.assertEqual(wire.reactor.writers, [])
        wire.turn()
        self.assertEqual(wire.received(), b"")
        self.assertTrue(wire.transport.connected)

    def test_last(self):
        """
        Also where the connection ends with it.
        """
        wire, before = self.ask(count, headers=("Connection: close",))
        sent = wire.received()
        self.assertEqual(before, b"")
        self.assertTrue(sent.endswith(b"\r\n\r\ncount 2"))
        wire.turn()
        self.assertFalse(wire.transport.connected)

    def test_chunked(self):
        """
        One whose end Twisted has to write leaves with that, in one piece.
        """

        def render(request):
            request.write(count(request))
            request.finish()
            return NOT_DONE_YET

        wire, before = self.ask(render)
        self.assertEqual((before, wire.received()), (b"", b""))
        wire.turn()
        sent = wire.received()
        self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", sent)
        self.assertTrue(sent.endswith(b"\r\n\r\n7\r\ncount 2\r\n0\r\n\r\n"))

    def test_begun(self):
        """
        One that goes on leaves as far as it is there.
        """
        begun = []

        def render(request):
            request.write(count(request))
            begun.append(request)
            return NOT_DONE_YET if len(begun) > 1 else request.finish() or NOT_DONE_YET

        wire, before = self.ask(render)
        sent = wire.received()
        self.assertEqual(before, b"")
        self.assertTrue(sent.endswith(b"\r\n\r\n7\r\ncount 2\r\n"))
        begun[1].write(b"more")
        begun[1].finish()
        wire.turn()
        self.assertEqual(wire.received(), b"4\r\nmore\r\n0\r\n\r\n")
