"""
Tests of C{python -m txsessions.keys}.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.crash.nursery import environment
from txsessions.core.keyfile import createKeyFile, readKeyFile
from txsessions.core.keyring import KeyRing
from txsessions.core.principals import PrincipalHashes
from txsessions.core.record import Record
from txsessions.core.seal import Sealer, keyIdOf
from txsessions.errors import ConfigurationError
from txsessions.keys import _checkDatabase, countRecords, main
from txsessions.stores.memory import MemoryStore
from txsessions.stores.sqlite import SQLiteStore


class CommandTests(SynchronousTestCase):
    """
    The steps that need no store.
    """

    def setUp(self):
        """
        Make a key file.
        """
        self.path = self.mktemp()
        self.first = createKeyFile(self.path).active

    def run_(self, *arguments):
        """
        Run the command.

        @return: Its exit status, and what it said.
        """
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(errors):
            status = main(arguments, out)
        said = out.getvalue() + errors.getvalue()
        secret = Path(self.path).read_bytes().split()[-1].decode()
        self.assertNotIn(secret, said)
        return status, said

    def test_rotation(self):
        """
        Each step says what the keys are afterwards, and what is next.
        """
        first = self.first.id.hex()
        status, said = self.run_("add", self.path)
        self.assertEqual(status, 0)
        ring = readKeyFile(self.path)
        (second,) = ring.others
        self.assertEqual(ring.active, self.first)
        self.assertEqual(said.splitlines()[0], f"{first} active")
        self.assertEqual(said.splitlines()[1], f"{second.id.hex()} next")
        self.assertRegex(said.splitlines()[2], "^next: restart each process.*promote$")
        status, said = self.run_("promote", self.path)
        self.assertEqual(status, 0)
        self.assertEqual(readKeyFile(self.path).active, second)
        self.assertRegex(said, "next: restart each process.*retire\n")
        status, said = self.run_("retire", "--without-counting", self.path)
        self.assertEqual(status, 0)
        self.assertEqual(readKeyFile(self.path), KeyRing(active=second))
        self.assertEqual(self.run_("show", self.path), (0, said))

    def test_new(self):
        """
        A file is made where there is none.
        """
        path = self.mktemp()
        status, said = self.run_("new", path)
        self.assertEqual(status, 0)
        active = readKeyFile(path).active
        self.assertIn(f"{active.id.hex()} active\n", said)
        self.assertNotIn(active.secret.hex(), said)
        status, said = self.run_("new", path)
        self.assertEqual(status, 1)
        self.assertIn("is there already", said)
        self.assertEqual(readKeyFile(path).active, active)

    def test_refused(self):
        """
        What would log people out is refused, with what to do.
        """
        for words, arguments in (
            ("add one", ["promote"]),
            ("give the address of the store", ["retire"]),
            ("no old key", ["retire", "--without-counting"]),
        ):
            status, said = self.run_(arguments[0], self.path, *arguments[1:])
            self.assertEqual(status, 1)
            self.assertIn(words, said)
        self.assertEqual(readKeyFile(self.path), KeyRing(active=self.first))

    def test_revoke(self):
        """
        To revoke a key has to be meant.
        """
        self.run_("add", self.path)
        self.run_("promote", self.path)
        name = self.first.id.hex()
        status, said = self.run_("revoke", self.path, name)
        self.assertEqual(status, 1)
        self.assertIn("logs out", said)
        self.assertIn("--end-sessions", said)
        status, _ = self.run_("revoke", self.path, name, "--end-sessions")
        self.assertEqual(status, 0)
        self.assertEqual(readKeyFile(self.path).revoked, {self.first.id})

    def test_help(self):
        """
        The help teaches the order of the steps.
        """
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertRaises(SystemExit, main, ["--help"])
        order = ("1. add", "2. promote", "3. count", "4. retire")
        places = [out.getvalue().index(words) for words in order]
        self.assertEqual(places, sorted(places))

    def test_store(self):
        """
        No database is made by looking for one, and somebody else's is left alone.
        """
        missing = self.mktemp()
        status, said = self.run_("count", f"sqlite:{missing}", self.path)
        self.assertEqual(status, 1)
        self.assertIn("there is no database at", said)
        self.assertFalse(os.path.exists(missing))
        Path(missing).write_bytes(b"")
        other = os.geteuid() + 1
        with mock.patch.object(os, "geteuid", lambda: other):
            error = self.assertRaises(ConfigurationError, _checkDatabase, missing)
        self.assertIn(f"belongs to user {other - 1}", str(error))
        status, said = self.run_("count", "nonsense", self.path)
        self.assertEqual(status, 1)
        self.assertIn("good store addresses are", said)


def makeRecord(number, sealer, expiresAt=100.0):
    """
    Make a record under the active key of a sealer.
    """
    key = number.to_bytes(32, "big")
    return Record(
        key=key,
        version=1,
        createdAt=0.0,
        touchedAt=0.0,
        expiresAt=expiresAt,
        payload=sealer.seal(key, 1, b"state"),
    )


class CountTests(SynchronousTestCase):
    """
    How many sessions are under each key.
    """

    def setUp(self):
        """
        Have two keys.
        """
        self.rings = [KeyRing.random(os.urandom) for _ in range(2)]
        self.sealers = [Sealer(ring, b"") for ring in self.rings]
        self.ids = [ring.active.id.hex() for ring in self.rings]

    def test_counted(self):
        """
        Those that are alive, over all pages; what was not sealed here is none.
        """
        store = MemoryStore()
        self.successResultOf(store.open())
        for number in range(250):
            record = makeRecord(number, self.sealers[number % 5 == 0])
            self.successResultOf(store.insert(record, 0.0))
        dead = makeRecord(250, self.sealers[0], 10.0)
        probe = evolve(makeRecord(251, self.sealers[0]), payload=b"probe" * 20)
        for record in (dead, probe):
            self.successResultOf(store.insert(record, 0.0))
        counted = Deferred.fromCoroutine(countRecords(store, 50.0))
        self.assertEqual(
            dict(self.successResultOf(counted)), {self.ids[0]: 200, self.ids[1]: 50}
        )

    def test_keyId(self):
        """
        A payload says itself under which key it was sealed.
        """
        payload = makeRecord(1, self.sealers[0]).payload
        self.assertEqual(keyIdOf(payload), self.rings[0].active.id)
        for odd in (b"", payload[:30], b"\x02" + payload[1:]):
            self.assertIsNone(keyIdOf(odd))


class ProcessTests(TestCase):
    """
    The command as operators run it, on a database.
    """

    async def setUp(self):
        """
        Make a database with a record under a key that is old by now.
        """
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.keys = self.folder / "sessions.key"
        self.first = createKeyFile(str(self.keys))
        self.step("add")
        self.step("promote")
        await fill(str(self.folder / "sessions.sqlite"), str(self.keys))

    def step(self, name, *more):
        """
        Take a step that needs no store.
        """
        self.assertEqual(main([name, str(self.keys), *more], io.StringIO()), 0)

    def run_(self, *arguments, status=0):
        """
        Run the command in the folder.

        @return: What it said.
        """
        done = subprocess.run(
            [sys.executable, "-m", "txsessions.keys", *arguments],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def test_count(self):
        """
        It counts by key, also those of keys that are not in the file; a key with
        records is not retired, and one without is.
        """
        address = "sqlite:sessions.sqlite"
        old = self.first.active.id.hex()
        said = self.run_("count", address, "sessions.key").splitlines()
        ring = readKeyFile(str(self.keys))
        self.assertEqual(said[0], f"{old} old 2")
        self.assertEqual(said[1], f"{ring.active.id.hex()} active 1")
        self.assertRegex(said[2], "^[0-9a-f]{16} not-in-this-file 1$")
        said = self.run_("retire", address, "sessions.key", status=1)
        self.assertIn("that 2 records are under", said)
        self.assertNotIn("Traceback", said)
        self.assertEqual(readKeyFile(str(self.keys)), ring)
        self.step("add")
        self.step("promote")
        self.step("revoke", old, "--end-sessions")
        said = self.run_("retire", address, "sessions.key", status=1)
        self.assertIn("that 3 records are under", said)
        owners = {path.stat().st_uid for path in self.folder.iterdir()}
        self.assertEqual(owners, {os.geteuid()})

    async def test_end(self):
        """
        It ends the sessions of everybody who is signed in under any key of the file, on
        the site that is named, says how many there were, and changes no key.
        """
        await signIn(str(self.folder / "sessions.sqlite"), str(self.keys))
        address, before = "sqlite:sessions.sqlite", self.keys.read_bytes()
        for name, there, left in (
            ((), 8, 6),
            (("--site-name", "other"), 6, 6),
            (("--site-name", "é"), 6, 5),
            (("--site-name", b"\xff"), 5, 4),
        ):
            said = self.run_("end", address, "sessions.key", *name)
            self.assertTrue(
                said.startswith(f"sessions before: {there}, and after: {left},")
            )
        self.assertEqual(self.keys.read_bytes(), before)
        said = self.run_("end", "sqlite:missing", "sessions.key", status=1)
        self.assertIn("there is no database at", said)
        self.assertNotIn("Traceback", said)


async def fill(path, keys):
    """
    Put two records under the old key into a database, one under the active one, and
    one under another.
    """
    ring = readKeyFile(keys)
    store = SQLiteStore(path)
    await store.open()
    for number, key in enumerate([ring.others[0], ring.others[0], ring.active, None]):
        own = KeyRing.random(os.urandom) if key is None else KeyRing(active=key)
        await store.insert(makeRecord(number, Sealer(own, b""), 1e11), 0.0)
    await store.close()


async def signIn(path, keys):
    """
    Have somebody signed in under each key, and on two other sites.
    """
    ring = readKeyFile(keys)
    store = SQLiteStore(path)
    await store.open()
    names = [(b"", 0), (b"", 1), ("é".encode(), 0), (b"\xff", 0)]
    for number, (name, key) in enumerate(names, 4):
        who = PrincipalHashes(ring, name).all("ann")[key]
        record = makeRecord(number, Sealer(ring, name), 1e11)
        handle = number.to_bytes(16, "big")
        await store.insert(evolve(record, principal=who, handle=handle), 0.0)
    await store.close()
