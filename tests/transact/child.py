"""
A process that counts in a session: C{python -m tests.transact.child ADDRESS KEYS}.

It reads one order a line, as JSON, and tells what came of it in another.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter

from twisted.internet import task
from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource

from txsessions import Site, openStore
from txsessions.errors import SessionError


class Counts:
    """
    Carries out the orders.

    @ivar failures: How many transactions have failed, by the errors' names.
    """

    def __init__(self, reactor, address, keys):
        self._reactor = reactor
        self._site = Site(
            Resource(),
            store=openStore(address, reactor=reactor),
            keys=keys,
            reactor=reactor,
        )
        self.calls = 0
        self.failures = Counter()

    async def make(self):
        """
        Make a session.
        """
        session = self._site.makeSession()
        session["count"] = 0
        await session.save()
        return {"uid": session.uid.decode()}

    async def look(self, uid):
        """
        See how far it has been counted.
        """
        session = await self._site.loadSession(uid.encode())
        return {"count": session["count"]}

    async def _add(self, session):
        """
        Add one, half of the times with turns of the reactor in the middle.
        """
        self.calls += 1
        number = session["count"]
        if self.calls % 2:
            await task.deferLater(self._reactor, 0.0005)
        session["count"] = number + 1

    async def _line(self, uid, times):
        """
        Add one after another.
        """
        added = 0
        for _ in range(times):
            try:
                await self._site.transact(uid, self._add)
            except SessionError as error:
                self.failures[type(error).__name__] += 1
            else:
                added += 1
        return added

    async def count(self, uid, times, lines):
        """
        Count.

        @param lines: How many count at the same time.
        """
        shares = [len(range(first, times, lines)) for first in range(lines)]
        added = await gatherResults(
            [ensureDeferred(self._line(uid.encode(), share)) for share in shares]
        )
        return {
            "added": sum(added),
            "calls": self.calls,
            "failures": self.failures,
        }

    async def end(self):
        """
        Close the store.
        """
        await self._site.closed()


async def obey(counts):
    """
    Carry out orders until there are no more.
    """
    while line := await deferToThread(sys.stdin.readline):
        order = json.loads(line)
        told = await getattr(counts, order.pop("do"))(**order)
        os.write(1, json.dumps(told).encode() + b"\n")
    await counts.end()


def main(reactor, address, keys):
    """
    Run.
    """
    return ensureDeferred(obey(Counts(reactor, address, keys)))


if __name__ == "__main__":
    task.react(main, sys.argv[1:3])
