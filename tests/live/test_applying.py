"""
Tests of L{txsessions.live.applying}: how what was kept comes back.
"""

from __future__ import annotations

import builtins
import os
import sys

from twisted.python import reflect
from twisted.python.components import registerAdapter
from twisted.web import server
from zope.interface import Interface

from tests.live.sites import LiveCase
from txsessions import keep
from txsessions.core.codec import encodeValue
from txsessions.core.record import Record
from txsessions.core.seal import Sealer
from txsessions.core.state import State, packState, partName
from txsessions.core.uid import storeKeyOf
from txsessions.live import applying, classes
from txsessions.live.gathering import aliasTo, componentPart, namespacePart

from tests.live.sites import KEYS  # isort: skip

canary = []


class IBasket(Interface):
    """
    A component by an adapter.
    """


class IPurse(Interface):
    """
    Another one.
    """


class Basket:
    """
    Its adapter.
    """

    persistenceVersion = 4

    def __init__(self, session):
        self.things = []


class Purse(Basket):
    """
    An adapter that fails to come back.
    """

    def __setstate__(self, state):
        if "bad" in state["things"]:
            raise ValueError("secret")
        self.__dict__.update(state)


class Kept:
    """
    A declared class.
    """

    def __init__(self, value):
        self.value = value


class Bomb:
    """
    A class that would tell if it were made, taken apart or put together.
    """

    def __new__(cls, *args):
        """
        Tell.
        """
        canary.append("new")
        return object.__new__(cls)

    def __init__(self, *args):
        canary.append("init")

    def __setstate__(self, state):
        canary.append("setstate")

    def __reduce__(self):
        return os.system, ("true",)


registerAdapter(Basket, server.Session, IBasket)
registerAdapter(Purse, server.Session, IPurse)


class ApplyCase(LiveCase):
    """
    Plants records.
    """

    def setUp(self):
        """
        Declare what is kept.
        """
        super().setUp()
        keep(Kept)
        self.live = self.site()

    def object(self, cls, state, version=0):
        """
        An object as it is kept.
        """
        name = cls if isinstance(cls, str) else reflect.qual(cls)
        return encodeValue(object(), "", lambda _: (name, version, state))

    def plant(self, parts):
        """
        Put a record with a good seal into the store.

        @return: The session that it makes.
        """
        uid = os.urandom(32).hex().encode()
        key = storeKeyOf(b"", uid)
        now = self.clock.seconds()
        state = State(
            createdAt=now,
            idle=900.0,
            lifetime=43200.0,
            secure=False,
            cookieName=b"",
            parts=parts,
        )
        record = Record(
            key=key,
            version=1,
            createdAt=now,
            touchedAt=now,
            expiresAt=now + 960,
            payload=Sealer(KEYS, b"").seal(key, 1, packState(state)),
        )
        self.successResultOf(self.inner.insert(record, now))
        return self.successResultOf(self.live.loadSession(uid))

    def assertCarried(self, session, parts):
        """
        The parts go back as they came.
        """
        session["another"] = 1
        self.successResultOf(session.save())
        kept = self.live._live.loader.open(self.record(session)).parts
        for part, encoded in parts.items():
            self.assertEqual(kept[part], encoded)


