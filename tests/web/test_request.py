"""
The request takes shorter ways than Twisted's where nobody can tell: whatever a program
has put in the way is still called, and sees what it would see of Twisted's.
"""

from __future__ import annotations

from twisted.web.http_headers import Headers
from twisted.web.server import NOT_DONE_YET

from tests.web.again import AgainCase, count
from tests.web.pages import OUTAGE
from txsessions.web.request import Request


class BeforeTests(AgainCase):
    """
    What has been written before the sessions are there.
    """

    def test_tooLate(self):
        """
        A class that writes before it goes on has begun the response: no cookie is set,
        and nothing takes the place of what is out.
        """

        class Hasty(Request):
            """
            Writes first.
            """

            def process(self):
                """
                See C{Request.process}.
                """
                if self.uri == b"/hasty":
                    self.write(b"first ")
                super().process()

        self.serve(count, requestFactory=Hasty)
        client = self.client()
        client.fetch()
        self.store.down = OUTAGE
        client.send("/hasty")
        self.turn(3)
        rest = client.rest()
        self.assertIn(b"first ", rest)
        self.assertNotIn(b"Retry-After", rest)
        self.assertEqual(rest.count(b"HTTP/1.1"), 1)
        self.assertTrue(client.wire.aborted)


class HeaderTests(AgainCase):
    """
    Headers that are not Twisted's own.
    """

    def test_own(self):
        """
        A held reply has the headers that a class of its own tells, however it is made.
        """

        class Ordered(Headers):
            """
            Headers that know their request, and tell their names in capitals.
            """

            def __init__(self, request):
                """
                @param request: Whose.
                """
                super().__init__()
                self.request = request

            def getAllRawHeaders(self):
                """
                See C{Headers.getAllRawHeaders}.
                """
                for name, values in super().getAllRawHeaders():
                    yield name.upper(), [*values]
                yield b"X-CODE", [b"%d" % self.request.code]

        def page(request):
            request.responseHeaders = Ordered(request)
            return count(request)

        self.serve(page)
        client = self.client()
        self.store.hold()
        client.send()
        self.store.pass_()
        rest = client.rest()
        self.assertIn(b"X-CODE: 200\r\n", rest)
        self.assertIn(b"SET-COOKIE: sid=", rest)
        self.assertIn(b"CACHE-CONTROL: no-store", rest)
        self.assertTrue(rest.endswith(b"\r\n\r\n1"), rest)

    def test_changedWhileHeld(self):
        """
        What is done to the headers while a reply is held comes too late.
        """

        def page(request):
            request.setHeader(b"X-One", b"1")
            count(request)
            request.write(b"body")
            request.responseHeaders.getRawHeaders(b"X-One").append(b"2")
            request.setHeader(b"X-Two", b"2")
            request.addCookie(b"late", b"1")
            request.finish()
            return NOT_DONE_YET

        self.serve(page)
        client = self.client()
        self.store.hold()
        client.send()
        self.store.pass_()
        answer = client.answer()
        self.assertEqual((answer.all("X-One"), answer.all("X-Two")), (["1"], []))
        self.assertEqual(len(answer.all("Set-Cookie")), 1)
