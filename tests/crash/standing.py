"""
What stands in for a test, and tells people how it goes, where there is none: in the
long runs.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time

OFTEN = 0.2
"""Seconds between two lines of progress."""


class Case:
    """
    As much of a test case as L{startServer<tests.crash.nursery.startServer>} needs.
    """

    def __init__(self):
        self._stack = contextlib.ExitStack()

    def addCleanup(self, call, *args, **kwargs):
        """
        Call this at the end.
        """
        self._stack.callback(call, *args, **kwargs)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()


class Progress:
    """
    How far a long run is, on a terminal; elsewhere nothing is said.
    """

    def __init__(self, what, total, out=None):
        """
        @param what: What is counted.
        @param total: How many there will be.
        @param out: Where it is told; the standard error by default.
        """
        self._what = what
        self._total = total
        self._out = sys.stderr if out is None else out
        self._lock = threading.Lock()
        self._done = 0
        self._begun = self._next = time.monotonic()

    def step(self, count=1):
        """
        So many more are done.  Any thread may say so.
        """
        with self._lock:
            self._done += count
            now = time.monotonic()
            if self._out.isatty() and (now >= self._next or self._done >= self._total):
                self._next = now + OFTEN
                self._tell(now - self._begun)

    def _tell(self, seconds):
        """
        Write over the line from before; leave no line at the end.
        """
        if self._done >= self._total:
            text = ""
        else:
            text = f"{self._done} of {self._total} {self._what}, {seconds:.0f} s"
        self._out.write(f"\r{text}\x1b[K")
        self._out.flush()


def show(*cells):
    """
    Print a row of a table.
    """
    print("|", *(f"{cell} |" for cell in cells), flush=True)


__all__ = ["Case", "Progress", "show"]
