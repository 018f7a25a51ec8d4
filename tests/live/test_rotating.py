"""
Tests of L{txsessions.live.rotating}: uids that were rotated away.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txsessions.live.rotating import Rotated


class RotatedTests(SynchronousTestCase):
    """
    L{Rotated}.
    """

    def test_minute(self):
        """
        A uid is known as rotated for a minute.
        """
        rotated = Rotated()
        self.assertFalse(rotated.has(b"a", 100.0))
        rotated.note(b"a", 100.0)
        self.assertTrue(rotated.has(b"a", 100.0))
        self.assertTrue(rotated.has(b"a", 159.9))
        self.assertFalse(rotated.has(b"a", 160.0))

    def test_bounded(self):
        """
        Older ones are forgotten when new ones come.
        """
        rotated = Rotated()
        for second in range(1000):
            rotated.note(b"%d" % second, float(second))
        self.assertEqual(len(rotated.at), 60)
        self.assertTrue(rotated.has(b"940", 999.0))

    def test_again(self):
        """
        One that is rotated away again counts from then.
        """
        rotated = Rotated()
        rotated.note(b"a", 0.0)
        rotated.note(b"b", 10.0)
        rotated.note(b"a", 50.0)
        rotated.note(b"c", 75.0)
        self.assertTrue(rotated.has(b"a", 100.0))
        self.assertEqual(list(rotated.at), [b"a", b"c"])
