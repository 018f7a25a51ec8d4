"""
WebSockets that end with their session.
"""

from __future__ import annotations

import gc
from unittest import skipUnless

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web import test_upgrades
from tests.web.pages import change
from tests.web.test_closing import ClosingCase
from txsessions.live.watching import WATCH_INTERVAL


class Socket:
    """
    A WebSocket, as Twisted's own knows them.

    @ivar lost: What its end was told by.
    """

    def __init__(self, session):
        self.session = session
        self.lost = []

    def negotiationStarted(self, transport):
        """
        See C{WebSocketProtocol}.
        """
        self.session.closes(transport)

    def negotiationFinished(self):
        """
        See C{WebSocketProtocol}.
        """

    def connectionLost(self, reason):
        """
        See C{WebSocketProtocol}.
        """
        self.lost.append(reason)


class WebSocketTests(ClosingCase):
    """
    WebSockets.
    """

    CLOSE = b"\x88\x02\x03\xe8"
    """The frame that says so, with the code 1000."""

    def open(self, browser, make=None):
        """
        Open a socket.
        """
        from twisted.web.websocket import WebSocketResource

        sockets = []

        class Factory:
            def buildProtocol(self, request):
                sockets.append((make or Socket)(change(request)))
                if make is not None:
                    request.getSession().closes(request)
                return sockets[-1]

        self.root.putChild(b"socket", WebSocketResource(Factory()))
        client = self.client(jar=browser.jar)
        client.send("/socket", headers=test_upgrades.UpgradeTests.HANDSHAKE)
        self.assertIn(b"101 Switching", client.rest())
        return client, sockets[0]

    @skipUnless(test_upgrades.WEBSOCKETS, "this Twisted has no twisted.web.websocket")
    def test_elsewhere(self):
        """
        A logout in another process closes it properly; here at once.
        """
        there = self.serveElsewhere(self.root)
        browser = self.visitor()
        client, _ = self.open(browser)
        gc.collect()
        self.assertIs(self.passes(70, client), None)
        self.assertEqual(client.rest(), b"")
        self.client(site=there, jar=browser.jar).fetch("/logout")
        self.clock.advance(WATCH_INTERVAL)
        self.assertEqual(client.rest(), self.CLOSE)
        self.assertTrue(client.wire.disconnecting)
        browser = self.visitor()
        client, _ = self.open(browser)
        browser.fetch("/logout")
        self.assertEqual(client.rest(), self.CLOSE)

    @skipUnless(test_upgrades.WEBSOCKETS, "this Twisted has no twisted.web.websocket")
    def test_byItsRequest(self):
        """
        Where the request was given the connection is cut.
        """

        class Plain(Socket):
            """
            Leaves it to the request.
            """

            def negotiationStarted(self, transport):
                """
                See C{WebSocketProtocol}.
                """

        browser = self.visitor()
        client, socket = self.open(browser, Plain)
        gc.collect()
        browser.fetch("/logout")
        self.assertTrue(client.wire.aborted)
        self.turn()
        self.assertEqual(len(socket.lost), 1)

    @skipUnless(test_upgrades.WEBSOCKETS, "this Twisted has no twisted.web.websocket")
    def test_gone(self):
        """
        Sockets that have come and gone leave nothing behind; one whose client has just
        left is no trouble.
        """
        browser = self.visitor()
        for _ in range(5):
            client, _ = self.open(browser)
            client.leave()
        del client
        self.clients[1:] = []
        gc.collect()
        self.open(browser)
        self.assertLessEqual(self.watched(), 2)
        client, socket = self.open(browser)
        client.leave()
        self.assertEqual(len(socket.lost), 1)
        browser.fetch("/logout")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_likeAutobahn(self):
        """
        A library that takes the transport away from the channel: that is what is
        given.
        """
        taken = []

        class Taking(Resource):
            isLeaf = True

            def render(self, request):
                transport, request.channel.transport = request.channel.transport, None
                change(request).closes(transport)
                taken.append(transport)
                return NOT_DONE_YET

        self.root.putChild(b"socket", Taking())
        browser = self.visitor()
        client = self.client(jar=browser.jar)
        client.send("/socket")
        gc.collect()
        browser.fetch("/logout")
        self.assertTrue(taken[0].disconnecting)
        client.wire.connected = False
