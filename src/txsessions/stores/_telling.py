"""
Deferreds around what tells, and the other way round: see L{txsessions.core.telling}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txsessions.core.telling import Told


def deferredOf(tell: Callable[..., None], *args: Any, **options: Any) -> Deferred[Any]:
    """
    Have this tell a Deferred.

    @param tell: Takes whom to tell, then all these arguments.
    """
    deferred: Deferred[Any] = Deferred()
    tell(deferred, *args, **options)
    return deferred


def passOn(deferred: Deferred[Any], told: Told) -> None:
    """
    Tell what a Deferred says.
    """
    _ = deferred.addCallbacks(told.callback, told.errback)


__all__ = ["deferredOf", "passOn"]
