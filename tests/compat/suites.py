"""
Runs somebody else's test suite with our classes in the place of Twisted's.

Owns the putting in place, the running in processes of their own, and the
comparison: each test has to end as it does with Twisted's own classes.  Knows no
particular suite.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CLASSES = "TXSESSIONS_COMPAT_CLASSES"
"""The environment variable that tells a child which classes to run with: C{stock},
or one of L{STORES}."""

STORES = ("none", "memory", "sqlite")
"""With which store a site is made that was given none."""

SAME_TIME = 2
"""How many suites run at a time."""

SECONDS = 300
"""After how many seconds a run has failed."""


def makeStore(kind, folder, number):
    """
    Make the store of a new site.

    @param kind: One of L{STORES}.
    @param folder: Where databases may be.
    @param number: Tells the sites apart.
    """
    import txsessions

    if kind == "none":
        return None
    # Not on the site's reactor, which may be a Clock and so know no threads.
    return txsessions.openStore(
        "memory:" if kind == "memory" else f"sqlite:{folder}/{number}.sqlite"
    )


def replaceClasses(kind, folder, running):
    """
    Put our classes in the place of Twisted's, before anything uses them.

    @param kind: One of L{STORES}.
    @param folder: Where databases may be.
    @param running: The test that runs, as the last of these.
    """
    from twisted.trial.unittest import TestCase
    from twisted.web import server

    import txsessions

    made = []

    class Site(txsessions.Site):
        """
        A site with the cookie names of the builtin.  What the suite does not
        know of, that a store takes its time to close, is seen to here.
        """

        def __init__(self, *args, **kwargs):
            """
            See L{txsessions.Site}.
            """
            made.append(None)
            kwargs.setdefault("cookies", txsessions.CookiePolicy.twisted())
            if kwargs.get("store") is None:
                kwargs["store"] = makeStore(kind, folder, len(made))
            super().__init__(*args, **kwargs)
            if running and isinstance(running[-1], TestCase):
                running[-1].addCleanup(self.closed)

    server.Site = Site
    server.Request = txsessions.Request
    server.Session = txsessions.Session


def runSuite(name, kind, results):
    """
    Run a suite in this process and write down how each test ended.

    @param name: What C{trial} is given.
    @param kind: C{"stock"}, or one of L{STORES}.
    @param results: The file for it.
    """
    running = []
    if kind != "stock":
        replaceClasses(kind, results.parent, running)
    from twisted.trial.reporter import TestResult
    from twisted.trial.runner import ErrorHolder, TestLoader, TrialRunner

    outcomes = {}

    class Recorder(TestResult):
        """
        Notes the outcome of each test.
        """

        separator = ""

        def __init__(self, *args, **kwargs):
            """
            See C{Reporter}.
            """
            super().__init__()

        def startTest(self, test):
            """
            See C{IReporter}.
            """
            super().startTest(test)
            running[:] = [test]
            outcomes.setdefault(test.id(), "ran")

        def addError(self, test, error):
            """
            See C{IReporter}.
            """
            holder = isinstance(test, ErrorHolder)
            outcomes[test.id()] = f"{'absent' if holder else 'error'}: {_text(error)}"

        def addFailure(self, test, failure):
            """
            See C{IReporter}.
            """
            outcomes[test.id()] = f"failure: {_text(failure)}"

        def addSkip(self, test, reason):
            """
            See C{IReporter}.
            """
            outcomes[test.id()] = "skip"

        def addExpectedFailure(self, test, *args):
            """
            See C{IReporter}.
            """
            outcomes[test.id()] = "todo"

        def addUnexpectedSuccess(self, test, *args):
            """
            See C{IReporter}.
            """
            outcomes[test.id()] = "unexpected success"

        def _nothing(self, *args):
            """
            Nothing is printed.
            """

        done = printErrors = printSummary = cleanupErrors = upDownError = _nothing

    suite = TestLoader().loadByName(name, recurse=True)
    TrialRunner(Recorder, workingDirectory=f"{results}.trial").run(suite)
    results.write_text(json.dumps(outcomes), encoding="utf-8")


def _text(failure):
    """
    What went wrong, for people.
    """
    if hasattr(failure, "getTraceback"):
        return failure.getTraceback()
    return repr(failure[1])


def runChild(module, kind, folder):
    """
    Run the suite in a process of its own.

    @param module: The module whose C{__main__} calls L{main}.
    @return: How each test ended.
    """
    file = Path(folder) / kind / "results"
    file.parent.mkdir()
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-m", module, str(file)],
            env={**os.environ, CLASSES: kind},
            stdout=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    if not file.exists():
        return {"the suite as a whole": "error: it did not come to its end"}
    return json.loads(file.read_text(encoding="utf-8"))


def compare(kind, stock, ours):
    """
    Tell where a run with ours differs from one with Twisted's classes.

    @return: How many tests ended alike, and how many did not.
    """
    different = 0
    for test in sorted(stock.keys() | ours.keys()):
        before, after = (run.get(test, "absent") for run in (stock, ours))
        ends = {outcome.split(":")[0] for outcome in (before, after)}
        if len(ends) > 1 or "absent" in ends:
            different += 1
            print(f"{test}, store: {kind}\n  with Twisted's classes: {before}")
            print(f"  with ours: {after}\n")
    return len(stock.keys() | ours.keys()) - different, different


def main(module, name, least, kinds):
    """
    Run a suite with Twisted's classes and with ours, and compare.

    @param module: The module that calls this.
    @param name: What C{trial} is given.
    @param least: How many tests there have to be at least.
    @param kinds: Which of L{STORES}; all, if empty.
    @return: The exit status.
    """
    kind = os.environ.get(CLASSES)
    if kind is not None:
        runSuite(name, kind, Path(sys.argv[1]))
        return 0
    kinds = kinds or list(STORES)
    unknown = sorted(set(kinds) - set(STORES))
    if unknown:
        print(f"expected some of {', '.join(STORES)}; found {', '.join(unknown)}")
        return 2
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(SAME_TIME) as pool:
        stock, *runs = pool.map(
            lambda kind: runChild(module, kind, folder), ["stock", *kinds]
        )
    passed = failed = 0
    for kind, ours in zip(kinds, runs, strict=True):
        alike, different = compare(kind, stock, ours)
        print(f"store {kind}: {alike} as with Twisted's classes, {different} not")
        passed, failed = passed + alike, failed + different
    if len(stock) < least:
        print(f"expected {least} tests or more, found {len(stock)}")
        failed += 1
    print(f"{name}: {passed} passed, {failed} failed")
    return 1 if failed else 0
