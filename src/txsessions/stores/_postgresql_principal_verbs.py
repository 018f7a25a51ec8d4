"""
The verbs of the PostgreSQL store that are about a principal: which statement with which
values, under which lock.

Owns that translation, as L{txsessions.stores._postgresql_verbs} does for single
sessions.  Who ends, counts or forgets has the principal to itself, and a unit of its
own: it locks rows whose keys are not known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from txsessions.core.record import Record
from txsessions.stores._postgresql_exchange import Call, Values
from txsessions.stores._postgresql_principals import LOOK_AGAIN
from txsessions.stores._postgresql_rows import (
    FARTHEST,
    HANDLE_AT,
    KEY_AT,
    instant,
    readable,
)
from txsessions.stores._postgresql_statements import Names, Statements
from txsessions.stores._postgresql_values import number

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

EASY, USUAL, FINAL = 0, 1, 2
"""How a call is committed: see L{txsessions.stores._postgresql_exchange.COMMITS}."""

LOOKS = 64
"""How many epochs a sweep looks at."""


def lockOf(names: Names, principal: bytes) -> int:
    """
    The number of the advisory lock on a principal, or on a prefix of them.  Two may have
    the same: then they wait for each other, no more.
    """
    place = crc32(names.sessions.encode())
    return int.from_bytes(principal[-8:], "big", signed=True) ^ place


class PrincipalVerbs:
    """
    Makes calls: see L{txsessions.stores._postgresql_verbs.Verbs}.
    """

    _all: Statements

    def sessionsOf(
        self,
        principal: bytes,
        now: float,
        cursor: bytes | None,
        limit: int,
        offset: int,
        due: float,
    ) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.sessionsOf}.
        """

        def decode(result: PGresult) -> tuple[list[Record], bytes | None]:
            count = result.ntuples
            records = [
                readable(result.get_value(row, KEY_AT) or b"", result, row, offset)
                for row in range(count)
            ]
            whole = count == limit
            following = result.get_value(count - 1, HANDLE_AT) if whole else None
            return [record for record in records if record is not None], following

        present = number(instant(now, offset))
        values: Values = [principal, cursor or b"", present, number(limit)]
        return Call(self._all.sessionsOf, values, decode, due, alone=True)

    def endPrincipal(
        self, principal: bytes, now: float, but: bytes | None, offset: int, due: float
    ) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.endPrincipal}.
        """
        values: Values = [principal, number(instant(now, offset)), but]
        call = Call(self._all.endPrincipal, values, countOf, due)
        return self._final(call, principal)

    def endEverybody(self, prefix: bytes, offset: int, due: float) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.endEverybody}.
        """
        values: Values = [prefix, number(FARTHEST)]
        call = Call(self._all.endEverybody, values, nothing, due)
        return self._final(call, prefix)

    def endSession(
        self, principal: bytes, handle: bytes, now: float, offset: int, due: float
    ) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.endSession}.
        """

        def decode(result: PGresult) -> bool:
            rows = range(result.ntuples)
            return any(result.get_value(row, 0) == b"\1" for row in rows)

        values: Values = [principal, handle, number(instant(now, offset))]
        call = Call(self._all.endSession, values, decode, due)
        return self._final(call, principal)

    def erasePrincipal(self, principal: bytes, offset: int, due: float) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.erasePrincipal}.
        """
        call = Call(self._all.erasePrincipal, [principal], countOf, due)
        return self._final(call, principal)

    def dueEpochs(self, now: float, offset: int, due: float) -> Call:
        """
        Find principals whose epoch may be forgotten.
        """

        def decode(result: PGresult) -> list[bytes]:
            rows = range(result.ntuples)
            return [result.get_value(row, 0) or b"" for row in rows]

        values: Values = [number(instant(now, offset)), number(LOOKS)]
        return Call(self._all.dueEpochs, values, decode, due)

    def forgetEpoch(
        self, principal: bytes, now: float, offset: int, due: float
    ) -> Call:
        """
        Forget the epoch of a principal of whom no record is left; look again later if
        one is.
        """
        later = number(instant(now + LOOK_AGAIN, offset))
        lock = lockOf(self._all.names, principal), True
        values: Values = [principal, later]
        return Call(self._all.forgetEpoch, values, nothing, due, lock=lock)

    def misfits(self, offset: int, due: float) -> Call:
        """
        See L{txsessions.interfaces.ISessionStore.verifyIndex}.
        """
        return Call(self._all.misfits, [], countOf, due, alone=True)

    def _final(self, call: Call, principal: bytes) -> Call:
        """
        Make a call one that ends sessions of a principal for good.
        """
        call.lock = lockOf(self._all.names, principal), True
        call.commit, call.alone = FINAL, True
        return call


def countOf(result: PGresult) -> int:
    """
    Read a number.
    """
    return int.from_bytes(result.get_value(0, 0) or b"", "big")


def nothing(result: PGresult) -> None:
    """
    That it was done is all that there is to know.
    """


__all__ = [
    "EASY",
    "FINAL",
    "LOOKS",
    "USUAL",
    "PrincipalVerbs",
    "countOf",
    "lockOf",
    "nothing",
]
