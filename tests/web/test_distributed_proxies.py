"""
A server that trusts proxies, in front of a process that C{twisted.web.distrib} sends
requests to.
"""

from __future__ import annotations

from twisted.logger import globalLogPublisher
from twisted.web import server

from tests.web.pages import change
from tests.web.pair import DistributedCase
from txsessions import CookiePolicy, Site


def describe(request):
    """
    A page that says how its request came.
    """
    change(request)
    return f"{request.isSecure()} {request.clientHost()}".encode()


class DistributedProxyTests(DistributedCase):
    """
    How a request came is known to the server in front, and said to the one behind.
    """

    async def test_said(self):
        """
        The process behind sees what the trusted proxy said, and sets that cookie.
        """
        await self.serveBehind(describe)
        self.serveInFront(cookies=CookiePolicy(trustedProxies=["unix"]))
        for scheme, body, name in (
            ("https", b"True 203.0.113.5", "__Host-sid"),
            ("http", b"False 203.0.113.5", "sid"),
        ):
            headers = f"X-Forwarded-Proto: {scheme}", "X-Forwarded-For: 203.0.113.5"
            answer = await self.fetch(headers=headers)
            (cookie,) = answer.cookies
            self.assertEqual((answer.body, cookie.name), (body, name))

    async def test_notBehind(self):
        """
        Whom the process behind trusts does not matter: nobody connects to it but the
        server in front.
        """
        await self.serveBehind(describe, cookies=CookiePolicy(trustedProxies=["unix"]))
        self.serveInFront()
        headers = "X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.5"
        answer = await self.fetch(headers=headers)
        (cookie,) = answer.cookies
        self.assertEqual((answer.body, cookie.name), (b"False None", "sid"))

    async def warnings(self, factory, **how):
        """
        What the log is told of two requests by way of a server in front.
        """
        logged = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        await self.serveBehind(describe, **how)
        self.serveInFront(factory)
        for _ in range(2):
            self.assertEqual((await self.fetch()).code, 200)
            self.jar.clear()
        return [event["what"] for event in logged if "what" in event]

    async def test_silent(self):
        """
        Twisted's own server in front does not say whether a visitor uses TLS, so that
        the cookie has no C{Secure}: the log says so, once.
        """
        (what,) = await self.warnings(server.Site)
        self.assertIn("the server in front", what)

    async def test_notSilent(self):
        """
        Ours says it.
        """
        self.assertEqual(await self.warnings(Site), [])

    async def test_never(self):
        """
        Where the cookie is never C{Secure} there is nothing to be said.
        """
        policy = CookiePolicy(secure="never")
        self.assertEqual(await self.warnings(server.Site, cookies=policy), [])
