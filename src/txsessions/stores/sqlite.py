"""
Sessions in a SQLite database: one file on a local disk, shared by the processes
of one machine.

Owns the store's face: what L{ISessionStore} promises, put together from its parts.
Reads run on the reactor's thread over a connection of their own, for they take a
few microseconds and never wait for a writer
(L{txsessions.stores._sqlite_rows}); writes of one moment share one transaction and
one sync (L{txsessions.stores._sqlite_writer}); long reads have threads of their own
(L{txsessions.stores._sqlite_aside}).

Put the file on a local disk: network file systems cannot carry its write-ahead
log.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from txsessions.core.forks import FORKS
from txsessions.core.record import Answer, Record, SignInLimit
from txsessions.core.telling import Told, shortBy
from txsessions.interfaces import ROTATION_MARKER, ISessionStore
from txsessions.stores import (
    _sqlite_anonymous,
    _sqlite_ending,
    _sqlite_principals,
    _sqlite_rows,
    _sqlite_verbs,
)
from txsessions.stores._sqlite_aside import copyInto
from txsessions.stores._sqlite_errors import ENGINE_ERRORS, isBusy, storeError
from txsessions.stores._sqlite_opening import Opening
from txsessions.stores._telling import deferredOf

SLICE = 256
"""How many rows one transaction of a sweep looks at."""

PAGE = 100
"""How many records one page of a scan holds at most: they are read on the
reactor's thread."""


