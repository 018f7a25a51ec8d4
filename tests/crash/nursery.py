"""
The life and death of the servers.

Owns their processes: started in a few milliseconds by a nursery that forks them,
ended by any signal, all gone when the test is over.  Knows nothing of what they
serve.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import txsessions
from tests.served import ROOT

PATIENCE = 30.0
"""Seconds after which a process is given up."""

MODULE = "tests.crash.server"
"""The program that is run."""

PROGRAM = [sys.executable, "-m", MODULE]
"""How it is run by itself."""


def environment():
    """
    The environment of a server: it finds these tests, and txsessions where that is
    a checkout.
    """
    packages = str(Path(txsessions.__file__).resolve().parent.parent)
    before = [p for p in [os.environ.get("PYTHONPATH")] if p]
    paths = os.pathsep.join([packages, str(ROOT), *before])
    return {**os.environ, "PYTHONPATH": paths}


def makeFolder(case):
    """
    Make a folder that is gone after the test.
    """
    folder = Path(tempfile.mkdtemp(prefix="txs-"))
    case.addCleanup(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Server:
    """
    One server process.

    @ivar pid: The process.
    @ivar port: Where it listens on 127.0.0.1.
    @ivar log: The file that holds what it said.
    """

    def __init__(self, nursery, pid, port, log):
        self._nursery = nursery
        self._hasEnded = False
        self.pid = pid
        self.port = port
        self.log = log

    def end(self, how=signal.SIGKILL):
        """
        End it, and wait for it.

        @return: Its exit status, the signal's number below zero.
        """
        os.kill(self.pid, how)
        return self.wait()

    def endAtLast(self):
        """
        Leave nothing behind.
        """
        if not self._hasEnded:
            self.end()

    def wait(self):
        """
        Wait for its end.

        @return: Its exit status.
        """
        told = self._nursery.ask(wait=self.pid, patience=PATIENCE)
        if told["status"] is None:
            raise AssertionError(f"the server has not ended in {PATIENCE:.0f} s")
        self._hasEnded = True
        return told["status"]

    @property
    def said(self):
        """
        What is in the log, of all servers that wrote to it.
        """
        return self.log.read_text()


class Nursery:
    """
    A process that forks servers.  One of a kind serves all tests; it ends with this
    process.
    """

    _shared = {}  # noqa: RUF012

    def __init__(self, module):
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self._close)

    @classmethod
    def get(cls, module=MODULE):
        """
        The nursery, started when it is first needed.

        @param module: Which program it runs.
        """
        if module not in Nursery._shared:
            Nursery._shared[module] = cls(module)
        return Nursery._shared[module]

    def ask(self, **given):
        """
        Give it one line, and wait for what it tells.
        """
        pipes = self._process
        pipes.stdin.write(json.dumps(given).encode() + b"\n")
        pipes.stdin.flush()
        told = pipes.stdout.readline()
        if not told:
            raise AssertionError(f"the nursery has ended: {pipes.wait()}")
        return json.loads(told)

    def _close(self):
        """
        End it.
        """
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def startServer(case, folder, **options):
    """
    Start a server, and wait until it listens.

    @param case: The test, after which it is ended.
    @param folder: Where its database and its log are.
    @param options: See L{tests.crash.server.Options}.
    """
    log = folder / "log"
    nursery = Nursery.get()
    told = nursery.ask(path=str(folder / "sessions.sqlite"), log=str(log), **options)
    if "port" not in told:
        raise AssertionError(f"the server has not started: {log.read_text()[-3000:]}")
    server = Server(nursery, told["pid"], told["port"], log)
    case.addCleanup(server.endAtLast)
    return server


class Database:
    """
    What another program sees of the database while it is in use.
    """

    def __init__(self, folder):
        self._path = folder / "sessions.sqlite"

    def ask(self, statement):
        """
        Read from it.

        @return: All rows.
        """
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def integrity(self):
        """
        What SQLite finds wrong with it: C{"ok"}, if nothing is.
        """
        return self.ask("PRAGMA integrity_check")[0][0]

    def living(self):
        """
        How many sessions are in it, without the marks that rotations leave.
        """
        where = "version IS NOT NULL"
        return self.ask(f"SELECT count(*) FROM sessions WHERE {where}")[0][0]


__all__ = [
    "MODULE",
    "PATIENCE",
    "PROGRAM",
    "Database",
    "Nursery",
    "Server",
    "environment",
    "makeFolder",
    "startServer",
]
