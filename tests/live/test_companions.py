"""
Tests of L{txsessions.live.companions}: what stands beside a session.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txsessions.live.companions import Companions


class Always:
    """
    Compares equal to whatever.
    """

    def __eq__(self, other):
        return True

    __hash__ = None


class CompanionTests(SynchronousTestCase):
    """
    What becomes of them.
    """

    def setUp(self):
        """
        Have two sessions that compare equal.
        """
        self.companions = Companions()
        self.one, self.other = Always(), Always()
        self.gone = []

    def test_left(self):
        """
        Each is called once when its session leaves, and one that raises disturbs no
        other.
        """
        beside = self.companions.of(self.one)
        beside["a"] = lambda: 1 / 0
        beside["b"] = lambda: self.gone.append("b")
        self.companions.of(self.other)["a"] = lambda: self.gone.append("other")
        for _ in range(2):
            self.companions.left(self.one)
        self.assertEqual(self.gone, ["b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.companions.left(self.other)
        self.assertEqual(self.gone, ["b", "other"])
        self.assertEqual(self.companions, {})

    def test_of(self):
        """
        They are found again.
        """
        self.companions.of(self.one)["a"] = print
        self.assertEqual(self.companions.of(self.one), {"a": print})
        self.assertEqual(self.companions.of(self.other), {})
