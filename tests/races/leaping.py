"""
A clock that leaps: time goes by for the servers when the driver says so.

Owns the clock that a server's site is given, and what in a server would do something
by itself as time goes by: sweeps are left to the driver, and the store's clock is taken
to be right.
"""

from __future__ import annotations

from zope.interface import directlyProvides, providedBy

from txsessions.live import resting, sweeper
from txsessions.live.deadlines import deadlinesOf


class Leaping:
    """
    The reactor, but for the time.
    """

    def __init__(self, reactor):
        self._reactor = reactor
        self._ahead = 0.0
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name):
        """
        What it is besides.
        """
        return getattr(self._reactor, name)

    def seconds(self):
        """
        See C{IReactorTime.seconds}.
        """
        return self._reactor.seconds() + self._ahead

    def leap(self, seconds):
        """
        Have so many seconds gone by.  Deadlines that are over by that ring in the
        next turn, as always.
        """
        self._ahead += seconds
        queue = deadlinesOf(self)
        if queue.entries():
            queue._arm(queue.first())


def leaping(reactor):
    """
    Give a server a clock that leaps.
    """
    from txsessions.stores import _redis_clock

    sweeper.INTERVAL = resting.LINGER = float("inf")
    sweeper.Sweeper.start = sweeper.Sweeper.sweepSoon = lambda self: None
    _redis_clock.TOLERANCE = float("inf")
    try:
        from txsessions.stores import _postgresql_clock
    except ImportError:
        pass
    else:
        _postgresql_clock.TOLERANCE = float("inf")
    return Leaping(reactor)


__all__ = ["Leaping", "leaping"]
