"""
Sessions in this process's memory: for tests, for development, and for a site that
needs no more than Twisted's own sessions give.

Owns the contract's reference implementation: everything happens at once and every
Deferred has fired when it is returned.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from txsessions.core.record import (
    ROTATED,
    UNCHANGED,
    Answer,
    Record,
    neverBack,
    tagOf,
)
from txsessions.errors import (
    SessionConflict,
    SessionError,
    SessionExists,
    SessionGone,
    StoreUnavailable,
)
from txsessions.interfaces import ROTATION_MARKER, ISessionStore

if TYPE_CHECKING:
    from txsessions.stores._reactor import IStoreReactor

SLICE = 1000
"""How many sessions that were used meanwhile one L{MemoryStore.claimExpired} passes
over at most, besides those that it hands out."""


class _Slot:
    """
    What is kept under one key.

    @ivar record: The session, or L{None} for the marker of a rotation.
    @ivar became: The new key, in a marker.
    @ivar expiresAt: The deadline of either.
    @ivar due: When the sweeper has to look, as its heap says.
    @ivar claimed: Whether the sweeper has handed it out.
    """

    __slots__ = ("became", "claimed", "due", "expiresAt", "record")

    def __init__(
        self, record: Record | None, expiresAt: float, became: bytes = b""
    ) -> None:
        self.record = record
        self.became = became
        self.expiresAt = expiresAt
        self.due = float("inf")
        self.claimed = False


@implementer(ISessionStore)
class MemoryStore:
    """
    A session store in memory.  What it holds stays when it is closed and opened
    again, and goes with the object.
    """

    durability = "nothing: the sessions end with this process"
    address = "memory:"

    def __init__(self, reactor: IStoreReactor | None = None) -> None:
        """
        @param reactor: Not used: nothing here takes time.
        """
        self._slots: dict[bytes, _Slot] = {}
        self._due: list[tuple[float, bytes]] = []
        self._isOpen = False
        self._followed = 0

    def open(self) -> Deferred[None]:
        """
        See L{ISessionStore.open}.
        """
        self._isOpen = True
        return succeed(None)

    def close(self) -> Deferred[None]:
        """
        See L{ISessionStore.close}.
        """
        self._isOpen = False
        return succeed(None)

    def changes(self) -> int | None:
        """
        See L{ISessionStore.changes}: nobody else can change anything.
        """
        return self._followed

    def insert(self, record: Record, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.insert}.
        """
        if not self._isOpen:
            return _closed()
        if record.key in self._slots:
            return fail(SessionExists(record.tag))
        self._put(record.key, _Slot(record, record.expiresAt))
        return succeed(None)

    def load(
        self, key: bytes, now: float, known: int | None = None
    ) -> Deferred[Record | Literal[Answer.UNCHANGED, Answer.ROTATED] | None]:
        """
        See L{ISessionStore.load}.
        """
        if not self._isOpen:
            return _closed()
        slot = self._slots.get(key)
        if slot is None or slot.expiresAt <= now:
            return succeed(None)
        if slot.record is None:
            return succeed(ROTATED)
        if slot.record.version == known:
            return succeed(UNCHANGED)
        return succeed(slot.record)

    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.replace}.
        """
        if not self._isOpen:
            return _closed()
        try:
            stored = self._current(record.key, expected, now)
        except SessionError as error:
            return fail(error)
        self._set(record.key, neverBack(record, stored))
        return succeed(None)

    def touch(
        self, key: bytes, touchedAt: float, expiresAt: float, now: float
    ) -> Deferred[None]:
        """
        See L{ISessionStore.touch}.
        """
        if not self._isOpen:
            return _closed()
        try:
            stored = self._current(key, None, now)
        except SessionError as error:
            return fail(error)
        if touchedAt > stored.touchedAt:
            expiresAt = max(expiresAt, stored.expiresAt)
            touched = evolve(stored, touchedAt=touchedAt, expiresAt=expiresAt)
            self._set(key, touched)
        return succeed(None)

    def rename(
        self, oldKey: bytes, record: Record, expected: int, now: float
    ) -> Deferred[None]:
        """
        See L{ISessionStore.rename}.
        """
        if not self._isOpen:
            return _closed()
        try:
            stored = self._current(oldKey, expected, now)
        except SessionError as error:
            return fail(error)
        if record.key in self._slots:
            return fail(SessionExists(record.tag))
        renamed = neverBack(record, stored)
        self._put(record.key, _Slot(renamed, renamed.expiresAt))
        self._put(oldKey, _Slot(None, now + ROTATION_MARKER, record.key))
        return succeed(None)

    def delete(self, key: bytes) -> Deferred[bool]:
        """
        See L{ISessionStore.delete}.
        """
        if not self._isOpen:
            return _closed()
        slot = self._slots.get(key)
        passed: set[bytes] = set()
        while slot is not None and slot.record is None and key not in passed:
            passed.add(key)
            key = slot.became
            slot = self._slots.get(key)
        self._followed += bool(passed)
        if slot is None or slot.record is None:
            return succeed(False)
        del self._slots[key]
        self._trim()
        return succeed(True)

    def claimExpired(
        self, now: float, limit: int, lease: float
    ) -> Deferred[list[Record]]:
        """
        See L{ISessionStore.claimExpired}.
        """
        if not self._isOpen:
            return _closed()
        claimed: list[Record] = []
        passed = 0
        heap = self._due
        while heap and heap[0][0] <= now and len(claimed) < limit and passed < SLICE:
            due, key = heapq.heappop(heap)
            slot = self._slots.get(key)
            if slot is None or slot.due != due:
                continue
            if slot.expiresAt > now:
                passed += 1
                self._schedule(key, slot, slot.expiresAt)
            elif slot.record is None:
                del self._slots[key]
            else:
                slot.claimed = True
                claimed.append(slot.record)
        for record in claimed:
            self._schedule(record.key, self._slots[record.key], now + lease)
        return succeed(claimed)

    def acknowledge(self, keys: Sequence[bytes]) -> Deferred[None]:
        """
        See L{ISessionStore.acknowledge}.
        """
        if not self._isOpen:
            return _closed()
        for key in keys:
            slot = self._slots.get(key)
            if slot is not None and slot.claimed:
                del self._slots[key]
        self._trim()
        return succeed(None)

    def countSessions(self, now: float) -> Deferred[int]:
        """
        See L{ISessionStore.countSessions}.
        """
        if not self._isOpen:
            return _closed()
        slots = self._slots.values()
        alive = (slot.record is not None and slot.expiresAt > now for slot in slots)
        return succeed(sum(alive))

    def scan(
        self, cursor: bytes | None, limit: int
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        See L{ISessionStore.scan}.
        """
        if not self._isOpen:
            return _closed()
        after = (
            (key, slot.record)
            for key, slot in self._slots.items()
            if slot.record is not None and (cursor is None or key > cursor)
        )
        page = heapq.nsmallest(max(1, limit), after, key=lambda pair: pair[0])
        following = page[-1][0] if len(page) == max(1, limit) else None
        return succeed(([record for _, record in page], following))

    def _current(self, key: bytes, expected: int | None, now: float) -> Record:
        """
        Find a session that may be changed.

        @param expected: The version wanted, or L{None} for any.
        @raise SessionGone: It is absent, expired or rotated away.
        @raise SessionConflict: It is at another version.
        """
        slot = self._slots.get(key)
        if slot is None or slot.record is None or slot.expiresAt <= now:
            raise SessionGone(tagOf(key))
        if expected is not None and slot.record.version != expected:
            raise SessionConflict(slot.record)
        return slot.record

    def _put(self, key: bytes, slot: _Slot) -> None:
        """
        Keep something under a key, anew.
        """
        self._slots[key] = slot
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
        if slot.expiresAt < slot.due:
            self._schedule(key, slot, slot.expiresAt)

    def _schedule(self, key: bytes, slot: _Slot, due: float) -> None:
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


def _closed() -> Deferred[Any]:
    """
    Answer a call to a store that is not open.
    """
    return fail(StoreUnavailable("the memory store is not open: call open() first"))


__all__ = ["SLICE", "MemoryStore"]
