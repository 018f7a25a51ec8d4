"""
The keys are changed while three processes serve on Valkey and on PostgreSQL.

These take half a minute each, so that nobody runs them by chance:
C{python -m twisted.trial tests.crash.changing_keys_on_servers}.
"""

from __future__ import annotations

from tests.crash.test_changing_keys import StepsCase

FEW = 2
"""How many clients there are, where the engine needs a processor too."""


class ServerTests(StepsCase):
    """
    The documented steps.
    """

    def test_redis(self):
        """
        On Valkey.
        """
        self.change("redis", FEW)

    def test_postgresql(self):
        """
        On PostgreSQL.
        """
        self.change("postgresql", FEW)
