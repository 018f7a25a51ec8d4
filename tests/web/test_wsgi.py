"""
WSGI applications, which run in threads, behind a page that has a session.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.wsgi import WSGIResource

from tests.web.browsing import Answer, Unclosed
from tests.web.pages import OUTAGE, change
from tests.web.sockets import SocketCase


def application(environ, startResponse):
    """
    A WSGI application with cookies of its own.
    """
    startResponse(
        "200 OK",
        [("Content-Type", "text/plain"), ("Set-Cookie", "wsgi=1"), ("Vary", "Accept")],
    )
    return [b"one ", b"two"]


class Front(Resource):
    """
    Has a session, and lets the application answer.
    """

    isLeaf = True

    def __init__(self, inner):
        Resource.__init__(self)
        self.inner = inner

    def render(self, request):
        """
        See C{IResource.render}.
        """
        change(request)
        return self.inner.render(request)


class WSGITests(SocketCase):
    """
    A front with a session over a WSGI application.
    """

    async def fetch(self, *, fails=False):
        """
        Fetch the page.

        @return: The answer, and what had come before the store has answered.
        """
        pool = reactor.getThreadPool()
        await self.serve(Front(WSGIResource(reactor, pool, application)))
        self.store.hold()
        client = await self.connect()
        client.transport.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        await self.until(lambda: self.store.names() == ["insert"])
        await self.turns(10)
        early = client.received
        if fails:
            self.store.fail(OUTAGE)
        self.store.pass_()
        await client.ended
        return Answer(Unclosed(client.received), "GET"), early

    def test_cookies(self):
        """
        The reply is held; the application's raw cookie stands beside ours.
        """

        async def run():
            answer, early = await self.fetch()
            self.assertEqual(early, b"")
            self.assertEqual((answer.code, answer.body), (200, b"one two"))
            self.assertEqual(len(answer.all("set-cookie")), 2)
            self.assertIn("wsgi=1", answer.all("set-cookie"))
            self.assertTrue(answer.sets)
            self.assertEqual(answer.all("vary"), ["Accept", "Cookie"])

        return Deferred.fromCoroutine(run())

    def test_failing(self):
        """
        A failed save is a 503 without it.
        """

        async def run():
            answer, early = await self.fetch(fails=True)
            self.assertEqual(early, b"")
            self.assertEqual(answer.code, 503)
            self.assertEqual(answer.all("set-cookie"), [])

        return Deferred.fromCoroutine(run())
