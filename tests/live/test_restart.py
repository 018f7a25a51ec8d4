"""
What applications keep in sessions survives the end of the process, in a database
of SQLite.
"""

from __future__ import annotations

import datetime
import os

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.python.components import registerAdapter
from twisted.trial.unittest import TestCase
from twisted.web import server
from twisted.web.resource import Resource
from zope.interface import Interface, implementer

from txsessions import Site, keep
from txsessions.errors import KeyFileError, WrongThread


class ICounter(Interface):
    """
    A component made by an adapter.
    """


class IProfile(Interface):
    """
    A component set by hand.
    """


@implementer(ICounter)
class Counter:
    """
    The adapter, as in Twisted's manual.
    """

    def __init__(self, session):
        self.value = 0


@implementer(IProfile)
@attrs.define
class Profile:
    """
    What is set by hand.
    """

    name: str
    since: datetime.date


registerAdapter(Counter, server.Session, ICounter)
keep(IProfile, Profile)


class OwnSession(server.Session):
    """
    An application's own class.
    """

    sessionTimeout = 5000


def within(test):
    """
    Run a coroutine as a test.
    """

    def run(self):
        return ensureDeferred(test(self))

    run.__doc__ = test.__doc__
    run.__name__ = test.__name__
    return run


class RestartTests(TestCase):
    """
    A site ends, and another begins on the same file.
    """

    def setUp(self):
        """
        Choose the file.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        self.path = os.path.join(folder, "sessions.sqlite")
        self.running = set()
        self.addCleanup(self.stopAll)

    def start(self, **options):
        """
        Begin.
        """
        site = Site(Resource(), store=f"sqlite:{self.path}", **options)
        site.log = lambda request: None
        site.startFactory()
        site.startSessions()
        self.running.add(site)
        return site

    async def stop(self, site):
        """
        End.
        """
        self.running.remove(site)
        site.stopFactory()
        await site.closed()

    def stopAll(self):
        """
        End what is left.
        """
        return gatherResults(
            [ensureDeferred(self.stop(site)) for site in list(self.running)]
        )

    @within
    async def test_everything(self):
        """
        Attributes, namespaces, components of adapters and components set by
        hand are there again, and the session's own times.
        """
        site = self.start()
        session = site.makeSession()
        session.user = "maja"
        session.visits = [1, {"when": datetime.datetime(2020, 1, 1)}]
        session.sessionNamespaces["cart"] = {"pears": 3, (1, 2): {b"x"}}
        ICounter(session).value = 7
        session.setComponent(IProfile, Profile("maja", datetime.date(2020, 1, 1)))
        session.sessionTimeout = 77
        uid, made = session.uid, session._createdAt
        await self.stop(site)
        for _ in range(2):
            site = self.start()
            session = await site.loadSession(uid)
            self.assertEqual(session.user, "maja")
            self.assertEqual(session.visits[1]["when"].year, 2020)
            self.assertEqual(session["cart"], {"pears": 3, (1, 2): {b"x"}})
            self.assertEqual(ICounter(session).value, 7)
            self.assertEqual(IProfile(session).since, datetime.date(2020, 1, 1))
            self.assertEqual(session.sessionTimeout, 77)
            self.assertEqual((session.uid, session._createdAt), (uid, made))
            self.assertTrue(session._expireCall.active())
            await self.stop(site)

    @within
    async def test_ownClass(self):
        """
        So it is with an application's own class.
        """
        site = self.start()
        site.sessionFactory = OwnSession
        session = site.makeSession()
        session.user = "maja"
        await session.save()
        uid = session.uid
        await self.stop(site)
        site = self.start()
        site.sessionFactory = OwnSession
        session = await site.loadSession(uid)
        self.assertIsInstance(session, OwnSession)
        self.assertEqual(session.user, "maja")
        self.assertEqual(session.sessionTimeout, 5000)

    @within
    async def test_ended(self):
        """
        A session that has ended has ended.
        """
        site = self.start()
        session, other = site.makeSession(), site.makeSession()
        session["a"] = other["a"] = 1
        await session.save()
        await other.save()
        await session.expire()
        await self.stop(site)
        site = self.start()
        self.assertIs(await site.loadSession(session._uid), None)
        self.assertEqual((await site.loadSession(other._uid))["a"], 1)

    @within
    async def test_twoAtOnce(self):
        """
        Two sites on one file, as two processes have it, see what the other has
        saved.
        """
        one, two = self.start(), self.start()
        session = one.makeSession()
        session["a"] = 1
        await session.save()
        other = await two.loadSession(session._uid)
        self.assertIsNot(other, session)
        other["b"] = 2
        session["c"] = 3
        await other.save()
        await session.save()
        self.assertEqual(session.sessionNamespaces, {"a": 1, "b": 2, "c": 3})
        self.assertIs(await two.loadSession(session._uid), other)
        self.assertEqual(other.sessionNamespaces, {"a": 1, "b": 2, "c": 3})
        await other.expire()
        self.assertIs(await one.loadSession(session._uid), None)
        self.assertRaises(KeyError, one.getSession, session._uid)

    @within
    async def test_keyIsLost(self):
        """
        Without its key file the database is not opened.
        """
        site = self.start()
        session = site.makeSession()
        session["a"] = 1
        await self.stop(site)
        os.rename(f"{self.path}.key", f"{self.path}.key.lost")
        site = Site(Resource(), store=f"sqlite:{self.path}")
        self.assertRaises(KeyFileError, site.startSessions)
        os.rename(f"{self.path}.key.lost", f"{self.path}.key")
        site = self.start()
        self.assertEqual((await site.loadSession(session._uid))["a"], 1)

    @within
    async def test_nothingToFind(self):
        """
        Neither the uid nor what is in the session is in the files.
        """
        site = self.start()
        session = site.makeSession()
        session["secret"] = "pineapple" * 5
        await session.save()
        uid = session.uid
        await self.stop(site)
        folder = os.path.dirname(self.path)
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
            for hidden in (uid, bytes.fromhex(uid.decode()), b"pineapple", b"secret"):
                self.assertNotIn(hidden, data, name)

    @within
    async def test_thread(self):
        """
        A session that is used in a thread of the reactor's pool says so.
        """
        site = self.start()
        session = site.makeSession()
        error = await self.failing(deferToThread(session.touch))
        self.assertIn("callFromThread", str(error))
        error = await self.failing(deferToThread(session.expire))
        self.assertRaises(RuntimeError, self.reraise, error)
        session.touch()

    async def failing(self, deferred):
        """
        What a Deferred fails with.
        """
        try:
            await deferred
        except WrongThread as error:
            return error
        return self.fail("it did not fail")

    def reraise(self, error):
        """
        Raise it again.
        """
        raise error

    @within
    async def test_realReactor(self):
        """
        With the reactor of the program, a session runs out by itself.
        """
        site = Site(Resource())
        session = site.makeSession()
        gone = Deferred()
        session.notifyOnExpire(lambda: gone.callback(None))
        session.sessionTimeout = 0.01
        self.assertIs(session._reactor, reactor)
        await gone
        self.assertEqual(dict(site.sessions), {})
