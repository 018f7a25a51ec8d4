"""
Sessions in a Redis or Valkey server, shared by many machines.

Owns the store's face: what L{ISessionStore} promises, put together from its parts.
Works with Redis 6.2 and Valkey 7.2, and later.  Every verb is one round trip of one
script (L{txsessions.stores._redis_scripts}), over one connection (L{txsessions.stores._redis_connection}) that is made again when it breaks
(L{txsessions.stores._redis_client}).  While it is broken every call fails at once.

The server's clock is the one that counts: see L{txsessions.stores._redis_clock}.

What an acknowledged write survives is up to the server's settings, which
L{RedisStore.durability} tells: only C{appendonly yes} with C{appendfsync always} keeps
all.  After a failover the new primary may lack the last writes of the old one;
C{wait=1} makes that unlikely, for then a write is acknowledged only when a
replica has it.  The server must not evict: C{maxmemory-policy noeviction}.

A user of the server's ACL needs, on keys C{{PREFIX:*}} with the braces and for what
the scripts do::

    +hello +auth +select +ping +role +client|setname +script|load +time +eval +evalsha
    +getrange +setrange +strlen +exists +set +del +pexpireat +pttl +wait
    +scan +zadd +zrem +zscore +zcount +zrange +zrangebyscore +zrangebylex
    +info +config|get

It may be denied the last line; then the server's promises are unknown; C{+scan}, if
nobody calls L{RedisStore.verifyIndex}; and C{+zrange}, if nobody calls
L{RedisStore.endEverybody}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from txsessions.core.forks import Forks
from txsessions.core.record import Answer, Record, SignInLimit
from txsessions.errors import StoreUnavailable
from txsessions.interfaces import ROTATION_MARKER, IReconnectingStore, ISessionStore
from txsessions.stores import (
    _redis_anonymous,
    _redis_endpoints,
    _redis_loading,
    _redis_principals,
    _redis_sweeping,
    _redis_verbs,
)
from txsessions.stores._reactor import globalReactor
from txsessions.stores._reconnecting import Reconnecting
from txsessions.stores._redis_address import Settings, readAddress
from txsessions.stores._redis_calls import Calls, odd
from txsessions.stores._redis_greeting import Promises


@implementer(ISessionStore, IReconnectingStore)
class RedisStore(Reconnecting):
    """
    A session store in a Redis or Valkey server.

    @ivar address: See L{ISessionStore.address}; without user and password.
    """

    def __init__(self, settings: Settings, reactor: Any = None) -> None:
        """
        Nothing is connected yet, so a store may be made before a fork.

        @param settings: See L{fromAddress}.
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
        See L{ISessionStore.durability}: what the server said when it was last
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
        See L{ISessionStore.open}.  Fails if the first attempt to connect does, and
        leaves nothing behind then; once it has succeeded, a connection that breaks
        is made again until L{close}.
        """
        calls = self._calls
        if calls is not None and calls.fork != Forks.count:
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
        See L{ISessionStore.close}.
        """
        if self._closing is not None:
            return self._afterClosing()
        calls, self._calls = self._calls, None
        if calls is None or calls.fork != Forks.count:
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
        See L{ISessionStore.changes}: only L{load} can tell.
        """
        return None

    def insert(
        self, record: Record, now: float, limit: SignInLimit | None = None
    ) -> Deferred[None]:
        """
        See L{ISessionStore.insert}.  With a limit the script is over all shards, which
        no cluster would run.
        """
        return self._run(now, _redis_verbs.insert, record, now, limit)

    def load(
        self, key: bytes, now: float, known: int | None = None
    ) -> Deferred[Record | Answer | None]:
        """
        See L{ISessionStore.load}.
        """
        calls = self._calls
        if calls is None or calls.mustLook():
            return self._run(now, _redis_loading.load, key, now, known)
        return _redis_loading.load(calls, key, now, known)

    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.replace}.
        """
        calls = self._calls
        if calls is None or calls.mustLook():
            return self._run(now, _redis_verbs.replace, record, expected, now)
        return _redis_verbs.replace(calls, record, expected, now)

    def touch(
        self, key: bytes, touchedAt: float, expiresAt: float, now: float
    ) -> Deferred[None]:
        """
        See L{ISessionStore.touch}.
        """
        return self._run(now, _redis_verbs.touch, key, touchedAt, expiresAt, now)

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
        See L{ISessionStore.rename}.  One script over the shards of both keys, which
        no cluster would run: for that a new uid would have to be drawn again until
        its key falls into the shard of the old one.
        """
        args = (oldKey, record, expected, now, limit, marks)
        return self._run(now, _redis_verbs.rename, *args)

    def follow(self, key: bytes, now: float) -> Deferred[Record | Answer | None]:
        """
        See L{ISessionStore.follow}.
        """
        return self._run(now, _redis_loading.follow, key, now)

    def delete(self, key: bytes, now: float | None = None) -> Deferred[bool]:
        """
        See L{ISessionStore.delete}.
        """
        return self._run(now, _redis_verbs.delete, key, now)

    def claimExpired(
        self, now: float, limit: int, lease: float
    ) -> Deferred[list[Record]]:
        """
        See L{ISessionStore.claimExpired}.  In slices, each within the deadline.
        """
        return self._run(now, self._walk, _redis_sweeping.claim, now, limit, lease)

    def acknowledge(self, keys: Sequence[bytes]) -> Deferred[None]:
        """
        See L{ISessionStore.acknowledge}.
        """
        return self._run(None, self._walk, _redis_sweeping.acknowledge, tuple(keys))

    def countSessions(self, now: float) -> Deferred[int]:
        """
        See L{ISessionStore.countSessions}.  What was claimed is not counted.
        """
        return self._run(now, self._walk, _redis_sweeping.count, now)

    def scan(
        self, cursor: bytes | None, limit: int
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        See L{ISessionStore.scan}, and L{txsessions.stores._redis_sweeping.PAGE}.
        """
        return self._run(None, self._walk, _redis_sweeping.page, cursor, limit)

    def sessionsOf(
        self,
        principal: bytes,
        now: float,
        cursor: bytes | None = None,
        limit: int = 100,
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        See L{ISessionStore.sessionsOf}, and L{scan} for how long a page is.
        """
        return self._run(
            now, self._walk, _redis_principals.page, principal, now, cursor, limit
        )

    def endPrincipal(
        self, principal: bytes, now: float, but: bytes | None = None
    ) -> Deferred[int]:
        """
        See L{ISessionStore.endPrincipal}.  One script, so that all have ended or none
        has; where its answer is lost, which of the two is unknown, and it may be called
        again.
        """
        return self._run(now, _redis_principals.endAll, principal, now, but)

    def endEverybody(self, prefix: bytes) -> Deferred[None]:
        """
        See L{ISessionStore.endEverybody}, and L{endPrincipal}.
        """
        return self._run(None, _redis_principals.endEverybody, prefix)

    def endSession(self, principal: bytes, handle: bytes, now: float) -> Deferred[bool]:
        """
        See L{ISessionStore.endSession}.
        """
        return self._run(now, _redis_principals.endOne, principal, handle, now)

    def erasePrincipal(self, principal: bytes) -> Deferred[int]:
        """
        See L{ISessionStore.erasePrincipal}.
        """
        return self._run(None, _redis_principals.erase, principal)

    def evictAnonymous(
        self, most: int, now: float, limit: int
    ) -> Deferred[tuple[list[Record], bool]]:
        """
        See L{ISessionStore.evictAnonymous}.  What an earlier version wrote counts from
        its next change on.
        """
        return self._run(now, _redis_anonymous.evict, most, now, limit)

    def verifyIndex(
        self, cursor: bytes | None = None, limit: int = 500
    ) -> Deferred[tuple[int, bytes | None]]:
        """
        See L{ISessionStore.verifyIndex}.  It walks over all keys of the database.
        """
        return self._run(None, self._walk, _redis_principals.verify, cursor, limit)

    def _run(
        self, now: float | None, call: Callable[..., Deferred[Any]], *args: Any
    ) -> Deferred[Any]:
        """
        Make a call, once the server's clock is known.

        @param now: The caller's clock, if it told.
        @param call: Gets the opening, then the arguments.
        """
        calls = self._calls
        if calls is None or not self._isOpen or calls.fork != Forks.count:
            return fail(self._notOpen())
        if calls.clock.mustWait(now):
            return calls.clock.hold(lambda: call(calls, *args))
        return call(calls, *args)

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
        if self._calls is not None and self._calls.fork != Forks.count:
            return StoreUnavailable(
                f"the session store {self.address} was opened before this process "
                "was forked: open stores after the fork"
            )
        return StoreUnavailable(
            f"the session store {self.address} is not open: call open() first"
        )


def fromAddress(
    address: str, reactor: Any, options: Mapping[str, object]
) -> RedisStore:
    """
    Make the store that an address names.

    @param address: C{redis://[user:password@]host[:port]/[database]}, C{rediss://}
        for TLS, C{redis+unix:///path?db=0} or
        C{redis+sentinel://host:port,host:port/service/[database]}, and
        C{rediss+sentinel://} for TLS to the sentinels and to the primary.
    @param options: Those that may stand in the address too: C{deadline},
        C{prefix}, C{wait}, C{maxQueue}, C{cafile}, C{certfile}, C{keyfile},
        C{sentinelUser}, C{sentinelPassword}.
    @raise AddressError: It cannot be read.
    @raise ConfigurationError: TLS cannot be had, or its files cannot be read.
    """
    settings = readAddress(address, options)
    _redis_endpoints.check(settings)
    return RedisStore(settings, reactor)


__all__ = ["RedisStore", "fromAddress"]
