"""
Which calls become a unit, and what becomes of them when it has been answered.

Owns these two rules, without a connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from txsessions.core.record import tagOf
from txsessions.errors import SessionError, SessionExists, StoreUnavailable
from txsessions.stores._postgresql_errors import Verdict, judge, storeError
from txsessions.stores._postgresql_exchange import Call, Unit, Values
from txsessions.stores._postgresql_statements import Statement

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

UNIT_CALLS = 128
"""How many calls one unit takes at most."""

UNIT_BYTES = 1 << 20
"""How many bytes of payloads one unit takes at most, but for one call alone."""

_log = Logger()
_isAlone = attrgetter("alone")
_keysOf = attrgetter("keys")
_sizeOf = attrgetter("size")


class Again(Exception):
    """
    Raised by a call's C{decode}: the call has to be made again, as it is, for what
    it found was overtaken while it waited for somebody else's transaction; or else
    with another statement.
    """

    def __init__(
        self,
        statement: Statement | None = None,
        values: Values | None = None,
        decode: Callable[[PGresult], Any] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        """
        @param statement: What is to be asked instead, if it is not the same.
        @param decode: What is made of the answer to that.
        @param alone: Whether the call goes alone from now on.
        """
        super().__init__()
        self._instead = statement, values, decode
        self._alone = alone

    def change(self, call: Call) -> None:
        """
        Have a call ask what is to be asked instead.
        """
        statement, values, decode = self._instead
        if statement is not None and values is not None and decode is not None:
            call.statement, call.values = statement, values
            call.decode, call.about = decode, None
        call.alone = call.alone or self._alone


def gather(queue: deque[Call]) -> list[Call]:
    """
    Take the calls of the next unit from the queue.  They may be sorted by key, which
    keeps the order of those with one key; so a call with two shares them with no
    other of its unit.
    """
    if len(queue) == 1:
        return [queue.popleft()]
    calls = list(islice(queue, UNIT_CALLS))
    # Nearly always all of them fit.  Each of these questions is asked of all calls at
    # once, in C, for every request of a site comes by here.
    if (
        any(map(_isAlone, calls))
        or max(map(len, map(_keysOf, calls))) > 1
        or sum(map(_sizeOf, calls)) > UNIT_BYTES
    ):
        del calls[_fitting(calls) :]
    if len(calls) == len(queue):
        queue.clear()
    else:
        for _ in calls:
            queue.popleft()
    return calls


def _fitting(calls: list[Call]) -> int:
    """
    How many of these calls, from the first on, go together.
    """
    size = 0
    single: set[bytes] = set()
    double: set[bytes] = set()
    for count, call in enumerate(calls):
        size += call.size
        clashing = single | double if len(call.keys) > 1 else double
        if count and (
            call.alone or size > UNIT_BYTES or not clashing.isdisjoint(call.keys)
        ):
            return count
        if call.alone:
            return 1
        (double if len(call.keys) > 1 else single).update(call.keys)
    return len(calls)


def settle(unit: Unit, place: str) -> list[Call]:
    """
    Tell those who wait for the calls of a unit that has been answered.

    @param place: The database, for people.
    @return: The calls that have to be made again.
    """
    answers = None if unit.failed is not None else unit.answers()
    if answers is None:
        return _undone(unit, place)
    again: list[Call] = []
    several = unit.several
    for call, result in answers:
        try:
            about = call.about
            if several is not None:
                answer = several.decode(result, about)
            elif about is None:
                answer = call.decode(result)
            else:
                answer = call.decode(result, about)
        except Again as other:
            other.change(call)
            again.append(call)
        except SessionError as error:
            call.answer(error)
        except Exception as error:
            _log.failure("A session store cannot read its database's answer")
            call.answer(StoreUnavailable(f"unreadable answer: {error!r}"))
        else:
            # As Call.answer does, for the hot path.
            told = call.told
            if told is not None and not told.called:
                told.callback(answer)
    return again


def _undone(unit: Unit, place: str) -> list[Call]:
    """
    The server has undone all of it, because of one call, or of what is all calls'; or
    the answer to what was asked together is not what was asked for.
    """
    if unit.several is not None:
        # Which of them is to blame nobody knows: now each is asked for itself.
        for call in unit.calls:
            call.retried = True
        return [*unit.calls]
    code, blamed = unit.code, unit.blamed()
    again = [call for call in unit.calls if call not in blamed]
    verdict = judge(code)
    for call in blamed:
        if verdict is Verdict.RETRY and not call.retried:
            call.retried = True
            again.append(call)
        elif verdict is Verdict.CONFLICT and call.keys:
            call.answer(SessionExists(tagOf(call.keys[-1])))
        else:
            call.answer(storeError(code, unit.said, place))
    return again


__all__ = ["UNIT_BYTES", "UNIT_CALLS", "Again", "gather", "settle"]
