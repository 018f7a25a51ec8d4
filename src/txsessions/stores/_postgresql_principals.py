"""
Who is signed in, as SQL of the PostgreSQL store: signing in, the sessions of a
principal, its epoch, and their end.

Owns these statements' text.  A row in the table of epochs is there only for a principal
whose epoch was raised, or for a prefix of principals.  What depends on all sessions of a
principal runs under an advisory lock on it, which ends with the transaction, and which is
taken by a statement of its own before any other: what was committed while it waited the
next statement sees.  A sign-in shares it with others; whoever counts, ends or forgets has
it alone.  The end of everybody takes one on the prefix, which no sign-in does: one that
does not see the new epoch yet has ended.
"""

from __future__ import annotations

from txsessions.core.record import PREFIX_BYTES

EPOCH_UNIT = 1 << 32
"""An epoch stands in a checksum once more, above its 32 bits."""

LOOK_AGAIN = 3600.0
"""After how many seconds at least an epoch is looked at again that cannot be
forgotten yet."""

# An anonymous row is known to be alive without a look.  The look is a function, of which
# the server keeps the plan: as a part of the statement it would be planned each time,
# for anonymous rows too, and that costs more than half of what a load does.
ALIVE = "(s.principal IS NULL OR s.epoch >= {epochOf}(s.principal))"
DROP_EPOCH_OF = "DROP FUNCTION IF EXISTS {epochOf} (bytea)"
_PARTS = {
    # The epoch below which a record of a principal has ended: its own and that of its
    # prefix together, for both only rise as long as there is a record.
    "{since}": """(
        coalesce((SELECT e.epoch FROM {epochs} AS e WHERE e.principal = $P), 0) +
        coalesce((
            SELECT e.epoch FROM {epochs} AS e WHERE e.principal = substr($P, 1, {prefix})
        ), 0)
    )""",
    # Those who are counted, and of them those who have to make room.
    "{living}": """since AS (
        SELECT {since} AS epoch
    ), living AS (
        SELECT key, created_at, handle FROM {sessions}
        WHERE principal = $P AND expires_at > $N AND epoch >= (SELECT epoch FROM since)
    ), surplus AS (
        SELECT key FROM living ORDER BY created_at, handle
        LIMIT CASE WHEN $E > 0
            THEN GREATEST(0, (SELECT count(*) FROM living) + 1 - $M) ELSE 0 END
    )""",
    "{counted}": "CASE WHEN $M IS NULL THEN -1 ELSE (SELECT count(*) FROM living) END",
    "{room}": "($M IS NULL OR $E > 0 OR (SELECT count(*) FROM living) < $M)",
}


def _made(text: str, **numbers: str) -> str:
    """
    Put a statement together from its parts.

    @param numbers: The parameters that these name: C{P}, the principal; C{N}, now;
        C{M}, how many sessions it may have, of which nothing is run where that is
        NULL; C{E}, whether the oldest are to make room.
    """
    for part in ("{living}", "{since}", "{counted}", "{room}"):
        text = text.replace(part, _PARTS[part])
    text = text.replace("{prefix}", str(PREFIX_BYTES))
    for name, number in numbers.items():
        text = text.replace(f"${name}", number)
    return text


