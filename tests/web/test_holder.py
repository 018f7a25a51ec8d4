"""
Tests of L{txsessions.web.holder}: for how long a session is held by requests that never
say that they are over.
"""

from __future__ import annotations

import gc
import weakref

from twisted.internet.testing import StringTransport
from twisted.web.server import NOT_DONE_YET

from tests.web.again import AgainCase, count
from txsessions.core.shapes import namesOf
from txsessions.web.exchange import Exchange
from txsessions.web.holder import MANY
from txsessions.web.visit import Visit


class ForgottenTests(AgainCase):
    """
    Requests that nobody has any more, and that were not told so.
    """

    def setUp(self):
        """
        Have a session.
        """
        super().setUp()
        self.serve(count)
        cookie = self.client().fetch("/").cookie
        self.header = f"{cookie.name}={cookie.value}".encode()

    def forget(self, page, times):
        """
        Send requests for a page, by connections that are then forgotten.
        """
        self.site.resource.render = page
        for _ in range(times):
            protocol = self.site.buildProtocol(None)
            protocol.makeConnection(StringTransport())
            cookie = b"Cookie: " + self.header + b"\r\n"
            protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n" + cookie + b"\r\n")
            # What else has a channel is its timeout.
            protocol._channel.setTimeout(None)
        del protocol

    def test_takenLate(self):
        """
        One that first asks for its session when its turn is over does not stay.
        """
        seen = []

        def page(request):
            seen.append(weakref.ref(request))
            self.clock.callLater(1, lambda: count(request))
            return NOT_DONE_YET

        self.header = b"other=1"
        self.forget(page, 3)
        self.clock.advance(2)
        gc.collect()
        self.assertEqual([request() for request in seen], [None] * 3)

    def test_manyOfThem(self):
        """
        What is left of them is forgotten too, before it is much.
        """

        def page(request):
            count(request)
            return NOT_DONE_YET

        for _ in range(10):
            self.forget(page, MANY // 2)
            gc.collect()
        self.assertLess(len(self.only()._visits), 2 * MANY)


class NamedTests(AgainCase):
    """
    What the objects of a request are given is named by their classes, so that CPython
    expects it.
    """

    def test_allAreNamed(self):
        """
        It is, whatever becomes of the request.
        """
        seen = {Exchange: set(), Visit: set()}
        end = Exchange._end

        def noting(exchange):
            for thing in (exchange, *exchange.visits):
                seen[type(thing)].update(vars(thing))
            end(exchange)

        self.patch(Exchange, "_end", noting)

        def page(request):
            name = request.path.decode()
            if name == "/stream":
                request.write(b"one")
            if name != "/none":
                count(request)
            if name == "/login":
                request.getSession().login(request, "somebody")
            if name == "/logout":
                request.getSession().logout(request)
            return b"done"

        self.serve(page)
        client = self.client()
        for path in ("/none", "/count", "/stream", "/login", "/count", "/logout"):
            self.assertEqual(client.fetch(path).code, 200)
        made = {"cameBy", "name", "secure"}
        for kind, names in seen.items():
            self.assertEqual(names - set(namesOf(kind)) - made, set())
