"""
The reading of one session, as commands and scripts.

Owns what is sent for it, and what is made of the answer: what is no session where one
should be is absent, and the operator is told.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.core.record import UNCHANGED, Answer, Record
from txsessions.core.telling import Told
from txsessions.stores import _redis_scripts
from txsessions.stores._redis_calls import Calls, odd
from txsessions.stores._redis_connection import Reading
from txsessions.stores._redis_functions import DONE, GONE
from txsessions.stores._redis_keys import asked, bulk
from txsessions.stores._redis_resp import ReplyError
from txsessions.stores._redis_rows import LIMIT, Damaged, decode, packTime, reportDamage
from txsessions.stores._telling import passOn

Found = Record | Answer | None

_LOAD = b"*5\r\n%b$1\r\n1\r\n" % _redis_scripts.LOAD.lead
_NOTHING = bulk(b"")


def load(told: Told, calls: Calls, key: bytes, now: float, known: int | None) -> None:
    """
    See L{txsessions.interfaces.ISessionStore.load}.  No more is read than a record may
    have.
    """
    at = now + calls.clock.offset
    what = _NOTHING if known is None else asked(at, known)
    command = b"".join((_LOAD, calls.keys.part(key), what))
    about = (calls, command, key, at)
    tell = calls.client.tell
    tell(told, command, _LOADED, about)


def _loaded(
    reply: Any, told: Told, calls: Calls, command: bytes, key: bytes, at: float
) -> None:
    """
    The server has answered.
    """
    if reply and type(reply) is bytes:
        told.callback(_read(reply, calls, key, at))
        return
    said = calls.resume(reply, _redis_scripts.LOAD, command)
    passOn(
        said.addCallbacks(_found, _notLoaded, (calls, key, at), errbackArgs=(key,)),
        told,
    )


_LOADED = Reading(usual=DONE, meaning=UNCHANGED, read=_loaded)


def _found(reply: Any, calls: Calls, key: bytes, at: float) -> Found | Deferred[Found]:
    """
    Read what was said after all.
    """
    if reply == DONE:
        return UNCHANGED
    if not reply:
        return None if reply == GONE else _findOut(calls, key, at)
    return _read(reply, calls, key, at)


def _read(text: bytes, calls: Calls, key: bytes, at: float) -> Found:
    """
    Read what was loaded.
    """
    try:
        return decode(key, text, calls.clock.offset, at)
    except Damaged:
        reportDamage(key)
        return None


def _notLoaded(failure: Failure, key: bytes) -> Failure | None:
    """
    Something that is no session stands there, or the server failed.
    """
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
            lambda text: _read(text or b"?", calls, key, at),
            _notLoaded,
            errbackArgs=(key,),
        )

    def failed(failure: Failure) -> Failure:
        _ = again.addErrback(lambda _: None)
        return failure

    return there.addCallbacks(told, failed)


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


__all__ = ["Found", "follow", "load"]
