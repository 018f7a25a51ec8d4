"""
What a store needs of a reactor.

Owns that type, a bound on waiting, and the only place where the reactor of the running program is
looked up.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from txsessions.errors import StoreUnavailable

_T = TypeVar("_T")


class IStoreReactor(Protocol):
    """
    C{IReactorTime} and C{IReactorFromThreads}, as far as stores use them.
    """

    def seconds(self) -> float:
        """
        See C{IReactorTime.seconds}.
        """

    def callLater(self, delay: float, callable: Any, *args: Any) -> IDelayedCall:  # noqa: A002
        """
        See C{IReactorTime.callLater}.
        """

    def callFromThread(self, callable: Any, *args: Any) -> None:  # noqa: A002
        """
        See C{IReactorFromThreads.callFromThread}.
        """


def handled(deferred: Deferred[Any]) -> None:
    """
    Nobody waits for this: its callbacks see to whatever comes.
    """


def withDeadline(
    waited: Deferred[_T], reactor: IStoreReactor, deadline: float, late: str
) -> Deferred[_T]:
    """
    Wait for something, but no longer than this.

    @param late: What the C{StoreUnavailable} says that comes instead.
    """
    result: Deferred[_T] = Deferred()

    def tooLate() -> None:
        result.errback(StoreUnavailable(late))

    def fire(value: object) -> None:
        if timer.active():
            timer.cancel()
            result.callback(value)  # type: ignore[arg-type]

    timer = reactor.callLater(deadline, tooLate)
    handled(waited.addBoth(fire))
    return result


def globalReactor() -> Any:
    """
    The reactor of this program.  Imported only here and only when a store is
    opened, for the import installs it.
    """
    from twisted.internet import reactor

    return reactor


__all__ = ["IStoreReactor", "globalReactor", "handled", "withDeadline"]
