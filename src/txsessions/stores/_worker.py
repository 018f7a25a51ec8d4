"""
One thread that does what it is given, in order.

Owns the life of that thread.  Knows nothing of stores: what it does for them is
handed over as a callable, and another object with the same three methods, that a
test steps through by hand, can take its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from twisted.logger import Logger

PATIENCE = 2.0
"""How often an idle thread looks whether the program has ended, in seconds."""


class IWorker(Protocol):
    """
    Something that runs callables one after the other, elsewhere.
    """

    def do(self, work: Callable[[], object]) -> None:
        """
        Run this after all that was given before; returns at once.
        """

    def quit(self) -> None:
        """
        End after all that was given before; returns at once.
        """

    def join(self) -> None:
        """
        Wait for the end; short, if nothing was left to do.
        """


class WorkerThread:
    """
    A real thread, which is not a daemon: a commit under way is finished before
    the interpreter ends.  Where nobody called L{quit}, the end of the main
    thread ends it too, so that a program can always exit.
    """

    _log = Logger()

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=False)
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        """
        See L{IWorker.do}.
        """
        self._queue.put(work)

    def quit(self) -> None:
        """
        See L{IWorker.quit}.
        """
        self._queue.put(None)

    def join(self) -> None:
        """
        See L{IWorker.join}.
        """
        self._thread.join()

    def _run(self) -> None:
        """
        The thread: work until told to quit.
        """
        main = threading.main_thread()
        while True:
            try:
                work = self._queue.get(timeout=PATIENCE)
            except Empty:
                if main.is_alive():
                    continue
                return
            if work is None:
                return
            try:
                work()
            except BaseException:
                self._log.failure("A session store's thread met an unexpected error")


__all__ = ["PATIENCE", "IWorker", "WorkerThread"]
