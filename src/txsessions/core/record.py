"""
The record: what a store keeps of one session.

Owns the shape that travels between the live sessions and the stores.  Knows no
engine, no uid and no key: the payload is sealed before it gets here.
"""

from __future__ import annotations

import enum

from msgspec import Struct
from msgspec.structs import replace

PREFIX_BYTES = 8
"""How many bytes the principals of one site begin with that are the same for all of
them."""

TAG_BYTES = 8
"""How much of a store key logs and operators see, in bytes (twice as many
hexadecimal characters)."""


def tagOf(key: bytes) -> str:
    """
    Name a session for logs and operators.

    @param key: A store key, 32 bytes.
    @return: 16 hexadecimal characters, of no use for finding the uid.
    """
    return key[:TAG_BYTES].hex()


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """
    One session as its store holds it.  Every load and every write makes one, so it
    is of a kind that is made in C; C{msgspec.structs.replace} makes another of it.

    @ivar key: The store key, 32 bytes.
    @ivar version: A counter that every change of the payload raises by one; 1
        at first.
    @ivar createdAt: When the session was made, in seconds since the epoch.
    @ivar touchedAt: When it was last used, as far as the store was told.
    @ivar expiresAt: When the store may no longer hand it out.
    @ivar principal: A keyed hash of who is signed in, 32 bytes, or L{None}.  It begins
        with L{PREFIX_BYTES} that tell whose site that is, under which key.
    @ivar handle: By what people name one of their sessions, without a way to its key:
        16 bytes drawn at the sign-in, which stay with it; there where the principal is.
    @ivar payload: The sealed state.
    """

    key: bytes
    version: int
    createdAt: float
    touchedAt: float
    expiresAt: float
    principal: bytes | None = None
    handle: bytes | None = None
    payload: bytes

    def __repr__(self) -> str:
        """
        Show what people may see.
        """
        return (
            f"Record(key={self.tag}, version={self.version}, "
            f"createdAt={self.createdAt}, touchedAt={self.touchedAt}, "
            f"expiresAt={self.expiresAt})"
        )

    @property
    def tag(self) -> str:
        """
        What people see of the key: see L{tagOf}.
        """
        return tagOf(self.key)


def neverBack(record: Record, stored: Record) -> Record:
    """
    Say what a store is to hold where C{record} takes the place of C{stored}:
    the time of the last touch never goes back.

    @return: The record, with the stored time and the later of the two deadlines
        where that time is later than its own.
    """
    if stored.touchedAt <= record.touchedAt:
        return record
    expiresAt = max(stored.expiresAt, record.expiresAt)
    return replace(record, touchedAt=stored.touchedAt, expiresAt=expiresAt)


def sameSignIn(record: Record, stored: Record) -> Record:
    """
    Say what a store is to hold where C{record} changes C{stored} under its key: who is
    signed in does not change by that.

    @return: The record, with the stored principal and handle.
    """
    if record.principal == stored.principal and record.handle == stored.handle:
        return record
    return replace(record, principal=stored.principal, handle=stored.handle)


class SignInLimit(Struct, frozen=True, kw_only=True):
    """
    How many sessions one principal may have.

    @ivar most: That many, 1 or more.
    @ivar refuses: What happens to one more: whether it is refused, or else the oldest
        make room for it.
    """

    most: int
    refuses: bool


class Answer(enum.Enum):
    """
    What a store says of a session without handing out its record.
    """

    UNCHANGED = "unchanged"
    """The stored version is the one that the caller knows."""

    ROTATED = "rotated"
    """The session was given another key less than a minute ago."""

    FORMER = "former"
    """It was given another key longer ago, and that is still remembered."""

    DELETED = "deleted"
    """The session was deleted some seconds ago."""


UNCHANGED = Answer.UNCHANGED
ROTATED = Answer.ROTATED
FORMER = Answer.FORMER
DELETED = Answer.DELETED


__all__ = [
    "DELETED",
    "FORMER",
    "PREFIX_BYTES",
    "ROTATED",
    "TAG_BYTES",
    "UNCHANGED",
    "Answer",
    "Record",
    "SignInLimit",
    "neverBack",
    "sameSignIn",
    "tagOf",
]
