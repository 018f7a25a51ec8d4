"""
Tests for L{txsessions.core.keyfile}.
"""

from __future__ import annotations

import os
import stat
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_keyring import SECRETS, UNFIT, key
from txsessions.core import keyfile
from txsessions.core.keyfile import (
    createKeyFile,
    parseKeyFile,
    readKeyFile,
    readOrCreateKeyFile,
)
from txsessions.core.keyring import KeyRing
from txsessions.errors import KeyFileError

HEX = [secret.hex() for secret in SECRETS]
GOOD = f"txsessions keys 1\nactive {HEX[0]}\n"


class ParseTests(SynchronousTestCase):
    """
    What a key file says.
    """

    def refused(self, text: str, words: str) -> None:
        """
        Check that a text is refused, with its path and the fault, and without
        the keys.
        """
        error = self.assertRaises(
            KeyFileError, parseKeyFile, text.encode(), "/etc/keys"
        )
        self.assertIn("'/etc/keys'", str(error))
        self.assertIn(words, str(error))
        for secret in HEX:
            self.assertNotIn(secret[:16], str(error).lower())

    def test_full(self) -> None:
        """
        All states, comments, empty lines and odd spaces.
        """
        text = (
            "txsessions keys 1 \r\n\r\n# for the shop\r\n"
            f"old {HEX[2]}\r\n  active\t{HEX[0].upper()}  \r\n"
            f"next {HEX[1]}\r\nrevoked {HEX[3]}\r\n  # that is all"
        )
        self.assertEqual(
            parseKeyFile(text.encode(), "x"),
            KeyRing(
                active=key(0),
                others=(key(1), key(2)),
                revoked=frozenset({key(3).id}),
            ),
        )

    def test_empty(self) -> None:
        """
        A file with nothing in it.
        """
        for text in ("", "\n", " \n\n"):
            self.refused(text, "is empty")

    def test_first(self) -> None:
        """
        The first line says what the file is; another version is named.
        """
        self.refused(f"active {HEX[0]}\n", "does not begin with")
        self.refused(HEX[0], "does not begin with")
        self.refused(f"\n{GOOD}", "does not begin with")
        self.refused(GOOD.replace("1", "2", 1), "of version 2")
        self.refused(GOOD.replace("1", "10", 1), "of version 10")
        self.refused(GOOD.replace("1", "1" * 5000, 1), "does not begin with")

    def test_states(self) -> None:
        """
        Exactly one key is active, and other states are unknown.
        """
        self.refused("txsessions keys 1\n", "0 active keys")
        self.refused(f"txsessions keys 1\nold {HEX[0]}\n", "0 active keys")
        self.refused(f"{GOOD}active {HEX[1]}\n", "2 active keys")
        self.refused(f"{GOOD}older {HEX[1]}\n", "line 3 none of the states active,")
        self.refused(f"{GOOD}{HEX[1]}\n", "line 3 none of the states")
        self.refused(f"{GOOD}Active {HEX[1]}\n", "line 3 none of the states")

    def test_form(self) -> None:
        """
        A key is one word of hexadecimal digits.
        """
        for rest in (
            "",
            f" {HEX[1][:-1]}",
            f" {HEX[1][:-1]}g",
            f" {HEX[1][:32]} {HEX[1][32:]}",
            f" {HEX[1]} comment",
            f" 0x{HEX[1]}",
        ):
            self.refused(f"{GOOD}old{rest}\n", "line 3 no key of 64")

    def test_unfit(self) -> None:
        """
        A key that could not have been random is refused, in every state.
        """
        for words, secret in UNFIT.items():
            for state in ("old", "revoked") if secret else ():
                self.refused(f"{GOOD}{state} {secret.hex()}\n", words)
                self.refused(f"{GOOD}{state} {secret.hex()}\n", "in line 3 a key")

    def test_repeated(self) -> None:
        """
        A key stands there once.
        """
        for state in ("active", "old", "next", "revoked"):
            self.refused(f"{GOOD}{state} {HEX[0].upper()}\n", "key of line 3 twice")


