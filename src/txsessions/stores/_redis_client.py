"""
Staying connected to a Redis server.

Owns the one connection, and the trying again: for ever, with a growing delay that
chance spreads, so that many processes do not come back at the same moment.  Nobody
waits for a connection: a call without one fails at once.

Twisted's ClientService is not used: it cannot bear that a connection is lost while
it is being prepared, which is how a wrong password, a replica and a server at its
limit of clients look.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet import defer
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    succeed,
)
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.telling import Told
from txsessions.errors import StoreUnavailable
from txsessions.stores import _redis_resp
from txsessions.stores._redis_connection import Connection
from txsessions.stores._redis_endpoints import explainerOf
from txsessions.stores._redis_greeting import Promises, greet
from txsessions.stores._telling import deferredOf

if TYPE_CHECKING:
    from txsessions.stores._redis_address import Settings

_log = Logger(namespace="txsessions")

FIRST_DELAY, LAST_DELAY, GROWTH = 0.1, 5.0, 1.6
"""Seconds after which a lost connection is made again, at first and at last, and
the factor in between."""

GREETING = 2.0
"""How many deadlines connecting and greeting may take."""


class Client:
    """
    Keeps one connection.

    @ivar connection: The one that may be used, or L{None}.
    @ivar promises: What the server last said of itself.
    @ivar send: Sends a command by the connection that there is: see
        L{Connection.send}.  Without one it says so.
    """

    def __init__(
        self,
        settings: Settings,
        endpoint: IStreamClientEndpoint,
        reactor: Any,
        scripts: Iterable[bytes],
        connected: Callable[[], object],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        @param scripts: What every connection loads.
        @param connected: Called when there is a new connection.
        @param chance: Gives numbers of 0 to 1.
        """
        self.connection: Connection | None = None
        # One call less for each command than a method that looks for a connection.
        self.tell: Callable[..., None] = self._notSent
        self.promises: Promises | None = None
        self._settings = settings
        self._endpoint = endpoint
        self._reactor = reactor
        self._scripts = tuple(scripts)
        self._connected = connected
        self._chance = chance
        self._fault = "is not connected yet"
        self._told = ""
        self._attempts = 0
        self._running = False
        self._retry: IDelayedCall | None = None
        self._attempt: Deferred[None] | None = None
        self._all: set[Connection] = set()
        self._first: Deferred[None] | None = None
        self._gone: Deferred[None] | None = None

    def start(self) -> Deferred[None]:
        """
        Connect, and stay so.

        @return: Fires with the first connection; fails if the first attempt does.
        """
        self._running = True
        first: Deferred[None] = Deferred()
        self._first = first
        self._try()
        return first

    def stop(self) -> Deferred[None]:
        """
        Disconnect, and stay so.

        @return: Fires when the connection is gone.
        """
        self._running = False
        self._fault = "has been closed"
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._attempt is not None:
            self._attempt.cancel()
        for connection in list(self._all):
            connection.drop("has been closed")
        if not self._all:
            return succeed(None)
        self._gone = self._gone or Deferred()
        return self._gone

    def send(self, command: bytes) -> Deferred[Any]:
        """
        Send a command: see L{Connection.send}.
        """
        return deferredOf(self.tell, command)

    def _notSent(self, told: Told, *_: object) -> None:
        """
        Stand in for L{Connection.tell} while there is no connection.
        """
        told.errback(
            StoreUnavailable(f"the session store {self._settings.where} {self._fault}")
        )

    def _try(self) -> None:
        """
        Try to connect.
        """
        self._retry = None
        self._attempt = attempt = Deferred.fromCoroutine(self._connect())
        _ = attempt.addCallbacks(self._succeeded, self._failed)

    async def _connect(self) -> None:
        """
        Connect and greet, within a bound.
        """
        settings, reactor = self._settings, self._reactor
        explain = explainerOf(self._endpoint)

        def make() -> Connection:
            return Connection(
                reactor,
                settings.where,
                settings.deadline,
                settings.maxQueue,
                _redis_resp.makeReader,
                explain,
            )

        factory = Factory.forProtocol(make)
        factory.noisy = False
        bound = GREETING * settings.deadline
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        connection: Connection = await connecting.addTimeout(bound, reactor)
        if settings.tls:
            connection.hint = "; perhaps it does not speak TLS on this port"
        self._all.add(connection)
        connection.whenLost(lambda: self._lost(connection))
        try:
            greeting = Deferred.fromCoroutine(
                greet(connection, settings, self._scripts)
            )
            self.promises = await greeting.addTimeout(bound, reactor)
        except BaseException:
            connection.drop("is not fit for sessions")
            raise
        if connection.reason:
            raise StoreUnavailable(
                f"the session store {settings.where} {connection.reason}"
            )
        self.connection, self.tell = connection, connection.tell

    def _succeeded(self, _: None) -> None:
        """
        There is a connection.
        """
        self._attempt = None
        self._attempts = 0
        if self._told:
            _log.info("connected to {where} again", where=self._settings.where)
            self._told = ""
        assert self.promises is not None
        self.promises.warn(self._settings.where)
        self._connected()
        if self._first is not None:
            first, self._first = self._first, None
            first.callback(None)

    def _failed(self, failure: Failure) -> None:
        """
        There is none.
        """
        self._attempt = None
        error = self._explained(failure)
        if self._first is not None:
            first, self._first = self._first, None
            first.errback(error)
            return
        self._again(str(error))

    def _explained(self, failure: Failure) -> StoreUnavailable:
        """
        Say why there is no connection.
        """
        error = failure.value
        if isinstance(error, StoreUnavailable):
            return error
        late = failure.check(CancelledError, defer.TimeoutError)
        why = "it takes too long" if late else str(error)
        why = why.strip() or type(error).__name__
        return StoreUnavailable(
            f"the session store {self._settings.where} cannot be reached: {why}"
        )

    def _lost(self, connection: Connection) -> None:
        """
        A connection is gone.
        """
        self._all.discard(connection)
        if self.connection is connection:
            self.connection, self.tell = None, self._notSent
            self._again(f"the session store {self._settings.where} {connection.reason}")
        if not self._all and self._gone is not None:
            gone, self._gone = self._gone, None
            gone.callback(None)

    def _again(self, why: str) -> None:
        """
        Try again in a while.
        """
        if not self._running:
            return
        prefix = f"the session store {self._settings.where} "
        short = f"it {why[len(prefix) :]}" if why.startswith(prefix) else why
        self._fault = f"is not connected: {short}"
        if self._told != why:
            _log.error(
                "{why}; pages with sessions answer 503, connecting again until it "
                "succeeds",
                why=why,
            )
            self._told = why
        longest = min(FIRST_DELAY * GROWTH**self._attempts, LAST_DELAY)
        self._attempts = min(self._attempts + 1, 20)
        delay = longest * (0.5 + self._chance() / 2)
        self._retry = self._reactor.callLater(delay, self._try)


__all__ = ["FIRST_DELAY", "GREETING", "GROWTH", "LAST_DELAY", "Client"]
