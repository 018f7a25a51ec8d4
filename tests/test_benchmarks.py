"""
The benchmarks: the application that is measured, the arithmetic, and one short run.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from http.client import HTTPConnection
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

import txsessions
from benchmarks import rounds
from benchmarks.alternatives import (
    ALL,
    BARE,
    KINDS,
    TARGETS,
    Alternative,
    Cell,
    chosen,
)
from benchmarks.counter import run
from benchmarks.counting import Counted, syncsIn
from benchmarks.figures import Book, Figure, Spread, judge, spreadOf
from benchmarks.generating import readWrk
from benchmarks.load import LoadFailed, Order, drive
from benchmarks.machine import CountFailed, main, render, totalIn
from benchmarks.placing import apart, confine
from benchmarks.serving import Server, ticksOf
from benchmarks.tables import show
from tests.served import ROOT, Program, Visitor

COUNTER = ROOT / "benchmarks" / "counter.py"


def environment():
    """
    An environment in which the txsessions under test is found.
    """
    packages = str(Path(txsessions.__file__).resolve().parent.parent)
    before = [p for p in [os.environ.get("PYTHONPATH")] if p]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([packages, *before])}


def cellOf(kind, mode="read", size=300, connections=32):
    """
    A cell, in short.
    """
    return Cell(alternative=Alternative(kind, mode), size=size, connections=connections)


def bookOf(**costs):
    """
    A book in which each alternative took these microseconds, round by round.
    """
    book = Book()
    for name, figures in costs.items():
        kind, _, mode = name.partition("_")
        bares = costs.get("bare", [None] * len(figures)) if kind != "bare" else []
        for cpu, bare in zip_longest(figures, bares):
            cell = cellOf(kind.replace("X", "-"), mode or "read")
            book.add(cell, Figure(cpu=cpu, rate=1e6 / cpu, bare=bare))
    return book


class CounterTests(TestCase):
    """
    The application, run by its path.
    """

    timeout = 60

    async def visit(self, kind, mode):
        """
        Visit it three times.
        """
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        program = Program.start(reactor, COUNTER, folder, kind, mode, "0")
        self.addCleanup(program.end)
        address = await program.ready
        visitor = Visitor(reactor)
        answers = [await visitor.get(address) for _ in range(3)]
        await program.end("TERM")
        return kind, mode, answers

    async def test_counts(self):
        """
        Each kind answers; written to, it counts, else it does not.
        """
        wanted = [(kind, "write") for kind in KINDS] + [("sqlite", "read")]
        found = await gatherResults([self.start(*each) for each in wanted])
        for kind, mode, answers in found:
            expected = ["1", "2", "3"] if mode == "write" else ["1", "1", "1"]
            if kind == "bare":
                expected = ["hello"] * 3
            self.assertEqual(answers, [(200, text) for text in expected], kind)

    def start(self, kind, mode):
        """
        Begin to visit.
        """
        return Deferred.fromCoroutine(self.visit(kind, mode))


class UsageTests(SynchronousTestCase):
    """
    Wrong command lines of the application.
    """

    def test_status(self):
        """
        It says how it is used, and its status is 2.
        """
        done = subprocess.run(
            [sys.executable, str(COUNTER), "flask", "read", "0"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 2)
        self.assertIn("usage: ", done.stderr)
        self.assertIn("sqlite-normal", done.stderr)

    def test_wrong(self):
        """
        Nothing is served where an argument is missing or wrong.
        """
        for arguments in (
            [],
            ["sqlite", "read"],
            ["sqlite", "delete", "0"],
            ["sqlite", "read", "http"],
            ["sqlite", "read", "-1"],
            ["sqlite", "read", "0", "0"],
        ):
            said = io.StringIO()
            self.patch(sys, "stderr", said)
            self.assertEqual(run(arguments, "it", self.fail), 2, arguments)
            self.assertIn("usage: ", said.getvalue())


class ChoosingTests(SynchronousTestCase):
    """
    Which alternatives are measured.
    """

    def test_all(self):
        """
        All of them, where nothing is said.
        """
        self.assertEqual(chosen(""), ALL)

    def test_some(self):
        """
        A kind means both modes; the order is always the same.
        """
        self.assertEqual(
            chosen("sqlite:write,memory,bare"),
            (
                BARE,
                Alternative("memory", "read"),
                Alternative("memory", "write"),
                Alternative("sqlite", "write"),
            ),
        )

    def test_none(self):
        """
        What there is not is an error.
        """
        for wrong in "flask", "sqlite:delete", "memory:", "bare:write":
            self.assertRaises(ValueError, chosen, wrong)


class ArithmeticTests(SynchronousTestCase):
    """
    What is made of the measurements.
    """

    def test_spread(self):
        """
        The median, the lowest and the highest.
        """
        self.assertEqual(spreadOf([3.0, 1.0, 9.0]), Spread(3.0, 1.0, 9.0))
        self.assertEqual(spreadOf([4.0, 1.0]), Spread(2.5, 1.0, 4.0))
        self.assertIsNone(spreadOf([]))

    def test_over(self):
        """
        Differences are taken within the rounds: a machine that was twice as slow
        in the second does not make them larger than they were in any.
        """
        book = bookOf(bare=[50, 100, 60], builtin=[55, 110, 65], memory=[60, 115, 75])
        self.assertEqual(book.over(cellOf("memory"), "bare"), Spread(15, 10, 15))
        self.assertEqual(book.over(cellOf("memory"), "builtin"), Spread(5, 5, 10))

    def test_overNothing(self):
        """
        Nothing is over itself, nor over what was not measured in its place, and
        bare is over nothing.
        """
        book = bookOf(bare=[50], builtin=[55], memory_write=[60])
        self.assertIsNone(book.over(cellOf("bare"), "bare"))
        self.assertIsNone(book.over(cellOf("bare"), "builtin"))
        self.assertIsNone(book.over(cellOf("builtin"), "builtin"))
        self.assertIsNone(book.over(cellOf("memory", "write"), "builtin"))
        book.add(cellOf("memory", size=3000), Figure(cpu=70, rate=1))
        self.assertIsNone(book.over(cellOf("memory", size=3000), "bare"))

    def verdicts(self, book):
        """
        What is said of each target.
        """
        return {
            str(target.alternative): judge(book, target).isReached for target in TARGETS
        }

    def test_targets(self):
        """
        A target is met up to and including its figure, by the median; memory's
        counts from the builtin in the same mode.  On a machine that is slower, a
        figure is as much more as bare takes there.
        """
        measured = {
            "bare": [64, 64, 64],
            "builtin": [69, 69, 69],
            "builtin_write": [74, 74, 74],
            "memory": [77, 77, 113],
            "memory_write": [83, 83, 75],
            "sqlite": [79, 79, 79],
            "sqlite_write": [139.5, 1, 999],
            "sqliteXnormal_write": [109, 1, 999],
        }
        for slower in (1, 2):
            times = {
                name: [slower * each for each in values]
                for name, values in measured.items()
            }
            self.assertEqual(
                self.verdicts(bookOf(**times)),
                {
                    "memory read": True,
                    "memory write": False,
                    "sqlite read": True,
                    "sqlite-normal read": None,
                    "sqlite-normal write": True,
                    "sqlite write": False,
                    "redis read": None,
                    "redis write": None,
                    "postgresql read": None,
                    "postgresql write": None,
                },
            )

    def test_inTurn(self):
        """
        Bare is measured between any two others, once, and what each took is compared
        with the mean of the two next to it, however slow the machine gets.
        """
        costs = iter([50, 65, 70, 120, 150])
        self.patch(
            rounds, "window", lambda server, order: Figure(cpu=next(costs), rate=1)
        )
        asked = [
            (SimpleNamespace(alternative=Alternative(kind, "read")), None)
            for kind in ("bare", "builtin", "memory")
        ]
        found = list(rounds.inTurn(asked))
        self.assertEqual(
            [(str(alternative), each.cpu, each.bare) for alternative, each in found],
            [
                ("bare", 50, None),
                ("bare", 70, None),
                ("builtin read", 65, 60),
                ("bare", 150, None),
                ("memory read", 120, 110),
            ],
        )
        costs = iter([65, 120])
        found = list(rounds.inTurn(asked[1:]))
        self.assertEqual([each.bare for _, each in found], [None, None])

    def test_scaled(self):
        """
        What it is over bare, were bare 64, within the rounds.
        """
        book = bookOf(bare=[50, 100, 60], sqlite=[60, 150, 63])
        self.assertEqual(book.scaled(cellOf("sqlite")), Spread(12.8, 3.2, 32))

    def test_targetsWithoutBase(self):
        """
        Without bare, or the builtin, nobody can tell.
        """
        verdicts = self.verdicts(bookOf(bare=[50], memory=[51], sqlite=[51]))
        self.assertIsNone(verdicts["memory read"])
        self.assertTrue(verdicts["sqlite read"])
        verdicts = self.verdicts(bookOf(builtin=[50], memory=[51], sqlite=[51]))
        self.assertEqual(set(verdicts.values()), {None})

    def test_ticks(self):
        """
        The processor time is read from behind the program's name, whatever that is.
        """
        fields = " ".join(str(number) for number in range(3, 40))
        self.assertEqual(ticksOf(f"1 (a) b (c) S{fields[1:]}"), 14 + 15)

    def test_syncs(self):
        """
        A sync that another thread's call cuts in two is one.
        """
        trace = (
            "7 fdatasync(9) = 0\n"
            "8 fsync(9 <unfinished ...>\n"
            "7 fdatasync(9) = 0\n"
            "8 <... fsync resumed>) = 0\n"
            "8 +++ exited with 0 +++\n"
        )
        self.assertEqual(syncsIn(trace), 3)


class TableTests(SynchronousTestCase):
    """
    How it looks.
    """

    def test_table(self):
        """
        Costs, differences, verdicts and counts stand where they belong.
        """
        book = bookOf(bare=[50, 52], builtin=[55, 57], memory=[75, 77], sqlite=[60, 62])
        counted = Counted(
            cell=cellOf("sqlite", "write", connections=1),
            syncs=1012,
            calls={"replace": 1000, "changes": 1000},
        )
        lines = [" ".join(line.split()) for line in show(book, [counted]).splitlines()]
        for line in (
            "State of 300 bytes, 32 connections",
            "bare 51.0 (50.0 to 52.0) - - 19,615 (19,231 to 20,000)",
            "memory read 76.0 (75.0 to 77.0) +25.0 +20.0 13,160 (12,987 to 13,333)",
            "memory read 31.4 (30.8 to 32.0) 14.3 (builtin + 8) MISSED by 17.1",
            "sqlite read 12.6 (12.3 to 12.8) 15.0 reached",
            "sqlite write - 75.0 not measured",
            "sqlite write 1 1,012 1,000 changes, 1,000 replace",
        ):
            self.assertIn(line, lines)

    def test_errors(self):
        """
        Requests that failed are told.
        """
        book = bookOf(bare=[50])
        self.assertNotIn("failed", show(book, []))
        book.add(cellOf("bare"), Figure(cpu=50, rate=1, errors=3))
        self.assertIn("3 requests failed", show(book, []))


class MachineTests(SynchronousTestCase):
    """
    The counting of instructions.
    """

    def test_total(self):
        """
        What C{valgrind} counted is found among what else it says.
        """
        said = "==7== Command: python\n==7== \n==7== I   refs:      1,234,567\n"
        self.assertEqual(totalIn(said), 1_234_567)
        self.assertRaises(CountFailed, totalIn, "==7== Command: python")

    def test_table(self):
        """
        What a session takes over bare, how many microseconds that is where bare takes
        as many as where the targets were set, and whether that meets them.
        """
        counts = {
            BARE: 320_000,
            Alternative("builtin", "read"): 360_000,
            Alternative("memory", "read"): 400_000,
            Alternative("memory", "write"): 400_000,
            Alternative("sqlite", "read"): 395_000,
            Alternative("redis", "write"): 500_000,
            Alternative("memory-store", "read"): 400_000,
        }
        lines = [" ".join(line.split()) for line in render(counts).splitlines()]
        self.assertEqual(
            lines[1:],
            [
                "bare 320.0",
                "builtin read 360.0 +40.0 8.0",
                "memory read 400.0 +80.0 16.0 16.0 reached",
                "memory write 400.0 +80.0 16.0",
                "sqlite read 395.0 +75.0 15.0 15.0 reached",
                "redis write 500.0 +180.0 36.0 35.0 MISSED",
                "memory-store read 400.0 +80.0 16.0",
            ],
        )
        del counts[BARE]
        self.assertIn("redis write 500.0", " ".join(render(counts).split()))

    def test_missing(self):
        """
        Where there is no C{valgrind}, it is said what to install.
        """
        said = io.StringIO()
        self.patch(sys, "stderr", said)
        self.patch(os, "environ", {**os.environ, "PATH": "/nonexistent"})
        self.assertEqual(main(["--only", "bare"]), 1)
        self.assertIn("install it", said.getvalue())


class PlacingTests(SynchronousTestCase):
    """
    Who has which processor.
    """

    def setUp(self) -> None:
        """
        Whatever comes of it, this process has those again that it had.
        """
        self.before = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, self.before)

    def test_apart(self) -> None:
        """
        One is kept free of those who ask, and given back.
        """
        with apart() as kept:
            ours = os.sched_getaffinity(0)
            self.assertEqual(len(kept), 1)
            self.assertEqual(ours | kept, self.before)
            if len(self.before) > 1:
                self.assertFalse(ours & kept)
        self.assertEqual(os.sched_getaffinity(0), self.before)

    def test_onlyOne(self) -> None:
        """
        Where there is only one, all have it.
        """
        only = {min(self.before)}
        os.sched_setaffinity(0, only)
        with apart() as kept:
            self.assertEqual(kept, only)
            self.assertEqual(os.sched_getaffinity(0), only)

    def test_confine(self) -> None:
        """
        All threads of a server are where it is to be, and what it has started is not.
        """
        only = frozenset({max(self.before)})
        code = (
            "import subprocess, sys, threading\n"
            "wait = threading.Event().wait\n"
            "threading.Thread(target=wait, daemon=True).start()\n"
            "child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\n"
            "print(child.pid, flush=True)\n"
            "sys.stdin.read()\n"
            "child.communicate()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            child = int(process.stdout.readline())
            confine(process.pid, only)
            tasks = os.listdir(f"/proc/{process.pid}/task")
            self.assertEqual(len(tasks), 2)
            for task in tasks:
                self.assertEqual(os.sched_getaffinity(int(task)), only)
            self.assertEqual(os.sched_getaffinity(child), self.before)
            process.stdin.close()


class GeneratorTests(SynchronousTestCase):
    """
    The load generators.
    """

    def test_wrk(self):
        """
        What C{wrk} says is understood, errors of all sorts too.
        """
        said = (
            "  5000 requests in 2.01s, 800.00KB read\n"
            "  Socket errors: connect 0, read 2, write 0, timeout 1\n"
            "  Non-2xx or 3xx responses: 4\n"
            "Requests/sec:   2500.00\n"
        )
        outcome = readWrk(said)
        self.assertEqual((outcome.requests, outcome.errors), (5000, 7))
        self.assertEqual(outcome.seconds, 2.0)
        self.assertRaises(LoadFailed, readWrk, "unable to connect")


class RunTests(SynchronousTestCase):
    """
    The measuring itself, as short as it can be.
    """

    def fetch(self, port, cookie):
        """
        Visit once more.

        @return: The count.
        """
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self.addCleanup(connection.close)
        connection.request("GET", "/", headers={"Cookie": cookie})
        return int(connection.getresponse().read())

    def test_ownGenerator(self):
        """
        Our own generator asks exactly as often as it is told, as 64 clients that
        keep their cookies, and the server's processor time grows.
        """
        with (
            tempfile.TemporaryDirectory() as folder,
            Server(Alternative("builtin", "write"), 300, folder) as server,
        ):
            port = server.ready().port
            before = server.cpu()
            first = drive(Order(port=port, connections=1, requests=164))
            then = Order(port=port, connections=4, requests=300, cookies=first.cookies)
            second = drive(then)
            self.assertGreater(server.cpu(), before)
            counts = [self.fetch(port, each) for each in set(second.cookies)]
        self.assertEqual((first.requests, first.errors), (164, 0))
        self.assertEqual((second.requests, second.errors), (300, 0))
        self.assertEqual(len(counts), 64)
        self.assertEqual(sum(counts), 164 + 300 + 64)
        # They take turns: each was here once at first, then in every 64th request.
        self.assertLessEqual(max(counts), 1 + 2 + 5 + 1)

    def test_quick(self):
        """
        C{python -m benchmarks} measures, shows and writes down, where nothing but
        Python is installed.
        """
        written = Path(self.mktemp())
        command = "-m benchmarks --quick --rounds 2 --only bare,memory --json"
        done = subprocess.run(
            [sys.executable, *command.split(), str(written.absolute())],
            cwd=ROOT,
            env={**environment(), "PATH": "/nonexistent"},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("round 1 of 2", done.stderr)
        self.assertIn("memory write", done.stdout)
        figures = json.loads(written.read_text())["figures"]
        self.assertEqual(
            [(each["kind"], each["mode"]) for each in figures],
            [("bare", "read"), ("memory", "read"), ("memory", "write")],
        )
        for each in figures:
            self.assertGreater(each["cpu"][0], 0)
            self.assertGreater(each["rate"][0], 0)
            # Bare is measured before the first, and after each.
            times = 2 * 3 if each["kind"] == "bare" else 2
            self.assertEqual(each["errors"], [0] * times)
