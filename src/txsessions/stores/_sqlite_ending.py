"""
The end of a session in the SQL of SQLite.

Owns what is left of one that was deleted: nothing, or a marker.
"""

from __future__ import annotations

import sqlite3

from txsessions.interfaces import END_MARKER
from txsessions.stores._sqlite_rows import NOTHING

_REMOVE = "DELETE FROM sessions"
MARK = """
UPDATE sessions SET version = NULL, created_at = ?, touched_at = 0, expires_at = ?,
    span = 0, due = ?, claimed_until = NULL, checksum = 0, principal = NULL,
    handle = NULL, epoch = -1, payload = ?
"""
"""Makes a marker of a row: when, its deadline, twice, and what the key has become."""

_THIS = " WHERE key = ? AND version IS NOT NULL"
_IS_THERE = "SELECT 1 FROM sessions WHERE key = ?"
# UNION, which drops what it has had, ends even where markers lead in a circle.  Of a
# statement that begins with WITH Python does not count the rows.
_FOLLOWED = """
WHERE version IS NOT NULL AND key IN (
    WITH RECURSIVE became (key) AS (
        SELECT payload FROM sessions WHERE key = ? AND version IS NULL
        UNION
        SELECT payload FROM became JOIN sessions USING (key) WHERE version IS NULL
    )
    SELECT key FROM became
)
"""
_DELETE, _DELETE_FOLLOWED = _REMOVE + _THIS, _REMOVE + _FOLLOWED
_END, _END_FOLLOWED = MARK + _THIS, MARK + _FOLLOWED


def delete(cursor: sqlite3.Cursor, key: bytes, now: float | None) -> tuple[bool, bool]:
    """
    See L{txsessions.interfaces.ISessionStore.delete}.

    @return: Whether a record was there, and whether a marker led there.
    """
    values: tuple[float | bytes, ...] = (key,)
    if now is None:
        this, followed = _DELETE, _DELETE_FOLLOWED
    else:
        until = now + END_MARKER
        this, followed, values = _END, _END_FOLLOWED, (now, until, until, NOTHING, key)
    if cursor.execute(this, values).rowcount:
        return True, False
    if cursor.execute(_IS_THERE, (key,)).fetchone() is None:
        return False, False
    return cursor.execute(followed, values).rowcount > 0, True


__all__ = ["MARK", "delete"]
