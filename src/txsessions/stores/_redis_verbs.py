"""
The verbs that are about one session, as commands and scripts.

Owns what is sent for each, and what is made of the answer: what is no session where
one should be is absent, and the operator is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from txsessions.core.record import UNCHANGED, Answer, Record, SignInLimit, tagOf
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    SessionTooLarge,
    StoreUnavailable,
    TooManySessions,
)
from txsessions.interfaces import END_MARKER
from txsessions.stores import _redis_scripts
from txsessions.stores._redis_calls import Calls
from txsessions.stores._redis_functions import DONE, EXISTS, GONE, TOO_MANY
from txsessions.stores._redis_resp import ReplyError
from txsessions.stores._redis_rows import (
    LIMIT,
    Damaged,
    decode,
    encode,
    isAlive,
    packMarker,
    packTime,
    packVersion,
    reportDamage,
    signInOf,
)

_NONE: Sequence[bytes] = ()
Found = Record | Answer | None


def load(calls: Calls, key: bytes, now: float, known: int | None) -> Deferred[Found]:
    """
    See L{txsessions.interfaces.ISessionStore.load}.  No more is read than a record may
    have.
    """
    at = now + calls.clock.offset
    name = calls.keys.record(key)
    version = b"" if known is None else packVersion(known)
    rest = (b"1", name, version)
    return calls.run(_redis_scripts.LOAD, rest).addCallbacks(
        _loaded, _failed, (calls, key, at), errbackArgs=(calls, key, at, rest)
    )


def _failed(
    failure: Failure, calls: Calls, key: bytes, at: float, rest: tuple[bytes, ...]
) -> Failure | Deferred[Found] | None:
    """
    The script failed, perhaps because it was forgotten.
    """
    again = calls.failed(failure, _redis_scripts.LOAD, rest)
    if isinstance(again, Failure):
        return _notLoaded(again, calls, key)
    return again.addCallbacks(
        _loaded, _notLoaded, (calls, key, at), errbackArgs=(calls, key)
    )


def _loaded(reply: Any, calls: Calls, key: bytes, at: float) -> Found | Deferred[Found]:
    """
    Read what was loaded.
    """
    if not reply:
        return None if reply == GONE else _findOut(calls, key, at)
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
    done = calls.write(
        script, record.key, value, packTime(now + offset), *arguments, keys=keys
    )
    return _written(done, calls, record.key, record.key, limit)


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


def replace(calls: Calls, record: Record, expected: int, now: float) -> Deferred[None]:
    """
    See L{txsessions.interfaces.ISessionStore.replace}.  One round trip, or two where
    the record says that somebody else is signed in than is.
    """
    offset = calls.clock.offset
    try:
        value = encode(record, offset)
    except (SessionTooLarge, ValueError) as error:
        return fail(error)
    done = calls.write(
        _redis_scripts.REPLACE,
        record.key,
        value,
        packVersion(expected),
        packTime(now + offset),
        keys=calls.keys.all(record.key)[:3],
    )

    again = (record, expected, now)
    return _written(done, calls, record.key, record.key, None, again)


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
    done = calls.write(
        script,
        oldKey,
        record.key,
        value,
        packVersion(expected),
        packTime(now + offset),
        packMarker(now + offset, marks),
        *arguments,
        keys=keys,
    )
    return _written(done, calls, oldKey, record.key, limit)


def follow(calls: Calls, key: bytes, now: float) -> Deferred[Found]:
    """
    See L{txsessions.interfaces.ISessionStore.follow}.
    """
    at = now + calls.clock.offset
    keys = (calls.keys.record(key), calls.keys.became(key))

    def read(reply: Any) -> Found:
        if type(reply) is not list:
            return None
        name, text = reply
        try:
            return decode(name, text, calls.clock.offset, at)
        except Damaged:
            reportDamage(name)
            return None

    done = calls.script(_redis_scripts.FOLLOW, key, packTime(at), keys=keys)
    return done.addCallbacks(read, odd, errbackArgs=(calls,))


def delete(calls: Calls, key: bytes, now: float | None) -> Deferred[bool]:
    """
    See L{txsessions.interfaces.ISessionStore.delete}.
    """
    keys = (*calls.keys.all(key), calls.keys.became(key))
    till = b"" if now is None else packTime(now + calls.clock.offset + END_MARKER)
    done = calls.write(_redis_scripts.DELETE, key, till, keys=keys)
    return done.addCallbacks(bool, odd, errbackArgs=(calls,))


def _written(
    done: Deferred[Any],
    calls: Calls,
    key: bytes,
    newKey: bytes,
    limit: SignInLimit | None = None,
    again: tuple[Record, int, float] | None = None,
) -> Deferred[None]:
    """
    Read what a script says.

    @param key: The session that was to be changed.
    @param newKey: The one that was to be made.
    @param again: What L{replace} was to write, when, for who is signed in there.
    """

    def said(reply: Any) -> Deferred[None] | None:
        if reply == DONE:
            return None
        if reply == EXISTS:
            raise SessionExists(tagOf(newKey))
        if reply == TOO_MANY and limit is not None:
            raise TooManySessions(tagOf(newKey), limit.most)
        if type(reply) is list and again is not None:
            record = _asThere(again[0], reply[0])
            if record is not None:
                return replace(calls, record, *again[1:])
        elif reply != GONE:
            _conflict(calls, key, reply)
        raise SessionGone(tagOf(key))

    return done.addCallbacks(said, odd, errbackArgs=(calls,))


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
    "follow",
    "insert",
    "load",
    "odd",
    "rename",
    "replace",
    "touch",
]
