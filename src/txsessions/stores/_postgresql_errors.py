"""
What PostgreSQL says went wrong, in the words of a session store.

Owns the one table from SQLSTATE codes to what is done about them.  Knows no
connection.
"""

from __future__ import annotations

import enum

from txsessions.errors import StoreCorrupt, StoreError, StoreUnavailable


class Verdict(enum.Enum):
    """
    What an error of the server means for the call that met it.
    """

    RETRY = "retry"
    """The same call may succeed at once: it is made again, once."""

    CONFLICT = "conflict"
    """Somebody else has taken the key."""

    UNAVAILABLE = "unavailable"
    """The server does not do it now."""

    CORRUPT = "corrupt"
    """What is there is not what this code needs."""


_ENDED = "the server ended the connection"
_RETRY, _CONFLICT = Verdict.RETRY, Verdict.CONFLICT
_UNAVAILABLE, _CORRUPT = Verdict.UNAVAILABLE, Verdict.CORRUPT

# The code, its name, what it means, whether the connection is of no more use, and
# what to do about it.
_ROWS: tuple[tuple[str, str, Verdict, bool, str], ...] = (
    ("08000", "connection_exception", _UNAVAILABLE, True, _ENDED),
    ("08003", "connection_does_not_exist", _UNAVAILABLE, True, _ENDED),
    ("08006", "connection_failure", _UNAVAILABLE, True, _ENDED),
    ("08P01", "protocol_violation", _UNAVAILABLE, True, "see the pooler's log"),
    (
        "0A000",
        "feature_not_supported",
        _UNAVAILABLE,
        True,
        "with prepare=1 the table was changed under a prepared statement",
    ),
    ("23505", "unique_violation", _CONFLICT, False, "the key is taken"),
    (
        "25001",
        "active_sql_transaction",
        _UNAVAILABLE,
        False,
        "set default_transaction_isolation to 'read committed' for this role",
    ),
    (
        "25006",
        "read_only_sql_transaction",
        _UNAVAILABLE,
        True,
        "this server is a standby, or set read-only: name the primary",
    ),
    ("25P02", "in_failed_sql_transaction", _UNAVAILABLE, True, _ENDED),
    ("25P03", "idle_in_transaction_session_timeout", _UNAVAILABLE, True, _ENDED),
    ("25P04", "transaction_timeout", _UNAVAILABLE, True, _ENDED),
    (
        "26000",
        "invalid_sql_statement_name",
        _UNAVAILABLE,
        True,
        "prepare=1 does not go with a pooler that shares connections",
    ),
    (
        "28000",
        "invalid_authorization_specification",
        _UNAVAILABLE,
        True,
        "see its pg_hba.conf",
    ),
    ("28P01", "invalid_password", _UNAVAILABLE, True, "correct the password"),
    ("3D000", "invalid_catalog_name", _UNAVAILABLE, True, "create the database"),
    ("3F000", "invalid_schema_name", _CORRUPT, True, "its schema was dropped"),
    ("40001", "serialization_failure", _RETRY, False, "it was tried twice"),
    ("40003", "statement_completion_unknown", _UNAVAILABLE, True, _ENDED),
    ("40P01", "deadlock_detected", _RETRY, False, "it was tried twice"),
    ("42501", "insufficient_privilege", _UNAVAILABLE, False, "grant it to this role"),
    ("42703", "undefined_column", _CORRUPT, True, "its table was altered"),
    ("42804", "datatype_mismatch", _CORRUPT, True, "its table was altered"),
    ("42883", "undefined_function", _CORRUPT, True, "its table was altered"),
    ("42P01", "undefined_table", _CORRUPT, True, "its table was dropped"),
    ("53000", "insufficient_resources", _UNAVAILABLE, False, "see its log"),
    ("53100", "disk_full", _UNAVAILABLE, False, "make room on its disk"),
    ("53200", "out_of_memory", _UNAVAILABLE, False, "see its memory"),
    ("53300", "too_many_connections", _UNAVAILABLE, True, "raise max_connections"),
    ("53400", "configuration_limit_exceeded", _UNAVAILABLE, False, "see its limits"),
    ("54000", "program_limit_exceeded", _UNAVAILABLE, False, "see its log"),
    (
        "55P03",
        "lock_not_available",
        _UNAVAILABLE,
        False,
        "another transaction holds the row or the table: see pg_locks",
    ),
    (
        "57014",
        "query_canceled",
        _UNAVAILABLE,
        False,
        "somebody canceled it, or its statement_timeout is too short",
    ),
    ("57P01", "admin_shutdown", _UNAVAILABLE, True, _ENDED),
    ("57P02", "crash_shutdown", _UNAVAILABLE, True, _ENDED),
    ("57P03", "cannot_connect_now", _UNAVAILABLE, True, "it is starting or stopping"),
    ("57P04", "database_dropped", _UNAVAILABLE, True, "the database was dropped"),
    ("57P05", "idle_session_timeout", _UNAVAILABLE, True, _ENDED),
    ("58000", "system_error", _UNAVAILABLE, False, "see its log"),
    ("58030", "io_error", _UNAVAILABLE, False, "see its disk and its log"),
    ("XX000", "internal_error", _UNAVAILABLE, True, "see its log"),
    ("XX001", "data_corrupted", _CORRUPT, False, "put back a backup"),
    ("XX002", "index_corrupted", _CORRUPT, False, "REINDEX the table"),
)

TABLE = {
    code: (name, verdict, drop, advice) for code, name, verdict, drop, advice in _ROWS
}
"""What each code means; all others mean unavailable."""

_CLASSES_THAT_END = ("08", "57", "28")


def judge(code: str) -> Verdict:
    """
    Say what is to be done about an error.

    @param code: A SQLSTATE, five characters.
    """
    return TABLE[code][1] if code in TABLE else Verdict.UNAVAILABLE


def endsConnection(code: str) -> bool:
    """
    Is the connection of no more use after this error?
    """
    return TABLE[code][2] if code in TABLE else code[:2] in _CLASSES_THAT_END


def storeError(code: str, said: str, place: str) -> StoreError:
    """
    Make the error that a caller sees.

    @param code: A SQLSTATE.
    @param said: The server's own words.  They can hold what was written, so they
        are told only for errors that speak of the server.
    @param place: The database, for people.
    """
    name, verdict, _, advice = TABLE.get(
        code, ("an error", Verdict.UNAVAILABLE, False, "see its log")
    )
    shown = f": {said}" if said and _speaksOfTheServer(code) else ""
    kind = StoreCorrupt if verdict is Verdict.CORRUPT else StoreUnavailable
    return kind(
        f"the session database {place} refused with {name} ({code}){shown}; {advice}"
    )


def _speaksOfTheServer(code: str) -> bool:
    """
    Does the text of this error never quote a value of a row?
    """
    return code[:2] in ("08", "25", "28", "3D", "3F", "53", "57")


def unknown(place: str, why: str) -> StoreUnavailable:
    """
    Make the error for what was under way when the connection ended.
    """
    return StoreUnavailable(
        f"the connection to the session database {place} ended before it had "
        f"answered ({why}): whether a write was made is not known"
    )


def late(place: str, deadline: float) -> StoreUnavailable:
    """
    Make the error that says that a deadline has passed.
    """
    return StoreUnavailable(
        f"the session database {place} has not answered for {deadline:g} s: see "
        "its load, its locks and the network"
    )


__all__ = [
    "TABLE",
    "Verdict",
    "endsConnection",
    "judge",
    "late",
    "storeError",
    "unknown",
]
