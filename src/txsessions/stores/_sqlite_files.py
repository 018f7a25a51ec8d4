"""
The files of a SQLite database: made with the right modes, and watched.

Owns what is asked of the file system.  It never opens one of the database's own
files: closing such a descriptor would silently drop the locks that SQLite holds
for the whole process.
"""

from __future__ import annotations

import os
import stat

from attrs import frozen
from twisted.logger import Logger

from txsessions.errors import StoreCorrupt, StoreUnavailable
from txsessions.stores import _gate

_log = Logger()


def prepare(path: str) -> None:
    """
    See to it that there is a database file which this process may write, in a
    directory which it may write; make what is missing, for its owner alone.

    @param path: Absolute, with symbolic links resolved.
    @raise StoreUnavailable: It cannot be had; the message says why.
    """
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"the directory {directory} of the session database cannot be made: "
            f"{error.strerror}"
        ) from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StoreUnavailable(
            f"the directory {directory} cannot be written by this process, and "
            "SQLite keeps files beside its database: give the process a "
            "directory of its own"
        )
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        os.close(os.open(path, flags, 0o600))
        syncDirectory(directory)
    except FileExistsError:
        _inspect(path)
    except OSError as error:
        raise StoreUnavailable(
            f"the session database {path} cannot be made: {error.strerror}"
        ) from None


def syncDirectory(directory: str) -> None:
    """
    Make the names in a directory survive a power cut, where the system can.
    """
    if os.name != "posix":  # pragma: no cover - Windows
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _inspect(path: str) -> None:
    """
    Look at a file that is there already.

    @raise StoreUnavailable: It is not a file, or cannot be written.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise StoreUnavailable(
            f"{path} is not a regular file, so it cannot be the session database"
        )
    mode = stat.S_IMODE(found.st_mode)
    if not mode & 0o200 or not os.access(path, os.R_OK | os.W_OK):
        raise StoreUnavailable(
            f"the session database {path} cannot be written by this process (its "
            f"mode is {mode:04o}): make it the process's own, with mode 0600"
        )
    if mode & 0o077:
        _log.warn(
            "The session database {path} has the mode {mode}, so others than its "
            "owner may reach it: chmod 0600 {path}",
            path=path,
            mode=f"{mode:04o}",
        )


@frozen
class _File:
    """
    One file as it was when the database was opened.

    @ivar essential: Whether its loss is damage, not only an outage.
    """

    path: str
    device: int
    inode: int
    essential: bool


class Files:
    """
    The files that an open database consists of.  SQLite goes on writing to one
    that was deleted or replaced, and what is acknowledged then is lost; so they
    are looked at before each transaction.
    """

    def __init__(self, path: str, gated: bool) -> None:
        """
        Remember what is there.

        @param path: The database, open, in WAL mode.
        @param gated: Whether the gate's side file belongs to it.
        @raise OSError: One of the files is not there.
        """
        suffixes = ["", "-wal", "-shm", *([_gate.SUFFIX] if gated else [])]
        files = []
        for suffix in suffixes:
            found = os.stat(path + suffix)
            files.append(_File(path + suffix, found.st_dev, found.st_ino, bool(suffix)))
        self._files = tuple(files)

    def check(self) -> None:
        """
        Look whether they are still there and still the same.

        @raise StoreUnavailable: The database was deleted or moved away.
        @raise StoreCorrupt: A file was replaced, or one that belongs to the
            database was deleted.
        """
        for file in self._files:
            try:
                found = os.stat(file.path)
            except OSError as error:
                self._lost(file, error)
            else:
                if found.st_ino != file.inode or found.st_dev != file.device:
                    raise StoreCorrupt(
                        f"{file.path} was replaced while the session database "
                        "was open: stop all its users, then start them again"
                    )

    def replaced(self) -> bool:
        """
        The question for readers: is this database no longer the one of that
        name?  A deleted one may still be read.
        """
        try:
            self.check()
        except StoreCorrupt:
            return True
        except StoreUnavailable:
            return False
        return False

    @staticmethod
    def _lost(file: _File, error: OSError) -> None:
        """
        Say that a file cannot be found.
        """
        if file.essential and isinstance(error, FileNotFoundError):
            raise StoreCorrupt(
                f"{file.path} was deleted while the session database was open: "
                "stop all its users, then start them again"
            )
        raise StoreUnavailable(
            f"the session database {file.path} was deleted or moved away while "
            f"open ({error.strerror}): put it back, or restart to begin anew"
        )


__all__ = ["Files", "prepare", "syncDirectory"]
