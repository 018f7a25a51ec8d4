"""
A Deferred that may be ignored.

C{expire()}, C{rotate()} and C{save()} tell through one how they ended, and most
callers have no use for that: the response waits anyway, and what failed is told
as an event.  A plain Deferred that fails and is dropped would be reported as an
unhandled error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from twisted.python.failure import Failure


class IgnorableDeferred(Deferred[None]):
    """
    Fails only once somebody listens.
    """

    _kept: Failure | None = None
    _isHeard = False

    def fail(self, failure: Failure) -> None:
        """
        Fail, now or when somebody first listens.
        """
        if self._isHeard:
            self.errback(failure)
        else:
            self._kept = failure

    def addCallbacks(self, *args: Any, **kwargs: Any) -> Any:
        """
        See C{Deferred.addCallbacks}.
        """
        self._isHeard = True
        kept, self._kept = self._kept, None
        result = super().addCallbacks(*args, **kwargs)
        if kept is not None:
            self.errback(kept)
        return result


__all__ = ["IgnorableDeferred"]
