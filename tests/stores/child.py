"""
What the fault tests run in processes of their own, to be killed, starved of disk
space or told that the disk is broken.  A program: C{python -m tests.stores.child
WHAT PATH [...]}; it tells on its standard output what came of each step.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import sys
from collections.abc import Awaitable, Callable

from msgspec.structs import replace as evolve
from twisted.internet import task
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.interfaces import IReactorCore

from tests.stores.stepping import NOW, record
from tests.stores.traces import MARK
from txsessions.stores.sqlite import SQLiteStore


def say(*words: object) -> None:
    """
    Tell the test.
    """
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


def hear() -> str:
    """
    Wait for a word from the test.
    """
    return sys.stdin.readline().strip()


async def attempt(name: str, call: Deferred) -> None:
    """
    Tell what comes of a call.
    """
    try:
        found = await call
    except Exception as error:
        say(name, type(error).__name__)
    else:
        say(name, "ok" if found is None else getattr(found, "version", found))


async def create(store: SQLiteStore) -> None:
    """
    Open, keep one session, close.
    """
    await attempt("open", store.open())
    await attempt("insert", store.insert(record(), NOW))
    await attempt("close", store.close())


async def commit(store: SQLiteStore) -> None:
    """
    Change the session that is there once.
    """
    await store.open()
    changed = evolve(record(), version=2, payload=b"changed " * 900)
    await attempt("replace", store.replace(changed, 1, NOW))
    await attempt("close", store.close())


async def count(store: SQLiteStore) -> None:
    """
    Count up in eight sessions at once until killed, and tell each number that
    was acknowledged.
    """
    await store.open()

    async def one(n: int) -> None:
        current = record(f"{n}", payload=b"%d" % n * 100)
        await store.insert(current, NOW)
        while True:
            say(n, current.version)
            following = evolve(current, version=current.version + 1)
            await store.replace(following, current.version, NOW)
            current = following

    await gatherResults([ensureDeferred(one(n)) for n in range(8)])


async def steps(store: SQLiteStore) -> None:
    """
    Keep ten sessions in ten transactions, with what the disk says to each, then
    log the first out and read the second.
    """
    await attempt("open", store.open())
    for n in range(10):
        await attempt(f"insert {n}", store.insert(record(f"{n}"), NOW))
    await attempt("delete", store.delete(record("0").key))
    await attempt("load", store.load(record("1").key, NOW))
    await attempt("close", store.close())


async def starve(store: SQLiteStore) -> None:
    """
    Run out of room by a limit on the size of files, log out, get room again.
    """
    await store.open()
    for n in range(3):
        await attempt("insert", store.insert(record(f"{n}"), NOW))
    size = max(os.stat(store.path + end).st_size for end in ("", "-wal"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    big = record("big", payload=b"x" * 60_000)
    await attempt("big", store.insert(big, NOW))
    await attempt("load", store.load(record("1").key, NOW))
    both = [store.insert(big, NOW), store.delete(record("0").key)]
    await attempt("big", both[0])
    await attempt("delete", both[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    await attempt("big", store.insert(big, NOW))
    await attempt("close", store.close())


async def hunger(store: SQLiteStore) -> None:
    """
    Lower the limit on what SQLite takes of memory until there is no room for a large
    session any more, neither to write it nor to read it.
    """
    await store.open()
    big, other = (record(name, payload=b"x" * 60_000) for name in ("big", "other"))
    for kept in (record("1"), big):
        await attempt("insert", store.insert(kept, NOW))
    narrow = sqlite3.connect(":memory:")
    limits = iter(range(4_000_000, 0, -8192))

    async def write() -> None:
        await store.insert(other, NOW)
        await store.delete(other.key)

    async def squeeze(name: str, act: Callable[[], Awaitable[object]]) -> None:
        for limit in limits:
            narrow.execute(f"PRAGMA hard_heap_limit = {limit}")
            try:
                await act()
            except Exception as error:
                say(name, type(error).__name__, "memory" in str(error))
                return

    await squeeze("write", write)
    await squeeze("read", lambda: store.load(big.key, NOW))
    for _ in range(3):
        await attempt("load", store.load(record("1").key, NOW))
    await attempt("delete", store.delete(record("1").key))
    await attempt("insert", store.insert(record("2"), NOW))
    await attempt("close", store.close())


async def normal(store: SQLiteStore) -> None:
    """
    With durability normal: plain changes, then what must be synced.
    """
    store._full = False
    await store.open()
    kept = record()
    await store.insert(kept, NOW)
    for version in range(1, 4):
        changed = evolve(kept, version=version + 1)
        await store.replace(changed, version, NOW)
    with contextlib.suppress(FileNotFoundError):
        os.stat(f"{MARK}delete")
    await attempt("delete", store.delete(kept.key))


async def hold(store: SQLiteStore) -> None:
    """
    Hold the write lock and the gate until told to let go, as a process does that
    was stopped in the middle.
    """
    await store.open()
    connection = store._database._connection
    connection.begin(True, 1.0)
    say("held")
    hear()
    connection._connection.execute("ROLLBACK")
    connection.gate.release()
    await store.close()


async def listen(store: SQLiteStore) -> None:
    """
    Do single calls as the test asks for them.
    """
    await attempt("open", store.open())
    while word := hear():
        if word == "insert":
            await attempt(word, store.insert(record(), NOW))
        elif word == "delete":
            await attempt(word, store.delete(record().key))
        elif word == "load":
            await attempt(word, store.load(record().key, NOW))
    await attempt("close", store.close())


def raw(path: str) -> None:
    """
    Hold the write lock with plain SQLite, until told to let go or killed.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE meta SET value = 99")
    say("held")
    hear()


def main(reactor: IReactorCore, what: str, path: str) -> Deferred[None]:
    """
    Run one of these.
    """
    programs = (create, commit, count, steps, starve, hunger, normal, hold, listen)
    program = {each.__name__: each for each in programs}[what]
    return ensureDeferred(program(SQLiteStore(path)))


if __name__ == "__main__":
    if sys.argv[1] == "raw":
        raw(sys.argv[2])
    else:
        task.react(main, sys.argv[1:3])
