"""
Tests of L{txsessions.live.waiting}: what it is to wait.
"""

from __future__ import annotations

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import SessionGone
from txsessions.live.waiting import NOBODY, DeferredWaiter


class WaitingTests(SynchronousTestCase):
    """
    The waiters.
    """

    def test_saved(self):
        """
        A Deferred fires when the session is saved.
        """
        waiter = DeferredWaiter()
        self.assertNoResult(waiter.done)
        waiter.sessionSaved()
        self.successResultOf(waiter.done)

    def test_gone(self):
        """
        It fails when the session is gone.
        """
        waiter = DeferredWaiter()
        waiter.sessionGone()
        self.failureResultOf(waiter.done, SessionGone)

    def test_failed(self):
        """
        It fails with what went wrong.
        """
        waiter = DeferredWaiter()
        waiter.saveFailed(Failure(ZeroDivisionError()))
        self.failureResultOf(waiter.done, ZeroDivisionError)

    def test_nobody(self):
        """
        If nobody waits, nobody is told.
        """
        NOBODY.sessionSaved()
        NOBODY.sessionGone()
        NOBODY.saveFailed(Failure(ZeroDivisionError()))
