"""
The end of a session as SQL of the PostgreSQL store.

Owns what is left of one that was deleted: nothing, or a marker; and what a marker is.
"""

from __future__ import annotations

NOTHING = b"ended"
"""In a marker, what the key of a deleted session has become: the key of nothing."""

SQL_NOTHING = f"'{NOTHING.decode()}'"
"""The same in a statement."""

_MARKER = (
    "version = NULL, created_at = $C, touched_at = 0, expires_at = $T, span = $T, "
    "due = $T, claimed_until = NULL, checksum = 0, principal = NULL, handle = NULL, "
    "epoch = -1, payload = "
)
RENAMED = _MARKER.replace("$T", "$11").replace("$C", "$3") + "$4"
"""What the row of the old key becomes where a session is renamed."""

ENDED = _MARKER.replace("$T", "$2").replace("$C", "0") + SQL_NOTHING
"""What the row of a session becomes that is deleted."""

DELETE = "DELETE FROM {sessions} WHERE key = $1 AND version IS NOT NULL"
END = "UPDATE {sessions} SET {end} WHERE key = $1 AND version IS NOT NULL"
# UNION, which drops what it has had, ends even where markers lead in a circle.
_FOLLOW = """
WITH RECURSIVE became (key) AS (
    SELECT payload FROM {sessions} WHERE key = $1 AND version IS NULL
    UNION
    SELECT payload FROM became JOIN {sessions} USING (key) WHERE version IS NULL
), found AS (
    SELECT key FROM became JOIN {sessions} USING (key) WHERE version IS NOT NULL
), ended AS (
    {how} WHERE old.key = found.key AND version IS NOT NULL
    RETURNING 1
)
SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM ended)
"""
FOLLOW_DELETE = _FOLLOW.replace("{how}", "DELETE FROM {sessions} AS old USING found")
FOLLOW_END = _FOLLOW.replace("{how}", "UPDATE {sessions} AS old SET {end} FROM found")

__all__ = [
    "DELETE",
    "END",
    "ENDED",
    "FOLLOW_DELETE",
    "FOLLOW_END",
    "NOTHING",
    "RENAMED",
    "SQL_NOTHING",
]
