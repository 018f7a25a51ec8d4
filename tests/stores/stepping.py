"""
A reactor and threads that a test steps through by hand.

Real SQLite files, but no real time and no real thread: whatever would happen in the
thread happens when the test says so, or never.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.task import Clock

from txsessions.core.record import Record
from txsessions.stores.sqlite import SQLiteStore

NOW = 1_800_000_000.0
"""The time of the tests."""


class SteppedReactor(Clock):
    """
    A clock that also takes calls from threads.
    """

    def callFromThread(self, callable, *args) -> None:  # noqa: A002
        """
        Run this in the next turn.
        """
        self.callLater(0, callable, *args)


class SteppedWorker:
    """
    A thread that works when told to.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.works: deque[Callable[[], object]] = deque()
        self.quitted = False
        self.joined = False

    def do(self, work: Callable[[], object]) -> None:
        """
        Keep this for later.
        """
        self.works.append(work)

    def quit(self) -> None:
        """
        Remember that no more will come.
        """
        self.quitted = True

    def join(self) -> None:
        """
        The real one would wait here.
        """
        assert self.quitted
        assert not self.works, "joined a thread that has work left"
        self.joined = True

    def step(self) -> bool:
        """
        Do the next thing.

        @return: Whether there was one.
        """
        if not self.works:
            return False
        self.works.popleft()()
        return True


class Stage:
    """
    One store, its reactor and its threads.

    @ivar hung: Whether the threads stand still.
    """

    def __init__(self, path: str, **options) -> None:
        self.reactor = SteppedReactor()
        self.workers: list[SteppedWorker] = []
        self.hung = False
        self.store = SQLiteStore(
            path, reactor=self.reactor, makeWorker=self._makeWorker, **options
        )

    def _makeWorker(self, name: str) -> SteppedWorker:
        """
        Start a thread.
        """
        worker = SteppedWorker(name)
        self.workers.append(worker)
        return worker

    @property
    def writer(self):
        """
        The writer of the store as it is open now.
        """
        return self.store._database.writer

    def run(self) -> None:
        """
        Let everything happen that can.
        """
        moved = True
        while moved:
            self.reactor.advance(0)
            moved = False
            if not self.hung:
                for worker in self.workers:
                    moved = worker.step() or moved
            now = self.reactor.seconds()
            moved = moved or any(
                call.getTime() <= now for call in self.reactor.getDelayedCalls()
            )

    def pass_(self, seconds: float) -> None:
        """
        Let time pass.
        """
        self.reactor.advance(seconds)
        self.run()

    def result(self, test, deferred):
        """
        Run until this has fired.
        """
        self.run()
        return test.successResultOf(deferred)

    def failure(self, test, deferred, *kinds):
        """
        Run until this has failed.

        @return: The error.
        """
        self.run()
        return test.failureResultOf(deferred, *kinds).value


def record(name: str = "one", **changes) -> Record:
    """
    Make a record.
    """
    usual = {
        "key": name.encode().ljust(32, b"."),
        "version": 1,
        "createdAt": NOW,
        "touchedAt": NOW,
        "expiresAt": NOW + 900,
        "payload": b"payload of " + name.encode(),
    }
    return Record(**{**usual, **changes})
