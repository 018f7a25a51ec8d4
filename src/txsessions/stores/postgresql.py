"""
Sessions in a PostgreSQL database, shared by many machines.

Owns the store's face: what L{ISessionStore} promises, put together from its parts.
Needs psycopg 3.2 (C{txsessions[postgresql]}) and PostgreSQL 13 or later.  The reactor
drives libpq itself, in pipeline mode: what is asked in one turn leaves as one packet
and, if it writes, is one transaction (L{txsessions.stores._postgresql_line}); what it
loads is one statement.  A store has two connections, one for reads and one for writes,
which are made again whenever they break; while one is broken its calls fail at once.

No call relies on the state of a connection, so a pooler such as PgBouncer may hand
every transaction to another one.  C{prepare=1} in the address saves the server some
work, and must not be used with a pooler that knows no prepared statements.

The server's clock is the one that counts: see L{txsessions.stores._postgresql_clock}.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from txsessions.core.forks import FORKS
from txsessions.core.record import Answer, Record, SignInLimit
from txsessions.core.telling import Told, shortBy
from txsessions.errors import AddressError, ConfigurationError, StoreUnavailable
from txsessions.interfaces import ROTATION_MARKER, IReconnectingStore, ISessionStore
from txsessions.stores import _postgresql_address
from txsessions.stores._postgresql_opening import Opening
from txsessions.stores._reactor import handled
from txsessions.stores._telling import deferredOf

SLICE = 128
"""How many rows one transaction of a sweep looks at."""

PAGE = 100
"""How many records one page of a scan holds at most."""


@implementer(ISessionStore, IReconnectingStore)
class PostgreSQLStore(Opening):
    """
    A session store in a PostgreSQL database.
    """

    def insert(
        self, record: Record, now: float, limit: SignInLimit | None = None
    ) -> Deferred[None]:
        """
        See L{ISessionStore.insert}.
        """
        verb = self._verbs.insert
        return self._call(now, partial(verb, record, now, limit), writes=True)

    def _load(
        self, told: Told, key: bytes, now: float, known: int | None = None
    ) -> None:
        """
        See L{load}.
        """
        database, verbs = self._database, self._verbs
        if (
            database is not None
            and database.isOpen
            and database.fork == FORKS.count
            and (clock := database.clock).isKnown
        ):
            # What _tell asks, written out for the hot path: nearly all are made at once.
            seconds = database.seconds
            moment = seconds()
            if moment < clock.nextAt:
                due = moment + self._deadline
                call = verbs.load(key, now, known, clock.offset, due, told)
                database.reads.tell(told, call)
                return
        self._tell(told, now, partial(verbs.load, key, now, known), writes=False)

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
        database, verbs = self._database, self._verbs
        if (
            database is not None
            and database.isOpen
            and database.fork == FORKS.count
            and (clock := database.clock).isKnown
        ):
            # As in _load.
            seconds = database.seconds
            moment = seconds()
            if moment < clock.nextAt:
                due = moment + self._deadline
                call = verbs.replace(record, expected, now, clock.offset, due, told)
                database.writes.tell(told, call)
                return
        make = partial(verbs.replace, record, expected, now)
        self._tell(told, now, make, writes=True)

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
        verb, times = self._verbs.touch, (touchedAt, expiresAt)
        return self._call(now, partial(verb, key, times, now), writes=True)

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
        See L{ISessionStore.rename}.  Waits for the disk whatever the durability.
        """
        args = (oldKey, record, expected, now, limit, marks)
        return self._call(now, partial(self._verbs.rename, *args), writes=True)

    def follow(self, key: bytes, now: float) -> Deferred[Record | Answer | None]:
        """
        See L{ISessionStore.follow}.
        """
        return self._call(now, partial(self._verbs.followed, key, now), writes=False)

    def delete(self, key: bytes, now: float | None = None) -> Deferred[bool]:
        """
        See L{ISessionStore.delete}.  Waits for the disk whatever the durability.
        """
        verb = self._verbs.delete
        return self._call(now, partial(verb, key, now), writes=True)

    def claimExpired(
        self, now: float, limit: int, lease: float
    ) -> Deferred[list[Record]]:
        """
        See L{ISessionStore.claimExpired}.  In slices, so that other writes come in
        between; the deadline is each slice's, and where half of it has gone by,
        what was claimed so far is handed out.
        """
        return Deferred.fromCoroutine(self._claim(now, limit, lease))

    def acknowledge(self, keys: Sequence[bytes]) -> Deferred[None]:
        """
        See L{ISessionStore.acknowledge}.  In slices, as L{claimExpired}.
        """
        return Deferred.fromCoroutine(self._acknowledge(tuple(keys)))

    def countSessions(self, now: float) -> Deferred[int]:
        """
        See L{ISessionStore.countSessions}.
        """
        return Deferred.fromCoroutine(self._aside(now, partial(self._verbs.count, now)))

    def scan(
        self, cursor: bytes | None, limit: int
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        See L{ISessionStore.scan}.  A page holds at most L{PAGE} records.
        """
        verb, size = self._verbs.scan, max(1, min(limit, PAGE))
        return self._call(None, partial(verb, cursor, size), writes=False)

    def sessionsOf(
        self,
        principal: bytes,
        now: float,
        cursor: bytes | None = None,
        limit: int = 100,
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        See L{ISessionStore.sessionsOf}.  A page holds at most L{PAGE} records.
        """
        verb, size = self._verbs.sessionsOf, max(1, min(limit, PAGE))
        return self._call(
            now, partial(verb, principal, now, cursor, size), writes=False
        )

    def endPrincipal(
        self, principal: bytes, now: float, but: bytes | None = None
    ) -> Deferred[int]:
        """
        See L{ISessionStore.endPrincipal}.  Waits for the disk whatever the durability.
        """
        verb = self._verbs.endPrincipal
        return self._call(now, partial(verb, principal, now, but), writes=True)

    def endEverybody(self, prefix: bytes) -> Deferred[None]:
        """
        See L{ISessionStore.endEverybody}.  Waits for the disk whatever the durability.
        """
        return self._call(None, partial(self._verbs.endEverybody, prefix), writes=True)

    def endSession(self, principal: bytes, handle: bytes, now: float) -> Deferred[bool]:
        """
        See L{ISessionStore.endSession}.  Waits for the disk whatever the durability.
        """
        verb = self._verbs.endSession
        return self._call(now, partial(verb, principal, handle, now), writes=True)

    def erasePrincipal(self, principal: bytes) -> Deferred[int]:
        """
        See L{ISessionStore.erasePrincipal}.  Waits for the disk whatever the
        durability.
        """
        return self._call(
            None, partial(self._verbs.erasePrincipal, principal), writes=True
        )

    def evictAnonymous(
        self, most: int, now: float, limit: int
    ) -> Deferred[tuple[list[Record], bool]]:
        """
        See L{ISessionStore.evictAnonymous}.  Waits for the disk whatever the
        durability.
        """
        return self._call(
            now, partial(self._verbs.evictAnonymous, most, now, limit), writes=True
        )

    def verifyIndex(
        self, cursor: bytes | None = None, limit: int = 500
    ) -> Deferred[tuple[int, bytes | None]]:
        """
        See L{ISessionStore.verifyIndex}; all in one page.
        """
        found = Deferred.fromCoroutine(self._aside(None, self._verbs.misfits))
        return found.addCallback(lambda count: (count, None))

    async def _claim(self, now: float, limit: int, lease: float) -> list[Record]:
        """
        Claim slice by slice.
        """
        claimed: list[Record] = []
        verb = self._verbs.claim
        began = self._opened().seconds()
        more = limit > 0
        while more:
            size = min(limit - len(claimed), SLICE)
            found, damaged, more = await self._call(
                now, partial(verb, now, size, lease), writes=True
            )
            claimed += found
            for key in damaged:
                shelved = self._call(
                    None, partial(self._verbs.shelve, key), writes=True
                )
                handled(shelved.addErrback(lambda _: None))
            late = self._opened().seconds() - began > self._deadline / 2
            more = more and len(claimed) < limit and not late
        if len(claimed) < limit:
            # What was claimed is handed out, whatever comes of this.
            with contextlib.suppress(StoreUnavailable):
                await self._forget(now)
        return claimed

    async def _forget(self, now: float) -> None:
        """
        Forget the epochs of some principals of whom no record is left.
        """
        for principal in await self._call(
            now, partial(self._verbs.dueEpochs, now), writes=False
        ):
            verb = partial(self._verbs.forgetEpoch, principal, now)
            await self._call(now, verb, writes=True)

    async def _acknowledge(self, keys: Sequence[bytes]) -> None:
        """
        Acknowledge slice by slice.
        """
        _ = self._opened()
        for start in range(0, len(keys), SLICE):
            part = keys[start : start + SLICE]
            await self._call(None, partial(self._verbs.acknowledge, part), writes=True)


def fromAddress(
    address: str, reactor: Any, options: dict[str, object]
) -> PostgreSQLStore:
    """
    Make the store that a C{postgresql://} or C{postgres://} address names: libpq's
    own URL, in whose query our options may stand too.

    @param options: As in the address; these win.
    @raise AddressError: It cannot be read; the message does not repeat it.
    """
    conninfo, ours = _postgresql_address.takeApart(address, options)
    try:
        return PostgreSQLStore(conninfo, reactor=reactor, **ours)  # type: ignore[arg-type]  # read there
    except AddressError:
        raise
    except ConfigurationError as error:
        raise AddressError(str(error)) from None


__all__ = ["PAGE", "SLICE", "PostgreSQLStore", "fromAddress"]
