"""
Each target with some inputs of Hypothesis' making, and with long ones.
"""

from __future__ import annotations

from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.mutating import LONGEST, inputs
from tests.fuzz.running import demandLinear
from tests.fuzz.targets import TARGETS
from tests.fuzz.tracing import Trace

EXAMPLES = 60
"""How many inputs each target gets."""


def fuzzed(name):
    """
    Make the test of a target.
    """
    target = TARGETS[name]

    @settings(deadline=None, max_examples=EXAMPLES)
    @given(inputs(target))
    def test(self, data):
        target.check(data)

    test.__doc__ = target.check.__doc__
    return test


class TargetTests(SynchronousTestCase):
    """
    Whatever is read.
    """

    def setUp(self):
        """
        What is logged is looked at by the checks.
        """
        self.addCleanup(self.flushLoggedErrors)

    test_cookie = fuzzed("cookie")
    test_bearer = fuzzed("bearer")
    test_token = fuzzed("token")
    test_forwarded = fuzzed("forwarded")
    test_xForwarded = fuzzed("x-forwarded")
    test_value = fuzzed("value")
    test_scalar = fuzzed("scalar")
    test_state = fuzzed("state")
    test_sealed = fuzzed("sealed")
    test_keyFile = fuzzed("keyfile")
    test_address = fuzzed("address")
    test_replies = fuzzed("resp")
    test_request = fuzzed("request")
    test_record = fuzzed("record")

    def test_all(self):
        """
        No target is left out.
        """
        tests = [name for name in dir(self) if name.startswith("test_")]
        self.assertEqual(len(tests), len(TARGETS) + 3)

    def test_seeds(self):
        """
        Each target reads the first of its seeds: what is refused at the door shows
        nothing.
        """
        for name, target in TARGETS.items():
            outcomes = [target.check(seed) for seed in target.seeds]
            self.assertIn("read", outcomes, name)

    def test_long(self):
        """
        Of long inputs, each piece of the format over and over, a byte takes no more
        instructions than of short ones.
        """
        for target in TARGETS.values():
            for piece in target.pieces:
                size = LONGEST // 16
                data = target.seeds[0] + piece * (size // len(piece))
                trace = Trace()
                trace.of(lambda check=target.check, data=data: check(data))
                demandLinear(target, data, trace.count)
