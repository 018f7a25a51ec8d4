"""
Tests of L{txsessions.live.rotating}: uids that were rotated away.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.record import FORMER, ROTATED
from txsessions.interfaces import END_MARKER
from txsessions.live.rotating import Rotated


class RotatedTests(SynchronousTestCase):
    """
    L{Rotated}.
    """

    def setUp(self):
        """
        Have one, on a site that renews ids.
        """
        self.rotated = Rotated()
        self.rotated.renewing = object()

    def test_minute(self):
        """
        A uid is known as rotated for a minute.
        """
        rotated = self.rotated
        self.assertFalse(rotated.has(b"a", 100.0))
        self.assertFalse(rotated.has(None, 100.0))
        rotated.note(b"a", 100.0)
        self.assertTrue(rotated.has(b"a", 100.0))
        self.assertTrue(rotated.has(b"a", 159.9))
        self.assertFalse(rotated.has(b"a", 160.0))

    def test_ended(self):
        """
        One whose session has ended is known for some seconds, unless it was rotated
        away.
        """
        self.rotated.note(b"a", 100.0)
        for uid in (b"a", b"b"):
            self.rotated.noteEnd(uid, 101.0)
            self.assertTrue(self.rotated.has(uid, 101.0 + END_MARKER - 1))
        self.assertTrue(self.rotated.has(b"a", 101.0 + END_MARKER))
        self.assertFalse(self.rotated.has(b"b", 101.0 + END_MARKER))

    def test_elsewhere(self):
        """
        Of what the store says is remembered whether it was so long ago, until it is
        rotated away here or forgotten; where nothing is renewed long ago is never.
        """
        for answer, isFormer in ((ROTATED, False), (FORMER, True)):
            for undo in (lambda: self.rotated.note(b"a", 5.0), self.forget):
                self.rotated.noteElsewhere(b"a", 5.0, answer)
                self.assertTrue(self.rotated.has(b"a", 5.0))
                self.assertEqual(self.rotated.former.has(b"a", 5.0), isFormer)
                undo()
                self.assertFalse(self.rotated.former.has(b"a", 5.0))
            self.assertFalse(self.rotated.has(b"a", 5.0))
        self.rotated.renewing = None
        self.rotated.noteElsewhere(b"a", 5.0, FORMER)
        self.assertFalse(self.rotated.has(b"a", 5.0))

    def forget(self):
        """
        It may be good again.
        """
        self.rotated.forget(b"a")

    def test_setBack(self):
        """
        A clock that is set back makes none of it longer, nor has it grow.
        """
        self.rotated.noteElsewhere(b"a", 5000.0, FORMER)
        for second in range(1000):
            self.rotated.noteElsewhere(b"%d" % second, 2000.0 + second, FORMER)
        self.assertFalse(self.rotated.has(b"a", 3000.0))
        self.assertEqual(len(self.rotated.at), 60)
        self.assertEqual(len(self.rotated.former), 60)
