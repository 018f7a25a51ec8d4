"""
What the memory store keeps, and how it finds it again: by key, by principal, by the
time when the sweeper has to look, and the anonymous ones by how long they have left.

Owns the rules of what is alive and of how many sessions a principal may have.  Knows
no Deferred.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection

from txsessions.core.record import DELETED, Answer, Record, SignInLimit, tagOf
from txsessions.errors import SessionConflict, SessionGone, TooManySessions
from txsessions.stores._memory_anonymous import Anonymous
from txsessions.stores._memory_principals import Principals

SLICE = 1000
"""How many sessions that were used meanwhile one C{claimExpired} passes
over at most, besides those that it hands out."""


class Slot:
    """
    What is kept under one key.

    @ivar record: The session, or L{None} for a marker.
    @ivar became: The new key, in the marker of a rotation.
    @ivar madeAt: When that was made.
    @ivar expiresAt: The deadline of either.
    @ivar due: When the sweeper has to look, as its heap says.
    @ivar claimed: Whether the sweeper has handed it out.
    @ivar epoch: The epoch of the principal when it signed in.
    """

    __slots__ = ("became", "claimed", "due", "epoch", "expiresAt", "madeAt", "record")

    def __init__(
        self,
        record: Record | None,
        expiresAt: float,
        became: bytes = b"",
        madeAt: float = 0.0,
    ) -> None:
        self.record = record
        self.became = became
        self.madeAt = madeAt
        self.expiresAt = expiresAt
        self.due = float("inf")
        self.claimed = False
        self.epoch = 0


class Slots:
    """
    See the module.
    """

    def __init__(self) -> None:
        self._slots: dict[bytes, Slot] = {}
        self._due: list[tuple[float, bytes]] = []
        self._principals = Principals()
        self._anonymous = Anonymous()
        self._unnamed = 0

    def _isAlive(self, slot: Slot, now: float) -> bool:
        """
        Is it a session, and neither expired nor ended?
        """
        isThere = slot.record is not None and slot.expiresAt > now
        return isThere and not self._hasEnded(slot)

    def _followed(self, key: bytes, now: float) -> Record | Answer | None:
        """
        What the session under a marker is now, if it is alive.
        """
        slot = self._slots.get(key)
        passed: set[bytes] = set()
        while slot is not None and slot.record is None:
            if slot.expiresAt <= now or key in passed:
                return None
            if not slot.became:
                return DELETED
            passed.add(key)
            key = slot.became
            slot = self._slots.get(key)
        isThere = slot is not None and bool(passed) and self._isAlive(slot, now)
        return slot.record if isThere and slot is not None else None

    def _hasEnded(self, slot: Slot) -> bool:
        """
        Was its principal ended since it signed in?
        """
        record = slot.record
        return record is not None and slot.epoch < self._principals.epochOf(record)

    def _aliveOf(self, principal: bytes, now: float) -> list[Record]:
        """
        The sessions of a principal, in no order.
        """
        slots = [self._slots[key] for key in self._principals.keysOf(principal)]
        return [
            slot.record
            for slot in slots
            if slot.record is not None and self._isAlive(slot, now)
        ]

    def _admit(self, record: Record, now: float, limit: SignInLimit | None) -> None:
        """
        Make room for one more session of a principal.

        @raise TooManySessions: There is none.
        """
        if record.principal is None or limit is None:
            return
        alive = self._aliveOf(record.principal, now)
        surplus = len(alive) + 1 - limit.most
        if surplus <= 0:
            return
        if limit.refuses:
            raise TooManySessions(record.tag, limit.most)
        alive.sort(key=lambda each: (each.createdAt, each.handle or b""))
        self._dropUnnamed([each.key for each in alive[:surplus]])

    def _evict(self, most: int, now: float, limit: int) -> list[Record]:
        """
        Remove anonymous sessions, as many as are too many.
        """
        evicted: list[Record] = []
        while len(evicted) < limit:
            key = self._anonymous.next(most, now, self._deadlineOf)
            record = None if key is None else self._slots[key].record
            if record is None:
                break
            evicted.append(record)
            self._dropUnnamed([record.key])
        return evicted

    def _deadlineOf(self, key: bytes) -> float:
        """
        Until when a session lives.
        """
        return self._slots[key].expiresAt

    def _dropUnnamed(self, keys: Collection[bytes]) -> None:
        """
        Remove sessions that the caller did not name.
        """
        for key in keys:
            self._drop(key)
        self._unnamed += bool(keys)
        self._trim()

    def _drop(self, key: bytes) -> None:
        """
        Remove what is kept under a key.
        """
        slot = self._slots.pop(key)
        if slot.record is not None:
            self._lose(slot.record)

    def _lose(self, record: Record) -> None:
        """
        What finds a record finds it no more.
        """
        self._principals.remove(record)
        self._anonymous.remove(record)

    def _current(self, key: bytes, expected: int | None, now: float) -> Record:
        """
        Find a session that may be changed.

        @param expected: The version wanted, or L{None} for any.
        @raise SessionGone: It is absent, expired, ended or rotated away.
        @raise SessionConflict: It is at another version.
        """
        slot = self._slots.get(key)
        if slot is None or slot.record is None or not self._isAlive(slot, now):
            raise SessionGone(tagOf(key))
        if expected is not None and slot.record.version != expected:
            raise SessionConflict(slot.record)
        return slot.record

    def _put(self, key: bytes, slot: Slot) -> None:
        """
        Keep something under a key, anew.
        """
        self._slots[key] = slot
        if slot.record is not None:
            self._principals.add(slot.record)
            self._anonymous.add(slot.record)
            slot.epoch = self._principals.epochOf(slot.record)
        self._schedule(key, slot, slot.expiresAt)

    def _set(self, key: bytes, record: Record) -> None:
        """
        Change what is kept under a key.  The sweeper learns of a later deadline
        when it looks at the earlier one; a session in use costs it nothing.
        """
        slot = self._slots[key]
        slot.record = record
        slot.expiresAt = record.expiresAt
        slot.claimed = False
        self._anonymous.add(record)
        if slot.expiresAt < slot.due:
            self._schedule(key, slot, slot.expiresAt)

    def _schedule(self, key: bytes, slot: Slot, due: float) -> None:
        """
        Have the sweeper look at a slot at this time, and at no other.
        """
        slot.due = due
        heapq.heappush(self._due, (due, key))

    def _trim(self) -> None:
        """
        Forget the sweeper's appointments with what is gone, once they are many.
        """
        if len(self._due) > 2 * len(self._slots) + SLICE:
            self._due = [(slot.due, key) for key, slot in self._slots.items()]
            heapq.heapify(self._due)


__all__ = ["SLICE", "Slot", "Slots"]
