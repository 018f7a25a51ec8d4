"""
ASVS 3.3.1: cookies have C{Secure}, and a name that begins with C{__Host-} or C{__Secure-}.

Over TLS each line about the session cookie has both, also where it is deleted and where
the answer is ours instead of the page's; by HTTP/1 and HTTP/2, behind a trusted proxy, and
from a process that C{twisted.web.distrib} sends requests to.
"""

from __future__ import annotations

from tests.asvs.application import Application
from tests.asvs.cookies import PROXIED, CookieCase, without
from tests.web.pair import DistributedCase
from txsessions import CookiePolicy, tap


class SecureTests(CookieCase):
    """
    What keeps the cookie on TLS.
    """

    async def secure(self, world):
        """
        Each line; and no browser has anything to send by plain HTTP.
        """
        for line, cookie in await self.said(world):
            self.assertIn("Secure", cookie.attributes, line)
            self.assertRegex(cookie.name, "^__(Host|Secure)-", line)
        browser = await world.signedIn()
        sent = browser.jar.send(host="example.org", path="/", https=False)
        self.assertEqual(sent, [])

    async def downgraded(self, world):
        """
        By plain HTTP the id is not taken, under either name.
        """
        ann, thief = await world.signedIn(), world.browser(secure=False)
        for name in ("__Host-sid", "sid"):
            cookie = (f"Cookie: {name}={ann.cookie}",)
            answer = await thief.get("/look", headers=cookie, cookies=False)
            self.assertEqual(answer.body, b"nobody 0 0")
        self.assertEqual(await ann.who(), "ann")

    async def test_secure(self):
        """
        With the defaults, and with those of C{twistd web}.
        """
        await self.always(self.secure)
        command = tap.Options()
        command.parseOptions(
            ["--session-store=memory:", "--session-trusted-proxy=192.168.1.1"]
        )
        await self.holds(self.secure, cookies=command.settings.cookies)

    async def test_downgraded(self):
        """
        An id of TLS stays there.
        """
        await self.holds(self.downgraded)

    async def test_fault(self):
        """
        The check finds cookies without either.
        """
        for kind in ("nowhere", "memory", "sqlite"):
            await self.isFound(self.secure, kind, cookies=without(b" Secure;"))
            await self.isFound(
                self.secure,
                kind,
                cookies=CookiePolicy(
                    secureName="TWISTED_SECURE_SESSION", trustedProxies=["192.168.1.1"]
                ),
            )


class DistributedTests(DistributedCase):
    """
    A process behind.
    """

    async def cookies(self, policy):
        """
        What it says of cookies, by way of the server in front.
        """
        store = self.address()
        await self.serveBehind(Application(), store=store, cookies=policy)
        self.serveInFront(cookies=CookiePolicy(trustedProxies=["unix"]))
        found = []
        for path in ("/count", "/rotate", "/in", "/password", "/out"):
            answer = await self.fetch(path, headers=PROXIED)
            self.assertEqual(answer.code, 200)
            self.assertEqual(len(answer.cookies), 1)
            found += answer.cookies
        return found

    def hardened(self, cookies):
        """
        Each line has all that makes the cookie hard to steal.
        """
        for cookie in cookies:
            self.assertEqual(cookie.name, "__Host-sid")
            self.assertLessEqual({"Secure", "HttpOnly"}, set(cookie.attributes))
            self.assertEqual(cookie.attributes["SameSite"], "Lax")
            self.assertEqual(cookie.attributes["Path"], "/")
            self.assertNotIn("Domain", cookie.attributes)

    async def test_cookies(self):
        """
        The cookie comes through whole.
        """
        self.hardened(await self.cookies(CookiePolicy()))

    async def test_fault(self):
        """
        The check finds one that does not.
        """
        cookies = await self.cookies(without(b" Secure;"))
        self.assertRaises(self.failureException, self.hardened, cookies)
