"""
Tests of L{txsessions.live.session}.
"""

from __future__ import annotations

import subprocess
import sys

from twisted.internet.task import Clock
from twisted.python.components import Componentized, registerAdapter
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import server
from twisted.web.resource import Resource
from twisted.web.test.requesthelper import DummyRequest
from zope.interface import Interface

from tests.crash.nursery import environment
from tests.live.sites import NOW, LiveCase
from txsessions import Session, Site
from txsessions.core.uid import isUid
from txsessions.live.phases import ENDED
from txsessions.stores.memory import MemoryStore
from txsessions.web.composing import composeSession

MEMBERS = {
    "__conform__",
    "__init__",
    "_adapterCache",
    "_expireCall",
    "_reactor",
    "addAdapter",
    "addComponent",
    "expire",
    "expireCallbacks",
    "getComponent",
    "lastModified",
    "locateAdapterClass",
    "notifyOnExpire",
    "persistenceVersion",
    "removeComponent",
    "sessionNamespaces",
    "sessionTimeout",
    "setAdapter",
    "setComponent",
    "site",
    "startCheckingExpiration",
    "touch",
    "uid",
    "unsetComponent",
}
"""What C{twisted.web.server.Session} has."""


MEASURE = """
import sys, tracemalloc
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from txsessions import Site
site = Site(Resource(), reactor=Clock(), store=sys.argv[1] or None)
site.makeSession()
tracemalloc.start()
before = tracemalloc.get_traced_memory()[0]
for _ in range(10_000):
    site.makeSession()
print((tracemalloc.get_traced_memory()[0] - before) / 10_000)
"""
"""Prints how many bytes a session takes in a process of its own."""


class IRegistered(Interface):
    """
    What stock sessions are adapted to here.
    """


class Registered:
    """
    The adapter.
    """

    def __init__(self, session):
        self.session = session


registerAdapter(Registered, server.Session, IRegistered)


class Sessionless:
    """
    A site that keeps no sessions.
    """

    def __init__(self, clock):
        self.reactor = clock


class Bot(server.Session):
    """
    A session class that goes its own way: it calls no C{Session.__init__}, has
    another signature, and a C{uid} that cannot be set.
    """

    def __init__(self, site, token=None):
        self.site = site
        Componentized.__init__(self)
        self.user_info = {"anonymous": True}
        self.ended = 0

    @property
    def uid(self):
        """
        It is made of the claims.
        """
        return b"token"

    def expire(self):
        """
        Nobody is signed in any more.
        """
        self.ended += 1
        self.user_info = {"anonymous": True}


class TwoArguments(server.Session):
    """
    A session class that calls its base by name.
    """

    def __init__(self, site, uid):
        server.Session.__init__(self, site, uid)
        self.seen = []


class MadeByItself(server.Session):
    """
    A session class that makes its objects as C{object} does.
    """

    def __new__(cls, *args, **kwargs):
        """
        Make one.
        """
        made = object.__new__(cls)
        made.seen = []
        return made


class MadeByBase(server.Session):
    """
    One that has its base make them.
    """

    def __new__(cls, *args, **kwargs):
        """
        Make one.
        """
        made = super().__new__(cls)
        made.seen = []
        return made


class Delegating(server.Session):
    """
    A session class that looks elsewhere for what it has not.
    """

    def __getattr__(self, name):
        if name.startswith("_") or name == "colours":
            raise AttributeError(name)
        return self.colours[name]


