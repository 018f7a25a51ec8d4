"""
ASVS 3.3.5: name and value of a cookie have 4096 bytes at most, so that no browser drops it.

A value is 64 bytes, and a policy whose whole line would not be shorter is refused when it
is made.
"""

from __future__ import annotations

from bisect import bisect_left

from tests.asvs.cookies import CookieCase, behindProxy, without
from tests.asvs.world import KINDS
from txsessions import CookiePolicy
from txsessions.errors import ConfigurationError

LIMIT = 4096


class LengthTests(CookieCase):
    """
    How long cookies get.
    """

    async def short(self, world):
        """
        Each line; and a browser brings back what it was given.
        """
        for line, cookie in await self.said(world):
            self.assertLessEqual(len(cookie.name) + len(cookie.value), LIMIT)
            self.assertLess(len(line), LIMIT)
        browser = await world.signedIn()
        self.assertEqual(await browser.who(), "ann")

    async def test_short(self):
        """
        By default.
        """
        await self.always(self.short)

    def test_longest(self):
        """
        Of all names that a policy may have the longest is short enough.
        """

        def named(length):
            return CookiePolicy(secureName="__Host-" + "x" * length)

        def isRefused(length):
            try:
                named(length)
            except ConfigurationError:
                return True
            return False

        first = bisect_left(range(LIMIT), True, key=isRefused)
        self.assertTrue(LIMIT / 2 < first < LIMIT)
        policy = named(first - 1)
        for line in (policy.render(b"01" * 32, True), policy.renderDeletion(True)):
            self.assertLess(len(line), LIMIT)
        self.assertRaises(ConfigurationError, named, first)
        self.assertRaises(ConfigurationError, behindProxy, insecureName="x" * LIMIT)

    async def test_fault(self):
        """
        The check finds a cookie that is too long.
        """
        long = b"__Host-sid=" + b"0" * LIMIT
        for kind in KINDS:
            wrong = without(b"__Host-sid=", long)
            await self.isFound(self.short, kind, cookies=wrong)
