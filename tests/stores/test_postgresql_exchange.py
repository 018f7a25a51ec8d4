"""
What goes over a connection to PostgreSQL: the order of a unit, and what is read just
before the connection ends, or when it says what it never should.  libpq is played here:
a real server does this too seldom.
"""

from __future__ import annotations

import os
from collections import deque
from types import SimpleNamespace
from typing import Any

import psycopg
from attrs import frozen
from psycopg.pq import ExecStatus
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import StoreCorrupt, StoreUnavailable
from txsessions.stores._postgresql_exchange import Broken, Call, Exchange, Unit
from txsessions.stores._postgresql_line import Line
from txsessions.stores._postgresql_link import WatchedLink
from txsessions.stores._postgresql_outcomes import Again
from txsessions.stores._postgresql_statements import (
    LOCK_ALONE,
    LOCK_SHARED,
    setupOf,
    statementOf,
)
from txsessions.stores._postgresql_thread import ThreadedLink
from txsessions.stores._postgresql_values import number
from txsessions.stores._reactor import handled

STATEMENT = statementOf("some", "SELECT")


@frozen
class Result:
    """
    What libpq makes of an answer, as far as it is read here.
    """

    status: int = ExecStatus.TUPLES_OK
    code: bytes = b""
    error_message: bytes = b""

    def error_field(self, field: int) -> bytes:
        """
        One field of an error: all are the code.
        """
        return self.code


SYNC = Result(ExecStatus.PIPELINE_SYNC)


class PlayedConnection:
    """
    libpq, as far as an exchange uses it.

    @ivar results: What C{get_result} gives, one after the other.
    @ivar isLost: Whether reading fails.
    @ivar isFull: Whether something of what was sent is left.
    """

    nonblocking = 0
    socket = -1

    def __init__(self, *results: Result | None) -> None:
        self.results = deque(results)
        self.isLost = self.isFull = False

    def enter_pipeline_mode(self) -> None:
        """
        See libpq.
        """

    def send_query_params(self, *_: object) -> None:
        """
        See libpq.
        """

    send_query_prepared = send_query_params

    def pipeline_sync(self) -> None:
        """
        See libpq.
        """

    def consume_input(self) -> None:
        """
        See libpq.
        """
        if self.isLost:
            raise psycopg.OperationalError("it was reset")

    def flush(self) -> int:
        """
        See libpq.
        """
        return int(self.isFull)

    def is_busy(self) -> int:
        """
        See libpq.
        """
        return not self.results

    def get_result(self) -> Result | None:
        """
        See libpq.
        """
        return self.results.popleft()


def call() -> Call:
    """
    Make a call.
    """
    return Call(STATEMENT, [], lambda result: result, 9.0)


class UnitTests(SynchronousTestCase):
    """
    The locks of a unit.
    """

    def call(self, *lock) -> Call:
        """
        Make a call that wants a lock, or none.
        """
        return Call(STATEMENT, [], lambda result: result, 9.0, lock=lock or None)

    def test_order(self) -> None:
        """
        All locks come behind the setup, before all else, each once and in one order;
        one that somebody wants alone is not shared.
        """
        calls = [
            self.call(7, False),
            self.call(),
            self.call(-3, False),
            self.call(7, True),
        ]
        setup = setupOf(1, "on")
        unit = Unit(calls, setup)
        self.assertEqual(
            [(step.statement, step.values) for step in unit.steps[:3]],
            [
                (setup, []),
                (LOCK_SHARED, [number(-3)]),
                (LOCK_ALONE, [number(7)]),
            ],
        )
        self.assertEqual(unit.steps[3:], calls)

    def test_blame(self) -> None:
        """
        For a lock those are to blame who want it; the answers are those of the calls.
        """
        calls = [self.call(7, False), self.call(), self.call(7, True)]
        unit = Unit(calls, setupOf(1, "on"))
        for failed, blamed in ((0, calls), (1, [calls[0], calls[2]]), (3, calls[1:2])):
            unit.failed = failed
            self.assertEqual(unit.blamed(), blamed)
        unit.failed, unit.results = None, [0, 1, 2, 3, 4]
        self.assertEqual(
            list(unit.answers()), [(each, n) for n, each in enumerate(calls, 2)]
        )