@implementer(ISessionStore)
class SQLiteStore(Opening):
    """
    A session store in a SQLite database.
    """

    def _load(
        self, told: Told, key: bytes, now: float, known: int | None = None
    ) -> None:
        """
        See L{load}.
        """
        find = self._find
        if find is None or self._forks != FORKS.count:
            told.errback(self._notOpen())
            return
        if not 0.0 < self._lookAgainAt - now <= 1.0:
            self._look(now)
        if self._replaced:
            told.errback(self._otherFile())
            return
        try:
            found = _sqlite_rows.read(find, key, now, known)
        except ENGINE_ERRORS as error:
            if isBusy(error) or "readonly" in str(error):
                self._tell(told, _sqlite_verbs.load, (key, now, known))
            else:
                told.errback(storeError(error, self.path))
        else:
            told.callback(found)

    @shortBy(_load)
    def load(
        self, key: bytes, now: float, known: int | None = None
    ) -> Deferred[Record | Answer | None]:
        """
        See L{ISessionStore.load}.
        """
        return deferredOf(self._load, key, now, known)

    def insert(
        self, record: Record, now: float, limit: SignInLimit | None = None
    ) -> Deferred[None]:
        """
        See L{ISessionStore.insert}.
        """
        pages = 4 + (len(record.payload) >> 12)
        if record.principal is None:
            return self._submit(_sqlite_verbs.insert, (record,), pages)
        args = (record, now, limit)
        made = self._submit(_sqlite_verbs.signIn, args, pages + 1)
        return made.addCallback(self._signedIn)

    def _replace(self, told: Told, record: Record, expected: int, now: float) -> None:
        """
        See L{replace}.
        """
        pages = 1 + (len(record.payload) >> 12)
        self._tell(told, _sqlite_verbs.replace, (record, expected, now), pages)

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
        return self._submit(_sqlite_verbs.touch, (key, touchedAt, expiresAt, now))

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
        See L{ISessionStore.rename}.  Synced whatever the durability.
        """
        pages = 5 + (len(record.payload) >> 12)
        args = (oldKey, record, expected, now, limit, marks)
        renamed = self._submit(_sqlite_verbs.rename, args, pages, final=True)
        return renamed.addCallback(self._signedIn)

    def follow(self, key: bytes, now: float) -> Deferred[Record | Answer | None]:
        """
        See L{ISessionStore.follow}.
        """
        find = self._find
        if find is None or self._forks != FORKS.count:
            return fail(self._notOpen())
        try:
            return succeed(_sqlite_rows.readFollowed(find, key, now))
        except ENGINE_ERRORS as error:
            if isBusy(error) or "readonly" in str(error):
                return self._submit(_sqlite_rows.follow, (key, now))
            return fail(storeError(error, self.path))

    def delete(self, key: bytes, now: float | None = None) -> Deferred[bool]:
        """
        See L{ISessionStore.delete}.  Synced whatever the durability.
        """
        done = self._submit(_sqlite_ending.delete, (key, now), 3, final=True)
        return done.addCallback(self._deleted)

    def _deleted(self, told: tuple[bool, bool]) -> bool:
        """
        Where a marker led to what is gone, who called does not know what that is.
        """
        if told[1]:
            self._unnamed(None)
        return told[0]

    def claimExpired(
        self, now: float, limit: int, lease: float
    ) -> Deferred[list[Record]]:
        """
        See L{ISessionStore.claimExpired}.  In slices, so that other writes come
        in between; the deadline is each slice's, and where half of it has gone
        by, what was claimed so far is handed out.
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
        counted: Deferred[int] = self._aside(
            lambda connection: connection.execute(
                _sqlite_rows.COUNT, (now,)
            ).fetchone()[0],
            "counting all sessions",
        )
        return counted

    def scan(
        self, cursor: bytes | None, limit: int
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        See L{ISessionStore.scan}.  A page holds at most L{PAGE} records.
        """
        if self._find is None or self._forks != FORKS.count:
            return fail(self._notOpen())
        try:
            size = max(1, min(limit, PAGE))
            return succeed(_sqlite_rows.readPage(self._find, cursor, size))
        except ENGINE_ERRORS as error:
            return fail(storeError(error, self.path))

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
        if self._find is None or self._forks != FORKS.count:
            return fail(self._notOpen())
        size = max(1, min(limit, PAGE))
        try:
            return succeed(
                _sqlite_principals.readSessionsOf(
                    self._find, principal, now, cursor, size
                )
            )
        except ENGINE_ERRORS as error:
            return fail(storeError(error, self.path))

    def endPrincipal(
        self, principal: bytes, now: float, but: bytes | None = None
    ) -> Deferred[int]:
        """
        See L{ISessionStore.endPrincipal}.  Synced whatever the durability; in the
        thread, for the count.
        """
        ended = self._submit(
            _sqlite_principals.endPrincipal,
            (principal, now, but),
            3,
            final=True,
            heavy=True,
        )
        return ended.addCallback(self._unnamed)

    def endEverybody(self, prefix: bytes) -> Deferred[None]:
        """
        See L{ISessionStore.endEverybody}.  Synced whatever the durability.
        """
        verb = _sqlite_principals.endEverybody
        ended = self._submit(verb, (prefix,), 3, final=True)
        return ended.addCallback(self._unnamed)

    def endSession(self, principal: bytes, handle: bytes, now: float) -> Deferred[bool]:
        """
        See L{ISessionStore.endSession}.  Synced whatever the durability.
        """
        args = (principal, handle, now)
        ended = self._submit(_sqlite_principals.endSession, args, 4, final=True)
        return ended.addCallback(self._unnamed)

    def erasePrincipal(self, principal: bytes) -> Deferred[int]:
        """
        See L{ISessionStore.erasePrincipal}.  Synced whatever the durability.
        """
        erased = self._submit(
            _sqlite_principals.erasePrincipal,
            (principal,),
            10,
            final=True,
            heavy=True,
        )
        return erased.addCallback(self._unnamed)

    def evictAnonymous(
        self, most: int, now: float, limit: int
    ) -> Deferred[tuple[list[Record], bool]]:
        """
        See L{ISessionStore.evictAnonymous}.  At most
        L{txsessions.stores._sqlite_anonymous.LOOK} at a time, in the thread; synced
        whatever the durability.
        """
        evicted = self._submit(
            _sqlite_anonymous.evict, (most, now, limit), 300, final=True, heavy=True
        )
        return evicted.addCallback(self._evicted)

    def verifyIndex(
        self, cursor: bytes | None = None, limit: int = 500
    ) -> Deferred[tuple[int, bytes | None]]:
        """
        See L{ISessionStore.verifyIndex}; all in one page.
        """
        found: Deferred[Any] = self._aside(
            _sqlite_principals.misfits, "looking at all sessions"
        )
        return found.addCallback(lambda count: (count, None))

    def backup(self, path: str | os.PathLike[str]) -> Deferred[None]:
        """
        Write a consistent copy of the database, while it is in use.  It is
        compact, has mode 0600, and replaces what had that name in one step.  It
        has no deadline; C{close} interrupts it.

        @param path: The copy's file.
        """
        database = self._database
        if self._find is None or database is None or self._forks != FORKS.count:
            return fail(self._notOpen())
        source, target = database.path, os.path.abspath(os.fspath(path))
        return database.aside.run(
            lambda connection: copyInto(connection, source, target)
        )

    def _signedIn(self, evicted: int) -> None:
        """
        Somebody may have signed in, and others had to make room.
        """
        if evicted:
            self._unnamed(evicted)

    def _evicted(self, told: tuple[list[Record], bool]) -> tuple[list[Record], bool]:
        """
        Anonymous sessions may have had to make room.
        """
        if told[0]:
            self._unnamed(told)
        return told

    def _unnamed(self, told: Any) -> Any:
        """
        Sessions have ended of which the caller does not know which they are.
        """
        if self._changes is not None:
            self._changes.another()
        return told

    async def _claim(self, now: float, limit: int, lease: float) -> list[Record]:
        """
        Claim slice by slice.
        """
        if self._reactor is None:
            raise self._notOpen()
        claimed: list[Record] = []
        began = self._reactor.seconds()
        more = limit > 0
        while more:
            size = min(limit - len(claimed), SLICE)
            found, more = await self._submit(
                _sqlite_verbs.claim, (now, size, lease), size, heavy=True
            )
            claimed += found
            late = self._reactor.seconds() - began > self._deadline / 2
            more = more and len(claimed) < limit and not late
        return claimed

    async def _acknowledge(self, keys: Sequence[bytes]) -> None:
        """
        Acknowledge slice by slice.
        """
        for start in range(0, len(keys), SLICE):
            part = keys[start : start + SLICE]
            await self._submit(
                _sqlite_verbs.acknowledge, (part,), 2 * len(part), heavy=True
            )


__all__ = ["PAGE", "SLICE", "SQLiteStore"]