class CarryTests(ApplyCase):
    """
    What this program does not know.
    """

    def setUp(self):
        """
        Forget what was reported.
        """
        super().setUp()
        self.patch(applying, "_reported", set())

    def test_unknownClass(self):
        """
        A part of a class that nobody named is carried byte for byte, wherever
        it is; the rest is there.  It is reported once.
        """
        parts = {
            namespacePart("a"): encodeValue(1),
            namespacePart("b"): self.object("later.Thing", {"x": 1}),
            partName(b"a", b"user"): encodeValue(
                [object()], "", lambda _: ("later.User", 7, [1])
            ),
            componentPart(reflect.qual(IBasket)): self.object("later.Cart", {}),
        }
        for _ in range(2):
            session = self.plant(parts)
            self.assertEqual(session.sessionNamespaces, {"a": 1})
            self.assertFalse(hasattr(session, "user"))
            self.assertIsInstance(IBasket(session), Basket)
            self.assertCarried(session, parts)
        self.assertEqual(self.logs("later.Thing is no class that this program"), 1)
        self.assertEqual(self.logs("later.User is no class"), 1)
        self.assertEqual(self.logs("later.Cart is no class"), 1)

    def test_newerVersion(self):
        """
        So is one that a newer version of a class has written.
        """
        parts = {
            namespacePart("kept"): self.object(Kept, {"value": 1}, 1),
            componentPart(reflect.qual(IBasket)): self.object(Basket, {"x": 1}, 5),
        }
        session = self.plant(parts)
        self.assertNotIn("kept", session)
        self.assertEqual(IBasket(session).things, [])
        self.assertCarried(session, parts)
        self.assertEqual(self.logs("is of version"), 2)

    def test_standsIn(self):
        """
        A component that stands in for one that is carried is of use here, and
        never takes its place.
        """
        parts = {componentPart(reflect.qual(IBasket)): self.object("later.Cart", {})}
        session = self.plant(parts)
        IBasket(session).things.append("pear")
        self.assertEqual(IBasket(session).things, ["pear"])
        self.assertCarried(session, parts)

    def test_takenAway(self):
        """
        What the program does itself counts: what it sets or takes away is.
        """
        parts = {
            namespacePart("b"): self.object("later.Thing", {}),
            componentPart(reflect.qual(IBasket)): self.object("later.Cart", {}),
            componentPart(reflect.qual(IPurse)): self.object("later.Cart", {}),
        }
        session = self.plant(parts)
        session["b"] = 2
        IBasket(session)
        session.unsetComponent(IBasket)
        session.removeComponent(IPurse(session))
        self.assertEqual(list(session._entry.gather().values()), [encodeValue(2)])

    def test_raises(self):
        """
        One whose class fails to take it back is carried too; it is logged once,
        and the application sees none of it.
        """
        parts = {
            componentPart(reflect.qual(IPurse)): self.object(Purse, {"things": ["bad"]})
        }
        for _ in range(3):
            session = self.plant(parts)
            self.assertEqual(IPurse(session).things, [])
            self.assertCarried(session, parts)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_manyReasons(self):
        """
        The reasons that were reported are bounded.
        """
        self.patch(applying, "_MAX_REPORTED", 3)
        for number in range(5):
            self.plant({namespacePart("a"): self.object(f"later.C{number}", {})})
        self.assertEqual(self.logs("is carried unread"), 3)

    def test_garbage(self):
        """
        A part that cannot be decoded is carried, and does no harm.
        """
        parts = {namespacePart("a"): b"\xc1", namespacePart("b"): b""}
        session = self.plant(parts)
        self.assertEqual(session.sessionNamespaces, {})
        self.assertCarried(session, parts)
        self.flushLoggedErrors(ValueError)

    def test_danglingAlias(self):
        """
        A component that is said to be that of another interface, which is not
        there, unknown, or says so of this one, is carried.
        """
        basket, purse = (componentPart(reflect.qual(i)) for i in (IBasket, IPurse))
        classes.noteInterface(IBasket)
        classes.noteInterface(IPurse)
        for parts in (
            {basket: aliasTo(reflect.qual(IPurse))},
            {basket: aliasTo("os.system")},
            {basket: aliasTo("os.path"), componentPart("os.path"): encodeValue([])},
            {
                basket: aliasTo(reflect.qual(IPurse)),
                purse: aliasTo(reflect.qual(IBasket)),
            },
        ):
            session = self.plant(parts)
            self.assertIsInstance(IBasket(session), Basket)
            self.assertCarried(session, parts)
        self.flushLoggedErrors(RecursionError)


