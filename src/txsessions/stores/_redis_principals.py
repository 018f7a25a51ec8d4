"""
The verbs of a Redis server that are about all sessions of one principal.

Owns what is sent for each, and the paging.  What happens inside of the server is in
L{txsessions.stores._redis_principal_scripts}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from txsessions.core.record import Record
from txsessions.stores import _redis_principal_scripts as _scripts
from txsessions.stores._redis_calls import Calls, odd
from txsessions.stores._redis_functions import DONE, Script
from txsessions.stores._redis_keys import SHARDS
from txsessions.stores._redis_rows import packTime
from txsessions.stores._redis_sweeping import PAGE, ROOM, SLICE, readable, together

_SIZE = 16
"""How many bytes a handle has."""


def endAll(
    calls: Calls, principal: bytes, now: float, but: bytes | None
) -> Deferred[int]:
    """
    See L{txsessions.interfaces.ISessionStore.endPrincipal}.
    """
    spared = () if but is None else (but,)
    at = packTime(now + calls.clock.offset)
    return _change(calls, _scripts.END_ALL, principal, at, *spared)


def endEverybody(calls: Calls, prefix: bytes) -> Deferred[None]:
    """
    See L{txsessions.interfaces.ISessionStore.endEverybody}.
    """
    done = calls.script(_scripts.END_EVERYBODY, keys=calls.keys.epochs(prefix))
    return done.addCallbacks(_replicated, odd, (calls,), errbackArgs=(calls,))


def endOne(calls: Calls, principal: bytes, handle: bytes, now: float) -> Deferred[bool]:
    """
    See L{txsessions.interfaces.ISessionStore.endSession}.
    """
    if len(handle) != _SIZE:
        return succeed(False)
    done = _change(
        calls,
        _scripts.END_ONE,
        principal,
        packTime(now + calls.clock.offset),
        b"[" + handle,
        _behind(handle, b"("),
    )
    return done.addCallback(lambda reply: bool(reply == DONE))


def erase(calls: Calls, principal: bytes) -> Deferred[int]:
    """
    See L{txsessions.interfaces.ISessionStore.erasePrincipal}.
    """
    return _change(calls, _scripts.ERASE, principal)


def _change(
    calls: Calls, script: Script, principal: bytes, *arguments: bytes
) -> Deferred[Any]:
    """
    Run a script over all shards, and wait for the replicas whatever it says: it may
    have raised an epoch that nobody lives under.
    """
    done = calls.script(script, *arguments, keys=calls.keys.principals(principal))
    return done.addCallbacks(calls.replicated, odd, errbackArgs=(calls,))


def _replicated(_: object, calls: Calls) -> Any:
    """
    Wait for the replicas.
    """
    return calls.replicated(None)


async def page(
    calls: Calls, principal: bytes, now: float, cursor: bytes | None, limit: int
) -> tuple[list[Record], bytes | None]:
    """
    See L{txsessions.interfaces.ISessionStore.sessionsOf}.  A cursor is the last handle
    that was looked at.
    """
    size = max(1, min(limit, PAGE))
    at = packTime(now + calls.clock.offset)
    keys = calls.keys.principals(principal)
    found: list[Record] = []
    while len(found) < size:
        start = b"-" if cursor is None else _behind(cursor, b"[")
        most = b"%d" % (size - len(found))
        room = b"%d" % ROOM
        reply = await calls.script(_scripts.LIST, at, start, most, room, keys=keys)
        found += readable(calls, reply[1:])
        cursor = reply[0] or None
        if cursor is None:
            break
    return found, cursor


def _behind(handle: bytes, edge: bytes) -> bytes:
    """
    The end of the range of a handle's entries, or the beginning of what follows.

    @param edge: How it is to be taken: C{(} or C{[}.
    """
    following = int.from_bytes(handle, "big") + 1
    if following >> 8 * _SIZE:
        return b"+"
    return edge + following.to_bytes(_SIZE, "big")


async def verify(
    calls: Calls, cursor: bytes | None, limit: int
) -> tuple[int, bytes | None]:
    """
    See L{txsessions.interfaces.ISessionStore.verifyIndex}.  First the records, shard by
    shard, then the indexes, which only a walk over all keys of the database finds: it
    may meet one twice.  A cursor is the shard and the last name, or where the walk is.
    """
    if cursor is not None and cursor[0] == SHARDS:
        return await _walk(calls, cursor[1:], limit)
    size = max(1, min(limit, SLICE))
    shard, start = (cursor[0], b"(" + cursor[1:]) if cursor else (0, b"-")
    names: list[bytes] = await calls.call(
        b"ZRANGEBYLEX",
        calls.keys.index[shard],
        start,
        b"+",
        b"LIMIT",
        b"0",
        b"%d" % size,
    )
    keys = [calls.keys.record(name) for name in names]
    wrong = await calls.script(_scripts.LISTED, *names, keys=keys) if names else 0
    if len(names) == size:
        return wrong, bytes([shard]) + names[-1]
    if shard + 1 == SHARDS:
        return wrong, bytes([SHARDS]) + b"0"
    return wrong, bytes([shard + 1])


async def _walk(calls: Calls, at: bytes, limit: int) -> tuple[int, bytes | None]:
    """
    Look at some of the indexes.
    """
    pattern = calls.keys.patternOfPrincipals
    count = b"%d" % max(1, limit)
    following, keys = await calls.call(b"SCAN", at, b"MATCH", pattern, b"COUNT", count)
    wrong = await together([calls.script(_scripts.THERE, keys=[key]) for key in keys])
    return sum(wrong), None if following == b"0" else bytes([SHARDS]) + following


__all__ = ["endAll", "endEverybody", "endOne", "erase", "page", "verify"]
