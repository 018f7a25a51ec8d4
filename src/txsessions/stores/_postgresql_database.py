"""
One opening of a PostgreSQL store: all that C{open} makes and C{close} lets go of.

Owns that life: the lines, their schema and clock.  Reads have a line of their own, for
on one with the writes they would wait for the disk; counting, which is slow, has one
that is made when it is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from attrs import field, frozen
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.python.failure import Failure

from txsessions.stores import _postgresql_schema
from txsessions.stores._opening import Opening
from txsessions.stores._postgresql_clock import ServerClock
from txsessions.stores._postgresql_connecting import Connector
from txsessions.stores._postgresql_line import Line
from txsessions.stores._postgresql_schema import Facts, Step
from txsessions.stores._postgresql_statements import Names, Statements
from txsessions.stores._reactor import IStoreReactor, handled, withDeadline
from txsessions.stores._worker import IWorker


@frozen(kw_only=True)
class Settings:
    """
    What a store was told.

    @ivar conninfo: What libpq is told.
    @ivar secrets: What of that is to be seen by nobody else.
    @ivar place: The database, for people.
    """

    conninfo: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    place: str
    names: Names
    deadline: float
    durability: str
    unlogged: bool
    prepare: bool
    steps: Sequence[Step] = _postgresql_schema.STEPS


class Database(Opening):
    """
    See the module.

    @ivar facts: What the server said of its durability when it was last connected.
    @ivar seconds: Tells the time by the reactor's clock.
    """

    def __init__(
        self,
        settings: Settings,
        statements: Statements,
        reactor: IStoreReactor,
        makeWorker: Callable[[str], IWorker],
        chance: Callable[[], float],
        connected: Callable[[], None],
    ) -> None:
        """
        Begin to connect.

        @param connected: Called when one of the two lines has a new connection.
        """
        deadline = settings.deadline
        late = f"the session database {settings.place} takes longer than {deadline:g} s"
        super().__init__(reactor, deadline, late + " to connect")
        self.facts: Facts | None = None
        self.seconds = reactor.seconds
        self._settings = settings
        self._statements = statements
        self._makeWorker = makeWorker
        self._chance = chance
        self._aside: Line | None = None
        self._asideOpening: list[Deferred[Line]] = []
        self.clock = ServerClock(statements.clock, reactor)
        self.reads = self._line(writes=False, ready=self._readyInThread)
        self.writes = self._line(writes=True, ready=self._readyInThread)
        self.reads.onConnected = self.writes.onConnected = connected
        self.reads.onLost = lambda code: self._lost(self.writes, code)
        self.writes.onLost = lambda code: self._lost(self.reads, code)
        opening = self.writes.open().addCallback(lambda _: self.reads.open())
        handled(opening.addCallbacks(self._opened, self._failed))

    def _line(
        self, writes: bool, ready: Callable[[psycopg.Connection], object]
    ) -> Line:
        """
        Make a line, not open yet.
        """
        settings = self._settings
        connector = Connector(
            settings.conninfo,
            settings.secrets,
            settings.place,
            self._reactor,
            self._makeWorker,
            ready,
        )
        line = Line(
            connector,
            self._reactor,
            settings.deadline,
            writes=writes,
            chance=self._chance,
        )
        if settings.prepare:
            connector.prepared = [*self._statements.all, *line.statements()]
        return line

    def _readyInThread(self, connection: psycopg.Connection) -> None:
        """
        In the thread: see that the tables are as they should be.  On every
        connection, for they may have been dropped meanwhile.
        """
        settings = self._settings
        self.facts = _postgresql_schema.migrate(
            connection, settings.names, settings.unlogged, settings.steps
        )

    def _lost(self, other: Line, code: str) -> None:
        """
        A line was lost.  The other one goes to the same server: if that is the
        primary no longer, what is read there is no longer true.
        """
        self.clock.forget()
        if code == "25006":
            other.breakOff("the server has become read-only")

    def _opened(self, _: object) -> None:
        """
        It is open.
        """
        self._begun()

    def _failed(self, failure: Failure) -> None:
        """
        It cannot be opened: let go of everything, then tell.
        """
        error = failure.value
        handled(self.close().addBoth(lambda _: self._tellBeginning(error)))

    def aside(self) -> Deferred[Line]:
        """
        The line for what is slow; connected when it is first wanted.
        """
        if self._aside is not None and not self._asideOpening:
            return succeed(self._aside)
        wanted: Deferred[Line] = Deferred()
        self._asideOpening.append(wanted)
        if self._aside is None:
            line = self._aside = self._line(writes=False, ready=lambda _: None)
            handled(line.open().addCallbacks(self._asideOpened, self._asideFailed))
        late = f"the session database {self._settings.place} takes long to connect"
        return withDeadline(wanted, self._reactor, self._settings.deadline, late)

    def _asideOpened(self, _: object) -> None:
        """
        The line for what is slow is there.
        """
        line, waiting = self._aside, self._asideOpening
        self._asideOpening = []
        assert line is not None
        for wanted in waiting:
            wanted.callback(line)

    def _asideFailed(self, failure: Failure) -> None:
        """
        It is not; whoever wants it next tries again.
        """
        waiting, self._asideOpening = self._asideOpening, []
        self._aside = None
        for wanted in waiting:
            wanted.errback(failure.value)

    def _letGo(self) -> Deferred[Any]:
        """
        See L{Opening._letGo}; but for a thread that still tries to connect: it closes
        what it gets.
        """
        lines = [self.reads, self.writes]
        if self._aside is not None:
            lines.append(self._aside)
        closed = DeferredList([line.close() for line in lines])
        late = "a connection that is being made does not end"
        return withDeadline(closed, self._reactor, self._settings.deadline * 1.5, late)


__all__ = ["Database", "Settings"]
