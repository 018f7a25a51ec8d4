"""
Clients that leave before there is an answer for them.

Owns that nothing of a request is kept by what it waits for: a realm or a directory that
hangs may do so for longer than anybody is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


class ClientLeft(Exception):
    """
    There is nobody to answer any more.
    """


def whileHere(
    request: Any, waited: Deferred[_T], late: Callable[[_T], object] | None = None
) -> Deferred[_T]:
    """
    Wait for something, but not for longer than a client does.  What is waited for goes
    on all the same.

    @param waited: Its result goes to the Deferred that is returned.
    @param late: Takes what comes when the client has left; errors are dropped.
    @return: Fails with L{ClientLeft} as soon as that is so.
    """
    here: Deferred[_T] = Deferred()
    waiting = [here]

    def came(found: _T | Failure) -> None:
        if waiting:
            waiting.pop().callback(found)
        elif late is not None and not isinstance(found, Failure):
            late(found)

    def left(_: object) -> None:
        if waiting:
            waiting.pop().errback(ClientLeft())

    _ = waited.addBoth(came)
    if request._disconnected:
        left(None)
    else:
        request.notifyFinish().addBoth(left)
    return here


__all__ = ["ClientLeft", "whileHere"]
