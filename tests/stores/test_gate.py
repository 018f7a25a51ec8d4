"""
The gate between processes.
"""

from __future__ import annotations

import mmap
import os
import signal
import stat
import threading
import time
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from txsessions.stores import _gate
from txsessions.stores._gate import TRIES, WINS, Gate


class GateTests(SynchronousTestCase):
    """
    L{Gate}.
    """

    def setUp(self) -> None:
        """
        Two gates at one file, as two processes have.
        """
        path = self.mktemp()
        self.one, self.two = Gate(path), Gate(path)
        for gate in (self.one, self.two):
            gate.open()
            self.addCleanup(gate.close)

    def test_oneAtATime(self) -> None:
        """
        Whoever holds it keeps the other out, until it is let go.
        """
        self.assertTrue(self.one.tryAcquire())
        self.assertFalse(self.two.tryAcquire())
        self.assertFalse(self.two.held)
        self.two.release()
        self.assertFalse(self.two.tryAcquire())
        self.one.release()
        self.assertTrue(self.two.tryAcquire())
        self.assertFalse(self.one.tryAcquire())

    def test_anyThreadMayLetGo(self) -> None:
        """
        It is held by the file, not by the thread that took it.
        """
        self.assertTrue(self.one.tryAcquire())
        thread = threading.Thread(target=self.one.release)
        thread.start()
        thread.join()
        self.assertTrue(self.two.tryAcquire())

    def test_closingLetsGo(self) -> None:
        """
        So does the end of a process.
        """
        self.assertTrue(self.one.tryAcquire())
        self.one.close()
        self.assertFalse(self.one.tryAcquire())
        self.assertTrue(self.two.tryAcquire())

    def test_takenTwice(self) -> None:
        """
        Taking it again while holding it is no error.
        """
        self.assertTrue(self.one.tryAcquire())
        self.assertTrue(self.one.tryAcquire())
        self.one.release()
        self.assertTrue(self.two.tryAcquire())

    def test_mode(self) -> None:
        """
        The side file is its owner's alone.
        """
        mode = os.stat(self.one.path).st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_whereThereIsNoLock(self) -> None:
        """
        On a system or file system without such locks everybody passes, and the
        gate says so.
        """

        def refuse(descriptor: int) -> None:
            raise OSError(95, "Operation not supported")

        self.assertTrue(self.one.works)
        self.patch(_gate, "_lock", refuse)
        self.assertTrue(self.one.tryAcquire())
        self.assertTrue(self.two.tryAcquire())
        self.assertFalse(self.one.works)
        self.one.release()
        self.assertFalse(self.one.held)


