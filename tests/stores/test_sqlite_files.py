"""
Tests for L{txsessions.stores._sqlite_files}: whether all files of an open database are
still there.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import StoreCorrupt, StoreUnavailable
from txsessions.stores._sqlite_files import Files

ENDS = ("", "-wal", "-shm", "-gate")


class FilesTests(SynchronousTestCase):
    """
    Four files in a directory.
    """

    def setUp(self) -> None:
        """
        Make them.
        """
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "sessions.sqlite")
        for end in ENDS:
            self.write(end)
        self.files = Files(self.path, True)
        self.files.check()

    def write(self, end: str) -> None:
        """
        Write to one of the files, as a commit does.
        """
        with open(self.path + end, "ab") as file:
            file.write(b"some")

    def test_anotherNameIsNoHarm(self) -> None:
        """
        What is written, and what else comes into the directory, is no change.
        """
        self.write("-wal")
        self.write("-key")
        self.files.check()

    def test_deleted(self) -> None:
        """
        None of them can go unseen.
        """
        for end in ENDS:
            os.rename(self.path + end, f"{self.path}.away")
            kind = StoreCorrupt if end else StoreUnavailable
            self.assertRaises(kind, self.files.check)
            os.rename(f"{self.path}.away", self.path + end)
            self.files.check()

    def test_replaced(self) -> None:
        """
        Nor can another take its place.
        """
        self.write(".new")
        os.replace(f"{self.path}.new", self.path)
        self.assertRaises(StoreCorrupt, self.files.check)

    def test_theDirectoryIsAnother(self) -> None:
        """
        Nor all of them at once.
        """
        os.rename(self.directory, f"{self.directory}.away")
        self.assertRaises(StoreUnavailable, self.files.check)
        os.mkdir(self.directory)
        for end in ENDS:
            self.write(end)
        self.assertRaises(StoreCorrupt, self.files.check)

    def test_elsewhere(self) -> None:
        """
        What was moved away, with a link in its place, is looked at where it is.
        """
        away = os.path.abspath(self.mktemp())
        os.rename(self.path, away)
        os.symlink(away, self.path)
        self.files.check()
        os.close(os.open(f"{away}.new", os.O_CREAT))
        os.replace(f"{away}.new", away)
        self.assertRaises(StoreCorrupt, self.files.check)
