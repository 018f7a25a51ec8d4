"""
Other processes at the same database: forks of this one, and others that stop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from tests.stores import traces
from tests.stores.faults import FaultTestCase, inChild
from tests.stores.stepping import NOW, Stage, record
from txsessions.errors import StoreUnavailable
from txsessions.stores.sqlite import SQLiteStore


class ForkTests(FaultTestCase):
    """
    A process that forks after its store was opened, or before.
    """

    def test_theChildHasNoStore(self) -> None:
        """
        Every call fails in the child and says why; the parent goes on.
        """
        stage = self.stage()
        store = stage.store

        def child() -> str:
            calls: list[Deferred] = [
                store.load(b"key", NOW),
                store.insert(record(), NOW),
                store.delete(b"key"),
                store.claimExpired(NOW, 1, 1.0),
                store.countSessions(NOW),
                store.scan(None, 1),
                store.backup("backup"),
            ]
            errors = [self.failureResultOf(each).value for each in calls]
            assert {type(error) for error in errors} == {StoreUnavailable}, errors
            assert all("fork" in str(error) for error in errors), errors
            assert store.changes() is None
            stage.run()
            self.successResultOf(store.close())
            return "good"

        self.assertEqual(inChild(child), "good")
        stage.result(self, store.insert(record(), NOW))
        self.close(stage)

    def test_theChildOpensItAgain(self) -> None:
        """
        Opened again in the child it is the child's own: both write, the parent
        closes first, and nothing of the child's is lost.
        """
        stage = self.stage()
        store = stage.store
        stage.result(self, store.insert(record("parent"), NOW))
        reading, writing = os.pipe()

        def child() -> str:
            os.close(writing)
            stage.result(self, store.open())
            stage.result(self, store.insert(record("first"), NOW))
            os.read(reading, 1)
            stage.result(self, store.insert(record("second"), NOW))
            found = self.successResultOf(store.load(record("parent").key, NOW))
            assert found == record("parent"), found
            stage.result(self, store.close())
            return "good"

        pid = os.fork()
        if pid == 0:
            answer = "?"
            try:
                answer = child()
            finally:
                os._exit(answer != "good")
        os.close(reading)
        self.close(stage)
        os.close(writing)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        names = ["parent", "first", "second"]
        self.assertEqual(self.look(names), {name: record(name) for name in names})

    def test_forkedWhileWriting(self) -> None:
        """
        A child that was forked in the middle of a commit can never use the
        database, and says so.
        """
        stage = self.stage()
        stage.hung = True
        inserted = stage.store.insert(record(), NOW)
        stage.run()

        def child() -> str:
            error = self.failureResultOf(stage.store.open()).value
            return f"{type(error).__name__} {error}"

        said = inChild(child)
        self.assertIn("StoreUnavailable", said)
        self.assertIn("fork first", said)
        stage.hung = False
        stage.result(self, inserted)
        self.close(stage)

    def test_madeBeforeTheFork(self) -> None:
        """
        A store that is not open yet may be opened by every child.
        """
        stage = Stage(self.path)

        def child(name: str) -> str:
            stage.result(self, stage.store.open())
            stage.result(self, stage.store.insert(record(name), NOW))
            stage.result(self, stage.store.close())
            return "good"

        for name in ("one", "two"):
            self.assertEqual(inChild(lambda name=name: child(name)), "good")
        self.assertEqual(len(self.look(["one", "two"])), 2)


class NeighbourTests(TestCase):
    """
    Other processes that stop in the middle; with the real reactor and threads.
    """

    def setUp(self):
        """
        Open a store with a short deadline.
        """
        self.path = os.path.join(os.path.realpath(self.mktemp()), "sessions.sqlite")
        self.store = SQLiteStore(self.path, deadline=1.0)
        self.addCleanup(self.store.close)
        return self.store.open()

    def child(self, what: str) -> subprocess.Popen:
        """
        Start a child, and wait for its first word.
        """
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.stores.child", what, self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=traces.environment(),
        )

        def end() -> None:
            child.kill()
            child.communicate()

        self.addCleanup(end)
        self.word = child.stdout.readline()
        return child

    def test_holdsTheGateAndDies(self):
        """
        A neighbour that is stopped while it writes makes writes unavailable, by
        their deadline; when it dies, its transaction is gone and all is well.
        """

        async def go() -> None:
            await self.store.insert(record("before"), NOW)
            child = self.child("hold")
            child.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            await self.assertFailure(self.store.insert(record(), NOW), StoreUnavailable)
            self.assertLess(time.monotonic() - began, 5)
            found = await self.store.load(record("before").key, NOW)
            self.assertEqual(found, record("before"))
            child.kill()
            child.wait()
            await self.store.insert(record(), NOW)

        return Deferred.fromCoroutine(go())

    def test_holdsTheGateAndGoesOn(self):
        """
        When it goes on, so do we.
        """

        async def go() -> None:
            child = self.child("hold")
            failed = self.store.insert(record(), NOW)
            await self.assertFailure(failed, StoreUnavailable)
            waiting = self.store.insert(record(), NOW)
            child.stdin.write(b"go on\n")
            child.stdin.flush()
            await waiting
            self.assertEqual(child.wait(), 0)

        return Deferred.fromCoroutine(go())

    def test_aProgramWithoutManners(self):
        """
        The same for a program that knows nothing of the gate; what it had not
        committed when it was killed is not there.
        """

        async def go() -> None:
            child = self.child("raw")
            failed = self.store.insert(record(), NOW)
            await self.assertFailure(failed, StoreUnavailable)
            self.assertIsNone(await self.store.load(record().key, NOW))
            child.kill()
            child.wait()
            await self.store.insert(record(), NOW)
            execute = self.store._find
            value = execute("SELECT value FROM meta").fetchone()
            self.assertEqual(value, (2,))

        return Deferred.fromCoroutine(go())

    def test_closesThoughANeighbourIsStopped(self):
        """
        Closing is bounded, too, and leaves no thread.
        """

        async def go() -> None:
            child = self.child("hold")
            child.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            await self.store.close()
            self.assertLess(time.monotonic() - began, 5)

        return Deferred.fromCoroutine(go())

    def test_manyOpenAtOnce(self):
        """
        Processes that start at once make one database between them.
        """

        async def go() -> None:
            await self.store.close()
            for name in os.listdir(os.path.dirname(self.path)):
                os.unlink(os.path.join(os.path.dirname(self.path), name))
            command = [sys.executable, "-m", "tests.stores.child", "create", self.path]
            children = [
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, env=traces.environment()
                )
                for _ in range(4)
            ]
            said = [child.communicate()[0].decode().split("\n") for child in children]
            opened = [lines[0] for lines in said]
            inserted = sorted(lines[1] for lines in said)
            self.assertEqual(opened, ["open ok"] * 4)
            self.assertEqual(
                inserted, ["insert SessionExists"] * 3 + ["insert ok"], said
            )

        return Deferred.fromCoroutine(go())

    def test_theReactorIsNotBlocked(self):
        """
        While thousands are swept the reactor turns.
        """

        async def go() -> None:
            count = 2000
            store = SQLiteStore(self.path)
            await store.open()
            self.addCleanup(store.close)
            expired = [record(f"{n}", expiresAt=NOW) for n in range(count)]
            for start in range(0, count, 500):
                part = expired[start : start + 500]
                await gatherResults([store.insert(each, NOW) for each in part])
            late: list[float] = []
            last = [time.monotonic()]

            def beat() -> None:
                now = time.monotonic()
                late.append(now - last[0])
                last[0] = now

            heart = LoopingCall(beat)
            heart.start(0.001)
            claimed = await store.claimExpired(NOW, count, 60.0)
            await store.acknowledge([each.key for each in claimed])
            heart.stop()
            self.assertEqual(len(claimed), count)
            self.assertEqual(await store.countSessions(0.0), 0)
            self.assertLess(max(late), 0.25)
            self.assertGreater(len(late), 10)

        return Deferred.fromCoroutine(go())

    def test_nothingIsLeft(self):
        """
        After closing no thread, timer or descriptor is left.
        """

        async def go() -> None:
            await self.store.close()
            before = len(os.listdir("/proc/self/fd"))
            threads = threading.active_count()
            store = SQLiteStore(self.path)
            for n in range(3):
                await store.open()
                await store.insert(record(f"{n}"), NOW)
                await store.countSessions(NOW)
                await store.close()
            self.assertEqual(len(os.listdir("/proc/self/fd")), before)
            self.assertEqual(threading.active_count(), threads)
            calls = [str(call) for call in reactor.getDelayedCalls()]
            self.assertFalse([call for call in calls if "txsessions" in call], calls)

        return Deferred.fromCoroutine(go())

    def test_countingCostsNoDescriptors(self):
        """
        SQLite keeps the descriptor of a closed connection while another of the
        process is open; it is used again.
        """

        async def go() -> None:
            await self.store.countSessions(NOW)
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(10):
                await self.store.countSessions(NOW)
            self.assertEqual(len(os.listdir("/proc/self/fd")), before)

        return Deferred.fromCoroutine(go())
