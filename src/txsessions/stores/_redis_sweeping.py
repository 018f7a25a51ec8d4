"""
All sessions of a Redis server: sweeping, counting and paging.

Owns the walk over the shards.  What may be long goes in slices, each a script of
bounded work, so that nobody else waits long; no key is found by a pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults

from txsessions.core.record import Record
from txsessions.stores import _redis_principal_scripts, _redis_scripts
from txsessions.stores._redis_calls import Calls
from txsessions.stores._redis_keys import SHARDS, shardOf
from txsessions.stores._redis_resp import ReplyError
from txsessions.stores._redis_rows import LIMIT, Damaged, decode, packTime, reportDamage

SLICE = 64
"""How many records one script looks at."""

ROOM = 1 << 20
"""How many bytes of records one script hands out, and one more record."""

PAGE = 100
"""How many records one page of a scan holds at most."""


async def claim(calls: Calls, now: float, limit: int, lease: float) -> list[Record]:
    """
    See L{txsessions.interfaces.ISessionStore.claimExpired}.  Where half of the
    deadline has gone by, what was claimed so far is handed out.
    """
    claimed: list[Record] = []
    began = calls.seconds()
    at = now + calls.clock.offset
    until = at + max(lease, 0.001)
    while len(claimed) < limit and calls.seconds() - began <= calls.deadline / 2:
        due = await _due(calls, at, min(limit - len(claimed), SLICE))
        if not due:
            break
        slices, room = [], limit - len(claimed)
        for shard, names in due:
            if room > 0:
                part = names[:room]
                room -= len(part)
                slices.append(_claimSlice(calls, shard, part, at, until))
        for found in await together(slices):
            claimed += readable(calls, found)
    return claimed


async def _due(calls: Calls, at: float, limit: int) -> list[tuple[int, list[bytes]]]:
    """
    Ask every shard what is due.
    """
    bounds = (b"-inf", b"%.17g" % at, b"LIMIT", b"0", b"%d" % limit)
    names = [*calls.keys.due, *calls.keys.claims]
    found = await together([calls.call(b"ZRANGEBYSCORE", n, *bounds) for n in names])
    return [(i % SHARDS, some[:limit]) for i, some in enumerate(found) if some]


def _claimSlice(
    calls: Calls, shard: int, names: Sequence[bytes], at: float, until: float
) -> Deferred[Any]:
    """
    Claim some records of a shard.
    """
    keys = calls.keys
    return calls.write(
        _redis_scripts.CLAIM,
        packTime(at),
        packTime(until),
        b"%d" % ROOM,
        *names,
        keys=[
            keys.due[shard],
            keys.claims[shard],
            keys.index[shard],
            *(keys.record(name) for name in names),
        ],
    )


def readable(calls: Calls, found: Sequence[bytes]) -> list[Record]:
    """
    Read what was claimed.  What cannot be read is told, and never claimed again.
    """
    records = []
    for name, text in zip(found[::2], found[1::2], strict=True):
        try:
            record = decode(name, text, calls.clock.offset, None)
        except Damaged:
            reportDamage(name)
            parked = calls.call(b"ZREM", calls.keys.claims[shardOf(name)], name)
            _ = parked.addErrback(lambda _: None)
        else:
            if isinstance(record, Record):
                records.append(record)
    return records


async def acknowledge(calls: Calls, keys: Sequence[bytes]) -> None:
    """
    See L{txsessions.interfaces.ISessionStore.acknowledge}.
    """
    shards: dict[int, list[bytes]] = {}
    for key in keys:
        shards.setdefault(shardOf(key), []).append(key)
    slices = []
    for shard, names in shards.items():
        for start in range(0, len(names), SLICE):
            part = names[start : start + SLICE]
            slices.append(
                calls.write(
                    _redis_scripts.ACKNOWLEDGE,
                    b"",
                    b"",
                    *part,
                    keys=[
                        calls.keys.claims[shard],
                        calls.keys.index[shard],
                        *(calls.keys.record(name) for name in part),
                    ],
                )
            )
    await together(slices)


async def count(calls: Calls, now: float) -> int:
    """
    See L{txsessions.interfaces.ISessionStore.countSessions}.  Where there may be ended
    ones among the due, all of a shard are looked at.
    """
    at = now + calls.clock.offset
    after = b"(%.17g" % at
    counts = [calls.call(b"ZCOUNT", name, after, b"+inf") for name in calls.keys.due]
    # Behind the counts: what ends between the two is not overlooked.
    ended = [calls.call(b"EXISTS", name) for name in calls.keys.ended]
    found: list[int] = await together([*counts, *ended])
    total, looks = 0, []
    for shard, index in enumerate(calls.keys.index):
        if found[SHARDS + shard]:
            looks.append(Deferred.fromCoroutine(_living(calls, index, at)))
        else:
            total += found[shard]
    living: list[int] = await together(looks)
    return total + sum(living)


async def _living(calls: Calls, index: bytes, at: float) -> int:
    """
    Count those of a shard who are alive.
    """
    script, alive, start = _redis_principal_scripts.COUNT, 0, b"-"
    while True:
        reply = await calls.script(script, packTime(at), start, keys=[index])
        alive += int(reply[0])
        if not reply[1]:
            return alive
        start = b"(" + reply[1]


async def page(
    calls: Calls, cursor: bytes | None, limit: int
) -> tuple[list[Record], bytes | None]:
    """
    See L{txsessions.interfaces.ISessionStore.scan}.  Shard by shard, in the order
    of the keys; a cursor is the shard and the last key.
    """
    size = max(1, min(limit, PAGE))
    shard, start = (cursor[0], b"(" + cursor[1:]) if cursor else (0, b"-")
    names: list[bytes] = []
    while shard < SHARDS:
        found: list[bytes] = await calls.call(
            b"ZRANGEBYLEX",
            calls.keys.index[shard],
            start,
            b"+",
            b"LIMIT",
            b"0",
            b"%d" % (size - len(names)),
        )
        names += found
        if len(names) == size:
            break
        shard, start = shard + 1, b"-"
    texts = await together([_read(calls, name) for name in names])
    following = bytes([shard]) + names[-1] if len(names) == size else None
    pairs = [
        part for pair in zip(names, texts, strict=True) for part in pair if pair[1]
    ]
    return readable(calls, pairs), following


def _read(calls: Calls, name: bytes) -> Deferred[bytes]:
    """
    Read one record of a page, whatever is there.
    """
    sent = calls.call(b"GETRANGE", calls.keys.record(name), b"0", b"%d" % LIMIT)

    def damaged(failure: Any) -> bytes:
        failure.trap(ReplyError)
        return b"?"

    return sent.addErrback(damaged)


async def together(waited: Sequence[Deferred[Any]]) -> list[Any]:
    """
    Wait for all of these; fails as the first one does that fails.
    """
    gathered: Deferred[list[Any]] = gatherResults(waited, consumeErrors=True)
    try:
        return await gathered
    except FirstError as error:
        raise error.subFailure.value from None  # type: ignore[misc]  # it has one


__all__ = [
    "PAGE",
    "ROOM",
    "SLICE",
    "acknowledge",
    "claim",
    "count",
    "page",
    "readable",
    "together",
]
