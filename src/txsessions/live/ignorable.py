"""
A Deferred that may be ignored.

C{expire()}, C{rotate()} and C{save()} tell through one how they ended, and most
callers have no use for that: the response waits anyway, and what failed is told
as an event.  A plain Deferred that fails and is dropped would be reported as an
unhandled error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from twisted.python.failure import Failure


_T = TypeVar("_T")


class IgnorableDeferred(Deferred[_T]):
    """
    Fails like any other, but is not reported where nobody listens.
    """

    def fail(self, failure: Failure) -> None:
        """
        Fail.  What the callbacks of the application make of it is reported as
        usual.
        """
        self.errback(failure)
        if self._debugInfo is not None and self.result is failure:
            # The only way to say so: there are many to listen (callbacks, await,
            # being returned from a callback), and none of them can be watched.
            self._debugInfo.failResult = None


__all__ = ["IgnorableDeferred"]
