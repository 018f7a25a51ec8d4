"""
The two tests of each module of stores that do wrong.

Owns that every one of them is caught, and that none is left out.
"""

from __future__ import annotations

import sys

from tests.stores.test_broken_stores import failures
from txsessions.stores import MemoryStore


class FlawTests:
    """
    A mixin.

    @cvar caught: The stores, each with the names of the tests of the contract that are
        about its flaw.
    @cvar unflawed: Stores of the module that have none.
    """

    caught: dict = {}  # noqa: RUF012 - each subclass says its own
    unflawed: tuple = (MemoryStore,)

    def test_each(self) -> None:
        """
        At least these tests fail.
        """
        for makeStore, names in self.caught.items():
            expected = {f"test_{name}" for name in names}
            missed = expected - failures(makeStore, expected)
            self.assertEqual(missed, set(), f"passed over {makeStore.__name__}")

    def test_allAreHere(self) -> None:
        """
        No flaw is made and not tried.
        """
        made = {
            each
            for each in vars(sys.modules[self.__module__]).values()
            if isinstance(each, type)
            and issubclass(each, MemoryStore)
            and each not in self.unflawed
        }
        self.assertEqual(made, set(self.caught))


__all__ = ["FlawTests"]
