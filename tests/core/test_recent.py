"""
Tests of L{txsessions.core.recent}: what has happened lately.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.recent import Recent


class RecentTests(SynchronousTestCase):
    """
    L{Recent}.
    """

    def setUp(self):
        """
        Remember for a minute.
        """
        self.clock = Clock()
        self.clock.rightNow = 1000.0
        self.recent = Recent(60.0)

    def note(self, key, **how):
        """
        Note a key now.
        """
        self.recent.note(key, self.clock.seconds(), **how)

    def has(self, key):
        """
        Ask now.
        """
        return self.recent.has(key, self.clock.seconds())

    def test_span(self):
        """
        A key is remembered for so long, or less, if it was said to be older.
        """
        self.assertFalse(self.has(b"a"))
        self.note(b"a")
        self.note(b"b", age=50.0)
        for passed, known in ((0, b"ab"), (9, b"ab"), (1, b"a"), (49, b"a"), (1, b"")):
            self.clock.advance(passed)
            found = [key for key in (b"a", b"b") if self.has(key)]
            self.assertEqual(b"".join(found), known, self.clock.seconds())

    def test_again(self):
        """
        One that is noted again counts from then.
        """
        self.note(b"a")
        self.clock.advance(10)
        self.note(b"b")
        self.clock.advance(40)
        self.note(b"a")
        self.clock.advance(25)
        self.note(b"c")
        self.clock.advance(25)
        self.assertTrue(self.has(b"a"))
        self.assertNotIn(b"b", self.recent)

    def test_forget(self):
        """
        One that is to be forgotten is; so is one that is not known.
        """
        self.note(b"a")
        for _ in range(2):
            self.recent.forget(b"a")
            self.assertFalse(self.has(b"a"))
        self.assertEqual(len(self.recent), 0)

    def test_bounded(self):
        """
        Older ones go when new ones come.
        """
        for number in range(1000):
            self.clock.advance(1)
            self.note(b"%d" % number)
        self.assertEqual(len(self.recent), 60)
        self.assertTrue(self.has(b"940"))

    def test_most(self):
        """
        Where only so many are remembered they are those noted last; all of them can be
        had, but not those that are only left.
        """
        self.recent = Recent(60.0, 3)
        for key in (b"a", b"b", b"c", b"a", b"d"):
            self.note(key)
            self.clock.advance(1)
        now = self.clock.seconds()
        self.assertEqual(self.recent.keys(now), [b"c", b"a", b"d"])
        self.assertFalse(self.has(b"b"))
        self.assertEqual(self.recent.keys(now + 57), [b"a", b"d"])
        self.assertEqual(self.recent.keys(now + 60), [])
        self.assertEqual(len(self.recent), 3)

    def test_setBack(self):
        """
        So they do, and none is remembered for longer, while a clock that was set back
        catches up.
        """
        self.note(b"before")
        self.clock.advance(30)
        self.assertTrue(self.has(b"before"))
        self.clock.rightNow -= 500
        self.assertTrue(self.has(b"before"))
        self.clock.advance(29)
        self.assertTrue(self.has(b"before"))
        self.clock.advance(1)
        self.assertFalse(self.has(b"before"))
        self.clock.rightNow -= 500
        for number in range(200):
            self.clock.advance(1)
            self.note(b"%d" % number)
        self.assertEqual(len(self.recent), 60)

    def test_oneOlder(self):
        """
        One that was said to be older than is remembered leaves nothing.
        """
        self.note(b"a", age=60.0)
        self.assertEqual(len(self.recent), 0)
