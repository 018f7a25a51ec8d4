"""
New ids in time, and who comes with an old one.

Owns when a session gets a new uid without a sign-in, where an old uid leads then, and
how a session that is live here follows one that another process has given it.  Knows
no HTTP.

Theory of operation.  The state of a session tells of its renewals (see
L{txsessions.core.renewal}), as an attribute among others, so that a site which has no
renewal keeps and compares nothing.  Until somebody has come with the new uid the client
may not have heard of it: whoever comes with the old one is I{led}, and given the new
one too.  Then the old one I{reads}, for the grace; and after that its use is told, for
one of the two who have had it is not the visitor.  Where the way to the session is not
one of renewals alone, somebody has signed in or rotated the id on purpose, and the old
one is dead.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from txsessions.core.record import DELETED, Record
from txsessions.core.renewal import NONCE_BYTES, Renewal
from txsessions.core.state import ATTRIBUTE, partName
from txsessions.core.uid import storeKeyOf
from txsessions.interfaces import ROTATION_MARKER
from txsessions.live import tokens
from txsessions.live.events import EventKind
from txsessions.live.following import Following, trailOf
from txsessions.live.rotating import TRAIL

if TYPE_CHECKING:
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

MAX_TOLD = 10_000
"""Of how many old uids is remembered that their use was told."""

_PART = partName(ATTRIBUTE, TRAIL.encode("utf-8"))


class Verdict(enum.Enum):
    """
    What an old uid is good for.
    """

    DEAD = "dead"
    """Nothing, nor for a cookie: it was given up, or its session ended, just now."""

    UNKNOWN = "unknown"
    """Nothing, as one that never was."""

    LED = "led"
    """All, and for being told the new one."""

    READS = "reads"
    """Reading."""


_GOOD = (Verdict.LED, Verdict.READS)


class Renewing(Following):
    """
    The renewals of one live table.

    @ivar rule: What the site has said.
    """

    def __init__(self, table: LiveTable, rule: Renewal) -> None:
        super().__init__(table)
        self.rule = rule
        self._told: dict[bytes, float] = {}

    # -- new uids

    def mayRenew(self, session: Session) -> bool:
        """
        Whether it is time to give a stored session a new uid, and no transaction needs
        the one that it has.  The caller has come with that one.
        """
        table, trail = self._table, trailOf(session)
        since = session._createdAt if trail is None else trail.renewedAt
        return (
            table.seconds() - since >= self.rule.interval
            and session._uid not in table.transactions._lines
        )

    def renew(self, session: Session) -> None:
        """
        Give a session a new uid.  Whoever settles it next saves that.

        @raise SessionUnavailable: There is no chance to be had.
        """
        table, old, entry = self._table, session._uid, session._entry
        nonce = tokens.drawChance(session, NONCE_BYTES)
        now, steps = table.seconds(), self.rule.steps
        uid, trail = table.rotated.chain.extend(
            trailOf(session), old, nonce, now, steps
        )
        tokens.keepSecret(session)
        session.__dict__[TRAIL] = trail.kept
        table.rekey(session, uid)
        self._note(old, uid)
        table.rotated.note(old, now)
        if entry is not None:
            entry.movedFrom = (old, True)

    def arrived(self, session: Session) -> None:
        """
        Somebody has come with the uid that a session has.
        """
        trail = trailOf(session)
        if trail is not None and not trail.isConfirmed:
            # Other requests with the old uid may still be on their way, also where the
            # first answer was lost long ago.  In whole seconds, so that two processes
            # say the same.
            at = max(trail.renewedAt, float(int(self._table.seconds())))
            confirmed = trail._replace(isConfirmed=True, renewedAt=at)
            session.__dict__[TRAIL] = confirmed.kept
            self._outrun(session, trail)

    # -- old uids

    def find(
        self, uid: bytes, address: str | None = None
    ) -> Deferred[tuple[Verdict, Session | None]]:
        """
        Find out what an old uid is good for, of which is known that it was rotated
        away, and for which session.

        @param address: Where it came from, if that may be told.
        @return: Fails with a C{StoreError} if the store does not answer.
        """
        return Deferred.fromCoroutine(self._find(uid, address))

    async def _find(
        self, uid: bytes, address: str | None
    ) -> tuple[Verdict, Session | None]:
        """
        See L{find}.
        """
        table, key = self._table, storeKeyOf(self._table.siteName, uid)
        isFormer = table.rotated.former.has(uid, table.seconds())
        none = Verdict.UNKNOWN if isFormer else Verdict.DEAD
        if key in table.tombstones:
            return Verdict.DEAD, None
        new = self._became.get(uid)
        session = None if new is None else await self._current(new)
        if session is None:
            # It may have gone on from there, or another process was faster.
            record = await table.store.follow(key, table.seconds())
            if not isinstance(record, Record):
                return Verdict.DEAD if record is DELETED else none, None
            new = self._reached(record, uid)
            if new is not None:
                self._note(uid, new)
            session = None if new is None else await self._current(new)
        if session is None:
            return Verdict.DEAD, None
        verdict, isReplay = self._judge(uid, session)
        if isReplay:
            await self._replayed(uid, session, address)
        return verdict, session if verdict in _GOOD else None

    def _judge(self, uid: bytes, session: Session) -> tuple[Verdict, bool]:
        """
        See what an old uid is good for.

        @param session: What it has become, it seems.
        @return: That, and whether it comes after its time.
        """
        trail = trailOf(session)
        steps = 0 if trail is None else self._stepsFrom(uid, session, trail)
        if trail is None or not steps:
            # It leads on by another way than this, and not for longer than a minute.
            return Verdict.DEAD, False
        if steps == 1 and not trail.isConfirmed:
            return Verdict.LED, False
        age = abs(self._table.seconds() - trail.renewedAt)
        if steps == 1 and age < self.rule.grace:
            return Verdict.READS, False
        # Between two renewals is the interval at least.
        age += (steps - 1) * self.rule.interval
        return Verdict.DEAD if age < ROTATION_MARKER else Verdict.UNKNOWN, True

    def recall(self, uid: bytes) -> tuple[Verdict, Session] | None:
        """
        Find out what an old uid is good for, as far as that is known here without the
        store.

        @return: And for which session; L{None} if it is not known.
        """
        new = self._became.get(uid)
        session = None if new is None else self._table.sessions.get(new)
        return None if session is None else (self._judge(uid, session)[0], session)

    def fetch(self, uid: bytes) -> Deferred[Session | None]:
        """
        Look a session up in the store, also by an old uid that leads to it.

        @return: See L{Loader.fetch<txsessions.live.loading.Loader.fetch>}.
        """
        return Deferred.fromCoroutine(self._fetch(uid))

    async def _fetch(self, uid: bytes) -> Session | None:
        """
        See L{fetch}.
        """
        session = await self._table.loader.fetch(uid)
        if session is None and self._table.isRotated(uid):
            verdict, session = await self.find(uid)
            return session if verdict is Verdict.LED else None
        return session

    async def _current(self, uid: bytes) -> Session | None:
        """
        Find a session by the uid that it may have just got: until the store has it
        under that, the store is not to be asked.
        """
        loader = self._table.loader
        return loader.find(uid) or await loader.fetch(uid)

    async def _replayed(
        self, uid: bytes, session: Session, address: str | None
    ) -> None:
        """
        Somebody has come with a uid whose time is over, while another goes on with
        the session.
        """
        table, told, now = self._table, self._told, self._table.seconds()
        key = storeKeyOf(table.siteName, uid)
        if told.get(key, 0.0) + self.rule.watch <= now:
            told.pop(key, None)
            told[key] = now
            if len(told) > MAX_TOLD:
                del told[next(iter(told))]
            table.announcer.tell(
                EventKind.REPLAYED,
                table.tagOf(session._uid),
                now,
                createdAt=session._createdAt,
                touchedAt=session.lastModified,
                signIn=session._signIn,
                address=address,
            )
        if self.rule.ends:
            # What cannot be told to the store now is tried again.
            _ = await session._end("replayed").addErrback(lambda _: None)


__all__ = ["MAX_TOLD", "Renewing", "Verdict"]
