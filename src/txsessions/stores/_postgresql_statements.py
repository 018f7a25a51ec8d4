"""
The statements of the PostgreSQL store.

Owns the SQL and the names it is about.  Each statement is complete by itself: it relies
on no state of its connection, so that a pooler may put every transaction on another
one.  There is no upsert here, and none may come.

Times are whole microseconds of the server's clock.  A marker of a rotation is a row
without version, whose payload is the new key; earlier code left it empty.  C{span}
is C{expires_at - touched_at}, a check on both.  C{due} is when the sweeper has to look
at a row, never later than its deadline; only the sweeper moves it on, so that a touch
changes no indexed column and PostgreSQL can keep the new row beside the old one (a
"HOT" update).  C{epoch} is that of the principal when it signed in; it stands in the
checksum, too.  What is about principals is in
L{txsessions.stores._postgresql_principals}.
"""

from __future__ import annotations

import re

from attrs import frozen

from txsessions.errors import ConfigurationError
from txsessions.stores import _postgresql_anonymous as anonymous
from txsessions.stores import _postgresql_ending as ending
from txsessions.stores import _postgresql_principals as principals
from txsessions.stores._postgresql_values import BIGINT, BIGINTS, BYTEA, BYTEAS

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = 48

_COLUMNS = (
    "version, created_at, touched_at, expires_at, span, principal, checksum, handle, "
    "epoch"
)
_NEW = "key, version, created_at, touched_at, expires_at, span, due, checksum, payload"
# What a deadline becomes where a slower writer meets a later touch.
_LATER = "CASE WHEN touched_at > $T THEN GREATEST(expires_at, $E) ELSE $E END"
# One value, for what is to be said of each column costs more than what is in it.
_RECORD = (
    "ROW(created_at, touched_at, expires_at, span, checksum, epoch, "
    "version, principal, handle, payload)"
)
_WORDS = {
    "columns": _COLUMNS,
    "record": _RECORD,
    "new": _NEW,
    "marker": ending.RENAMED,
    "end": ending.ENDED,
    "nothing": ending.SQL_NOTHING,
    "alive": principals.ALIVE,
    "unit": str(principals.EPOCH_UNIT),
    "replaced": _LATER.replace("$T", "$5").replace("$E", "$6"),
    "renamed": _LATER.replace("$T", "$7").replace("$E", "$8"),
}


@frozen(eq=False)
class Statement:
    """
    One statement.  Its lists are lists because psycopg 3.2 takes nothing else.

    @ivar name: What it is prepared under, where it is.
    @ivar types: The types of its parameters.
    """

    name: bytes
    text: bytes
    types: list[int]
    formats: list[int]


@frozen
class Names:
    """
    Where the sessions are.
    """

    schema: str
    table: str

    @property
    def sessions(self) -> str:
        """
        The table of the sessions, quoted.
        """
        return f'"{self.schema}"."{self.table}"'

    @property
    def meta(self) -> str:
        """
        The table that tells the schema, quoted.
        """
        return f'"{self.schema}"."{self.table}_meta"'

    @property
    def epochs(self) -> str:
        """
        The table of the epochs, quoted.
        """
        return f'"{self.schema}"."{self.table}_epochs"'

    @property
    def epochOf(self) -> str:
        """
        The function that tells the epoch of a principal, quoted.
        """
        return f'"{self.schema}"."{self.table}_epoch_of"'

    @property
    def byPrincipal(self) -> str:
        """
        The index by which the sessions of a principal are found, quoted.
        """
        return f'"{self.schema}"."{self.table}_principal"'


def namesOf(schema: str, table: str) -> Names:
    """
    Check the names that a configuration gives.

    @raise ConfigurationError: They cannot be names.
    """
    for what, name in (("schema", schema), ("table", table)):
        if not _IDENTIFIER.fullmatch(name) or len(name) > _LONGEST:
            raise ConfigurationError(
                f"{what} is letters, digits and underscores, {_LONGEST} at most, "
                f"not {name!r}"
            )
    return Names(schema, table)


def statementOf(name: str, text: str, *types: int) -> Statement:
    """
    Make a statement.
    """
    sql = " ".join(text.split()).encode()
    return Statement(b"txsessions_" + name.encode(), sql, [*types], [1] * len(types))


LOCK_ALONE = statementOf("lock_alone", principals.LOCK_ALONE, BIGINT)
LOCK_SHARED = statementOf("lock_shared", principals.LOCK_SHARED, BIGINT)


