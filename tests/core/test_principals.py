"""
Tests for L{txsessions.core.principals}.
"""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.keyring import KeyRing, RootKey
from txsessions.core.principals import PrincipalHashes
from txsessions.core.record import PREFIX_BYTES

OLD, NEW = (RootKey(secret=os.urandom(32)) for _ in range(2))
BEFORE = KeyRing(active=OLD, others=(NEW,))
AFTER = KeyRing(active=NEW, others=(OLD,))

NAMES = some.text(some.characters(exclude_categories=["Cs"]), max_size=20)


class HashTests(SynchronousTestCase):
    """
    What a store knows a principal by.
    """

    @settings(deadline=None)
    @given(NAMES, NAMES, some.binary(max_size=4), some.binary(max_size=4))
    def test_different(self, one: str, other: str, site: bytes, second: bytes) -> None:
        """
        The hashes differ where principal or site does, also where one ends as the
        other begins, and only there; none shows the name.
        """
        hashes = [
            PrincipalHashes(BEFORE, where).new(who)
            for where, who in ((site, one), (second, other))
        ]
        self.assertEqual([len(each) for each in hashes], [32, 32])
        self.assertEqual(hashes[0] == hashes[1], (one, site) == (other, second))

    def test_borders(self) -> None:
        """
        A site's name is not taken for the beginning of a principal's.
        """
        self.assertNotEqual(
            PrincipalHashes(BEFORE, b"a").new("bc"),
            PrincipalHashes(BEFORE, b"ab").new("c"),
        )

    @settings(deadline=None)
    @given(NAMES, some.binary(max_size=4), some.binary(max_size=4))
    def test_prefixes(self, who: str, site: bytes, second: bytes) -> None:
        """
        All hashes of a site under one key begin alike, and those of another site or key
        do not.
        """
        one, other = (PrincipalHashes(BEFORE, where) for where in (site, second))
        self.assertEqual([len(each) for each in one.prefixes], [PREFIX_BYTES] * 2)
        begins = [each[:PREFIX_BYTES] for each in one.all(who)]
        self.assertEqual(begins, one.prefixes)
        same = set(one.prefixes) & set(other.prefixes)
        self.assertEqual(len(same), 2 if site == second else 0)
        after = PrincipalHashes(AFTER, site)
        self.assertEqual(after.prefixes, list(reversed(one.prefixes)))

    def test_keys(self) -> None:
        """
        While keys change each process finds what the others keep.
        """
        before, after = (PrincipalHashes(ring, b"") for ring in (BEFORE, AFTER))
        self.assertNotEqual(before.new("ann"), after.new("ann"))
        self.assertEqual(before.all("ann"), list(reversed(after.all("ann"))))
        self.assertEqual(before.all("ann")[0], before.new("ann"))
        for found in before.all("ann"):
            self.assertTrue(after.has("ann", found))
            self.assertFalse(after.has("bob", found))
        self.assertFalse(after.has("ann", None))
        self.assertFalse(after.has("ann", b""))

    def test_gone(self) -> None:
        """
        What was kept under a key that is gone is nobody's.
        """
        alone = PrincipalHashes(KeyRing(active=NEW), b"")
        self.assertFalse(alone.has("ann", PrincipalHashes(BEFORE, b"").new("ann")))
