"""
Tests of L{txsessions.web.received}: which cookies a request came with.
"""

from __future__ import annotations

from tests.web.again import AgainCase, count
from txsessions.web.request import Request


class LateTests(AgainCase):
    """
    What a program does with the header, when the cookies have been read from it.
    """

    def test_removed(self):
        """
        It is too late to take the session away, as with Twisted's own: whether somebody
        has looked at the cookies before makes no difference.
        """

        class Removing(Request):
            def process(self):
                if self.path == b"/looked":
                    self.getCookie(b"any")
                self.requestHeaders.removeHeader(b"Cookie")
                super().process()

        self.serve(count, requestFactory=Removing)
        client = self.client()
        paths = ("/", "/", "/looked", "/looked", "/")
        found = [client.fetch(path).body for path in paths]
        self.assertEqual(found, [b"1", b"2", b"3", b"4", b"5"])

    def test_added(self):
        """
        So it is too late to add one.
        """

        class Adding(Request):
            def process(self):
                if self.path == b"/looked":
                    self.getCookie(b"any")
                self.requestHeaders.setRawHeaders(b"Cookie", [header])
                super().process()

        header = b""
        site = self.serve(count)
        cookie = self.client().fetch("/").cookie
        header = f"{cookie.name}={cookie.value}".encode()
        site.requestFactory = Adding
        for path in ("/", "/looked"):
            self.assertEqual(self.client().fetch(path).body, b"1")
