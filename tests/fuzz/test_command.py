"""
The command: what it prints, and with which status it ends.
"""

from __future__ import annotations

import re
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.targets import TARGETS
from tests.served import ROOT
from tests.test_benchmarks import environment

PLANTED = """
import sys
from tests.fuzz import __main__, headers
real = headers.readCookie
def broken(found, name):
    if b"$" in b"".join(found):
        {doing}
    return real(found, name)
headers.readCookie = broken
sys.exit(__main__.main(["cookie", "--examples", "2000", "--seed", "1"]))
"""


class CommandTests(SynchronousTestCase):
    """
    C{python -m tests.fuzz}.
    """

    def call(self, *arguments):
        """
        Call Python.

        @return: The status, what was printed, and what was said of errors.
        """
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment(),
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    def fuzz(self, *arguments):
        """
        Call the command.
        """
        return self.call("-m", "tests.fuzz", *arguments)

    def test_help(self):
        """
        C{--help} has all targets, examples and the exit status.
        """
        status, said, _ = self.fuzz("--help")
        self.assertEqual(status, 0)
        for word in (*TARGETS, "--seconds", "--seed", "exit status", "examples:"):
            self.assertIn(word, said)

    def test_nothing(self):
        """
        Where nothing is found the status is 0, and the table has the targets.
        """
        status, said, errors = self.fuzz("--examples", "40", "cookie", "state")
        self.assertEqual((status, errors), (0, ""))
        self.assertTrue(
            re.search(r"^\| cookie \| 4\d \|.*\| 0 \|$", said, re.MULTILINE)
        )
        self.assertTrue(re.search(r"^\| all \| \d+ \|.*\| 0 \|$", said, re.MULTILINE))

    def test_found(self):
        """
        Where something is found the status is 1, and the shortest input that shows it
        is printed; that one can be looked at by itself.
        """
        status, said, _ = self.call("-c", PLANTED.format(doing="raise KeyError(name)"))
        self.assertEqual(status, 1)
        self.assertIn("cookie: KeyError", said)
        self.assertIn("\n    b'$'\n", said)
        status, said, _ = self.fuzz("--input", "b'sid=$'", "cookie")
        self.assertEqual((status, said), (0, "cookie: refused\n"))

    def test_run(self):
        """
        So it is where code is run that an input chose.
        """
        status, said, _ = self.call("-c", PLANTED.format(doing="exec('1')"))
        self.assertEqual(status, 1)
        self.assertIn("it led to compile, exec", said)

    def test_usage(self):
        """
        A wrong command line is told, with status 2.
        """
        for arguments, word in (
            (["biscuit"], "no target 'biscuit'"),
            (["--seconds", "1", "--examples", "1"], "not allowed with"),
            (["--input", "x", "cookie"], "as Python writes them"),
        ):
            status, _, errors = self.fuzz(*arguments)
            self.assertEqual(status, 2, arguments)
            self.assertIn(word, errors)
