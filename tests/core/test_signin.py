"""
Tests for L{txsessions.core.signin}.
"""

from __future__ import annotations

import math
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.lifetime import MAX_SECONDS, SKEW
from txsessions.core.signin import (
    MAX_CLIENT,
    MAX_LEVEL,
    MAX_PRINCIPAL,
    MAX_REMEMBER,
    SignIn,
    checkSignIn,
    isFresh,
)

NOW = 1_800_000_000.0
HANDLE = b"h" * 16


class CheckTests(SynchronousTestCase):
    """
    What is a sign-in.
    """

    def test_good(self) -> None:
        """
        The least and the most of each.
        """
        for principal in ("a", "\N{SNOWMAN}" * MAX_PRINCIPAL):
            for level in (1, MAX_LEVEL):
                for at in (0.0, MAX_SECONDS):
                    checkSignIn(SignIn(principal, level, at, HANDLE))
        for remember in (1, MAX_REMEMBER):
            checkSignIn(SignIn("a", 1, NOW, HANDLE, remember=remember))

    def test_bad(self) -> None:
        """
        Everything else; and no error says who it is.
        """
        good: list[Any] = ["annabel", 1, NOW, HANDLE, None, None, None]
        wrong: Any
        for index, wrong in (
            (0, ""),
            (0, "annabel" * MAX_PRINCIPAL),
            (0, b"annabel"),
            (0, None),
            (0, 7),
            (1, 0),
            (1, -1),
            (1, MAX_LEVEL + 1),
            (1, True),
            (1, 1.0),
            (1, "1"),
            (1, None),
            (2, -1.0),
            (2, MAX_SECONDS + 1),
            (2, math.nan),
            (2, math.inf),
            (2, 1),
            (2, None),
            (3, b""),
            (3, HANDLE + b"h"),
            (3, "h" * 16),
            (3, None),
            (4, "x" * (MAX_CLIENT + 1)),
            (4, b"x"),
            (5, 7),
            (5, "x" * (MAX_CLIENT + 1)),
            (6, 0),
            (6, MAX_REMEMBER + 1),
            (6, True),
            (6, 60.0),
            (6, "60"),
        ):
            fields = list(good)
            fields[index] = wrong
            error = self.assertRaises(ValueError, checkSignIn, SignIn(*fields))
            self.assertNotIn("annabel", str(error))

    def test_shown(self) -> None:
        """
        It does not show who it is.
        """
        shown = repr(SignIn("annabel", 2, NOW, HANDLE, "Netscape", "192.0.2.9"))
        for what in ("annabel", "Netscape", "192.0.2.9"):
            self.assertNotIn(what, shown)
        self.assertIn("2", shown)


class FreshTests(SynchronousTestCase):
    """
    When a sign-in is fresh.
    """

    def test_age(self) -> None:
        """
        It is until so many seconds have passed, and no longer.
        """
        for age, fresh in ((0, True), (299, True), (300, False), (1e9, False)):
            self.assertEqual(isFresh(NOW + age, NOW, NOW, 300), fresh, age)

    def test_setBack(self) -> None:
        """
        A clock that was set back by more than the clocks of two machines may differ
        makes nothing fresh: neither what was proved just before, nor what seems
        recent only since then.
        """
        self.assertTrue(isFresh(NOW - SKEW, NOW, NOW, 300))
        self.assertFalse(isFresh(NOW - SKEW - 1, NOW, NOW - SKEW - 1, 300))
        self.assertFalse(isFresh(NOW + 10, NOW, NOW + 3600, 300))
        self.assertTrue(isFresh(NOW + 10, NOW, NOW + 10 + SKEW, 300))
