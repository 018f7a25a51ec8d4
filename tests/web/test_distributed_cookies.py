"""
How a cookie gets from the process behind to the server in front.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import server
from twisted.web.resource import Resource
from twisted.web.test.requesthelper import DummyChannel

from txsessions import Site
from txsessions.web.distributed import cookieArguments


class CookieArgumentsTests(SynchronousTestCase):
    """
    A C{Set-Cookie} line, taken apart for C{addCookie}.
    """

    def test_roundTrip(self):
        """
        All that C{addCookie} knows comes out as it went in.
        """
        site = Site(Resource(), reactor=Clock())
        lines = [
            b"a=b",
            b"a=",
            b"a=b=c; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.org; "
            b"Path=/x; Max-Age=0; Comment=why; Secure; HttpOnly; SameSite=lax",
            site.cookies.render(b"0123456789abcdef" * 4, True),
            site.cookies.renderDeletion(False),
        ]
        for line in lines:
            request = server.Request(DummyChannel())
            cookie, arguments = cookieArguments(line)
            request.addCookie(*cookie, **arguments)
            [made] = request.cookies
            self.assertEqual(
                sorted(made.lower().split(b"; ")), sorted(line.lower().split(b"; "))
            )
