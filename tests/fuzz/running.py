"""
The long run: one target after another, each fed with changes of what it has been fed
with before, of which those are kept that reach what none has reached.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings

from tests.fuzz.mutating import chosen, mutate
from tests.fuzz.target import Target, Wrong
from tests.fuzz.tracing import Edge, Trace

TRACED = 8
"""Of how many inputs one is looked at instruction by instruction, which takes long."""

GATHERED = 100
"""How many inputs are made by a target's own strategy to begin with."""

PATIENCE = 10.0
"""Seconds of processor time after which an input counts as one without an end."""

TRIES = 3000
"""How often it is tried to make an input shorter that was found."""

FORBIDDEN = (
    "compile",
    "ctypes",
    "exec",
    "import",
    "marshal",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pickle",
    "shutil",
    "socket.connect",
    "subprocess",
)
"""What nobody may have done by what he sent: the beginnings of the names of Python's
audit events."""


class Report:
    """
    What became of one target.

    @ivar examples: How many inputs there were.
    @ivar seconds: How long it took.
    @ivar outcomes: What became of the inputs, in the words of the target.
    @ivar corpus: The inputs that reach something.
    @ivar steps: The most instructions of ours that a byte has taken, beyond what is
        fixed.
    @ivar slowest: The most seconds that an input has taken.
    @ivar found: The inputs that show a fault, made short, with what was raised.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.examples = 0
        self.seconds = self.slowest = self.steps = 0.0
        self.outcomes: Counter[str] = Counter()
        self.corpus: list[bytes] = []
        self.found: dict[str, tuple[bytes, str]] = {}


class Watch:
    """
    Sees to it that checks do nothing that is forbidden, and that they end.
    """

    _done: list[str] | None = None
    _listens = False

    def _hear(self, event: str, arguments: Any) -> None:
        """
        Something happens in the interpreter.
        """
        if self._done is not None and event.startswith(FORBIDDEN):
            self._done.append(event)

    def _tooLong(self, number: int, frame: Any) -> None:
        """
        A check does not end.
        """
        raise Wrong(f"it is not over after {PATIENCE:.0f} s")

    @contextlib.contextmanager
    def on(self, hears: bool) -> Iterator[None]:
        """
        Watch.

        @param hears: Whether to hear of what happens in the interpreter, which cannot
            be undone: for a process that does nothing else.
        """
        if hears and not self._listens:
            self._listens = True
            sys.addaudithook(self._hear)
        before = signal.signal(signal.SIGVTALRM, self._tooLong)
        try:
            yield
        finally:
            signal.signal(signal.SIGVTALRM, before)

    def do(self, check: Callable[[bytes], str], data: bytes) -> str:
        """
        Have bytes checked.
        """
        done = self._done = []
        signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
        try:
            outcome = check(data)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self._done = None
        if done:
            raise Wrong(f"it led to {', '.join(sorted(set(done)))}")
        return outcome


WATCH = Watch()


def nameOf(error: BaseException) -> str:
    """
    What makes a fault another one: its kind, and where it was raised.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = (
        "" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
    )
    kind = str(error).partition(":")[0] if isinstance(error, Wrong) else place
    return f"{type(error).__name__} {kind}"


def faultIn(target: Target, data: bytes) -> BaseException | None:
    """
    Check bytes.

    @return: What was raised.
    """
    try:
        WATCH.do(target.check, data)
    except Exception as error:
        return error
    return None


