"""
The gate between processes.
"""

from __future__ import annotations

import os
import stat
import threading

from twisted.trial.unittest import SynchronousTestCase

from txsessions.stores import _gate
from txsessions.stores._gate import Gate


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
