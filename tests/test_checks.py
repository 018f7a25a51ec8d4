"""
The checks of the checks: what C{.ci/summary.py} makes of a run of the tests.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.served import ROOT

RULE = "=" * 79
ALLOWED = "twisted.web.websocket came with a later Twisted"
TRIAL = f"""\
tests.test_a
  A
    test_a ...                                                             [OK]
    test_b ...                                                        [SKIPPED]

{RULE}
[SKIPPED]
{{reason}}

tests.test_a.A.test_b
{"-" * 79}
Ran 2 tests in 0.037s

PASSED (skips=1, successes=1)
"""
PYTEST = """\
<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" tests="2">
<testcase classname="tests.test_a.A" name="test_a" time="0.1" />
<testcase classname="tests.test_a.A" name="test_b" time="0.1">
<skipped type="pytest.skip" message="{reason}">somewhere</skipped></testcase>
</testsuite></testsuites>
"""


class SummaryTests(SynchronousTestCase):
    """
    A run of the tests, and how it is judged.
    """

    def judge(self, suite, report, text):
        """
        Judge a report.

        @return: Whether it passes, what is said, and what is counted.
        """
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / report).write_text(text)
        done = subprocess.run(
            [
                sys.executable,
                str(ROOT / ".ci" / "summary.py"),
                suite,
                str(folder / report),
                str(folder / "count"),
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.returncode == 0, done.stdout, (folder / "count").read_text()

    def test_allowedSkip(self):
        """
        A skip that the list allows is no failure, in the suites of its line.
        """
        for report, text in ("it.trial", TRIAL), ("it.xml", PYTEST):
            passed, said, count = self.judge(
                "any-lowest", report, text.format(reason=ALLOWED)
            )
            self.assertTrue(passed, said)
            self.assertEqual(count, "1 0\n")
            passed, said, _ = self.judge(
                "any-newest", report, text.format(reason=ALLOWED)
            )
            self.assertFalse(passed, said)

    def test_otherSkip(self):
        """
        Any other skip is a failure, and the reason is told.
        """
        for report, text in ("it.trial", TRIAL), ("it.xml", PYTEST):
            passed, said, count = self.judge(
                "any-lowest", report, text.format(reason="no browser")
            )
            self.assertFalse(passed)
            self.assertIn("no browser", said)
            self.assertIn("tests.test_a.A.test_b", said)
            self.assertEqual(count, "1 1\n")

    def test_failure(self):
        """
        Failures, errors and tests that are still to do are failures.
        """
        text = "FAILED (expectedFailures=1, failures=2, errors=3, successes=4)\n"
        passed, _, count = self.judge("any", "it.trial", text)
        self.assertFalse(passed)
        self.assertEqual(count, "4 6\n")

    def test_nothing(self):
        """
        A run that ended half way, or that ran nothing, is a failure.
        """
        for report, text in (
            ("it.trial", "tests.test_a\n  A\n"),
            ("it.trial", "Ran 0 tests in 0.000s\n\nPASSED\n"),
            ("it.xml", ""),
            ("it.xml", "<testsuites></testsuites>"),
        ):
            passed, _, count = self.judge("any", report, text)
            self.assertFalse(passed, text)
            self.assertEqual(count, "0 1\n")
