"""
The heartbeat of a server: a call that is due every millisecond.

Owns the measuring of how late it comes.  Knows nothing of what the server does.
"""

from __future__ import annotations

import gc
import threading
import time

from twisted.internet.task import LoopingCall

BEAT = 0.001
"""Seconds between two beats."""


class Heart:
    """
    A call that is due every millisecond.

    @ivar late: By how much it was late at most, in seconds.
    @ivar busy: For how long the reactor's thread computed between two beats, at
        most, in seconds, without the interpreter's own collecting of garbage: what
        is left where the machine had other things to do.
    @ivar beats: How often it was made.
    """

    def __init__(self, reactor):
        self._thread = threading.get_ident()
        self.begin()
        gc.callbacks.append(self._collects)
        self._call = LoopingCall(self._beat)
        self._call.clock = reactor
        self._call.start(BEAT)

    def begin(self):
        """
        Forget what was seen.
        """
        self.late = self.busy = 0.0
        self.beats = 0
        self._last, self._used = time.monotonic(), time.thread_time()

    def _collects(self, phase, _):
        """
        The interpreter begins or ends to collect garbage.
        """
        if threading.get_ident() == self._thread:
            used = time.thread_time()
            self._used += used if phase == "stop" else -used

    def _beat(self):
        """
        See how late it is.
        """
        now, used = time.monotonic(), time.thread_time()
        self.late = max(self.late, now - self._last - BEAT)
        self.busy = max(self.busy, used - self._used)
        self._last, self._used = now, used
        self.beats += 1


__all__ = ["BEAT", "Heart"]
