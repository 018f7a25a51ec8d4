"""
Tests of what the long runs tell people.
"""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.standing import Progress


class Terminal(io.StringIO):
    """
    Something that people look at.
    """

    def isatty(self):
        """
        It is one.
        """
        return True


class ProgressTests(SynchronousTestCase):
    """
    L{Progress}.
    """

    def test_terminal(self):
        """
        It says how far it is, over what it said before, and leaves nothing behind.
        """
        out = Terminal()
        progress = Progress("races", 3, out)
        progress.step()
        self.assertEqual(out.getvalue(), "\r1 of 3 races, 0 s\x1b[K")
        progress.step(2)
        self.assertTrue(out.getvalue().endswith("\r\x1b[K"))

    def test_file(self):
        """
        In a file there is nothing of it.
        """
        out = io.StringIO()
        Progress("races", 1, out).step()
        self.assertEqual(out.getvalue(), "")
