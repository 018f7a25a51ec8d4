"""
Anonymous sessions that are too many, in a Redis server.

Owns the script by which they go, and its call.  Each shard has a set of its anonymous
sessions by their deadline, which each script that makes, changes or removes one keeps
(L{txsessions.stores._redis_functions}).  What the server dropped by itself may still be
named there until it is met.  The script is over all shards, which no cluster would run:
there each would have to keep to its share.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txsessions.core.record import Record
from txsessions.stores._redis_calls import Calls, odd
from txsessions.stores._redis_evicting import EVICT
from txsessions.stores._redis_rows import packTime
from txsessions.stores._redis_sweeping import ROOM, readable

MOST = 256
"""How many sessions one script deletes."""


def evict(
    calls: Calls, most: int, now: float, limit: int
) -> Deferred[tuple[list[Record], bool]]:
    """
    See L{txsessions.interfaces.ISessionStore.evictAnonymous}.
    """
    done = calls.script(
        EVICT,
        packTime(now + calls.clock.offset),
        *(b"%d" % number for number in (most, min(limit, MOST), ROOM)),
        keys=calls.keys.anonymous,
    )

    def read(reply: Any) -> tuple[list[Record], bool]:
        return readable(calls, reply[1:]), bool(reply[0])

    return done.addCallback(calls.replicated).addCallbacks(
        read, odd, errbackArgs=(calls,)
    )


__all__ = ["MOST", "evict"]
