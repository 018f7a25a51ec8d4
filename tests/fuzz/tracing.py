"""
What of our code an input runs: how many instructions, and which follow which.

Counted and not timed, so that it is the same on every machine.  What happens in C is
not seen; there it is the command's own clock that tells.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import txsessions

HOME = os.path.dirname(txsessions.__file__) + os.sep
"""Where our code is."""

Edge = tuple[CodeType, int, int]
"""That of two instructions of a function the one was run after the other."""


class Trace:
    """
    What was run.

    @ivar count: How many instructions.
    @ivar edges: Which after which.
    """

    def __init__(self) -> None:
        self.count = 0
        self.edges: set[Edge] = set()

    def of(self, work: Callable[[], object]) -> None:
        """
        Look at what some work runs.  Whoever traced before goes on afterwards.
        """
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            work()
        finally:
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        """
        A function begins.
        """
        code = frame.f_code
        if not code.co_filename.startswith(HOME):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        last = -1
        edges = self.edges

        def step(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal last
            if event == "opcode":
                self.count += 1
                edges.add((code, last, frame.f_lasti))
                last = frame.f_lasti
            return step

        return step


__all__ = ["Trace"]
