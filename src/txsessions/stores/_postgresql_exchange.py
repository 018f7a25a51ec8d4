"""
What goes over one connection to PostgreSQL: units of statements, and their answers.

Owns calls and units, and libpq's pipeline mode: a unit's statements are sent one
after the other, then one Sync, which makes them one transaction.  An error undoes
the whole unit.  Knows neither a reactor nor a thread, nor what any statement means.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from twisted.internet.defer import Deferred

from txsessions.stores._postgresql_statements import (
    LOCK_ALONE,
    LOCK_SHARED,
    Statement,
    number,
)

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

_BINARY = 1
_SYNC = ExecStatus.PIPELINE_SYNC
_SKIPPED = ExecStatus.PIPELINE_ABORTED
_GOOD = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class Call:
    """
    One statement, or two, and who waits for the answer.

    @ivar more: A second statement and its values, sent in the same unit.
    @ivar keys: What it changes; nothing for a read.
    @ivar decode: Makes a value of the answer to each statement, or raises what is
        to be told.
    @ivar due: When whoever waits is told that it is too late.
    @ivar commit: How its transaction is to be committed: see L{COMMITS}.
    @ivar alone: Whether its unit holds no other call.
    @ivar lock: An advisory lock that its unit takes before it does anything else, and
        whether it is not shared; only where a unit has a setup.
    @ivar retried: Whether it has been made twice.
    """

    __slots__ = (
        "alone",
        "commit",
        "decode",
        "deferred",
        "due",
        "keys",
        "lock",
        "more",
        "retried",
        "statement",
        "values",
    )

    def __init__(
        self,
        statement: Statement,
        values: Sequence[bytes | None],
        decode: Callable[..., Any],
        due: float,
        keys: tuple[bytes, ...] = (),
        commit: int = 0,
        *,
        alone: bool = False,
        lock: tuple[int, bool] | None = None,
    ) -> None:
        self.statement = statement
        self.values = values
        self.decode = decode
        self.due = due
        self.keys = keys
        self.commit = commit
        self.alone = alone
        self.lock = lock
        self.more: tuple[Statement, Sequence[bytes | None]] | None = None
        self.retried = False
        self.deferred: Deferred[Any] = Deferred()

    def answer(self, answer: object) -> None:
        """
        Give the answer, or what went wrong, unless whoever waits was told already
        or no longer does.
        """
        if self.deferred.called:
            return
        if isinstance(answer, Exception):
            self.deferred.errback(answer)
        else:
            self.deferred.callback(answer)


COMMITS = ("off", "as set", "on")
"""How a unit is committed, by the greatest C{commit} of its calls: not waiting for
the disk; as the server or the user has set it; waiting in any case."""


class Unit:
    """
    Calls that are one transaction.

    @ivar due: When the first of them is too late.
    @ivar statements: All statements and their values, in the order of sending: the
        setup if there is one, then the locks in one order, each call's, and their
        second ones, like beside like.
    @ivar results: One for each statement that was answered.
    @ivar failed: Which statement met an error, or the number of statements for the
        commit; L{None} if none did.
    @ivar code: That error's SQLSTATE.
    @ivar said: That error, in the server's words.
    """

    __slots__ = (
        "_before",
        "_owners",
        "calls",
        "code",
        "due",
        "failed",
        "results",
        "said",
        "statements",
    )

    def __init__(self, calls: Sequence[Call], setup: Statement | None) -> None:
        self.calls = calls
        self.due = min([call.due for call in calls])
        self._owners: list[Sequence[Call]] = []
        self.statements: list[tuple[Statement, Sequence[bytes | None]]] = []
        if setup is not None:
            self._owners.append(calls)
            self.statements.append((setup, ()))
            if any(call.lock is not None for call in calls):
                self._lock()
        self._before = len(self.statements)
        self._owners += [(call,) for call in calls]
        self.statements += [(call.statement, call.values) for call in calls]
        more = [(call.more, call) for call in calls if call.more is not None]
        for pair, call in sorted(more, key=lambda each: each[0][0].name):
            self._owners.append((call,))
            self.statements.append(pair)
        self.results: list[PGresult] = []
        self.failed: int | None = None
        self.code = ""
        self.said = ""

    def _lock(self) -> None:
        """
        Take each lock that a call wants, once, shared if that is enough for all.  One
        order for everybody, and rows are locked later, so that no two wait for each
        other.
        """
        wanted: dict[int, list[Call]] = {}
        for call in self.calls:
            if call.lock is not None:
                wanted.setdefault(call.lock[0], []).append(call)
        for place, callers in sorted(wanted.items(), key=lambda each: each[0]):
            alone = any(call.lock is not None and call.lock[1] for call in callers)
            self._owners.append(callers)
            statement = LOCK_ALONE if alone else LOCK_SHARED
            self.statements.append((statement, (number(place),)))

    def answers(self) -> list[tuple[Call, list[PGresult]]]:
        """
        The calls with what they were answered.
        """
        found: dict[Call, list[PGresult]] = {call: [] for call in self.calls}
        owners, results = self._owners[self._before :], self.results[self._before :]
        for (owner,), result in zip(owners, results, strict=True):
            found[owner].append(result)
        return list(found.items())

    def blamed(self) -> list[Call]:
        """
        The call that met the error, or those that wanted a lock together; all, if it
        was the setup or the commit.
        """
        if self.failed is not None and self.failed < len(self._owners):
            return list(self._owners[self.failed])
        return list(self.calls)


class Broken(Exception):
    """
    The connection is of no more use; says why.
    """


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
        self._parsed: Statement | None = None
        self._result: PGresult | None = None
        pgconn.nonblocking = 1
        pgconn.enter_pipeline_mode()

    def send(self, unit: Unit) -> None:
        """
        Put a unit into libpq's buffer, and as much of that as possible on its way.

        @raise Broken: The connection is lost.
        """
        try:
            self._parsed = None
            for statement, values in unit.statements:
                self._send(statement, values)
            self._pgconn.pipeline_sync()
        except psycopg.Error as error:
            raise Broken(self._why(error)) from None
        finally:
            self.units.append(unit)

    def _send(self, statement: Statement, given: Sequence[bytes | None]) -> None:
        """
        Send one statement.  One that was just sent in this unit is still parsed
        where this one is executed, be it behind a pooler.
        """
        values = [*given]
        if self._prepared:
            self._pgconn.send_query_prepared(
                statement.name, values, statement.formats, _BINARY
            )
        elif statement is self._parsed:
            self._pgconn.send_query_prepared(b"", values, statement.formats, _BINARY)
        else:
            self._parsed = statement
            self._pgconn.send_query_params(
                statement.text, values, statement.types, statement.formats, _BINARY
            )

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
        pgconn = self._pgconn
        broken: Broken | None = None
        try:
            pgconn.consume_input()
        except psycopg.Error as error:
            broken = Broken(self._why(error))
        done: list[Unit] = []
        try:
            while self.units and not pgconn.is_busy():
                if broken is not None and self.units[0].said:
                    break
                result = pgconn.get_result()
                if result is None:
                    if self._result is None:
                        break
                    self.units[0].results.append(self._result)
                    self._result = None
                elif result.status == _SYNC:
                    done.append(self.units.popleft())
                else:
                    self._result = result
                    if result.status not in _GOOD and result.status != _SKIPPED:
                        self._note(self.units[0], result)
        except psycopg.Error as error:
            broken = broken or Broken(self._why(error))
        if broken is not None:
            if self.units and self.units[0].said:
                broken = Broken(self.units[0].said)
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

    def _why(self, error: psycopg.Error) -> str:
        """
        Say for people why the connection was lost.
        """
        return " ".join(str(error).split()) or "it was closed"


__all__ = ["COMMITS", "Broken", "Call", "Exchange", "Unit"]
