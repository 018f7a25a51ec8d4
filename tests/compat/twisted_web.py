"""
Twisted's own C{twisted.web} suite, with our classes put in place of its own.

Run as C{python -m tests.compat.twisted_web}: the suite runs twice, once with
Twisted's classes and once with ours, and every test must end the same way.  The
cookie names are those of C{CookiePolicy.twisted()}, which the suite looks for.
"""

from __future__ import annotations

import json
import os
import subprocess  # noqa: S404
import sys
import tempfile
from pathlib import Path
from typing import Any

CHILD = "TXSESSIONS_COMPAT"
"""The environment variable that tells a child which classes to run with."""


def replaceClasses() -> None:
    """
    Put our classes in the place of Twisted's, before anything uses them.
    """
    from twisted.web import server

    import txsessions

    class Site(txsessions.Site):
        """
        A site with the cookie names of the builtin.
        """

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.setdefault("cookies", txsessions.CookiePolicy.twisted())
            super().__init__(*args, **kwargs)

    server.Site = Site  # type: ignore[misc]
    server.Request = txsessions.Request  # type: ignore[misc]
    server.Session = txsessions.Session  # type: ignore[misc]


def runSuite(replaced: bool, results: Path) -> None:
    """
    Run the suite in this process and write down how each test ended.
    """
    if replaced:
        replaceClasses()
    from twisted.trial.reporter import TestResult
    from twisted.trial.runner import TestLoader, TrialRunner

    outcomes: dict[str, str] = {}

    class Recorder(TestResult):
        """
        Notes the outcome of each test.
        """

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()
            self.separator = ""

        def startTest(self, test: Any) -> None:
            super().startTest(test)
            outcomes.setdefault(test.id(), "ran")

        def addError(self, test: Any, error: Any) -> None:
            outcomes[test.id()] = f"error: {_text(error)}"

        def addFailure(self, test: Any, failure: Any) -> None:
            outcomes[test.id()] = f"failure: {_text(failure)}"

        def addSkip(self, test: Any, reason: Any) -> None:
            outcomes[test.id()] = "skip"

        def addExpectedFailure(self, test: Any, *args: Any) -> None:
            outcomes[test.id()] = "todo"

        def addUnexpectedSuccess(self, test: Any, *args: Any) -> None:
            outcomes[test.id()] = "unexpected success"

        def _nothing(self, *args: Any) -> None:
            """
            Nothing is printed.
            """

        done = printErrors = printSummary = cleanupErrors = upDownError = _nothing

    suite = TestLoader().loadByName("twisted.web", recurse=True)
    runner = TrialRunner(
        Recorder, workingDirectory=str(results.with_suffix(".trial"))
    )
    runner.run(suite)
    results.write_text(json.dumps(outcomes), encoding="utf-8")


def _text(failure: Any) -> str:
    """
    What went wrong, for people.
    """
    if hasattr(failure, "getTraceback"):
        return str(failure.getTraceback())
    return repr(failure[1])


def main() -> int:
    """
    Run the suite with both and compare.

    @return: The exit status.
    """
    child = os.environ.get(CHILD)
    if child is not None:
        runSuite(child == "ours", Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        files = {which: Path(folder) / which for which in ("stock", "ours")}
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.compat.twisted_web", str(file)],
                env={**os.environ, CHILD: which},
                stdout=subprocess.DEVNULL,
            )
            for which, file in files.items()
        ]
        for one in children:
            one.wait()
        stock, ours = (
            json.loads(file.read_text(encoding="utf-8")) for file in files.values()
        )
    different = 0
    for test in sorted(stock.keys() | ours.keys()):
        before, after = stock.get(test, "absent"), ours.get(test, "absent")
        if before.split(":")[0] != after.split(":")[0]:
            different += 1
            print(f"{test}\n  with Twisted's classes: {before}\n  with ours: {after}\n")
    print(f"twisted.web: {len(ours) - different} passed, {different} failed")
    return 1 if different or len(ours) < 1000 else 0


if __name__ == "__main__":
    raise SystemExit(main())
