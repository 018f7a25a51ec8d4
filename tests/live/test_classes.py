"""
Tests of L{txsessions.live.classes}: which classes are kept, and what of them.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import threading
from typing import ClassVar

import attrs
import msgspec
from twisted.python import reflect
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface

from tests.live.sites import ICart, LiveCase
from txsessions import keep
from txsessions.errors import ConfigurationError
from txsessions.live import classes


class IOwn(Interface):
    """
    What nothing else is known by.
    """


class Plain:
    """
    A class with a C{__dict__}.
    """

    def __init__(self, one, two):
        self.one, self.two = one, two


class Slotted:
    """
    A class with slots, of which one is private and one empty.
    """

    __slots__ = ("__private", "empty", "one")

    def __init__(self, one, private):
        self.one, self.__private = one, private

    @property
    def private(self):
        """
        What is private.
        """
        return self.__private


class SlottedToo(Slotted):
    """
    One that inherits them, and has a C{__dict__} besides, and one more slot
    that is no list of names.
    """

    __slots__ = "more"  # noqa: PLC0205 - that is allowed, too


class Freely(SlottedToo):
    """
    One with a C{__dict__}.
    """


class Stateful:
    """
    A class that says itself what is kept.
    """

    def __init__(self, value):
        self.value, self.connection = value, object()

    def __getstate__(self):
        return [self.value]

    def __setstate__(self, state):
        (self.value,) = state
        self.connection = "new"


class Getting:
    """
    A class that says what is kept, and takes it back as it is.
    """

    def __init__(self, value):
        self.value, self.cache = value, object()

    def __getstate__(self):
        return {"value": self.value}


@attrs.define
class Defined:
    """
    A class of attrs.
    """

    one: object
    two: object = attrs.field(default=2)
    _private: object = None


@attrs.frozen
class Frozen:
    """
    A frozen class of attrs.
    """

    one: object


@attrs.define(slots=False)
class Loose:
    """
    A class of attrs with a C{__dict__}.
    """

    one: object

    def __attrs_post_init__(self):
        self.cached = object()


@dataclasses.dataclass
class Data:
    """
    A dataclass.
    """

    one: object
    two: object = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenData:
    """
    A frozen dataclass with slots.
    """

    one: object


class Struct(msgspec.Struct):
    """
    A struct of msgspec.
    """

    one: object
    two: object = 2


class FrozenStruct(msgspec.Struct, frozen=True):
    """
    A frozen struct.
    """

    one: object


class Holding:
    """
    A class that holds others.
    """

    def __init__(self, held):
        self.held = held


class Versioned:
    """
    A class that has grown.
    """

    persistenceVersion: ClassVar[int] = 3

    def __init__(self, names):
        self.names = names

    def upgradeToVersion1(self):
        """
        There was one name.
        """
        self.names = [self.__dict__.pop("name")]

    def upgradeToVersion3(self):
        """
        They are in capitals.
        """
        self.names = [name.upper() for name in self.names]


class Mapping(dict):
    """
    A class that is more than its attributes.
    """


class Colour(enum.Enum):
    """
    A class whose instances are known.
    """

    RED = 1


class Counted(collections.deque):
    """
    A class derived from one in C.
    """


class Broken:
    """
    A class whose state cannot be had.
    """

    def __getstate__(self):
        raise ZeroDivisionError("secret")


class Undeclared:
    """
    A class that nobody declared.
    """


KEPT = (
    Plain,
    Slotted,
    SlottedToo,
    Freely,
    Stateful,
    Getting,
    Defined,
    Frozen,
    Loose,
    Data,
    FrozenData,
    Struct,
    FrozenStruct,
    Holding,
    Versioned,
    Mapping,
    Colour,
    Counted,
    Broken,
)


class DecoratorTests(SynchronousTestCase):
    """
    C{keep} before a class.
    """

    def test_class(self):
        """
        The class is what it was.
        """
        self.assertIs(keep(Plain), Plain)
        self.assertIs(keep(IOwn, Plain), Plain)


class KeepCase(LiveCase):
    """
    Keeps the classes of this module.
    """

    def setUp(self):
        """
        Declare them.
        """
        super().setUp()
        for cls in KEPT:
            keep(cls)

    def again(self, value):
        """
        Keep a value as an attribute, in a namespace and in a component.

        @return: What it is in another process.
        """
        site = self.site()
        session = site.makeSession()
        session.attribute = value
        session["deep"] = [{"here": (value,)}]
        self.successResultOf(session.save())
        other = self.load(self.another(), session)
        self.assertIs(type(other.attribute), type(other["deep"][0]["here"][0]))
        return other.attribute


class StateTests(KeepCase):
    """
    What is kept of an instance.
    """

    def test_dict(self):
        """
        Of an ordinary class what is in its C{__dict__}, and C{__init__} is not
        run.
        """
        other = self.again(Plain([1, 2], None))
        self.assertIs(type(other), Plain)
        self.assertEqual(vars(other), {"one": [1, 2], "two": None})

    def test_slots(self):
        """
        What is in slots, private ones and inherited ones too; what is not there
        stays so.
        """
        other = self.again(Slotted(1, "private"))
        self.assertEqual((other.one, other.private), (1, "private"))
        self.assertFalse(hasattr(other, "empty"))
        value = Freely(1, "private")
        value.more, value.free = 2, 3
        other = self.again(value)
        self.assertEqual(
            (other.one, other.private, other.more, other.free), (1, "private", 2, 3)
        )

    def test_getstate(self):
        """
        What C{__getstate__} gives goes to C{__setstate__}, or back as it is.
        """
        other = self.again(Stateful("a"))
        self.assertEqual((other.value, other.connection), ("a", "new"))
        other = self.again(Getting("a"))
        self.assertEqual(vars(other), {"value": "a"})

    def test_fields(self):
        """
        The fields of classes of attrs, dataclasses and structs, frozen or not.
        """
        for value in (
            Defined([1], 5, "p"),
            Frozen({1: 2}),
            Data(1, ["a"]),
            FrozenData((1, 2)),
            Struct([1], 5),
            FrozenStruct(1),
        ):
            self.assertEqual(self.again(value), value)
        other = self.again(Loose(1))
        self.assertEqual(vars(other), {"one": 1})

    def test_nested(self):
        """
        Declared classes may hold one another, and the session.
        """
        site = self.site()
        session = site.makeSession()
        session.held = Holding([Holding(Struct(Frozen(1))), session])
        self.successResultOf(session.save())
        other = self.load(self.another(), session)
        inner, owner = other.held.held
        self.assertEqual(inner.held, Struct(Frozen(1)))
        self.assertIs(owner, other)

    def test_more(self):
        """
        What is more than its attributes cannot be kept, and the log says what
        would help.
        """
        site = self.site()
        for value in (Mapping(a=1), Colour.RED, Counted([1])):
            session = site.makeSession()
            session.value = value
            session["a"] = 1
            self.successResultOf(session.save())
            self.assertTrue(session._entry.pinned)
            self.assertEqual(len(self.record_parts(session)), 1)
        self.assertEqual(self.logs("__getstate__ and __setstate__"), 3)

    def record_parts(self, session):
        """
        The parts in the store.
        """
        return session.site._live.loader.open(self.record(session)).parts

    def test_extension(self):
        """
        Nor an instance of a class that an extension module made.
        """
        error = self.assertRaises(
            classes.Unkeepable, classes.stateOf, threading.RLock()
        )
        self.assertIs(error.found, type(threading.RLock()))

    def test_raising(self):
        """
        Nor what raises when it is asked; what it says is not told.
        """
        session = self.site().makeSession()
        session.value = Broken()
        self.successResultOf(session.save())
        self.assertEqual(self.logs("ZeroDivisionError"), 1)
        self.assertEqual(self.logs("secret"), 0)

    def test_otherState(self):
        """
        A state that is no dict needs a C{__setstate__}.
        """
        error = self.assertRaises(TypeError, classes.fillIn, Plain(1, 2), [1])
        self.assertIn("is not a dict", str(error))

    def test_fillIn(self):
        """
        An instance in use gets the whole state, and loses what is not in it.
        """
        for value, state in (
            (Plain(1, 2), {"one": 5}),
            (Freely(1, 2), {"one": 5}),
            (Defined(1, 2), {"one": 5, "two": 6}),
            (Struct(1, 2), {"one": 5, "two": 6}),
            (FrozenStruct(1), {"one": 5}),
            (FrozenData(1), {"one": 5}),
        ):
            classes.fillIn(value, state)
            self.assertEqual(value.one, 5)
            self.assertEqual(classes.stateOf(value), state)


class VersionTests(KeepCase):
    """
    Classes that have changed.
    """

    def remake(self, version, state):
        """
        Make an instance from what was kept.
        """
        return classes.restoreWith(
            classes.keptByName, reflect.qual(Versioned), version, state
        )

    def test_upgrade(self):
        """
        An older state is brought up step by step, where there is a step.
        """
        self.assertEqual(self.remake(0, {"name": "a"}).names, ["A"])
        self.assertEqual(self.remake(1, {"names": ["a"]}).names, ["A"])
        self.assertEqual(self.remake(2, {"names": ["a"]}).names, ["A"])
        self.assertEqual(self.remake(3, {"names": ["a"]}).names, ["a"])

    def test_newer(self):
        """
        A newer one is not for this program.
        """
        error = self.assertRaises(classes.NotHere, self.remake, 4, {})
        self.assertIn("is of version 3 here, and 4 was kept", str(error))

    def test_kept(self):
        """
        The version is kept, and an upgraded session is as if it were new.
        """
        self.patch(Versioned, "persistenceVersion", 1)
        site = self.site()
        session = site.makeSession()
        session.value = Versioned(["a"])
        self.successResultOf(session.save())
        Versioned.persistenceVersion = 3
        other = self.load(self.another(), session)
        self.assertEqual(other.value.names, ["A"])
        self.successResultOf(other.save())
        third = self.load(self.another(), session)
        self.assertEqual(third.value.names, ["A"])

    def test_structWithNewField(self):
        """
        A struct that has a field more than what was kept has its default.
        """
        made = classes.restoreWith(
            classes.keptByName, reflect.qual(Struct), 0, {"one": 1, "gone": 5}
        )
        self.assertEqual(made, Struct(1, 2))


class DeclarationTests(SynchronousTestCase):
    """
    L{keep}.
    """

    def test_noClass(self):
        """
        What is declared is a class.
        """
        for wrong in (Plain(1, 2), "Plain", ICart):
            error = self.assertRaises(ConfigurationError, keep, wrong)
            self.assertIn("takes a class", str(error))
        self.assertRaises(ConfigurationError, keep, ICart, Plain(1, 2))

    def test_unknown(self):
        """
        A class that was not declared is not made, whatever a record says.
        """
        for name in ("os.system", reflect.qual(Undeclared), "", "="):
            self.assertRaises(
                classes.NotHere,
                classes.restoreWith,
                classes.keptByName,
                name,
                0,
                {},
            )

    def test_sameName(self):
        """
        A class that only has the name of a declared one is not kept.
        """
        keep(Plain)
        impostor = type("Plain", (), {"__module__": __name__})
        reduce = classes.Reducer(None)
        self.assertEqual(reduce(Plain(1, 2))[1:], (0, {"one": 1, "two": 2}))
        self.assertIs(reduce(impostor()), None)
        self.assertIs(reduce.stuck.found, impostor)
