"""
What stands in for a test where there is none: in the long runs.
"""

from __future__ import annotations

import contextlib


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


def show(*cells):
    """
    Print a row of a table.
    """
    print("|", *(f"{cell} |" for cell in cells), flush=True)


__all__ = ["Case", "show"]
