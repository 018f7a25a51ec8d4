"""
ASVS 7.2.3: session tokens are unique, come from a generator that is fit for secrets, and
have 128 bits of chance at least.

An id is 32 bytes of C{os.urandom} as 64 hexadecimal digits.  One that is taken is drawn
anew; a generator that fails or repeats itself is 503, and there is no other to fall back
to.
"""

from __future__ import annotations

import os
import random

from tests.asvs.world import KINDS, AuditCase
from txsessions import Site

DRAWS = 64

SIGMA = DRAWS**0.5 / 2


class ShortSite(Site):
    """
    Draws 64 bits.
    """

    def _mkuid(self):
        """
        See L{Site._mkuid}.
        """
        return os.urandom(8).hex().zfill(64).encode("ascii")


class PredictableSite(Site):
    """
    Draws from what is no source of secrets.
    """

    _entropy = staticmethod(random.Random(1).randbytes)


class ChanceTests(AuditCase):
    """
    What ids are made of.
    """

    async def drawn(self, world):
        """
        Each id is what was drawn, each bit of it changes, and no two are the same.
        """
        site = world.site
        self.assertIs(site._entropy, os.urandom)
        draws = []

        def draw(size):
            draws.append(os.urandom(size))
            return draws[-1]

        site._entropy = draw
        ids = []
        for _ in range(DRAWS):
            browser = world.browser()
            await browser.get("/count")
            ids.append(bytes.fromhex(browser.cookie))
        self.assertEqual({len(each) for each in ids}, {32})
        self.assertEqual(len(set(ids)), DRAWS)
        self.assertLessEqual(set(ids), set(draws))
        numbers = [int.from_bytes(each, "big") for each in ids]
        for bit in range(256):
            ones = sum(number >> bit & 1 for number in numbers)
            # Once in ten million runs it is not so.
            self.assertLess(abs(ones - DRAWS / 2), 6.5 * SIGMA, f"bit {bit}")

    async def taken(self, world):
        """
        An id that somebody has is not given to anybody else.
        """
        ann = await world.signedIn()
        given = [bytes.fromhex(ann.cookie)]
        world.sites[-1]._entropy = lambda size: (
            given.pop() if given else os.urandom(size)
        )
        bob = world.browser()
        await bob.get("/count", len(world.sites) - 1)
        self.assertEqual(given, [])
        self.assertNotEqual(bob.cookie, ann.cookie)
        self.assertEqual([await ann.who(), await bob.who()], ["ann", "nobody"])

    async def broken(self, world):
        """
        Where there is no chance to be had there are no ids.
        """

        def fail(_):
            raise OSError("no chance to be had")

        for draw in (fail, bytes, lambda _: os.urandom(16)):
            world.site._entropy = draw
            browser = world.browser()
            answer = await browser.get("/count")
            self.assertEqual((answer.code, answer.cookies), (503, {}))
        self.flushLoggedErrors()

    async def test_drawn(self):
        """
        What is drawn.
        """
        await self.holds(self.drawn)

    async def test_taken(self):
        """
        What is taken, in this process or in another.
        """
        await self.holds(self.taken)
        await self.holds(self.taken, KINDS[1:], processes=2)

    async def test_broken(self):
        """
        What is broken.
        """
        await self.holds(self.broken)

    async def test_fault(self):
        """
        The check finds ids that are short, and such as can be told beforehand.
        """
        await self.isFound(self.drawn, factory=ShortSite)
        await self.isFound(self.drawn, factory=PredictableSite)
