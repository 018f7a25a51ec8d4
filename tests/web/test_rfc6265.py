"""
Tests of L{tests.web.rfc6265}: the judge of our cookies finds fault where there
is one.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.web.rfc6265 import Browser, NotClean, parse


class JudgeTests(SynchronousTestCase):
    """
    Tests of L{parse} and L{Browser}.
    """

    def test_faults(self) -> None:
        """
        The parser and browser that check us do refuse what is wrong.
        """
        for bad in (
            b"a",
            b"=a",
            b"a b=c",
            b"a=b c",
            b"a=b;Path=/",
            b"a=b;  Path=/",
            b"a=b; path=/",
            b"a=b; Path=/; Path=/",
            b"a=b; Secure=",
            b"a=b; Max-Age=01",
            b"a=b; SameSite=lax",
            b"a=b; Domain=.a",
            b"a=b; Path=x",
            b"a=b; Path=/\x7f",
            b"a=b; Expires=Fri, 01 Jan 1970 00:00:00 GMT",
            b"a=b; Path=/" + b"x" * 1024,
            b"a=" + b"b" * 4096,
            b"a=b; ",
            b"a=b; Unknown=1",
        ):
            self.assertRaises(NotClean, parse, bad)
        for bad in (
            b"a=b; Domain=example.com",
            b"a=b; Secure",
            b"a=b; SameSite=None",
            b"a=b; Partitioned",
            b"__Host-a=b; Path=/",
        ):
            self.assertRaises(NotClean, self.browse, bad, False)
        for bad in (
            b"__Secure-a=b",
            b"__Http-a=b; Secure",
            b"__host-a=b; Secure; Path=/; Domain=example.org",
            b"__Host-a=b; Secure",
            b"__Host-Http-a=b; Secure; Path=/",
            b"a=" + b"b" * 4096,
        ):
            self.assertRaises(NotClean, self.browse, bad, True)

    def browse(self, header: bytes, https: bool) -> None:
        """
        Show a header to a browser.
        """
        Browser().receive(header, host="www.example.org", path="/a/b", https=https)
