"""
Sessions in this process's memory: for tests, for development, and for a site that
needs no more than Twisted's own sessions give.

Owns the contract's reference implementation: everything happens at once and every
Deferred has fired when it is returned.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from txsessions.core.record import (
    DELETED,
    FORMER,
    ROTATED,
    UNCHANGED,
    Answer,
    Record,
    SignInLimit,
    neverBack,
    sameSignIn,
)
from txsessions.errors import (
    SessionError,
    SessionExists,
    StoreUnavailable,
    TooManySessions,
)
from txsessions.interfaces import END_MARKER, ROTATION_MARKER, ISessionStore
from txsessions.stores._memory_slots import SLICE, Slot, Slots

if TYPE_CHECKING:
    from txsessions.stores._reactor import IStoreReactor


@implementer(ISessionStore)
class MemoryStore(Slots):
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
        super().__init__()
        self._isOpen = False

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
        return self._unnamed

    def insert(
        self, record: Record, now: float, limit: SignInLimit | None = None
    ) -> Deferred[None]:
        """
        See L{ISessionStore.insert}.
        """
        if not self._isOpen:
            return _closed()
        if record.key in self._slots:
            return fail(SessionExists(record.tag))
        try:
            self._admit(record, now, limit)
        except TooManySessions as error:
            return fail(error)
        self._put(record.key, Slot(record, record.expiresAt))
        return succeed(None)

    def load(
        self, key: bytes, now: float, known: int | None = None
    ) -> Deferred[Record | Answer | None]:
        """
        See L{ISessionStore.load}.
        """
        if not self._isOpen:
            return _closed()
        slot = self._slots.get(key)
        if slot is None or slot.expiresAt <= now:
            return succeed(None)
        if slot.record is None and not slot.became:
            return succeed(DELETED)
        if slot.record is None:
            isFormer = slot.madeAt + ROTATION_MARKER <= now
            return succeed(FORMER if isFormer else ROTATED)
        if self._hasEnded(slot):
            return succeed(None)
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
        self._set(record.key, sameSignIn(neverBack(record, stored), stored))
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
        self,
        oldKey: bytes,
        record: Record,
        expected: int,
        now: float,
        limit: SignInLimit | None = None,
        marks: float = ROTATION_MARKER,
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
        if record.principal != stored.principal:
            try:
                self._admit(record, now, limit)
            except TooManySessions as error:
                return fail(error)
        renamed = neverBack(record, stored)
        self._put(record.key, Slot(renamed, renamed.expiresAt))
        self._lose(stored)
        self._put(oldKey, Slot(None, now + marks, record.key, now))
        return succeed(None)

    def follow(self, key: bytes, now: float) -> Deferred[Record | Answer | None]:
        """
        See L{ISessionStore.follow}.
        """
        if not self._isOpen:
            return _closed()
        return succeed(self._followed(key, now))

    def delete(self, key: bytes, now: float | None = None) -> Deferred[bool]:
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
        self._unnamed += bool(passed)
        if slot is None or slot.record is None:
            return succeed(False)
        self._drop(key)
        if now is not None:
            self._put(key, Slot(None, now + END_MARKER))
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
                self._drop(key)
        self._trim()
        return succeed(None)

    def countSessions(self, now: float) -> Deferred[int]:
        """
        See L{ISessionStore.countSessions}.
        """
        if not self._isOpen:
            return _closed()
        slots = self._slots.values()
        return succeed(sum(self._isAlive(slot, now) for slot in slots))

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

    def sessionsOf(
        self,
        principal: bytes,
        now: float,
        cursor: bytes | None = None,
        limit: int = 100,
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        See L{ISessionStore.sessionsOf}.
        """
        if not self._isOpen:
            return _closed()
        size = max(1, limit)
        after = (
            (record.handle or b"", record)
            for record in self._aliveOf(principal, now)
            if cursor is None or (record.handle or b"") > cursor
        )
        page = heapq.nsmallest(size, after, key=lambda pair: pair[0])
        following = page[-1][0] if len(page) == size else None
        return succeed(([record for _, record in page], following))

    def endPrincipal(
        self, principal: bytes, now: float, but: bytes | None = None
    ) -> Deferred[int]:
        """
        See L{ISessionStore.endPrincipal}.
        """
        if not self._isOpen:
            return _closed()
        keys = {record.key for record in self._aliveOf(principal, now)}
        self._principals.raiseEpoch(principal)
        if but in keys:
            keys.remove(but)
            self._slots[but].epoch += 1
        self._unnamed += 1
        return succeed(len(keys))

    def endEverybody(self, prefix: bytes) -> Deferred[None]:
        """
        See L{ISessionStore.endEverybody}.
        """
        if not self._isOpen:
            return _closed()
        self._principals.raiseEverybody(prefix)
        self._unnamed += 1
        return succeed(None)

    def endSession(self, principal: bytes, handle: bytes, now: float) -> Deferred[bool]:
        """
        See L{ISessionStore.endSession}.
        """
        if not self._isOpen:
            return _closed()
        key = self._principals.keyOf(principal, handle)
        if key is None:
            return succeed(False)
        wasAlive = self._isAlive(self._slots[key], now)
        self._dropUnnamed([key])
        return succeed(wasAlive)

    def erasePrincipal(self, principal: bytes) -> Deferred[int]:
        """
        See L{ISessionStore.erasePrincipal}.
        """
        if not self._isOpen:
            return _closed()
        keys = self._principals.keysOf(principal)
        self._dropUnnamed(keys)
        return succeed(len(keys))

    def evictAnonymous(
        self, most: int, now: float, limit: int
    ) -> Deferred[tuple[list[Record], bool]]:
        """
        See L{ISessionStore.evictAnonymous}.
        """
        if not self._isOpen:
            return _closed()
        evicted = self._evict(most, now, limit)
        return succeed((evicted, len(evicted) == limit))

    def verifyIndex(
        self, cursor: bytes | None = None, limit: int = 500
    ) -> Deferred[tuple[int, bytes | None]]:
        """
        See L{ISessionStore.verifyIndex}; all in one page.
        """
        if not self._isOpen:
            return _closed()
        slots = self._slots.values()
        records = [slot.record for slot in slots if slot.record is not None]
        return succeed((self._principals.misfits(records), None))


def _closed() -> Deferred[Any]:
    """
    Answer a call to a store that is not open.
    """
    return fail(StoreUnavailable("the memory store is not open: call open() first"))


__all__ = ["SLICE", "MemoryStore"]
