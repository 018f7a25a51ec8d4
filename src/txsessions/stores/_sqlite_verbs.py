"""
The writing verbs, as SQL.

Owns the statements that change rows.  Each verb runs inside a transaction that
somebody else opens and commits, together with the verbs of other requests: one
that cannot be done raises its own error and has changed nothing.  There is no
upsert here, and none may come.

The common case is one conditional UPDATE; only where it met no row is the row
looked at, to find out why.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from txsessions.core.record import (
    Record,
    SignInLimit,
    neverBack,
    sameSignIn,
    tagOf,
)
from txsessions.errors import SessionConflict, SessionExists, SessionGone
from txsessions.stores._sqlite_ending import MARK
from txsessions.stores._sqlite_principals import admit, epochOf, evict, forgetEpochs
from txsessions.stores._sqlite_rows import (
    EPOCH_UNIT,
    KEY_AT,
    Found,
    checksumOf,
    read,
    readable,
    statement,
)

BREATH = 64
"""After how many rows a long verb, which runs in the thread, pauses for a moment.
SQLite lets go of the interpreter's lock at each row, but takes it back before the
reactor's thread has woken, which so would wait its five milliseconds again and
again."""

GIVEN_BACK = 512
"""How many free pages one verb returns to the file system."""

_INSERT = """
INSERT INTO sessions (version, expires_at, touched_at, span, created_at, checksum,
    payload, due, key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SIGN_IN = """
INSERT INTO sessions (version, expires_at, touched_at, span, created_at, checksum,
    payload, due, key, principal, handle, epoch)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_REPLACE = """
UPDATE sessions SET version = ?, expires_at = ?, touched_at = ?, span = ?,
    created_at = ?, checksum = ?, payload = ?, claimed_until = NULL
WHERE key = ? AND version = ? AND expires_at > ? AND touched_at <= ? AND due <= ?
    AND principal IS NULL
"""
_REPLACE_SIGNED_IN = statement("""
UPDATE sessions SET version = ?, expires_at = ?, touched_at = ?, span = ?,
    created_at = ?, checksum = ? + epoch * {unit}, payload = ?,
    claimed_until = NULL
WHERE key = ? AND version = ? AND expires_at > ? AND touched_at <= ? AND due <= ?
    AND principal = ? AND handle = ? AND {notEnded}
""")
_REPLACE_ALL = statement("""
UPDATE sessions SET version = ?, expires_at = ?, touched_at = ?, span = ?,
    created_at = ?, checksum = ? + epoch * {unit}, payload = ?, due = ?,
    claimed_until = NULL
WHERE key = ?
""")
_TOUCH = statement("""
UPDATE sessions SET touched_at = ?, expires_at = ?, span = ?, claimed_until = NULL
WHERE key = ? AND version IS NOT NULL AND expires_at > ? AND touched_at < ?
    AND expires_at <= ? AND due <= ? AND {alive}
""")
_TOUCH_ALL = """
UPDATE sessions SET touched_at = ?, expires_at = ?, span = ?, due = ?,
    claimed_until = NULL
WHERE key = ?
"""
_IS_THERE = "SELECT 1 FROM sessions WHERE key = ?"
_MARK = MARK + " WHERE key = ?"
_SELECT_DUE = statement("""
SELECT {columns}, key, rowid
FROM sessions WHERE due <= ? ORDER BY due LIMIT ?
""")
_SELECT_APPOINTMENT = "SELECT due FROM sessions WHERE key = ?"
_CLAIM = "UPDATE sessions SET due = ?, claimed_until = ? WHERE rowid = ?"
_POSTPONE = "UPDATE sessions SET due = ? WHERE rowid = ?"
_REMOVE_MARKER = "DELETE FROM sessions WHERE rowid = ?"
_GIVE_BACK = "PRAGMA incremental_vacuum(1)"
_ACKNOWLEDGE = "DELETE FROM sessions WHERE key = ? AND claimed_until IS NOT NULL"


def insert(cursor: sqlite3.Cursor, record: Record) -> None:
    """
    See L{txsessions.interfaces.ISessionStore.insert}; for anonymous sessions.
    """
    _make(cursor, _INSERT, record, (*_values(record), record.expiresAt, record.key))


def signIn(
    cursor: sqlite3.Cursor, record: Record, now: float, limit: SignInLimit | None
) -> int:
    """
    See L{txsessions.interfaces.ISessionStore.insert}; for sessions with a principal.

    @return: How many sessions had to make room for it.
    """
    principal = record.principal
    assert principal is not None
    if limit is not None and cursor.execute(_IS_THERE, (record.key,)).fetchone():
        raise SessionExists(record.tag)
    epoch = epochOf(cursor, principal)
    surplus = 0 if limit is None else admit(cursor, record, epoch, now, limit)
    if surplus:
        evict(cursor, principal, epoch, now, surplus)
    values = _values(record, epoch)
    signed = (principal, record.handle, epoch)
    row = (*values, record.expiresAt, record.key, *signed)
    _make(cursor, _SIGN_IN, record, row)
    return surplus


def replace(cursor: sqlite3.Cursor, record: Record, expected: int, now: float) -> None:
    """
    See L{txsessions.interfaces.ISessionStore.replace}.
    """
    expiresAt, touchedAt = record.expiresAt, record.touchedAt
    row = (
        record.version,
        expiresAt,
        touchedAt,
        expiresAt - touchedAt,
        record.createdAt,
        checksumOf(record),
        record.payload,
        record.key,
        expected,
        now,
        touchedAt,
        expiresAt,
    )
    principal = record.principal
    if principal is None:
        done = cursor.execute(_REPLACE, row)
    else:
        row += (principal, record.handle)  # type: ignore[assignment]
        done = cursor.execute(_REPLACE_SIGNED_IN, row)
    if done.rowcount:
        return
    stored = _alive(cursor, record.key, expected, now)
    record = sameSignIn(neverBack(record, stored), stored)
    due = _dueAt(cursor, record.key, record.expiresAt)
    cursor.execute(_REPLACE_ALL, (*_values(record), due, record.key))


def touch(
    cursor: sqlite3.Cursor, key: bytes, touchedAt: float, expiresAt: float, now: float
) -> None:
    """
    See L{txsessions.interfaces.ISessionStore.touch}.
    """
    times = (touchedAt, expiresAt, expiresAt - touchedAt)
    row = (*times, key, now, touchedAt, expiresAt, expiresAt)
    if cursor.execute(_TOUCH, row).rowcount:
        return
    stored = _alive(cursor, key, None, now)
    if stored.touchedAt >= touchedAt:
        return
    expiresAt = max(stored.expiresAt, expiresAt)
    times = (touchedAt, expiresAt, expiresAt - touchedAt)
    due = _dueAt(cursor, key, expiresAt)
    cursor.execute(_TOUCH_ALL, (*times, due, key))


def rename(
    cursor: sqlite3.Cursor,
    oldKey: bytes,
    record: Record,
    expected: int,
    now: float,
    limit: SignInLimit | None,
    marks: float,
) -> int:
    """
    See L{txsessions.interfaces.ISessionStore.rename}.

    @return: How many sessions had to make room for it.
    """
    stored = _alive(cursor, oldKey, expected, now)
    renamed = neverBack(record, stored)
    evicted = 0
    if record.principal is None:
        insert(cursor, renamed)
    elif record.principal == stored.principal:
        # It is alive, so that its epoch is the one of now.
        signIn(cursor, renamed, now, None)
    else:
        evicted = signIn(cursor, renamed, now, limit)
    until = now + marks
    cursor.execute(_MARK, (now, until, until, record.key, oldKey))
    return evicted


def load(cursor: sqlite3.Cursor, key: bytes, now: float, known: int | None) -> Found:
    """
    See L{txsessions.interfaces.ISessionStore.load}; for when the reading
    connection found the database busy.
    """
    return read(cursor.execute, key, now, known)


def claim(
    cursor: sqlite3.Cursor,
    now: float,
    limit: int,
    lease: float,
    breathe: Callable[[], object],
) -> tuple[list[Record], bool]:
    """
    One slice of L{txsessions.interfaces.ISessionStore.claimExpired}.

    @param limit: How many rows to look at.
    @param breathe: Called now and then: see L{BREATH}.
    @return: The records claimed, and whether there may be more.
    """
    claimed: list[Record] = []
    claims: list[tuple[float, float, int]] = []
    postponed: list[tuple[float | None, int]] = []
    markers: list[tuple[int]] = []
    count = 0
    cursor.execute(_SELECT_DUE, (now, limit))
    while rows := cursor.fetchmany(BREATH):
        count += len(rows)
        for row in rows:
            version, expiresAt, key, rowid = row[0], row[1], row[KEY_AT], row[-1]
            if version is None and expiresAt <= now:
                markers.append((rowid,))
            elif version is None:
                postponed.append((expiresAt, rowid))
            elif (record := readable(key, row[:KEY_AT])) is None:
                postponed.append((None, rowid))
            elif record.expiresAt > now:
                postponed.append((expiresAt, rowid))
            else:
                claimed.append(record)
                claims.append((now + lease, now + lease, rowid))
        breathe()
    _executeMany(cursor, _POSTPONE, postponed, breathe)
    _executeMany(cursor, _REMOVE_MARKER, markers, breathe)
    _executeMany(cursor, _CLAIM, claims, breathe)
    if count < limit:
        forgetEpochs(cursor, now, BREATH)
    return claimed, count == limit


def acknowledge(
    cursor: sqlite3.Cursor, keys: Sequence[bytes], breathe: Callable[[], object]
) -> None:
    """
    See L{txsessions.interfaces.ISessionStore.acknowledge}.  A touch takes the
    claim away, so that a session used meanwhile is never swept.
    """
    _executeMany(cursor, _ACKNOWLEDGE, [(key,) for key in keys], breathe)


def giveBack(cursor: sqlite3.Cursor, breathe: Callable[[], object]) -> None:
    """
    Return some free pages to the file system.  Python steps this pragma once,
    which is one page, whatever number it is given; and unless asked for rows
    leaves it unfinished, so that nothing can be committed.
    """
    for _ in range(GIVEN_BACK // BREATH):
        for _ in range(BREATH):
            cursor.execute(_GIVE_BACK).fetchall()
        breathe()


def _executeMany(
    cursor: sqlite3.Cursor,
    statement: str,
    rows: Sequence[tuple[object, ...]],
    breathe: Callable[[], object],
) -> None:
    """
    Run a statement for many rows, with pauses.
    """
    for start in range(0, len(rows), BREATH):
        cursor.executemany(statement, rows[start : start + BREATH])
        breathe()


def _make(
    cursor: sqlite3.Cursor, insertion: str, record: Record, row: tuple[object, ...]
) -> None:
    """
    Make a row.

    @raise SessionExists: There is one under its key.
    """
    try:
        cursor.execute(insertion, row)
    except sqlite3.IntegrityError as error:
        if "UNIQUE" in str(error):
            raise SessionExists(record.tag) from None
        raise


def _values(record: Record, epoch: int = 0) -> tuple[object, ...]:
    """
    The columns of a record, as the statements above name them.
    """
    return (
        record.version,
        record.expiresAt,
        record.touchedAt,
        record.expiresAt - record.touchedAt,
        record.createdAt,
        checksumOf(record) + epoch * EPOCH_UNIT,
        record.payload,
    )


def _alive(
    cursor: sqlite3.Cursor, key: bytes, expected: int | None, now: float
) -> Record:
    """
    Find out why a conditional statement met no row.

    @param expected: The version wanted, or L{None} for any.
    @return: What is there after all, alive and at that version.
    @raise SessionGone: It is absent, expired, ended, rotated away or damaged.
    @raise SessionConflict: It is at another version.
    """
    stored = read(cursor.execute, key, now, None)
    if not isinstance(stored, Record):
        raise SessionGone(tagOf(key))
    if expected is not None and stored.version != expected:
        raise SessionConflict(stored)
    return stored


def _dueAt(cursor: sqlite3.Cursor, key: bytes, expiresAt: float) -> float:
    """
    When the sweeper has to look at a row: never later than its deadline.
    """
    due: float | None = cursor.execute(_SELECT_APPOINTMENT, (key,)).fetchone()[0]
    return expiresAt if due is None else min(due, expiresAt)


__all__ = [
    "BREATH",
    "GIVEN_BACK",
    "acknowledge",
    "claim",
    "giveBack",
    "insert",
    "load",
    "rename",
    "replace",
    "signIn",
    "touch",
]
