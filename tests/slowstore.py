"""
A store that answers when it is told to, for tests that look at what happens
before it has answered, or when it cannot.

Owns the keeping back of answers; what a call does is done by the store inside.
Knows no clock: nothing here takes time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from zope.interface import implementer

from txsessions.core.telling import Told, shortBy
from txsessions.interfaces import ROTATION_MARKER, ISessionStore
from txsessions.stores._telling import passOn


@define(eq=False)
class Held:
    """
    A call that waits for its answer.

    @ivar name: The method.
    @ivar act: Does what was asked.
    @ivar answer: What the caller got.
    """

    name: str
    act: Callable[[], Deferred[Any]]
    answer: Deferred[Any]


@implementer(ISessionStore)
class SlowStore:
    """
    Holds calls to the store inside until L{release} or L{fail}.

    A call is carried out when it is released, so that one that is failed never
    was, unless C{fail} is told otherwise; or at once, so that only its answer is on
    its way for long.  Opening and closing are not held.  It tells by the short way, as
    the product's stores do: L{PlainSlowStore} does not.

    @ivar inner: The store inside.
    @ivar holding: Which methods are held; all others pass at once.  Empty at
        first.
    @ivar pending: The calls that wait, in order.
    @ivar calls: The names of all calls so far, held or not.
    @ivar down: What calls fail with that are not held, or L{None}.
    @ivar late: Whether calls that are held are carried out at once.
    @ivar sharedWithOthers: Whether other processes may change what is stored, so
        that C{changes()} cannot tell.
    """

    WRITES = frozenset(
        {
            "insert",
            "replace",
            "touch",
            "rename",
            "delete",
            "endPrincipal",
            "endEverybody",
            "endSession",
            "erasePrincipal",
        }
    )

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.durability = inner.durability
        self.address = inner.address
        self.holding: frozenset[str] = frozenset()
        self.pending: list[Held] = []
        self.calls: list[str] = []
        self.down: Exception | None = None
        self.late = False
        self.sharedWithOthers = False

    # -- the strings

    def hold(self, *names: str) -> None:
        """
        Hold calls of these methods from now on, or of all that write.
        """
        self.holding = frozenset(names) or self.WRITES

    def names(self) -> list[str]:
        """
        The names of the calls that wait.
        """
        return [call.name for call in self.pending]

    def release(self, count: int | None = None) -> int:
        """
        Carry out and answer calls that wait now, the oldest first; those that
        come while this is done wait.

        @param count: How many; all, if not given.
        @return: How many there were.
        """
        calls = self.pending[:count]
        del self.pending[: len(calls)]
        for call in calls:
            call.act().chainDeferred(call.answer)
        return len(calls)

    def releaseInTurns(self, clock: Any) -> list[int]:
        """
        Release what waits, turn by turn of the reactor, until nothing does.

        @return: How many calls there were in each.
        """
        counts = []
        while self.pending:
            counts.append(self.release())
            clock.advance(0)
        return counts

    def pass_(self) -> None:
        """
        Release what waits, and hold nothing any more.
        """
        self.holding = frozenset()
        while self.pending:
            self.release()

    def fail(self, error: Exception, *, done: bool = False) -> None:
        """
        Fail the calls that wait now.

        @param done: Whether they are carried out all the same, and only the
            answers are lost.
        """
        calls, self.pending = self.pending, []
        for call in calls:
            if done:
                call.act().addErrback(lambda _: None)
            call.answer.errback(error)

    # -- the store

    def _call(self, name: str, *args: Any) -> Deferred[Any]:
        """
        Hold a call, or let it pass.
        """
        self.calls.append(name)

        def act() -> Deferred[Any]:
            done: Deferred[Any] = getattr(self.inner, name)(*args)
            return done

        answer: Deferred[Any] = Deferred()
        if name in self.holding:
            if self.late:
                done = act()
                self.pending.append(Held(name, lambda: done, answer))
            else:
                self.pending.append(Held(name, act, answer))
        elif self.down is not None:
            answer.errback(self.down)
        else:
            return act()
        return answer

    def open(self) -> Deferred[None]:
        """
        See L{ISessionStore.open}.
        """
        return self._call("open")

    def close(self) -> Deferred[None]:
        """
        See L{ISessionStore.close}.
        """
        done: Deferred[None] = self.inner.close()
        return done

    def changes(self) -> int | None:
        """
        See L{ISessionStore.changes}; L{None} where others share the store.
        """
        return None if self.sharedWithOthers else self.inner.changes()

    def insert(self, record: Any, now: float, limit: Any = None) -> Deferred[None]:
        """
        See L{ISessionStore.insert}.
        """
        return self._call("insert", record, now, limit)

    def _load(self, told: Told, *args: Any) -> None:
        """
        See L{load}.
        """
        passOn(self._call("load", *args), told)

    @shortBy(_load)
    def load(self, key: bytes, now: float, known: int | None = None) -> Deferred[Any]:
        """
        See L{ISessionStore.load}.
        """
        return self._call("load", key, now, known)

    def _replace(self, told: Told, *args: Any) -> None:
        """
        See L{replace}.
        """
        passOn(self._call("replace", *args), told)

    @shortBy(_replace)
    def replace(self, record: Any, expected: int, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.replace}.
        """
        return self._call("replace", record, expected, now)

    def touch(
        self, key: bytes, touchedAt: float, expiresAt: float, now: float
    ) -> Deferred[None]:
        """
        See L{ISessionStore.touch}.
        """
        return self._call("touch", key, touchedAt, expiresAt, now)

    def rename(
        self,
        oldKey: bytes,
        record: Any,
        expected: int,
        now: float,
        limit: Any = None,
        marks: float = ROTATION_MARKER,
    ) -> Deferred[None]:
        """
        See L{ISessionStore.rename}.
        """
        return self._call("rename", oldKey, record, expected, now, limit, marks)

    def follow(self, key: bytes, now: float) -> Deferred[Any]:
        """
        See L{ISessionStore.follow}.
        """
        return self._call("follow", key, now)

    def delete(self, key: bytes, now: float | None = None) -> Deferred[bool]:
        """
        See L{ISessionStore.delete}.
        """
        return self._call("delete", key, now)

    def claimExpired(self, now: float, limit: int, lease: float) -> Deferred[list[Any]]:
        """
        See L{ISessionStore.claimExpired}.
        """
        return self._call("claimExpired", now, limit, lease)

    def acknowledge(self, keys: Sequence[bytes]) -> Deferred[None]:
        """
        See L{ISessionStore.acknowledge}.
        """
        return self._call("acknowledge", keys)

    def countSessions(self, now: float) -> Deferred[int]:
        """
        See L{ISessionStore.countSessions}.
        """
        return self._call("countSessions", now)

    def scan(self, cursor: bytes | None, limit: int) -> Deferred[Any]:
        """
        See L{ISessionStore.scan}.
        """
        return self._call("scan", cursor, limit)

    def sessionsOf(
        self,
        principal: bytes,
        now: float,
        cursor: bytes | None = None,
        limit: int = 100,
    ) -> Deferred[Any]:
        """
        See L{ISessionStore.sessionsOf}.
        """
        return self._call("sessionsOf", principal, now, cursor, limit)

    def endPrincipal(
        self, principal: bytes, now: float, but: bytes | None = None
    ) -> Deferred[int]:
        """
        See L{ISessionStore.endPrincipal}.
        """
        return self._call("endPrincipal", principal, now, but)

    def endEverybody(self, prefix: bytes) -> Deferred[None]:
        """
        See L{ISessionStore.endEverybody}.
        """
        return self._call("endEverybody", prefix)

    def endSession(self, principal: bytes, handle: bytes, now: float) -> Deferred[bool]:
        """
        See L{ISessionStore.endSession}.
        """
        return self._call("endSession", principal, handle, now)

    def erasePrincipal(self, principal: bytes) -> Deferred[int]:
        """
        See L{ISessionStore.erasePrincipal}.
        """
        return self._call("erasePrincipal", principal)

    def evictAnonymous(self, most: int, now: float, limit: int) -> Deferred[Any]:
        """
        See L{ISessionStore.evictAnonymous}.
        """
        return self._call("evictAnonymous", most, now, limit)

    def verifyIndex(
        self, cursor: bytes | None = None, limit: int = 500
    ) -> Deferred[Any]:
        """
        See L{ISessionStore.verifyIndex}.
        """
        return self._call("verifyIndex", cursor, limit)


class PlainSlowStore(SlowStore):
    """
    One that answers by Deferreds alone, as somebody else's does.
    """

    def load(self, key: bytes, now: float, known: int | None = None) -> Deferred[Any]:
        """
        See L{ISessionStore.load}.
        """
        return self._call("load", key, now, known)

    def replace(self, record: Any, expected: int, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.replace}.
        """
        return self._call("replace", record, expected, now)


__all__ = ["Held", "PlainSlowStore", "SlowStore"]
