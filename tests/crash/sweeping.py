"""
A sweep of many expired sessions, and how long it holds up the reactor at a time.

Owns the measuring; L{tests.crash.filling} fills the stores.  C{python -m
tests.crash.sweeping [KIND [COUNT]]} sweeps a million, C{KIND} one of
L{tests.crash.filling.FILLS}.  Runs in a process of its own, for it measures the
reactor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner, textFileLogObserver
from twisted.web.resource import Resource
from zope.interface import implementer

from tests.crash.filling import FILLS, records
from tests.crash.heart import Heart
from tests.crash.nursery import environment
from tests.crash.standing import Case, Progress, show
from tests.longrun import count, given, oneOf
from tests.races.engines import start
from txsessions import Site, openStore
from txsessions.core.keyring import KeyRing
from txsessions.interfaces import ISessionListener
from txsessions.live import sweeper

COUNT = 1_000_000
"""How many sessions there are, if nothing else is said."""

PROGRAM = [sys.executable, "-m", "tests.crash.sweeping"]
"""What is run."""


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


async def sweep(reactor, kind, address, count):
    """
    Fill a store, and have a site sweep it.

    @return: What was measured.
    """
    ring = KeyRing.random(os.urandom)
    store = openStore(address)
    await store.open()
    await store.close()
    progress = Progress("filled", count)
    fill = FILLS[kind](address)
    fill.fill(counted(records(count, ring, reactor.seconds()), progress))
    progress = Progress("swept", count)
    site = Site(Resource(), reactor=reactor, store=store, keys=ring)
    counter = Counter()
    site.addSessionListener(counter)
    sweeper.INTERVAL = 0.05
    began = time.monotonic()
    site.startSessions()
    heart, before = Heart(reactor), 0
    while counter.count < count:
        await _pause(reactor)
        progress.step(counter.count - before)
        before = counter.count
    seconds, busy, late = time.monotonic() - began, heart.busy, heart.late
    await site.closed()
    return {
        "count": counter.count,
        "left": fill.left(),
        "seconds": round(seconds, 2),
        "busy": round(busy * 1000, 2),
        "late": round(late * 1000, 2),
        "beats": heart.beats,
    }


def counted(made, progress):
    """
    Tell how far it is.
    """
    for record in made:
        yield record
        progress.step()


def _pause(reactor):
    """
    Wait a little.
    """
    done = Deferred()
    reactor.callLater(0.02, done.callback, None)
    return done


def measure(case, kind, count):
    """
    Sweep in a process of its own.

    @param case: The test.
    @return: What was measured: C{count}, how many were told of; C{left}, how many are
        there afterwards; C{seconds}; C{busy}, for how many milliseconds the reactor's
        thread computed at a time, at most; C{late}, by how many a call that is due
        every millisecond was late, at most; C{beats}, how many of these there were.
    """
    place = start(case, kind)
    log = str(place.folder / "log")
    done = subprocess.run(
        [*PROGRAM, kind, place.address, str(count), log],
        env=environment(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def serve(kind, address, count, log):
    """
    Sweep in this process, and tell what was measured.
    """
    from twisted.internet import reactor

    said = open(log, "w", encoding="utf-8")  # noqa: SIM115
    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver(said)], redirectStandardIO=False
    )

    def run():
        done = Deferred.fromCoroutine(sweep(reactor, kind, address, int(count)))
        done.addCallback(lambda told: print(json.dumps(told)))
        done.addErrback(lambda failure: failure.printTraceback(file=sys.stderr))
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(run)
    reactor.run()


def main(kind, count):
    """
    Sweep, and print what was measured.
    """
    with Case() as case:
        told = measure(case, kind, count)
    show("store", *told)
    show(*["---"] * (len(told) + 1))
    show(kind, *told.values())


if __name__ == "__main__":
    if len(sys.argv) > len(PROGRAM):
        serve(*sys.argv[1:])
    else:
        about = (
            "Sweep many expired sessions out of a store, and measure for how long that "
            "holds up the reactor at a time."
        )
        main(
            *given(
                about,
                kind=("sqlite", oneOf(FILLS), "the store"),
                count=(COUNT, count, "how many sessions there are"),
            )
        )


__all__ = ["COUNT", "measure"]
