"""
Pages that raise, while their reply is held and before.
"""

from __future__ import annotations

from tests.web.pages import change
from tests.web.test_hold import HeldCase


class ErrorTests(HeldCase):
    """
    Pages that raise.
    """

    expects500 = True

    def tearDown(self):
        """
        The page's error is logged, as in plain Twisted, and no other is.
        """
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_beforeAWrite(self):
        """
        What was changed before the error is kept, as the builtin does; the page
        is Twisted's.
        """

        def render(request):
            change(request)
            return 1 / 0

        self.serve(render)
        answer = self.held(self.client())
        self.assertEqual(answer.code, 500)
        self.assertIn(b"Processing Failed", answer.body)
        self.assertTrue(answer.sets)
        self.assertEqual(answer.get("vary"), "Cookie")
        self.assertEqual(self.stored(), 1)

    def test_afterAWrite(self):
        """
        An error while the reply is held drops what was written: the client gets
        a clean 500, with the cookie, which no cache may keep.
        """

        def render(request):
            change(request)
            request.setHeader(b"Content-Type", b"application/json")
            request.setHeader(b"Content-Length", b"4000")
            request.setETag(b"one")
            request.write(b"partial")
            return 1 / 0

        self.serve(render)
        client = self.client()
        answer = self.held(client)
        self.assertEqual(answer.code, 500)
        self.assertTrue(answer.body.startswith(b"<html>"))
        self.assertNotIn(b"partial", answer.body)
        self.assertIsNone(answer.get("etag"))
        self.assertTrue(answer.sets)
        self.assertEqual(answer.get("vary"), "Cookie")
        # In step.
        self.assertTrue(client.silent)

    def test_afterAWriteWithoutABody(self):
        """
        The same where what was written may have no body.
        """

        def render(request):
            change(request)
            if request.method != b"HEAD":
                request.setResponseCode(304)
            request.write(b"partial")
            return 1 / 0

        self.serve(render)
        client = self.client()
        answer = self.held(client, "HEAD")
        self.assertEqual((answer.code, answer.body), (500, b""))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        answer = self.held(client)
        self.assertEqual(answer.code, 500)
        self.assertIn(b"Processing Failed", answer.body)

    def test_afterAWriteWithAProducer(self):
        """
        A producer that was registered before the error is stopped, and adds
        nothing to the error page.
        """
        produced = []

        class Producer:
            def __init__(self, request):
                self.request = request

            def resumeProducing(self):
                self.request.write(b"more")

            def pauseProducing(self):
                pass

            def stopProducing(self):
                produced.append("stopped")

        def render(request):
            change(request)
            request.write(b"partial")
            request.registerProducer(Producer(request), True)
            return 1 / 0

        self.serve(render)
        answer = self.held(self.client())
        self.assertEqual(answer.code, 500)
        self.assertNotIn(b"more", answer.body)
        self.assertEqual(produced, ["stopped"])

    def test_displayTracebacks(self):
        """
        The page with the traceback is held too and holds no uid, which the
        oracle looks for.
        """

        def render(request):
            uid = request.getSession().uid
            self.assertEqual(len(uid), 64)
            return 1 / 0

        self.serve(render)
        self.site.displayTracebacks = True
        answer = self.held(self.client())
        self.assertEqual(answer.code, 500)
        self.assertIn(b"ZeroDivisionError", answer.body)
