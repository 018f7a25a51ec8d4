"""
A wire between servers and an engine, which can be broken.

Owns a proxy in threads of the driver's process: what connects to its TCP port is
connected to the engine's socket, in the way that the wire is at that time.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Wire:
    """
    A proxy.

    @ivar port: Where it listens, on 127.0.0.1.
    @ivar way: How the wire is: C{"good"}; C{"cut"}, nobody gets through;
        C{"swallow"}, what is said gets lost; C{"deaf"}, answers get lost;
        C{"delay"}, answers take L{seconds}; C{"bite"}, each connection is cut after
        L{bytes} of answers.
    """

    seconds, bytes = 0.2, 40

    def __init__(self, case, target):
        """
        @param target: The path of the engine's socket.
        """
        self._target = target
        self._pairs = set()
        self.way = "good"
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        case.addCleanup(self.close)

    def close(self):
        """
        Be done.
        """
        # A thread that waits in accept() does not notice that the socket is closed.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        self._thread.join()

    def cut(self):
        """
        Cut all connections.
        """
        for pair in list(self._pairs):
            self._end(pair)

    def be(self, way):
        """
        Be in another way from now on.
        """
        self.way = way
        if way == "cut":
            self.cut()

    def _accept(self):
        """
        Take connections.
        """
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if self.way == "cut":
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._target)
            except OSError:
                near.close()
                far.close()
                continue
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = near, far
            self._pairs.add(pair)
            for forth in (True, False):
                passing = threading.Thread(
                    target=self._pass,
                    args=(pair,),
                    kwargs={"forth": forth},
                    daemon=True,
                )
                passing.start()

    def _pass(self, pair, *, forth):
        """
        Pass on what one side says.
        """
        source, sink = pair if forth else pair[::-1]
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                way = self.way
                if way == "swallow" or (way == "deaf" and not forth):
                    continue
                if way == "delay" and not forth:
                    time.sleep(self.seconds)
                if way == "bite" and not forth:
                    left = max(0, self.bytes - passed)
                    passed += len(data)
                    sink.sendall(data[:left])
                    if passed > self.bytes:
                        break
                    continue
                sink.sendall(data)
        self._end(pair)

    def _end(self, pair):
        """
        Close both sides.
        """
        self._pairs.discard(pair)
        for side in pair:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()


__all__ = ["Wire"]
