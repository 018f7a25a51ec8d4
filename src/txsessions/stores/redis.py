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

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from txsessions.core.forks import FORKS
from txsessions.core.record import Answer, Record, SignInLimit
from txsessions.core.telling import Told, shortBy
from txsessions.interfaces import ROTATION_MARKER, IReconnectingStore, ISessionStore
from txsessions.stores import (
    _redis_anonymous,
    _redis_endpoints,
    _redis_loading,
    _redis_principals,
    _redis_sweeping,
    _redis_verbs,
)
from txsessions.stores._redis_address import readAddress
from txsessions.stores._redis_opening import Opening
from txsessions.stores._telling import deferredOf


@implementer(ISessionStore, IReconnectingStore)
class RedisStore(Opening):
    """
    A session store in a Redis or Valkey server.
    """

    def insert(
        self, record: Record, now: float, limit: SignInLimit | None = None
    ) -> Deferred[None]:
        """
        See L{ISessionStore.insert}.  With a limit the script is over all shards, which
        no cluster would run.
        """
        return self._run(now, _redis_verbs.insert, record, now, limit)

    def _load(
        self, told: Told, key: bytes, now: float, known: int | None = None
    ) -> None:
        """
        See L{load}.
        """
        calls = self._calls
        if calls is None or calls.fork != FORKS.count or calls.clock.lookAt <= now:
            self._runTelling(told, now, _redis_loading.load, key, now, known)
        else:
            _redis_loading.load(told, calls, key, now, known)

    @shortBy(_load)
    def load(
        self, key: bytes, now: float, known: int | None = None
    ) -> Deferred[Record | Answer | None]:
        """
        See L{ISessionStore.load}.
        """
        return deferredOf(self._load, key, now, known)

    def _replace(self, told: Told, record: Record, expected: int, now: float) -> None:
        """
        See L{replace}.
        """
        calls = self._calls
        if calls is None or calls.fork != FORKS.count or calls.clock.lookAt <= now:
            verb = _redis_verbs.replace
            self._runTelling(told, now, verb, record, expected, now)
        else:
            _redis_verbs.replace(told, calls, record, expected, now)

    @shortBy(_replace)
    def replace(self, record: Record, expected: int, now: float) -> Deferred[None]:
        """
        See L{ISessionStore.replace}.
        """
        return deferredOf(self._replace, record, expected, now)

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
