"""
The sessions of one principal, wherever they are, and the end of everybody's.

Owns the finding of them, the ending of them, and the limit on how many there may be.
Knows no HTTP.

Theory of operation.  A store keeps with each record a hash of who is signed in (see
L{txsessions.core.principals}), and can end all records of a hash at once, by a counter
that is compared at every read.  So nothing has to be told to any process: the next
time that it asks, an ended session is gone.  Sessions that are live here are asked
about at once, so that their callbacks and open connections need not wait for a
request.  A principal may have sign-ins under several hashes while keys change; what is
done to it is done to all of them.

The hashes of a site begin alike, and the store compares a counter of that, too: so those
of everybody end as fast.  Of the many that may be live here then only those are asked
about of whose end somebody waits; the others show themselves when they are used.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater

from txsessions.core.principals import HANDLE_BYTES, PrincipalHashes
from txsessions.errors import (
    ConfigurationError,
    RecordDamaged,
    StoreError,
    UnknownKey,
)
from txsessions.live.events import EventKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from txsessions.core.record import Record, SignInLimit
    from txsessions.core.signin import SignIn
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

PAGE = 500
"""How many entries are verified, or records asked for, by one call of the store."""

MAX_REMEMBERED = 1000
"""How many sessions of a principal are remembered, when all have ended."""

AT_ONCE = 0.004
"""Seconds for which sessions are ended in one turn of the reactor, where there is no
store."""


@frozen(kw_only=True)
class SignedIn:
    """
    One of the sessions of a principal, as people may see it.

    @ivar handle: What it is called, in hexadecimal; it is of no use for signing in.
    @ivar signedInAt: When that was proved last, in seconds since the epoch.
    @ivar lastSeenAt: When it was last used, as far as the store was told.
    @ivar level: How sure it is who it is.
    @ivar userAgent: What the browser said that it is, where the site keeps that.
    @ivar address: Where the client was, where the site keeps that.
    """

    handle: str
    signedInAt: float
    lastSeenAt: float
    level: int
    userAgent: str | None = None
    address: str | None = None


class Principals:
    """
    The principals of a live table.

    @ivar hashes: Their hashes; there once the store is open.
    @ivar limit: How many sessions one may have.
    @ivar keepsClients: Whether user agent and address are kept at a sign-in.
    """

    hashes: PrincipalHashes

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self.limit: SignInLimit | None = None
        self.keepsClients = False

    def fits(self, signIn: SignIn | None, record: Record) -> bool:
        """
        Whether a record stands in the index as what is sealed in it says: else it
        could not be found, or not be ended.
        """
        if signIn is None:
            return record.principal is None
        return record.handle == signIn.handle and self.hashes.has(
            signIn.principal, record.principal
        )

    def _liveOf(self, principal: str) -> list[tuple[Session, SignIn]]:
        """
        The sessions of a principal that are live here, with their sign-ins, in the
        order of the handles.
        """
        found = []
        for session in list(self._table.sessions.values()):
            signIn = session._signIn
            if signIn is not None and signIn.principal == principal:
                found.append((session, signIn))
        return sorted(found, key=lambda each: each[1].handle)

    def sessionsOf(
        self, principal: str | None, after: str | None, limit: int
    ) -> Deferred[list[SignedIn]]:
        """
        See L{Site.sessionsOf<txsessions.web.site.Site.sessionsOf>}.
        """
        start = None if after is None else _handleOf(after)
        if principal is None or (after is not None and start is None):
            return succeed([])
        return Deferred.fromCoroutine(self._list(principal, start, limit))

    async def _list(
        self, principal: str, start: bytes | None, limit: int
    ) -> list[SignedIn]:
        """
        Ask the store, under each hash.
        """
        _demandName(principal)
        table = self._table
        if table.store is None:
            return [
                _shown(signIn, session.lastModified)
                for session, signIn in self._liveOf(principal)
                if start is None or signIn.handle > start
            ][:limit]
        await table.lifecycle.whenOpen()
        shown: list[tuple[bytes, SignedIn]] = []
        for name in self.hashes.all(principal):
            found, after = 0, start
            while found < limit:
                # What nobody can read takes no room on the page.
                page, after = await table.store.sessionsOf(
                    name, table.seconds(), after, limit
                )
                for record in page:
                    try:
                        signIn = table.loader.open(record).signIn
                    except (RecordDamaged, UnknownKey):
                        # Nobody can use it here; it goes when its time is over.
                        continue
                    if signIn is not None:
                        found += 1
                        entry = table.byKey.get(record.key)
                        live = 0.0 if entry is None else entry.session.lastModified
                        used = max(record.touchedAt, live)
                        shown.append((signIn.handle, _shown(signIn, used)))
                if after is None:
                    break
        shown.sort(key=lambda each: each[0])
        return [each for _, each in shown[:limit]]

    def endSession(self, principal: str, handle: str) -> Deferred[bool]:
        """
        See L{Site.endSession<txsessions.web.site.Site.endSession>}.
        """
        named = _handleOf(handle)
        if named is None:
            return succeed(False)
        return Deferred.fromCoroutine(self._endSession(principal, named))

    async def _endSession(self, principal: str, handle: bytes) -> bool:
        """
        End it in the store, and look for it here.
        """
        _demandName(principal)
        table, ended = self._table, False
        if table.store is not None:
            await table.lifecycle.whenOpen()
            for name in self.hashes.all(principal):
                now = table.seconds()
                if await table.store.endSession(name, handle, now):
                    ended = True
                    table.tombstones.remember(name + handle)
        here = self._lookHere(principal, lambda _, signIn: signIn.handle == handle)
        return ended if table.store is not None else here > 0

    def end(self, principal: str, but: Session | None = None) -> Deferred[int]:
        """
        End all sessions of a principal; see
        L{Site.endPrincipal<txsessions.web.site.Site.endPrincipal>}.

        @param but: One that stays.
        """
        return Deferred.fromCoroutine(self._end(principal, but))

    async def _end(self, principal: str, but: Session | None) -> int:
        """
        End them in the store, and look for them here.
        """
        _demandName(principal)
        table, count = self._table, 0
        if table.store is not None:
            await table.lifecycle.whenOpen()
            kept = None if but is None or but._entry is None else but._entry.storedKey
            for name in self.hashes.all(principal):
                names = await self._namesOf(name, kept)
                count += await table.store.endPrincipal(name, table.seconds(), kept)
                for each in names:
                    table.tombstones.remember(each)
        here = self._lookHere(principal, lambda session, _: session is not but)
        count = here if table.store is None else count
        table.announcer.tell(
            EventKind.PRINCIPAL_ENDED,
            "",
            table.seconds(),
            f"{count} sessions",
            principal=principal,
        )
        return count

    async def _namesOf(self, principal: bytes, kept: bytes | None) -> list[bytes]:
        """
        What the sessions of a principal are remembered by whose end a store may lose.
        To end all of them anew would end those who have signed in since.

        @param kept: The key of one that stays.
        @return: Not of more than C{MAX_REMEMBERED}; of none where the store cannot
            tell now.
        """
        table, after = self._table, None
        found: list[bytes] = []
        with suppress(StoreError):
            while table.tombstones.remembers and len(found) < MAX_REMEMBERED:
                page, after = await table.store.sessionsOf(
                    principal, table.seconds(), after, PAGE
                )
                found += [
                    principal + record.handle for record in page if record.key != kept
                ]
                if after is None:
                    break
        return found[:MAX_REMEMBERED]

    def endEverybody(self) -> Deferred[None]:
        """
        See L{Site.endEverybody<txsessions.web.site.Site.endEverybody>}.
        """
        return Deferred.fromCoroutine(self._endEverybody())

    async def _endEverybody(self) -> None:
        """
        End them in the store, and have those looked for that somebody waits for.
        """
        table = self._table
        if table.store is None:
            await self._endHere()
        else:
            await table.lifecycle.whenOpen()
            for prefix in self.hashes.prefixes:
                await table.store.endEverybody(prefix)
            table.watching.hurry()
        table.announcer.tell(EventKind.EVERYBODY_ENDED, "", table.seconds())

    async def _endHere(self) -> None:
        """
        End all on which somebody is signed in, where there is no store.  Who signs in
        meanwhile does so after it.
        """
        reactor = self._table.reactor
        until = reactor.seconds() + AT_ONCE
        sessions = list(self._table.sessions.values())
        for session, signIn in [(each, each._signIn) for each in sessions]:
            if signIn is not None and session._signIn is signIn:
                _ = session._end("everybody")
                if reactor.seconds() > until:
                    await deferLater(reactor, 0)
                    until = reactor.seconds() + AT_ONCE

    def _lookHere(
        self, principal: str, which: Callable[[Session, SignIn], bool]
    ) -> int:
        """
        Look whether sessions that are live here have ended; where there is no store,
        end them.

        @return: How many there were.
        """
        table = self._table
        found = [pair[0] for pair in self._liveOf(principal) if which(*pair)]
        for session in found:
            if table.store is None:
                _ = session._end("principal")
            else:
                table.loader.ask(session._uid, _nothing)
        return len(found)

    def erase(self, principal: str) -> Deferred[int]:
        """
        See L{Site.erasePrincipal<txsessions.web.site.Site.erasePrincipal>}.
        """
        return Deferred.fromCoroutine(self._erase(principal))

    async def _erase(self, principal: str) -> int:
        """
        Have the store forget all.
        """
        table = self._table
        count = await self._end(principal, None)
        if table.store is None:
            return count
        count = 0
        for name in self.hashes.all(principal):
            count += await table.store.erasePrincipal(name)
        return count

    def verify(self) -> Deferred[int]:
        """
        See L{Site.verifyPrincipals<txsessions.web.site.Site.verifyPrincipals>}.
        """
        return Deferred.fromCoroutine(self._verify())

    async def _verify(self) -> int:
        """
        Page through the index.
        """
        table = self._table
        if table.store is None:
            return 0
        await table.lifecycle.whenOpen()
        count, cursor, found = 0, None, 0
        while True:
            found, cursor = await table.store.verifyIndex(cursor, PAGE)
            count += found
            if cursor is None:
                return int(count)


def _shown(signIn: SignIn, lastSeenAt: float) -> SignedIn:
    """
    Make what people may see.
    """
    return SignedIn(
        handle=signIn.handle.hex(),
        signedInAt=signIn.authenticatedAt,
        lastSeenAt=lastSeenAt,
        level=signIn.level,
        userAgent=signIn.userAgent,
        address=signIn.address,
    )


def _demandName(principal: object) -> None:
    """
    Refuse what nobody can have signed in by, rather than say that nobody has.

    @raise ConfigurationError: The principal is no text.
    """
    if not isinstance(principal, str):
        raise ConfigurationError(
            f"a principal is a text, as login() was told, not {type(principal).__name__}"
        )


def _handleOf(text: str) -> bytes | None:
    """
    Read a handle, as somebody may have sent it.

    @return: L{None} if it is none.
    """
    try:
        handle = bytes.fromhex(text)
    except ValueError:
        return None
    return handle if len(handle) == HANDLE_BYTES and handle.hex() == text else None


def _nothing(_: Any) -> None:
    """
    Somebody was told, and does nothing with it.
    """


__all__ = ["Principals", "SignedIn"]