class FileTests(SynchronousTestCase):
    """
    The file on the disk.
    """

    def setUp(self) -> None:
        """
        Make a directory for it.
        """
        self.folder = self.mktemp()
        os.makedirs(self.folder)
        self.path = os.path.join(self.folder, "keys")

    def write(self, text: str = GOOD, mode: int = 0o600) -> None:
        """
        Write the file by hand.
        """
        with open(self.path, "w") as made:
            made.write(text)
        os.chmod(self.path, mode)

    def refused(self, words: str) -> None:
        """
        Check that the file is refused, with its path and the fault, and
        without the keys.
        """
        error = self.assertRaises(KeyFileError, readKeyFile, self.path)
        self.assertIn(repr(self.path), str(error))
        self.assertIn(words, str(error))
        self.assertNotIn(HEX[0][:16], str(error))

    def test_read(self) -> None:
        """
        A file that only its owner can read is read.
        """
        for mode in (0o600, 0o400, 0o700):
            self.write()
            os.chmod(self.path, mode)
            self.assertEqual(readKeyFile(self.path), KeyRing(active=key(0)))

    def test_missing(self) -> None:
        """
        A missing file is a fault, and so is a link that leads nowhere.
        """
        self.refused("is missing")
        os.symlink("nowhere", self.path)
        self.refused("is missing")
        self.assertRaises(KeyFileError, readOrCreateKeyFile, self.path, True)

    def test_mode(self) -> None:
        """
        What others may read or write is refused.
        """
        self.write()
        for mode in (0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o601):
            os.chmod(self.path, mode)
            self.refused(f"mode {mode:04o}")

    def test_owner(self) -> None:
        """
        The file belongs to this user or to root.
        """
        self.write()
        owner = os.stat(self.path).st_uid
        with mock.patch.object(os, "geteuid", lambda: owner + 1):
            if owner == 0:
                self.assertEqual(readKeyFile(self.path), KeyRing(active=key(0)))
        found = mock.Mock(st_mode=stat.S_IFREG | 0o600, st_uid=owner + 2)
        with (
            mock.patch.object(os, "fstat", lambda fd: found),
            mock.patch.object(os, "geteuid", lambda: owner + 1),
        ):
            self.refused(f"belongs to user {owner + 2}")

    def test_given(self) -> None:
        """
        Of a file that belongs to root this process may be the group, and only read
        it; of its own, or as root itself, it may not share it.
        """
        self.write()
        for mode, owner, user, isFine in (
            (0o440, 0, 1000, True),
            (0o640, 0, 1000, True),
            (0o400, 0, 1000, True),
            (0o440, 0, 0, False),
            (0o440, 1000, 1000, False),
            (0o440, 1001, 1000, False),
            (0o444, 0, 1000, False),
            (0o644, 0, 1000, False),
            (0o404, 0, 1000, False),
            (0o460, 0, 1000, False),
            (0o450, 0, 1000, False),
        ):
            found = mock.Mock(st_mode=stat.S_IFREG | mode, st_uid=owner)
            with (
                mock.patch.object(os, "fstat", lambda fd, found=found: found),
                mock.patch.object(os, "geteuid", lambda user=user: user),
            ):
                if isFine:
                    self.assertEqual(readKeyFile(self.path), KeyRing(active=key(0)))
                else:
                    self.refused(f"mode {mode:04o}")

    def test_noFile(self) -> None:
        """
        Directories, pipes and devices are no key files, and are not waited for.
        """
        os.mkdir(self.path)
        self.refused("not a regular file")
        os.rmdir(self.path)
        os.mkfifo(self.path, 0o600)
        self.refused("not a regular file")
        os.unlink(self.path)
        os.symlink("/dev/null", self.path)
        self.refused("not a regular file")

    def test_link(self) -> None:
        """
        A link is followed, as secrets are mounted by links; what counts is
        where it leads.
        """
        self.write()
        link = os.path.join(self.folder, "link")
        os.symlink("keys", link)
        self.assertEqual(readKeyFile(link), KeyRing(active=key(0)))
        os.chmod(self.path, 0o644)
        self.assertRaises(KeyFileError, readKeyFile, link)
        os.unlink(self.path)
        os.symlink("link", self.path)
        self.refused("cannot be opened")

    def test_content(self) -> None:
        """
        What is in it is checked, and how much.
        """
        self.write("")
        self.refused("is empty")
        self.write("txsessions keys 2\n")
        self.refused("version 2")
        self.write(GOOD + "#" * keyfile.MAX_FILE)
        self.refused("larger than")

    def test_oddPath(self) -> None:
        """
        A path that no file can have is a fault like any other.
        """
        self.path += "\0"
        self.refused("cannot be opened")
        error = self.assertRaises(KeyFileError, createKeyFile, self.path)
        self.assertIn("cannot be made", str(error))

    def test_unreadable(self) -> None:
        """
        A disk that fails is told.
        """
        self.write()
        with mock.patch.object(os, "fstat", side_effect=OSError(5, "EIO said")):
            self.refused("cannot be read (EIO said)")

    def test_descriptors(self) -> None:
        """
        No descriptor is left open, whatever happens.
        """
        before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
        self.test_read()
        self.test_mode()
        os.unlink(self.path)
        self.test_noFile()
        after = os.listdir("/proc/self/fd") if before else []
        self.assertEqual(len(after), len(before))


