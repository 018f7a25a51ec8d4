"""
The gate: one process at a time writes to a database and checkpoints it.

SQLite's own waiting for a busy database polls, and starves one process of four.
A lock of its own on a side file is fair enough and cheap, and it is the guard
against SQLite's WAL-reset bug (3.7.0 to 3.51.2: rare corruption when one
connection checkpoints while another commits).  Knows nothing else of SQLite.

Whoever has just let go of the lock is the quickest to take it again, so those who
wait for it leave a mark in the side file, and whoever meets a mark too often gives
way.  A mark is only a wish: those who died leave it behind, and after some tries
nobody heeds it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

SUFFIX = "-gate"
"""What the side file is called: the database's name and this."""

WINS = 4
"""How often the lock may be taken in a row while another process waits for it."""

TRIES = 12
"""How often one tries in vain, giving way, before a mark is taken for a dead one's."""

_NOBODY = bytes(8)


def affectedByWalReset(version: tuple[int, ...]) -> bool:
    """
    Does this SQLite have the WAL-reset bug?

    @param version: Such as C{sqlite3.sqlite_version_info}.
    """
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    return (3, 7, 0) <= version < (3, 51, 3)


class Gate:
    """
    A lock between processes, held by an open file, not by a thread: any thread
    may take it and any other let it go.

    @ivar works: Whether this system and file system can hold such a lock; where
        they cannot, everybody passes.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.works = True
        self.held = False
        self._descriptor: int | None = None
        self._name = _NOBODY
        self._waits = False
        self._met = 0

    def open(self) -> None:
        """
        Open the side file, and make it where it is missing.

        @raise OSError: It cannot be made.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(self.path, flags, 0o600)
        self._name = struct.pack("=II", os.getpid(), self._descriptor)
        if self.tryAcquire():
            self.release()

    def tryAcquire(self, waits: bool = False) -> bool:
        """
        Take the lock if it is free, and if it is not another's turn.

        @param waits: Whether this is tried again and again, so that others are
            told; then L{giveUp} ends it.  It writes to the side file.
        @return: Whether it is held now.
        """
        if self._descriptor is None or self.held:
            return self.held
        if self.works:
            if not self._waits and self._givesWay(waits):
                return False
            try:
                _lock(self._descriptor)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                    if waits:
                        self._ask()
                    return False
                self.works = False
        self.held = True
        if self._waits:
            self.giveUp()
        return True

    def giveUp(self) -> None:
        """
        Wait no longer: take our mark away.
        """
        self._waits = False
        if self._descriptor is not None and self._marked() == self._name:
            self._mark(_NOBODY)

    def release(self) -> None:
        """
        Let the lock go; nothing happens if it is not held.
        """
        if self.held and self._descriptor is not None:
            self.held = False
            if self.works:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """
        Close the side file, which lets go of the lock.  The file stays: another
        process may be waiting for it.
        """
        descriptor, self._descriptor = self._descriptor, None
        self.held = False
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _givesWay(self, waits: bool) -> bool:
        """
        Has another waited while we took the lock L{WINS} times?
        """
        if self._marked() == _NOBODY:
            self._met = 0
            return False
        self._met += 1
        if waits and self._met > WINS + TRIES:
            self._met = 0
            self._mark(_NOBODY)
        return self._met > WINS

    def _ask(self) -> None:
        """
        Tell others that we wait, unless they know of somebody who does.
        """
        self._waits = True
        if self._marked() == _NOBODY:
            self._mark(self._name)

    def _marked(self) -> bytes:
        """
        Who waits.
        """
        assert self._descriptor is not None
        try:
            return os.pread(self._descriptor, 8, 0) or _NOBODY
        except OSError:
            return _NOBODY

    def _mark(self, name: bytes) -> None:
        """
        Leave a mark.  Where there is no room for it, it is a little less fair.
        """
        assert self._descriptor is not None
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, name, 0)


def _lock(descriptor: int) -> None:
    """
    Ask the system for the lock, without waiting.

    @raise OSError: It is taken, or cannot be had here at all.
    """
    if fcntl is None:  # pragma: no cover - Windows
        raise OSError(errno.ENOSYS, "no flock")
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


__all__ = ["SUFFIX", "Gate", "affectedByWalReset"]
