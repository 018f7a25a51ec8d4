"""
Which calls become a unit, and what becomes of them when it has been answered.

Owns these two rules, without a connection.
"""

from __future__ import annotations

from collections import deque

from twisted.logger import Logger

from txsessions.core.record import tagOf
from txsessions.errors import SessionError, SessionExists, StoreUnavailable
from txsessions.stores._postgresql_errors import Verdict, judge, storeError
from txsessions.stores._postgresql_exchange import Call, Unit

UNIT_CALLS = 128
"""How many calls one unit takes at most."""

UNIT_BYTES = 1 << 20
"""How many bytes of values one unit takes at most, but for one call alone."""

Outcome = tuple[list[tuple[Call, object]], list[Call]]
"""Calls with their answers or errors, and calls that have to be made again."""

_log = Logger()


class Again(Exception):
    """
    Raised by a call's C{decode}: what it found was overtaken while it waited for
    somebody else's transaction, so it has to look again.
    """


def gather(queue: deque[Call]) -> list[Call]:
    """
    Take the calls of the next unit from the queue.  They may be sorted by key, which
    keeps the order of those with one key; so a call with two shares them with no
    other of its unit.
    """
    calls = [queue.popleft()]
    if calls[0].alone:
        return calls
    size = _sizeOf(calls[0])
    single: set[bytes] = set()
    double: set[bytes] = set()
    (double if len(calls[0].keys) > 1 else single).update(calls[0].keys)
    while queue and len(calls) < UNIT_CALLS:
        call = queue[0]
        size += _sizeOf(call)
        clashing = single | double if len(call.keys) > 1 else double
        if call.alone or size > UNIT_BYTES or not clashing.isdisjoint(call.keys):
            break
        (double if len(call.keys) > 1 else single).update(call.keys)
        calls.append(queue.popleft())
    return calls


def _sizeOf(call: Call) -> int:
    """
    How many bytes a call's values take.
    """
    return sum([len(value) for value in call.values if value])


def outcome(unit: Unit, place: str) -> Outcome:
    """
    Say what becomes of the calls of a unit that has been answered.

    @param place: The database, for people.
    """
    return _committed(unit) if unit.failed is None else _undone(unit, place)


def _committed(unit: Unit) -> Outcome:
    """
    All statements were done, and are committed.
    """
    answers: list[tuple[Call, object]] = []
    again: list[Call] = []
    for call, results in unit.answers():
        try:
            answers.append((call, call.decode(*results)))
        except Again:
            again.append(call)
        except SessionError as error:
            answers.append((call, error))
        except Exception as error:
            _log.failure("A session store cannot read its database's answer")
            answers.append((call, StoreUnavailable(f"unreadable answer: {error!r}")))
    return answers, again


def _undone(unit: Unit, place: str) -> Outcome:
    """
    The server has undone all of it, because of one call, or of what is all calls'.
    """
    code, blamed = unit.code, unit.blamed()
    again = [call for call in unit.calls if call not in blamed]
    verdict = judge(code)
    answers: list[tuple[Call, object]] = []
    for call in blamed:
        if verdict is Verdict.RETRY and not call.retried:
            call.retried = True
            again.append(call)
        elif verdict is Verdict.CONFLICT and call.keys:
            answers.append((call, SessionExists(tagOf(call.keys[-1]))))
        else:
            answers.append((call, storeError(code, unit.said, place)))
    return answers, again


__all__ = ["UNIT_BYTES", "UNIT_CALLS", "Again", "Outcome", "gather", "outcome"]
