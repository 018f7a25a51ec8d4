"""
The timed run: rounds, in which the alternatives take their turns.

Owns the order of things.  All servers of one size are started together, for one
that is not asked takes no time; so those that are compared with each other are
measured one right after the other, many times for a short while: a machine that is
shared is slower for seconds at a time, and that hits each of them now and then.  Bare
is measured between any two of the others, and each of these is compared with the mean of
the two next to it: a round of fifteen takes half a minute, in which the machine changes.
Servers have a processor to themselves, see L{benchmarks.placing}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from attrs import evolve, frozen

from benchmarks.alternatives import BARE, Alternative, Cell
from benchmarks.figures import Book, Figure
from benchmarks.generating import generate
from benchmarks.load import Order, drive
from benchmarks.placing import apart
from benchmarks.serving import Server

WARMING = 1_000
"""How many requests go before, in which sessions are made and Python gets warm."""


@frozen(kw_only=True)
class Plan:
    """
    What is to be measured.

    @ivar seconds: How long each measurement takes.
    @ivar folder: Where databases go.
    """

    alternatives: Sequence[Alternative]
    sizes: Sequence[int]
    connections: Sequence[int]
    rounds: int
    seconds: int
    folder: str


def warm(server: Server, connections: int = 8) -> Sequence[str]:
    """
    Ask a server for the first time.

    @return: The cookies that the clients got.
    """
    order = Order(port=server.port, connections=connections, requests=WARMING)
    return drive(order).cookies


def window(server: Server, order: Order) -> Figure:
    """
    Measure once.
    """
    before = server.cpu()
    outcome = generate(order)
    used = server.cpu() - before
    return Figure(
        cpu=used / outcome.requests * 1e6,
        rate=outcome.requests / outcome.seconds,
        errors=outcome.errors,
    )


def measure(plan: Plan, say: Callable[[str], None]) -> Book:
    """
    Measure all.

    @param say: Is told how far it is.
    """
    book = Book()
    for size in plan.sizes:
        say(f"{size} bytes: starting the servers")
        _measureSize(plan, size, book, say)
    return book


def _measureSize(plan: Plan, size: int, book: Book, say: Callable[[str], None]) -> None:
    """
    Measure all alternatives at one size.
    """
    with ExitStack() as stack:
        theirs = stack.enter_context(apart())
        servers = [
            stack.enter_context(Server(alternative, size, plan.folder))
            for alternative in plan.alternatives
        ]
        cookies = [warm(server.ready()) for server in servers]
        for server in servers:
            server.confine(theirs)
        for turn in range(1, plan.rounds + 1):
            for connections in plan.connections:
                where = f"{size} bytes, {connections} connections"
                say(f"{where}: round {turn} of {plan.rounds}")
                asked = [
                    (
                        server,
                        Order(
                            port=server.port,
                            connections=connections,
                            seconds=plan.seconds,
                            cookies=kept,
                        ),
                    )
                    for server, kept in zip(servers, cookies, strict=True)
                ]
                for alternative, figure in inTurn(asked):
                    cell = Cell(
                        alternative=alternative, size=size, connections=connections
                    )
                    book.add(cell, figure)


def inTurn(
    asked: Sequence[tuple[Server, Order]],
) -> Iterator[tuple[Alternative, Figure]]:
    """
    Measure each once, and bare before the first, between two, and after the last.
    """
    bare = [each for each in asked if each[0].alternative == BARE]
    before = [window(*each) for each in bare]
    yield from ((BARE, figure) for figure in before)
    for server, order in asked:
        if server.alternative == BARE:
            continue
        figure = window(server, order)
        after = [window(*each) for each in bare]
        for earlier, later in zip(before, after, strict=True):
            figure = evolve(figure, bare=(earlier.cpu + later.cpu) / 2)
            yield BARE, later
        yield server.alternative, figure
        before = after


__all__ = ["Plan", "inTurn", "measure", "warm", "window"]
