"""
The verbs of the PostgreSQL store: which statement with which values, and what is
made of its answer.

Owns that translation.  A conditional statement that met no row does not tell why; then,
which is rare, the call goes on to look at the row (L{Again
<txsessions.stores._postgresql_outcomes.Again>}).  What others have committed in between
may be such that the two do not explain each other: then it begins anew.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from math import floor
from typing import TYPE_CHECKING

from txsessions.core.record import DELETED, Record, sameSignIn, tagOf
from txsessions.core.telling import Told
from txsessions.errors import SessionConflict, SessionGone
from txsessions.interfaces import END_MARKER
from txsessions.stores._postgresql_anonymous import LOOK
from txsessions.stores._postgresql_exchange import Call, Several, Values
from txsessions.stores._postgresql_outcomes import Again
from txsessions.stores._postgresql_principal_verbs import (
    EASY,
    FINAL,
    USUAL,
    PrincipalVerbs,
    countOf,
    lockOf,
    nothing,
)
from txsessions.stores._postgresql_rows import (
    FAR,
    KEY_AT,
    PAYLOAD_AT,
    Found,
    found,
    foundIn,
    instant,
    numbersOf,
    readable,
)
from txsessions.stores._postgresql_signing import SigningVerbs
from txsessions.stores._postgresql_statements import Statements
from txsessions.stores._postgresql_values import (
    BIGINT,
    BYTEA,
    arrayOf,
    keysOf,
    number,
)

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_MORE_AT = KEY_AT + 1
# Where in the values of a replace these are, and how its numbers are written.
_EXPECTED_AT, _PRESENT_AT = 1, 7
_together, _apart = struct.Struct("!7q").pack, struct.Struct("8s" * 7).unpack
_ANONYMOUS = b"anonymous"
_NO_VERSION = number(0)


class Verbs(SigningVerbs, PrincipalVerbs):
    """
    Makes calls.  C{offset} is how far the server's clock is ahead, C{due} when it
    is too late, in all of them.
    """

    def __init__(self, statements: Statements, durability: str) -> None:
        """
        @param durability: See
            L{PostgreSQLStore<txsessions.stores.postgresql.PostgreSQLStore>}.
        """
        self._all = statements
        self._loads = Several(statements.loads, _loadsOf, foundIn)
        self._usual = {"server": USUAL, "full": FINAL, "normal": EASY}[durability]
        self._easy = FINAL if durability == "full" else EASY

    def load(
        self,
        key: bytes,
        now: float,
        known: int | None,
        offset: int,
        due: float,
        told: Told | None = None,
    ) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.load}.
        """
        version = None if known is None else number(known)
        if -FAR < now < FAR:
            # What instant says, without the call.
            present = floor(now * 1e6 + 0.5) + offset
        else:
            present = instant(now, offset)
        values: Values = [key, version, number(present)]
        about = key, present, offset
        return Call(
            self._all.load,
            values,
            found,
            due,
            about=about,
            told=told,
            several=self._loads,
        )

    def followed(self, key: bytes, now: float, offset: int, due: float) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.follow}.
        """

        def decode(result: PGresult) -> Found:
            if not result.ntuples:
                return None
            if result.get_value(0, 0) is None:
                return DELETED
            name = result.get_value(0, KEY_AT) or b""
            return readable(name, result, 0, offset)

        values: Values = [key, number(instant(now, offset))]
        return Call(self._all.followed, values, decode, due)

    def replace(
        self,
        record: Record,
        expected: int,
        now: float,
        offset: int,
        due: float,
        told: Told | None = None,
    ) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.replace}.
        """
        if -FAR < now < FAR:
            # As in load.
            present = floor(now * 1e6 + 0.5) + offset
        else:
            present = instant(now, offset)
        values = _replacing(record, expected, present, offset)
        return Call(
            self._all.replace,
            values,
            _replaced,
            due,
            (record.key,),
            self._usual,
            about=(self, record, values, offset),
            size=len(record.payload),
            told=told,
        )

    def notReplaced(self, record: Record, values: Values, offset: int) -> Again:
        """
        Have it asked why a replace met no row.

        @param values: Those that it came with.
        """
        decode = partial(self._notReplaced, record, values, offset)
        return Again(self._all.current, [record.key, values[_PRESENT_AT]], decode)

    def _notReplaced(
        self,
        record: Record,
        values: Values,
        offset: int,
        look: PGresult,
    ) -> None:
        """
        Read why a replace met no row.
        """
        current = readable(record.key, look, 0, offset) if look.ntuples else None
        if current is None:
            raise SessionGone(tagOf(record.key))
        if look.get_value(0, 0) != values[_EXPECTED_AT]:
            raise SessionConflict(current)
        # Somebody was faster, or else it has another principal.
        record = sameSignIn(record, current)
        expected, present = map(_numberIn, (values[_EXPECTED_AT], values[_PRESENT_AT]))
        values = _replacing(record, expected, present, offset)
        decode = partial(_replaced, about=(self, record, values, offset))
        raise Again(self._all.replace, values, decode)

    def touch(
        self,
        key: bytes,
        times: tuple[float, float],
        now: float,
        offset: int,
        due: float,
    ) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.touch}.

        @param times: C{touchedAt} and C{expiresAt}.
        """
        touchedAt, expiresAt = (instant(time, offset) for time in times)
        present = number(instant(now, offset))

        def decode(result: PGresult) -> None:
            if not result.command_tuples:
                raise Again(self._all.touched, [key, present], decodeLook)

        def decodeLook(look: PGresult) -> None:
            if not look.ntuples:
                raise SessionGone(tagOf(key))
            stored = look.get_value(0, 0) or b""
            if int.from_bytes(stored, "big", signed=True) < touchedAt:
                raise Again(self._all.touch, values, decode)

        values: Values = [key, number(touchedAt), number(expiresAt), present]
        return Call(self._all.touch, values, decode, due, (key,), self._easy)

    def delete(self, key: bytes, now: float | None, offset: int, due: float) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.delete}.  Only where there is no
        record does the call go on to look for a marker, alone: it may lock rows
        that come before its own.
        """

        def decode(result: PGresult) -> bool:
            if result.command_tuples:
                return True
            raise Again(followed, values, decodeFollowed, alone=True)

        def decodeFollowed(result: PGresult) -> bool:
            if result.get_value(0, 1) != number(0):
                return True
            if result.get_value(0, 0) != number(0):
                # It was renamed once more meanwhile, or somebody else ended it.
                raise Again
            return False

        statement, followed = self._all.delete, self._all.deleteFollowed
        values: Values = [key]
        if now is not None:
            statement, followed = self._all.end, self._all.endFollowed
            values = [key, number(instant(now + END_MARKER, offset))]
        return Call(statement, values, decode, due, (key,), FINAL)

    def claim(
        self, now: float, limit: int, lease: float, offset: int, due: float
    ) -> Call:
        """
        One slice of L{txsessions.interfaces.ISessionStore.claimExpired}.  Gives the
        records, the keys of damaged rows, and whether there may be more.

        @param limit: How many rows to look at.
        """
        present = instant(now, offset)
        until = instant(now + lease, offset)

        def decode(result: PGresult) -> tuple[list[Record], list[bytes], bool]:
            claimed, damaged = [], []
            for row in range(result.ntuples):
                key = result.get_value(row, KEY_AT) or b""
                if result.get_value(row, PAYLOAD_AT) is None:
                    continue
                record = readable(key, result, row, offset)
                if record is None:
                    damaged.append(key)
                else:
                    claimed.append(record)
            return claimed, damaged, result.ntuples == limit

        values: Values = [number(present), number(limit), number(until)]
        return Call(self._all.claim, values, decode, due, commit=USUAL, alone=True)

    def shelve(self, key: bytes, offset: int, due: float) -> Call:
        """
        Have the sweeper not look at a damaged row again.
        """
        return Call(self._all.shelve, [key], nothing, due, (key,), EASY)

    def acknowledge(self, keys: Sequence[bytes], offset: int, due: float) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.acknowledge}.
        """
        values: Values = [keysOf(keys)]
        return Call(
            self._all.acknowledge, values, nothing, due, commit=FINAL, alone=True
        )

    def evictAnonymous(
        self, most: int, now: float, limit: int, offset: int, due: float
    ) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.evictAnonymous}.
        """

        def decode(result: PGresult) -> tuple[list[Record], bool]:
            evicted, more = [], False
            for row in range(result.ntuples):
                key = result.get_value(row, KEY_AT)
                more = result.get_value(row, _MORE_AT) == b"\1"
                record = None if key is None else readable(key, result, row, offset)
                if record is not None:
                    evicted.append(record)
            return evicted, more

        present = number(instant(now, offset))
        values: Values = [number(most), present, number(min(limit, LOOK))]
        lock = lockOf(self._all.names, _ANONYMOUS), True
        return Call(
            self._all.evict, values, decode, due, commit=FINAL, alone=True, lock=lock
        )

    def count(self, now: float, offset: int, due: float) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.countSessions}.
        """
        values: Values = [number(instant(now, offset))]
        return Call(self._all.count, values, countOf, due, alone=True)

    def scan(self, cursor: bytes | None, limit: int, offset: int, due: float) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.scan}.
        """
        # The least key that is greater than the cursor.
        first = b"" if cursor is None else cursor + b"\0"

        def decode(result: PGresult) -> tuple[list[Record], bytes | None]:
            rows = range(result.ntuples)
            keys = [result.get_value(row, KEY_AT) or b"" for row in rows]
            records = [
                readable(key, result, row, offset) for row, key in enumerate(keys)
            ]
            following = keys[-1] if len(keys) == limit else None
            return [record for record in records if record is not None], following

        return Call(self._all.scan, [first, number(limit)], decode, due, alone=True)