def shorten(target: Target, data: bytes, name: str) -> bytes:
    """
    Take as much as possible out of an input that shows a fault.
    """
    tries, size = 0, max(1, len(data) // 2)
    while size and tries < TRIES:
        at, before = 0, data
        while at < len(data) and tries < TRIES:
            less = data[:at] + data[at + size :]
            tries += 1
            error = faultIn(target, less)
            if error is not None and nameOf(error) == name:
                data = less
            else:
                at += size
        if data == before:
            size //= 2
    return data


class Run:
    """
    The run of one target.
    """

    def __init__(self, target: Target, chance: random.Random) -> None:
        self._target = target
        self._chance = chance
        self._seen: set[Edge] = set()
        self.report = Report(target)

    def begin(self) -> None:
        """
        Feed it with what is known to be good, and with what its strategy makes.
        """
        target = self._target
        for data in target.seeds:
            self._try(data, isTraced=True)
        if target.more.is_empty:
            return

        @settings(
            max_examples=GATHERED,
            database=None,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.more)
        def gather(data: bytes) -> None:
            made.append(data)

        made: list[bytes] = []
        gather()
        for data in made:
            self._try(data, isTraced=True)

    def step(self) -> None:
        """
        Feed it with one more input.
        """
        chance, report = self._chance, self.report
        known = chance.choice((self._target.seeds, report.corpus or [b""]))
        pieces = (*self._target.pieces, chance.choice(known), chance.choice(known))
        steps = chosen(chance, 1 + chance.randrange(4))
        data = mutate(chance.choice(known), steps, pieces)
        self._try(data, isTraced=report.examples % TRACED == 0)

    def _try(self, data: bytes, isTraced: bool) -> None:
        """
        Have an input checked, and note what became of it.
        """
        report = self.report
        report.examples += 1
        begun = time.perf_counter()
        try:
            if isTraced:
                self._trace(data)
            else:
                report.outcomes[WATCH.do(self._target.check, data)] += 1
                taken = time.perf_counter() - begun
                report.slowest = max(report.slowest, taken)
        except Exception as error:
            report.outcomes["wrong"] += 1
            name = nameOf(error)
            if name not in report.found:
                short = shorten(self._target, data, name)
                said = faultIn(self._target, short) or error
                report.found[name] = (short, f"{type(said).__name__}: {said}")

    def _trace(self, data: bytes) -> None:
        """
        Have an input checked, and look at what it runs.

        @raise Wrong: It runs too much.
        """
        report, target, trace = self.report, self._target, Trace()
        try:
            trace.of(lambda: self._note(data))
        finally:
            fresh = trace.edges - self._seen
            if fresh:
                self._seen |= fresh
                report.corpus.append(data)
        demandLinear(target, data, trace.count)
        over = (trace.count - target.fixed) / (len(data) or 1)
        report.steps = max(report.steps, over)

    def _note(self, data: bytes) -> None:
        """
        Note the outcome of an input.
        """
        self.report.outcomes[WATCH.do(self._target.check, data)] += 1


def demandLinear(target: Target, data: bytes, count: int) -> None:
    """
    See that an input took no more instructions than its length allows.

    @raise Wrong: It took more.
    """
    most = target.fixed + target.steps * len(data)
    if count > most:
        raise Wrong(
            f"it takes too long: {count} instructions for {len(data)} bytes, and "
            f"{most} may be"
        )


def run(
    target: Target,
    seed: int,
    *,
    seconds: float = 0.0,
    examples: int = 0,
    hears: bool = False,
    once: bool = False,
    tell: Callable[[Report], object] = lambda _: None,
) -> Report:
    """
    Run one target.

    @param seed: Where chance begins.
    @param seconds: How long; or
    @param examples: with how many inputs.
    @param hears: See L{Watch.on}.
    @param once: Whether to end with the first fault.
    @param tell: Is told now and then how far it is.
    """
    for data in target.seeds:
        # What is loaded when it is first used is loaded now.
        with contextlib.suppress(Exception):
            target.check(data)
    it = Run(target, random.Random(f"{seed} {target.name}"))
    begun = time.monotonic()
    report = it.report
    with WATCH.on(hears):
        it.begin()
        while (
            report.examples < examples
            if examples
            else time.monotonic() - begun < seconds
        ):
            if once and report.found:
                break
            it.step()
            if not report.examples % 64:
                report.seconds = time.monotonic() - begun
                tell(report)
    report.seconds = time.monotonic() - begun
    return report


__all__ = ["Report", "demandLinear", "run"]
