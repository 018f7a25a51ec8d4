"""
From the opening of a store to its closing.

Owns the waiting for a store that is not open yet, the trying again while it
cannot be opened, the sweeper, and the order in which things end.  Knows no
engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.defer import TimeoutError as TooLate
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.keyring import KeyRing
from txsessions.core.principals import PrincipalHashes
from txsessions.core.renewal import Chain
from txsessions.core.seal import Sealer
from txsessions.errors import ConfigurationError, StoreUnavailable
from txsessions.live.sweeper import Sweeper

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds after which an opening that failed is tried again, at first and at
last."""

PATIENCE = 2.0
"""Seconds that a request waits for a store that is being opened."""

DRAIN = 10.0
"""Seconds that the end waits for writes under way, and then for the store to close."""


class Lifecycle:
    """
    Opens and closes the store of one live table.

    @ivar isOpen: Whether the store may be used.
    @ivar isOver: Whether it was closed, so that only L{start} opens it again.
    """

    def __init__(self, table: LiveTable, ring: Callable[[], KeyRing] | None) -> None:
        self._table = table
        self._ring = ring
        self.isOpen = False
        self._users = 0
        self._opening = False
        self.isOver = False
        self._waiting: list[Deferred[None]] = []
        self._retry: IDelayedCall | None = None
        self._delay = FIRST_RETRY
        self._closing: list[Deferred[None]] | None = None
        self._sweeper = Sweeper(table)
        self.openFailure: Failure | None = None

    def start(self) -> None:
        """
        A site starts to serve.

        @raise ConfigurationError: The keys cannot be had.
        """
        before, self.isOver = self.isOver, False
        self._users += 1
        try:
            if self._retry is None:
                self._open()
        except ConfigurationError:
            self.isOver = before
            self._users -= 1
            raise
        if self.isOpen:
            self._sweeper.start()

    def _open(self) -> None:
        """
        Open the store, unless it is open or being opened.

        @raise ConfigurationError: The keys cannot be had.
        """
        if self.isOpen or self._opening or self._closing is not None:
            return
        table, ring = self._table, self._ring
        assert ring is not None
        keys = ring()
        table.sealer = Sealer(keys, table.siteName)
        table.principals.hashes = PrincipalHashes(keys, table.siteName)
        table.rotated.chain = Chain(keys, table.siteName)
        self._opening = True
        done = maybeDeferred(table.store.open)
        _ = done.addCallbacks(self._opened, self._notOpened)

    def _opened(self, _: object) -> None:
        """
        The store is open.
        """
        if not self._opening:
            if not self.isOpen:
                # It was closed meanwhile.
                _ = self._table.store.close()
            return
        self._opening = False
        self.isOpen = True
        self.openFailure = None
        self._delay = FIRST_RETRY
        store = self._table.store
        _log.info(
            "sessions are kept in {address}: {durability}",
            address=store.address,
            durability=store.durability,
        )
        if self._closing is None:
            if self._users:
                self._sweeper.start()
            self._table.tombstones.storeConnected()
        self._tell(None)

    def _notOpened(self, failure: Failure) -> None:
        """
        The store cannot be opened now.
        """
        self._opening = False
        self.openFailure = failure
        if self._closing is None:
            _log.critical(
                # An error of a store says which.
                "the session store cannot be opened: {error}; pages with sessions "
                "answer 503, trying again in {delay} s",
                address=self._table.store.address,
                error=str(failure.value),
                delay=self._delay,
            )
            if self._users and self._retry is None:
                self._retry = self._table.reactor.callLater(self._delay, self._again)
                self._delay = min(self._delay * 2, LAST_RETRY)
        self._tell(Failure(StoreUnavailable(str(failure.value))))

    def _again(self) -> None:
        """
        Try once more.
        """
        self._retry = None
        try:
            self._open()
        except ConfigurationError:
            self._notOpened(Failure())

    def _tell(self, failure: Failure | None) -> None:
        """
        Tell those who wait.
        """
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            if failure is None:
                done.callback(None)
            else:
                done.errback(failure)

    def whenOpen(self) -> Deferred[None]:
        """
        Wait for the store, not for long.  A site that was never started, as in
        a test, opens its store here; one that was closed does not.

        @return: Fires when it is open; fails with C{StoreUnavailable}.
        """
        if self.isOpen:
            return succeed(None)
        if not self._opening and (self.isOver or self._closing is not None):
            return fail(StoreUnavailable("the session store has been closed"))
        if self._retry is not None:
            return fail(StoreUnavailable("the session store cannot be opened"))
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        try:
            self._open()
        except ConfigurationError:
            self._notOpened(Failure())
        if done in self._waiting:
            patience = self._table.reactor.callLater(PATIENCE, self._tooLong, done)

            def fired(result: Any) -> Any:
                if patience.active():
                    patience.cancel()
                return result

            _ = done.addBoth(fired)
        return done

    def _tooLong(self, done: Deferred[None]) -> None:
        """
        A request has waited long enough.
        """
        self._waiting.remove(done)
        done.errback(StoreUnavailable("the session store takes long to open"))

    def sweepSoon(self) -> None:
        """
        A session has run out, and its record too: do not let those who want to hear
        of it wait for the next sweep.
        """
        if self.isOpen and self._closing is None:
            self._sweeper.sweepSoon()

    def stop(self) -> Deferred[None]:
        """
        A site no longer serves; with the last one the store is closed.

        @return: Fires when it is.
        """
        self._users = max(0, self._users - 1)
        if self._users:
            return succeed(None)
        return self.close()

    def close(self) -> Deferred[None]:
        """
        Save what is to be saved, and close the store.

        @return: Fires when it is closed, whatever went wrong.
        """
        done: Deferred[None] = Deferred()
        if self._closing is not None:
            self._closing.append(done)
            return done
        self.isOver = True
        self._users = 0
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if not self.isOpen and not self._opening:
            self._table.forgetAll()
            return succeed(None)
        self._sweeper.stop()
        self._closing = [done]
        closed = self._drain().addCallback(lambda _: self._closeStore())
        _ = closed.addErrback(
            lambda failure: _log.failure("closing the session store", failure=failure)
        ).addCallback(self._closed)
        return done

    def _closeStore(self) -> Deferred[None]:
        """
        Close the store, and wait for that, bounded: a store that hangs must not keep
        the process from ending.
        """
        closed: Deferred[None] = self._table.store.close()
        if closed.called:
            return closed
        return closed.addTimeout(DRAIN, self._table.reactor).addErrback(self._left)

    def _left(self, failure: Failure) -> None:
        """
        The store does not close.
        """
        failure.trap(TooLate)
        _log.error(
            "the session store {address} has not closed in {delay} s, and is left",
            address=self._table.store.address,
            delay=DRAIN,
        )

    def _drain(self) -> Deferred[None]:
        """
        Wait for the writes under way, bounded.
        """
        done = self._table.writes.drain()
        if not done.called:
            _ = done.addTimeout(DRAIN, self._table.reactor)
            _ = done.addErrback(lambda _: None)
        return done

    def _closed(self, _: object) -> None:
        """
        The store is closed.
        """
        self.isOpen = False
        self._opening = False
        self._table.forgetAll()
        closing, self._closing = self._closing or [], None
        for done in closing:
            done.callback(None)
        self._tell(Failure(StoreUnavailable("the session store has been closed")))
        if not self.isOver:
            # Somebody has started it again.
            self._again()


__all__ = ["Lifecycle"]
