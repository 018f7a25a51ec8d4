"""
The stores that processes share, by kind.

Owns what each kind needs to run, and where it is then.  Another kind is one more entry
in L{ENGINES}.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import signal
import sqlite3
from pathlib import Path

from attrs import Factory, frozen

from tests.crash.nursery import makeFolder
from txsessions.core.keyfile import createKeyFile
from txsessions.stores._gate import SUFFIX


@frozen(kw_only=True)
class Place:
    """
    A store that servers can be given.

    @ivar name: For people.
    @ivar folder: Where its files are, and the servers' keys and logs.
    @ivar address: The store's address.
    @ivar outages: What can happen to it, by name: what begins that, and what ends it.
    @ivar socket: The file of the engine's socket, or L{None}.
    @ivar through: Makes of the port of a proxy the address that leads there.
    @ivar server: What runs the engine, or L{None}.
    """

    name: str
    folder: object
    address: str
    outages: dict = Factory(dict)
    socket: str | None = None
    through: object = None
    server: object = None

    @property
    def keys(self):
        """
        The key file of all servers.
        """
        return str(self.folder / "keys")


def sqlite(case, durability="full"):
    """
    A database file.
    """
    folder = makeFolder(case)
    path = str(folder / "sessions.sqlite")
    return Place(
        name=f"SQLite, {durability}",
        folder=folder,
        address=f"sqlite:{path}?durability={durability}",
        outages={
            "another program holds the lock": _held(lambda: Locked(path)),
            "somebody holds the gate": _held(lambda: Shut(path)),
        },
    )


class Locked:
    """
    Another program that keeps a database for itself.
    """

    def __init__(self, path):
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA busy_timeout = 5000")
        self._connection.execute("BEGIN IMMEDIATE")

    def close(self):
        """
        Let it go.
        """
        self._connection.execute("ROLLBACK")
        self._connection.close()


class Shut:
    """
    Another process that does not come out of the gate.
    """

    def __init__(self, path):
        self._file = open(path + SUFFIX, "ab")  # noqa: SIM115
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self):
        """
        Come out.
        """
        self._file.close()


def _held(take):
    """
    Make an outage of something that is taken and let go.
    """
    taken = []
    return lambda: taken.append(take()), lambda: taken.pop().close()


def redis(case):
    """
    A Valkey server that syncs each write.
    """
    from tests.stores import valkeys

    server = valkeys.Server("--appendonly", "yes", "--appendfsync", "always")
    case.addCleanup(server.stop)
    return Place(
        name="Valkey, appendfsync always",
        folder=makeFolder(case),
        address=server.address,
        outages={
            "the engine is frozen": (server.pause, server.resume),
            "the engine is killed": (server.kill, server.start),
        },
        socket=server.socket,
        through="redis://127.0.0.1:{}/0".format,
        server=server,
    )


_numbers = itertools.count(1)


@functools.cache
def _postgresServer():
    """
    One server for all tests: to make one takes seconds.
    """
    from tests.stores import postgres_servers

    return postgres_servers.Server("fsync=on", "max_connections=50")


def postgresql(case):
    """
    A database of its own in a PostgreSQL server that syncs each commit.
    """
    server = _postgresServer()
    database = f"races{next(_numbers)}"
    server.do(f"CREATE DATABASE {database}")

    def signalAll(how):
        for pid in [server.process.pid, *_childrenOf(server.process.pid)]:
            os.kill(pid, how)

    def kill():
        children = _childrenOf(server.process.pid)
        server.kill()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    return Place(
        name="PostgreSQL",
        folder=makeFolder(case),
        address=server.address.replace("/postgres?", f"/{database}?"),
        outages={
            "the engine is frozen": (
                lambda: signalAll(signal.SIGSTOP),
                lambda: signalAll(signal.SIGCONT),
            ),
            "the engine is killed": (kill, server.start),
        },
        socket=server.socketFile,
        through=f"postgresql://postgres@127.0.0.1:{{}}/{database}".format,
        server=server,
    )


def _childrenOf(pid):
    """
    Find the processes that a process has started.
    """
    children = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        children += map(int, (thread / "children").read_text().split())
    return children


def given(case, address):
    """
    A store that is there already.
    """
    return Place(name=address, folder=makeFolder(case), address=address)


ENGINES = {
    "sqlite": sqlite,
    "sqlite-normal": lambda case: sqlite(case, "normal"),
    "redis": redis,
    "postgresql": postgresql,
}
"""What starts a store of each kind, given the test after which it ends."""


def start(case, kind):
    """
    Start a store.

    @param kind: One of L{ENGINES}, or an address.
    """
    place = ENGINES[kind](case) if kind in ENGINES else given(case, kind)
    createKeyFile(place.keys)
    return place


def withOption(address, option):
    """
    Put an option into an address.
    """
    return f"{address}{'&' if '?' in address else '?'}{option}"


__all__ = ["ENGINES", "Place", "start", "withOption"]
