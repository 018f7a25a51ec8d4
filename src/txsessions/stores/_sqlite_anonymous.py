"""
Anonymous sessions that are too many, as SQL: how many there are, and who has to go.

Owns the index by which they are found.  It is in the order of C{due}, which is never
later than the deadline, and which no touch moves: so it costs a session in use nothing.
Whoever evicts moves on those that were used since.  Where somebody is signed in there
is a principal, and the marker of a rotation has an epoch that no session has.  Verbs run as those of
L{txsessions.stores._sqlite_verbs} do; all processes take turns to write, so that what
one statement has found still holds for the next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from txsessions.core.record import Record
from txsessions.stores._sqlite_rows import KEY_AT, readable, statement

LOOK = 256
"""How many sessions one verb looks at."""

_BREATH = 64
_ANONYMOUS = "principal IS NULL AND epoch = 0 AND due IS NOT NULL"
_FIND = "SELECT 1 FROM sqlite_master WHERE name = 'sessions_anonymous'"
_CREATE = f"CREATE INDEX sessions_anonymous ON sessions (due) WHERE {_ANONYMOUS}"
_COUNT = "SELECT count(*) FROM sessions WHERE {anonymous} AND due > ?"
# Those that are alive all the same: the sweeper has not come to move them on.
_COUNT_LATE = """
SELECT coalesce(sum(expires_at > ?), 0) FROM (
    SELECT expires_at FROM sessions WHERE {anonymous} AND due <= ?
    ORDER BY due LIMIT {look}
)
"""
# Those that are not: the sweeper has claimed them, until then.
_COUNT_CLAIMED = """
SELECT coalesce(sum(expires_at <= ?), 0) FROM (
    SELECT expires_at FROM sessions WHERE {anonymous} AND due > ?
    ORDER BY due LIMIT {look}
)
"""
_OLDEST = """
SELECT due, expires_at, rowid FROM sessions
WHERE {anonymous} AND expires_at > ? AND version IS NOT NULL
ORDER BY due LIMIT {look}
"""
_READ = statement("SELECT {columns}, key FROM sessions WHERE rowid = ?")
_MOVE = "UPDATE sessions SET due = ? WHERE rowid = ?"
_DELETE = "DELETE FROM sessions WHERE rowid = ?"
_COUNT, _COUNT_LATE, _COUNT_CLAIMED, _OLDEST = (
    text.format(anonymous=_ANONYMOUS, look=LOOK)
    for text in (_COUNT, _COUNT_LATE, _COUNT_CLAIMED, _OLDEST)
)


def createIndex(connection: sqlite3.Connection) -> None:
    """
    Make the index, where it is not there yet: earlier code can live with it.
    """
    if connection.execute(_FIND).fetchone() is None:
        connection.execute(_CREATE)


def evict(
    cursor: sqlite3.Cursor,
    most: int,
    now: float,
    limit: int,
    breathe: Callable[[], object],
) -> tuple[list[Record], bool]:
    """
    See L{txsessions.interfaces.ISessionStore.evictAnonymous}.
    """
    surplus = _ask(cursor, _COUNT, now) - most
    surplus += _ask(cursor, _COUNT_LATE, now, now)
    if surplus > 0:
        surplus -= _ask(cursor, _COUNT_CLAIMED, now, now)
    if surplus <= 0:
        return [], False
    rows = cursor.execute(_OLDEST, (now,)).fetchall()
    # Those that were not looked at live at least as long as this.
    least = rows[-1][0] if len(rows) == LOOK else float("inf")
    rows.sort(key=lambda row: row[1])
    leaving = [row for row in rows if row[1] <= least][: min(surplus, limit)]
    moved = [row for row in rows[len(leaving) :] if row[1] > row[0]]
    cursor.executemany(_MOVE, [row[1:] for row in moved])
    breathe()
    evicted = []
    for number, (_, _, rowid) in enumerate(leaving, 1):
        record = _take(cursor, rowid)
        if record is not None:
            evicted.append(record)
        if number % _BREATH == 0:
            breathe()
    return evicted, surplus > len(leaving) and bool(leaving or moved)


def _ask(cursor: sqlite3.Cursor, query: str, *values: float) -> int:
    """
    Count something.
    """
    count: int = cursor.execute(query, values).fetchone()[0]
    return count


def _take(cursor: sqlite3.Cursor, rowid: int) -> Record | None:
    """
    Delete a row.

    @return: The record; L{None} if it is damaged, and so was not alive: that one
        stays, and is not looked at again.
    """
    row = cursor.execute(_READ, (rowid,)).fetchone()
    record = readable(row[KEY_AT], row[:KEY_AT])
    if record is None:
        cursor.execute(_MOVE, (None, rowid))
    else:
        cursor.execute(_DELETE, (rowid,))
    return record


__all__ = ["LOOK", "createIndex", "evict"]
