"""
Waiting for a session to be saved.

Owns what it is to wait: for a reply, for who called C{save()}, for nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from operator import methodcaller
from typing import Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.errors import SessionGone
from txsessions.live.ignorable import IgnorableDeferred

_log = Logger()


class Waiter(Protocol):
    """
    Somebody who may not go on before a session is saved.
    """

    def sessionSaved(self) -> None:
        """
        The store has acknowledged what the session was.
        """

    def sessionGone(self) -> None:
        """
        The session has ended meanwhile.
        """

    def saveFailed(self, failure: Failure) -> None:
        """
        Whether it was saved is unknown.
        """


SAVED: Callable[[Waiter], object] = methodcaller("sessionSaved")
GONE: Callable[[Waiter], object] = methodcaller("sessionGone")
"""What to tell: see L{tellAll}."""


def tellFailed(waiters: Iterable[Waiter], failure: Failure) -> None:
    """
    Tell all of these that it is unknown whether the session was saved.
    """
    tellAll(waiters, methodcaller("saveFailed", failure))


def tellAll(waiters: Iterable[Any], tell: Callable[[Any], object]) -> None:
    """
    Tell all of these, also if telling one of them raises, even that the program is to
    end: the others must not wait for ever because of that.
    """
    for waiter in waiters:
        try:
            tell(waiter)
        except BaseException:
            unexpected()


def unexpected() -> None:
    """
    Tell the operator that telling one of them has raised.
    """
    with suppress(BaseException):  # as an observer of the log may do, too
        _log.failure("Somebody who waited for a session met an unexpected error")


class DeferredWaiter:
    """
    A waiter that is a Deferred.
    """

    def __init__(self) -> None:
        self.done: IgnorableDeferred[None] = IgnorableDeferred()

    def sessionSaved(self) -> None:
        """
        See L{Waiter.sessionSaved}.
        """
        self.done.callback(None)

    def sessionGone(self) -> None:
        """
        See L{Waiter.sessionGone}.
        """
        self.done.fail(Failure(SessionGone()))

    def saveFailed(self, failure: Failure) -> None:
        """
        See L{Waiter.saveFailed}.
        """
        self.done.fail(failure)


class _NobodyWaits:
    """
    A waiter for what nobody waits for.
    """

    def sessionSaved(self) -> None:
        """
        So be it.
        """

    def sessionGone(self) -> None:
        """
        So be it.
        """

    def saveFailed(self, failure: Failure) -> None:
        """
        It has been told, and whoever needs the session finds it dropped.
        """


NOBODY = _NobodyWaits()


__all__ = [
    "GONE",
    "NOBODY",
    "SAVED",
    "DeferredWaiter",
    "Waiter",
    "tellAll",
    "tellFailed",
    "unexpected",
]
