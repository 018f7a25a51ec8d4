"""
What C{finish()} sends where nothing was written, or where a program has something of its
own to add: the same whether the reply is held or not, and as Twisted would send it.
"""

from __future__ import annotations

import gzip

from twisted.internet.testing import StringTransport
from twisted.web import server
from twisted.web.resource import EncodingResourceWrapper
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory

from tests.web.pages import OUTAGE, Page, change, count, look
from tests.web.test_hold import HeldCase
from txsessions import Request


class FinishingTests(HeldCase):
    """
    The end of a response.
    """

    def test_encodedEnd(self):
        """
        What C{finish()} alone sends is, byte for byte, what plain Twisted sends: an
        encoder's last words too, and no byte after a response that can have no body.
        """
        ways = [("GET", 200), ("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 304)]

        def pageOf(use, ends):
            def render(request):
                use(request)
                request.setResponseCode(int(request.args[b"code"][0]))
                ends.append(request)
                return NOT_DONE_YET

            return EncodingResourceWrapper(Page(render), [GzipEncoderFactory()])

        def sent(site, ends, method, code):
            protocol, wire = site.buildProtocol(None), StringTransport()
            protocol.makeConnection(wire)
            lines = f"{method} /?code={code} HTTP/1.1", "Host: a", "{}", "", ""
            for encoding in ("Accept-Encoding: gzip", "Accept-Language: de"):
                asked = "\r\n".join(lines).format(encoding)
                protocol.dataReceived(asked.encode("ascii"))
                ends.pop().finish()
                self.store.release()
            protocol._channel.setTimeout(None)
            mine = (b"set-cookie", b"cache-control", b"vary", b"server", b"date")
            told = wire.value().split(b"\r\n")
            return [line for line in told if not line.lower().startswith(mine)]

        for use in (lambda request: None, look, change):
            plainEnds, ends = [], []
            plain = server.Site(pageOf(lambda _: None, plainEnds), reactor=self.clock)
            site = self.serve(pageOf(use, ends))
            self.store.hold()
            for method, code in ways:
                self.assertEqual(
                    sent(site, ends, method, code),
                    sent(plain, plainEnds, method, code),
                    (use, method, code),
                )
            self.store.pass_()

    def test_ownWrite(self):
        """
        What a program's own C{write} does is part of a response that C{finish()} alone
        ends: it sets headers, fills the session, and ends it.
        """

        class Own(Request):
            def write(self, data):
                if not self.startedWriting:
                    self.setHeader(b"X-Own", b"yes")
                    uses.pop(0)(self)
                super().write(data)

        def render(request):
            request.finish()
            return NOT_DONE_YET

        def leave(request):
            request.getSession().expire()

        self.expectsDeletion = True
        self.serve(render, requestFactory=Own)
        client, uses = self.client(), [change, change, look, leave]
        for kept in (1, 1, 1, 0):
            self.store.hold()
            client.send()
            self.store.release()
            answer = client.answer()
            self.assertEqual((answer.code, answer.get("x-own")), (200, "yes"))
            self.assertEqual(self.stored(), kept)
            self.assertEqual(len(client.jar.cookies), kept)
            self.store.pass_()

    def test_ownWriteUnavailable(self):
        """
        Where the store is out of order, and a program's own C{write} asks for the session
        first, that is 503 as everywhere.
        """

        class Own(Request):
            def write(self, data):
                if not self.startedWriting:
                    self.getSession()
                super().write(data)

        def render(request):
            request.finish()
            return NOT_DONE_YET

        self.serve(count)
        client = self.client()
        client.fetch()
        other = self.serveElsewhere(render, requestFactory=Own)
        other.slow.down = OUTAGE
        answer = self.client(site=other, jar=client.jar).fetch()
        self.assertEqual(answer.code, 503)

    def test_ownEnd(self):
        """
        What a program's own C{finish} writes is in what an encoder makes of the response.
        """

        class Own(server.Request):
            def finish(self):
                if not self.finished:
                    self.write(b"trailer")
                super().finish()

        def render(request):
            change(request)
            request.finish()
            return NOT_DONE_YET

        page = EncodingResourceWrapper(Page(render), [GzipEncoderFactory()])
        self.serve(page, requestFactory=Own)
        answer = self.held(self.client(), headers=("Accept-Encoding: gzip",))
        self.assertEqual(gzip.decompress(answer.body), b"trailer")

    def test_lateWrite(self):
        """
        What is written after C{finish()}, while the response is held, is refused, and not
        in what an encoder makes of it either.
        """

        def render(request):
            change(request)
            request.write(b"page")
            request.finish()
            self.assertRaises(RuntimeError, request.write, b"late")
            return NOT_DONE_YET

        self.serve(EncodingResourceWrapper(Page(render), [GzipEncoderFactory()]))
        answer = self.held(self.client(), headers=("Accept-Encoding: gzip",))
        self.assertEqual(gzip.decompress(answer.body), b"page")

    def test_headersFreezeAtTheEnd(self):
        """
        What becomes of the headers after C{finish()} is not sent, though nothing was
        written before.
        """

        def render(request):
            change(request)
            request.setHeader(b"X-When", b"before")
            request.finish()
            request.setHeader(b"X-When", b"after")
            request.setResponseCode(500)
            return NOT_DONE_YET

        self.serve(render)
        answer = self.held(self.client())
        self.assertEqual((answer.code, answer.get("x-when")), (200, "before"))
