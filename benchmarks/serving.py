"""
The servers that are measured.

Owns their processes: the start, the processor time they have used, what they say
when they fail, and the end.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from benchmarks import ROOT
from benchmarks.alternatives import Alternative
from benchmarks.placing import confine

PATIENCE: Final = 30.0
"""Seconds that a server has to start and to end."""

TICKS: Final = os.sysconf("SC_CLK_TCK")
"""How many units of processor time the kernel counts a second."""


class ServerFailed(Exception):
    """
    A server did not start, or is gone.
    """


def ticksOf(stat: str) -> int:
    """
    Read the processor time, of user and system, from a C{stat} file of C{/proc}.

    @return: It, in ticks.
    """
    # The name of the program may hold anything, but ends at the last bracket.
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Server:
    """
    One server, as a context.

    @ivar port: Where it listens, once L{ready} was called.
    """

    port = 0

    def __init__(
        self,
        alternative: Alternative,
        size: int,
        folder: str,
        module: str = "benchmarks.counter",
        around: Sequence[str] = (),
    ) -> None:
        """
        Start it.

        @param size: How large the state is, in bytes.
        @param folder: A folder on the disk in question; its own is made there.
        @param module: What is run.
        @param around: A command that runs it.
        """
        self.alternative = alternative
        self._folder = tempfile.TemporaryDirectory(prefix="store-", dir=folder)
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - __exit__ closes it
        kind, mode = alternative.kind, alternative.mode
        command = [*around, sys.executable, "-m", module, kind, mode, "0"]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={
                **os.environ,
                "STATE_BYTES": str(size),
                "STORE_FOLDER": self._folder.name,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )

    def __enter__(self) -> Server:  # noqa: PYI034 - Self came with Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """
        End it.
        """
        process = self._process
        if process.poll() is None:
            # What runs it ends with it.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert process.stdout is not None
        process.stdout.close()
        self._errors.close()
        self._folder.cleanup()

    def ready(self) -> Server:
        """
        Wait until it listens.

        @raise ServerFailed: It does not.
        """
        out = self._process.stdout
        assert out is not None
        said = ""
        if select.select([out], [], [], PATIENCE)[0]:
            said = out.readline().decode()
        found = re.search(r":(\d+)/$", said.strip())
        if found is None:
            raise ServerFailed(f"{self.alternative} did not start: {self._lastWords()}")
        self.port = int(found[1])
        return self

    def confine(self, processors: frozenset[int]) -> None:
        """
        Have it run on some processors only, but not the engine that it has started.
        """
        confine(self._process.pid, processors)

    def _lastWords(self) -> str:
        """
        What it wrote to its standard error.
        """
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:] or "it said nothing"

    def cpu(self) -> float:
        """
        The processor time it has used so far, in seconds, with all its threads.

        @raise ServerFailed: It is gone.
        """
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            stat = ""
        if not stat or self._process.poll() is not None:
            raise ServerFailed(f"{self.alternative} is gone: {self._lastWords()}")
        return ticksOf(stat) / TICKS

    def cpuOfReactor(self) -> float:
        """
        The processor time of its first thread alone, in seconds.
        """
        pid = self._process.pid
        stat = Path(f"/proc/{pid}/task/{pid}/stat").read_text()
        return ticksOf(stat) / TICKS

    def get(self, path: str) -> str:
        """
        Fetch a page.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


__all__ = ["Server", "ServerFailed", "ticksOf"]