class CreateTests(SynchronousTestCase):
    """
    How the file comes about.
    """

    def setUp(self) -> None:
        """
        Make a directory for it.
        """
        self.folder = self.mktemp()
        os.makedirs(self.folder)
        self.path = os.path.join(self.folder, "keys")

    def test_created(self) -> None:
        """
        It holds one key, only its owner can read it, and nothing else is left.
        """
        self.addCleanup(os.umask, os.umask(0))
        ring = createKeyFile(self.path)
        self.assertEqual(ring.others, ())
        self.assertEqual(readKeyFile(self.path), ring)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(os.stat(self.path).st_nlink, 1)
        self.assertEqual(os.listdir(self.folder), ["keys"])

    def test_bare(self) -> None:
        """
        A path without a directory is one in the current directory.
        """
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.assertEqual(createKeyFile("keys"), readKeyFile("keys"))

    def test_there(self) -> None:
        """
        What is there stays as it is, be it a link that leads nowhere.
        """
        ring = createKeyFile(self.path)
        self.assertRaises(FileExistsError, createKeyFile, self.path)
        self.assertEqual(readKeyFile(self.path), ring)
        link = os.path.join(self.folder, "link")
        os.symlink("nowhere", link)
        self.assertRaises(FileExistsError, createKeyFile, link)
        self.assertEqual(sorted(os.listdir(self.folder)), ["keys", "link"])

    def test_inTheWay(self) -> None:
        """
        A link that somebody laid where the draft goes is not followed.
        """
        victim = os.path.join(self.folder, "victim")
        with open(victim, "w") as made:
            made.write("precious")
        os.symlink("victim", f"{self.path}.{SECRETS[0][:8].hex()}.new")
        self.assertRaises(
            FileExistsError, createKeyFile, self.path, lambda count: SECRETS[0][:count]
        )
        with open(victim) as opened:
            self.assertEqual(opened.read(), "precious")
        self.assertFalse(os.path.lexists(self.path))

    def test_synced(self) -> None:
        """
        The key is on the disk before its name is, and then the name too.
        """
        seen = []
        sync, link = os.fsync, os.link

        def fsync(fd: int) -> None:
            """
            Note what is synced.
            """
            mode = os.fstat(fd).st_mode
            seen.append("directory" if stat.S_ISDIR(mode) else os.fstat(fd).st_size)
            sync(fd)

        def linking(source: str, target: str) -> None:
            """
            Note when the name appears.
            """
            seen.append("link")
            link(source, target)

        with (
            mock.patch.object(os, "fsync", fsync),
            mock.patch.object(os, "link", linking),
        ):
            createKeyFile(self.path)
        self.assertEqual(seen, [os.stat(self.path).st_size, "link", "directory"])

    def test_failures(self) -> None:
        """
        A fault on the way is told, and leaves nothing behind.
        """
        for name in ("fsync", "link"):
            with mock.patch.object(os, name, side_effect=OSError(28, "No space")):
                error = self.assertRaises(KeyFileError, createKeyFile, self.path)
            self.assertIn("cannot be made (No space)", str(error))
            self.assertEqual(os.listdir(self.folder), [])
        gone = os.path.join(self.folder, "gone", "keys")
        error = self.assertRaises(KeyFileError, createKeyFile, gone)
        self.assertIn("No such file", str(error))

    def test_poorEntropy(self) -> None:
        """
        A source that gives what is no key makes no file.
        """
        for words, secret in UNFIT.items():
            error = self.assertRaises(
                KeyFileError, createKeyFile, self.path, lambda _, s=secret: s
            )
            self.assertIn(words, str(error))
            self.assertEqual(os.listdir(self.folder), [])

    def test_firstRun(self) -> None:
        """
        The first run makes it, the next reads it; where it should be there
        already its absence is a fault.
        """
        self.assertRaises(KeyFileError, readOrCreateKeyFile, self.path, False)
        self.assertEqual(os.listdir(self.folder), [])
        ring = readOrCreateKeyFile(self.path, True)
        for mayCreate in (True, False):
            self.assertEqual(readOrCreateKeyFile(self.path, mayCreate), ring)

    def test_race(self) -> None:
        """
        Of two processes that start at once, the later one takes the key of the
        first.
        """
        first: list[KeyRing] = []

        def entropy(count: int) -> bytes:
            """
            Let the other process make the file meanwhile.
            """
            if not first:
                first.append(createKeyFile(self.path))
            return os.urandom(count)

        ring = readOrCreateKeyFile(self.path, True, entropy)
        self.assertEqual([ring], first)
        self.assertEqual(os.listdir(self.folder), ["keys"])
