"""
Kills and power cuts, full and broken disks.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile

from msgspec.structs import replace as evolve
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest

from tests.stores import traces
from tests.stores.faults import FaultTestCase, inChild
from tests.stores.stepping import NOW, Stage, record
from txsessions.errors import StoreUnavailable
from txsessions.stores import _sqlite_files

CAN_TRACE = traces.canTrace()


def needsStrace(method):
    """
    Skip a test where there is no strace.
    """
    if not CAN_TRACE:
        method.skip = "strace is not there, or may not be used"
    return method


class CrashTests(FaultTestCase):
    """
    Deaths of the process, and of the machine.
    """

    changed = evolve(record(), version=2, payload=b"changed " * 900)

    def keep(self) -> None:
        """
        Have one session in the database.
        """
        stage = self.stage()
        stage.result(self, stage.store.insert(record(), NOW))
        self.close(stage)

    def after(self, files: dict[str, bytearray]) -> object:
        """
        See what the next process finds in these files.
        """
        path = self.place()
        traces.Disk.put(files, os.path.dirname(path))
        return self.look(["one"], path)["one"]

    @needsStrace
    def test_killedAtAnyStepOfACommit(self) -> None:
        """
        At whichever system call of a commit, a checkpoint and a close the
        process dies: the session is whole, as before or as after, and as after
        once the commit was acknowledged.
        """
        self.keep()
        steps, disk = self.traced("commit")
        seen = []
        acknowledged = False
        for step in traces.states(self.path, steps, disk):
            acknowledged = acknowledged or step.data == b"replace ok\n"
            found = self.after(disk.cache)
            self.assertIn(found, (record(), self.changed), step)
            if acknowledged:
                self.assertEqual(found, self.changed, step)
            seen.append(found)
        self.assertTrue(acknowledged)
        self.assertGreater(seen.count(record()), 5)
        self.assertGreater(seen.count(self.changed), 5)

    @needsStrace
    def test_powerCutAtAnyStepOfACommit(self) -> None:
        """
        The same where the machine dies, and the disk has only what was synced:
        the acknowledgement comes after the sync.
        """
        self.keep()
        steps, disk = self.traced("commit")
        acknowledged = False
        for step in traces.states(self.path, steps, disk):
            acknowledged = acknowledged or step.data == b"replace ok\n"
            found = self.after(disk.synced)
            self.assertIn(found, (record(), self.changed), step)
            if acknowledged:
                self.assertEqual(found, self.changed, step)
        self.assertTrue(acknowledged)

    @needsStrace
    def test_killedAtAnyStepOfTheFirstOpening(self) -> None:
        """
        A database that was made by halves is finished by the next process.
        """
        steps, disk = self.traced("create")
        count = 0
        for _ in traces.states(self.path, steps, disk):
            path = self.place()
            traces.Disk.put(disk.cache, os.path.dirname(path))
            self.assertIn(self.look(["one"], path)["one"], (None, record()))
            count += 1
        self.assertGreater(count, 15)

    @needsStrace
    def test_reallyKilled(self) -> None:
        """
        The replay above is not all: some real deaths, with all they leave.
        """
        self.keep()
        for inject in ("pwrite64:signal=KILL:when=13", "fdatasync:signal=KILL:when=2"):
            said = traces.run("commit", self.path, inject)
            self.assertEqual(said, [], inject)
            left = os.listdir(os.path.dirname(self.path))
            self.assertIn("sessions.sqlite-wal", left, inject)
            found = self.look(["one"])["one"]
            self.assertIn(found, (record(), self.changed), inject)
            if found != record():
                self.path = self.place()
                self.keep()

    @needsStrace
    def test_normalSyncsWhatIsFinal(self) -> None:
        """
        With durability normal a plain change is not synced, a logout is, before
        it is acknowledged.
        """
        trace = self.mktemp()
        traces.run("normal", self.path, trace=trace)
        names = [
            (step.name, step.data)
            for step in traces.read(trace)
            if step.path in (f"{self.path}-wal", f"{traces.MARK}delete")
            or step.data.startswith(b"delete")
        ]
        begin = names.index(("stat", b""))
        end = names.index(("write", b"delete True\n"))
        before = [name for name, _ in names[:begin]]
        self.assertIn("pwrite64", before)
        last = len(before) - before[::-1].index("fdatasync")
        self.assertGreater(before[last:].count("pwrite64"), 6)
        between = [name for name, _ in names[begin:end]]
        self.assertEqual(between[-1], "fdatasync")
        self.assertIn("pwrite64", between)

    def test_killedWhileCounting(self) -> None:
        """
        What was acknowledged before C{kill -9} is there, and at most one commit
        more.
        """
        for turn in range(3):
            path = self.place()
            command = [sys.executable, "-m", "tests.stores.child", "count", path]
            child = subprocess.Popen(
                command, stdout=subprocess.PIPE, env=traces.environment()
            )
            told: dict[str, int] = {}
            with child:
                for count, line in enumerate(child.stdout):
                    if count == 200 + turn * 77:
                        child.kill()
                    name, version = line.decode().split()
                    told[name] = int(version)
            self.assertEqual(child.returncode, -signal.SIGKILL)
            self.assertEqual(len(told), 8)
            for name, found in self.look(told, path).items():
                self.assertIn(found.version, (told[name], told[name] + 1))
                self.assertEqual(found.payload, name.encode() * 100)


class DiskTests(FaultTestCase):
    """
    Full and broken disks.
    """

    def outcomes(self, inject: str) -> dict[str, str]:
        """
        Run ten inserts, a logout and a read, with faults; check that what was
        acknowledged is there, and nothing unknown but what failed.
        """
        path = self.place()
        said = traces.run("steps", path, inject)
        told = dict(line.rsplit(" ", 1) for line in said)
        self.assertEqual(len(told), 14, said)
        names = [f"{n}" for n in range(10)]
        for name, found in self.look(names, path).items():
            outcome = told[f"insert {name}"]
            if name == "0" and told["delete"] == "True":
                self.assertIsNone(found)
            elif outcome == "ok":
                self.assertEqual(found, record(name))
            else:
                self.assertEqual(outcome, "StoreUnavailable")
                self.assertIn(found, (None, record(name)))
        return told

    @needsStrace
    def test_syncFails(self) -> None:
        """
        A failed sync is never success; the next write works, without a restart.
        """
        told = self.outcomes("fdatasync:error=EIO:when=6")
        values = list(told.values())
        self.assertEqual(values.count("StoreUnavailable"), 1, told)
        self.assertEqual(told["delete"], "True")
        self.assertEqual(told["insert 9"], "ok")

    @needsStrace
    def test_afterAFailedSyncAllIsOpenedAnew(self) -> None:
        """
        The connection whose sync failed is not used again.
        """
        opened = []
        for inject in ("fdatasync:error=EIO:when=400", "fdatasync:error=EIO:when=6"):
            path = self.place()
            trace = self.mktemp()
            command = [
                *(traces.STRACE, "-f", "-qq", "-o", trace, "-P", path),
                *("-P", f"{path}-wal", "-e", "trace=openat,fdatasync"),
                *("-e", f"inject={inject}"),
                *(sys.executable, "-m", "tests.stores.child", "steps", path),
            ]
            subprocess.run(
                command, env=traces.environment(), capture_output=True, check=True
            )
            with open(trace) as file:
                opened.append(sum("openat" in line for line in file))
        self.assertGreaterEqual(opened[1], opened[0] + 1)

    @needsStrace
    def test_writeFails(self) -> None:
        """
        The same for a failed write.
        """
        told = self.outcomes("pwrite64:error=EIO:when=60")
        values = list(told.values())
        self.assertEqual(values.count("StoreUnavailable"), 1, told)
        self.assertEqual(told["delete"], "True")

    @needsStrace
    def test_noSpaceAnyMore(self) -> None:
        """
        On a full disk writes are unavailable and reads go on.
        """
        told = self.outcomes("pwrite64:error=ENOSPC:when=60+")
        self.assertEqual(told["insert 9"], "StoreUnavailable")
        self.assertEqual(told["insert 0"], "ok")
        self.assertEqual(told["load"], "1")

    @needsStrace
    def test_readFails(self) -> None:
        """
        A failed read says that the store is broken (SQLite calls some of them
        damage): it is never absence, never an exception of another kind.
        """
        seen = set()
        for when in (1, 5, 12, 16):
            path = self.place()
            said = traces.run("steps", path, f"pread64:error=EIO:when={when}+")
            told = dict(line.rsplit(" ", 1) for line in said)
            broken = {"StoreUnavailable", "StoreCorrupt"}
            self.assertLessEqual(set(told.values()), {"ok", "True", "1"} | broken, said)
            self.assertIn(told["load"], {"1"} | broken)
            seen |= set(told.values())
        self.assertTrue(seen & broken)

    def test_aLimitOnMemory(self) -> None:
        """
        Where there is no memory for a large session it is neither written nor read,
        which is no answer and no crash; small ones go on, and so does a logout.
        """
        self.assertEqual(
            traces.run("hunger", self.path),
            [
                *["insert ok"] * 2,
                "write StoreUnavailable True",
                "read StoreUnavailable True",
                *["load 1"] * 3,
                "delete True",
                "insert ok",
                "close ok",
            ],
        )
        found = self.look(["1", "2", "big"])
        self.assertIsNone(found["1"])
        self.assertEqual(found["2"], record("2"))
        self.assertEqual(len(found["big"].payload), 60_000)

    def test_aLimitOnTheSizeOfFiles(self) -> None:
        """
        Where files may not grow: a large session is refused, a logout succeeds,
        reads go on, and all is well when they may grow again.
        """
        said = traces.run("starve", self.path)
        self.assertEqual(
            said,
            [
                *["insert ok"] * 3,
                "big StoreUnavailable",
                "load 1",
                "big StoreUnavailable",
                "delete True",
                "big ok",
                "close ok",
            ],
        )
        found = self.look(["0", "1", "big"])
        self.assertIsNone(found["0"])
        self.assertEqual(found["1"], record("1"))

    def mount(self) -> str:
        """
        Mount a very small disk.

        @return: Where.
        """
        where = os.path.realpath(self.mktemp())
        os.makedirs(where)
        command = ["mount", "-t", "tmpfs", "-o", "size=256k", "txsessions", where]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise SkipTest("no file system can be mounted here") from None
        self.addCleanup(lambda: subprocess.run(["umount", "-l", where], check=True))
        return where

    def test_aFullDisk(self) -> None:
        """
        A disk of 256 kB: inserts until it is full; then reads go on, a logout is
        done or says that it is not, and all is well when there is room again.
        """
        where = self.mount()
        ballast = os.path.join(where, "ballast")
        with open(ballast, "wb") as file:
            file.write(bytes(65536))
        stage = self.stage(os.path.join(where, "sessions.sqlite"))
        store = stage.store
        kept = []
        for n in range(100):
            each = record(f"{n}", payload=b"x" * 5000)
            if self.outcome(stage, store.insert(each, NOW)) is not None:
                break
            kept.append(each)
        self.assertGreater(len(kept), 2)
        self.assertLess(len(kept), 60)
        deleted = self.outcome(stage, store.delete(kept[0].key))
        for each in kept[1:]:
            found = self.successResultOf(store.load(each.key, NOW))
            self.assertEqual(found, each)
        found = self.successResultOf(store.load(kept[0].key, NOW))
        self.assertEqual(found, None if deleted is True else kept[0])
        os.unlink(ballast)
        for each in kept[1:]:
            self.assertTrue(stage.result(self, store.delete(each.key)))
        stage.result(self, store.insert(record("new"), NOW))
        self.close(stage)

    def outcome(self, stage: Stage, deferred: Deferred) -> object:
        """
        What a write gave: a value, or the type of a store's error.
        """
        stage.run()
        outcome: list[object] = []
        deferred.addBoth(outcome.append)
        if isinstance(outcome[0], Failure):
            return outcome[0].trap(StoreUnavailable)
        return outcome[0]

    def test_aReadOnlyDisk(self) -> None:
        """
        On a read-only file system a store refuses to open and says why; one that
        is open goes on reading.
        """
        where = self.mount()
        path = os.path.join(where, "sessions.sqlite")
        stage = self.stage(path)
        stage.result(self, stage.store.insert(record(), NOW))
        self.close(stage)
        subprocess.run(["mount", "-o", "remount,ro", where], check=True)
        stage = Stage(path)
        error = stage.failure(self, stage.store.open(), StoreUnavailable)
        self.assertIn("cannot be written by this process", str(error))

    def test_aReadOnlyFile(self) -> None:
        """
        A database of mode 0444 is refused, also by root, and its mode is told.
        """
        self.close(self.stage())
        os.chmod(self.path, 0o444)
        stage = Stage(self.path)
        error = stage.failure(self, stage.store.open(), StoreUnavailable)
        self.assertIn("0444", str(error))
        self.assertIn(self.path, str(error))

    def test_aDirectoryOfOthers(self) -> None:
        """
        A directory that cannot be written, or made, is refused.
        """
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        os.chmod(directory, 0o555)

        def prepare() -> str:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            said = []
            for name in ("x.sqlite", os.path.join("more", "x.sqlite")):
                try:
                    _sqlite_files.prepare(os.path.join(directory, name))
                except StoreUnavailable as error:
                    said.append(str(error))
            return "\n".join(said)

        said = inChild(prepare).splitlines()
        self.assertEqual(len(said), 2, said)
        self.assertIn("directory of its own", said[0])
        self.assertIn("cannot be made", said[1])
