"""
The verbs that are about one session, as commands and scripts.

Owns what is sent for each, and what is made of the answer: what is no session where
one should be is absent, and the operator is told.
"""

from __future__ import annotations

from typing import Any, Literal

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from txsessions.core.record import UNCHANGED, Answer, Record, tagOf
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    SessionTooLarge,
    StoreUnavailable,
)
from txsessions.interfaces import ROTATION_MARKER
from txsessions.stores import _redis_scripts
from txsessions.stores._redis_calls import Calls
from txsessions.stores._redis_resp import ReplyError
from txsessions.stores._redis_rows import (
    LIMIT,
    Damaged,
    decode,
    encode,
    isAlive,
    packTime,
    packVersion,
    reportDamage,
)

Found = Record | Literal[Answer.UNCHANGED, Answer.ROTATED] | None

_GET = b"*4\r\n$8\r\nGETRANGE\r\n$%%d\r\n%%b\r\n$1\r\n0\r\n$%d\r\n%d\r\n" % (
    len(str(LIMIT)),
    LIMIT,
)
"""GETRANGE of no more than a record may have, as it is sent."""


def load(calls: Calls, key: bytes, now: float, known: int | None) -> Deferred[Found]:
    """
    See L{txsessions.interfaces.ISessionStore.load}.  No more is
    read than a record may have.
    """
    at = now + calls.clock.offset
    name = calls.keys.record(key)
    if known is None:
        read = calls.client.send(_GET % (len(name), name))
    else:
        version = packVersion(known)
        read = calls.script(_redis_scripts.LOAD, version, keys=[name])
    return read.addCallbacks(
        _loaded, _notLoaded, (calls, key, at), errbackArgs=(calls, key)
    )


def _loaded(reply: Any, calls: Calls, key: bytes, at: float) -> Found | Deferred[Found]:
    """
    Read what was loaded.
    """
    if not reply:
        return _findOut(calls, key, at)
    try:
        if type(reply) is list:
            return UNCHANGED if isAlive(reply[0], at) else None
        return decode(key, reply, calls.clock.offset, at)
    except Damaged:
        reportDamage(key)
        return None


def _notLoaded(failure: Failure, calls: Calls, key: bytes) -> Failure | None:
    """
    Something that is no session stands there, or the server failed.
    """
    failure = calls.refused(failure)
    if failure.check(ReplyError):
        reportDamage(key)
        return None
    return failure


def _findOut(calls: Calls, key: bytes, at: float) -> Deferred[Found]:
    """
    Find out whether nothing is there, or an empty string, which nobody but a
    stranger writes.
    """
    name = calls.keys.record(key)
    there = calls.call(b"EXISTS", name)
    again = calls.call(b"GETRANGE", name, b"0", b"%d" % LIMIT)

    def told(exists: int) -> Any:
        if not exists:
            _ = again.addErrback(lambda _: None)
            return None
        return again.addCallbacks(
            lambda text: _loaded(text or b"?", calls, key, at),
            _notLoaded,
            errbackArgs=(calls, key),
        )

    def failed(failure: Failure) -> Failure:
        _ = again.addErrback(lambda _: None)
        return failure

    return there.addCallbacks(told, failed)


def insert(calls: Calls, record: Record, now: float) -> Deferred[None]:
    """
    See L{txsessions.interfaces.ISessionStore.insert}.
    """
    offset = calls.clock.offset
    try:
        value = encode(record, offset)
    except SessionTooLarge as error:
        return fail(error)
    done = calls.write(
        _redis_scripts.INSERT,
        record.key,
        value,
        packTime(now + offset),
        keys=calls.keys.all(record.key),
    )
    return _written(done, calls, record.key, record.key)


def replace(calls: Calls, record: Record, expected: int, now: float) -> Deferred[None]:
    """
    See L{txsessions.interfaces.ISessionStore.replace}.
    """
    offset = calls.clock.offset
    try:
        value = encode(record, offset)
    except SessionTooLarge as error:
        return fail(error)
    done = calls.write(
        _redis_scripts.REPLACE,
        record.key,
        value,
        packVersion(expected),
        packTime(now + offset),
        keys=calls.keys.all(record.key)[:3],
    )
    return _written(done, calls, record.key, record.key)


def touch(
    calls: Calls, key: bytes, touchedAt: float, expiresAt: float, now: float
) -> Deferred[None]:
    """
    See L{txsessions.interfaces.ISessionStore.touch}.
    """
    offset = calls.clock.offset
    done = calls.write(
        _redis_scripts.TOUCH,
        key,
        *(packTime(at + offset) for at in (touchedAt, expiresAt, now)),
        keys=calls.keys.all(key)[:3],
    )
    return _written(done, calls, key, key)


def rename(
    calls: Calls, oldKey: bytes, record: Record, expected: int, now: float
) -> Deferred[None]:
    """
    See L{txsessions.interfaces.ISessionStore.rename}.
    """
    offset = calls.clock.offset
    try:
        value = encode(record, offset)
    except SessionTooLarge as error:
        return fail(error)
    done = calls.write(
        _redis_scripts.RENAME,
        oldKey,
        record.key,
        value,
        packVersion(expected),
        packTime(now + offset),
        packTime(now + offset + ROTATION_MARKER),
        keys=[
            *calls.keys.all(oldKey),
            *calls.keys.all(record.key),
            calls.keys.became(oldKey),
        ],
    )
    return _written(done, calls, oldKey, record.key)


def delete(calls: Calls, key: bytes) -> Deferred[bool]:
    """
    See L{txsessions.interfaces.ISessionStore.delete}.
    """
    keys = (*calls.keys.all(key), calls.keys.became(key))
    done = calls.write(_redis_scripts.DELETE, key, keys=keys)
    return done.addCallbacks(bool, odd, errbackArgs=(calls,))


def _written(
    done: Deferred[Any], calls: Calls, key: bytes, newKey: bytes
) -> Deferred[None]:
    """
    Read what a script says.

    @param key: The session that was to be changed.
    @param newKey: The one that was to be made.
    """

    def said(reply: Any) -> None:
        if reply == _redis_scripts.DONE:
            return
        if reply == _redis_scripts.EXISTS:
            raise SessionExists(tagOf(newKey))
        if reply != _redis_scripts.GONE:
            _conflict(calls, key, reply)
        raise SessionGone(tagOf(key))

    return done.addCallbacks(said, odd, errbackArgs=(calls,))


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


def odd(failure: Failure, calls: Calls) -> Failure:
    """
    Something that is none of ours has taken a key of the deadlines.
    """
    if failure.check(ReplyError):
        return Failure(
            StoreUnavailable(
                f"a key of the session store {calls.where} holds something "
                "else: see who else writes keys of its prefix"
            )
        )
    return failure


__all__ = [
    "Found",
    "delete",
    "insert",
    "load",
    "odd",
    "rename",
    "replace",
    "touch",
]
