"""
The real thread.
"""

from __future__ import annotations

import subprocess
import sys
import threading

from twisted.trial.unittest import SynchronousTestCase

from tests.stores import traces
from txsessions.stores import _worker
from txsessions.stores._worker import WorkerThread


class WorkerThreadTests(SynchronousTestCase):
    """
    L{WorkerThread}.
    """

    def setUp(self) -> None:
        """
        Start one.
        """
        self.worker = WorkerThread("txsessions-test")
        self.addCleanup(self.worker.join)
        self.addCleanup(self.worker.quit)

    def test_inOrder(self) -> None:
        """
        Works are done one after the other, in a thread of that name.
        """
        done = []
        for n in range(10):
            self.worker.do(lambda n=n: done.append((n, threading.current_thread())))
        self.worker.quit()
        self.worker.join()
        self.assertEqual([n for n, _ in done], list(range(10)))
        self.assertEqual({thread.name for _, thread in done}, {"txsessions-test"})

    def test_outlivesItsWork(self) -> None:
        """
        A work that raises is logged, and the next is done.
        """
        done = threading.Event()
        self.worker.do(lambda: 1 / 0)
        self.worker.do(done.set)
        self.assertTrue(done.wait(10))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_waitsWithoutEnd(self) -> None:
        """
        A thread that has nothing to do stays.
        """
        self.patch(_worker, "PATIENCE", 0.001)
        first = threading.Event()
        self.worker.do(first.set)
        self.assertTrue(first.wait(10))
        self.worker._thread.join(0.05)
        self.assertTrue(self.worker._thread.is_alive())

    def test_aProgramThatForgetsToCloseEnds(self) -> None:
        """
        Where nobody calls C{quit}, the end of the program ends the thread; what
        it was given is done.
        """
        program = (
            "from txsessions.stores import _worker\n"
            "_worker.PATIENCE = 0.05\n"
            "worker = _worker.WorkerThread('x')\n"
            "worker.do(lambda: print('done', flush=True))\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            timeout=60,
            check=True,
            env=traces.environment(),
        )
        self.assertEqual(ran.stdout, b"done\n")
