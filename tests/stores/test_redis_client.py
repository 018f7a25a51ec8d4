"""
Staying connected: how often it is tried again.
"""

from __future__ import annotations

from twisted.internet import error
from twisted.internet.defer import fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import StoreUnavailable
from txsessions.stores._redis_address import Settings
from txsessions.stores._redis_client import FIRST_DELAY, LAST_DELAY, Client


class Refusing:
    """
    An endpoint that nobody listens at.
    """

    def __init__(self, clock):
        self.clock = clock
        self.tried = []

    def connect(self, factory):
        """
        Fail.
        """
        self.tried.append(self.clock.seconds())
        return fail(error.ConnectionRefusedError("nobody there"))


class BackOffTests(SynchronousTestCase):
    """
    L{Client}.
    """

    def client(self, chance):
        """
        Make a client that has lost its connection.
        """
        clock = Clock()
        endpoint = Refusing(clock)
        settings = Settings(hosts=(("h", 1),))
        client = Client(settings, endpoint, clock, (), lambda: None, lambda: chance)
        self.failureResultOf(client.start(), StoreUnavailable)
        client._again("it was lost")
        return client, clock, endpoint.tried

    def delays(self, chance, seconds):
        """
        How long it waits between two attempts.
        """
        client, clock, tried = self.client(chance)
        del tried[:]
        clock.pump([0.01] * int(seconds * 100))
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        self.successResultOf(client.stop())
        self.assertEqual(clock.getDelayedCalls(), [])
        return [b - a for a, b in zip([0, *tried], tried, strict=False)]

    def test_growing(self):
        """
        Soon at first, then less and less often, but for ever.
        """
        delays = self.delays(1.0, 3000)
        self.assertLess(delays[0], FIRST_DELAY + 0.02)
        self.assertGreater(len(delays), 3000 / LAST_DELAY - 5)
        self.assertLess(max(delays), LAST_DELAY + 0.02)
        self.assertGreater(delays[-1], LAST_DELAY - 0.02)

    def test_spread(self):
        """
        Chance spreads it over half of the time.
        """
        early, late = self.delays(0.0, 100), self.delays(1.0, 100)
        self.assertLess(early[-1] / late[-1], 0.52)
        self.assertGreater(early[-1] / late[-1], 0.48)

    def test_fails(self):
        """
        Meanwhile every call fails at once, and says why.
        """
        client, _, _ = self.client(1.0)
        gone = self.failureResultOf(client.send(b"x"), StoreUnavailable).value
        self.assertIn("it was lost", str(gone))
        self.assertIn("redis://h:1/0", str(gone))
        self.flushLoggedErrors()
        self.successResultOf(client.stop())
        gone = self.failureResultOf(client.send(b"x"), StoreUnavailable).value
        self.assertIn("closed", str(gone))
