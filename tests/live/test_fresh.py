"""
Tests of L{txsessions.live.fresh}: what comes out the same each time is no state.
"""

from __future__ import annotations

import os

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.components import registerAdapter
from twisted.web import server
from zope.interface import Interface

from tests.live.sites import LiveCase
from txsessions import Session
from txsessions.live import fresh

made = []


class ISteady(Interface):
    """
    The same each time.
    """


class IToken(Interface):
    """
    Another each time.
    """


class IFunction(Interface):
    """
    Made by a function.
    """


class ICounting(Interface):
    """
    Something with others inside.
    """


class Steady:
    """
    An adapter that comes out the same each time, way back included.
    """

    def __init__(self, session):
        made.append(self)
        self.session = session
        self.things = []


class Token:
    """
    An adapter that comes out different each time.
    """

    def __init__(self, session):
        self.token = os.urandom(8)


class Counting:
    """
    An adapter that uses another one, and itself.
    """

    def __init__(self, session):
        self.other = len(ISteady(session).things)


class Function:
    """
    What a function makes.
    """

    def __init__(self):
        self.value = 0


registerAdapter(Steady, server.Session, ISteady)
registerAdapter(Token, server.Session, IToken)
registerAdapter(Counting, server.Session, ICounting)
registerAdapter(lambda session: Function(), server.Session, IFunction)


class Attributes(server.Session):
    """
    A session class with attributes.
    """

    def __init__(self, *args):
        server.Session.__init__(self, *args)
        self.visits = 0
        self.names = []


class Random(server.Session):
    """
    A session class with a token.
    """

    def __init__(self, *args):
        server.Session.__init__(self, *args)
        self.token = os.urandom(8)


class Logging(server.Session):
    """
    A session class with something that cannot be kept.
    """

    def __init__(self, *args):
        server.Session.__init__(self, *args)
        self.log = Logger()


class FreshCase(LiveCase):
    """
    Knows nothing of what other tests have seen.
    """

    def setUp(self):
        """
        Forget it.
        """
        super().setUp()
        self.patch(fresh, "_sessions", {})
        self.patch(fresh, "_components", {})
        del made[:]

    def both(self, cls=None):
        """
        A session of a site with a store, and one without.
        """
        for store in (self.store, None):
            site = self.site(store)
            if cls is not None:
                site.sessionFactory = cls
            site._live.isMaking = True
            session = site.makeSession()
            site._live.isMaking = False
            yield session


class ComponentTests(FreshCase):
    """
    Components that their adapter has just made.
    """

    def test_steady(self):
        """
        One that comes out the same each time is not worth keeping until it
        changes.
        """
        for session in self.both():
            ISteady(session)
            self.assertTrue(session._isBare())
            ISteady(session).things.append(1)
            self.assertFalse(session._isBare())
            ISteady(session).things.pop()
            self.assertTrue(session._isBare())

    def test_onceAClass(self):
        """
        To see that, one more is made for each class, not each session.
        """
        sessions = [session for _ in range(3) for session in self.both()]
        for session in sessions:
            ISteady(session)
        self.assertEqual(len(made), len(sessions) + 1)

    def test_token(self):
        """
        One that comes out different is kept at once, also the first of all.
        """
        for session in self.both():
            token = IToken(session).token
            self.assertFalse(session._isBare())
            if session._entry is not None:
                self.successResultOf(session.save())
                other = self.load(self.another(), session)
                self.assertEqual(IToken(other).token, token)

    def test_changedBack(self):
        """
        One that the store has is kept, though it is as new again.
        """
        session = self.site().makeSession()
        ISteady(session).things.append(1)
        self.successResultOf(session.save())
        ISteady(session).things.pop()
        self.successResultOf(session.save())
        self.assertEqual(len(session._entry.parts), 1)
        self.assertEqual(ISteady(self.load(self.another(), session)).things, [])

    def test_inAStoredSession(self):
        """
        In a session that the store has, a fresh one changes nothing.
        """
        site = self.site()
        session = self.saved(site, a=1)
        other = self.load(self.another(), session)
        ISteady(other)
        calls = other.site._live.store.calls
        before = list(calls)
        self.successResultOf(other.save())
        self.assertEqual(calls, before)

    def test_usesAnother(self):
        """
        An adapter may use another one.
        """
        for session in self.both():
            ICounting(session)
            self.assertTrue(session._isBare())

    def test_function(self):
        """
        What a function makes stays here, for its class was not named.
        """
        for session in self.both():
            IFunction(session)
            self.assertFalse(session._isBare())

    def test_withoutASite(self):
        """
        A session without a site can tell nothing, and spoils nothing.
        """
        alone = Session(None, b"0", Clock())
        ISteady(alone)
        self.assertFalse(alone._isBare())
        self.assertEqual(fresh._components, {})
        self.test_steady()


class SessionTests(FreshCase):
    """
    Sessions that have just been made.
    """

    def test_bare(self):
        """
        One of our class with nothing in it is as it was made.
        """
        for session in self.both():
            self.assertTrue(session._isBare())
            self.assertEqual(fresh._sessions, {})

    def test_touched(self):
        """
        Whatever is put into it makes it worth keeping.
        """
        changes = (
            lambda session: setattr(session, "user", 1),
            lambda session: session.sessionNamespaces.setdefault("a", None),
            lambda session: session.setComponent(ISteady, 1),
            lambda session: session.notifyOnExpire(list),
            lambda session: session.uid,
        )
        for change in changes:
            for session in self.both():
                change(session)
                self.assertFalse(session._isBare())

    def test_attributes(self):
        """
        What a class puts into each session is not worth keeping until it
        changes; also in the first one of all.
        """
        for session in self.both(Attributes):
            self.assertTrue(session._isBare())
            session.names.append(1)
            self.assertFalse(session._isBare())
            session.names.pop()
            self.assertTrue(session._isBare())
            del session.visits
            self.assertFalse(session._isBare())

    def test_random(self):
        """
        What comes out different each time is kept at once, also of the first.
        """
        for session in self.both(Random):
            self.assertFalse(session._isBare())

    def test_unkeepable(self):
        """
        What cannot be kept is as it was made, if each has it.
        """
        for session in self.both(Logging):
            self.assertTrue(session._isBare())
            session.other = Logger()
            self.assertFalse(session._isBare())

    def test_cannotBeMade(self):
        """
        If none can be made to compare it with, it is kept.
        """
        for session in self.both(Attributes):
            session.site.sessionFactory = Session
            self.assertFalse(session._isBare())
        site = self.site()
        site.sessionFactory = Random
        session = site.makeSession()
        site.sessionFactory = lambda site, uid: 1 / 0
        self.assertFalse(session._isBare())

    def test_cannotBeKept(self):
        """
        What is beyond the limits is worth keeping; the error comes later.
        """
        for session in self.both(Attributes):
            session.names.append("\ud800")
            self.assertFalse(session._isBare())
