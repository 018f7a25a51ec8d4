"""
A write of a session that is under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txsessions.core.record import Record
    from txsessions.core.settle import Need
    from txsessions.live.waiting import Waiter


class Flight:
    """
    A write that is under way.

    @ivar need: What kind of write.
    @ivar record: What the store was given; L{None} while it is not open.
    @ivar parts: The parts in it.
    @ivar terms: The terms in it, see L{Entry.terms}.
    @ivar waiters: Who waits for it.
    @ivar tries: How many conflicts came before it.
    """

    __slots__ = ("need", "parts", "record", "terms", "tries", "waiters")

    def __init__(
        self,
        need: Need,
        record: Record | None,
        parts: dict[bytes, bytes],
        terms: tuple[Any, ...],
        waiters: list[Waiter],
        tries: int,
    ) -> None:
        self.need = need
        self.record = record
        self.parts = parts
        self.terms = terms
        self.waiters = waiters
        self.tries = tries


__all__ = ["Flight"]
