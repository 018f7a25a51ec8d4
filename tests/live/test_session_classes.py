"""
Tests of L{txsessions.live.session}: classes that put something of their own in the place
of what ours fills, finds or makes on first use.
"""

from __future__ import annotations

import copy

from twisted.web import server

from tests.live.sites import LiveCase
from txsessions import Session
from txsessions.web.composing import composeSession


class Numbered:
    """
    Something else that a class of sessions derives from, which counts what is made.
    """

    made = 0

    def __new__(cls, *args, **how):
        """
        Make one more.
        """
        Numbered.made += 1
        made = super().__new__(cls)
        made.number = Numbered.made
        return made


class Raw(server.Session):
    """
    Makes itself of nothing.
    """

    def __new__(cls, *args, **how):
        """
        Make one.
        """
        return object.__new__(cls)


class RawWithInit(Raw):
    """
    The same, with a C{__init__} that calls Twisted's by name.
    """

    def __init__(self, site, uid):
        """
        See C{Session}.
        """
        server.Session.__init__(self, site, uid)


class MakingTests(LiveCase):
    """
    Classes that have a C{__new__}.
    """

    def test_raw(self):
        """
        A session that did not come to our C{__new__} is one like others.
        """
        for cls in (Raw, RawWithInit):
            site = self.site()
            site.sessionFactory = cls
            session = site.makeSession()
            self.assertEqual(
                (session.sessionNamespaces, session.expireCallbacks, session._due),
                ({}, [], session._createdAt + session.sessionTimeout),
            )
            self.assertRaises(AttributeError, lambda: session.nothing)
            session["a"] = 1
            self.successResultOf(session.save())
            process = self.another()
            process.sessionFactory = cls
            self.assertEqual(self.load(process, session)["a"], 1)
            self.successResultOf(session.expire())

    def test_behind(self):
        """
        A C{__new__} that comes after ours is called, one that comes before too.
        """

        class After(Session, Numbered):
            """
            Ours first.
            """

        class Before(Numbered, server.Session):
            """
            Twisted's last.
            """

        for cls in (After, composeSession(Before)):
            session = cls(None, b"0", self.clock)
            self.assertEqual(session.number, Numbered.made)
            self.assertEqual(session.sessionNamespaces, {})

    def test_copy(self):
        """
        A copy is of the same class and has the same in it.
        """
        session = Session(None, b"0", self.clock)
        session["a"] = 1
        session.colour = "red"
        other = copy.copy(session)
        self.assertIs(other.sessionNamespaces, session.sessionNamespaces)
        self.assertEqual((other.colour, other.uid), ("red", b"0"))


class OwnPlaceTests(LiveCase):
    """
    Twisted's attributes, where a class has something under their names, or under those
    that are near.
    """

    def test_names(self):
        """
        What an application calls its own is its own, and is kept.
        """
        site = self.site()
        session = self.saved(site, a=1)
        session._callbacks = {"b": 2}
        session._namespaces = ["c"]
        told = []
        session.notifyOnExpire(lambda: told.append(1))
        self.assertEqual(session.sessionNamespaces, {"a": 1})
        self.successResultOf(session.save())
        found = self.load(self.another(), session)
        self.assertEqual((found._callbacks, found._namespaces), ({"b": 2}, ["c"]))
        self.successResultOf(session.expire())
        self.assertEqual(told, [1])

    def test_elsewhere(self):
        """
        A session with an expiry callback is kept, wherever its class has callbacks.
        """
        places = {}

        class Elsewhere(Session):
            """
            Has its callbacks elsewhere.
            """

            @property
            def expireCallbacks(self):
                """
                See C{Session.expireCallbacks}.
                """
                return places.setdefault(id(self), [])

            @expireCallbacks.setter
            def expireCallbacks(self, callbacks):
                places[id(self)] = callbacks

        site = self.site()
        for factory in (Session, Elsewhere):
            site.sessionFactory = factory
            session = site.makeSession()
            self.assertTrue(session._isBare())
            session.notifyOnExpire(lambda: None)
            self.assertFalse(session._isBare(), factory)

    def test_classAttributes(self):
        """
        A default in the class is what an instance has until it has its own.
        """

        class Default(Session):
            """
            Says what it begins with.
            """

            sessionNamespaces = {"a": 1}  # noqa: RUF012 - as programs do

        session = Default(None, b"0", self.clock)
        self.assertEqual(session["a"], 1)
        session.sessionNamespaces = {"b": 2}
        self.assertEqual(session["b"], 2)
        self.assertEqual(Default.sessionNamespaces, {"a": 1})

    def test_set(self):
        """
        They can be set and taken away: then they are empty.
        """
        session = Session(None, b"0", self.clock)
        for name, value, empty in (
            ("sessionNamespaces", {"a": 1}, {}),
            ("expireCallbacks", [print], []),
        ):
            setattr(session, name, value)
            self.assertIs(getattr(session, name), value)
            delattr(session, name)
            self.assertEqual(getattr(session, name), empty)
            self.assertIs(getattr(session, name), getattr(session, name))
            self.assertNotIn(name, vars(session))
