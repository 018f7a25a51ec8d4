"""
Deletions that a store has not acknowledged yet.

Owns the keys that this process refuses until their records are gone: a logout
holds here from the moment it is asked for, and is carried out when the store is
back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, FirstError, gatherResults

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from txsessions.live.table import LiveTable

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds after which a deletion that failed is tried again, at first and at
last."""

MAX_TOMBSTONES = 100_000
"""How many deletions are remembered; the oldest are then left to expiry."""


class Tombstones:
    """
    The keys whose records are to go.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._keys: dict[bytes, None] = {}
        self._retry: IDelayedCall | None = None
        self._delay = FIRST_RETRY

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def bury(self, keys: Sequence[bytes]) -> Deferred[None]:
        """
        Delete records, and refuse them until they are gone.

        @return: Fires when they are gone; fails with a C{StoreError} if that
            has to wait for the store.
        """
        for key in keys:
            self._keys[key] = None
        while len(self._keys) > MAX_TOMBSTONES:
            del self._keys[next(iter(self._keys))]
        if len(keys) == 1:
            return self._delete(keys[0])
        done = gatherResults([self._delete(key) for key in keys], consumeErrors=True)
        return done.addCallbacks(_nothing, _firstError)

    def _delete(self, key: bytes) -> Deferred[None]:
        """
        Delete one record.
        """
        done: Deferred[bool] = self._table.store.delete(key)
        return done.addCallbacks(
            self._gone, self._failed, callbackArgs=(key,), errbackArgs=(key,)
        )

    def _gone(self, _: bool, key: bytes) -> None:
        """
        The record is gone.
        """
        self._keys.pop(key, None)
        self._delay = FIRST_RETRY

    def _failed(self, failure: Failure, key: bytes) -> Failure:
        """
        The store could not be told.
        """
        if self._retry is None and key in self._keys:
            self._retry = self._table.reactor.callLater(self._delay, self._again)
            self._delay = min(self._delay * 2, LAST_RETRY)
        return failure

    def _again(self) -> None:
        """
        Try all of them once more.
        """
        self._retry = None
        for key in list(self._keys):
            _ = self._delete(key).addErrback(_nothing)

    def stop(self) -> None:
        """
        Give up: the records end by their own deadlines.
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
