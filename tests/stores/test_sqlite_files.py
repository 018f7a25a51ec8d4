"""
Tests for L{txsessions.stores._sqlite_files}: whether all files are still there is asked
of their directory, where it can tell.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import StoreCorrupt, StoreUnavailable
from txsessions.stores._sqlite_files import LOOKS, Files

ENDS = ("", "-wal", "-shm", "-gate")


class FilesTests(SynchronousTestCase):
    """
    Four files in a directory, of which one is written to.
    """

    def setUp(self) -> None:
        """
        Make them, and note what is looked at.
        """
        self.directory = os.path.abspath(self.mktemp())
        os.mkdir(self.directory)
        self.path = os.path.join(self.directory, "sessions.sqlite")
        for end in ENDS:
            self.write(end)
        self.files = Files(self.path, True)
        self.seen: list[str] = []
        self.stat = os.stat
        self.patch(os, "stat", self.look)

    def look(self, path, **options):
        """
        See C{os.stat}.
        """
        self.seen.append(path)
        return self.stat(path, **options)

    def write(self, end: str) -> None:
        """
        Write to one of the files, as a commit does.
        """
        with open(self.path + end, "ab") as file:
            file.write(b"some")

    def tick(self) -> None:
        """
        Commit until the file system's clock has moved.
        """
        changed = self.stat(self.directory).st_ctime_ns
        self.write("-wal")
        while self.stat(f"{self.path}-wal").st_ctime_ns <= changed:
            self.write("-wal")

    def settle(self) -> None:
        """
        Commit until the file system's clock has moved, and look twice.
        """
        self.files.check()
        self.tick()
        self.files.check()
        self.seen.clear()
        self.files.check()
        self.assertEqual(self.seen, [self.directory])

    def test_commitsAreNoChange(self) -> None:
        """
        One question is enough, however often the files are written to.
        """
        self.settle()
        self.write("-wal")
        self.write("")
        self.files.check()
        self.assertEqual(self.seen, [self.directory] * 2)

    def test_nowAndThen(self) -> None:
        """
        Each file is looked at now and then, and then the directory is enough again.
        """
        self.settle()
        for _ in range(2 * LOOKS + 1):
            self.files.check()
        others = [path for path in self.seen if path != self.directory]
        self.assertEqual(others, 2 * [self.path + end for end in ENDS])
        self.assertEqual(self.seen.count(self.directory), 2 * LOOKS + 2)

    def test_anotherNameIsNoHarm(self) -> None:
        """
        Where something else came into the directory, all are looked at once more,
        until it has settled again.
        """
        self.settle()
        self.write("-key")
        self.files.check()
        self.assertEqual(self.seen[2:], [self.path + end for end in ENDS])
        self.settle()

    def test_deleted(self) -> None:
        """
        None of them can go unseen.
        """
        for end in ENDS:
            self.settle()
            os.rename(self.path + end, f"{self.path}.away")
            kind = StoreCorrupt if end else StoreUnavailable
            self.assertRaises(kind, self.files.check)
            os.rename(f"{self.path}.away", self.path + end)
            self.files.check()

    def test_replaced(self) -> None:
        """
        Nor can another take its place, whatever times the directory is given back.
        """
        self.settle()
        before = self.stat(self.directory)
        self.write(".new")
        os.replace(f"{self.path}.new", self.path)
        os.utime(self.directory, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertRaises(StoreCorrupt, self.files.check)

    def test_theDirectoryIsAnother(self) -> None:
        """
        Nor all of them at once.
        """
        self.settle()
        os.rename(self.directory, f"{self.directory}.away")
        self.assertRaises(StoreUnavailable, self.files.check)
        os.mkdir(self.directory)
        for end in ENDS:
            self.write(end)
        self.assertRaises(StoreCorrupt, self.files.check)

    def test_theDirectoryDoesNotTell(self) -> None:
        """
        Where something is mounted over a file, or the file system says nothing, that
        is found out all the same, if later.
        """
        self.settle()
        before = self.stat(self.directory)
        self.write(".new")
        os.replace(f"{self.path}.new", self.path)
        self.patch(
            os,
            "stat",
            lambda path: before if path == self.directory else self.stat(path),
        )
        for _ in range(LOOKS - 1):
            self.files.check()
        self.assertRaises(StoreCorrupt, self.files.check)
        self.assertRaises(StoreCorrupt, self.files.check)

    def test_elsewhere(self) -> None:
        """
        What was moved away, with a link in its place, is in a directory that is not
        looked at: so the file always is.
        """
        away = os.path.abspath(self.mktemp())
        os.rename(self.path, away)
        os.symlink(away, self.path)
        for _ in range(3):
            self.files.check()
            self.tick()
        os.close(os.open(f"{away}.new", os.O_CREAT))
        os.replace(f"{away}.new", away)
        self.assertRaises(StoreCorrupt, self.files.check)

    def test_theClockWasSetBack(self) -> None:
        """
        A file that was written when the clock was ahead does not show that the tick of
        the directory is over.
        """
        self.patch(os, "stat", self.ahead)
        self.files.check()
        self.files.check()
        self.write(".new")
        os.replace(f"{self.path}.new", self.path)
        self.assertRaises(StoreCorrupt, self.files.check)

    def test_theClockWasSetBackSince(self) -> None:
        """
        Nor does one that was written later, by a clock that has yet to come to that
        tick again.
        """
        self.left = 1_000
        self.patch(os, "stat", self.behind)
        for _ in range(3):
            self.files.check()
        self.write(".new")
        os.replace(f"{self.path}.new", self.path)
        self.assertRaises(StoreCorrupt, self.files.check)

    def behind(self, path):
        """
        See C{os.stat}, where each file was written just now, and the directory when the
        clock was ahead.
        """
        found = self.atOneTick(path)
        if path != self.directory:
            self.left -= 1
            found.st_ctime_ns = self.left
        return found

    def ahead(self, path):
        """
        See C{os.stat}, with a clock that stands still now, and was ahead before.
        """
        found = self.atOneTick(path)
        found.st_ctime_ns += path != self.directory
        return found

    def test_atTheSameTick(self) -> None:
        """
        As long as the file system's clock stands still, each is looked at.
        """
        self.patch(os, "stat", self.atOneTick)
        self.files.check()
        self.write(".new")
        os.replace(f"{self.path}.new", self.path)
        self.assertRaises(StoreCorrupt, self.files.check)

    def atOneTick(self, path, **options):
        """
        See C{os.stat}, with a clock that stands still.
        """
        found = self.stat(path, **options)
        return SimpleNamespace(
            st_dev=found.st_dev, st_ino=found.st_ino, st_ctime_ns=1_000
        )
