"""
What the tests of principals in a Redis server stand on.
"""

from __future__ import annotations

import hashlib

from tests.stores.test_redis import StoreCase
from txsessions.core.record import SignInLimit
from txsessions.stores._redis_keys import shardOf

WHO = hashlib.sha256(b"who").digest()
"""Somebody."""

ONE = SignInLimit(most=1, refuses=False)
"""A limit."""


class PrincipalsCase(StoreCase):
    """
    What these tests have in common.
    """

    def signedIn(self, name="one", number=0, **changes):
        """
        Make a record of a session in which somebody is signed in.

        @param number: Comes first in the handle.
        """
        handle = bytes([number]) + hashlib.sha256(name.encode()).digest()[:15]
        return self.record(name, **{"principal": WHO, "handle": handle, **changes})

    async def signIn(self, store, name="one", number=0, **changes):
        """
        Make one and have it kept.
        """
        record = self.signedIn(name, number, **changes)
        await store.insert(record, self.now)
        return record

    def inOneShard(self, count):
        """
        Make records of one shard.
        """
        keys = [b"\0" + hashlib.sha256(b"%d" % n).digest()[1:] for n in range(count)]
        return [self.signedIn(str(n), n, key=key) for n, key in enumerate(keys)]

    def index(self, record):
        """
        The key of the index that has a record.
        """
        return self.names.principals(WHO)[shardOf(record.key)]

    def epoch(self, record):
        """
        The key of the epoch of a record.
        """
        return self.index(record).replace(b"}:p:", b"}:e:")

    async def misfits(self, store):
        """
        Page through the index.
        """
        wrong, cursor = await store.verifyIndex()
        while cursor is not None:
            more, cursor = await store.verifyIndex(cursor, 5)
            wrong += more
        return wrong

    async def listOf(self, store):
        """
        One page of their sessions.
        """
        return (await store.sessionsOf(WHO, self.now))[0]


__all__ = ["ONE", "WHO", "PrincipalsCase"]
