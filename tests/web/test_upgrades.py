"""
WebSockets, which leave HTTP in the middle of a request.
"""

from __future__ import annotations

from importlib.util import find_spec
from unittest import skipUnless

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import WebCase
from tests.web.pages import Page, change, count

WEBSOCKETS = find_spec("twisted.web.websocket") and find_spec("wsproto")


class UpgradeTests(WebCase):
    """
    WebSockets, which leave HTTP in the middle of a request.
    """

    HANDSHAKE = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )

    def upgrade(self, client):
        """
        Ask for a WebSocket.
        """
        client.send("/socket", headers=self.HANDSHAKE)

    @skipUnless(WEBSOCKETS, "this Twisted has no twisted.web.websocket")
    def test_twisted(self):
        """
        What is changed before the upgrade is saved then; the session is held no
        longer than somebody has the request; the socket can use it on.
        """
        from twisted.web.websocket import WebSocketResource

        sockets = []

        class Socket:
            def __init__(self, session):
                self.session = session
                self.lost = []

            def negotiationStarted(self, transport):
                self.transport = transport

            def negotiationFinished(self):
                pass

            def textMessageReceived(self, message):
                self.session["said"] = message

            def connectionLost(self, reason):
                self.lost.append(reason)

        class Factory:
            def buildProtocol(self, request):
                sockets.append(Socket(change(request)))
                return sockets[-1]

        root = Resource()
        root.putChild(b"socket", WebSocketResource(Factory()))
        root.putChild(b"count", Page(count))
        self.serve(root)
        client = self.client()
        client.fetch("/count")
        self.upgrade(client)
        self.assertIn(b"101 Switching", client.wire.value())
        self.assertEqual(self.store.calls.count("replace"), 1)
        self.assertEqual(self.client(jar=client.jar).fetch("/count").body, b"count 3")
        session = sockets[0].session
        session["late"] = 1
        self.successResultOf(session.save())
        client.leave()
        self.assertEqual(len(sockets[0].lost), 1)

    @skipUnless(WEBSOCKETS, "this Twisted has no twisted.web.websocket")
    def test_memory(self):
        """
        Sockets that have come and gone hold no session in memory.
        """
        import gc

        from twisted.web.websocket import WebSocketResource

        class Socket:
            def negotiationStarted(self, transport):
                pass

            def negotiationFinished(self):
                pass

            def connectionLost(self, reason):
                pass

        class Factory:
            def buildProtocol(self, request):
                change(request)
                return Socket()

        root = Resource()
        root.putChild(b"socket", WebSocketResource(Factory()))
        root.putChild(b"count", Page(count))
        self.serve(root)
        client = self.client()
        client.fetch("/count")
        for _ in range(3):
            socket = self.client(jar=client.jar)
            self.upgrade(socket)
            socket.leave()
        client.leave()
        self.clients.clear()
        del socket
        gc.collect()
        self.clock.advance(61)
        self.clock.advance(61)
        self.assertEqual(dict(self.site.sessions), {})

    @skipUnless(WEBSOCKETS, "this Twisted has no twisted.web.websocket")
    def test_unsavable(self):
        """
        A state that cannot be saved ends the connection; no HTTP is said on it
        any more.
        """
        from twisted.web.websocket import WebSocketResource

        class Socket:
            """
            A WebSocket.
            """

            def negotiationStarted(self, transport):
                """
                See C{WebSocketProtocol}.
                """

            def negotiationFinished(self):
                """
                See C{WebSocketProtocol}.
                """

            def connectionLost(self, reason):
                """
                See C{WebSocketProtocol}.
                """

        class Factory:
            """
            Makes it.
            """

            def buildProtocol(self, request):
                """
                See C{WebSocketServerFactory}.
                """
                request.getSession()["large"] = b"x" * 70_000
                return Socket()

        root = Resource()
        root.putChild(b"socket", WebSocketResource(Factory()))
        self.serve(root)
        client = self.client()
        self.upgrade(client)
        self.assertTrue(client.wire.aborted)
        self.assertNotIn(b"HTTP/1.1 500", client.wire.value())
        self.turn()

    def test_likeAutobahn(self):
        """
        A library that takes the transport away from the channel.
        """
        taken = []

        class Taking(Resource):
            isLeaf = True

            def render(self, request):
                change(request)
                transport, request.channel.transport = request.channel.transport, None
                transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
                taken.append(transport)
                return NOT_DONE_YET

        root = Resource()
        root.putChild(b"socket", Taking())
        root.putChild(b"count", Page(count))
        self.serve(root)
        client = self.client()
        client.fetch("/count")
        self.upgrade(client)
        self.assertEqual(self.store.calls.count("replace"), 1)
        self.assertEqual(self.client(jar=client.jar).fetch("/count").body, b"count 3")
        client.wire.connected = False
