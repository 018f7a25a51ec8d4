"""
Who is signed in, as SQL: the sessions of a principal, its epoch, and their end.

Owns the table of epochs, and the statements that find rows by their principal.  Verbs
run as those of L{txsessions.stores._sqlite_verbs} do.  All processes take turns to
write, so that what one statement has found still holds for the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from math import inf
from typing import Any

from txsessions.core.record import Record, SignInLimit
from txsessions.errors import TooManySessions
from txsessions.stores._sqlite_rows import (
    KEY_AT,
    Execute,
    readableOf,
    statement,
)

LOOK_AGAIN = 3600.0
"""After how many seconds at least an epoch is looked at again that cannot be
forgotten yet."""

_EPOCH = statement("SELECT {epochOf}")
_COUNT = """
SELECT count(*) FROM sessions WHERE principal = ? AND expires_at > ? AND epoch >= ?
"""
_EVICT = """
DELETE FROM sessions WHERE rowid IN (
    SELECT rowid FROM sessions WHERE principal = ? AND expires_at > ? AND epoch >= ?
    ORDER BY created_at, handle LIMIT ?
)
"""
_SUM = """
SELECT count(*), max(expires_at), coalesce(sum(expires_at > ? AND epoch >= ?), 0)
FROM sessions WHERE principal = ?
"""
_RAISE = "UPDATE epochs SET epoch = epoch + 1, until = ? WHERE principal = ?"
_RAISE_FIRST = "INSERT INTO epochs (epoch, until, principal) VALUES (1, ?, ?)"
_SPARE = statement("""
UPDATE sessions SET epoch = epoch + 1, checksum = checksum + {unit}
WHERE key = ? AND principal = ? AND expires_at > ? AND epoch >= ?
""")
_IS_ALIVE = statement("""
SELECT expires_at > ? AND {notEnded} FROM sessions WHERE principal = ? AND handle = ?
""")
_DELETE = "DELETE FROM sessions WHERE principal = ? AND handle = ?"
_ERASE = "DELETE FROM sessions WHERE principal = ?"
_FORGET = "DELETE FROM epochs WHERE principal = ?"
_SELECT_OF = statement("""
SELECT {columns}, key, handle FROM sessions
WHERE principal = ? AND handle > ? AND expires_at > ? AND {notEnded}
ORDER BY handle LIMIT ?
""")
_SELECT_UNTIL = "SELECT principal FROM epochs WHERE until <= ? ORDER BY until LIMIT ?"
_LATEST = "SELECT max(expires_at) FROM sessions WHERE principal = ?"
_POSTPONE = "UPDATE epochs SET until = ? WHERE principal = ?"
_HAS_INDEX = "SELECT count(*) FROM sqlite_master WHERE name = 'sessions_principal'"
_SIGNED_IN = "SELECT count(*) FROM sessions NOT INDEXED WHERE principal IS NOT NULL"
_INDEXED = """
SELECT count(*) FROM sessions INDEXED BY sessions_principal
WHERE principal IS NOT NULL
"""


def epochOf(cursor: sqlite3.Cursor, principal: bytes) -> int:
    """
    The epoch of a principal.
    """
    epoch: int = cursor.execute(_EPOCH, (principal,)).fetchone()[0]
    return epoch


def admit(
    cursor: sqlite3.Cursor, record: Record, epoch: int, now: float, limit: SignInLimit
) -> int:
    """
    Is there room for one more session of a principal?

    @return: How many sessions have to make room for it.
    @raise TooManySessions: There is none.
    """
    alive: int = cursor.execute(_COUNT, (record.principal, now, epoch)).fetchone()[0]
    surplus = max(0, alive + 1 - limit.most)
    if surplus and limit.refuses:
        raise TooManySessions(record.tag, limit.most)
    return surplus


def evict(
    cursor: sqlite3.Cursor, principal: bytes, epoch: int, now: float, count: int
) -> None:
    """
    Delete the oldest sessions of a principal.
    """
    cursor.execute(_EVICT, (principal, now, epoch, count))


def endPrincipal(
    cursor: sqlite3.Cursor,
    principal: bytes,
    now: float,
    but: bytes | None,
    breathe: Callable[[], object],
) -> int:
    """
    See L{txsessions.interfaces.ISessionStore.endPrincipal}.  Where there is no record
    there is nothing to end, and no epoch is kept.
    """
    epoch = epochOf(cursor, principal)
    row = (now, epoch, principal)
    records, until, alive = cursor.execute(_SUM, row).fetchone()
    if not records:
        return 0
    ended: int = alive
    if but is not None:
        ended -= cursor.execute(_SPARE, (but, principal, now, epoch)).rowcount
    _raise(cursor, until, principal)
    return ended


def endEverybody(cursor: sqlite3.Cursor, prefix: bytes) -> None:
    """
    See L{txsessions.interfaces.ISessionStore.endEverybody}.  No sweeper ever has to look
    at this epoch.
    """
    _raise(cursor, inf, prefix)


def _raise(cursor: sqlite3.Cursor, until: float, whose: bytes) -> None:
    """
    Raise an epoch.

    @param until: When the sweeper has to look at it.
    @param whose: A principal, or a prefix.
    """
    if not cursor.execute(_RAISE, (until, whose)).rowcount:
        cursor.execute(_RAISE_FIRST, (until, whose))


def endSession(
    cursor: sqlite3.Cursor, principal: bytes, handle: bytes, now: float
) -> bool:
    """
    See L{txsessions.interfaces.ISessionStore.endSession}.
    """
    found = cursor.execute(_IS_ALIVE, (now, principal, handle)).fetchone()
    cursor.execute(_DELETE, (principal, handle))
    return bool(found is not None and found[0])


def erasePrincipal(
    cursor: sqlite3.Cursor, principal: bytes, breathe: Callable[[], object]
) -> int:
    """
    See L{txsessions.interfaces.ISessionStore.erasePrincipal}.
    """
    erased = cursor.execute(_ERASE, (principal,)).rowcount
    cursor.execute(_FORGET, (principal,))
    return erased


def forgetEpochs(cursor: sqlite3.Cursor, now: float, limit: int) -> None:
    """
    Forget the epochs of principals of whom no record is left.

    @param limit: How many to look at.
    """
    due = cursor.execute(_SELECT_UNTIL, (now, limit)).fetchall()
    for (principal,) in due:
        latest = cursor.execute(_LATEST, (principal,)).fetchone()[0]
        if latest is None:
            cursor.execute(_FORGET, (principal,))
        else:
            cursor.execute(_POSTPONE, (max(latest, now + LOOK_AGAIN), principal))


def readSessionsOf(
    execute: Execute, principal: bytes, now: float, cursor: bytes | None, limit: int
) -> tuple[list[Record], bytes | None]:
    """
    See L{txsessions.interfaces.ISessionStore.sessionsOf}.
    """
    row = (principal, cursor or b"", now, limit)
    rows = execute(_SELECT_OF, row).fetchall()
    following = rows[-1][KEY_AT + 1] if len(rows) == limit else None
    return readableOf(rows), following


def misfits(connection: sqlite3.Connection) -> int:
    """
    See L{txsessions.interfaces.ISessionStore.verifyIndex}.  All of it is asked of one
    moment, while others write.
    """

    def ask(query: str) -> Any:
        return connection.execute(query).fetchone()[0]

    connection.execute("BEGIN")
    indexed: int = ask(_INDEXED) if ask(_HAS_INDEX) else 0
    signedIn: int = ask(_SIGNED_IN)
    connection.execute("COMMIT")
    return abs(signedIn - indexed)


__all__ = [
    "LOOK_AGAIN",
    "admit",
    "endEverybody",
    "endPrincipal",
    "endSession",
    "epochOf",
    "erasePrincipal",
    "evict",
    "forgetEpochs",
    "misfits",
    "readSessionsOf",
]
