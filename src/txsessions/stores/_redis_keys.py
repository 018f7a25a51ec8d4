"""
The names of all keys in a Redis server, and the parts of commands.

Owns the layout of keys, for a cluster: a fixed number of shards, each with one hash tag;
and the writing of what each request sends.  That is put together of parts that never
change: hiredis needs several times as long for a command of many short parts, and to
fill bytes in takes Python three times as long as to join them.
"""

from __future__ import annotations

import struct
from functools import lru_cache

SHARDS = 64
"""Over how many hash tags the sessions are spread.  Never to be changed."""

KEY_BYTES = 32
"""How long store keys are, but for those that somebody makes up."""

_TIME = struct.Struct("<d").pack
_ASKED = struct.Struct("<5sdq2s").pack


def bulk(text: bytes) -> bytes:
    """
    Write a part of a command.
    """
    return b"$%d\r\n%b\r\n" % (len(text), text)


@lru_cache(maxsize=4096)
def lead(size: int) -> bytes:
    """
    Write what stands before a part of a command.

    @param size: How long that is.
    """
    return b"$%d\r\n" % size


def asked(now: float, version: int) -> bytes:
    """
    Write, as a part of a command, the server's time and a version as scripts compare it:
    none for a number that no version can have.
    """
    try:
        return _ASKED(b"$16\r\n", now, version, b"\r\n")
    except struct.error:
        return bulk(_TIME(now))


class Keys:
    """
    The names of all keys.
    """

    def __init__(self, prefix: str) -> None:
        """
        @param prefix: What they begin with.
        """
        tags = [b"{%b:%02d}:" % (prefix.encode(), shard) for shard in range(SHARDS)]
        self.records = [tag + b"s:" for tag in tags]
        self.due = [tag + b"due" for tag in tags]
        self.claims = [tag + b"claims" for tag in tags]
        self.index = [tag + b"index" for tag in tags]
        self.anonymous = [tag + b"anon" for tag in tags]
        self._became = [tag + b"b:" for tag in tags]
        self.ended = [tag + b"ended" for tag in tags]
        self._principals = [tag + b"p:" for tag in tags]
        self._epochs = [tag + b"e:" for tag in tags]
        self.patternOfPrincipals = b"{%b:[0-9][0-9]}:p:*" % prefix.encode()
        self._leads = [
            b"$%d\r\n%b" % (len(record) + KEY_BYTES, record) for record in self.records
        ]
        self._behind = [
            b"\r\n%b%b$%d\r\n" % (bulk(due), bulk(claims), KEY_BYTES)
            for due, claims in zip(self.due, self.claims, strict=True)
        ]

    def record(self, key: bytes) -> bytes:
        """
        The key of a record.
        """
        return self.records[key[0] & 63 if key else 0] + key

    def became(self, key: bytes) -> bytes:
        """
        The key that says what a session under a marker became.
        """
        return self._became[shardOf(key)] + key

    def principals(self, principal: bytes) -> list[bytes]:
        """
        The indexes of a principal, one a shard.
        """
        return [name + principal for name in self._principals]

    def epochs(self, prefix: bytes) -> list[bytes]:
        """
        The epochs of a prefix of principals, one a shard.
        """
        return [name + prefix for name in self._epochs]

    def all(self, key: bytes) -> tuple[bytes, bytes, bytes, bytes]:
        """
        The keys of a record, and of its shard's deadlines, claims and index.
        """
        shard = shardOf(key)
        return (
            self.records[shard] + key,
            self.due[shard],
            self.claims[shard],
            self.index[shard],
        )

    def part(self, key: bytes) -> bytes:
        """
        The key of a record, as a part of a command.
        """
        if len(key) == KEY_BYTES:
            return self._leads[key[0] & 63] + key + b"\r\n"
        return bulk(self.record(key))

    def parts(self, key: bytes) -> bytes:
        """
        The first three of L{all}, and the name of the session, as four parts of a
        command.
        """
        if len(key) == KEY_BYTES:
            shard = key[0] & 63
            ahead, behind = self._leads[shard], self._behind[shard]
            return b"".join((ahead, key, behind, key, b"\r\n"))
        return b"".join(map(bulk, (*self.all(key)[:3], key)))


def shardOf(key: bytes) -> int:
    """
    Which shard a session belongs to.
    """
    return key[0] & 63 if key else 0


__all__ = ["KEY_BYTES", "SHARDS", "Keys", "asked", "bulk", "lead", "shardOf"]
