"""
Group commit, deadlines and closing, one step at a time.
"""

from __future__ import annotations

import os

from msgspec.structs import replace as evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.stepping import NOW, Stage, record
from txsessions.errors import SessionConflict, SessionGone, StoreUnavailable
from txsessions.stores import _sqlite_flight, _sqlite_writer


class SteppedTestCase(SynchronousTestCase):
    """
    One open store on a stage.
    """

    def setUp(self) -> None:
        """
        Open the store.
        """
        self.path = os.path.join(self.mktemp(), "sessions.sqlite")
        self.stage = Stage(self.path)
        self.store = self.stage.store
        self.result(self.store.open())
        self.worker = self.stage.workers[0]
        self.addCleanup(self.close)

    def close(self) -> None:
        """
        Close the store, and leave nothing behind.
        """
        self.stage.hung = False
        self.result(self.store.close())
        self.stage.run()
        self.assertEqual(self.stage.reactor.getDelayedCalls(), [])

    def result(self, deferred):
        """
        Run until this has fired.
        """
        return self.stage.result(self, deferred)

    def failure(self, deferred, *kinds):
        """
        Run until this has failed.
        """
        return self.stage.failure(self, deferred, *kinds)

    def insert(self, name: str = "one", **changes):
        """
        Have a record kept.
        """
        kept = record(name, **changes)
        self.result(self.store.insert(kept, NOW))
        return kept


class GroupCommitTests(SteppedTestCase):
    """
    What is written in one turn is one transaction.
    """

    def test_oneCommitForATurn(self) -> None:
        """
        Many writes of one turn make one journey to the thread, and what comes
        meanwhile makes the next.
        """
        first = [self.store.insert(record(str(n)), NOW) for n in range(50)]
        self.stage.reactor.advance(0)
        self.assertEqual(len(self.worker.works), 1)
        second = [self.store.insert(record(f"later {n}"), NOW) for n in range(50)]
        self.stage.reactor.advance(0)
        self.assertEqual(len(self.worker.works), 1)
        self.assertTrue(self.worker.step())
        for deferred in first:
            self.assertNoResult(deferred)
        self.stage.reactor.advance(0)
        for deferred in first:
            self.successResultOf(deferred)
        for deferred in second:
            self.assertNoResult(deferred)
        self.stage.reactor.advance(0)
        self.assertEqual(len(self.worker.works), 1)
        self.stage.run()
        for deferred in second:
            self.successResultOf(deferred)

    def test_notVisibleBeforeTheCommit(self) -> None:
        """
        Nobody reads what the disk does not have yet.
        """
        kept = record()
        inserted = self.store.insert(kept, NOW)
        self.stage.reactor.advance(0)
        self.assertIsNone(self.successResultOf(self.store.load(kept.key, NOW)))
        self.result(inserted)
        self.assertEqual(self.successResultOf(self.store.load(kept.key, NOW)), kept)

    def test_batchesAreBounded(self) -> None:
        """
        No transaction takes more verbs, or writes more pages, than the reactor
        has time for.
        """
        kept = record()
        self.result(self.store.insert(kept, NOW))
        for n in range(_sqlite_flight.BATCH_VERBS + 5):
            self.store.touch(kept.key, NOW + n, NOW + n + 900, NOW)
        self.stage.reactor.advance(0)
        flight = self.stage.writer._flight
        self.assertEqual(len(flight.operations), _sqlite_flight.BATCH_VERBS)
        self.stage.run()
        for n in range(40):
            self.store.insert(record(f"large {n}", payload=b"x" * 65536), NOW)
        self.stage.reactor.advance(0)
        flight = self.stage.writer._flight
        pages = sum(operation.pages for operation in flight.operations)
        self.assertLess(pages, _sqlite_flight.BATCH_PAGES + 30)
        self.stage.run()
        counted = self.result(self.store.countSessions(NOW))
        self.assertEqual(counted, 41)

    def test_whatChangesNothingNeedsNoSync(self) -> None:
        """
        A batch that changed nothing does not go to the thread.
        """
        kept = self.insert()
        calls = [
            self.store.delete(b"absent"),
            self.store.touch(kept.key, NOW, NOW + 1, NOW),
            self.store.replace(kept, 9, NOW),
            self.store.touch(b"absent", NOW, NOW, NOW),
        ]
        self.stage.reactor.advance(0)
        self.assertEqual(len(self.worker.works), 0)
        self.assertFalse(self.successResultOf(calls[0]))
        self.assertIsNone(self.successResultOf(calls[1]))
        self.failureResultOf(calls[2], SessionConflict)
        self.failureResultOf(calls[3], SessionGone)

    def test_sweepsAreTheThreads(self) -> None:
        """
        Long verbs run in the thread, alone in their transaction.
        """
        kept = self.insert(expiresAt=NOW)
        claimed = self.store.claimExpired(NOW, 10, 60.0)
        inserted = self.store.insert(record("new"), NOW)
        acknowledged = self.store.acknowledge([kept.key])
        self.stage.reactor.advance(0)
        self.assertEqual(len(self.stage.writer._flight.operations), 1)
        self.stage.run()
        self.assertEqual(self.successResultOf(claimed), [kept])
        self.successResultOf(inserted)
        self.successResultOf(acknowledged)

    def test_aSweepInBetween(self) -> None:
        """
        What was written before a long verb is committed before it, and what came
        after it has to wait.
        """
        kept = self.insert(expiresAt=NOW + 9)
        touched = self.store.touch(kept.key, NOW + 1, NOW + 10, NOW)
        claimed = self.store.claimExpired(NOW + 20, 10, 60.0)
        deleted = self.store.delete(kept.key)
        batches = []
        while not deleted.called:
            flight = self.stage.writer._flight
            if flight is not None:
                batches.append([each.heavy for each in flight.operations])
                self.worker.step()
            self.stage.reactor.advance(0)
        self.assertEqual([each for each in batches if each], [[False], [True], [False]])
        self.successResultOf(touched)
        (found,) = self.successResultOf(claimed)
        self.assertEqual(found.expiresAt, NOW + 10)
        self.assertTrue(self.successResultOf(deleted))

    def test_aBrokenArgumentHurtsItsCallerOnly(self) -> None:
        """
        What SQLite cannot store fails by itself.
        """
        good = self.store.insert(record("good"), NOW)
        bad = [
            self.store.insert(record("nan", createdAt=float("nan")), NOW),
            self.store.insert(record("huge", version=2**70), NOW),
            self.store.insert(record("type", principal="text"), NOW),
            self.store.rename(record("good").key, record("x", touchedAt=None), 1, NOW),
        ]
        self.result(good)
        for deferred in bad:
            self.failureResultOf(deferred)
        found = self.successResultOf(self.store.load(record("good").key, NOW))
        self.assertEqual(found, record("good"))

    def test_aTurnedAwayCallerStopsNothing(self) -> None:
        """
        A caller may cancel its Deferred: the write goes on, nothing breaks.
        """
        kept = record()
        inserted = self.store.insert(kept, NOW)
        inserted.addErrback(lambda _: None)
        inserted.cancel()
        self.stage.run()
        self.assertEqual(self.successResultOf(self.store.load(kept.key, NOW)), kept)


