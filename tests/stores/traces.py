"""
What a program does to its files, as strace sees it; and the files as they are when
the program, or the machine, stops at any point of that.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence

from attrs import define, field

STRACE = shutil.which("strace")

MARK = "/mark-"
"""How the names begin that a program looks for to leave a mark in its trace."""

_CALLS = "pwrite64,write,fdatasync,fsync,unlink,ftruncate,openat,stat,newfstatat"
_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+|\?)")
_RESUMED = re.compile(r"(?:\d+ +)?<\.\.\. \w+ resumed>(.*)")
_FILE = re.compile(r"\d+<([^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def canTrace() -> bool:
    """
    Is there a strace, and may it be used?
    """
    if STRACE is None:
        return False
    command = [STRACE, "-f", "-qq", "-o", os.devnull, "-e", "trace=none", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run(
    what: str, path: str, inject: str | None = None, trace: str | None = None
) -> list[str]:
    """
    Run a program of L{tests.stores.child}.

    @param inject: What strace shall do to it.
    @param trace: Where strace shall write what it does.
    @return: The lines that it told.
    """
    command = [sys.executable, "-m", "tests.stores.child", what, path]
    if inject is not None or trace is not None:
        assert STRACE is not None
        options = ["-f", "-qq", "-y", "-xx", "-s", "100000"]
        # Faster, but it would swallow the signals.
        options += [] if inject and "signal" in inject else ["--seccomp-bpf"]
        for end in ("", "-wal", "-shm"):
            options += [] if trace else ["-P", path + end]
        if inject is not None:
            options += ["-e", f"trace={inject.partition(':')[0]}"]
            options += ["-e", f"inject={inject}"]
        else:
            options += ["-e", f"trace={_CALLS}"]
        command = [STRACE, *options, "-o", trace or os.devnull, *command]
    found = subprocess.run(
        command, stdout=subprocess.PIPE, check=False, env=environment(), timeout=60
    )
    return found.stdout.decode().splitlines()


def environment() -> dict[str, str]:
    """
    The environment of a child: it finds what this process finds.
    """
    return {**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])}


@define
class Step:
    """
    One system call.

    @ivar name: The call.
    @ivar path: The file.
    @ivar data: What was written.
    @ivar place: Where to, or the new size.
    """

    name: str
    path: str
    data: bytes = field(default=b"", repr=len)
    place: int = 0


def read(trace: str) -> list[Step]:
    """
    Read a trace.
    """
    with open(trace) as file:
        return [step for line in _whole(file) if (step := _step(line)) is not None]


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """
    Put calls together that strace shows in two parts, because another thread did
    something meanwhile: such a call is done when it ends.
    """
    begun: dict[str, str] = {}
    for line in lines:
        thread = line.partition(" ")[0]
        begin, unfinished, _ = line.partition(" <unfinished ...>")
        resumed = _RESUMED.match(line)
        if unfinished:
            begun[thread] = begin
        elif resumed is not None:
            yield begun.pop(thread, "") + resumed.group(1)
        else:
            yield line


def _step(line: str) -> Step | None:
    """
    Read a line of a trace, if it is about a file and succeeded.
    """
    match = _LINE.match(line)
    if match is None:
        return None
    name, arguments, result = match.groups()
    texts = [
        bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)
    ]
    if name in ("stat", "newfstatat"):
        path = texts[0].decode(errors="replace") if texts else ""
        return Step("stat", path) if path.startswith(MARK) else None
    if result.startswith("-") or result == "?":
        return None
    if name in ("unlink", "openat"):
        return Step(name, texts[0].decode(errors="replace"))
    files = _FILE.match(arguments)
    if files is None:
        return None
    path = bytes.fromhex(files.group(1).replace("\\x", "")).decode(errors="replace")
    if name == "pwrite64":
        place = int(arguments.rpartition(",")[2])
        return Step(name, path, texts[0], place)
    if name == "ftruncate":
        return Step(name, path, place=int(arguments.rpartition(",")[2]))
    return Step(name, path, texts[0] if texts else b"")


class Disk:
    """
    Files as they are after some steps.

    @ivar cache: What a process sees, which outlives its death.
    @ivar synced: What is certain to be on the disk, which outlives a power cut.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.cache = {path: bytearray(data) for path, data in files.items()}
        self.synced = {path: bytearray(data) for path, data in files.items()}

    def do(self, step: Step) -> bool:
        """
        Take a step.

        @return: Whether that changed anything.
        """
        if step.name == "pwrite64":
            data = self.cache.setdefault(step.path, bytearray())
            end = step.place + len(step.data)
            data.extend(bytes(max(0, end - len(data))))
            data[step.place : end] = step.data
        elif step.name == "ftruncate":
            data = self.cache.setdefault(step.path, bytearray())
            data.extend(bytes(max(0, step.place - len(data))))
            del data[step.place :]
        elif step.name == "unlink":
            self.cache.pop(step.path, None)
            self.synced.pop(step.path, None)
        elif step.name in ("fdatasync", "fsync") and step.path in self.cache:
            self.synced[step.path] = bytearray(self.cache[step.path])
        else:
            return False
        return True

    @staticmethod
    def put(files: dict[str, bytearray], directory: str) -> None:
        """
        Write the files into a new directory.
        """
        os.makedirs(directory)
        for path, data in files.items():
            with open(os.path.join(directory, os.path.basename(path)), "wb") as file:
                file.write(data)


def states(path: str, steps: Sequence[Step], disk: Disk) -> Iterator[Step]:
    """
    Take the steps that are about a database, one at a time.

    @param path: The database.  The index of its log is left out: it is shared
        memory, and worth nothing after a crash.
    @return: The steps, each after it was taken.
    """
    for step in steps:
        ours = step.path in (path, f"{path}-wal") and disk.do(step)
        if ours or step.data.endswith(b"ok\n"):
            yield step
