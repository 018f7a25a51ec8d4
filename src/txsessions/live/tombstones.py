"""
Deletions that a store has not acknowledged yet.

Owns the keys that this process refuses until their records are gone: a logout
holds here from the moment it is asked for, and is carried out when the store is
back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, FirstError, gatherResults

from txsessions.core.record import tagOf
from txsessions.live.events import EventKind

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from txsessions.live.table import LiveTable

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds after which deletions that failed are tried again, at first and at
last."""

AT_ONCE = 100
"""How many of them are tried again at a time."""

MAX_TOMBSTONES = 100_000
"""How many deletions are remembered; the oldest are then left to expiry, at first of
those of which nobody knows whether there is such a session."""


class Tombstones:
    """
    The keys whose records are to go.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._keys: dict[bytes, bool] = {}
        self._failed: dict[bytes, None] = {}
        self._unread: dict[bytes, None] = {}
        self._retry: IDelayedCall | None = None
        self._delay = FIRST_RETRY

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def refuse(self, keys: Sequence[bytes], *, marks: bool = False) -> None:
        """
        Refuse records until they are gone.

        @param marks: Whether the store is to leave a marker, since somebody has
            asked for the end.
        """
        for key in keys:
            self._keys[key] = marks or self._keys.get(key, False)
        while len(self._keys) > MAX_TOMBSTONES:
            oldest = next(iter(self._unread or self._keys))
            del self._keys[oldest]
            self._failed.pop(oldest, None)
            self._unread.pop(oldest, None)

    def expect(self, key: bytes) -> None:
        """
        A record is about to be deleted that could not be read: if the store says that
        it was there, tell that a session has ended.
        """
        if key not in self._keys:
            self._unread[key] = None

    def bury(self, keys: Sequence[bytes], *, marks: bool = False) -> Deferred[bool]:
        """
        Delete records, and refuse them until they are gone.

        @param marks: See L{refuse}.
        @return: Fires when they are gone, with whether it was this that removed
            any; fails with a C{StoreError} if that has to wait for the store.
        """
        self.refuse(keys, marks=marks)
        if len(keys) == 1:
            return self._delete(keys[0])
        done = gatherResults([self._delete(key) for key in keys], consumeErrors=True)
        return done.addCallbacks(any, _firstError)

    def _delete(self, key: bytes) -> Deferred[bool]:
        """
        Delete one record.
        """
        now = self._table.seconds() if self._keys.get(key) else None
        done: Deferred[bool] = self._table.store.delete(key, now)
        return done.addCallbacks(
            self._gone, self._notGone, callbackArgs=(key,), errbackArgs=(key,)
        )

    def _gone(self, wasThere: bool, key: bytes) -> bool:
        """
        The record is gone.
        """
        self._keys.pop(key, None)
        self._failed.pop(key, None)
        self._delay = FIRST_RETRY
        if self._unread.pop(key, self) is None and wasThere:
            table = self._table
            table.announcer.tell(EventKind.ENDED, tagOf(key), table.seconds(), "logout")
        return wasThere

    def _notGone(self, failure: Failure, key: bytes) -> Failure:
        """
        The store could not be told.
        """
        if key in self._keys:
            self._failed[key] = None
            self._tryLater(self._delay)
        return failure

    def _tryLater(self, delay: float) -> None:
        """
        Try again what failed, if there is an open store to try it with.
        """
        if self._retry is None and self._table.lifecycle.isOpen:
            self._retry = self._table.reactor.callLater(delay, self._again)

    def _again(self) -> None:
        """
        Try some once more.
        """
        self._retry = None
        self._delay = min(self._delay * 2, LAST_RETRY)
        some = list(islice(self._failed, AT_ONCE))
        for key in some:
            del self._failed[key]
        _ = self.bury(some).addCallbacks(self._more, _nothing)

    def _more(self, _: object) -> None:
        """
        The store is back: go on with the others.
        """
        if self._failed:
            self._tryLater(0)

    def resume(self) -> None:
        """
        The store is open again.
        """
        if self._failed:
            self._tryLater(0)

    def stop(self) -> None:
        """
        Rest until the store is open again.
        """
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None


def _nothing(_: Any) -> None:
    """
    For who does not care about the result.
    """


def _firstError(failure: Failure) -> Failure:
    """
    What failed first of several.
    """
    first: Failure = cast(FirstError, failure.value).subFailure
    return first


__all__ = ["Tombstones"]
