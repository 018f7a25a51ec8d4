"""
The promises: what a session store is, and what a session listener hears.

Being a store is a promise about races, not a shape: the docstrings below are
the contract, and L{txsessions.testing.StoreContract} checks it.  Knows no
implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

from txsessions.core.record import (
    DELETED,
    FORMER,
    PREFIX_BYTES,
    ROTATED,
    UNCHANGED,
    Answer,
    Record,
    SignInLimit,
)

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

    Who is signed in is a principal, and changes only by L{insert} and L{rename}.  All
    sessions of one can be ended at once, however many there are: each principal has
    an epoch, a counter, 0 until L{endPrincipal} first raises it, and each record
    remembers the epoch that its principal had when it signed in.  A record of an
    earlier epoch has I{ended}: it is as absent as a deleted one for L{load} (also with
    C{known}), L{replace}, L{touch}, L{rename}, L{countSessions} and L{sessionsOf},
    though it stays where it is until it is deleted or swept.  An epoch is the
    store's own business, and is kept as long as there is any record of its
    principal: a lower one would bring the ended back.

    Principals that begin with the same C{PREFIX_BYTES}, those of one site, can all be
    ended at once: the prefix has an epoch, too, which L{endEverybody} raises and which is
    kept for good, and a record that signed in under an earlier one of either has ended.
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
            object, or by one of its calls that ends sessions which its caller does
            not name: a L{delete} that went on from a marker, L{endPrincipal},
            L{endEverybody}, L{endSession}, L{erasePrincipal}, L{evictAnonymous}, a
            L{SignInLimit}; or L{None} where only L{load} can tell.
        """

    def insert(
        record: Record, now: float, limit: SignInLimit | None = None
    ) -> Deferred[None]:
        """
        Keep a new session.

        Fails with C{SessionExists} if the key is taken, be it by a live
        session, an expired or ended one that is still there, or the marker of a
        rotation; what is there stays as it is.

        @param limit: Where the record has a principal of which C{limit.most}
            sessions are alive already, either fails with C{TooManySessions}, or
            deletes the oldest by C{createdAt} (of the same age the lower handle)
            until C{limit.most - 1} are left.  In one transaction: of any number of
            processes that sign in at once none exceeds it.  Where it fails,
            whatever the reason, nothing is deleted.
        """

    def load(
        key: bytes, now: float, known: int | None = None
    ) -> Deferred[Record | Answer | None]:
        """
        Look a session up.

        @param known: A version that the caller has.
        @return: The record; L{None} if there is none, or it is past its
            deadline at C{now} (whatever a sweeper has done); L{UNCHANGED} if it
            is alive and its version is C{known}; L{ROTATED} for
            L{ROTATION_MARKER} seconds after L{rename} took the key away, and then
            L{FORMER} for as long as the marker stays; L{DELETED} for some seconds
            after a L{delete} that was to leave a marker.
        """

    def replace(record: Record, expected: int, now: float) -> Deferred[None]:
        """
        Change a session: only if it is present, alive at C{now} and still at
        version C{expected}.  C{touchedAt} never goes back: where the stored
        one is later, it and the later of the two deadlines stay.  Principal and
        handle stay whatever the record says.

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
        oldKey: bytes,
        record: Record,
        expected: int,
        now: float,
        limit: SignInLimit | None = None,
        marks: float = 60.0,
    ) -> Deferred[None]:
        """
        Give a session a new key and a new record, in one transaction.  Its
        principal may be another one, or none: that is a sign-in, or a sign-out, and
        the record remembers the epoch of now.  With the same principal it keeps the
        one that it has.  The old key stays for C{marks} seconds as a marker
        that it was rotated, under which nothing can be inserted, read or changed.
        The marker remembers the new key, for L{delete} and L{follow}.

        Fails with C{SessionGone} and C{SessionConflict} as L{replace} does, and
        with C{SessionExists} if the new key is taken; then nothing is changed.

        @param limit: As with L{insert}, where the principal becomes another one.
        @param marks: How long the marker stays, L{ROTATION_MARKER} if not given.
        """

    def follow(key: bytes, now: float) -> Deferred[Record | Answer | None]:
        """
        Find what a session has become, from marker to marker, in one look: no rename
        that comes meanwhile makes it lost.

        @return: Its record, under the key of now; L{DELETED} if the last marker is
            that of a L{delete}; L{None} if there is no marker under this key at
            C{now}, or one on the way has run out, or the session at the end is past
            its deadline, ended or gone.
        """

    def delete(key: bytes, now: float | None = None) -> Deferred[bool]:
        """
        End a session for good.  Idempotent.

        Under the marker of a rotation it ends what the session has become, from
        marker to marker, so that a logout is final also where another process
        gave the session a new key meanwhile.  The markers themselves stay until
        they run out; one that does not know the new key, as an earlier version
        may have left it, is the end of the way.

        @param now: Where it is given, and a record was there, its key stays for
            L{END_MARKER} seconds as a marker that it was deleted, as the old one of
            L{rename} does: a request that was sent before with the dead id, and comes
            after a new sign-in, is known by it.
        @return: Whether a record was there, alive, expired or ended.  A marker is
            not reported.
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
        Page through all records, expired and ended ones included, markers not.

        @param cursor: L{None} at first, then what the page before returned.
        @return: At most C{limit} records, and the cursor of the next page,
            L{None} behind the last.  A record that is there from the first page
            to the last is seen exactly once.
        """

    def sessionsOf(
        principal: bytes, now: float, cursor: bytes | None = None, limit: int = 100
    ) -> Deferred[tuple[list[Record], bytes | None]]:
        """
        Page through the sessions of a principal that are alive at C{now}, in the
        order of their handles.

        @param cursor: See L{scan}.
        @return: See L{scan}.
        """

    def endPrincipal(
        principal: bytes, now: float, but: bytes | None = None
    ) -> Deferred[int]:
        """
        End all sessions of a principal, in one transaction that takes no longer
        where they are many, but for the count.  What survives is as with L{delete}:
        no crash and no power cut brings them back.

        A sign-in that races with it comes before, and is ended and counted, or after,
        and lives.  Whatever else races with it, none of them is brought back.

        @param but: The key of a session that stays, if it is alive and of that
            principal.
        @return: How many were alive at C{now} and have ended.
        """

    def endEverybody(prefix: bytes) -> Deferred[None]:
        """
        End the sessions of all principals that begin with this, as L{endPrincipal} does
        those of one, in a time that does not depend on how many there are; they are
        not counted.  Anonymous sessions and those of other principals go on.

        @param prefix: C{PREFIX_BYTES} of them.
        """

    def endSession(principal: bytes, handle: bytes, now: float) -> Deferred[bool]:
        """
        Delete the session of a principal that has this handle: see L{delete}.

        @return: Whether it was alive at C{now}.
        """

    def erasePrincipal(principal: bytes) -> Deferred[int]:
        """
        Remove all that there is of a principal, in one transaction: its records,
        alive, expired or ended, whatever finds them, and its epoch.  A write that is
        under way with one of them fails with C{SessionGone}.  Survives as L{delete}
        does.

        @return: How many records there were.
        """

    def evictAnonymous(
        most: int, now: float, limit: int
    ) -> Deferred[tuple[list[Record], bool]]:
        """
        Delete anonymous sessions, those without a principal, until C{most} are alive
        at C{now}: first those with the earliest deadline, as far as touches have moved
        it.  Sessions with a principal, expired ones and markers neither count nor go.
        Survives as L{delete} does.  In one transaction, and bounded: it takes little
        longer where there are many, for which the store keeps them in an order of
        their own.  Processes that call it at once delete no more than one would.

        Whatever races with it: a session whose deadline a touch or a replace has moved
        before, or that signed in before, is judged by what it is then; what comes
        after finds no session, and brings none back.

        @param limit: How many it deletes at most; a store may delete fewer at a time.
        @return: Those that were deleted, without damaged ones; and whether there may
            be more to delete, so that it is worth calling again.
        """

    def verifyIndex(
        cursor: bytes | None = None, limit: int = 500
    ) -> Deferred[tuple[int, bytes | None]]:
        """
        Page through the records, and through that by which L{sessionsOf} finds them,
        and see whether the two agree.  Where the index is the engine's own business,
        a look whether it is there is enough.

        @param cursor: See L{scan}.
        @return: How many entries have no record, or records with a principal no
            entry, and the cursor of the next page.
        """


class IReconnectingStore(Interface):
    """
    What an L{ISessionStore} provides besides whose connection may be lost and made again,
    perhaps to another server: one that took over, and lacks the last of what the former
    had acknowledged.  Where this is provided, those ends of sessions are carried out
    again that this process knows of.
    """

    def addConnectionListener(listener: IConnectionListener) -> None:
        """
        Tell somebody from now on.  Listeners are held weakly.
        """


class IConnectionListener(Interface):
    """
    Somebody who wants to know that a store may be another one now.
    """

    def storeConnected() -> None:
        """
        A connection by which sessions are read or changed was made, for the first time
        or again.  Called in the reactor's thread, before anything else is asked by
        it; does not raise.
        """


ROTATION_MARKER = 60.0
"""How long a rotated key stays marked, in seconds, if nothing else is said, and how
long it counts as one that was just given up."""

END_MARKER = 10.0
"""How long the key of a session that was deleted may stay marked, in seconds: longer
than a request is on its way."""


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
    "DELETED",
    "END_MARKER",
    "FORMER",
    "PREFIX_BYTES",
    "ROTATED",
    "ROTATION_MARKER",
    "UNCHANGED",
    "Answer",
    "IConnectionListener",
    "IReconnectingStore",
    "ISessionListener",
    "ISessionStore",
    "Record",
    "SignInLimit",
]