class DeadlineTests(SteppedTestCase):
    """
    Deadlines hold whatever the thread does.
    """

    def hang(self):
        """
        Let a commit hang.

        @return: What waits for it.
        """
        self.kept = self.insert()
        self.stage.hung = True
        changed = evolve(self.kept, version=2)
        replaced = self.store.replace(changed, 1, NOW)
        self.stage.run()
        self.assertNoResult(replaced)
        return replaced

    def test_theDeadline(self) -> None:
        """
        What waits for a hung commit fails at the deadline, not before.
        """
        replaced = self.hang()
        self.stage.pass_(1.9)
        self.assertNoResult(replaced)
        waiting = self.store.delete(self.kept.key)
        self.stage.pass_(0.2)
        error = self.failureResultOf(replaced, StoreUnavailable).value
        self.assertIn(self.path, str(error))
        self.failureResultOf(waiting, StoreUnavailable)

    def test_thenFailsFast(self) -> None:
        """
        While the thread hangs, no call waits and reads go on.
        """
        self.failure(self.late(self.hang()), StoreUnavailable)
        for call in (
            self.store.insert(record("new"), NOW),
            self.store.delete(self.kept.key),
            self.store.claimExpired(NOW, 1, 1.0),
        ):
            self.failureResultOf(call, StoreUnavailable)
        found = self.successResultOf(self.store.load(self.kept.key, NOW))
        self.assertEqual(found, self.kept)
        self.assertEqual(self.stage.reactor.getDelayedCalls(), [])

    def late(self, deferred):
        """
        Let the deadline pass.
        """
        self.stage.pass_(2.5)
        return deferred

    def test_healsByItself(self) -> None:
        """
        When the thread comes back, its late answer is dropped, what it wrote is
        seen, and writes go on.
        """
        replaced = self.late(self.hang())
        self.failureResultOf(replaced, StoreUnavailable)
        self.stage.hung = False
        self.stage.run()
        found = self.successResultOf(self.store.load(self.kept.key, NOW))
        self.assertEqual(found.version, 2)
        self.assertTrue(self.result(self.store.delete(self.kept.key)))

    def test_whatDidNotBeginIsNotDone(self) -> None:
        """
        A batch that the thread had not begun at the deadline is never begun.
        """
        kept = self.insert(expiresAt=NOW)
        self.stage.hung = True
        claimed = self.store.claimExpired(NOW, 1, 60.0)
        self.stage.run()
        self.failure(self.late(claimed), StoreUnavailable)
        self.stage.hung = False
        self.stage.run()
        self.assertEqual(self.result(self.store.claimExpired(NOW, 1, 60.0)), [kept])

    def test_oneTimerForAll(self) -> None:
        """
        However many wait, there is one timer.
        """
        self.hang()
        waiting = [self.store.insert(record(str(n)), NOW) for n in range(500)]
        self.stage.run()
        self.assertEqual(len(self.stage.reactor.getDelayedCalls()), 1)
        self.stage.hung = False
        self.stage.run()
        for deferred in waiting:
            self.successResultOf(deferred)

    def test_eachHasItsOwnDeadline(self) -> None:
        """
        The timer goes on to those that came later.
        """
        self.insert()
        self.stage.reactor.advance(1.5)
        late = self.store.delete(record().key)
        self.stage.hung = True
        self.stage.pass_(1.5)
        self.assertNoResult(late)
        self.stage.pass_(0.6)
        self.failureResultOf(late, StoreUnavailable)

    def test_theQueueIsBounded(self) -> None:
        """
        Beyond ten thousand waiting writes a call fails at once.
        """
        replaced = self.hang()
        limit = _sqlite_writer.QUEUE_LIMIT
        waiting = [
            self.store.touch(self.kept.key, NOW + n, NOW + 900 + n, NOW)
            for n in range(limit)
        ]
        for deferred in waiting:
            deferred.addErrback(lambda _: None)
        over = self.store.delete(self.kept.key)
        self.assertIn("10000", str(self.failureResultOf(over, StoreUnavailable).value))
        self.assertNoResult(waiting[-1])
        self.failureResultOf(self.late(replaced), StoreUnavailable)

    def test_aHungCheckpoint(self) -> None:
        """
        Those whose commit is done are told before the checkpoint, which may
        hang, begins.
        """
        self.stage.writer._connection._pages = 10_000
        kept = record()
        inserted = self.store.insert(kept, NOW)
        self.stage.reactor.advance(0)
        self.worker.works[0], work = lambda: None, self.worker.works[0]
        calls = []
        connection = self.stage.writer._connection
        self.patch(
            connection, "checkpoint", lambda: calls.append(self.reactorRuns(inserted))
        )
        work()
        self.assertEqual(calls, [True])
        self.stage.run()

    def reactorRuns(self, deferred) -> bool:
        """
        Let the reactor have a turn, and see whether this has fired.
        """
        self.stage.reactor.advance(0)
        return deferred.called


