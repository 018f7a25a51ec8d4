"""
Rows of the SQLite database: their checks, and what becomes a record.

Owns the reading of a row.  A plain SQLite file does not notice a flipped bit
inside a value, so each row carries a checksum over what only a change of the
session moves, and C{span}, the difference of the two times that a touch moves
without reading the rest.  The checksum's upper half is the row's epoch once more,
which is moved without reading the rest, too.  Knows nothing of transactions and
threads.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from twisted.logger import Logger

from txsessions.core.record import (
    DELETED,
    FORMER,
    PREFIX_BYTES,
    ROTATED,
    UNCHANGED,
    Answer,
    Record,
    tagOf,
)
from txsessions.interfaces import ROTATION_MARKER

Row = tuple[Any, ...]
Execute = Callable[..., sqlite3.Cursor]
Found = Record | Answer | None

EPOCH_UNIT = 1 << 32
"""What an epoch counts in a checksum."""

NOTHING = b"ended"
"""In a marker, what the key of a deleted session has become: the key of nothing."""

_EPOCH = "coalesce((SELECT now.epoch FROM epochs AS now WHERE now.principal = {}), 0)"
# Its own and that of its prefix together: both only rise, as long as there is a record.
_EPOCH_OF = _EPOCH + " + " + _EPOCH.format(f"substr({{}}, 1, {PREFIX_BYTES})")
_NOT_ENDED = f"epoch >= {_EPOCH_OF.format(*['sessions.principal'] * 2)}"
# Each column costs a load a quarter of a microsecond, so who is signed in is one.
_COLUMNS = (
    "version, expires_at, touched_at, span, created_at, "
    "CASE WHEN principal IS NOT NULL THEN CAST(principal || handle AS BLOB) END, "
    f"checksum - epoch * {EPOCH_UNIT}, payload"
)
_SHARED = {
    "columns": _COLUMNS,
    "epochOf": _EPOCH_OF.format("?1", "?1"),
    "notEnded": _NOT_ENDED,
    "alive": f"(principal IS NULL OR {_NOT_ENDED})",
    "unit": EPOCH_UNIT,
    "nothing": f"x'{NOTHING.hex()}'",
}
KEY_AT = 8
"""Where a key stands that is read behind the columns of a record."""

_HANDLE_BYTES = 16


def statement(text: str) -> str:
    """
    Complete a statement by what many have in common: C{{columns}}, of which
    L{recordOf} makes a record; C{{epochOf}}, the epoch of the principal that is the
    first parameter; C{{notEnded}}, whether a session has not ended with its principal;
    C{{alive}}, the same where it may be anonymous, of which then nothing more is read;
    C{{unit}}, which is L{EPOCH_UNIT}; C{{nothing}}, which is L{NOTHING}.
    """
    return text.format_map(_SHARED)


SELECT = statement("SELECT {columns} FROM sessions WHERE key = ? AND {alive}")
SELECT_TIMES = statement("""
SELECT version, expires_at, touched_at, span FROM sessions
WHERE key = ? AND (principal IS NULL OR ({notEnded} AND checksum >> 32 = epoch))
""")
SELECT_PAGE = statement("""
SELECT {columns}, key
FROM sessions WHERE key > ? AND version IS NOT NULL ORDER BY key LIMIT ?
""")
COUNT = statement("""
SELECT count(*) FROM sessions
WHERE version IS NOT NULL AND expires_at > ? AND {alive}
""")

# UNION, which drops what it has had, ends even where markers lead in a circle.
SELECT_FOLLOWED = statement("""
SELECT {columns}, key FROM sessions
WHERE expires_at > ?2 AND key IN (
    WITH RECURSIVE became (key) AS (
        SELECT ?1
        UNION
        SELECT payload FROM became JOIN sessions USING (key)
        WHERE version IS NULL AND expires_at > ?2
    )
    SELECT key FROM became
) AND CASE WHEN version IS NULL THEN payload = {nothing} ELSE key <> ?1 AND {alive} END
""")

_log = Logger()
_head = struct.Struct("<qdq").pack


class Damaged(Exception):
    """
    A row does not match its checks.
    """


UNREADABLE = (Damaged, TypeError, ValueError, OverflowError, struct.error)


def checksumOf(record: Record) -> int:
    """
    The checksum over all of a record but its times; of a row it is the lower half.
    """
    principal = record.principal
    if principal is None:
        head = _head(record.version, record.createdAt + 0.0, -1)
    else:
        head = _head(record.version, record.createdAt + 0.0, len(principal))
        head += principal + (record.handle or b"")
    return crc32(record.payload, crc32(record.key + head))


def recordOf(key: bytes, row: Row) -> Record:
    """
    Make the record of a row, the columns as L{statement} says, if it is undamaged.

    @raise Damaged: It is not; or one of C{UNREADABLE}, for nonsense.
    """
    version, expiresAt, touchedAt, span, createdAt, who, checksum, payload = row
    principal = handle = None
    if who is None:
        head = key + _head(version, createdAt, -1)
    else:
        principal, handle = who[:-_HANDLE_BYTES], who[-_HANDLE_BYTES:]
        head = key + _head(version, createdAt, len(principal)) + who
    if crc32(payload, crc32(head)) != checksum or expiresAt - touchedAt != span:
        raise Damaged
    return Record(
        key=key,
        version=version,
        createdAt=createdAt,
        touchedAt=touchedAt,
        expiresAt=expiresAt,
        principal=principal,
        handle=handle,
        payload=payload,
    )


def readable(key: bytes, row: Row) -> Record | None:
    """
    Make the record of a row; tell the operator of a damaged one.

    @return: L{None} if it is damaged.  The row stays where it is.
    """
    try:
        return recordOf(key, row)
    except UNREADABLE:
        reportDamage(key)
        return None


def reportDamage(key: bytes) -> None:
    """
    Tell the operator of a row that cannot be used.
    """
    _log.error(
        "The stored record of session {tag} is damaged: its checksum does not "
        "match. It is treated as absent and left where it is",
        tag=tagOf(key),
    )


def read(execute: Execute, key: bytes, now: float, known: int | None) -> Found:
    """
    See L{txsessions.interfaces.ISessionStore.load}.

    @param execute: A cursor's method, on any connection.
    """
    if known is not None and _isStill(execute, key, now, known):
        return UNCHANGED
    row = execute(SELECT, (key,)).fetchone()
    if row is None:
        return None
    try:
        if row[1] <= now:
            return None
        if row[0] is None:
            # Earlier versions did not say when they made a marker.
            isFormer = 0 < row[4] <= now - ROTATION_MARKER
            rotated = FORMER if isFormer else ROTATED
            return DELETED if row[KEY_AT - 1] == NOTHING else rotated
        return recordOf(key, row)
    except UNREADABLE:
        reportDamage(key)
        return None


def _isStill(execute: Execute, key: bytes, now: float, known: int) -> bool:
    """
    Is it alive, at that version, and are its times undamaged?  Where it is not,
    all of the row says why.
    """
    row = execute(SELECT_TIMES, (key,)).fetchone()
    if row is None or row[0] != known:
        return False
    try:
        return row[1] > now and row[1] - row[2] == row[3]  # type: ignore[no-any-return]
    except TypeError:
        return False


def readFollowed(execute: Execute, key: bytes, now: float) -> Found:
    """
    See L{txsessions.interfaces.ISessionStore.follow}.
    """
    row = execute(SELECT_FOLLOWED, (key, now)).fetchone()
    if row is None:
        return None
    return DELETED if row[0] is None else readable(row[KEY_AT], row[:KEY_AT])


def follow(cursor: sqlite3.Cursor, key: bytes, now: float) -> Found:
    """
    The same, for when the reading connection found the database busy.
    """
    return readFollowed(cursor.execute, key, now)


def readPage(
    execute: Execute, cursor: bytes | None, limit: int
) -> tuple[list[Record], bytes | None]:
    """
    See L{txsessions.interfaces.ISessionStore.scan}.  Ordered by key: row numbers
    may change when somebody runs VACUUM.
    """
    rows = execute(SELECT_PAGE, (cursor or b"", limit)).fetchall()
    following = rows[-1][KEY_AT] if len(rows) == limit else None
    return readableOf(rows), following


def readableOf(rows: Sequence[Row]) -> list[Record]:
    """
    Make the records of rows, each with its key at L{KEY_AT}; leave out the damaged.
    """
    records = [readable(row[KEY_AT], row[:KEY_AT]) for row in rows]
    return [record for record in records if record is not None]


__all__ = [
    "COUNT",
    "EPOCH_UNIT",
    "KEY_AT",
    "NOTHING",
    "SELECT",
    "SELECT_FOLLOWED",
    "SELECT_TIMES",
    "UNREADABLE",
    "Damaged",
    "Execute",
    "Found",
    "Row",
    "checksumOf",
    "follow",
    "read",
    "readFollowed",
    "readPage",
    "readable",
    "readableOf",
    "recordOf",
    "reportDamage",
    "statement",
]
