"""
The verbs that change one session, as commands and scripts.

Owns what is sent for each, and what is made of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, fail

from txsessions.core.record import Record, SignInLimit, tagOf
from txsessions.core.telling import Told
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    SessionTooLarge,
    TooManySessions,
)
from txsessions.interfaces import END_MARKER
from txsessions.stores import _redis_scripts
from txsessions.stores._redis_calls import Calls, odd
from txsessions.stores._redis_connection import Reading
from txsessions.stores._redis_functions import DONE, EXISTS, GONE, TOO_MANY, Script
from txsessions.stores._redis_keys import asked, bulk, lead
from txsessions.stores._redis_rows import (
    Damaged,
    decode,
    encode,
    packMarker,
    packTime,
    packTimes,
    packVersion,
    reportDamage,
    signInOf,
)
from txsessions.stores._telling import deferredOf, passOn

_NONE: Sequence[bytes] = ()
_REPLACE = b"*9\r\n%b$1\r\n3\r\n" % _redis_scripts.REPLACE.lead
_TOUCH = b"*8\r\n%b$1\r\n3\r\n" % _redis_scripts.TOUCH.lead


def insert(
    calls: Calls, record: Record, now: float, limit: SignInLimit | None
) -> Deferred[None]:
    """
    See L{txsessions.interfaces.ISessionStore.insert}.
    """
    offset = calls.clock.offset
    try:
        value = _made(record, offset)
    except (SessionTooLarge, ValueError) as error:
        return fail(error)
    script, arguments = _redis_scripts.INSERT, _NONE
    keys: Sequence[bytes] = calls.keys.all(record.key)
    if limit is not None and record.principal is not None:
        script = _redis_scripts.INSERT_LIMITED
        keys, arguments = _limited(calls, keys, record.principal, limit)
    command = script.command(
        keys, (record.key, value, packTime(now + offset), *arguments)
    )
    return _write(calls, script, command, record.key, record.key, limit)


def _made(record: Record, offset: float) -> bytes:
    """
    Write a record that is to have a new key.

    @raise ValueError: Nothing would find it at the end of its principal.
    """
    if record.principal is not None and record.handle is None:
        raise ValueError("a record that has a principal has a handle, too")
    return encode(record, offset)


def _limited(
    calls: Calls, keys: Sequence[bytes], principal: bytes, limit: SignInLimit
) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """
    What a sign-in that is limited needs besides.

    @return: All keys, and the last arguments.
    """
    arguments = (b"%d" % limit.most, b"%d" % limit.refuses)
    return (*keys, *calls.keys.principals(principal)), arguments


def replace(
    told: Told, calls: Calls, record: Record, expected: int, now: float
) -> None:
    """
    See L{txsessions.interfaces.ISessionStore.replace}.  One round trip, or two where
    the record says that somebody else is signed in than is.
    """
    offset = calls.clock.offset
    try:
        value = encode(record, offset)
    except (SessionTooLarge, ValueError) as error:
        told.errback(error)
        return
    key, what = record.key, asked(now + offset, expected)
    # The value, and what ends it, stand between two parts.
    ahead = calls.keys.parts(key)
    command = b"".join((_REPLACE, ahead, lead(len(value)), value, b"\r\n", what))
    reading = _WAITED if calls.replicas else _REPLACED
    tell = calls.client.tell
    tell(told, command, reading, (calls, command, record, expected, now))


def touch(
    calls: Calls, key: bytes, touchedAt: float, expiresAt: float, now: float
) -> Deferred[None]:
    """
    See L{txsessions.interfaces.ISessionStore.touch}.
    """
    offset = calls.clock.offset
    times = packTimes(touchedAt + offset, expiresAt + offset, now + offset)
    command = b"".join((_TOUCH, calls.keys.parts(key), bulk(times)))
    return _write(calls, _redis_scripts.TOUCH, command, key, key)


def rename(
    calls: Calls,
    oldKey: bytes,
    record: Record,
    expected: int,
    now: float,
    limit: SignInLimit | None,
    marks: float,
) -> Deferred[None]:
    """
    See L{txsessions.interfaces.ISessionStore.rename}.
    """
    offset = calls.clock.offset
    try:
        value = _made(record, offset)
    except (SessionTooLarge, ValueError) as error:
        return fail(error)
    script, arguments = _redis_scripts.RENAME, _NONE
    keys: Sequence[bytes] = (
        *calls.keys.all(oldKey),
        *calls.keys.all(record.key),
        calls.keys.became(oldKey),
    )
    if limit is not None and record.principal is not None:
        script = _redis_scripts.RENAME_LIMITED
        keys, arguments = _limited(calls, keys, record.principal, limit)
    command = script.command(
        keys,
        (
            oldKey,
            record.key,
            value,
            packVersion(expected),
            packTime(now + offset),
            packMarker(now + offset, marks),
            *arguments,
        ),
    )
    return _write(calls, script, command, oldKey, record.key, limit)


def delete(calls: Calls, key: bytes, now: float | None) -> Deferred[bool]:
    """
    See L{txsessions.interfaces.ISessionStore.delete}.
    """
    keys = (*calls.keys.all(key), calls.keys.became(key))
    till = b"" if now is None else packTime(now + calls.clock.offset + END_MARKER)
    done = calls.write(_redis_scripts.DELETE, key, till, keys=keys)
    return done.addCallbacks(bool, odd, errbackArgs=(calls,))


def _write(
    calls: Calls,
    script: Script,
    command: bytes,
    key: bytes,
    newKey: bytes,
    limit: SignInLimit | None = None,
    again: tuple[Record, int, float] | None = None,
) -> Deferred[None]:
    """
    Run a script that changes a session, and read what it says.

    @param key: The session that is to be changed.
    @param newKey: The one that is to be made.
    @param again: What L{replace} is to write, when, for who is signed in there.
    """
    reading = _REPLICATED if calls.replicas else _WRITTEN
    about = (calls, script, command, key, newKey, limit, again)
    return deferredOf(calls.client.tell, command, reading, about)


def _written(
    reply: Any,
    told: Told,
    calls: Calls,
    script: Script,
    command: bytes,
    *about: Any,
) -> None:
    """
    The server has answered something else, or the replicas have to be waited for.

    @param about: See L{_said}.
    """
    done = calls.resume(reply, script, command).addCallback(calls.written)
    passOn(done.addCallbacks(_said, odd, (calls, *about), errbackArgs=(calls,)), told)


_WRITTEN, _REPLICATED = Reading(usual=DONE, read=_written), Reading(read=_written)


def _replaced(
    reply: Any,
    told: Told,
    calls: Calls,
    command: bytes,
    record: Record,
    expected: int,
    now: float,
) -> None:
    """
    See L{_written}.
    """
    script, key, again = _redis_scripts.REPLACE, record.key, (record, expected, now)
    _written(reply, told, calls, script, command, key, key, None, again)


_REPLACED, _WAITED = Reading(usual=DONE, read=_replaced), Reading(read=_replaced)


def _said(
    reply: Any,
    calls: Calls,
    key: bytes,
    newKey: bytes,
    limit: SignInLimit | None,
    again: tuple[Record, int, float] | None,
) -> Deferred[None] | None:
    """
    Read what a script says: see L{_write}.
    """
    if reply == DONE:
        return None
    if reply == EXISTS:
        raise SessionExists(tagOf(newKey))
    if reply == TOO_MANY and limit is not None:
        raise TooManySessions(tagOf(newKey), limit.most)
    if type(reply) is list and again is not None:
        record = _asThere(again[0], reply[0])
        if record is not None:
            return deferredOf(replace, calls, record, *again[1:])
    elif reply != GONE:
        _conflict(calls, key, reply)
    raise SessionGone(tagOf(key))


def _asThere(record: Record, head: bytes) -> Record | None:
    """
    Make a record one of those who are signed in according to what is stored.

    @return: L{None} where it cannot be told.
    """
    try:
        stored = evolve(record, **signInOf(head))
    except Damaged:
        reportDamage(record.key)
        return None
    return None if stored == record else stored


def _conflict(calls: Calls, key: bytes, reply: Any) -> None:
    """
    Another version is there.

    @raise SessionConflict: It can be read.
    """
    try:
        text = reply if isinstance(reply, bytes) else b"?"
        current = decode(key, text, calls.clock.offset, None)
    except Damaged:
        reportDamage(key)
    else:
        if isinstance(current, Record):
            raise SessionConflict(current)


__all__ = [
    "delete",
    "insert",
    "rename",
    "replace",
    "touch",
]
