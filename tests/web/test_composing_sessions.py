"""
An application's own classes of sessions, which know Twisted's only: they stay what
they are, and are durable all the same.
"""

from __future__ import annotations

from twisted.python.components import registerAdapter
from twisted.web import server
from twisted.web.resource import Resource
from zope.interface import Interface, implementer

import txsessions
from tests.web.again import AgainCase, count
from txsessions.errors import ConfigurationError
from txsessions.web.composing import composeSession


class ICart(Interface):
    """
    What a visitor wants to buy.
    """


@implementer(ICart)
class Cart:
    """
    See L{ICart}.
    """

    def __init__(self, session):
        """
        @param session: Whose cart.
        """
        self.items = []


registerAdapter(Cart, server.Session, ICart)


class ShortSession(server.Session):
    """
    A session with its own idle time, as Twisted's manual shows it.
    """

    sessionTimeout = 5


class LoudSession(server.Session):
    """
    A session that overrides what it can, and calls Twisted's by name.
    """

    ended = 0
    touched = 0

    def expire(self):
        """
        See C{Session.expire}.
        """
        LoudSession.ended += 1
        server.Session.expire(self)

    def touch(self):
        """
        See C{Session.touch}.
        """
        LoudSession.touched += 1
        server.Session.touch(self)


class RichSession(server.Session):
    """
    A session with more in it.
    """

    def __init__(self, site, uid, reactor=None):
        """
        See C{Session}.
        """
        super().__init__(site, uid, reactor)
        self.basket = ["bread"]
        self.theme = "light"


class BareSession(server.Session):
    """
    A session that does without C{Session.__init__}.
    """

    def __init__(self, site, uid):
        """
        See C{Session}.
        """
        self.user = None


class SlotSession(server.Session):
    """
    A session that has slots, as ours has.
    """

    __slots__ = ("mine",)