class Statements:
    """
    All statements on one table.

    @ivar names: Where that is.
    """

    def __init__(self, names: Names) -> None:
        """
        @param names: Checked: see L{namesOf}.
        """
        self.names = names
        self._words = {
            **_WORDS,
            "sessions": names.sessions,
            "epochs": names.epochs,
            "epochOf": names.epochOf,
            "byPrincipal": names.byPrincipal,
        }
        self.all: list[Statement] = [LOCK_ALONE, LOCK_SHARED]
        self.clock = self._make(
            "clock", "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8"
        )
        key, big = BYTEA, BIGINT
        self.load = self._make("load", _LOAD, key, big, big)
        self.loads = self._make("loads", _LOADS, BYTEAS, BIGINTS, BIGINTS)
        row = (big, big, big, big, big, key)
        self.insert = self._make("insert", _INSERT, key, *row)
        signed, limit = (key, key), (big, big)
        numbers = (big,) * 7
        self.replace = self._make("replace", _REPLACE, key, *numbers, key, *signed)
        self.current = self._make("current", _CURRENT, key, big)
        self.touch = self._make("touch", _TOUCH, key, big, big, big)
        self.touched = self._make("touched", _TOUCHED, key, big)
        rename = (key, big, big, key, *row, big)
        self.rename = self._make("rename", _RENAME, *rename)
        self.delete = self._make("delete", ending.DELETE, key)
        self.deleteFollowed = self._make("delete_followed", ending.FOLLOW_DELETE, key)
        self.end = self._make("end", ending.END, key, big)
        self.endFollowed = self._make("end_followed", ending.FOLLOW_END, key, big)
        self.followed = self._make("followed", _FOLLOWED, key, big)
        self.claim = self._make("claim", _CLAIM, big, big, big)
        self.shelve = self._make("shelve", _SHELVE, key)
        self.acknowledge = self._make("acknowledge", _ACKNOWLEDGE, BYTEAS)
        self.count = self._make("count", principals.COUNT, big)
        self.scan = self._make("scan", _SCAN, key, big)
        self.signIn = self._make(
            "sign_in", principals.SIGN_IN, key, *row, *signed, big, *limit
        )
        self.renameSignedIn = self._make(
            "rename_signed_in", principals.RENAME_SIGNED_IN, *rename, *signed, *limit
        )
        self.sessionsOf = self._make(
            "sessions_of", principals.SESSIONS_OF, key, key, big, big
        )
        self.endPrincipal = self._make(
            "end_principal", principals.END_PRINCIPAL, key, big, key
        )
        self.endEverybody = self._make(
            "end_everybody", principals.END_EVERYBODY, key, big
        )
        self.endSession = self._make(
            "end_session", principals.END_SESSION, key, key, big
        )
        self.erasePrincipal = self._make(
            "erase_principal", principals.ERASE_PRINCIPAL, key
        )
        self.dueEpochs = self._make("due_epochs", principals.DUE_EPOCHS, big, big)
        self.forgetEpoch = self._make("forget_epoch", principals.FORGET_EPOCH, key, big)
        self.misfits = self._make("misfits", principals.MISFITS)
        self.evict = self._make("evict", anonymous.EVICT, big, big, big)

    def _make(self, name: str, text: str, *types: int) -> Statement:
        """
        Make a statement for this table.
        """
        for word, meaning in self._words.items():
            text = text.replace(f"{{{word}}}", meaning)
        made = statementOf(name, text, *types)
        self.all.append(made)
        return made


def setupOf(lockTimeout: int, commit: str) -> Statement:
    """
    Make the statement that begins a unit of writes; what it sets ends with the
    unit's transaction.

    @param lockTimeout: How long to wait for somebody else's lock, milliseconds.
    @param commit: C{"as set"}, C{"off"}, or C{"on"}: at least that.
    """
    current = "current_setting('synchronous_commit')"
    chosen = {
        "as set": current,
        "off": "'off'",
        "on": f"CASE {current} WHEN 'off' THEN 'on' ELSE {current} END",
    }[commit]
    text = (
        f"SELECT set_config('lock_timeout', '{lockTimeout}', true), "
        f"set_config('synchronous_commit', {chosen}, true)"
    )
    name = b"txsessions_begin_" + commit.replace(" ", "_").encode()
    return Statement(name, text.encode(), [], [])


