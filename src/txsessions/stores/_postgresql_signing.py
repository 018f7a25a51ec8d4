"""
The verbs of the PostgreSQL store by which somebody may sign in: a new session, and a
new key.

Owns their statements' values and what is made of the answers.  Where a record has no
principal they are what they always were; where it has, their unit takes the lock on
the principal first, which costs no round trip.  The oldest sessions are made to go only
when the first attempt has found too many: alone, for that locks their rows, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from txsessions.core.record import Record, SignInLimit, tagOf
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    TooManySessions,
)
from txsessions.stores._postgresql_exchange import Call, Values
from txsessions.stores._postgresql_outcomes import Again
from txsessions.stores._postgresql_principal_verbs import FINAL, lockOf
from txsessions.stores._postgresql_rows import KEY_AT, instant, readable, valuesOf
from txsessions.stores._postgresql_statements import Statements
from txsessions.stores._postgresql_values import number

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_DONE_AT, _COUNTED_AT, _TAKEN_AT = KEY_AT, KEY_AT + 1, KEY_AT + 2
_NO, _YES = number(0), number(1)


class SigningVerbs:
    """
    Makes calls: see L{txsessions.stores._postgresql_verbs.Verbs}.
    """

    _all: Statements
    _usual: int

    def insert(
        self,
        record: Record,
        now: float,
        limit: SignInLimit | None,
        offset: int,
        due: float,
    ) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.insert}.
        """
        key = record.key
        values: Values = [key, *valuesOf(record, offset)]
        size = len(record.payload)
        if record.principal is None:

            def decode(result: PGresult) -> None:
                if not result.command_tuples:
                    raise SessionExists(tagOf(key))

            usual = self._usual
            return Call(self._all.insert, values, decode, due, (key,), usual, size=size)

        def decodeSignIn(result: PGresult) -> None:
            if result.get_value(0, 0) == _NO:
                answer = [result.get_value(0, column) for column in (1, 2)]
                raise _refusal(call, record, limit, answer)

        call = Call(self._all.signIn, [], decodeSignIn, due, (key,), self._usual)
        call.size = size
        signed = (record.principal, record.handle, number(instant(now, offset)))
        return self._limited(call, [*values, *signed], record.principal, limit)

    def rename(
        self,
        oldKey: bytes,
        record: Record,
        expected: int,
        now: float,
        limit: SignInLimit | None,
        marks: float,
        offset: int,
        due: float,
    ) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.rename}.
        """
        version = number(expected)

        def decode(result: PGresult) -> None:
            if not result.ntuples:
                raise SessionGone(tagOf(oldKey))
            if result.get_value(0, _DONE_AT) != _NO:
                return
            if result.get_value(0, 0) == version:
                if record.principal is None:
                    raise SessionExists(record.tag)
                columns = (_COUNTED_AT, _TAKEN_AT)
                answer = [result.get_value(0, column) for column in columns]
                raise _refusal(call, record, limit, answer)
            current = readable(oldKey, result, 0, offset)
            if current is None:
                raise SessionGone(tagOf(oldKey))
            raise SessionConflict(current)

        until = instant(now + marks, offset)
        values: Values = [
            oldKey,
            version,
            number(instant(now, offset)),
            record.key,
            *valuesOf(record, offset),
            number(until),
        ]
        keys = (oldKey, record.key)
        call = Call(self._all.rename, values, decode, due, keys, FINAL)
        call.size = len(record.payload)
        if record.principal is not None:
            call.statement = self._all.renameSignedIn
            values = [*values, record.principal, record.handle]
            self._limited(call, values, record.principal, limit)
        return call

    def _limited(
        self,
        call: Call,
        values: Values,
        principal: bytes,
        limit: SignInLimit | None,
    ) -> Call:
        """
        Have a call take the lock on a principal, alone where it has to count.
        """
        most = None if limit is None else number(limit.most)
        call.values = [*values, most, _NO]
        call.lock = lockOf(self._all.names, principal), limit is not None
        return call


def _refusal(
    call: Call,
    record: Record,
    limit: SignInLimit | None,
    answer: Sequence[bytes | None],
) -> Exception:
    """
    Say why nothing was made.

    @param answer: How many are alive, and how many have the key.
    """
    alive, taken = [int.from_bytes(each or b"", "big", signed=True) for each in answer]
    if limit is None or taken or call.alone or alive < limit.most:
        return SessionExists(record.tag)
    if limit.refuses:
        return TooManySessions(record.tag, limit.most)
    call.values = [*call.values[:-1], _YES]
    call.alone = True
    return Again()


__all__ = ["SigningVerbs"]
