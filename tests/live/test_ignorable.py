"""
Tests for L{txsessions.live.ignorable}.
"""

from __future__ import annotations

import gc

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txsessions.live.ignorable import IgnorableDeferred


async def awaited(deferred):
    """
    Wait as a coroutine does.
    """
    await deferred


WAYS = {
    "addErrback": lambda deferred: deferred,
    "addCallback": lambda deferred: deferred.addCallback(lambda _: 1),
    "addBoth": lambda deferred: deferred.addBoth(lambda result: result),
    "await": lambda deferred: ensureDeferred(awaited(deferred)),
    "returned": lambda deferred: succeed(1).addCallback(lambda _: deferred),
    "gathered": lambda deferred: gatherResults([deferred], consumeErrors=True),
    "chained": lambda deferred: (deferred.chainDeferred(d := Deferred()), d)[1],
}
"""The ways to listen; each makes of it another Deferred."""


class IgnorableTests(SynchronousTestCase):
    """
    Its failure reaches whoever listens, and nobody else.
    """

    def make(self):
        """
        A Deferred, and what makes it fail.
        """
        deferred = IgnorableDeferred()
        return deferred, lambda: deferred.fail(Failure(LookupError("it failed")))

    def test_heard(self):
        """
        In whatever way somebody listens, before or after, the failure comes.
        """
        for name, listen in WAYS.items():
            for late in (False, True):
                deferred, fail = self.make()
                if late:
                    fail()
                heard = []
                listen(deferred).addErrback(heard.append)
                if not late:
                    self.assertEqual(heard, [], name)
                    fail()
                self.assertEqual(len(heard), 1, name)
                heard.clear()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_ignored(self):
        """
        Where nobody does, nothing is reported.
        """
        deferred, fail = self.make()
        fail()
        del deferred, fail
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_callbackFails(self):
        """
        What a callback of the application raises is reported as usual.
        """
        deferred, fail = self.make()
        deferred.addErrback(lambda _: 1 / 0)
        fail()
        del deferred, fail
        gc.collect()
        [reported] = self.flushLoggedErrors()
        reported.trap(ZeroDivisionError)

    def test_succeeds(self):
        """
        It may also succeed.
        """
        deferred, _ = self.make()
        deferred.callback(None)
        self.assertIsNone(self.successResultOf(deferred))