class NothingRunsTests(ApplyCase):
    """
    Reading a record runs no code that the record chose.
    """

    def test_noImport(self):
        """
        Nothing is imported, made or called by a name in a record.
        """
        names = (
            "os.system",
            "subprocess.Popen",
            "builtins.eval",
            "antigravity.fly",
            "tests.live.absent.Thing",
            reflect.qual(Bomb),
        )
        for name in names:
            parts = {
                namespacePart("n"): self.object(name, {"__reduce__": "x"}),
                partName(b"a", b"__class__"): self.object(name, ["true"]),
                partName(b"a", b"attr"): self.object(name, {}),
                componentPart(reflect.qual(IBasket)): self.object(name, {}),
                componentPart(name): encodeValue({}),
            }
            modules = set(sys.modules)
            asked = []
            real = builtins.__import__

            def look(wanted, *args, asked=asked, real=real, **kwargs):
                asked.append(wanted)
                return real(wanted, *args, **kwargs)

            self.patch(applying, "_reported", {reflect.qual(Bomb)})
            builtins.__import__ = look
            try:
                session = self.plant(parts)
                basket = session.getComponent(IBasket)
                session.save()
            finally:
                builtins.__import__ = real
            self.assertIs(type(session), self.live.sessionFactory)
            self.assertIs(type(basket), Basket)
            roots = {wanted.split(".")[0] for wanted in asked}
            self.assertFalse(roots & {"subprocess", "antigravity", "tests"}, roots)
            self.assertEqual(set(sys.modules) - modules, set())
            self.assertCarried(session, parts)
        self.assertEqual(canary, [])

    def test_hostileKeys(self):
        """
        Keys that mean something elsewhere are just keys.
        """
        values = {"__class__": "x", "\0__proto__": {"__reduce__": [1]}, "py/object": 1}
        session = self.live.makeSession()
        session.sessionNamespaces.update(values)
        self.successResultOf(session.save())
        other = self.load(self.another(), session)
        self.assertEqual(other.sessionNamespaces, values)


