"""
What the tests of faults stand on: a database that other processes work on.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.stores import traces
from tests.stores.stepping import NOW, Stage, record
from txsessions.core.record import Record


class FaultTestCase(SynchronousTestCase):
    """
    A database that children work on.
    """

    def setUp(self) -> None:
        """
        Choose a place.
        """
        self.path = self.place()

    def place(self) -> str:
        """
        A path for a new database.
        """
        return os.path.join(os.path.realpath(self.mktemp()), "sessions.sqlite")

    def stage(self, path: str | None = None, **options) -> Stage:
        """
        Open the database.
        """
        stage = Stage(path or self.path, **options)
        stage.result(self, stage.store.open())
        return stage

    def close(self, stage: Stage) -> None:
        """
        Close it.
        """
        stage.result(self, stage.store.close())

    def look(self, names, path: str | None = None) -> dict[str, Record]:
        """
        Open the database, check it, and load these sessions.
        """
        stage = self.stage(path)
        checked = stage.store._find("PRAGMA integrity_check").fetchall()
        self.assertEqual(checked, [("ok",)])
        found = {
            name: self.successResultOf(stage.store.load(record(name).key, NOW))
            for name in names
        }
        self.close(stage)
        return found

    def files(self) -> dict[str, bytes]:
        """
        What the database's files hold now.
        """
        found = {}
        for end in ("", "-wal"):
            if os.path.exists(self.path + end):
                with open(self.path + end, "rb") as file:
                    found[self.path + end] = file.read()
        return found

    def traced(self, what: str) -> tuple[list[traces.Step], traces.Disk]:
        """
        Run a child and watch it.
        """
        disk = traces.Disk(self.files())
        trace = self.mktemp()
        said = traces.run(what, self.path, trace=trace)
        self.assertNotIn("Store", " ".join(said))
        return traces.read(trace), disk


def inChild(function) -> str:
    """
    Run this in a fork of this process.

    @return: What it returned, or its exception's text.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            try:
                answer = function()
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            os.write(writing, str(answer).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read().decode()
    os.waitpid(pid, 0)
    return answer
