"""
Where one alternative spends its time.

Owns the profiling run: first without the profiler, to tell the reactor's thread
from the others, for cProfile sees only the first; then with it.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.alternatives import Alternative
from benchmarks.generating import generate
from benchmarks.load import Order
from benchmarks.rounds import warm
from benchmarks.serving import Server


def profile(
    alternative: Alternative,
    size: int,
    connections: int,
    seconds: int,
    folder: str,
    say: Callable[[str], None],
) -> str:
    """
    Profile one alternative under load.

    @return: The profile, for people.
    """
    made = Server(alternative, size, folder, "benchmarks.instrumented")
    with made as server:
        order = Order(
            port=server.ready().port,
            connections=connections,
            seconds=seconds,
            cookies=warm(server),
        )
        say(f"{alternative}: without the profiler")
        whole, reactor = server.cpu(), server.cpuOfReactor()
        plain = generate(order)
        whole, reactor = server.cpu() - whole, server.cpuOfReactor() - reactor
        say(f"{alternative}: with the profiler")
        server.get("/-/start")
        profiled = generate(order)
        report = server.get("/-/stop")
    each = 1e6 / plain.requests
    return (
        f"{alternative}, state of {size:,} bytes, {connections} connections, without "
        f"the profiler: {whole * each:.1f} us a request, of which the reactor's "
        f"thread {reactor * each:.1f} and others {(whole - reactor) * each:.1f}.\n\n"
        f"With it, {profiled.requests:,} requests:\n{report}"
    )


__all__ = ["profile"]
