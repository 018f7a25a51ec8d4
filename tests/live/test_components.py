"""
Tests of L{txsessions.live.components}: components that come back.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.python import reflect
from twisted.python.components import Componentized, registerAdapter
from twisted.web import server
from zope.interface import Interface, implementer

from tests.live.sites import LiveCase
from txsessions import Session, keep


class ITray(Interface):
    """
    A tray.
    """


class IShelf(Interface):
    """
    A shelf, which is a tray too.
    """


class INote(Interface):
    """
    A note that nobody keeps.
    """


class IByHand(Interface):
    """
    What is set by hand.
    """


class IUnused(Interface):
    """
    Nobody has that.
    """


class INamed(Interface):
    """
    What is only spoken of by name.
    """


@implementer(ITray)
class Tray:
    """
    An adapter with a way back to its session.
    """

    def __init__(self, session):
        self.session = session
        self.things = []


@implementer(ITray, IShelf)
class Shelf:
    """
    An adapter for two interfaces at once.
    """

    multiComponent = True

    def __init__(self, session):
        self.things = []


@implementer(INote)
class Note:
    """
    An adapter that is made each time.
    """

    temporaryAdapter = True

    def __init__(self, session):
        self.text = ""


@implementer(IByHand)
class ByHand:
    """
    A component that the program puts there.
    """

    def __init__(self, value):
        self.value = value


registerAdapter(Tray, server.Session, ITray)
registerAdapter(Shelf, server.Session, IShelf)
registerAdapter(Note, server.Session, INote)
keep(IByHand, ByHand)


class ComponentTests(LiveCase):
    """
    What C{Componentized} does, and that it comes back.
    """

    def again(self, session):
        """
        Save a session and load it in another process.
        """
        self.successResultOf(session.save())
        return self.load(self.another(), session)

    def test_adapter(self):
        """
        A component made by an adapter for Twisted's class is found, kept, and
        comes back with its way to the session.
        """
        session = self.site().makeSession()
        tray = session.getComponent(ITray)
        self.assertIs(ITray(session), tray)
        self.assertIs(session.__conform__(ITray), tray)
        self.assertIs(tray.session, session)
        tray.things.append({"cup": (1, 2.5, b"three")})
        other = self.again(session)
        tray = ITray(other)
        self.assertIsInstance(tray, Tray)
        self.assertEqual(tray.things, [{"cup": (1, 2.5, b"three")}])
        self.assertIs(tray.session, other)
        self.assertIs(other.getComponent(ITray), tray)

    def test_default(self):
        """
        What there is no adapter for is the default.
        """
        session = self.site().makeSession()
        self.assertIs(session.getComponent(IUnused), None)
        self.assertEqual(session.getComponent(IUnused, 7), 7)
        self.assertRaises(TypeError, IUnused, session)

    def test_locateAdapterClass(self):
        """
        The class of an adapter is found as in Twisted.
        """
        session = self.site().makeSession()
        found = session.locateAdapterClass(session.__class__, ITray, None)
        self.assertIs(found, Tray)

    def test_temporary(self):
        """
        A temporary adapter is made each time, and not kept.
        """
        session = self.site().makeSession()
        session["a"] = 1
        INote(session).text = "gone"
        self.assertEqual(INote(session).text, "")
        self.assertEqual(session._adapterCache, {})
        self.assertEqual(INote(self.again(session)).text, "")

    def test_multiComponent(self):
        """
        An adapter for several interfaces is one object for all of them, also
        when it comes back, whichever is asked for first.
        """
        for first, second in ((IShelf, ITray), (ITray, IShelf)):
            session = self.site().makeSession()
            shelf = IShelf(session)
            session.addComponent(shelf, ignoreClass=1)
            self.assertIs(ITray(session), shelf)
            shelf.things.append("book")
            other = self.again(session)
            shelf = first(other)
            self.assertIsInstance(shelf, Shelf)
            self.assertIs(second(other), shelf)
            self.assertEqual(shelf.things, ["book"])
            before = len(other.site._live.store.calls)
            self.successResultOf(other.save())
            self.assertEqual(len(other.site._live.store.calls), before)

    def test_setComponent(self):
        """
        A component set by hand comes back if its class was declared for the
        interface, or it is plain data.
        """
        session = self.site().makeSession()
        session.setComponent(IByHand, ByHand({1, 2}))
        session.setComponent(IUnused, ["plain", {"data": None}])
        other = self.again(session)
        self.assertEqual(IByHand(other).value, {1, 2})
        self.assertEqual(other.getComponent(IUnused), ["plain", {"data": None}])

    def test_setOver(self):
        """
        A component that is set over one that was kept takes its place.
        """
        session = self.site().makeSession()
        session.setComponent(IByHand, ByHand("old"))
        other = self.again(session)
        other.setComponent(IByHand, ByHand("new"))
        third = self.again(other)
        self.assertEqual(IByHand(third).value, "new")

    def test_setAdapter(self):
        """
        An adapter set by its class is kept, if it was declared.
        """
        session = self.site().makeSession()
        session.setAdapter(IByHand, ByHand)
        self.assertIs(IByHand(session).value, session)
        other = self.again(session)
        self.assertIs(IByHand(other).value, other)

    def test_addAdapter(self):
        """
        An adapter that is added stands for the interfaces that its class is
        registered for, or for all.
        """
        session = self.site().makeSession()
        tray = session.addAdapter(Tray)
        self.assertIs(ITray(session), tray)
        shelf = session.addAdapter(Shelf, ignoreClass=1)
        self.assertIs(ITray(session), shelf)
        self.assertIs(IShelf(session), shelf)
        session.unsetComponent(IShelf)
        session.unsetComponent(ITray)
        session.addAdapter(Shelf)
        self.assertIsInstance(ITray(session), Tray)

    def test_addOver(self):
        """
        What is added takes the place of what was kept.
        """
        session = self.site().makeSession()
        ITray(session).things.append("cup")
        other = self.again(session)
        other.addComponent(Shelf(None), ignoreClass=1)
        self.assertIsInstance(ITray(other), Shelf)
        third = self.again(other)
        self.assertEqual(IShelf(third).things, [])

    def test_unset(self):
        """
        A component that was taken away does not come back, asked for before or
        not.
        """
        session = self.site().makeSession()
        for interface in (ITray, IByHand):
            session.setComponent(interface, ByHand(1))
        other = self.again(session)
        self.assertEqual(IByHand(other).value, 1)
        other.unsetComponent(IByHand)
        other.unsetComponent(ITray)
        self.assertRaises(KeyError, other.unsetComponent, ITray)
        self.assertIs(other.getComponent(IByHand), None)
        third = self.again(other)
        self.assertIs(third.getComponent(IByHand), None)
        self.assertEqual(ITray(third).things, [])

    def test_remove(self):
        """
        So it is with one that is removed for all its interfaces; nothing is
        imported to say which they were.
        """
        session = self.site().makeSession()
        session.setComponent(IByHand, ByHand(1))
        session.setComponent(IUnused, IByHand(session))
        other = self.again(session)
        component = IByHand(other)
        self.patch(reflect, "namedObject", None)
        removed = other.removeComponent(component)
        self.assertEqual(set(removed), {IByHand, IUnused})
        third = self.again(other)
        self.assertIs(third.getComponent(IByHand), None)
        self.assertIs(third.getComponent(IUnused), None)

    def test_removeByName(self):
        """
        Nor is one that the program put into the cache by name forgotten.
        """
        session = self.site().makeSession()
        component = object()
        session._adapterCache[reflect.qual(INamed)] = component
        self.assertEqual(session.removeComponent(component), [INamed])
        self.assertEqual(session.removeComponent(component), [])

    def test_unsetOneOfTwo(self):
        """
        If a component is taken away for one interface it stays for the others.
        """
        session = self.site().makeSession()
        session.setComponent(ITray, ByHand(5))
        for interface in (IByHand, IUnused):
            session.setComponent(interface, ITray(session))
        keep(ITray, ByHand)
        self.addCleanup(_undeclare, ITray)
        other = self.again(session)
        other.unsetComponent(ITray)
        self.assertIs(IByHand(other), other.getComponent(IUnused))
        third = self.again(other)
        self.assertEqual(IByHand(third).value, 5)

    def test_persistenceVersion(self):
        """
        The session's own version is that of C{Componentized}.
        """
        session = Session(None, b"0", Clock())
        self.assertEqual(session.persistenceVersion, Componentized.persistenceVersion)


class LateTests(LiveCase):
    """
    A component that nobody asks for.
    """

    def test_carried(self):
        """
        It is carried along, through any number of processes.
        """
        session = self.site().makeSession()
        session.setComponent(IByHand, ByHand("kept"))
        self.successResultOf(session.save())
        parts = session._entry.parts
        for number in range(3):
            session = self.load(self.another(), session)
            session["round"] = number
            self.successResultOf(session.save())
            for part, encoded in parts.items():
                self.assertEqual(session._entry.parts[part], encoded)
        self.assertEqual(IByHand(session).value, "kept")


def _undeclare(interface):
    """
    Forget what was declared for an interface.
    """
    from txsessions.live import classes

    del classes._keptFor[reflect.qual(interface)]
