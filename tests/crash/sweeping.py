"""
A sweep of many expired sessions, and how long it holds up the reactor at a time.

Owns the filling of a store, faster than by its own verbs, and the measuring.
C{python -m tests.crash.sweeping [STORE [COUNT]]} sweeps a million.  Runs in a process
of its own, for it measures the reactor.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time

from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web.resource import Resource
from zope.interface import implementer

from tests.crash.heart import Heart
from tests.crash.nursery import environment
from tests.crash.standing import show
from txsessions import Site
from txsessions.core.keyring import KeyRing
from txsessions.core.record import Record
from txsessions.core.seal import Sealer
from txsessions.core.state import State, packState
from txsessions.interfaces import ISessionListener
from txsessions.live import sweeper
from txsessions.stores import _sqlite_verbs
from txsessions.stores.sqlite import SQLiteStore

COUNT = 1_000_000
"""How many sessions there are, if nothing else is said."""

PARTS = {b"nuser": b"\\xa4some"}
"""What is in each."""


@implementer(ISessionListener)
class Counter:
    """
    Counts what it hears.
    """

    def __init__(self):
        self.count = 0

    def sessionEvent(self, event):
        """
        See L{ISessionListener.sessionEvent}.
        """
        self.count += event.kind.value == "expired"


def records(count, ring, now):
    """
    Make records that have run out.
    """
    sealer = Sealer(ring, b"")
    createdAt = now - 5000.0
    packed = packState(
        State(
            createdAt=createdAt,
            idle=900.0,
            lifetime=43200.0,
            secure=False,
            cookieName=b"sid",
            parts=PARTS,
        )
    )
    for _ in range(count):
        key = os.urandom(32)
        yield Record(
            key=key,
            version=1,
            createdAt=createdAt,
            touchedAt=createdAt,
            expiresAt=createdAt + 960.0,
            payload=sealer.seal(key, 1, packed),
        )


class SQLite:
    """
    A database in a folder.
    """

    def __init__(self, folder):
        self._path = os.path.join(folder, "sessions.sqlite")
        self.store = SQLiteStore(self._path)

    async def fill(self, made):
        """
        Fill it: all in one transaction, and no sync.
        """
        await self.store.open()
        await self.store.close()
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        cursor = connection.cursor()
        for record in made:
            _sqlite_verbs.insert(cursor, record)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()

    def left(self):
        """
        How many are left.
        """
        connection = sqlite3.connect(self._path)
        try:
            return connection.execute("SELECT count(*) FROM sessions").fetchone()[0]
        finally:
            connection.close()


STORES = {"sqlite": SQLite}
"""How to fill each kind of store."""


async def sweep(reactor, name, count, folder):
    """
    Fill a store, and have a site sweep it.

    @return: What was measured.
    """
    filled = STORES[name](folder)
    ring = KeyRing.random(os.urandom)
    await filled.fill(records(count, ring, reactor.seconds()))
    site = Site(Resource(), reactor=reactor, store=filled.store, keys=ring)
    counter = Counter()
    site.addSessionListener(counter)
    sweeper.INTERVAL = 0.05
    began = time.monotonic()
    site.startSessions()
    heart = Heart(reactor)
    while counter.count < count:
        await _pause(reactor)
    seconds, busy, late = time.monotonic() - began, heart.busy, heart.late
    await site.closed()
    return {
        "count": counter.count,
        "left": filled.left(),
        "seconds": round(seconds, 2),
        "busy": round(busy * 1000, 2),
        "late": round(late * 1000, 2),
        "beats": heart.beats,
    }


def _pause(reactor):
    """
    Wait a little.
    """
    done = Deferred()
    reactor.callLater(0.02, done.callback, None)
    return done


def measure(name, count, folder):
    """
    Sweep in a process of its own.

    @return: What was measured: C{count}, how many were told of; C{left}, how many are
        there afterwards; C{seconds}; C{busy}, for how many milliseconds the reactor's
        thread computed at a time, at most; C{late}, by how many a call that is due
        every millisecond was late, at most; C{beats}, how many of these there were.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.sweeping", name, str(count), str(folder)],
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def main(name="sqlite", count=str(COUNT), folder=None):
    """
    Sweep, and print what was measured.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="txs-") as made:
            told = measure(name, int(count), made)
        show("store", *told)
        show(*["---"] * (len(told) + 1))
        show(name, *told.values())
        return
    from twisted.internet import reactor

    log = open(os.path.join(folder, "log"), "w", encoding="utf-8")  # noqa: SIM115
    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver(log)], redirectStandardIO=False
    )

    def run():
        done = Deferred.fromCoroutine(sweep(reactor, name, int(count), folder))
        done.addCallback(lambda told: print(json.dumps(told)))
        done.addErrback(lambda failure: failure.printTraceback(file=sys.stderr))
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(run)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])


__all__ = ["COUNT", "STORES", "measure", "records"]
