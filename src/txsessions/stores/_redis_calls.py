"""
Calls to a Redis server, with what is done about its errors.

Owns one opening of the store: its client, its clock and its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.core.forks import Forks
from txsessions.errors import StoreUnavailable
from txsessions.stores import (
    _redis_evicting,
    _redis_principal_scripts,
    _redis_scripts,
)
from txsessions.stores._redis_client import Client
from txsessions.stores._redis_clock import ServerClock
from txsessions.stores._redis_endpoints import endpointOf
from txsessions.stores._redis_errors import Verdict, adviceOn, storeError, verdictOn
from txsessions.stores._redis_functions import DONE, Script
from txsessions.stores._redis_resp import ReplyError, pack
from txsessions.stores._redis_rows import Keys

if TYPE_CHECKING:
    from txsessions.stores._redis_address import Settings

_SCRIPTS = (
    *_redis_scripts.ALL,
    *_redis_principal_scripts.ALL,
    *_redis_evicting.ALL,
)


class Calls:
    """
    One opening.

    @ivar fork: How many forks lay before it was made: see L{Forks}.
    @ivar where: The server, for messages.
    """

    def __init__(
        self, settings: Settings, reactor: Any, connected: Callable[[], object]
    ) -> None:
        """
        Nothing is connected yet.

        @param connected: Called when there is a new connection.
        """
        self.fork = Forks.count
        self.keys = Keys(settings.prefix)
        self.seconds: Callable[[], float] = reactor.seconds
        self.where = settings.where
        self._replicas = settings.wait
        self._tellConnected = connected
        self._patience = int(settings.deadline * 500)
        self.client = Client(
            settings,
            endpointOf(settings, reactor),
            reactor,
            [script.text for script in _SCRIPTS],
            self._connected,
        )
        self.clock = ServerClock(self.client.send, self.seconds, settings.maxQueue)

    def call(self, *arguments: bytes) -> Deferred[Any]:
        """
        Send a command.

        @return: Its reply; fails with C{StoreUnavailable}, or with C{ReplyError}
            if what is stored there is no session.
        """
        return self.client.send(pack(arguments)).addErrback(self.refused)

    def script(
        self, script: Script, *arguments: bytes, keys: Sequence[bytes]
    ) -> Deferred[Any]:
        """
        Run a script: see L{call}.  A server that has forgotten it, after a restart
        or SCRIPT FLUSH, gets it in full; once.
        """
        rest = (b"%d" % len(keys), *keys, *arguments)
        return self.run(script, rest).addErrback(self.failed, script, rest)

    def run(self, script: Script, rest: tuple[bytes, ...]) -> Deferred[Any]:
        """
        Do what L{script} does, for the hot path, which has something to do itself
        with what fails: first of all L{failed}.

        @param rest: How many keys there are, they, and the arguments.
        """
        return self.client.send(pack((b"EVALSHA", script.name, *rest)))

    def failed(
        self, failure: Failure, script: Script, rest: tuple[bytes, ...]
    ) -> Deferred[Any] | Failure:
        """
        A script failed, perhaps because it was forgotten.
        """
        error = failure.value
        if isinstance(error, ReplyError) and verdictOn(error) is Verdict.LOAD_SCRIPT:
            sent = self.client.send(pack((b"EVAL", script.text, *rest)))
            return sent.addErrback(self.refused)
        return self.refused(failure)

    def write(
        self, script: Script, *arguments: bytes, keys: Sequence[bytes]
    ) -> Deferred[Any]:
        """
        Run a script that changes something, and wait for the replicas that have
        to have it.
        """
        done = self.script(script, *arguments, keys=keys)
        return done.addCallback(self._written) if self._replicas else done

    def _written(self, reply: object) -> Any:
        """
        Wait for the replicas, if anything was changed.
        """
        return self.replicated(reply) if reply == DONE else reply

    def _connected(self) -> None:
        """
        There is a connection, perhaps to another server.
        """
        self.clock.connected()
        self._tellConnected()

    def refused(self, failure: Failure) -> Failure:
        """
        Say of an error what it means, and drop the connection if it is of no use.
        """
        error = failure.value
        if not isinstance(error, ReplyError):
            return failure
        verdict = verdictOn(error)
        if verdict is Verdict.DAMAGED:
            return failure
        if verdict is Verdict.RECONNECT and self.client.connection is not None:
            self.client.connection.drop(f"is of no use now: {adviceOn(error)}")
        return Failure(storeError(error, self.where))

    def replicated(self, reply: object) -> Any:
        """
        Wait for the replicas that have to have it, if any.

        @return: The reply.
        """
        if not self._replicas:
            return reply
        waited = self.call(b"WAIT", b"%d" % self._replicas, b"%d" % self._patience)

        def enough(count: int) -> object:
            if count < self._replicas:
                raise StoreUnavailable(
                    f"only {count} replicas of the session store {self.where} have "
                    f"this write, and {self._replicas} must (wait={self._replicas})"
                )
            return reply

        return waited.addCallback(enough)


__all__ = ["Calls"]
