"""
The contract, run against Valkey and Redis, with both parsers.
"""

from __future__ import annotations

import time
from typing import Any

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.stores.valkeys import REDIS, shared
from txsessions.core.record import Record
from txsessions.interfaces import ISessionStore
from txsessions.stores import _redis_clock, _redis_resp, openStore
from txsessions.testing import StoreContract


class ValkeyContractTests(StoreContract, TestCase):
    """
    L{RedisStore<txsessions.stores.redis.RedisStore>} keeps the contract on Valkey,
    and two of them on one server do.
    """

    program: str | None = None
    makeReader = staticmethod(_redis_resp.makeReader)
    options = ""

    def clock(self) -> float:
        """
        The time of the tests.
        """
        return float(int(time.time() * 16)) / 16

    def setUp(self) -> Deferred[None]:
        """
        Have both stores see the time of the tests first: two machines whose clocks
        agree with each other and with the server's.  Without that, the one whose
        first call brings a later C{now} would be a machine with another clock.
        """
        self.server = shared(self.program)
        self.now = self.clock()
        self.patch(_redis_resp, "makeReader", self.makeReader)
        self.patch(_redis_clock, "TOLERANCE", 60.0)
        ready = super().setUp()
        for store in ("store", "other"):
            ready.addCallback(
                lambda _, name=store: getattr(self, name).load(b"", self.now)
            )
        return ready

    def makeStore(self) -> ISessionStore:
        """
        See L{StoreContract.makeStore}.
        """
        return openStore(self.server.address + self.options)

    def anotherStore(self) -> ISessionStore:
        """
        See L{StoreContract.anotherStore}.
        """
        return self.makeStore()

    def remembers(self, principal: bytes) -> bool:
        """
        See L{StoreContract.remembers}: in the name of a key or in what it holds.
        """
        found = False
        for database in (0, 3):
            inside = ("SELECT", str(database))
            for name in self.server.command("KEYS", "*", signIn=inside):
                kind = self.server.command("TYPE", name, signIn=inside)
                read = ("GET",) if kind == b"string" else ("ZRANGE", 0, -1)
                held = self.server.command(read[0], name, *read[1:], signIn=inside)
                texts = [name, held] if kind == b"string" else [name, *held]
                found |= any(principal in text for text in texts)
        return found


class PureValkeyContractTests(ValkeyContractTests):
    """
    The same without hiredis.
    """

    makeReader = _redis_resp.PureReader


class OneShardContractTests(ValkeyContractTests):
    """
    The same where all sessions are in one shard, and so under one epoch.
    """

    def record(self, name: str = "one", **changes: Any) -> Record:
        """
        See L{StoreContract.record}.
        """
        record = super().record(name, **changes)
        if "key" in changes:
            return record
        return evolve(record, key=b"\0" + record.key[1:])


class AnotherDatabaseContractTests(ValkeyContractTests):
    """
    The same in another database, under another prefix.
    """

    options = "?db=3&prefix=my.sessions:1"


class AnotherClockContractTests(ValkeyContractTests):
    """
    The same on a machine whose clock is years from the server's.
    """

    def clock(self) -> float:
        """
        As in the suite.
        """
        return StoreContract.now

    def anotherStore(self) -> None:
        """
        None: two would agree to the hundredth of a second only.
        """


if REDIS is not None:

    class RedisContractTests(ValkeyContractTests):
        """
        The same on the Redis that is installed here.
        """

        program = REDIS

    class PureRedisContractTests(PureValkeyContractTests):
        """
        The same without hiredis.
        """

        program = REDIS
