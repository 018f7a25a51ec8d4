"""
Tests for L{txsessions.core.keysteps}, and for how a key file is changed.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import stat
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_keyring import SECRETS, key
from txsessions.core import keyfile, keysteps
from txsessions.core.keyfile import changeKeyFile, parseKeyFile, readKeyFile
from txsessions.errors import ConfigurationError, KeyFileError

HEX = [secret.hex() for secret in SECRETS]
IDS = [key(number).id.hex() for number in range(len(SECRETS))]
FIRST = f"txsessions keys 1\n# for the shop\nactive {HEX[0]}\n".encode()


class StepTests(SynchronousTestCase):
    """
    What becomes of the text.
    """

    def refused(self, words, step, text, *more):
        """
        Check that a step is refused, with what to do and without the keys.
        """
        error = self.assertRaises(KeyFileError, step, text, "/etc/keys", *more)
        said = str(error)
        self.assertIn("'/etc/keys'", said)
        self.assertIn(words, said)
        for secret in HEX:
            self.assertNotIn(secret[:16], said)

    def states(self, text):
        """
        The states of the keys, by their ids.
        """
        return {each.id: each.state for each in keysteps.listKeys(text, "x")}

    def test_rotation(self):
        """
        The whole way: after each step the ring opens what the one before it or after
        it seals, and what is next is told; comments stay.
        """
        self.assertIn("add", keysteps.nextStep(FIRST, "x"))
        added = keysteps.addNext(FIRST, "x", SECRETS[1])
        self.assertEqual(self.states(added), {IDS[0]: "active", IDS[1]: "next"})
        self.assertRegex(keysteps.nextStep(added, "x"), "restart.*promote")
        promoted = keysteps.promote(added, "x")
        self.assertEqual(self.states(promoted), {IDS[0]: "old", IDS[1]: "active"})
        self.assertRegex(keysteps.nextStep(promoted, "x"), "restart.*retire")
        retired = keysteps.retire(promoted, "x", {IDS[1]: 5})
        self.assertEqual(self.states(retired), {IDS[1]: "active"})
        rings = [parseKeyFile(t, "x") for t in (FIRST, added, promoted, retired)]
        for one, two in itertools.pairwise(rings):
            if two is not rings[-1]:
                # By then nothing is under the key that is dropped.
                self.assertTrue(two.get(one.active.id))
            self.assertTrue(one.get(two.active.id))
        for text in (added, promoted, retired):
            self.assertIn(b"# for the shop\n", text)
            self.assertTrue(text.endswith(b"\n"))

    def test_untouched(self):
        """
        Lines that a step is not about stay as they are, odd spaces and all.
        """
        text = FIRST + f"  old\t{HEX[2].upper()}  \n\n# the end".encode()
        added = keysteps.addNext(text, "x", SECRETS[1])
        self.assertEqual(added, text + f"\nnext {HEX[1]}\n".encode())
        promoted = keysteps.promote(added, "x")
        self.assertIn(f"  old\t{HEX[2].upper()}  \n\n# the end\n".encode(), promoted)

    def test_add(self):
        """
        There is one next key at most, and it must be a fit one that is new.
        """
        added = keysteps.addNext(FIRST, "x", SECRETS[1])
        self.refused("promote that one", keysteps.addNext, added, SECRETS[2])
        self.assertRaises(ConfigurationError, keysteps.addNext, FIRST, "x", bytes(32))

    def test_promote(self):
        """
        A key that others cannot know yet is not promoted.
        """
        self.refused("no next key: add one", keysteps.promote, FIRST)
        two = FIRST + f"next {HEX[1]}\nnext {HEX[2]}\n".encode()
        self.refused("2 next keys: leave one", keysteps.promote, two)

    def test_retire(self):
        """
        Keys under which there are records stay; if all do, that is refused.
        """
        self.refused("no old key", keysteps.retire, FIRST, {})
        text = FIRST + f"old {HEX[1]}\nold {HEX[2]}\nrevoked {HEX[3]}\n".encode()
        all_ = {IDS[1]: 2, IDS[2]: 3, IDS[3]: 1}
        self.refused("that 6 records are under", keysteps.retire, text, all_)
        one = FIRST + f"old {HEX[1]}\n".encode()
        self.refused("that 1 record is under", keysteps.retire, one, {IDS[1]: 1})
        some = keysteps.retire(text, "x", {IDS[2]: 1})
        self.assertEqual(self.states(some), {IDS[0]: "active", IDS[2]: "old"})

    def test_revoke(self):
        """
        Any key but the active one.
        """
        text = FIRST + f"old {HEX[1]}\nnext {HEX[2]}\n".encode()
        self.refused("has no key 00: its keys are", keysteps.revoke, text, "00")
        self.refused("seals with that key", keysteps.revoke, text, IDS[0])
        for number in (1, 2):
            text = keysteps.revoke(text, "x", IDS[number])
        ring = parseKeyFile(text, "x")
        self.assertEqual(ring.revoked, {key(1).id, key(2).id})
        self.assertEqual(ring.keys, (key(0),))

    def test_malformed(self):
        """
        A file that is not as it should be is not changed.
        """
        for step, more in (
            (keysteps.addNext, [SECRETS[1]]),
            (keysteps.promote, []),
            (keysteps.retire, [{}]),
            (keysteps.revoke, [IDS[0]]),
            (keysteps.nextStep, []),
        ):
            self.refused("has in line 4", step, FIRST + b"nonsense\n", *more)


class ChangeTests(SynchronousTestCase):
    """
    How the file is changed.
    """

    def setUp(self):
        """
        Make one.
        """
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        self.path = os.path.join(self.folder, "keys")
        with open(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(FIRST)

    def add(self, path=None):
        """
        Add a key.
        """
        changeKeyFile(
            path or self.path, lambda text: keysteps.addNext(text, "x", SECRETS[1])
        )

    def assertUnchanged(self):
        """
        It is as it was, and nothing is left beside it.
        """
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), FIRST)
        self.assertEqual(os.listdir(self.folder), ["keys"])

    def test_changed(self):
        """
        The new file is there under the old name, for nobody else to read.
        """
        before = os.stat(self.path).st_ino
        self.add()
        self.assertEqual(readKeyFile(self.path).others, (key(1),))
        found = os.stat(self.path)
        self.assertEqual(stat.S_IMODE(found.st_mode), 0o600)
        self.assertNotEqual(found.st_ino, before)
        self.assertEqual(os.listdir(self.folder), ["keys"])

    def test_modeAndGroup(self):
        """
        Who could read it can read it.
        """
        os.chmod(self.path, 0o400)
        if os.geteuid() == 0:
            os.chown(self.path, -1, 12345)
        group = os.stat(self.path).st_gid
        self.add()
        found = os.stat(self.path)
        self.assertEqual((stat.S_IMODE(found.st_mode), found.st_gid), (0o400, group))

    def test_order(self):
        """
        It is on the disk before it gets its name, and the name before that is told.
        """
        done = []
        fsync, replace = os.fsync, os.replace

        def isDirectory(fd):
            return stat.S_ISDIR(os.fstat(fd).st_mode)

        def sync(fd):
            done.append("directory" if isDirectory(fd) else "file")
            fsync(fd)

        def rename(*names):
            done.append("rename")
            replace(*names)

        with (
            mock.patch.object(os, "fsync", sync),
            mock.patch.object(os, "replace", rename),
        ):
            self.add()
        self.assertEqual(done, ["file", "rename", "directory"])

    def test_link(self):
        """
        A symbolic link goes on to lead to the file.
        """
        link = os.path.join(self.mktemp())
        os.symlink(os.path.abspath(self.path), link)
        self.add(link)
        self.assertTrue(os.path.islink(link))
        self.assertEqual(readKeyFile(self.path).others, (key(1),))

    def test_refused(self):
        """
        A step that is refused leaves the file as it is; so does one that makes
        nonsense of it.
        """
        self.assertRaises(
            KeyFileError,
            changeKeyFile,
            self.path,
            lambda text: keysteps.promote(text, "x"),
        )
        self.assertUnchanged()
        error = self.assertRaises(KeyFileError, changeKeyFile, self.path, lambda _: b"")
        self.assertIn("is empty", str(error))
        self.assertUnchanged()

    def test_cannotBeWritten(self):
        """
        A full disk leaves the file as it is, and nothing beside it.
        """
        for name in ("fsync", "replace"):
            broken = mock.Mock(side_effect=OSError(28, "No space left on device"))
            with mock.patch.object(os, name, broken):
                error = self.assertRaises(KeyFileError, self.add)
            self.assertIn("cannot be changed (No space left on device)", str(error))
            self.assertUnchanged()

    def test_twoAtOnce(self):
        """
        Who comes while somebody else changes it is told so, also where the file is
        another one by then.
        """
        with open(self.path, "rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            error = self.assertRaises(KeyFileError, self.add)
            self.assertIn("is being changed by somebody else", str(error))
        opened = keyfile._open(self.path)
        self.add()
        with mock.patch.object(keyfile, "_open", lambda path: opened):
            error = self.assertRaises(KeyFileError, self.add)
        self.assertIn("was changed just now", str(error))

    def test_owner(self):
        """
        Somebody else's file is left to him.
        """
        other = os.geteuid() + 1
        with mock.patch.object(os, "geteuid", lambda: other):
            error = self.assertRaises(KeyFileError, self.add)
        self.assertIn(f"belongs to user {other - 1}", str(error))
        self.assertUnchanged()

    def test_missing(self):
        """
        None is made.
        """
        error = self.assertRaises(KeyFileError, self.add, self.path + "2")
        self.assertIn("is missing", str(error))
        self.assertUnchanged()
