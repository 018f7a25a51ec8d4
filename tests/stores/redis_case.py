"""
What the tests of the Redis store stand on.
"""

from __future__ import annotations

import hashlib
import time

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.stores.proxies import Proxy
from tests.stores.valkeys import Server
from txsessions.core.record import Record
from txsessions.stores import _redis_clock, openStore

IDLE = 900.0


class RedisTestCase(TestCase):
    """
    Tests on real servers.
    """

    timeout = 60

    def setUp(self) -> None:
        """
        Tell the time: that of the server, so that nothing has to be moved, although
        it stands still and the machine may be slow.
        """
        self.patch(_redis_clock, "TOLERANCE", 60.0)
        self.now = float(int(time.time() * 16)) / 16

    def server(self, *options: str, **how) -> Server:
        """
        Start a server of one's own.
        """
        server = Server(*options, **how)
        self.addCleanup(server.stop)
        return server

    def proxy(self, server: Server) -> Proxy:
        """
        Put a proxy before a server.
        """
        proxy = Proxy(server.socket)
        self.addCleanup(proxy.stop)
        return proxy

    def store(self, address: str, **options):
        """
        Make a store that is closed at the end.
        """
        store = openStore(address, **options)
        self.addCleanup(store.close)
        return store

    async def opened(self, address: str, **options):
        """
        Make a store and open it.
        """
        store = self.store(address, **options)
        await store.open()
        return store

    def record(self, name: str = "one", **changes) -> Record:
        """
        Make a record.
        """
        usual = {
            "key": hashlib.sha256(name.encode()).digest(),
            "version": 1,
            "createdAt": self.now,
            "touchedAt": self.now,
            "expiresAt": self.now + IDLE,
            "payload": b"payload of " + name.encode(),
        }
        return Record(**{**usual, **changes})

    async def keep(self, store, name: str = "one", **changes) -> Record:
        """
        Make a record and have it kept.
        """
        record = self.record(name, **changes)
        await store.insert(record, self.now)
        return record

    async def fails(self, call: Deferred, *expected: type[Exception]) -> Exception:
        """
        Wait for something to fail.
        """
        try:
            found = await call
        except expected as error:
            return error
        raise self.failureException(f"{expected} did not come, but {found!r}")

    async def outcomes(self, calls) -> list:
        """
        Wait for all of these: values and errors.
        """
        results = await DeferredList(calls, consumeErrors=True)
        return [value if good else value.value for good, value in results]

    async def until(self, call, patience: float = 10.0) -> float:
        """
        Wait until something succeeds, asking again and again.

        @return: How long that took.
        """
        begun = reactor.seconds()
        while True:
            try:
                await call()
            except Exception:
                if reactor.seconds() - begun > patience:
                    raise
                await self.pause(0.02)
            else:
                return reactor.seconds() - begun

    def pause(self, seconds: float) -> Deferred:
        """
        Let others work for a moment.
        """
        return deferLater(reactor, seconds)


__all__ = ["IDLE", "RedisTestCase"]