class InPlaceTests(ApplyCase):
    """
    A live session is refreshed in place.
    """

    def setUp(self):
        """
        Have two processes with one session.
        """
        super().setUp()
        self.session = self.live.makeSession()
        self.session["cart"] = {"pears": {"count": 1}, "list": [1], "set": {1}}
        self.session["list"] = [1, 2]
        self.session.user = {"name": "maja"}
        IBasket(self.session).things.append("cup")
        self.session.setComponent(IPurse, Kept([1]))
        keep(IPurse, Kept)
        self.addCleanup(classes._keptFor.pop, reflect.qual(IPurse))
        self.successResultOf(self.session.save())
        self.process = self.another()
        self.other = self.load(self.process, self.session)

    def refresh(self):
        """
        Save what the other process changed, and load it in the first.
        """
        self.successResultOf(self.other.save())
        self.assertIs(self.load(self.live, self.session), self.session)

    def test_sameObjects(self):
        """
        The dicts, lists, sets and components that somebody holds have the new
        content.
        """
        session, other = self.session, self.other
        held = [
            session.sessionNamespaces,
            session["cart"],
            session["cart"]["pears"],
            session["cart"]["list"],
            session["cart"]["set"],
            session["list"],
            session.user,
            IBasket(session),
            IPurse(session),
        ]
        other["cart"]["pears"]["count"] = 2
        other["cart"]["list"].append(2)
        other["cart"]["set"] ^= {1, 2}
        other["list"][:] = [3]
        other.user["name"] = "willi"
        IBasket(other).things.append("plate")
        IPurse(other).value = 7
        other["new"] = 1
        other.another = 2
        self.refresh()
        now = [
            session.sessionNamespaces,
            session["cart"],
            session["cart"]["pears"],
            session["cart"]["list"],
            session["cart"]["set"],
            session["list"],
            session.user,
            IBasket(session),
            IPurse(session),
        ]
        for before, after in zip(held, now, strict=True):
            self.assertIs(before, after)
        self.assertEqual(
            session["cart"], {"pears": {"count": 2}, "list": [1, 2], "set": {2}}
        )
        self.assertEqual(held[5], [3])
        self.assertEqual(held[6], {"name": "willi"})
        self.assertEqual(held[7].things, ["cup", "plate"])
        self.assertEqual(held[8].value, 7)
        self.assertEqual(session["new"], 1)
        self.assertEqual(session.another, 2)

    def test_removed(self):
        """
        What was removed there is gone here.
        """
        session, other = self.session, self.other
        del other["list"]
        del other["cart"]["pears"]
        del other.user
        other.unsetComponent(IBasket)
        self.refresh()
        self.assertNotIn("list", session)
        self.assertEqual(session["cart"], {"list": [1], "set": {1}})
        self.assertFalse(hasattr(session, "user"))
        self.assertEqual(IBasket(session).things, [])
        third = self.load(self.another(), session)
        self.assertEqual(list(third), ["cart"])
        self.assertEqual(IBasket(third).things, [])

    def test_otherKinds(self):
        """
        What became of another kind is replaced.
        """
        keep(Basket)
        self.addCleanup(classes.keptByName.pop, reflect.qual(Basket))
        session, other = self.session, self.other
        other["list"] = {"no": "list"}
        other["cart"]["pears"] = None
        other.setComponent(IBasket, Kept("no basket"))
        keep(IBasket, Kept)
        self.addCleanup(classes._keptFor.pop, reflect.qual(IBasket))
        self.refresh()
        self.assertEqual(session["list"], {"no": "list"})
        self.assertIs(session["cart"]["pears"], None)
        self.assertEqual(IBasket(session).value, "no basket")

    def test_alias(self):
        """
        A component that became that of another interface is so here too.
        """
        session, other = self.session, self.other
        IBasket(session)
        other.setComponent(IPurse, IBasket(other))
        self.refresh()
        self.assertIs(IPurse(session), IBasket(session))

    def test_asleep(self):
        """
        A component that nobody has asked for yet is refreshed asleep.
        """
        third = self.another()
        asleep = self.load(third, self.session)
        IBasket(self.other).things.append("plate")
        self.other.unsetComponent(IPurse)
        self.successResultOf(self.other.save())
        self.assertIs(self.load(third, self.session), asleep)
        self.assertEqual(IBasket(asleep).things, ["cup", "plate"])
        self.assertIs(type(asleep.getComponent(IPurse)), Purse)

    def test_unreadable(self):
        """
        What a newer program has put there is carried, and the old stays in use;
        when it can be read again it is there.
        """
        session, other = self.session, self.other
        basket = IBasket(session)
        self.patch(applying, "_reported", set())
        other["list"] = Kept(1)
        self.successResultOf(other.save())
        del classes.keptByName[reflect.qual(Kept)]
        self.assertIs(self.load(self.live, session), session)
        self.assertNotIn("list", session)
        self.assertIs(IBasket(session), basket)
        part = self.object(Kept, {"value": 1})
        self.assertCarried(session, {namespacePart("list"): part})
        keep(Kept)
        other["list"] = [5]
        self.successResultOf(other.save())
        self.load(self.live, session)
        self.assertEqual(session["list"], [5])

    def test_unreadableComponent(self):
        """
        So it is with a component in use.
        """
        session, other = self.session, self.other
        basket = IBasket(session)
        self.patch(Basket, "persistenceVersion", 5)
        IBasket(other).things.append("plate")
        self.successResultOf(other.save())
        Basket.persistenceVersion = 4
        self.load(self.live, session)
        self.assertIs(IBasket(session), basket)
        self.assertEqual(basket.things, ["cup"])
        session["more"] = 1
        self.successResultOf(session.save())
        Basket.persistenceVersion = 5
        third = self.load(self.another(), session)
        self.assertEqual(IBasket(third).things, ["cup", "plate"])
        IBasket(third).things.append("knife")
        self.successResultOf(third.save())
        self.load(self.live, session)
        self.assertEqual(basket.things, ["cup", "plate", "knife"])
