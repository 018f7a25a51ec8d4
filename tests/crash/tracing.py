"""
What the kernel saw: the order in which a server received, wrote, synced and sent.

Owns a server that runs under C{strace}, and the reading of its trace.  A request
names itself by the argument C{tag}, which the answer tells back, so that both can be
found in the bytes.  Knows nothing of sessions.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from enum import Enum

from attrs import frozen
from twisted.trial.unittest import SkipTest

from tests.crash.nursery import PATIENCE, PROGRAM, environment
from tests.crash.visiting import Connection

REQUESTS = 100
"""How many are under way at once."""

_LINE = re.compile(r"(\d+) +(<\.\.\. )?(\w+)(?:\(| resumed>)(.*)")
_ARRIVAL = re.compile(r"GET /\w+\?(?:[\w=]+&)*tag=(\w+)")
_DEPARTURE = re.compile(r'HTTP/1\.1 200 .*\\"tag\\": \\"(\w+)\\"')
_WAL = re.compile(r"\d+<[^>]*-wal>")
_HEADER = re.compile(r", 0(?:\)| <unfinished)")


class Step(Enum):
    """
    What a server did.
    """

    ARRIVED = "a request was received"
    BEGINS = "the gate was passed: a transaction begins"
    WRITES = "the write-ahead log is being written"
    SYNCS = "the write-ahead log is being synced"
    SYNCED = "it has been synced"
    SENDS = "an answer is being sent"


@frozen
class Seen:
    """
    One thing that a server did, in the order of the trace.

    @ivar tag: Which request this is about, if one.
    """

    step: Step
    tag: str = ""


class TracedServer:
    """
    A server under C{strace}.

    @ivar port: Where it listens on 127.0.0.1.
    """

    CALLS = "recvfrom,sendto,sendmsg,write,writev,flock,pwrite64,fdatasync,fsync"

    def __init__(self, case, folder, **options):
        """
        Start it, and wait until it listens.

        @param case: The test, which is skipped where there is no C{strace}.
        @param folder: Where its database and its log are.
        @param options: See L{tests.crash.server.Options}.
        """
        strace = shutil.which("strace")
        if strace is None:
            raise SkipTest("strace is not installed")
        self._trace = folder / "trace"
        given = {
            "path": str(folder / "sessions.sqlite"),
            "log": str(folder / "log"),
            **options,
        }
        self._process = subprocess.Popen(
            [
                strace,
                "--follow-forks",
                "--seccomp-bpf",
                "--decode-fds=path",
                "--string-limit=2000",
                f"--trace={self.CALLS}",
                f"--output={self._trace}",
                *PROGRAM,
                json.dumps(given),
            ],
            env=environment(),
            stdout=subprocess.PIPE,
        )
        self._pid = None
        case.addCleanup(self._kill)
        told = json.loads(self._process.stdout.readline() or "{}")
        if "pid" not in told:
            raise AssertionError(f"strace has ended: {self._process.wait(PATIENCE)}")
        self._pid, self.port = told["pid"], told["port"]

    def end(self):
        """
        End it.

        @return: All that it did, as a list of L{Seen}.
        """
        os.kill(self._pid, signal.SIGTERM)
        self._process.wait(PATIENCE)
        return list(read(self._trace.read_text().splitlines()))

    def _kill(self):
        """
        Leave nothing behind.
        """
        if self._process.poll() is None:
            if self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)
            else:
                self._process.kill()
            self._process.wait(PATIENCE)
        self._process.stdout.close()


def ask(port, *paths):
    """
    Have many clients ask for each path, all at once.
    """
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(contextlib.closing(Connection(port)))
            for _ in range(REQUESTS)
        ]
        uids = [None] * REQUESTS
        for turn, path in enumerate(paths):
            for number, connection in enumerate(connections):
                tag = f"{path}{turn}x{number}"
                connection.send((f"{path}?tag={tag}", uids[number]))
            for number, connection in enumerate(connections):
                answer = connection.receive()
                if answer.status != 200:
                    raise AssertionError(f"{path} was answered {answer}")
                uids[number] = answer.uid or uids[number]


def read(lines):
    """
    Read a trace.  A call that took its time has two lines: where it began, and
    where it ended.
    """
    began = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        process, resumed, call, rest = found.groups()
        if resumed:
            rest = began.pop(process, "") + rest
        elif rest.endswith("<unfinished ...>"):
            began[process] = rest
        yield from _readCall(
            call,
            rest,
            begins=not resumed,
            ends=resumed or not rest.endswith("<unfinished ...>"),
        )


def _readCall(call, rest, begins, ends):
    """
    Read the beginning or the end of a call, or both.
    """
    if call == "recvfrom" and ends:
        for tag in _ARRIVAL.findall(rest):
            yield Seen(Step.ARRIVED, tag)
    elif call in {"sendto", "sendmsg", "write", "writev"} and begins:
        for tag in _DEPARTURE.findall(rest):
            yield Seen(Step.SENDS, tag)
    elif call == "flock" and ends and "LOCK_EX" in rest and rest.endswith("= 0"):
        yield Seen(Step.BEGINS)
    elif call == "pwrite64" and begins and _WAL.match(rest):
        # The header, at offset 0, is synced by itself, and is no commit.
        if not _HEADER.search(rest):
            yield Seen(Step.WRITES)
    elif call in {"fdatasync", "fsync"} and _WAL.match(rest):
        if begins:
            yield Seen(Step.SYNCS)
        if ends and rest.endswith("= 0"):
            yield Seen(Step.SYNCED)


def commits(trace):
    """
    Find the synced commits.

    @return: For each where its transaction began, and where its sync had ended.
    """
    found = []
    began, hasWritten, syncing = 0, False, False
    for where, seen in enumerate(trace):
        if seen.step is Step.BEGINS:
            began, hasWritten, syncing = where, False, False
        elif seen.step is Step.WRITES:
            hasWritten = True
        elif seen.step is Step.SYNCS:
            syncing = hasWritten
        elif seen.step is Step.SYNCED and syncing:
            found.append((began, where))
            syncing = False
    return found


def tooEarly(trace):
    """
    Find the requests that were answered before a transaction that had begun after
    their arrival was synced.

    @return: How many were answered, and the tags of those that were too early.
    """
    synced = commits(trace)
    arrived = {s.tag: at for at, s in enumerate(trace) if s.step is Step.ARRIVED}
    sent = {s.tag: at for at, s in enumerate(trace) if s.step is Step.SENDS}
    early = [
        tag
        for tag, at in sent.items()
        if not any(arrived[tag] < began and ended < at for began, ended in synced)
    ]
    return len(sent), early


__all__ = [
    "REQUESTS",
    "Seen",
    "Step",
    "TracedServer",
    "ask",
    "commits",
    "read",
    "tooEarly",
]