class SessionTests(AgainCase):
    """
    A C{sessionFactory} that is not ours.
    """

    def use(self, factory):
        """
        Serve with a factory.
        """

        class OwnSite(txsessions.Site):
            """
            A site with its own sessions.
            """

            sessionFactory = factory if isinstance(factory, type) else None

            def __init__(self, *args, **how):
                """
                See L{txsessions.Site}.
                """
                super().__init__(*args, **how)
                self.sessionFactory = factory

        self.factory = OwnSite
        return self.serve(self.render, OwnSite)

    def render(self, request):
        """
        The page.
        """
        session = request.getSession()
        self.assertIsInstance(session, server.Session)
        if request.path == b"/out":
            session.expire()
            return b"bye"
        ICart(session).items.append("milk")
        if hasattr(session, "basket"):
            session.basket.append("eggs")
        return count(request)

    def restartAs(self, client):
        """
        Start again with the same factory.

        @return: The body of the next answer to the same browser.
        """
        site = self.restart(self.render, factory=self.factory)
        return self.again(client, site).fetch().body

    def test_ownTimeout(self):
        """
        A session class's own idle time holds, also after a restart, and the
        callbacks run when it is over.
        """
        site = self.use(ShortSession)
        client = self.client()
        client.fetch()
        session = self.only()
        self.assertIsInstance(session, ShortSession)
        self.assertIsInstance(session, txsessions.Session)
        self.assertIs(site.sessionFactory, ShortSession)
        self.clock.advance(4)
        self.assertEqual(client.fetch().body, b"2")
        self.assertEqual(self.restartAs(client), b"3")
        told = []
        self.only().notifyOnExpire(lambda: told.append("over"))
        self.clock.advance(4.9)
        self.assertEqual(told, [])
        self.clock.advance(0.2)
        self.assertEqual(told, ["over"])
        self.assertEqual(self.stored(), 0)

    def test_ownExpire(self):
        """
        An C{expire} that calls Twisted's by name ends the session in the store
        too, and the callbacks run once.
        """
        LoudSession.ended = 0
        self.use(LoudSession)
        client = self.client()
        client.fetch()
        told = []
        session = self.only()
        session.notifyOnExpire(lambda: told.append("over"))
        kept = client.sent()
        answer = client.fetch("/out")
        self.assertTrue(answer.deletes)
        self.assertEqual((LoudSession.ended, told, self.stored()), (1, ["over"], 0))
        site = self.restart(self.render, factory=self.factory)
        late = self.client(site=site)
        late.sendBytes(
            late.render(headers=(f"Cookie: {kept[0].decode()}",), cookies=False)
        )
        self.assertEqual(late.answer().body, b"1")

    def test_ownTouch(self):
        """
        A C{touch} of its own is called once a request, and moves the deadline.
        """
        site = self.use(LoudSession)
        client = self.client()
        client.fetch()
        LoudSession.touched = 0
        self.clock.advance(800)
        self.again(client, site).fetch()
        self.assertEqual(LoudSession.touched, 1)
        self.clock.advance(800)
        self.assertEqual(self.again(client, site).fetch().body, b"3")

    def test_ownAttributes(self):
        """
        What its C{__init__} puts into it is kept as it has become.
        """
        self.use(RichSession)
        client = self.client()
        client.fetch()
        client.fetch()
        self.only().theme = "dark"
        self.assertEqual(self.restartAs(client), b"3")
        session = self.only()
        self.assertIsInstance(session, RichSession)
        self.assertEqual(session.basket, ["bread", "eggs", "eggs", "eggs"])
        self.assertEqual(session.theme, "dark")
        self.assertEqual(ICart(session).items, ["milk"] * 3)

    def test_ownAttributesAreNotWorthKeeping(self):
        """
        What comes out the same each time is not kept for its own sake.
        """
        site = self.use(RichSession)
        site.resource.render = lambda request: request.getSession() and b"blank"
        self.assertFalse(self.client().fetch().sets)
        self.assertEqual(self.stored(), 0)

    def test_withoutInit(self):
        """
        A class may do without C{Session.__init__}.
        """
        self.use(BareSession)
        client = self.client()
        client.fetch()
        self.assertEqual(client.fetch().body, b"2")
        session = self.only()
        session.user = "alice"
        self.assertEqual(len(session.uid), 64)
        self.assertEqual(self.restartAs(client), b"3")
        self.assertEqual(self.only().user, "alice")
        self.assertEqual(self.only().lastModified, self.clock.seconds())

    def test_slots(self):
        """
        A class whose slots are in the way is refused when the site starts, and
        the message says what to do.
        """
        site = txsessions.Site(Resource(), reactor=self.clock)
        site.sessionFactory = SlotSession
        error = self.assertRaises(ConfigurationError, site.startFactory)
        self.assertIn("SlotSession", str(error))
        self.assertIn("txsessions.Session", str(error))

    def test_function(self):
        """
        A function is called with the site and the uid.
        """
        called = []

        def make(site, uid):
            session = txsessions.Session(site, uid)
            session.sessionTimeout = 60
            called.append((site, len(uid)))
            return session

        site = self.use(make)
        client = self.client()
        client.fetch()
        self.assertEqual(set(called), {(site, 64)})
        self.assertIs(site.sessionFactory, make)
        self.assertEqual(self.restartAs(client), b"2")
        self.assertEqual(self.only().sessionTimeout, 60)
        self.clock.advance(60)
        self.assertEqual(len(self.sites[-1].sessions), 0)

    def test_functionThatKnowsTwistedsOnly(self):
        """
        A function may make sessions of Twisted's class: they are durable as
        well.
        """
        for cls in (server.Session, ShortSession):
            with self.subTest(cls=cls):

                def make(site, uid, cls=cls):
                    session = cls(site, uid, site.reactor)
                    session.colour = "red"
                    session.sessionNamespaces["greeting"] = "hello"
                    return session

                self.use(make)
                client = self.client(site=self.sites[-1])
                client.fetch()
                session = self.only()
                self.assertIsInstance(session, cls)
                self.assertIsInstance(session, txsessions.Session)
                self.assertEqual(session.colour, "red")
                self.assertEqual(self.restartAs(client), b"2")
                self.assertEqual(self.only().sessionNamespaces["greeting"], "hello")
                self.clock.advance(cls.sessionTimeout)
                self.assertEqual(len(self.sites[-1].sessions), 0)

    def test_functionThatMakesSomethingElse(self):
        """
        What is no session at all is refused with a message.
        """
        self.expects500 = True
        self.use(lambda site, uid: object())
        self.assertEqual(self.client().fetch().code, 500)
        [failure] = self.flushLoggedErrors(ConfigurationError)
        self.assertIn("sessionFactory made a builtins.object", str(failure.value))

    def test_untouched(self):
        """
        Our own class stays, and what derives from it; Twisted's becomes ours;
        each other is composed once.
        """

        class Ours(txsessions.Session):
            """
            Derived from ours.
            """

        self.assertIs(composeSession(Ours), Ours)
        self.assertIs(composeSession(server.Session), txsessions.Session)
        self.assertIs(composeSession(ShortSession), composeSession(ShortSession))

    def test_withoutAStore(self):
        """
        All this works in memory too.
        """

        def make(site, uid):
            return server.Session(site, uid)

        factories = [
            ShortSession,
            LoudSession,
            RichSession,
            BareSession,
            make,
        ]
        for factory in factories:
            with self.subTest(factory=factory):
                site = self.serve(self.render, store=None)
                site.sessionFactory = factory
                client = self.client(site=site)
                client.fetch()
                self.assertEqual(client.fetch().body, b"2")
                self.assertTrue(client.fetch("/out").deletes)
                self.assertEqual(len(site.sessions), 0)
