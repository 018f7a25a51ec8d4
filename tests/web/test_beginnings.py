"""
Responses that begin when the new session is still empty, or before it is asked
for.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import WebCase
from tests.web.pages import Stream, change


class EmptyStartTests(WebCase):
    """
    Responses that begin when the new session is still empty.
    """

    def test_keptWhenTheTurnEnds(self):
        """
        A response that goes on keeps its session, which may be filled yet.
        """
        stream = Stream(lambda request: request.getSession())
        self.serve(stream)
        client = self.client()
        client.send()
        stream.request.write(b"one")
        self.assertTrue(client.silent)
        self.turn()
        self.assertIn(b"one", client.wire.value())
        self.assertEqual(self.stored(), 1)
        stream.session["late"] = 1
        stream.request.finish()
        answer = client.answer()
        self.assertTrue(answer.sets)
        self.assertEqual(self.counted("created"), 1)

    def test_filledInTheSameTurn(self):
        """
        One that is filled and finished in the same turn is kept.
        """

        def page(request):
            session = request.getSession()
            request.write(b"one")
            session["late"] = 1
            request.finish()
            return NOT_DONE_YET

        self.serve(page)
        answer = self.client().fetch()
        self.assertTrue(answer.sets)
        self.assertEqual(self.stored(), 1)
        self.turn()

    def test_stillEmpty(self):
        """
        One that is finished empty in the same turn is not, and sets no cookie.
        """

        def page(request):
            request.getSession()
            request.write(b"one")
            request.finish()
            return NOT_DONE_YET

        self.serve(page)
        answer = self.client().fetch()
        self.assertEqual(answer.body, b"one")
        self.assertEqual(answer.all("set-cookie"), [])
        self.assertEqual(answer.get("cache-control"), None)
        self.assertEqual(answer.get("vary"), "Cookie")
        self.assertEqual(self.store.calls, ["open"])
        self.turn()
        self.assertEqual(dict(self.site.sessions), {})

    def test_ownCacheControl(self):
        """
        What the page had said of caching comes back with the cookie withdrawn.
        """

        def page(request):
            request.getSession()
            request.setHeader(b"Cache-Control", b"max-age=60")
            request.write(b"one")
            request.finish()
            return NOT_DONE_YET

        self.serve(page)
        answer = self.client().fetch()
        self.assertEqual(answer.get("cache-control"), "max-age=60")

    def test_clientLeaves(self):
        """
        A client that leaves in that turn leaves nothing behind.
        """
        stream = Stream(lambda request: request.getSession())
        self.serve(stream)
        client = self.client()
        client.send()
        stream.request.write(b"one")
        client.leave()
        self.turn()
        self.assertEqual(self.store.calls, ["open"])
        self.assertEqual(dict(self.site.sessions), {})


class TooLateTests(WebCase):
    """
    C{getSession()} first called when the response has started.
    """

    WARNING = "first called after the response had started"

    def checkLost(self, client, stream):
        """
        No cookie, no record, one warning.
        """
        stream.request.write(b"one")
        session = stream.session
        session["lost"] = 1
        self.assertIs(stream.session, session)
        stream.request.write(b"two")
        stream.request.finish()
        answer = client.answer()
        self.assertEqual(answer.body, b"onetwo")
        self.assertEqual(answer.all("set-cookie"), [])
        self.assertEqual(self.warned(self.WARNING), 1)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(dict(self.site.sessions), {})

    def test_noCookie(self):
        """
        For a client that brought no cookie.
        """
        stream = Stream(lambda request: None)
        self.serve(stream)
        client = self.client()
        client.send()
        self.checkLost(client, stream)

    def test_unknownCookie(self):
        """
        For one that brought an unknown one.
        """
        stream = Stream(lambda request: None)
        self.serve(stream)
        client = self.client()
        client.send(headers=("Cookie: sid=" + "0123456789abcdef" * 4,))
        self.checkLost(client, stream)

    def test_existingSession(self):
        """
        A session that the client came with may be used late: its changes are
        saved before the end, and nothing is warned of.
        """
        begin = [change]
        stream = Stream(lambda request: begin[0](request))  # noqa: PLW0108 - it changes
        self.serve(stream)
        client = self.client()
        client.send()
        stream.request.finish()
        client.answer()
        begin[0] = lambda request: None
        client.send()
        stream.request.write(b"one")
        stream.session["late"] = 1
        self.store.hold()
        stream.request.finish()
        self.assertEqual(self.store.names(), ["replace"])
        self.store.release()
        self.assertEqual(client.answer().body, b"one")
        self.assertEqual(self.warned(self.WARNING), 0)

    def test_afterFinish(self):
        """
        When the response is finished it is too late for all of that.
        """
        stream = Stream(lambda request: None)
        self.serve(stream)
        client = self.client()
        client.send()
        stream.request.finish()
        client.answer()
        stream.session["lost"] = 1
        self.assertEqual(self.warned(self.WARNING), 1)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(dict(self.site.sessions), {})
        self.clock.advance(70)
        self.assertEqual(self.stored(), 0)