class TurnsTests(SynchronousTestCase):
    """
    Whose turn it is.
    """

    def setUp(self) -> None:
        """
        Three gates at one file.
        """
        self.path = self.mktemp()
        self.one, self.two, self.three = (self.gate() for _ in range(3))

    def gate(self) -> Gate:
        """
        Open a gate.
        """
        gate = Gate(self.path)
        gate.open()
        self.addCleanup(gate.close)
        return gate

    def passes(self, gate: Gate, waits: bool = False) -> bool:
        """
        Pass the gate and let it go, if that can be had.
        """
        passed = gate.tryAcquire(waits)
        gate.release()
        return passed

    def holding(self, gate: Gate, *others: Gate) -> None:
        """
        Have these ask while that one holds it.
        """
        self.assertTrue(gate.tryAcquire())
        for other in others:
            self.assertFalse(other.tryAcquire(waits=True))
        gate.release()

    def test_alone(self) -> None:
        """
        Where nobody waits one may pass as often as one likes, and writes nothing.
        """
        for _ in range(WINS * 3):
            self.assertTrue(self.passes(self.one))
        self.assertEqual(os.stat(self.path).st_size, 0)

    def test_givesWay(self) -> None:
        """
        Where somebody waits, it is passed some times more, then it is theirs.
        """
        self.holding(self.one, self.two)
        passed = [self.passes(self.one) for _ in range(WINS + 3)]
        self.assertEqual(passed, [True] * WINS + [False] * 3)
        self.assertTrue(self.passes(self.two, waits=True))
        self.assertTrue(self.passes(self.one))

    def test_twoWait(self) -> None:
        """
        Those who wait do not give way to one another, and the second is not
        forgotten over the first.
        """
        self.holding(self.one, self.two, self.three)
        self.assertTrue(self.passes(self.two, waits=True))
        self.holding(self.one, self.three)
        passed = [self.passes(self.one) for _ in range(WINS + 3)]
        self.assertEqual(passed, [True] * WINS + [False] * 3)
        self.assertTrue(self.passes(self.three, waits=True))

    def test_givesUp(self) -> None:
        """
        Who does not wait any longer takes the mark away, and nobody else's.
        """
        self.holding(self.one, self.two, self.three)
        self.three.giveUp()
        self.assertNotEqual(self.one._marked(), bytes(8))
        self.two.giveUp()
        self.assertEqual(self.one._marked(), bytes(8))

    def test_theMarkOfTheDead(self) -> None:
        """
        A mark that nobody acts on is taken away after some tries.
        """
        self.holding(self.one, self.two)
        self.two.close()
        tries = 0
        while not self.passes(self.one, waits=tries >= WINS) or tries < WINS:
            tries += 1
            self.assertLess(tries, WINS + TRIES + 2)
        self.assertGreater(tries, WINS)
        for _ in range(WINS * 3):
            self.assertTrue(self.passes(self.one))

    def test_noRoomForAMark(self) -> None:
        """
        Where none can be left or read, everybody passes who can.
        """

        def refuse(*args: object) -> bytes:
            raise OSError(28, "No space left on device")

        self.patch(os, "pwrite", refuse)
        self.holding(self.one, self.two)
        self.patch(os, "pread", refuse)
        for _ in range(WINS * 3):
            self.assertTrue(self.passes(self.one))
        self.assertTrue(self.passes(self.two, waits=True))


class GreedyProcessTests(SynchronousTestCase):
    """
    Another process that takes the lock again as soon as it has let it go.
    """

    def setUp(self) -> None:
        """
        Start it.
        """
        self.path = self.mktemp()
        self.gate = Gate(self.path)
        self.gate.open()
        self.addCleanup(self.gate.close)
        self.wins = mmap.mmap(-1, 8)
        pid = os.fork()
        if pid == 0:
            try:
                self.takeAgainAndAgain()
            finally:
                os._exit(1)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)

    def takeAgainAndAgain(self) -> None:
        """
        In the child: hold it nearly always, and count how often it was had.
        """
        gate = Gate(self.path)
        gate.open()
        while True:
            if gate.tryAcquire(waits=True):
                self.wins[:] = (self.won() + 1).to_bytes(8, "little")
                time.sleep(0.001)
                gate.release()
            else:
                time.sleep(0.005)

    def won(self) -> int:
        """
        How often the child has had it.
        """
        return int.from_bytes(self.wins[:], "little")

    def hasToWait(self) -> bool:
        """
        Ask for it, and let it go if it was free.
        """
        waiting = not self.gate.tryAcquire(waits=True)
        self.gate.release()
        return waiting

    def until(self, done: Callable[[], bool]) -> None:
        """
        Try until it works, as a store does.
        """
        for _ in range(20_000):
            if done():
                return
            time.sleep(0.0005)
        self.fail("it never worked")

    def test_itIsOurTurnSoon(self) -> None:
        """
        It has the lock some times more, then we have it, and then it again.
        """
        for _ in range(20):
            before = self.won()
            self.until(lambda before=before: self.won() > before)
            self.until(self.hasToWait)
            asked = self.won()
            self.until(lambda: self.gate.tryAcquire(waits=True))
            self.assertLess(self.won() - asked, 5 * WINS)
            self.gate.release()
