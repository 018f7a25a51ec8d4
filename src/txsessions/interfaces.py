"""
The promises: what a session store is, and what a session listener hears.

Being a store is a promise about races, not a shape: the docstrings below are
the contract, and L{txsessions.testing.StoreContract} checks it.  Knows no
implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from zope.interface import Attribute, Interface

from txsessions.core.record import ROTATED, UNCHANGED, Answer, Record

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class ISessionStore(Interface):
    """
    A place that keeps session records.

    There is no C{save} and no upsert: a late request that writes a logged-out
    session back is the bug found in almost every session system.  A store never
    sees a uid, a cookie or an encryption key.

    Absence is a value; an exception means that the system is broken.  Every
    method that returns a Deferred may fail with
    L{StoreUnavailable<txsessions.errors.StoreUnavailable>}, after no more than
    the store's deadline: what a write that ends so did is unknown.  C{now} is
    the caller's clock, in seconds since the epoch.  A Deferred may have fired
    when it is returned.
    """

    durability = Attribute(
        "For people: what an acknowledged write survives, such as C{'every "
        "commit is synced to the disk'}."
    )

    address = Attribute(
        "For people: where the sessions are, such as C{'sqlite:sessions.sqlite'}; "
        "never a password."
    )

    def open() -> Deferred[None]:
        """
        Make ready: connect, create or migrate the schema.  Called again after
        L{close} it opens again; called while open it does nothing.

        @raise StoreCorrupt: What is there is damaged, or newer than this code.
        """

    def close() -> Deferred[None]:
        """
        Finish what was accepted, then let go of every file, thread, connection
        and timer.  Calls made afterwards fail with C{StoreUnavailable}.
        """

    def changes() -> int | None:
        """
        The cheap question, answered at once: has anybody else changed anything?

        @return: A number that differs from the one returned before if any
            record may have been changed in between other than through this
            object, or by a L{delete} that went on from a marker, whose caller
            does not know what ended; or L{None} where only L{load} can tell.
        """

    def insert(record: Record, now: float) -> Deferred[None]:
        """
        Keep a new session.

        Fails with C{SessionExists} if the key is taken, be it by a live
        session, an expired one that nobody has acknowledged yet, or the marker
        of a rotation; what is there stays as it is.
        """

    def load(
        key: bytes, now: float, known: int | None = None
    ) -> Deferred[Record | Literal[Answer.UNCHANGED, Answer.ROTATED] | None]:
        """
        Look a session up.

        @param known: A version that the caller has.
        @return: The record; L{None} if there is none, or it is past its
            deadline at C{now} (whatever a sweeper has done); L{UNCHANGED} if it
            is alive and its version is C{known}; L{ROTATED} for a minute after
            L{rename} took the key away.
        """

    def replace(record: Record, expected: int, now: float) -> Deferred[None]:
        """
        Change a session: only if it is present, alive at C{now} and still at
        version C{expected}.  C{touchedAt} never goes back: where the stored
        one is later, it and the later of the two deadlines stay.

        Fails with C{SessionGone} if it is absent, expired or rotated away, with
        C{SessionConflict}, which carries the current record, if it is at
        another version.  Then nothing is changed.
        """

    def touch(
        key: bytes, touchedAt: float, expiresAt: float, now: float
    ) -> Deferred[None]:
        """
        Move the deadline, only forward: a C{touchedAt} that is not later than
        the stored one changes nothing and is no error.  Payload and version
        stay.

        Fails with C{SessionGone} if the session is absent, expired at C{now} or
        rotated away; it is never brought back.
        """

    def rename(
        oldKey: bytes, record: Record, expected: int, now: float
    ) -> Deferred[None]:
        """
        Give a session a new key and a new record, in one transaction.  The old
        key stays for L{ROTATION_MARKER} seconds as a marker that it was
        rotated, under which nothing can be inserted, read or changed.  The
        marker remembers the new key, for L{delete}.

        Fails with C{SessionGone} and C{SessionConflict} as L{replace} does, and
        with C{SessionExists} if the new key is taken; then nothing is changed.
        """

    def delete(key: bytes) -> Deferred[bool]:
        """
        End a session for good.  Idempotent.

        Under the marker of a rotation it ends what the session has become, from
        marker to marker, so that a logout is final also where another process
        gave the session a new key meanwhile.  The markers themselves stay until
        they run out; one that does not know the new key, as an earlier version
        may have left it, is the end of the way.

        @return: Whether a record was there, alive or expired.  A marker is not
            reported.
        """

    def claimExpired(now: float, limit: int, lease: float) -> Deferred[list[Record]]:
        """
        Hand out records that are past their deadline, each to one caller only,
        of all processes.  What is not acknowledged within C{lease} seconds is
        handed out again.  Markers of rotations that have run out are removed on
        the way and not handed out.

        @param limit: How many at most.
        """

    def acknowledge(keys: Sequence[bytes]) -> Deferred[None]:
        """
        Remove records that L{claimExpired} handed out.  A key that is no longer
        expired, or no longer there, is left alone.
        """

    def countSessions(now: float) -> Deferred[int]:
        """
        How many sessions are alive at C{now}.
        """

    def scan(
        cursor: bytes | None, limit: int
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        Page through all records, expired ones included, markers not.

        @param cursor: L{None} at first, then what the page before returned.
        @return: At most C{limit} records, and the cursor of the next page,
            L{None} behind the last.  A record that is there from the first page
            to the last is seen exactly once.
        """


ROTATION_MARKER = 60.0
"""How long a rotated key stays marked, in seconds."""


class ISessionListener(Interface):
    """
    Somebody who wants to hear what happens to sessions: an auditor, a counter.
    """

    def sessionEvent(event: object) -> None:
        """
        Something happened.  Called in the reactor's thread; what it raises is
        logged and disturbs nothing.

        @param event: A L{SessionEvent<txsessions.live.events.SessionEvent>}.
        """


__all__ = [
    "ROTATED",
    "ROTATION_MARKER",
    "UNCHANGED",
    "Answer",
    "ISessionListener",
    "ISessionStore",
    "Record",
]
