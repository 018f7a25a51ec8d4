"""
Twisted's own C{twisted.web} suite, with our classes put in place of its own.

Run as C{python -m tests.compat.twisted_web}: the suite runs with Twisted's classes
and with ours, for sites without a store, with one in memory, and with one in a
fresh SQLite database each; every test must end the same way.  C{none}, C{memory}
and C{sqlite} as arguments choose among these.  The cookie names are those of
C{CookiePolicy.twisted()}, which the suite looks for.

A module of the suite that cannot be imported counts as failed: Twisted's tests
need C{pyhamcrest} and C{httpx[http2]} beside Twisted's extras C{tls} and C{http2}.
"""

from __future__ import annotations

import sys

from tests.compat.suites import main

LEAST = 1400
"""How many tests the lowest Twisted that we support has there, about."""

if __name__ == "__main__":
    raise SystemExit(
        main("tests.compat.twisted_web", "twisted.web", LEAST, sys.argv[1:])
    )