class ClosingTests(SteppedTestCase):
    """
    Opening and closing, also when they hang.
    """

    def test_drains(self) -> None:
        """
        What was accepted is written before the store closes.
        """
        inserted = [self.store.insert(record(str(n)), NOW) for n in range(300)]
        closed = self.store.close()
        refused = self.store.insert(record("refused"), NOW)
        self.failureResultOf(refused, StoreUnavailable)
        self.result(closed)
        for deferred in inserted:
            self.successResultOf(deferred)
        self.assertTrue(self.worker.joined)
        self.result(self.store.open())
        self.assertEqual(self.result(self.store.countSessions(NOW)), 300)

    def test_nothingIsLeft(self) -> None:
        """
        After closing there are no timers, threads and descriptors, and of the
        files only the database and its gate.
        """
        before = set(os.listdir("/proc/self/fd"))
        other = Stage(os.path.join(self.mktemp(), "other.sqlite"))
        other.result(self, other.store.open())
        other.result(self, other.store.insert(record(), NOW))
        other.result(self, other.store.close())
        self.assertEqual(other.reactor.getDelayedCalls(), [])
        self.assertTrue(all(worker.joined for worker in other.workers))
        self.assertEqual(set(os.listdir("/proc/self/fd")), before)
        left = sorted(os.listdir(os.path.dirname(other.store.path)))
        self.assertEqual(left, ["other.sqlite", "other.sqlite-gate"])

    def test_closesThoughTheThreadHangs(self) -> None:
        """
        A hung thread does not keep the store from closing at its deadline; when
        it comes back it closes the files.
        """
        before = len(os.listdir("/proc/self/fd"))
        self.stage.hung = True
        inserted = self.store.insert(record(), NOW)
        closed = self.store.close()
        self.stage.pass_(1)
        self.assertNoResult(closed)
        self.stage.pass_(1.1)
        self.successResultOf(closed)
        self.failureResultOf(inserted, StoreUnavailable)
        self.assertEqual(self.stage.reactor.getDelayedCalls(), [])
        self.stage.hung = False
        self.stage.run()
        self.assertLess(len(os.listdir("/proc/self/fd")), before)
        self.assertTrue(self.worker.joined)

    def test_opensAgainAfterAHungClose(self) -> None:
        """
        The next opening has a thread of its own.
        """
        self.stage.hung = True
        closed = self.store.close()
        self.stage.pass_(2.1)
        self.successResultOf(closed)
        self.stage.hung = False
        self.result(self.store.open())
        self.result(self.store.insert(record(), NOW))

    def test_closeTwiceAtOnce(self) -> None:
        """
        Both are told at the end.
        """
        first, second = self.store.close(), self.store.close()
        self.stage.reactor.advance(0)
        self.assertNoResult(first)
        self.assertNoResult(second)
        self.stage.run()
        self.successResultOf(first)
        self.successResultOf(second)

    def test_openWhileClosing(self) -> None:
        """
        It is opened again after it was closed.
        """
        closed, opened = self.store.close(), self.store.open()
        self.result(closed)
        self.successResultOf(opened)
        self.result(self.store.insert(record(), NOW))


