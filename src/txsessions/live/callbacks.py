"""
Expiry callbacks: how many there may be, and how they are run.

Owns that expiry completes whatever they do.  Knows no session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

_log = Logger(namespace="txsessions")

MAX_CALLBACKS = 1000
"""How many expiry callbacks a session takes."""


def runCallbacks(callbacks: list[Callable[[], object]]) -> None:
    """
    Run expiry callbacks, each undisturbed by the others.
    """
    for callback in callbacks:
        try:
            result = callback()
            if isinstance(result, Deferred):
                _ = result.addErrback(_logCallback)
        except BaseException:
            _log.failure("an expiry callback raised")


def noMore() -> None:
    """
    Stands behind the last callback that was taken.
    """


def _logCallback(failure: Any) -> None:
    """
    A callback's Deferred failed.
    """
    _log.failure("an expiry callback failed", failure=failure)


__all__ = ["MAX_CALLBACKS", "noMore", "runCallbacks"]
