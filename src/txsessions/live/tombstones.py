"""
Deletions that a store has not acknowledged yet, or may have lost.

Owns the keys that this process refuses until their records are gone: a logout
holds here from the moment it is asked for, and is carried out when the store is
back.

A server that takes over from another may lack the last that was acknowledged.  That a
session is missing there does no harm, but that one is back which has ended would.  So
what was deleted in the last minutes is remembered, where the store may reconnect; when
it has done so the keys are refused once more, and deleted.  That ends nobody else: what
has become of such a session meanwhile has become it by an id that is dead.

A session that was ended by its handle, since its key is not known here, goes the same
way under its I{name}: the hash of its principal and the handle, which stays with it
whatever key it gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, FirstError, gatherResults, maybeDeferred
from twisted.logger import Logger
from zope.interface import implementer

from txsessions.core.recent import Recent
from txsessions.core.record import tagOf
from txsessions.interfaces import IConnectionListener, IReconnectingStore
from txsessions.live.events import EventKind

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from txsessions.core.record import Record
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds after which deletions that failed are tried again, at first and at
last."""

AT_ONCE = 100
"""How many of them are tried again at a time."""

MAX_TOMBSTONES = 100_000
"""How many deletions are remembered; the oldest are then left to expiry, at first of
those of which nobody knows whether there is such a session."""

REMEMBERED = 600.0
"""For how many seconds a deletion is remembered that the store has acknowledged: a
server that lags further behind takes over nowhere."""

MAX_REMEMBERED = 10_000
"""How many of them are; the oldest are forgotten."""

KEY_BYTES = 32
"""How long a key is, and the hash of a principal; a name is longer."""


@implementer(IConnectionListener)
class Tombstones:
    """
    The keys whose records are to go.

    @ivar remembers: Whether what has been deleted may have to be deleted again.
    @ivar refused: The keys, and whether the store is to leave a marker for each.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self.remembers = IReconnectingStore.providedBy(table.store)
        self._done = Recent(REMEMBERED, MAX_REMEMBERED)
        self._former: dict[bytes, bytes] = {}
        self._back = 0
        self.refused: dict[bytes, bool] = {}
        self._failed: dict[bytes, None] = {}
        self._unread: dict[bytes, None] = {}
        self._retry: IDelayedCall | None = None
        self._delay = FIRST_RETRY
        if self.remembers:
            table.store.addConnectionListener(self)

    def __contains__(self, key: bytes) -> bool:
        return key in self.refused

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.refused)

    def __len__(self) -> int:
        return len(self.refused)

    def refuse(self, keys: Sequence[bytes], *, marks: bool = False) -> None:
        """
        Refuse records until they are gone.

        @param marks: Whether the store is to leave a marker, since somebody has
            asked for the end.
        """
        for key in keys:
            self.refused[key] = marks or self.refused.get(key, False)
        while len(self.refused) > MAX_TOMBSTONES:
            oldest = next(iter(self._unread or self.refused))
            del self.refused[oldest]
            self._failed.pop(oldest, None)
            self._unread.pop(oldest, None)

    def refuses(self, record: Record) -> bool:
        """
        Whether a record is to go, by whatever it is known here, or has gone since the
        store was asked for it.
        """
        if not self.refused and not self._done.noted:
            return False
        name = (record.principal or b"") + (record.handle or b"")
        return any(
            each in self.refused or each in self._done for each in (record.key, name)
        )

    def expect(self, key: bytes) -> None:
        """
        A record is about to be deleted that could not be read: if the store says that
        it was there, tell that a session has ended.
        """
        if key not in self.refused:
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
        store, now = self._table.store, self._table.seconds()
        done: Deferred[bool]
        if len(key) > KEY_BYTES:
            of, name = key[:KEY_BYTES], key[KEY_BYTES:]
            done = maybeDeferred(store.endSession, of, name, now)
        else:
            marked = now if self.refused.get(key) else None
            done = maybeDeferred(store.delete, key, marked)
        return done.addCallbacks(
            self._gone, self._notGone, callbackArgs=(key,), errbackArgs=(key,)
        )

    def _gone(self, wasThere: bool, key: bytes) -> bool:
        """
        The record is gone.
        """
        self.refused.pop(key, None)
        self._failed.pop(key, None)
        self._delay = FIRST_RETRY
        isUnread = self._unread.pop(key, self) is None
        if isUnread and wasThere:
            table = self._table
            table.announcer.tell(EventKind.ENDED, tagOf(key), table.seconds(), "logout")
        if self.remembers:
            isAgain = key in self._done
            self._back += isAgain and wasThere
            if wasThere or not (isAgain or isUnread):
                self.remember(key)
        return wasThere

    def moved(self, old: bytes, new: bytes) -> None:
        """
        A session has another key.  The store may lose that along with its end, and
        then has it under the old one.
        """
        if self.remembers:
            self._former[new] = old
            if len(self._former) > MAX_REMEMBERED:
                del self._former[next(iter(self._former))]

    def remember(self, key: bytes | None) -> None:
        """
        A record was deleted, by its key or its name: the store may lose that.
        """
        while self.remembers and key is not None:
            self._done.note(key, self._table.seconds())
            key = self._former.pop(key, None)

    def storeConnected(self) -> None:
        """
        See L{IConnectionListener.storeConnected}: what it may have lost is refused from
        now on, and deleted again, as what it could not be told.
        """
        keys = self._done.keys(self._table.seconds())
        self.refuse(keys)
        self._failed.update(dict.fromkeys(keys))
        if self._failed:
            self.stop()
            self._delay = FIRST_RETRY
            self._tryLater(0)

    def _notGone(self, failure: Failure, key: bytes) -> Failure:
        """
        The store could not be told.
        """
        if key in self.refused:
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
        elif self._back:
            _log.warn(
                "{count} sessions that had ended were back in the session store "
                "{address}: another server may have taken over. They have been ended "
                "again",
                count=self._back,
                address=self._table.store.address,
            )
            self._back = 0

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
