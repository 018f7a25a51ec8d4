"""
In which order anonymous sessions make room: the memory store's index.

Owns which records have no principal, and which of them has the least time left.  Knows
no record's payload.

A session in use costs it nothing: each stands at a time that is never later than its
deadline, and is moved on when it is met there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from txsessions.core.record import Record

SPARE = 1000
"""How many places of sessions that are gone may stay, besides as many as there are
sessions."""


class Anonymous:
    """
    See the module.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, float] = {}
        self._heap: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._places)

    def add(self, record: Record) -> None:
        """
        A record is there, for the first time or still.
        """
        if record.principal is None and record.key not in self._places:
            self._places[record.key] = record.expiresAt
            heapq.heappush(self._heap, (record.expiresAt, record.key))

    def remove(self, record: Record) -> None:
        """
        A record is gone.
        """
        if record.principal is None:
            self._places.pop(record.key, None)
            if len(self._heap) > 2 * len(self._places) + SPARE:
                self._heap = [(at, key) for key, at in self._places.items()]
                heapq.heapify(self._heap)

    def next(
        self, most: int, now: float, deadlineOf: Callable[[bytes], float]
    ) -> bytes | None:
        """
        Which one has to go.

        @param most: How many may be alive.
        @param deadlineOf: Tells the deadline of one.
        @return: Its key; L{None} where there are no more than may be.
        """
        heap, places = self._heap, self._places
        while heap:
            at, key = heap[0]
            if places.get(key) != at:
                heapq.heappop(heap)
                continue
            deadline = deadlineOf(key)
            if deadline <= now:
                # It is the sweeper's.
                heapq.heappop(heap)
                del places[key]
            elif deadline > at:
                heapq.heapreplace(heap, (deadline, key))
                places[key] = deadline
            else:
                return key if len(places) > most else None
        return None


__all__ = ["SPARE", "Anonymous"]