class ExchangeTests(SynchronousTestCase):
    """
    L{Exchange}.
    """

    def exchange(self, *results: Result | None) -> Exchange:
        """
        One on which two units of one call each were sent.
        """
        self.played = PlayedConnection(*results)
        exchange = Exchange(self.played, prepared=False)  # type: ignore[arg-type]
        self.units = [Unit([call()], None) for _ in range(2)]
        for unit in self.units:
            exchange.send(unit)
        return exchange

    def test_answeredBeforeTheEnd(self) -> None:
        """
        What was answered before the connection ended is told together with the end.
        """
        one = Result()
        exchange = self.exchange(one, None, SYNC, Result())
        self.played.results.append(None)
        self.played.isLost = True
        broken = self.assertRaises(Broken, exchange.receive)
        self.assertEqual(broken.done, self.units[:1])
        self.assertEqual(self.units[0].results, [one])
        self.assertEqual(str(broken), "it was reset")

    def test_twoResults(self) -> None:
        """
        If a statement ever had two results, those of the next would be another's: the
        connection is dropped.
        """
        exchange = self.exchange(Result(), Result(), None, SYNC)
        broken = self.assertRaises(Broken, exchange.receive)
        self.assertIn("two results", str(broken))
        self.assertEqual(broken.done, [])

    def test_inPieces(self) -> None:
        """
        What comes in pieces is put together.
        """
        one, two = Result(), Result(ExecStatus.COMMAND_OK)
        exchange = self.exchange(one, None)
        self.assertEqual(exchange.receive(), [])
        self.played.results += (SYNC, two, None)
        self.assertEqual(exchange.receive(), self.units[:1])
        self.played.results += (SYNC,)
        self.assertEqual(exchange.receive(), self.units[1:])
        self.assertEqual([unit.results for unit in self.units], [[one], [two]])

    def test_failed(self) -> None:
        """
        The first error of a unit is noted, and what the server skipped is not one.
        """
        wrong = Result(ExecStatus.FATAL_ERROR, b"53100")
        skipped = Result(ExecStatus.PIPELINE_ABORTED)
        exchange = self.exchange(
            Result(), None, wrong, None, skipped, None, SYNC, Result(), None, SYNC
        )
        self.assertEqual(exchange.receive(), self.units)
        one, two = self.units
        self.assertEqual((one.failed, one.code, one.said), (1, "53100", "53100"))
        self.assertIsNone(two.failed)

    def test_parsedOnce(self) -> None:
        """
        What follows its like is not parsed again; in the next unit it is, for behind a
        pooler that may be on another connection.
        """
        exchange, sent = self.exchange(), []
        self.played.send_query_params = lambda *_: sent.append("in full")
        self.played.send_query_prepared = lambda name, *_: sent.append(name)
        for _ in range(2):
            exchange.send(Unit([call(), call()], None))
        self.assertEqual(sent, ["in full", b""] * 2)

    def test_noValue(self) -> None:
        """
        Of a unit with a value that cannot be sent some statements may be on their way,
        without a Sync: the connection is of no more use, for whatever comes would be
        taken for its answers.
        """
        exchange = self.exchange()

        def refuse(*_: object) -> None:
            raise TypeError("bytes or buffer expected")

        self.played.send_query_params = refuse  # type: ignore[method-assign]
        unit = Unit([call()], None)
        broken = self.assertRaises(Broken, exchange.send, unit)
        self.assertEqual(str(broken), "bytes or buffer expected")
        self.assertIs(exchange.units[-1], unit)


