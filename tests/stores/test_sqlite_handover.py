"""
Tests for L{txsessions.stores._sqlite_handover}: when the reactor waits for the thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from msgspec.structs import replace as evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.stepping import NOW, Stage, record
from txsessions.errors import StoreUnavailable
from txsessions.stores import _sqlite_connection, _sqlite_flight, _sqlite_handover
from txsessions.stores._worker import WorkerThread


class PlayedLock:
    """
    The lock of a flight, on which nobody waits in truth.

    @ivar meanwhile: What happens while the reactor waits.
    @ivar waits: For how long it was to wait, each time.
    """

    meanwhile: Callable[[], object]
    waits: list[float]

    def acquire(self, timeout: float | None = None) -> bool:
        """
        Whoever makes a lock takes it, without a limit.
        """
        if timeout is not None:
            self.waits.append(timeout)
            self.meanwhile()
        return True

    def release(self) -> None:
        """
        Nobody waits.
        """


class HandoverCase(SynchronousTestCase):
    """
    A store that syncs no more than it has to.
    """

    durability = "normal"

    def setUp(self) -> None:
        """
        Open it, and keep a session.
        """
        PlayedLock.waits = self.waits = []
        PlayedLock.meanwhile = staticmethod(self.workInThread)
        self.patch(_sqlite_flight, "Lock", PlayedLock)
        path = os.path.join(self.mktemp(), "sessions.sqlite")
        self.stage = Stage(path, durability=self.durability)
        self.store = self.stage.store
        self.stage.result(self, self.store.open())
        self.addCleanup(self.close)
        self.kept = record()
        self.result(self.store.insert(self.kept, NOW))
        del self.waits[:]

    def close(self) -> None:
        """
        Close the store, and leave nothing behind.
        """
        self.result(self.store.close())
        self.assertEqual(self.stage.reactor.getDelayedCalls(), [])

    def result(self, deferred):
        """
        Run until this has fired.
        """
        return self.stage.result(self, deferred)

    def workInThread(self) -> None:
        """
        The thread does what it was given, in a tenth of a moment.
        """
        self.stage.reactor.rightNow += _sqlite_handover.MOMENT / 10
        self.stage.workers[0].step()

    def hang(self) -> None:
        """
        The thread does nothing while the reactor waits.
        """
        self.stage.reactor.rightNow += _sqlite_handover.MOMENT

    def write(self):
        """
        Begin to write, as far as that goes in one turn, long after the time before.
        """
        self.stage.reactor.rightNow += 1
        before = self.kept
        self.kept = evolve(before, version=before.version + 1)
        written = self.store.replace(self.kept, before.version, NOW)
        self.stage.reactor.advance(0)
        return written


class WaitingTests(HandoverCase):
    """
    The reactor waits a moment for what takes a moment.
    """

    def test_inTheSameTurn(self) -> None:
        """
        What the thread did meanwhile is told at once, and once.
        """
        posted: list[object] = []
        handover = self.stage.writer._handover
        self.patch(handover, "_inReactor", lambda *call: posted.append(call))
        written = self.write()
        self.successResultOf(written)
        self.assertEqual(self.waits, [_sqlite_handover.MOMENT])
        self.assertFalse(self.stage.writer.isBusy)
        self.assertEqual(posted, [])
        self.assertEqual(self.result(self.store.load(self.kept.key, NOW)), self.kept)

    def test_whatComesNext(self) -> None:
        """
        What was asked for while others were told is the next batch.
        """
        following = []
        written = self.store.replace(evolve(self.kept, version=2), 1, NOW)
        written.addCallback(lambda _: following.append(self.write()))
        self.kept = evolve(self.kept, version=2)
        self.stage.reactor.advance(0)
        self.successResultOf(written)
        self.stage.reactor.advance(0)
        self.successResultOf(following[0])
        self.assertEqual(len(self.waits), 2)

    def test_withARealThread(self) -> None:
        """
        The same with a thread and a lock that are real.
        """
        self.patch(_sqlite_flight, "Lock", threading.Lock)
        self.patch(_sqlite_handover, "MOMENT", 60.0)
        writer, thread = self.stage.writer, WorkerThread("test")
        self.addCleanup(thread.join)
        self.addCleanup(thread.quit)
        self.patch(writer._handover, "_worker", thread)
        for _ in range(100):
            self.successResultOf(self.write())

    def test_failing(self) -> None:
        """
        What fails in the thread is told in the same turn, too.
        """

        def fail(*_: object) -> None:
            raise _sqlite_connection.sqlite3.OperationalError("disk I/O error")

        self.patch(self.stage.writer._connection, "commit", fail)
        written = self.write()
        self.failureResultOf(written, StoreUnavailable)
        self.assertEqual(len(self.waits), 1)
        self.kept = record()


class NotWaitingTests(HandoverCase):
    """
    What takes longer is not waited for.
    """

    def test_whatIsSynced(self) -> None:
        """
        A logout waits for the disk whatever the durability, and all that is in the
        same transaction with it; the next that does not is waited for.
        """
        done = self.store.delete(record("another").key)
        written = self.write()
        self.assertNoResult(written)
        self.result(done)
        self.successResultOf(written)
        self.assertEqual(self.waits, [])
        self.successResultOf(self.write())
        self.assertEqual(len(self.waits), 1)

    def test_aroundACheckpoint(self) -> None:
        """
        Neither is the commit before a checkpoint, nor the first one after it, for
        which the write-ahead log may begin anew.
        """
        connection = self.stage.writer._connection
        connection._ratio = 1.0
        connection._pages = _sqlite_connection.CHECKPOINT_PAGES - 1
        for _ in range(2):
            written = self.write()
            self.assertNoResult(written)
            self.result(written)
        self.assertEqual(self.waits, [])
        self.successResultOf(self.write())

    def test_aNewConnection(self) -> None:
        """
        Nor is the first commit of a connection.
        """
        self.result(self.store.close())
        self.result(self.store.open())
        self.stage.workers[0] = self.stage.workers[-1]
        self.result(self.write())
        self.assertEqual(self.waits, [])


class FullTests(HandoverCase):
    """
    Where every commit is synced, none is waited for.
    """

    durability = "full"

    def test_never(self) -> None:
        """
        As often as one writes.
        """
        for _ in range(3):
            written = self.write()
            self.assertNoResult(written)
            self.result(written)
        self.assertEqual(self.waits, [])


class HangingTests(HandoverCase):
    """
    A thread that is not back in a moment keeps nobody waiting.
    """

    def setUp(self) -> None:
        """
        Have it hang.
        """
        super().setUp()
        PlayedLock.meanwhile = staticmethod(self.hang)

    def test_itComesBack(self) -> None:
        """
        It is told when it comes back.
        """
        written = self.write()
        self.assertNoResult(written)
        self.result(written)
        self.assertEqual(len(self.waits), 1)

    def test_howOften(self) -> None:
        """
        However long it has waited, in vain or not, the reactor does not wait again for
        eight times as long.
        """
        for meanwhile, share in ((self.hang, 1.0), (self.workInThread, 0.1)):
            PlayedLock.meanwhile = staticmethod(meanwhile)
            self.result(self.write())
            count = len(self.waits)
            took = share * _sqlite_handover.MOMENT
            for passes, waits in ((7, 0), (2, 1)):
                self.stage.reactor.rightNow += passes * took - 1
                self.result(self.write())
                self.assertEqual(len(self.waits), count + waits)

    def test_itDoesNot(self) -> None:
        """
        The deadline holds.
        """
        self.stage.hung = True
        written = self.write()
        self.stage.pass_(1.9)
        self.assertNoResult(written)
        self.stage.pass_(0.2)
        self.failureResultOf(written, StoreUnavailable)
        self.stage.hung = False
        self.stage.run()
        self.result(self.write())

    def test_theWaitIsInterrupted(self) -> None:
        """
        Whatever is raised while the reactor waits, what the thread does then is told.
        """

        def interrupt() -> None:
            raise KeyboardInterrupt

        PlayedLock.meanwhile = staticmethod(interrupt)
        self.assertRaises(KeyboardInterrupt, self.write)
        self.stage.run()
        self.assertFalse(self.stage.writer.isBusy)
        self.assertEqual(self.result(self.store.load(self.kept.key, NOW)), self.kept)

    def test_interruptedBefore(self) -> None:
        """
        The same where it is raised before the reactor waits.
        """

        def interrupt(flight: object) -> None:
            raise KeyboardInterrupt

        self.patch(self.stage.writer._handover, "wait", interrupt)
        self.assertRaises(KeyboardInterrupt, self.write)
        self.stage.run()
        self.assertFalse(self.stage.writer.isBusy)

    def test_bothSayThatItIsOver(self) -> None:
        """
        Where the thread is back in the very moment in which the reactor gives up,
        both may say so; that does not end the flight after it.
        """
        self.result(self.write())
        first, writer = _sqlite_flight.Flight((), NOW), self.stage.writer
        written = self.write()
        self.assertNoResult(written)
        writer._landed(first)
        self.assertTrue(writer.isBusy)
        self.result(written)