class MemberTests(SynchronousTestCase):
    """
    A session by itself.
    """

    def setUp(self):
        """
        Make one.
        """
        self.clock = Clock()
        self.clock.advance(NOW)
        self.session = Session(None, b"0", self.clock)

    def test_members(self):
        """
        It has every member of Twisted's session, and is one.
        """
        self.assertIsInstance(self.session, server.Session)
        for name in MEMBERS:
            self.assertTrue(hasattr(self.session, name), name)
        stock = server.Session(None, b"0", self.clock)
        for name in [*dir(stock), *vars(stock)]:
            self.assertTrue(hasattr(self.session, name), name)
        self.assertEqual(self.session.persistenceVersion, stock.persistenceVersion)

    def test_uid(self):
        """
        C{uid} is the same object each time, and can be set.
        """
        self.assertIs(self.session.uid, self.session.uid)
        self.assertEqual(self.session.uid, b"0")
        self.session.uid = b"1"
        self.assertEqual(self.session.uid, b"1")

    def test_defaults(self):
        """
        What was not set is as in Twisted's.
        """
        self.assertEqual(self.session.lastModified, NOW)
        self.assertIs(self.session._reactor, self.clock)
        self.assertIs(self.session.site, None)
        self.assertEqual(self.session.expireCallbacks, [])
        self.assertEqual(self.session._adapterCache, {})
        self.assertIs(self.session._expireCall, None)
        self.assertEqual(self.session.sessionNamespaces, {})
        self.session.sessionNamespaces["a"] = 1
        self.assertEqual(self.session.sessionNamespaces, {"a": 1})

    def test_noSuchAttribute(self):
        """
        What it does not have is missing.
        """
        error = self.assertRaises(AttributeError, lambda: self.session.nothing)
        self.assertIn("'Session' object has no attribute 'nothing'", str(error))

    def test_reactorOfTheSite(self):
        """
        The reactor is that of the site, if none is given.
        """
        session = Session(Sessionless(self.clock), b"0")
        self.assertIs(session._reactor, self.clock)
        self.assertEqual(session.lastModified, NOW)

    def test_withoutInit(self):
        """
        A class that calls no C{__init__} works by itself, too.
        """

        class Bare(Session):
            """
            Makes nothing.
            """

            def __init__(self):
                pass

        session = Bare()
        self.assertEqual((session.uid, session.site), (b"", None))
        self.assertIs(session._reactor, None)
        session._reactor = self.clock
        session.touch()
        session.startCheckingExpiration()
        self.assertEqual(session._createdAt, NOW)
        self.clock.advance(900)
        self.assertEqual(session._phase, ENDED)

    def test_dummyRequest(self):
        """
        Twisted's fake request works with a session that has no site.
        """
        request = DummyRequest([b""], self.session)
        session = request.getSession()
        self.assertIs(session, self.session)
        self.assertIsInstance(session.getComponent(IRegistered), Registered)
        session.touch()
        session.startCheckingExpiration()
        session.notifyOnExpire(lambda: ended.append(1))
        ended = []
        self.successResultOf(session.save())
        self.successResultOf(session.expire())
        self.successResultOf(session.expire())
        self.assertEqual(ended, [1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_siteWithoutSessions(self):
        """
        A session of a site that keeps none ends all the same.
        """
        session = Session(Sessionless(self.clock), b"0")
        session.startCheckingExpiration()
        ended = []
        session.notifyOnExpire(lambda: ended.append(1))
        self.clock.advance(900)
        self.assertEqual(ended, [1])

    def test_stockSite(self):
        """
        It serves a site of Twisted's as C{sessionFactory}.
        """
        site = server.Site(Resource(), reactor=self.clock)
        site.sessionFactory = Session
        session = site.makeSession()
        self.assertEqual(site.getSession(session.uid), session)
        self.clock.advance(900)
        self.assertEqual(site.sessions, {})

    def test_repr(self):
        """
        It looks like its tag, never like its uid.
        """
        self.assertEqual(repr(self.session), "<Session without a site>")
        session = Site(Resource(), reactor=self.clock).makeSession()
        self.assertRegex(repr(session), "^<Session [0-9a-f]{16}>$")
        self.assertNotIn(session.uid.decode(), repr(session))

    def test_true(self):
        """
        It is true, empty or not.
        """
        self.assertTrue(self.session)


class MadeBySitesTests(LiveCase):
    """
    Sessions that a site makes, of whatever class.
    """

    def test_makeSession(self):
        """
        A session made by hand is live, and runs out.
        """
        site = self.site()
        session = site.makeSession()
        self.assertTrue(isUid(session.uid))
        self.assertIs(session.site, site)
        self.assertIs(site.sessions[session.uid], session)
        self.assertIs(site.getSession(session.uid), session)
        self.assertIs(self.load(site, session), session)
        self.assertEqual(site.counter, 1)
        self.clock.advance(900)
        self.assertRaises(KeyError, site.getSession, session.uid)

    def test_bot(self):
        """
        A class that calls no C{__init__} and has no settable uid works, and is
        kept.
        """
        site = self.site()
        site.sessionFactory = Bot
        session = site.makeSession()
        self.assertIsInstance(session, Bot)
        self.assertIsInstance(session, Session)
        self.assertEqual(session.uid, b"token")
        self.assertEqual(session._createdAt, NOW)
        session.user_info["name"] = "maja"
        session["cart"] = 1
        self.clock.advance(10)
        session.touch()
        self.assertEqual(session.lastModified, NOW + 10)
        self.assertEqual(session._createdAt, NOW)
        self.successResultOf(session.save())
        process = self.another()
        process.sessionFactory = Bot
        other = self.load(process, session)
        self.assertEqual(other.user_info, {"anonymous": True, "name": "maja"})
        self.assertEqual(other.sessionNamespaces, {"cart": 1})

    def test_botRunsOut(self):
        """
        When its time is up, its own C{expire} is called, and it ends.
        """
        for store in (None, self.store):
            site = self.site(store)
            site.sessionFactory = Bot
            session = site.makeSession()
            session.user_info = {"name": "maja"}
            session.sessionTimeout = 30
            self.clock.advance(30)
            self.assertEqual(session.ended, 1)
            self.assertEqual(session._phase, ENDED)
            self.assertEqual(dict(site.sessions), {})

    def test_twoArguments(self):
        """
        A class with two arguments that calls its base by name is kept.
        """
        site = self.site()
        site.sessionFactory = TwoArguments
        session = site.makeSession()
        session.seen.append("door")
        self.assertEqual(session._createdAt, NOW)
        self.successResultOf(session.save())
        process = self.another()
        process.sessionFactory = TwoArguments
        self.assertEqual(self.load(process, session).seen, ["door"])

    def test_function(self):
        """
        A function as factory is called with the site and the uid.
        """
        site = self.site()
        asked = []

        def make(site, uid):
            asked.append((site, uid))
            return TwoArguments(site, uid)

        site.sessionFactory = make
        session = site.makeSession()
        self.assertEqual(asked, [(site, session._uid)])
        self.assertIsInstance(session, TwoArguments)
        self.successResultOf(session.save())
        self.assertTrue(self.record(session))

    def test_getattr(self):
        """
        A C{__getattr__} of the application's is not asked for what is ours, and
        is for the rest.
        """
        for store in (None, self.store):
            site = self.site(store)
            site.sessionFactory = Delegating
            session = site.makeSession()
            self.assertEqual(session.sessionNamespaces, {})
            session.colours = {"red": 1}
            self.assertEqual(session.red, 1)
            self.assertRaises(KeyError, lambda: session.blue)
            self.assertRaises(AttributeError, lambda: session._blue)
            self.successResultOf(session.expire())

    def test_madeByItself(self):
        """
        A class may make its objects without asking ours, or asking it.
        """
        for site in (self.site(None), self.site()):
            for cls in (MadeByItself, MadeByBase):
                site.sessionFactory = cls
                session = site.makeSession()
                self.assertIsInstance(session, cls)
                self.assertEqual(session.seen, [])
                self.assertEqual(session.sessionNamespaces, {})
                session["a"] = 1
                self.successResultOf(session.save())
                self.assertIs(site.getSession(session._uid), session)
                self.successResultOf(session.expire())

    def test_getattrInherited(self):
        """
        So it is in a subclass, which has not got one of its own, and in one
        that extends it.
        """

        class Heir(composeSession(Delegating)):
            """
            Has its own.
            """

            def __getattr__(self, name):
                return 7 if name == "seven" else super().__getattr__(name)

        class Grandchild(Heir):
            """
            Has none.
            """

        for cls in (Heir, Grandchild):
            session = cls(None, b"0", self.clock)
            session.colours = {"red": 1}
            self.assertEqual([session.seven, session.red], [7, 1])
            self.assertIs(session._due, None)
            self.assertEqual(session.expireCallbacks, [])

    def test_setUid(self):
        """
        A uid that is set makes it be found by that one, here and in the store.
        """
        site = self.site()
        session = self.saved(site, a=1)
        old = session.uid
        session.uid = b"a1" * 32
        self.assertNotIn(old, site.sessions)
        self.assertIs(site.getSession(b"a1" * 32), session)
        self.successResultOf(session.save())
        self.assertEqual(self.store.calls[-1], "rename")
        self.assertEqual(self.load(self.another(), session)["a"], 1)

    def test_stockExpire(self):
        """
        Code that calls the C{expire} of Twisted's class ends the session too.
        """
        for store in (None, self.store):
            site = self.site(store)
            session = site.makeSession()
            session["a"] = 1
            self.successResultOf(session.save())
            ended = []
            session.notifyOnExpire(lambda: 1 / 0)
            session.notifyOnExpire(lambda: ended.append(1))
            self.heard.told()
            server.Session.expire(session)
            self.assertEqual(ended, [1])
            self.assertEqual(self.heard.told(), ["ended expire"])
            self.assertEqual(session._phase, ENDED)
            self.assertIs(self.record(session), None)
            error = self.assertRaises(KeyError, server.Session.expire, session)
            self.assertNotIn(session.uid, error.args)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_size(self):
        """
        A live, empty session takes at most 600 bytes; one of a site with a store
        that somebody made by hand, 900.
        """
        for store, limit in ((None, 600), (MemoryStore(), 900)):
            site = Site(Resource(), reactor=self.clock, store=store, keys=None)
            for _ in range(10_000):
                site.makeSession()
            # Python makes objects larger after others of the class had more in them,
            # as other tests' have.
            told = subprocess.run(
                [sys.executable, "-c", MEASURE, "" if store is None else "memory:"],
                env=environment(),
                stdout=subprocess.PIPE,
                check=True,
            )
            taken = float(told.stdout)
            self.assertLess(taken, limit)
            self.assertGreater(taken, 200)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.successResultOf(site.closed())
            self.assertEqual(self.clock.getDelayedCalls(), [])