class OpeningTests(SynchronousTestCase):
    """
    A slow opening.
    """

    def setUp(self) -> None:
        """
        A store that is not open.
        """
        self.stage = Stage(os.path.join(self.mktemp(), "sessions.sqlite"))
        self.store = self.stage.store

    def test_nothingBeforeOpen(self) -> None:
        """
        Making a store touches nothing.
        """
        self.assertFalse(os.path.exists(os.path.dirname(self.store.path)))
        self.assertEqual(self.stage.workers, [])
        self.assertIsNone(self.store.changes())

    def test_slowOpening(self) -> None:
        """
        It fails at the deadline, and is open when it is done all the same.
        """
        self.stage.hung = True
        opened, again = self.store.open(), self.store.open()
        self.stage.pass_(2.1)
        self.failureResultOf(opened, StoreUnavailable)
        self.failureResultOf(again, StoreUnavailable)
        self.failureResultOf(self.store.load(b"key", NOW), StoreUnavailable)
        self.stage.hung = False
        self.stage.run()
        self.assertIsNone(self.successResultOf(self.store.load(b"key", NOW)))
        self.assertEqual(len(self.stage.workers), 1)
        self.stage.result(self, self.store.close())

    def test_closedWhileOpening(self) -> None:
        """
        Whoever opens is told, and nothing is left open.
        """
        before = len(os.listdir("/proc/self/fd"))
        opened, closed = self.store.open(), self.store.close()
        self.stage.run()
        self.failureResultOf(opened, StoreUnavailable)
        self.successResultOf(closed)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertEqual(self.stage.reactor.getDelayedCalls(), [])

    def test_closedWhileOpeningHangs(self) -> None:
        """
        The same, at the deadline; the thread closes what it opened.
        """
        before = len(os.listdir("/proc/self/fd"))
        self.stage.hung = True
        opened, closed = self.store.open(), self.store.close()
        self.stage.pass_(2.1)
        self.failureResultOf(opened, StoreUnavailable)
        self.successResultOf(closed)
        self.stage.hung = False
        self.stage.run()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertEqual(self.stage.reactor.getDelayedCalls(), [])

    def test_failedOpening(self) -> None:
        """
        The thread ends, and opening can be tried again.
        """
        os.makedirs(self.store.path)
        error = self.stage.failure(self, self.store.open(), StoreUnavailable)
        self.assertIn("not a regular file", str(error))
        self.assertTrue(self.stage.workers[0].joined)
        self.assertEqual(self.stage.reactor.getDelayedCalls(), [])
        os.rmdir(self.store.path)
        self.stage.result(self, self.store.open())
        self.stage.result(self, self.store.close())