EPOCH_OF = _made(
    """
CREATE FUNCTION {epochOf} (whose bytea) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN {since};
END
$$
""",
    P="whose",
)
SIGN_IN = _made(
    """
WITH {living}, locked AS (
    SELECT key FROM {sessions}
    WHERE key = ANY(ARRAY(SELECT key FROM surplus)) AND principal = $8
    ORDER BY key FOR UPDATE
), made AS (
    INSERT INTO {sessions} ({new}, principal, handle, epoch)
    SELECT $1, $2, $3, $4, $5, $5 - $4, $5, $6 + epoch * {unit}, $7, $8, $9, epoch
    FROM since WHERE {room}
    ON CONFLICT DO NOTHING
    RETURNING 1
), evicted AS (
    DELETE FROM {sessions} AS old USING locked
    WHERE old.key = locked.key AND EXISTS (SELECT FROM made)
)
SELECT (SELECT count(*) FROM made), {counted},
    (SELECT count(*) FROM {sessions} WHERE key = $1)
""",
    P="$8",
    N="$10",
    M="$11",
    E="$12",
)
# As the rename of an anonymous session, but for the rows that have to make room: all are
# locked in the order of their keys.  What is alive has the epoch of now already, so that
# with the same principal it is kept.
RENAME_SIGNED_IN = _made(
    """
WITH {living}, locked AS (
    SELECT key, {columns}, payload FROM {sessions}
    WHERE key = ANY(ARRAY(SELECT $1 UNION ALL SELECT key FROM surplus))
        AND version IS NOT NULL
    ORDER BY key FOR UPDATE
), found AS (
    SELECT {columns}, payload FROM locked AS s
    WHERE key = $1 AND expires_at > $3 AND {alive}
), made AS (
    INSERT INTO {sessions} ({new}, principal, handle, epoch)
    SELECT $4, $5, $6, GREATEST(touched_at, $7), {renamed},
        {renamed} - GREATEST(touched_at, $7), {renamed},
        $9 + since.epoch * {unit}, $10, $12, $13, since.epoch
    FROM found, since
    WHERE version = $2 AND (principal = $12 OR {room})
    ON CONFLICT DO NOTHING
    RETURNING 1
), marked AS (
    UPDATE {sessions} SET {marker}
    WHERE key = $1 AND EXISTS (SELECT FROM made)
    RETURNING 1
), evicted AS (
    DELETE FROM {sessions} AS old USING locked
    WHERE old.key = locked.key AND locked.key <> $1
        AND EXISTS (SELECT FROM made)
)
SELECT {columns}, payload,
    CASE WHEN EXISTS (SELECT FROM made)
        THEN 1 / (SELECT count(*) FROM marked) ELSE 0 END,
    CASE WHEN principal = $12 THEN -1 ELSE {counted} END,
    (SELECT count(*) FROM {sessions} WHERE key = $4)
FROM found
""",
    P="$12",
    N="$3",
    M="$14",
    E="$15",
)
SESSIONS_OF = _made(
    """
SELECT {columns}, payload, key FROM {sessions}
WHERE principal = $1 AND handle > $2 AND expires_at > $3
    AND epoch >= {since}
ORDER BY handle LIMIT $4
""",
    P="$1",
)
# Where there is no record there is nothing to end, and no epoch is kept.
END_PRINCIPAL = _made(
    """
WITH since AS (
    SELECT {since} AS epoch
), had AS (
    SELECT max(expires_at) AS until, count(*) FILTER (
        WHERE expires_at > $2 AND epoch >= (SELECT epoch FROM since)) AS alive
    FROM {sessions} WHERE principal = $1
), spared AS (
    UPDATE {sessions} AS s SET epoch = since.epoch + 1,
        checksum = checksum + (since.epoch + 1 - s.epoch) * {unit}
    FROM since
    WHERE key = $3 AND principal = $1 AND expires_at > $2 AND s.epoch >= since.epoch
    RETURNING 1
), raised AS (
    UPDATE {epochs} AS e SET epoch = e.epoch + 1, until = had.until
    FROM had WHERE e.principal = $1 AND had.until IS NOT NULL
    RETURNING 1
), begun AS (
    INSERT INTO {epochs} (principal, epoch, until)
    SELECT $1, 1, until FROM had
    WHERE until IS NOT NULL AND NOT EXISTS (SELECT FROM raised)
)
SELECT alive - (SELECT count(*) FROM spared) FROM had
""",
    P="$1",
)
END_EVERYBODY = """
WITH raised AS (
    UPDATE {epochs} SET epoch = epoch + 1 WHERE principal = $1
    RETURNING 1
)
INSERT INTO {epochs} (principal, epoch, until)
SELECT $1, 1, $2 WHERE NOT EXISTS (SELECT FROM raised)
"""
END_SESSION = _made(
    """
DELETE FROM {sessions} WHERE principal = $1 AND handle = $2
RETURNING expires_at > $3 AND epoch >= {since}
""",
    P="$1",
)
ERASE_PRINCIPAL = """
WITH found AS (
    SELECT key FROM {sessions} WHERE principal = $1 ORDER BY key FOR UPDATE
), erased AS (
    DELETE FROM {sessions} AS old USING found WHERE old.key = found.key
    RETURNING 1
), forgotten AS (
    DELETE FROM {epochs} WHERE principal = $1
)
SELECT count(*) FROM erased
"""
DUE_EPOCHS = "SELECT principal FROM {epochs} WHERE until <= $1 ORDER BY until LIMIT $2"
FORGET_EPOCH = """
WITH rest AS (
    SELECT max(expires_at) AS until FROM {sessions} WHERE principal = $1
), postponed AS (
    UPDATE {epochs} AS e SET until = GREATEST(rest.until, $2)
    FROM rest WHERE e.principal = $1 AND rest.until IS NOT NULL
)
DELETE FROM {epochs} AS e USING rest WHERE e.principal = $1 AND rest.until IS NULL
"""
MISFITS = """
SELECT CASE WHEN EXISTS (
        SELECT FROM pg_index WHERE indrelid = '{sessions}'::regclass
            AND indexrelid = to_regclass('{byPrincipal}') AND indisvalid
    ) THEN 0
    ELSE (SELECT count(*) FROM {sessions} WHERE principal IS NOT NULL) END
"""
COUNT = _made("""
SELECT count(*) FROM {sessions} AS s
    LEFT JOIN {epochs} AS e ON e.principal = s.principal
    LEFT JOIN {epochs} AS every ON every.principal = substr(s.principal, 1, {prefix})
WHERE version IS NOT NULL AND expires_at > $1
    AND (s.principal IS NULL
        OR s.epoch >= coalesce(e.epoch, 0) + coalesce(every.epoch, 0))
""")
# Where the server has another isolation set, what was committed during the wait would
# not be seen: then it refuses.
_LOCK = """
SELECT set_config('transaction_isolation', 'read committed', true), {lock}($1)
"""
LOCK_ALONE = _LOCK.format(lock="pg_advisory_xact_lock")
LOCK_SHARED = _LOCK.format(lock="pg_advisory_xact_lock_shared")


__all__ = [
    "ALIVE",
    "COUNT",
    "DROP_EPOCH_OF",
    "DUE_EPOCHS",
    "END_EVERYBODY",
    "END_PRINCIPAL",
    "END_SESSION",
    "EPOCH_OF",
    "EPOCH_UNIT",
    "ERASE_PRINCIPAL",
    "FORGET_EPOCH",
    "LOCK_ALONE",
    "LOCK_SHARED",
    "LOOK_AGAIN",
    "MISFITS",
    "RENAME_SIGNED_IN",
    "SESSIONS_OF",
    "SIGN_IN",
]
