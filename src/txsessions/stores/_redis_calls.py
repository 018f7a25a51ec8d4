"""
Calls to a Redis server, with what is done about its errors.

Owns one opening of the store: its client, its clock and its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from txsessions.core.forks import FORKS
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
from txsessions.stores._redis_keys import Keys
from txsessions.stores._redis_resp import ReplyError, pack

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

    @ivar fork: How many forks lay before it was made: see L{FORKS<txsessions.core.forks.FORKS>}.
    @ivar clock: The server's.  A call that brings a time can simply be made where it comes
        before that at which this has to be looked at: nothing is measured before it is open.
    @ivar where: The server, for messages.
    @ivar deadline: After how many seconds a call fails.
    @ivar replicas: How many have to have a write.
    """

    def __init__(
        self, settings: Settings, reactor: Any, connected: Callable[[], object]
    ) -> None:
        """
        Nothing is connected yet.

        @param connected: Called when there is a new connection.
        """
        self.fork = FORKS.count
        self.keys = Keys(settings.prefix)
        self.seconds: Callable[[], float] = reactor.seconds
        self.where = settings.where
        self.replicas = settings.wait
        self._tellConnected = connected
        self.deadline = settings.deadline
        self.client = Client(
            settings,
            endpointOf(settings, reactor),
            reactor,
            [script.text for script in _SCRIPTS],
            self._connected,
        )
        self.clock = ServerClock(self._send, self.seconds, settings.maxQueue)

    def _send(self, command: bytes) -> Deferred[Any]:
        """
        Send a command by the connection of that moment.
        """
        return self.client.send(command)

    def call(self, *arguments: bytes) -> Deferred[Any]:
        """
        Send a command.

        @return: Its reply; fails with C{StoreUnavailable}, or with C{ReplyError}
            if what is stored there is no session.
        """
        return self.client.send(pack(arguments)).addErrback(self._refused)

    def script(
        self, script: Script, *arguments: bytes, keys: Sequence[bytes]
    ) -> Deferred[Any]:
        """
        Run a script: see L{call}.  A server that has forgotten it, after a restart
        or SCRIPT FLUSH, gets it in full; once.
        """
        command = script.command(keys, arguments)
        return self.client.send(command).addErrback(self._failed, script, command)

    def resume(self, reply: Any, script: Script, command: bytes) -> Deferred[Any]:
        """
        Do what L{script} does from there on where a reply has come.  The hot path
        sends by itself, and comes here with a reply that is not the usual one.

        @param reply: What was said to the command; an error is one too.
        """
        said: Deferred[Any]
        said = fail(reply) if isinstance(reply, ReplyError) else succeed(reply)
        return said.addErrback(self._failed, script, command)

    def _failed(
        self, failure: Failure, script: Script, command: bytes
    ) -> Deferred[Any] | Failure:
        """
        A script failed, perhaps because it was forgotten.
        """
        error = failure.value
        if isinstance(error, ReplyError) and verdictOn(error) is Verdict.LOAD_SCRIPT:
            return self.client.send(script.inFull(command)).addErrback(self._refused)
        return self._refused(failure)

    def write(
        self, script: Script, *arguments: bytes, keys: Sequence[bytes]
    ) -> Deferred[Any]:
        """
        Run a script that changes something, and wait for the replicas that have
        to have it.
        """
        done = self.script(script, *arguments, keys=keys)
        return done.addCallback(self.written) if self.replicas else done

    def written(self, reply: object) -> Any:
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

    def _refused(self, failure: Failure) -> Failure:
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
        if not self.replicas:
            return reply
        waited = self.call(
            b"WAIT", b"%d" % self.replicas, b"%d" % (self.deadline * 500)
        )

        def enough(count: int) -> object:
            if count < self.replicas:
                raise StoreUnavailable(
                    f"only {count} replicas of the session store {self.where} have "
                    f"this write, and {self.replicas} must (wait={self.replicas})"
                )
            return reply

        return waited.addCallback(enough)


def odd(failure: Failure, calls: Calls) -> Failure:
    """
    Something that is none of ours has taken a key of the deadlines.
    """
    if failure.check(ReplyError):
        return Failure(
            StoreUnavailable(
                f"a key of the session store {calls.where} holds something "
                "else: see who else writes keys of its prefix"
            )
        )
    return failure


__all__ = ["Calls", "odd"]
