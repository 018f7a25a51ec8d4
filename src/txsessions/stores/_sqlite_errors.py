"""
What SQLite says went wrong, in the words of a session store.

Owns the reading of SQLite's messages: they are the only thing that every Python
hands out alike (error codes came with 3.11).
"""

from __future__ import annotations

import sqlite3

from txsessions.errors import StoreCorrupt, StoreError, StoreUnavailable

ENGINE_ERRORS = (sqlite3.Error, MemoryError)
"""What is raised when SQLite fails: Python has no words of SQLite's for a lack of
memory."""

_BUSY = ("locked", "locking protocol")
_DAMAGED = (
    "malformed",
    "not a database",
    "no such table",
    "no such column",
    "has no column",
)
_ADVICE = (
    ("full", "make room on its disk"),
    ("disk i/o", "look at the disk, its quota and the system's log"),
    ("readonly", "make its file and directory writable for this process"),
    ("unable to open", "look at the modes of its file and directory"),
    ("locked", "another program holds it"),
    ("memory", "give this process more, or less to do"),
)


def isBusy(error: Exception) -> bool:
    """
    Was it only that somebody else holds the database at the moment?
    """
    said = str(error)
    return any(word in said for word in _BUSY)


def isFull(error: Exception) -> bool:
    """
    Was there no room, on the disk or within the limits of this process?
    """
    said = str(error)
    return "full" in said or "disk I/O error" in said


def storeError(error: Exception, path: str) -> StoreError:
    """
    Make the error that a caller sees.

    @param path: The database's file, for the message.
    @return: L{StoreCorrupt} for damage, L{StoreUnavailable} for all else.
    """
    said = str(error) or "out of memory"
    name = getattr(error, "sqlite_errorname", None)
    what = f"{said} ({name})" if name else said
    if any(word in said for word in _DAMAGED):
        return StoreCorrupt(
            f"the session database {path} is damaged: {what}; stop its users and "
            "put back a backup, or move it away to begin anew"
        )
    advice = next((a for word, a in _ADVICE if word in said.lower()), None)
    hint = f": {advice}" if advice else ""
    return StoreUnavailable(f"the session database {path} refused: {what}{hint}")


def forked(path: str) -> StoreUnavailable:
    """
    Make the error that says that the database is the parent's.
    """
    return StoreUnavailable(
        f"the session database {path} was opened before this process was forked: "
        "open stores after the fork"
    )


def late(path: str, deadline: float) -> StoreUnavailable:
    """
    Make the error that says that a deadline has passed.
    """
    return StoreUnavailable(
        f"the session database {path} has not answered for {deadline:g} s: see "
        "whether its disk hangs"
    )


def tooMany(waiting: int) -> str:
    """
    Say that no more may wait.
    """
    return (
        f"{waiting} writes are waiting for the session database already: it is too "
        "slow for what it is given"
    )


__all__ = [
    "ENGINE_ERRORS",
    "forked",
    "isBusy",
    "isFull",
    "late",
    "storeError",
    "tooMany",
]
