"""
Whole requests through channels in memory, to two sites on one store of each kind, as
two processes have them.

Owns the kinds of stores and how their contents are looked at past the product.  Time
stands still unless a test lets it pass; the engines do their work in real time.  A
suite of tests is a class without a kind; L{inEveryStore} makes a case for each.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import time

from msgspec.structs import astuple
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.slowstore import SlowStore
from tests.stores import postgres_servers, valkeys
from tests.stores.proxies import Proxy
from tests.web.browsing import Client
from tests.web.durable import DurableCase
from tests.web.pages import Page, count
from tests.web.signing import look, signIn, signOut
from txsessions import Site, openStore
from txsessions.core.keyring import KeyRing
from txsessions.errors import SessionError
from txsessions.stores import _postgresql_clock, _redis_clock
from txsessions.stores.memory import MemoryStore
from txsessions.stores.postgresql import fromAddress

DEADLINE = 30.0
"""Seconds that an engine may take: longer than any does, however busy the machine."""

NOBODYS = b"nobody's" * 4
"""A key under which nothing is stored."""

_numbers = itertools.count()


class InMemory:
    """
    A store in memory that two sites share.
    """

    def __init__(self, case):
        self._inner = MemoryStore()

    def open(self):
        """
        Make the store of one process.
        """
        store = SlowStore(self._inner)
        store.sharedWithOthers = True
        return store

    def held(self):
        """
        All that there is, as bytes.
        """
        principals = self._inner._principals
        return sorted([*self._inner._slots, *principals._keys, *principals._epochs])

    def sent(self):
        """
        All that was given to it and is still there, as bytes.
        """
        records = (slot.record for slot in self._inner._slots.values())
        fields = [_plain(astuple(each)) for each in records if each is not None]
        return b"|".join([*self.held(), *fields])


class InSQLite:
    """
    A database file.
    """

    def __init__(self, case):
        self._folder, self._path = case.folder, str(case.database)

    def open(self):
        """
        Make the store of one process.
        """
        return openStore(f"sqlite:{self._path}", reactor=reactor, deadline=DEADLINE)

    def held(self):
        """
        All that there is, as bytes.
        """
        connection = sqlite3.connect(self._path)
        try:
            rows = [
                row
                for table in ("sessions", "epochs")
                for row in connection.execute(f"SELECT * FROM {table}")
            ]
        finally:
            connection.close()
        return sorted(b"|".join(map(_plain, row)) for row in rows)

    def sent(self):
        """
        All that was given to it and is still there, as bytes.
        """
        files = sorted(self._folder.iterdir())
        return b"|".join(each.read_bytes() for each in files if each.is_file())


class InValkey:
    """
    A Valkey server, with keys of this test's.
    """

    def __init__(self, case, server=None):
        """
        @param server: It, if it is not the one that tests share.
        """
        case.patch(_redis_clock, "TOLERANCE", case.tolerance)
        self._server = server or valkeys.shared()
        self._address = self._server.address
        if case.isWatched:
            self._proxy = Proxy(self._server.socket)
            case.addCleanup(self._proxy.stop)
            self._address = self._proxy.address

    def open(self):
        """
        Make the store of one process.
        """
        return openStore(self._address, reactor=reactor, deadline=DEADLINE)

    def sent(self):
        """
        All that was said to the server.
        """
        return self._proxy.asked

    def held(self):
        """
        All that there is, as bytes.
        """
        found = []
        for name in self._server.command("KEYS", "*"):
            kind = self._server.command("TYPE", name)
            read = {
                b"string": ("GET",),
                b"hash": ("HGETALL",),
                b"set": ("SMEMBERS",),
                b"zset": ("ZRANGE", 0, -1),
            }[kind]
            found.append(_plain((name, self._server.command(read[0], name, *read[1:]))))
        return sorted(found)


class InPostgreSQL:
    """
    A PostgreSQL server, with tables of this test's.
    """

    def __init__(self, case, server=None):
        """
        @param server: It, if it is not the one that tests share.
        """
        case.patch(_postgresql_clock, "TOLERANCE", int(case.tolerance * 1e6))
        self._server = server or postgres_servers.shared()
        self._table = f"whole{next(_numbers)}"
        self._address = self._server.address
        if case.isWatched:
            self._proxy = Proxy(self._server.socketFile)
            case.addCleanup(self._proxy.stop)
            port = self._proxy.port.getHost().port
            self._address = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        case.addCleanup(
            self._server.do,
            f"DROP TABLE IF EXISTS {self._table}, {self._table}_meta, "
            f"{self._table}_epochs",
        )

    def open(self):
        """
        Make the store of one process.
        """
        options = {"table": self._table, "deadline": DEADLINE}
        return fromAddress(self._address, reactor, options)

    def sent(self):
        """
        All that was said to the server.
        """
        return self._proxy.asked

    def held(self):
        """
        All that there is, as bytes.
        """
        rows = [
            row
            for table in (self._table, f"{self._table}_epochs")
            for row in self._server.do(f"SELECT * FROM {table}")
        ]
        return sorted(b"|".join(map(_plain, row)) for row in rows)


def _plain(value):
    """
    Make bytes of something, in which bytes are found as they are.
    """
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        return b"|".join(map(_plain, value))
    return str(value).encode()


KINDS = {
    "Memory": InMemory,
    "SQLite": InSQLite,
    "Valkey": InValkey,
    "PostgreSQL": InPostgreSQL,
}
"""The kinds of stores."""


def inEveryStore(suite, module, kinds=KINDS):
    """
    Make cases of a suite, one for each kind.

    @param module: The namespace that gets them.
    @param kinds: The kinds, by name.
    """
    for name, kind in kinds.items():
        module[name + suite.__name__] = type(
            name + suite.__name__,
            (suite,),
            {"kind": kind, "__module__": suite.__module__, "__doc__": kind.__doc__},
        )


class StoredCase(DurableCase):
    """
    Two sites on one store, on which people sign in.

    @cvar kind: Which of L{KINDS}.
    @cvar tolerance: By how many seconds the clocks of servers may be wrong.
    @cvar isWatched: Whether all is to be seen that a server is told.
    @ivar site: The one.
    @ivar there: The other.
    @ivar waiting: The requests that wait, with their sessions.
    """

    kind = None
    isWatched = False
    tolerance = 60.0
    timeout = 60
    options = {}  # noqa: RUF012 - a constant

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        # Engines have a clock of their own.
        self.clock.advance(float(int(time.time())) - self.clock.seconds())
        self.place = self.kind(self)
        self.keys = KeyRing.random(os.urandom)
        self.waiting = []
        self.root = Resource()
        self.page("count", count)
        self.page("look", look)
        self.page("in", signIn)
        self.page("out", signOut)
        self.page("wait", self.wait)
        self.site = self.serve()
        self.there = self.serve()

    def page(self, name, render):
        """
        Serve one more page.
        """
        self.root.putChild(name.encode("ascii"), Page(render))

    def serve(self, **how):
        """
        Begin to serve in one more process.
        """
        site = Site(
            self.root,
            reactor=self.clock,
            store=self.place.open(),
            keys=self.keys,
            **{**self.options, **how},
        )
        site.startFactory()
        self.addCleanup(self.stop, site)
        return site

    async def stop(self, site):
        """
        End it.
        """
        for client in self.clients:
            client.leave()
        site.stopFactory()
        closed = site.closed()
        # A stream that was cut is gone a turn later.
        self.clock.advance(0)
        await closed

    def wait(self, request):
        """
        A page that answers when the test does.
        """
        self.waiting.append((request, request.getSession()))
        return NOT_DONE_YET

    # -- who asks

    def client(self, site=None, like=None, **how):
        """
        A browser.

        @param like: Another whose cookies it has, as they are now.
        """
        client = Client(self, site=site or self.site, **how)
        if like is not None:
            client.jar.cookies.update(like.jar.cookies)
        self.clients.append(client)
        return client

    async def body(self, client, path="/look", site=None, **how):
        """
        What a browser is told, in one of the sites; it keeps the cookies.
        """
        other = Client(self, jar=client.jar, site=site or client.protocol.site)
        self.clients.append(other)
        answer = await self.fetch(other, path, **how)
        self.assertEqual(answer.code, 200, answer.body)
        return answer.body

    async def visitor(self, *paths, site=None):
        """
        A browser that has been to some pages.
        """
        client = self.client(site)
        for path in paths or ("/count",):
            await self.body(client, path)
        return client

    async def pending(self, client, site):
        """
        Send a request that waits, with the cookies of a browser.

        @return: Its connection, the request, and the session.
        """
        other = self.client(site, like=client)
        other.send("/wait")
        await self.until(lambda: self.waiting)
        return (other, *self.waiting.pop())

    async def storeOf(self, site):
        """
        The store of one of the sites, once it is open.
        """
        await site._live.lifecycle.whenOpen()
        return site._live.store

    async def goBy(self, seconds):
        """
        Let time pass, once the stores have written what nobody waits for.

        @param seconds: How many; fewer than none for a clock that is set back.
        """
        for site in (self.site, self.there):
            # That waits for earlier writes.
            await (await self.storeOf(site)).delete(NOBODYS)
        if seconds < 0:
            self.clock.rightNow += seconds
        else:
            self.clock.advance(seconds)

    async def answered(self, client):
        """
        The answer to what a browser has sent.
        """
        await self.until(lambda: not client.silent)
        return client.answer()

    # -- what is so

    async def who(self, *clients):
        """
        Who is signed in on each, which both sites have to say.
        """
        found = []
        for client in clients:
            told = [
                await self.body(self.client(site, like=client))
                for site in (self.site, self.there)
            ]
            self.assertEqual(told[0], told[1])
            found.append(told[0].split()[0].decode())
        return found

    async def comesLate(self, end):
        """
        What still runs in the other site when all sessions of Ann are ended brings none
        back, and hands out no cookie.

        @param end: Ends them.
        """
        for late in ("change", "rotate", "login"):
            client = await self.visitor("/in?who=ann")
            connection, request, session = await self.pending(client, self.there)
            await end()
            session["more"] = 1
            outcomes = []
            if late == "rotate":
                session.rotate(request).addBoth(outcomes.append)
            elif late == "login":
                done = session.login(request, "ann", level=2)
                done.addBoth(outcomes.append)
            request.finish()
            answer = await self.answered(connection)
            self.assertFalse(answer.sets, late)
            for failure in outcomes:
                self.assertTrue(failure.check(SessionError))
            self.assertEqual(await self.who(client, connection), ["nobody"] * 2)
            self.assertEqual(await self.handles(), [])

    async def handles(self, who="ann"):
        """
        The handles of somebody's sessions, which both sites have to tell.
        """
        found = [
            [each.handle for each in await site.sessionsOf(who)]
            for site in (self.site, self.there)
        ]
        self.assertEqual(found[0], found[1])
        self.assertEqual(await self.site.verifyPrincipals(), 0)
        return found[0]


__all__ = ["KINDS", "StoredCase", "inEveryStore"]
