"""
What goes over one connection to PostgreSQL: units of statements, and their answers.

Owns calls and units, and libpq's pipeline mode: a unit's statements are sent one
after the other, then one Sync, which makes them one transaction.  An error undoes
the whole unit.  Knows neither a reactor nor a thread, nor what any statement means.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import psycopg
from msgspec import Struct
from psycopg.pq import DiagnosticField, ExecStatus

from txsessions.core.telling import Told
from txsessions.stores._postgresql_statements import (
    LOCK_ALONE,
    LOCK_SHARED,
    Statement,
)
from txsessions.stores._postgresql_values import number

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

_BINARY = 1
# As plain numbers, which is what libpq gives.
_SYNC = int(ExecStatus.PIPELINE_SYNC)
_SKIPPED = int(ExecStatus.PIPELINE_ABORTED)
_GOOD = (int(ExecStatus.TUPLES_OK), int(ExecStatus.COMMAND_OK))

Values = list[bytes | None]
"""What a statement is about.  A list, for psycopg 3.2 takes nothing else."""


class Step(Struct, eq=False):
    """
    One statement of a unit, and its values.  Each request of a site makes one or two,
    so it is of a kind that is made in C.
    """

    statement: Statement
    values: Values

    def __repr__(self) -> str:
        """
        Show what people may see.
        """
        return f"<{self.statement.name.decode()}>"


class Several(Struct, frozen=True, eq=False):
    """
    How several calls are asked as one.

    @ivar statement: What asks for all of them.  Its answer has a row for each, whose
        second column is a C{bigint} that tells which: 1 for the first call.
    @ivar valuesOf: Makes its values of all of theirs; L{None} if that cannot be.
    @ivar decode: Makes of a row's first column, and of what the call is C{about}, what
        the call's own C{decode} would.
    """

    statement: Statement
    valuesOf: Callable[[Sequence[Values]], Values | None]
    decode: Callable[[bytes | None, Any], Any]


class Call(Step, eq=False):
    """
    A statement, and who waits for the answer.

    @ivar decode: Makes a value of that, or raises what is to be told; takes C{about}
        too, if there is something.
    @ivar due: When whoever waits is told that it is too late.
    @ivar keys: What it changes; nothing for a read.
    @ivar commit: How its transaction is to be committed: see L{COMMITS}.
    @ivar alone: Whether its unit holds no other call.
    @ivar lock: An advisory lock that its unit takes before it does anything else, and
        whether it is not shared; only where a unit has a setup.
    @ivar retried: Whether it has been made twice.
    @ivar told: Who waits, once it is made.
    @ivar about: For C{decode}.
    @ivar size: How many bytes the payload has that is among the values.
    @ivar several: How it is asked together with others of its kind.
    """

    decode: Callable[..., Any]
    due: float
    keys: tuple[bytes, ...] = ()
    commit: int = 0
    alone: bool = False
    lock: tuple[int, bool] | None = None
    retried: bool = False
    told: Told | None = None
    about: tuple[Any, ...] | None = None
    size: int = 0
    several: Several | None = None

    def answer(self, answer: object) -> None:
        """
        Give the answer, or what went wrong, unless whoever waits was told already
        or no longer does.
        """
        told = self.told
        if told is None or told.called:
            return
        if isinstance(answer, Exception):
            told.errback(answer)
        else:
            told.callback(answer)


COMMITS = ("off", "as set", "on")
"""How a unit is committed, by the greatest C{commit} of its calls: not waiting for
the disk; as the server or the user has set it; waiting in any case."""

_dueOf, _lockOf, _severalOf = map(attrgetter, ("due", "lock", "several"))
_valuesOf, _wasRetried = attrgetter("values"), attrgetter("retried")


@cache
def _placesOf(count: int) -> list[bytes]:
    """
    The places of so many calls that were asked together.
    """
    return [number(place) for place in range(1, count + 1)]


class Unit:
    """
    Calls that are one transaction.

    @ivar due: When the first of them is too late.
    @ivar steps: All statements and their values, in the order of sending: the setup
        if there is one, then the locks in one order, then the calls.
    @ivar results: One for each statement that was answered.
    @ivar failed: Which statement met an error, or the number of statements for the
        commit; L{None} if none did.
    @ivar code: That error's SQLSTATE.
    @ivar said: That error, in the server's words.
    @ivar several: How all of the calls were asked as one, if they were.
    """

    __slots__ = (
        "_ahead",
        "calls",
        "code",
        "due",
        "failed",
        "results",
        "said",
        "several",
        "steps",
    )

    def __init__(self, calls: Sequence[Call], setup: Statement | None) -> None:
        self.calls = calls
        self.due = min(map(_dueOf, calls))
        self.steps: Sequence[Step] = calls
        # For whom what goes ahead of the calls is sent.
        self._ahead: list[Sequence[Call]] = []
        if setup is not None:
            self._ahead.append(calls)
            locks = self._locks() if any(map(_lockOf, calls)) else []
            self.steps = [Step(setup, []), *locks, *calls]
        self.several: Several | None = None
        if len(calls) > 1 and calls[0].several is not None:
            self._askTogether(calls[0].several)
        self.results: list[PGresult] = []
        self.failed: int | None = None
        self.code = ""
        self.said = ""

    def _askTogether(self, several: Several) -> None:
        """
        Ask all calls as one, if all are of one kind and none was asked so before.
        """
        if {*map(_severalOf, self.calls)} == {several} and not any(
            map(_wasRetried, self.calls)
        ):
            values = several.valuesOf([*map(_valuesOf, self.calls)])
            if values is not None:
                self.several = several
                self.steps = [Step(several.statement, values)]

    def _locks(self) -> list[Step]:
        """
        Take each lock that a call wants, once, shared if that is enough for all.  One
        order for everybody, and rows are locked later, so that no two wait for each
        other.
        """
        wanted: dict[int, list[Call]] = {}
        for call in self.calls:
            if call.lock is not None:
                wanted.setdefault(call.lock[0], []).append(call)
        steps = []
        for place, callers in sorted(wanted.items(), key=lambda each: each[0]):
            alone = any(call.lock is not None and call.lock[1] for call in callers)
            self._ahead.append(callers)
            statement = LOCK_ALONE if alone else LOCK_SHARED
            steps.append(Step(statement, [number(place)]))
        return steps

    def answers(self) -> Iterable[tuple[Call, Any]] | None:
        """
        The calls with what they were answered: a result each, or a column of one; L{None}
        if that has not just one row for each.
        """
        if self.several is not None:
            (result,) = self.results
            get: Any = result.get_value
            rows = range(result.ntuples)
            values = [get(row, 0) for row in rows]
            places, expected = [get(row, 1) for row in rows], _placesOf(len(self.calls))
            if places != expected:
                found = dict(zip(places, values, strict=True))
                if len(places) != len(expected) or found.keys() != {*expected}:
                    return None
                values = [found[place] for place in expected]
            return zip(self.calls, values, strict=True)
        return zip(self.calls, self.results[len(self._ahead) :], strict=True)

    def blamed(self) -> list[Call]:
        """
        The call that met the error, or those that wanted a lock together; all, if it
        was the setup or the commit.
        """
        owners = [*self._ahead, *[(call,) for call in self.calls]]
        if self.failed is not None and self.failed < len(owners):
            return list(owners[self.failed])
        return list(self.calls)


class Broken(Exception):
    """
    The connection is of no more use; says why.

    @ivar done: The units that were answered before all the same.
    """

    done: Sequence[Unit] = ()


class Exchange:
    """
    One connection in pipeline mode.

    @ivar units: Those that were sent and are not answered, oldest first.
    """

    def __init__(self, pgconn: PGconn, prepared: bool) -> None:
        """
        @param pgconn: Connected; nobody else uses it from now on.
        @param prepared: Whether every statement was prepared on it.
        """
        self.units: deque[Unit] = deque()
        self._pgconn = pgconn
        self._prepared = prepared
        pgconn.nonblocking = 1
        pgconn.enter_pipeline_mode()

    def send(self, unit: Unit) -> None:
        """
        Put a unit into libpq's buffer, and as much of that as possible on its way.

        @raise Broken: The connection is lost.
        """
        pgconn, prepared = self._pgconn, self._prepared
        parsed: Statement | None = None
        try:
            for step in unit.steps:
                statement = step.statement
                if statement is parsed:
                    # It was just sent in this unit, so it is still parsed where this
                    # one is executed, be it behind a pooler.
                    pgconn.send_query_prepared(
                        b"", step.values, statement.formats, _BINARY
                    )
                elif prepared:
                    pgconn.send_query_prepared(
                        statement.name, step.values, statement.formats, _BINARY
                    )
                else:
                    parsed = statement
                    pgconn.send_query_params(
                        statement.text,
                        step.values,
                        statement.types,
                        statement.formats,
                        _BINARY,
                    )
            pgconn.pipeline_sync()
        except Exception as error:
            # Also of a value that is none: without its Sync, and with some of its
            # statements, the unit would get the answers to the next one.
            raise Broken(self._why(error)) from None
        finally:
            self.units.append(unit)

    def flush(self) -> bool:
        """
        Send what is buffered.

        @return: Whether something is left.
        @raise Broken: The connection is lost.
        """
        try:
            return bool(self._pgconn.flush())
        except psycopg.Error as error:
            raise Broken(self._why(error)) from None

    def receive(self) -> list[Unit]:
        """
        Read what has arrived.

        @return: The units that are done.
        @raise Broken: The connection is lost.
        """
        pgconn, units = self._pgconn, self.units
        isBusy, getResult = pgconn.is_busy, pgconn.get_result
        broken: Broken | None = None
        done: list[Unit] = []
        try:
            pgconn.consume_input()
        except psycopg.Error as error:
            broken = Broken(self._why(error))
        try:
            while units and not isBusy():
                if broken is not None and units[0].said:
                    break
                result = getResult()
                if result is None:
                    break
                status = result.status
                if status not in _GOOD:
                    if status == _SYNC:
                        done.append(units.popleft())
                        continue
                    if status != _SKIPPED:
                        self._note(units[0], result)
                units[0].results.append(result)
                # What ends the results of a statement is there together with them.
                if getResult() is not None:
                    broken = Broken("libpq has two results for one statement")
                    break
        except psycopg.Error as error:
            broken = broken or Broken(self._why(error))
        if broken is not None:
            if units and units[0].said:
                broken = Broken(units[0].said)
            broken.done = done
            raise broken
        return done

    def _note(self, unit: Unit, result: PGresult) -> None:
        """
        Remember the first error of a unit.
        """
        if unit.failed is None:
            code = result.error_field(DiagnosticField.SQLSTATE)
            said = result.error_field(DiagnosticField.MESSAGE_PRIMARY)
            unit.failed = len(unit.results)
            unit.code = (code or b"08006").decode()
            unit.said = (said or result.error_message).decode(errors="replace")

    def _why(self, error: Exception) -> str:
        """
        Say for people why the connection was lost.
        """
        return " ".join(str(error).split()) or "it was closed"


__all__ = ["COMMITS", "Broken", "Call", "Exchange", "Step", "Unit", "Values"]