def _loadsOf(every: Sequence[Values]) -> Values | None:
    """
    The values of several loads together, unless one has a key that is none, or of
    another size.
    """
    keys, known, presents = zip(*every, strict=True)
    if {*map(type, keys)} != {bytes} or len({*map(len, keys)}) > 1:
        return None
    versions = [version or _NO_VERSION for version in known]
    return [
        arrayOf(BYTEA, keys),
        arrayOf(BIGINT, versions),
        arrayOf(BIGINT, presents),
    ]


def _replaced(result: PGresult, about: tuple[Verbs, Record, Values, int]) -> None:
    """
    Read the answer to a replace.
    """
    if not result.command_tuples:
        verbs, record, values, offset = about
        raise verbs.notReplaced(record, values, offset)


def _replacing(record: Record, expected: int, present: int, offset: int) -> Values:
    """
    The values of a replace.
    """
    # In two steps for all of them: each has a size that is known.
    numbers = _apart(_together(expected, *numbersOf(record, offset), present))
    return [record.key, *numbers, record.payload, record.principal, record.handle]


def _numberIn(value: bytes | None) -> int:
    """
    Read what was written with L{number}.
    """
    return int.from_bytes(value or b"", "big", signed=True)


__all__ = ["EASY", "FINAL", "USUAL", "Verbs"]
