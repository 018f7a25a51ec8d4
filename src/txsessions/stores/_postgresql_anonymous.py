"""
Anonymous sessions that are too many, as SQL of the PostgreSQL store.

Owns the index by which they are found, and the statement by which they go.  The index
is in the order of C{due}, which is never later than the deadline and which no touch
moves, so that updates of sessions in use stay "HOT"; whoever evicts moves on those that
were used since.  Where somebody is signed in there is a principal, and the marker of a
rotation has an epoch that no session has.

It runs under an advisory lock, so that of those who count none counts what another is
deleting; and waits for no row: one that somebody else is changing is in use.
"""

from __future__ import annotations

LOOK = 256
"""How many sessions the statement looks at."""

_ANONYMOUS = "principal IS NULL AND epoch = 0 AND due IS NOT NULL"
FIND_INDEX = "SELECT to_regclass({byAge})::text"
CREATE_INDEX = (
    f"CREATE INDEX IF NOT EXISTS {{anonymous}} ON {{sessions}} (due) WHERE {_ANONYMOUS}"
)
# Besides those whose time has not come there may be some that are alive all the same,
# because the sweeper has not moved them on, and some that are not, because it has
# claimed them.  Rows that were not looked at live at least as long as the last that was.
EVICT = """
WITH late AS (
    SELECT expires_at FROM {sessions}
    WHERE {anonymous} AND due <= $2 ORDER BY due LIMIT {look}
), claimed AS (
    SELECT expires_at FROM {sessions}
    WHERE {anonymous} AND due > $2 ORDER BY due LIMIT {look}
), many AS (
    SELECT (SELECT count(*) FROM {sessions} WHERE {anonymous} AND due > $2)
        + (SELECT count(*) FROM late WHERE expires_at > $2)
        - (SELECT count(*) FROM claimed WHERE expires_at <= $2) - $1 AS surplus
), looked AS (
    SELECT key AS looked_at, due AS place, expires_at AS until FROM {sessions}
    WHERE {anonymous} AND expires_at > $2 AND version IS NOT NULL
        AND (SELECT surplus FROM many) > 0
    ORDER BY due LIMIT {look} FOR UPDATE SKIP LOCKED
), leaving AS (
    SELECT looked_at FROM looked
    WHERE (SELECT count(*) FROM looked) < {look}
        OR until <= (SELECT max(place) FROM looked)
    ORDER BY until LIMIT LEAST($3, GREATEST(0, (SELECT surplus FROM many)))
), moved AS (
    UPDATE {sessions} AS old SET due = looked.until FROM looked
    WHERE old.key = looked.looked_at AND looked.until > looked.place
        AND looked.looked_at NOT IN (SELECT looked_at FROM leaving)
    RETURNING 1
), evicted AS (
    DELETE FROM {sessions} AS old USING leaving
    WHERE old.key = leaving.looked_at
    RETURNING {columns}, payload, key
)
SELECT {columns}, payload, key,
    (SELECT surplus FROM many) > (SELECT count(*) FROM evicted)
FROM evicted
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    (SELECT surplus FROM many) > 0
WHERE EXISTS (SELECT FROM moved) AND NOT EXISTS (SELECT FROM evicted)
ORDER BY expires_at
"""
EVICT = EVICT.replace("{anonymous}", _ANONYMOUS).replace("{look}", str(LOOK))


__all__ = ["CREATE_INDEX", "EVICT", "FIND_INDEX", "LOOK"]
