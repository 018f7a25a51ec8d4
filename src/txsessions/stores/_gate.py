"""
The gate: one process at a time writes to a database and checkpoints it.

SQLite's own waiting for a busy database polls, and starves one process of four.
A lock of its own on a side file is fair enough and cheap, and it is the guard
against SQLite's WAL-reset bug (3.7.0 to 3.51.2: rare corruption when one
connection checkpoints while another commits).  Knows nothing of SQLite.
"""

from __future__ import annotations

import contextlib
import errno
import os

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

SUFFIX = "-gate"
"""What the side file is called: the database's name and this."""


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

    def open(self) -> None:
        """
        Open the side file, and make it where it is missing.

        @raise OSError: It cannot be made.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(self.path, flags, 0o600)
        if self.tryAcquire():
            self.release()

    def tryAcquire(self) -> bool:
        """
        Take the lock if it is free.

        @return: Whether it is held now.
        """
        if self._descriptor is None:
            return False
        if self.works:
            try:
                _lock(self._descriptor)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                    return False
                self.works = False
        self.held = True
        return True

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


def _lock(descriptor: int) -> None:
    """
    Ask the system for the lock, without waiting.

    @raise OSError: It is taken, or cannot be had here at all.
    """
    if fcntl is None:  # pragma: no cover - Windows
        raise OSError(errno.ENOSYS, "no flock")
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


__all__ = ["SUFFIX", "Gate"]
