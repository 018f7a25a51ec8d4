"""
ASVS 3.3.2: the C{SameSite} of each cookie is set as its purpose wants it.

It is always said: C{Lax}, unless the policy says C{Strict}; C{None} is refused where the
cookie might go without C{Secure}, since browsers would not take it.
"""

from __future__ import annotations

from tests.asvs.cookies import CookieCase, without
from txsessions import CookiePolicy
from txsessions.errors import ConfigurationError


class SameSiteTests(CookieCase):
    """
    What keeps the cookie out of other sites' requests.
    """

    async def lax(self, world):
        """
        Each line says C{Lax}.
        """
        for line, cookie in await self.said(world):
            self.assertEqual(cookie.attributes.get("SameSite"), "Lax", line)

    async def strict(self, world):
        """
        Each line says C{Strict}.
        """
        for line, cookie in await self.said(world):
            self.assertEqual(cookie.attributes.get("SameSite"), "Strict", line)

    async def test_sameSite(self):
        """
        By default, and as it was chosen.
        """
        await self.always(self.lax)
        await self.always(self.strict, sameSite="strict")

    def test_none(self):
        """
        Nobody gets C{None} by oversight.
        """
        for secure in ("auto", "never"):
            self.assertRaises(
                ConfigurationError, CookiePolicy, sameSite="none", secure=secure
            )
        self.assertRaises(ConfigurationError, CookiePolicy, sameSite=None)

    async def test_fault(self):
        """
        The check finds cookies that leave it to the browser, and such as go everywhere.
        """
        for kind in ("nowhere", "memory", "sqlite"):
            for wrong in (
                without(b"; SameSite=Lax"),
                without(b"SameSite=Lax", b"SameSite=None"),
            ):
                await self.isFound(self.lax, kind, cookies=wrong)
