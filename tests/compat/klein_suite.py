"""
Klein's own suite, with our classes put in place of Twisted's.

Run as C{python -m tests.compat.klein_suite}; see L{tests.compat.twisted_web}.
Klein's tests need C{treq} and C{hypothesis}.
"""

from __future__ import annotations

import sys

from tests.compat.suites import main

LEAST = 200
"""How many tests klein has, about."""

if __name__ == "__main__":
    raise SystemExit(
        main("tests.compat.klein_suite", "klein.test", LEAST, sys.argv[1:])
    )
