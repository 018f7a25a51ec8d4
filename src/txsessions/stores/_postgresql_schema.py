"""
The shape of the PostgreSQL tables, and how older ones are brought up to it.

Owns the tables and the steps from schema to schema.  All steps are one transaction
under an advisory lock, so that processes may start at once, and one may be killed
on the way.  Runs in a thread, with the connection to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import psycopg
from attrs import frozen
from psycopg import sql

from txsessions.errors import StoreCorrupt
from txsessions.stores._postgresql_anonymous import CREATE_INDEX, FIND_INDEX
from txsessions.stores._postgresql_principals import DROP_EPOCH_OF, EPOCH_OF
from txsessions.stores._postgresql_statements import Names

_LOCK = 0x74785365
_PATIENCE = "10s"

# Not to_regclass(): what it did not find before it waited for the lock it may go on
# not finding afterwards.
_FIND = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %s AND relname IN (%s, %s)
"""
_GET = "SELECT value FROM {meta} WHERE name = %s"
_SET = "UPDATE {meta} SET value = %s WHERE name = 'schema'"
_FIND_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
_CREATE_SCHEMA = "CREATE SCHEMA {schema}"
_CREATE_META = (
    "CREATE TABLE {meta} (name text PRIMARY KEY NOT NULL, value bigint NOT NULL)"
)
_FILL_META = "INSERT INTO {meta} (name, value) VALUES ('schema', 0), ('compatible', 1)"
_CREATE_SESSIONS = """
CREATE {logged} TABLE {sessions} (
    key bytea PRIMARY KEY NOT NULL,
    version bigint,
    created_at bigint NOT NULL,
    touched_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    span bigint NOT NULL,
    due bigint,
    claimed_until bigint,
    checksum bigint NOT NULL,
    principal bytea,
    payload bytea NOT NULL
) WITH (fillfactor = 60)
"""
_ADD_HANDLE = "ALTER TABLE {sessions} ADD COLUMN IF NOT EXISTS handle bytea"
_ADD_EPOCH = """
ALTER TABLE {sessions} ADD COLUMN IF NOT EXISTS epoch bigint NOT NULL DEFAULT 0
"""
# Never unlogged: where the sessions outlive a crash, so must their end.
_CREATE_EPOCHS = """
CREATE TABLE IF NOT EXISTS {epochs} (
    principal bytea PRIMARY KEY NOT NULL,
    epoch bigint NOT NULL,
    until bigint NOT NULL
)
"""
_CREATE_UNTIL = "CREATE INDEX IF NOT EXISTS {until} ON {epochs} (until)"
_CREATE_PRINCIPAL = """
CREATE INDEX IF NOT EXISTS {principal} ON {sessions} (principal, handle)
WHERE principal IS NOT NULL
"""
_NEEDS_SCHEMA_2 = """
UPDATE {meta} SET value = 2 WHERE name = 'compatible' AND value < 2
"""
# A sealed payload cannot be compressed, so it is not tried.
_STORE = "ALTER TABLE {sessions} ALTER COLUMN payload SET STORAGE EXTERNAL"
_CREATE_DUE = "CREATE INDEX {due} ON {sessions} (due)"
_CHECK = """
SELECT key, version, created_at, touched_at, expires_at, span, due, claimed_until,
    checksum, principal, payload, handle, epoch
FROM {sessions} LIMIT 0
"""
_CHECK_EPOCHS = """
SELECT principal, epoch, until, {epochOf}(principal) FROM {epochs} LIMIT 0
"""
_FACTS = """
SELECT current_setting('synchronous_commit'), current_setting('fsync'),
    current_setting('synchronous_standby_names'), relpersistence::text
FROM pg_class WHERE oid = to_regclass(%s)
"""

Execute = Callable[..., "psycopg.Cursor[tuple[object, ...]]"]
Step = Callable[[Execute], object]


@frozen
class Facts:
    """
    What the server says of its durability.
    """

    commit: str
    fsync: str
    standbys: str
    persistence: str


def _create(execute: Execute) -> None:
    """
    Schema 1: see L{txsessions.stores._postgresql_statements}.
    """
    for statement in (_CREATE_SESSIONS, _STORE, _CREATE_DUE):
        execute(statement)


def _knowPrincipals(execute: Execute) -> None:
    """
    Schema 2: who is signed in: see L{txsessions.stores._postgresql_principals}.
    C{until} is when the sweeper has to look whether an epoch can be forgotten.

    Earlier code does not know that a session of an earlier epoch has ended, so it is
    shut out.
    """
    for statement in (
        _ADD_HANDLE,
        _ADD_EPOCH,
        _CREATE_EPOCHS,
        _CREATE_UNTIL,
        DROP_EPOCH_OF,
        EPOCH_OF,
        _CREATE_PRINCIPAL,
        _NEEDS_SCHEMA_2,
    ):
        execute(statement)


STEPS: tuple[Step, ...] = (_create, _knowPrincipals)
"""Step n makes schema n + 1 of schema n.  A step that older code cannot live with
sets C{compatible} in the second table to the lowest schema whose code still
works."""


