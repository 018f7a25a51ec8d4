"""
Ends of sessions that a server had acknowledged, and the one that took over from it
lacks: on real servers.
"""

from __future__ import annotations

import psycopg
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.resource import Resource

from tests.live.sites import KEYS
from tests.stores.postgres_case import PATIENCE, PostgresCase
from tests.stores.test_redis_sentinel import FailoverCase
from txsessions import Site
from txsessions.core.signin import SignIn
from txsessions.core.uid import storeKeyOf
from txsessions.errors import SessionUnavailable
from txsessions.testing._case import steps


class LostEndsCase:
    """
    Ends sessions, of which the other server does not hear.
    """

    def process(self, store):
        """
        A process that has nothing but the store.
        """
        site = Site(Resource(), reactor=reactor, store=store, keys=KEYS)
        site.startFactory()
        self.addCleanup(site.closed)
        self.addCleanup(site.stopFactory)
        return site

    async def made(self, site, name=None):
        """
        Make a session, perhaps one on which somebody is signed in.
        """
        session = site.makeSession()
        session.sessionNamespaces["a"] = 1
        if name is not None:
            session._signIn = SignIn(name, 1, reactor.seconds(), bytes(16))
        await session.save()
        return session

    def has(self, session):
        """
        Whether the other server has the record of a session.
        """
        return self.hasKey(storeKeyOf(b"", session._uid))

    async def waits(self, true):
        """
        Wait until something is so.
        """
        end = reactor.seconds() + 2 * PATIENCE
        while not true():
            self.assertLess(reactor.seconds(), end)
            await deferLater(reactor, 0.02)

    async def looked(self, site, session):
        """
        Ask for a session as a request does.

        @return: Whether it got in; L{None} where the store does not answer.
        """
        try:
            return await site.loadSession(session._uid) is not None
        except SessionUnavailable:
            await deferLater(reactor, 0.005)
            return None

    async def loses(self, address):
        """
        The primary is cut off and acknowledges ends, then the other server takes over:
        no request that comes by one of those ids gets in, in the process that ended
        them at any time, in all others when it has told the store.
        """
        store = self.another(address)
        site, there = self.process(store), self.process(self.another(address))
        out = await self.made(there)
        ann, bob, other = [
            await self.made(there, name) for name in ("ann", "bob", "eve")
        ]
        ended = [out, ann, bob]
        await self.waits(lambda: all(map(self.has, [*ended, other])))
        self.cut()
        await (await site.loadSession(out._uid)).expire()
        self.assertTrue(await site.endSession("ann", ann._signIn.handle.hex()))
        self.assertEqual(await site.endPrincipal("bob"), 1)
        for session in ended:
            self.assertIs(await self.looked(site, session), False)
            self.assertTrue(self.has(session), "the other server has heard of it")
        self.takeOver()
        end = reactor.seconds() + 2 * PATIENCE
        answers = set()
        while any(map(self.has, ended)) or await self.looked(site, other) is None:
            self.assertLess(reactor.seconds(), end, "it was not ended again")
            for session in ended:
                answers.add(await self.looked(site, session))
        self.assertIn(None, answers)
        self.assertNotIn(True, answers)
        fresh = self.process(self.another(address))
        for session in ended:
            self.assertIs(await self.looked(fresh, session), False)
        self.assertTrue(await self.looked(fresh, other))


class RedisTests(LostEndsCase, FailoverCase):
    """
    Sentinels make the replica the primary.
    """

    def another(self, address):
        """
        A store.
        """
        return self.store(address, deadline=1.0)

    def hasKey(self, key):
        """
        See L{has}.
        """
        try:
            return any(key in name for name in self.replica.names())
        except ConnectionError:
            # It ends all connections when it becomes the primary: ask once more.
            return any(key in name for name in self.replica.names())

    def cut(self):
        """
        Let the replica hear nothing more: it is given a password, and the primary wants
        none.
        """
        self.replica.command("CONFIG", "SET", "masterauth", "none")
        self.primary.command("CLIENT", "KILL", "TYPE", "replica")

    def takeOver(self):
        """
        Let the primary die.
        """
        self.primary.kill()

    @steps
    async def test_lost(self):
        """
        See L{loses}.
        """
        address = self.site()
        await self.agreed()
        await self.loses(address)


class PostgreSQLTests(LostEndsCase, PostgresCase):
    """
    The standby is promoted.
    """

    timeout = 60

    def another(self, address):
        """
        A store.
        """
        return self.make(address)

    def hasKey(self, key):
        """
        See L{has}.
        """
        statement = f"SELECT count(*) FROM {self.table} WHERE key = %s"
        try:
            return self.standby.do(statement, key) == [(1,)]
        except psycopg.errors.UndefinedTable:
            return False

    def cut(self):
        """
        Let the standby hear nothing more.
        """
        with self.standby.connect() as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
        self.primary.do("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")

    def takeOver(self):
        """
        Let the primary die, and promote the standby.
        """
        self.primary.kill()
        self.standby.promote()

    @steps
    async def test_lost(self):
        """
        See L{loses}.
        """
        self.primary = self.own()
        self.standby = self.own(primary=self.primary)
        hosts = f"host={self.primary.folder},{self.standby.folder}"
        ports = f"port={self.primary.port},{self.standby.port}"
        await self.loses(f"postgresql://postgres@/postgres?{hosts}&{ports}")
