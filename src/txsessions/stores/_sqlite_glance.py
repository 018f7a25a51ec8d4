"""
A glance at what SQLite itself looks at to tell whether a database has changed.

Owns a view of the first bytes of the C{-shm} file, in memory that all processes with
the database share: the head of the index of the write-ahead log, twice, see
U{https://www.sqlite.org/walformat.html}.  Every commit changes it before it returns,
and so does every new beginning of the log.  A reading transaction compares it with
what it was before, to know whether pages that it holds are still good, and so does
C{PRAGMA data_version}, but with two locks, and a tenth of what a request takes.  Here
the bytes mean nothing: they are the same, or SQLite has to be asked.

The file is not opened for that.  Closing such a descriptor would drop the locks that
SQLite holds for the whole process, so SQLite's own is used, and no other is made:
C{mmap.mmap} would make one.  The view stays where it is if SQLite closes the file.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Protocol
from weakref import finalize

SIZE = 96
"""How many bytes are looked at: the head of the index, and its copy."""

_DESCRIPTORS = "/dev/fd"

_FAILED = ctypes.c_void_p(-1).value


class IGlance(Protocol):
    """
    What is looked at.
    """

    @property
    def raw(self) -> bytes:
        """
        The bytes as they are now.
        """


def glanceAt(path: str) -> IGlance | None:
    """
    Look at the index of a database that this process has open, until what is
    returned is forgotten.

    @param path: The database, with symbolic links resolved.
    @return: L{None} where that cannot be done.
    """
    try:
        descriptor = _find(os.stat(f"{path}-shm"))
        return None if descriptor is None else _map(descriptor)
    except (OSError, AttributeError, TypeError):
        # No such file, no such folder, no such function: another system.
        return None


def _find(wanted: os.stat_result) -> int | None:
    """
    Find the descriptor by which SQLite has a file.
    """
    if wanted.st_size < SIZE:
        return None
    for name in os.listdir(_DESCRIPTORS):
        try:
            found = os.fstat(int(name))
        except OSError:
            continue  # That of the listing itself.
        if os.path.samestat(found, wanted):
            return int(name)
    return None


def _map(descriptor: int) -> IGlance | None:
    """
    Have the first page of a file in memory.
    """
    system = ctypes.CDLL(None, use_errno=True)
    system.mmap.restype = ctypes.c_void_p
    system.mmap.argtypes = (
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int),
        *(ctypes.c_int, ctypes.c_long),
    )
    system.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    address = system.mmap(
        None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0
    )
    if address in {None, _FAILED}:
        return None
    view = (ctypes.c_char * SIZE).from_address(address)
    finalize(view, system.munmap, address, mmap.PAGESIZE).atexit = False
    return view


__all__ = ["IGlance", "glanceAt"]
