"""
The opening and closing of a Redis store.

Owns its connection, and how a call is made by that once the server's clock is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from txsessions.core.forks import FORKS
from txsessions.core.telling import Told
from txsessions.errors import StoreUnavailable
from txsessions.stores._reactor import globalReactor
from txsessions.stores._reconnecting import Reconnecting
from txsessions.stores._redis_address import Settings
from txsessions.stores._redis_calls import Calls, odd
from txsessions.stores._redis_greeting import Promises
from txsessions.stores._telling import deferredOf, passOn


class Opening(Reconnecting):
    """
    See the module.

    @ivar address: See L{txsessions.interfaces.ISessionStore.address}; without user and
        password.
    """

    def __init__(self, settings: Settings, reactor: Any = None) -> None:
        """
        Nothing is connected yet, so a store may be made before a fork.

        @param settings: See L{txsessions.stores.redis.fromAddress}.
        @param reactor: Provides what Twisted's reactors provide; by default the
            program's own, looked up by L{open}.
        """
        self.address = settings.where
        self._settings = settings
        self._reactor = reactor
        self._calls: Calls | None = None
        self._isOpen = False
        self._promises: Promises | None = None
        self._waiting: list[Deferred[None]] = []
        self._closing: Deferred[None] | None = None

    @property
    def durability(self) -> str:
        """
        See L{txsessions.interfaces.ISessionStore.durability}: what the server said when it was last
        connected.
        """
        if self._calls is not None:
            self._promises = self._calls.client.promises or self._promises
        if self._promises is None:
            return "what the Redis server promises: it was not asked yet"
        text, replicas = self._promises.durability, self._settings.wait
        return f"{text}; {replicas} replicas have it as well" if replicas else text

    def open(self) -> Deferred[None]:
        """
        See L{txsessions.interfaces.ISessionStore.open}.  Fails if the first attempt to connect does, and
        leaves nothing behind then; once it has succeeded, a connection that breaks
        is made again until L{close}.
        """
        calls = self._calls
        if calls is not None and calls.fork != FORKS.count:
            self._calls = calls = None
            self._isOpen, self._waiting = False, []
        if self._closing is not None:
            return self._afterClosing().addCallback(lambda _: self.open())
        if self._isOpen:
            return succeed(None)
        opened: Deferred[None] = Deferred()
        self._waiting.append(opened)
        if calls is None:
            if self._reactor is None:
                self._reactor = globalReactor()
            try:
                heard = self._tellConnected
                self._calls = calls = Calls(self._settings, self._reactor, heard)
            except Exception:
                self._waiting.clear()
                return fail(Failure())
            _ = calls.client.start().addCallbacks(self._opened, self._notOpened)
        return opened

    def close(self) -> Deferred[None]:
        """
        See L{txsessions.interfaces.ISessionStore.close}.
        """
        if self._closing is not None:
            return self._afterClosing()
        calls, self._calls = self._calls, None
        if calls is None or calls.fork != FORKS.count:
            return succeed(None)
        self._promises = calls.client.promises or self._promises
        self._isOpen = False
        self._closing = Deferred()
        closed = self._afterClosing()
        connection = calls.client.connection
        drained = connection.drain() if connection else succeed(None)
        _ = drained.addCallback(lambda _: calls.client.stop()).addCallback(self._closed)
        return closed

    def changes(self) -> int | None:
        """
        See L{txsessions.interfaces.ISessionStore.changes}: only C{load} can tell.
        """
        return None

    def _run(
        self, now: float | None, call: Callable[..., Deferred[Any]], *args: Any
    ) -> Deferred[Any]:
        """
        Make a call, once the server's clock is known.

        @param now: The caller's clock, if it told.
        @param call: Gets the opening, then the arguments.
        """
        calls = self._calls
        if calls is None or not self._isOpen or calls.fork != FORKS.count:
            return fail(self._notOpen())
        if calls.clock.mustWait(now):
            return calls.clock.hold(lambda: call(calls, *args))
        return call(calls, *args)

    def _runTelling(
        self, told: Told, now: float, tell: Callable[..., None], *args: Any
    ) -> None:
        """
        Do what L{_run} does, for a verb that tells; and not at all if the call is
        cancelled before the server's clock is known.

        @param tell: Gets whom to tell, the opening, then the arguments.
        """

        def call(calls: Calls) -> Deferred[Any]:
            if told.called:
                return fail(CancelledError())
            return deferredOf(tell, calls, *args)

        passOn(self._run(now, call), told)

    def _walk(
        self, calls: Calls, walk: Callable[..., Any], *args: Any
    ) -> Deferred[Any]:
        """
        Do something with many sessions.
        """
        return Deferred.fromCoroutine(walk(calls, *args)).addErrback(odd, calls)

    def _opened(self, _: None) -> None:
        """
        There is a connection.
        """
        self._isOpen = self._calls is not None
        self._tell(None)

    def _notOpened(self, failure: Failure) -> None:
        """
        There is none.
        """
        calls, self._calls = self._calls, None
        done = calls.client.stop() if calls else succeed(None)
        _ = done.addCallback(lambda _: self._tell(failure))

    def _tell(self, failure: Failure | None) -> None:
        """
        Tell those who wait for the opening.
        """
        waiting, self._waiting = self._waiting, []
        for opened in waiting:
            opened.callback(failure)

    def _afterClosing(self) -> Deferred[None]:
        """
        Wait for the end of a closing.
        """
        waited: Deferred[None] = Deferred()
        assert self._closing is not None
        _ = self._closing.addCallback(lambda _: waited.callback(None))
        return waited

    def _closed(self, _: None) -> None:
        """
        The connection is gone.
        """
        closing, self._closing = self._closing, None
        assert closing is not None
        closing.callback(None)

    def _notOpen(self) -> StoreUnavailable:
        """
        Say that the store is not open.
        """
        if self._calls is not None and self._calls.fork != FORKS.count:
            return StoreUnavailable(
                f"the session store {self.address} was opened before this process "
                "was forked: open stores after the fork"
            )
        return StoreUnavailable(
            f"the session store {self.address} is not open: call open() first"
        )


__all__ = ["Opening"]