def migrate(
    connection: psycopg.Connection,
    names: Names,
    unlogged: bool,
    steps: Sequence[Step] = STEPS,
) -> Facts:
    """
    Bring the tables up to this code's schema.

    @raise StoreCorrupt: They are somebody else's, lack a column, or are newer than
        this code can use.
    @raise psycopg.Error: The server refuses.
    """
    execute = _executor(connection, names, unlogged)
    if _look(execute, names, len(steps)) < len(steps):
        with connection.transaction():
            _beAlone(execute, names)
            found = _look(execute, names, len(steps))
            if found < 0:
                _prepare(execute, names)
                found = 0
            for step in steps[found:]:
                step(execute)
            execute(_SET, [max(found, len(steps))])
    if len(steps) > 1:
        execute(_CHECK)
        execute(_CHECK_EPOCHS)
        if execute(FIND_INDEX).fetchone() == (None,):
            # Earlier code can live with it, so it is no step.
            with connection.transaction():
                _beAlone(execute, names)
                execute(CREATE_INDEX)
    row = execute(_FACTS, [names.sessions]).fetchone()
    assert row is not None
    return Facts(*map(str, row))


def _beAlone(execute: Execute, names: Names) -> None:
    """
    Wait in a transaction until no other process is making anything of these tables:
    of two that make one at once, one fails, even C{IF NOT EXISTS}.
    """
    execute("SELECT set_config('lock_timeout', %s, true)", [_PATIENCE])
    place = crc32(names.sessions.encode()) - (1 << 31)
    execute("SELECT pg_advisory_xact_lock(%s::int, %s::int)", [_LOCK, place])


def _executor(connection: psycopg.Connection, names: Names, unlogged: bool) -> Execute:
    """
    Make a function that runs a statement about these tables.
    """
    words = {
        "schema": sql.Identifier(names.schema),
        "meta": sql.SQL(names.meta),
        "sessions": sql.SQL(names.sessions),
        "epochs": sql.SQL(names.epochs),
        "epochOf": sql.SQL(names.epochOf),
        "due": sql.Identifier(f"{names.table}_due"),
        "until": sql.Identifier(f"{names.table}_until"),
        "principal": sql.Identifier(f"{names.table}_principal"),
        "anonymous": sql.Identifier(f"{names.table}_anonymous"),
        "byAge": sql.Literal(f'"{names.schema}"."{names.table}_anonymous"'),
        "logged": sql.SQL("UNLOGGED" if unlogged else ""),
    }

    def execute(
        statement: str, values: Sequence[object] | None = None
    ) -> psycopg.Cursor[tuple[object, ...]]:
        text = sql.SQL(statement).format(**words)
        return connection.execute(text, values)

    return execute


def _look(execute: Execute, names: Names, known: int) -> int:
    """
    Find out which schema there is.

    @param known: The schema of this code.
    @return: -1 where there is nothing yet.
    @raise StoreCorrupt: What is there is not for this code.
    """
    place = f"{names.schema}.{names.table}"
    wanted = [names.schema, names.table, f"{names.table}_meta"]
    there = {str(row[0]) for row in execute(_FIND, wanted).fetchall()}
    if not there:
        return -1
    if there == {names.table}:
        raise StoreCorrupt(
            f"there is a table {place}, but not one of txsessions: name another "
            "table in the store's address, as in ?table=web_sessions"
        )
    found = _get(execute, "schema")
    if names.table not in there:
        # Somebody dropped the sessions: they begin anew.
        return 0
    if found > known and _get(execute, "compatible") > known:
        raise StoreCorrupt(
            f"the session table {place} has schema {found} and this version of "
            f"txsessions knows schemas up to {known}: upgrade it"
        )
    return found


def _get(execute: Execute, name: str) -> int:
    """
    Read a number about the schema.
    """
    row = execute(_GET, [name]).fetchone()
    return 0 if row is None else int(str(row[0]))


def _prepare(execute: Execute, names: Names) -> None:
    """
    Make what the first step needs.
    """
    if execute(_FIND_SCHEMA, [names.schema]).fetchone() is None:
        execute(_CREATE_SCHEMA)
    execute(_CREATE_META)
    execute(_FILL_META)


def promised(facts: Facts, durability: str) -> str:
    """
    Say for people what an acknowledged write survives.

    @param durability: What the store was told.
    """
    if facts.persistence == "u":
        return (
            "a crash of the database server loses all sessions: their table is unlogged"
        )
    if facts.fsync != "on":
        return (
            "a power cut at the database server may lose or damage everything: its "
            "fsync is off"
        )
    commit = facts.commit
    if durability == "full" and commit == "off":
        commit = "on"
    if durability == "normal" or commit == "off":
        return (
            "a crash of the database server may lose the last commits, but never a "
            "logout or a change of id"
        )
    said = "every commit is flushed to the database server's disk"
    if facts.standbys and commit != "local":
        level = {
            "remote_write": "written by",
            "remote_apply": "applied by",
        }.get(commit, "flushed by")
        said += f", and {level} its synchronous standbys ({facts.standbys}),"
    return f"{said} before it is acknowledged (synchronous_commit = {commit})"


__all__ = ["STEPS", "Execute", "Facts", "Step", "migrate", "promised"]
