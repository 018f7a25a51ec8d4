"""
The shape of the SQLite database, and how an older one is brought up to it.

Owns the tables, the pragmas and the steps from schema to schema.  All that are missing
are one transaction, made under the gate, which looks first whether they were already
done: two processes may start at once, and one may be killed on the way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from urllib.parse import quote

from txsessions.errors import StoreCorrupt, StoreUnavailable
from txsessions.stores._sqlite_anonymous import createIndex

APPLICATION_ID = 0x74785365
"""What marks a SQLite file as ours ("txSe")."""

_CREATE_SESSIONS = """
CREATE TABLE sessions (
    key BLOB PRIMARY KEY NOT NULL,
    version INTEGER,
    created_at REAL NOT NULL,
    touched_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    span REAL NOT NULL,
    due REAL,
    claimed_until REAL,
    principal BLOB,
    checksum INTEGER NOT NULL,
    payload BLOB NOT NULL
)
"""
# As schema 1, with what came later before the payload: SQLite has to read through a
# large one to what stands behind it.
_CREATE_SESSIONS_2 = """
CREATE TABLE sessions (
    key BLOB PRIMARY KEY NOT NULL,
    version INTEGER,
    created_at REAL NOT NULL,
    touched_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    span REAL NOT NULL,
    due REAL,
    claimed_until REAL,
    principal BLOB,
    handle BLOB,
    epoch INTEGER NOT NULL DEFAULT 0,
    checksum INTEGER NOT NULL,
    payload BLOB NOT NULL
)
"""
_DROP_SESSIONS = "DROP TABLE sessions"
_ADD_HANDLE = "ALTER TABLE sessions ADD COLUMN handle BLOB"
_ADD_EPOCH = "ALTER TABLE sessions ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0"
_CREATE_EPOCHS = """
CREATE TABLE epochs (
    principal BLOB PRIMARY KEY NOT NULL,
    epoch INTEGER NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID
"""
_CREATE_UNTIL = "CREATE INDEX epochs_until ON epochs (until)"
_CREATE_PRINCIPAL = """
CREATE INDEX sessions_principal ON sessions (principal, handle)
WHERE principal IS NOT NULL
"""
_ANY_SESSION = "SELECT 1 FROM sessions LIMIT 1"
_NEEDS_SCHEMA_2 = "UPDATE meta SET value = 2 WHERE name = 'compatible'"
_CREATE_DUE = "CREATE INDEX sessions_due ON sessions (due)"
_CREATE_META = "CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value INTEGER)"
_SET_COMPATIBLE = "INSERT INTO meta (name, value) VALUES ('compatible', 1)"
_GET_COMPATIBLE = "SELECT value FROM meta WHERE name = 'compatible'"
_COUNT_TABLES = "SELECT count(*) FROM sqlite_master"
_CHECK_SESSIONS = """
SELECT key, version, created_at, touched_at, expires_at, span, due, claimed_until,
    principal, handle, epoch, checksum, payload
FROM sessions LIMIT 1
"""
_CHECK_EPOCHS = "SELECT principal, epoch, until FROM epochs LIMIT 1"

Step = Callable[[sqlite3.Connection], None]


def _create(connection: sqlite3.Connection) -> None:
    """
    Schema 1.  A marker of a rotation is a row without version, whose payload is
    the new key; earlier code left it empty.  C{span} is
    C{expires_at - touched_at}, a check on both; C{checksum} covers the rest.
    C{due} is when the sweeper has to look at a row: never later than its
    deadline, and moved by the sweeper, so that a write need not touch its index.
    """
    for statement in (_CREATE_META, _CREATE_SESSIONS, _CREATE_DUE, _SET_COMPATIBLE):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _knowPrincipals(connection: sqlite3.Connection) -> None:
    """
    Schema 2: who is signed in.  C{epoch} is the epoch of the principal when it signed
    in, and stands in the upper half of C{checksum} once more; C{until} is when the
    sweeper has to look whether an epoch can be forgotten.

    Earlier code does not know that a session of an earlier epoch has ended, so it is
    shut out.
    """
    if connection.execute(_ANY_SESSION).fetchone() is None:
        connection.execute(_DROP_SESSIONS)
        connection.execute(_CREATE_SESSIONS_2)
        connection.execute(_CREATE_DUE)
    else:
        connection.execute(_ADD_HANDLE)
        connection.execute(_ADD_EPOCH)
    for statement in (
        _CREATE_EPOCHS,
        _CREATE_UNTIL,
        _CREATE_PRINCIPAL,
        _NEEDS_SCHEMA_2,
    ):
        connection.execute(statement)


STEPS: tuple[Step, ...] = (_create, _knowPrincipals)
"""Step n makes schema n + 1 of schema n.  A step that older code cannot live with
sets C{meta.compatible} to the lowest schema whose code still works."""


def connect(path: str, mode: str) -> sqlite3.Connection:
    """
    Open a connection, which any one thread at a time may use.

    @param mode: C{"rw"} or C{"ro"}; neither makes a file.
    """
    return sqlite3.connect(
        f"file:{quote(path)}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=0,
    )


def connectWriter(path: str, synchronous: str) -> sqlite3.Connection:
    """
    Open the one connection of this process that writes and checkpoints.  The
    caller holds the gate.

    @param synchronous: C{"FULL"} or C{"NORMAL"}.
    @raise StoreUnavailable: The file system cannot carry a write-ahead log.
    """
    connection = connect(path, "rw")
    try:
        if not connection.execute("PRAGMA auto_vacuum").fetchone()[0]:
            # It counts for a new database, before anything is in it; for another
            # it would be a write.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreUnavailable(
                f"the file system of {path} cannot carry SQLite's write-ahead "
                "log: put the session database on a local disk"
            )
        for pragma in (
            f"synchronous = {synchronous}",
            "secure_delete = ON",
            "wal_autocheckpoint = 0",
            "journal_size_limit = 4194304",
            "cache_size = -8000",
            "cell_size_check = ON",
            "fullfsync = ON",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def connectReader(path: str) -> sqlite3.Connection:
    """
    Open a connection that only reads, never waits and never checkpoints.
    """
    connection = connect(path, "ro")
    for pragma in ("query_only = ON", "wal_autocheckpoint = 0", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def migrate(
    connection: sqlite3.Connection, path: str, steps: Sequence[Step] = STEPS
) -> None:
    """
    Bring the database up to this code's schema.  The caller holds the gate.

    @raise StoreCorrupt: It is somebody else's, lacks a table, or is newer than
        this code can use.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        _refuse(connection, path, found, len(steps))
        for step in steps[found:]:
            step(connection)
        if found < len(steps):
            connection.execute(f"PRAGMA user_version = {len(steps)}")
        if max(found, len(steps)) > 1:
            createIndex(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute(_CHECK_SESSIONS).fetchall()
    connection.execute(_CHECK_EPOCHS).fetchall()


def _refuse(connection: sqlite3.Connection, path: str, found: int, known: int) -> None:
    """
    Refuse a database that is not ours, or not for us.

    @param found: Its schema.
    @param known: The schema of this code.
    """
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION_ID:
        if owner or found or connection.execute(_COUNT_TABLES).fetchone()[0]:
            raise StoreCorrupt(
                f"{path} is a SQLite database, but not one of txsessions: name "
                "another file"
            )
        return
    if found > known:
        compatible = connection.execute(_GET_COMPATIBLE).fetchone()
        if compatible is None or compatible[0] > known:
            raise StoreCorrupt(
                f"the session database {path} has schema {found} and this "
                f"version of txsessions knows schemas up to {known}: upgrade it"
            )


__all__ = [
    "APPLICATION_ID",
    "STEPS",
    "Step",
    "connect",
    "connectReader",
    "connectWriter",
    "migrate",
]
