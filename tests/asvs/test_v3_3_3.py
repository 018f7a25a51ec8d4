"""
ASVS 3.3.3: a cookie that is not meant for several hosts has a name that begins with
C{__Host-}.

It has over TLS, with C{Path=/} and no C{Domain}: browsers then take it from this host
alone, so that no other host of the domain can plant one.  A policy that shares the cookie
cannot have that name.
"""

from __future__ import annotations

from tests.asvs.cookies import CookieCase, without
from tests.web import rfc6265
from txsessions import CookiePolicy
from txsessions.errors import ConfigurationError

PLANTED = "0123456789abcdef" * 4


class HostTests(CookieCase):
    """
    What keeps the cookie on its host.
    """

    async def hostOnly(self, world):
        """
        Each line; and a neighbouring host can neither plant one nor read it.
        """
        for line, cookie in await self.said(world):
            self.assertEqual(cookie.name[:7], "__Host-", line)
            self.assertEqual(cookie.attributes["Path"], "/", line)
            self.assertNotIn("Domain", cookie.attributes, line)
        browser = await world.signedIn()
        (cookie,) = browser.jar.cookies.values()
        self.assertTrue(cookie.hostOnly)
        for host in ("www.example.org", "example.com"):
            self.assertEqual(browser.jar.send(host=host, path="/", https=True), [])
        planted = f"{cookie.name}={PLANTED}; Domain=example.org; Path=/; Secure"
        self.assertRaises(
            rfc6265.NotClean,
            browser.jar.receive,
            planted.encode("ascii"),
            host="www.example.org",
            path="/",
            https=True,
        )
        self.assertEqual(await browser.who(), "ann")

    async def planted(self, world):
        """
        Where an old browser lets one be planted beside it, neither is taken.
        """
        ann = await world.signedIn()
        pairs = [f"__Host-sid={value}" for value in (ann.cookie, PLANTED)]
        for both in (pairs, pairs[::-1]):
            header = (f"Cookie: {'; '.join(both)}",)
            answer = await world.browser().get("/look", headers=header, cookies=False)
            self.assertEqual(answer.body, b"nobody 0 0")
        self.assertEqual(await ann.who(), "ann")

    async def test_hostOnly(self):
        """
        By default.
        """
        await self.always(self.hostOnly)
        await self.holds(self.planted)

    def test_shared(self):
        """
        What is shared is not called so.
        """
        for how in ({"domain": "example.org"}, {"path": "/part"}):
            self.assertRaises(ConfigurationError, CookiePolicy, **how)
            CookiePolicy(secureName="__Secure-sid", **how)

    async def test_fault(self):
        """
        The check finds cookies of another name, and such as are shared.
        """
        shared = b"Path=/; Domain=example.org"
        for kind in ("nowhere", "memory", "sqlite"):
            await self.isFound(self.hostOnly, kind, cookies=without(b"Path=/", shared))
            twisted = CookiePolicy(
                secureName="TWISTED_SECURE_SESSION",
                domain="example.org",
                trustedProxies=["192.168.1.1"],
            )
            await self.isFound(self.hostOnly, kind, cookies=twisted)
