"""
Answers without a Deferred, on the hot path.

Owns how a verb of a store says that it can also tell its answer to an object that is
there anyway: making a Deferred, giving it a callback and having it call that takes as
long as a store's whole work with an unchanged session.  Whoever calls such a verb
finds it with L{shortWay}, by the function of the method that he would call, and
takes it with the object whose method that is.  So a subclass, a wrapper or a stand-in
that has something of its own in its place is asked by that, even if it passes for what
it covers, as C{functools.wraps} and C{unittest.mock} have it; and one that hands out
the methods of another store has that asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

_Verb = TypeVar("_Verb", bound=Callable[..., Any])

SHORT: dict[object, Callable[..., None]] = {}
"""What L{shortBy} was told, by the functions that it decorated."""


def shortWay(verb: Any) -> Callable[..., None] | None:
    """
    Find what does the same as a verb, and is told as L{shortBy} says.

    @param verb: A store's, bound to it.
    """
    try:
        return SHORT.get(verb.__func__)
    except AttributeError:
        return None


class Told(Protocol):
    """
    Whoever waits for an answer.  A Deferred is one.

    @ivar called: Whether it waits no more: it was told, or is a Deferred that was
        cancelled.  Each is told once, and not because of this.
    """

    called: bool

    def callback(self, result: Any) -> object:
        """
        Take the answer; does not raise.
        """

    def errback(self, fail: Any) -> object:
        """
        Take what went wrong, an exception or a C{Failure}; does not raise.
        """


def shortBy(tell: Callable[..., None]) -> Callable[[_Verb], _Verb]:
    """
    Decorate a verb that answers by a Deferred.

    @param tell: Does the same, but takes L{Told} before the verb's own arguments, tells
        it once, maybe at once, and returns nothing.
    """

    def decorate(verb: _Verb) -> _Verb:
        SHORT[verb] = tell
        return verb

    return decorate


__all__ = ["SHORT", "Told", "shortBy", "shortWay"]