# Nothing is told where the caller has that version.
_LOAD = """
SELECT CASE WHEN version = $2 THEN NULL ELSE {record} END
FROM {sessions} AS s WHERE key = $1 AND expires_at > $3 AND {alive}
"""
# The same of several, with a row for each, in no order: to sort them the server would
# have to keep them all.  Each is looked up by itself, whatever the planner knows of the
# table.  Of what is not there all values are NULL.
_LOADS = """
SELECT CASE WHEN version = NULLIF(known, 0) THEN NULL ELSE {record} END, place
FROM unnest($1, $2, $3) WITH ORDINALITY AS asked (asked_key, known, present, place)
LEFT JOIN LATERAL (
    SELECT s.* FROM {sessions} AS s
    WHERE key = asked_key AND expires_at > present AND {alive} OFFSET 0
) AS found ON true
"""
_INSERT = """
INSERT INTO {sessions} ({new}) VALUES ($1, $2, $3, $4, $5, $5 - $4, $5, $6, $7)
ON CONFLICT DO NOTHING
"""
_REPLACE = """
UPDATE {sessions} AS s SET version = $3, created_at = $4,
    touched_at = GREATEST(touched_at, $5), expires_at = {replaced},
    span = {replaced} - GREATEST(touched_at, $5), due = LEAST(due, {replaced}),
    claimed_until = NULL, checksum = $7 + epoch * {unit}, payload = $9
WHERE key = $1 AND version = $2 AND expires_at > $8 AND {alive}
    AND principal IS NOT DISTINCT FROM $10 AND handle IS NOT DISTINCT FROM $11
"""
_CURRENT = """
SELECT {columns}, payload FROM {sessions} AS s
WHERE key = $1 AND expires_at > $2 AND version IS NOT NULL AND {alive}
"""
_TOUCH = """
UPDATE {sessions} AS s SET touched_at = $2, expires_at = GREATEST(expires_at, $3),
    span = GREATEST(expires_at, $3) - $2,
    due = LEAST(due, GREATEST(expires_at, $3)), claimed_until = NULL
WHERE key = $1 AND version IS NOT NULL AND expires_at > $4 AND touched_at < $2
    AND {alive}
"""
_TOUCHED = """
SELECT touched_at FROM {sessions} AS s
WHERE key = $1 AND expires_at > $2 AND version IS NOT NULL AND {alive}
"""
# The division fails, and so undoes both, where only one of the two was done.
_RENAME = """
WITH found AS (
    SELECT {columns}, payload FROM {sessions} AS s
    WHERE key = $1 AND expires_at > $3 AND version IS NOT NULL AND {alive}
    FOR UPDATE
), made AS (
    INSERT INTO {sessions} ({new})
    SELECT $4, $5, $6, GREATEST(touched_at, $7), {renamed},
        {renamed} - GREATEST(touched_at, $7), {renamed}, $9, $10
    FROM found WHERE version = $2
    ON CONFLICT DO NOTHING
    RETURNING 1
), marked AS (
    UPDATE {sessions} SET {marker}
    WHERE key = $1 AND EXISTS (SELECT FROM made)
    RETURNING 1
)
SELECT {columns}, payload,
    CASE WHEN EXISTS (SELECT FROM made)
        THEN 1 / (SELECT count(*) FROM marked) ELSE 0 END
FROM found
"""
_FOLLOWED = """
WITH RECURSIVE became (key) AS (
    SELECT $1
    UNION
    SELECT payload FROM became JOIN {sessions} USING (key)
    WHERE version IS NULL AND expires_at > $2
)
SELECT {columns}, payload, key FROM became JOIN {sessions} AS s USING (key)
WHERE expires_at > $2
    AND CASE WHEN version IS NULL THEN payload = {nothing} ELSE key <> $1 AND {alive} END
"""
_CLAIM = """
WITH found AS (
    SELECT key, {columns}, payload FROM {sessions}
    WHERE due <= $1 ORDER BY due LIMIT $2 FOR UPDATE SKIP LOCKED
), swept AS (
    DELETE FROM {sessions} AS old USING found
    WHERE old.key = found.key AND found.version IS NULL AND found.expires_at <= $1
), moved AS (
    UPDATE {sessions} AS old SET
        due = CASE WHEN found.expires_at > $1 THEN found.expires_at ELSE $3 END,
        claimed_until = CASE WHEN found.expires_at <= $1 THEN $3 END
    FROM found
    WHERE old.key = found.key
        AND (found.version IS NOT NULL OR found.expires_at > $1)
)
SELECT {columns},
    CASE WHEN version IS NOT NULL AND expires_at <= $1 THEN payload END, key
FROM found
"""
_SHELVE = """
UPDATE {sessions} SET due = NULL, claimed_until = NULL
WHERE key = $1 AND claimed_until IS NOT NULL
"""
_ACKNOWLEDGE = """
WITH found AS (
    SELECT key FROM {sessions} WHERE key = ANY($1) AND claimed_until IS NOT NULL
    ORDER BY key FOR UPDATE
)
DELETE FROM {sessions} AS old USING found WHERE old.key = found.key
"""
_SCAN = """
SELECT {columns}, payload, key FROM {sessions}
WHERE key >= $1 AND version IS NOT NULL ORDER BY key LIMIT $2
"""


__all__ = [
    "LOCK_ALONE",
    "LOCK_SHARED",
    "Names",
    "Statement",
    "Statements",
    "namesOf",
    "setupOf",
    "statementOf",
]