class PlayedReactor(Clock):
    """
    A reactor that watches nothing, and whose thread is everybody's.

    @ivar writers: What it was asked to tell of that it can be written to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writers: set[object] = set()

    def addWriter(self, writer: object) -> None:
        """
        Note it.
        """
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        """
        Forget it.
        """
        self.writers.discard(writer)

    def callFromThread(self, call, *args) -> None:
        """
        Call, at once.
        """
        call(*args)

    def addReader(self, _: object) -> None:
        """
        Watch nothing.
        """

    removeReader = addReader


class PlayedEnd:
    """
    Whom a link works for.

    @ivar heard: What it was told.
    """

    def __init__(self, *units: Unit) -> None:
        self.heard: list[object] = []
        self._units = list(units)

    def takeUnit(self) -> Unit | None:
        """
        Hand over the next unit.
        """
        return self._units.pop(0) if self._units else None

    def unitsDone(self, units: list[Unit]) -> None:
        """
        Note that these were answered.
        """
        self.heard += units

    def linkLost(self, why: str) -> None:
        """
        Note the end.
        """
        self.heard.append(why)


class PlayedWorker:
    """
    A thread that does nothing by itself.
    """

    def __init__(self, _: str) -> None:
        pass

    def do(self, work) -> None:
        """
        Keep the work.
        """
        self.work = work

    def quit(self) -> None:
        """
        Do no more.
        """


class LinkTests(SynchronousTestCase):
    """
    What is sent when, and what becomes of units that were answered before the
    connection ended.
    """

    def setUp(self) -> None:
        """
        Make a connection that has ended so, and a unit that goes over it.
        """
        self.pgconn = PlayedConnection(Result(), None, SYNC)
        self.pgconn.isLost = True
        ours, theirs = os.pipe()
        self.addCleanup(os.close, ours)
        os.close(theirs)
        self.pgconn.socket = ours
        self.connection = SimpleNamespace(pgconn=self.pgconn, close=lambda: None)
        self.unit = Unit([call()], None)
        self.end = PlayedEnd(self.unit)

    def test_watched(self) -> None:
        """
        First the answers are told, then the end.
        """
        reactor = PlayedReactor()
        link = WatchedLink(self.connection, self.end, 0, False, reactor)
        link.wake()
        self.assertEqual(link.underWay(), [])
        reactor.advance(0)
        self.assertEqual(link.underWay(), [self.unit])
        link.wake()
        link.doRead()
        self.assertEqual(self.end.heard, [self.unit, "it was reset"])
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_full(self) -> None:
        """
        Only where not all could be sent is the reactor asked when there is room.
        """
        reactor = PlayedReactor()
        link = WatchedLink(self.connection, self.end, 0, False, reactor)
        for isFull, writers in ((False, set()), (True, {link}), (True, {link})):
            self.pgconn.isFull = isFull
            link.wake()
            reactor.advance(0)
            self.assertEqual(reactor.writers, writers)
        link.wake()
        self.assertEqual(reactor.getDelayedCalls(), [])
        self.pgconn.isFull = False
        link.doWrite()
        self.assertEqual(reactor.writers, set())
        link.wake()
        link.drop()
        link.wake()
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_threaded(self) -> None:
        """
        The same where a thread watches.
        """
        reactor = PlayedReactor()
        workers = []

        def makeWorker(name: str) -> PlayedWorker:
            workers.append(PlayedWorker(name))
            return workers[0]

        link = ThreadedLink(self.connection, self.end, 0, False, reactor, makeWorker)
        link.wake()
        reactor.advance(0)
        workers[0].work()
        self.assertEqual(self.end.heard, [self.unit, "it was reset"])


class PlayedConnector:
    """
    A connector, and the link that it makes, which holds what it is given.

    @ivar isDropped: Whether it was dropped.
    """

    place = "the place"
    isConnecting = isDropped = False

    def connect(self) -> Deferred[None]:
        """
        Connect, at once.
        """
        return succeed(None)

    def makeLink(self, *_: object) -> PlayedConnector:
        """
        Be the link.
        """
        return self

    def wake(self) -> None:
        """
        Wait for whoever runs the test.
        """

    def underWay(self) -> list[Unit]:
        """
        Nothing that was not answered.
        """
        return []

    def drop(self) -> None:
        """
        Be dropped.
        """
        self.isDropped = True


def goOn(_: object) -> None:
    """
    Ask something else instead.
    """
    raise Again(STATEMENT, [], lambda result: result)


class LineTests(SynchronousTestCase):
    """
    L{Line}.
    """

    def line(self, *, writes: bool = False) -> Line:
        """
        One that is connected.
        """
        self.link = PlayedConnector()
        line = Line(
            self.link,  # type: ignore[arg-type]
            Clock(),
            2.0,
            writes=writes,
            chance=lambda: 0.5,
        )
        self.successResultOf(line.open())
        return line

    def answerBoth(self, line: Line, told: Deferred[Any], again: Deferred[Any]) -> None:
        """
        Answer two calls of one unit, then the one that has to be made again.

        @param told: The one that closes the store as soon as it hears.
        """
        for results in ([Result()] * 3, [Result()] * 2):
            self.assertFalse(self.link.isDropped)
            unit = line.takeUnit()
            assert unit is not None
            unit.results = results  # type: ignore[assignment]
            line.unitsDone([unit])
            self.successResultOf(told)
        self.assertEqual(self.successResultOf(again), Result())

    def test_closedByWhoIsTold(self) -> None:
        """
        Where somebody who is told closes the store, those whose call has to be made
        again still get their answer.
        """
        line = self.line(writes=True)
        closed: list[Deferred[None]] = []

        told = line.submit(call()).addCallback(lambda _: closed.append(line.close()))
        again = line.submit(Call(STATEMENT, [], goOn, 9.0))
        self.answerBoth(line, told, again)
        self.successResultOf(closed[0])
        self.assertTrue(self.link.isDropped)

    def test_closedByWhoIsTooLate(self) -> None:
        """
        Where somebody who is told that it is too late to make a call again closes the
        store, those for whom it is not still get their answer.
        """
        line = self.line(writes=True)
        closed: list[Deferred[None]] = []

        again = line.submit(Call(STATEMENT, [], goOn, 9.0))
        late = line.submit(Call(STATEMENT, [], goOn, 0.0))
        late.addErrback(lambda _: closed.append(line.close()))
        self.answerBoth(line, late, again)
        self.successResultOf(closed[0])

    def test_closing(self) -> None:
        """
        What is answered while it closes makes no room for others.
        """
        line = self.line()
        waiting, units = [], []
        for _ in range(2):
            waiting.append(line.submit(call()))
            unit = line.takeUnit()
            assert unit is not None
            unit.results = [Result()]  # type: ignore[list-item]
            units.append(unit)
        closed = line.close()
        line.unitsDone(units[:1])
        self.failureResultOf(line.submit(call()), StoreUnavailable)
        self.assertNoResult(closed)
        line.unitsDone(units[1:])
        self.successResultOf(closed)
        for each in waiting:
            self.assertEqual(self.successResultOf(each), Result())

    def test_noKey(self) -> None:
        """
        A key that is none is in the unit with all others, so that all are told.
        """
        line = self.line(writes=True)
        keys: list[Any] = [b"b", "text", b"a"]
        for key in keys:
            made = Call(STATEMENT, [], lambda result: result, 9.0, (key,))
            handled(line.submit(made))
        unit = line.takeUnit()
        assert unit is not None
        self.assertCountEqual([each.keys[0] for each in unit.calls], keys)

    def test_endBetweenUnits(self) -> None:
        """
        Where one unit met an error that ends the connection, those who wait for the
        units behind it are told, although these were answered too.
        """
        line = self.line()
        waiting, units = [], []
        for _ in range(3):
            waiting.append(line.submit(call()))
            unit = line.takeUnit()
            assert unit is not None
            unit.results = [Result()]  # type: ignore[list-item]
            units.append(unit)
        units[1].failed, units[1].code = 0, "42P01"
        line.unitsDone(units)
        self.assertEqual(self.successResultOf(waiting[0]), Result())
        self.failureResultOf(waiting[1], StoreCorrupt)
        self.failureResultOf(waiting[2], StoreCorrupt)
        self.failureResultOf(line.submit(call()), StoreCorrupt, StoreUnavailable)
        self.flushLoggedErrors()
