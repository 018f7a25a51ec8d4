"""
Tests of L{txsessions.live.gathering}: the parts of a session.
"""

from __future__ import annotations

import datetime
import socket
import uuid
from math import inf, nan

from twisted.internet.defer import Deferred
from twisted.python.components import registerAdapter
from twisted.web import server
from zope.interface import Interface

from tests.live.sites import LiveCase
from txsessions import keep
from txsessions.core.codec import decodeValue
from txsessions.core.state import splitPart
from txsessions.errors import CannotBeKept, SessionTooLarge
from txsessions.live import gathering


class ISocket(Interface):
    """
    Something that cannot be kept.
    """


class Holder:
    """
    An adapter that holds something.
    """

    def __init__(self, session):
        self.held = None


registerAdapter(Holder, server.Session, ISocket)


class Mine:
    """
    A class that nobody declared.
    """


class Deep(dict):
    """
    A class that takes another from the session while it is taken apart.
    """

    def __getstate__(self):
        raise RecursionError


class Rude:
    """
    A class that changes the session while it is taken apart.
    """

    def __init__(self, session):
        self.session = session

    def __getstate__(self):
        self.session.sessionNamespaces[f"more{len(list(self.session))}"] = 1
        self.session.other = 1
        return {}


class GatherCase(LiveCase):
    """
    Has a session of a site with a store.
    """

    def setUp(self):
        """
        Make it.
        """
        super().setUp()
        self.session = self.site().makeSession()

    def gather(self, acknowledged=()):
        """
        Gather the parts.
        """
        return gathering.gather(self.session, dict.fromkeys(acknowledged, b""))

    def parts(self):
        """
        The parts, decoded.
        """
        return {
            (kind, name): decodeValue(value, lambda *made: made, "session")
            for part, value in self.gather().parts.items()
            for kind, name in [splitPart(part)]
        }


class PartsTests(GatherCase):
    """
    What becomes a part.
    """

    def test_nothing(self):
        """
        Of an empty session nothing.
        """
        self.assertEqual(self.gather().parts, {})

    def test_kinds(self):
        """
        Each attribute, key of the namespaces, and component is one.
        """
        self.session.user = "maja"
        self.session.sessionNamespaces.update({"cart": [1], ("a", 1): 2, b"k": 3})
        self.session.setComponent(ISocket, "plain")
        name = f"{__name__}.ISocket".encode()
        parts = self.parts()
        self.assertEqual(parts[b"a", b"user"], "maja")
        self.assertEqual(parts[b"c", name], "plain")
        self.assertEqual(len(parts), 5)
        self.assertEqual(
            [decodeValue(key) for kind, key in parts if kind == b"n"],
            ["cart", ("a", 1), b"k"],
        )

    def test_types(self):
        """
        Plain data is kept exactly, type by type.
        """
        zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
        values = {
            "none": None,
            "bools": [True, False, 1, 0],
            "ints": (0, -1, 2**64, -(10**40)),
            "floats": [0.5, -0.0, inf, nan],
            "text": "é\U0001f600",
            "bytes": b"\x00\xff",
            "sets": [{1, "a"}, frozenset({(1, 2)})],
            "dict": {1: "int", "1": "str", b"1": "bytes", True and 2: None},
            "when": [
                datetime.datetime(2020, 1, 2, 3, 4, 5, 6),
                datetime.datetime(2020, 1, 2, tzinfo=zone),
            ],
            "uuid": uuid.UUID(int=5),
            "nested": [[[[{"a": ({"b": []},)}]]]],
        }
        self.session.sessionNamespaces.update(values)
        self.successResultOf(self.session.save())
        other = self.load(self.another(), self.session)
        self.assertEqual(repr(other.sessionNamespaces), repr(values))
        self.assertIs(other["bools"][0], True)
        self.assertIs(type(other["bools"][2]), int)
        self.assertEqual(other["when"][1].utcoffset(), zone.utcoffset(None))

    def test_limits(self):
        """
        The limits are no parts, also where they lie among the attributes.
        """
        self.session.__dict__["sessionTimeout"] = 5
        self.session.sessionLifetime = 50
        self.assertEqual(self.gather().parts, {})

    def test_ownState(self):
        """
        Nothing of ours is a part, whatever the session has been through.
        """
        session = self.session
        session.touch()
        session.notifyOnExpire(list)
        session["a"] = 1
        self.successResultOf(session.save())
        session.rotate
        site = session.site
        site._live.rotate(session)
        self.assertEqual(list(self.parts().values()), [1])
        self.assertEqual(session.__dict__, {})

    def test_changes(self):
        """
        A change is seen however deep it is, and none where there is none.
        """
        self.session["a"] = {"b": [({"c": {1}},)]}
        before = self.gather().parts
        self.assertEqual(self.gather().parts, before)
        self.session["a"]["b"][0][0]["c"].add(2)
        self.assertNotEqual(self.gather().parts, before)
        self.session["a"]["b"][0][0]["c"].discard(2)
        self.assertEqual(self.gather().parts, before)

    def test_manyNames(self):
        """
        However many keys there have been, not all are remembered.
        """
        for number in range(gathering._NAMES_KEPT + 10):
            gathering.namespacePart(f"key{number}")
        self.assertLessEqual(len(gathering._partNames), gathering._NAMES_KEPT)
        name = gathering.namespacePart("another")
        self.assertEqual(decodeValue(splitPart(name)[1]), "another")

    def test_whileItChanges(self):
        """
        An object that changes the session while it is taken apart does no harm.
        """
        keep(Rude)
        self.session["rude"] = Rude(self.session)
        self.session.rude = Rude(self.session)
        self.assertGreaterEqual(len(self.gather().parts), 2)


class RefusedTests(GatherCase):
    """
    What cannot be kept at all.
    """

    def refused(self, error=CannotBeKept):
        """
        It cannot be gathered.

        @return: What is said.
        """
        return str(self.assertRaises(error, self.gather))

    def test_where(self):
        """
        An error says where it is.
        """
        self.session["cart"] = [1, {"name": ["\ud800"]}]
        self.assertIn("sessionNamespaces['cart'][1]['name'][0]", self.refused())
        del self.session["cart"]
        self.session.user = ("\ud800",)
        self.assertIn("session.user[0]", self.refused())
        del self.session.user
        self.session.setComponent(ISocket, ["\ud800"])
        self.assertIn("the component for", self.refused())

    def test_longKey(self):
        """
        Of a long key it shows the beginning.
        """
        self.session["k" * 500] = "\ud800"
        self.assertLess(len(self.refused()), 200)

    def test_depth(self):
        """
        There is a limit to the depth, and none to be run into behind it.
        """
        for depth in (33, 500, 1000, 100_000):
            value = []
            for _ in range(depth):
                value = [value]
            self.session["deep"] = value
            self.refused()
            while value:
                value = value.pop()
        ring = []
        ring.append(ring)
        self.session["deep"] = ring
        self.refused()

    def test_tooMuch(self):
        """
        There is a limit to what is in it.
        """
        self.session["keys"] = dict.fromkeys(range(1001))
        self.refused()
        self.session["keys"] = [0] * 10**6
        self.refused(SessionTooLarge)

    def test_raising(self):
        """
        What is raised on the way is an error that says so, and logged.
        """

        class Namespaces(dict):
            """
            Cannot be looked at.
            """

            def items(self):
                """
                Fails.
                """
                raise ZeroDivisionError("secret")

        self.session.sessionNamespaces = Namespaces()
        said = self.refused()
        self.assertIn("ZeroDivisionError", said)
        self.assertNotIn("secret", said)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.session.sessionNamespaces = ["no dict"]
        self.assertIn("AttributeError", self.refused())
        self.flushLoggedErrors(AttributeError)
        self.session.sessionNamespaces = {}

    def test_stateTooDeep(self):
        """
        An object too deep for Python stays here.
        """
        keep(Deep)
        self.session["deep"] = Deep()
        self.assertEqual(len(self.gather().unkeepable), 1)


class StayingTests(GatherCase):
    """
    What cannot be kept because of its class stays in this process.
    """

    def setUp(self):
        """
        Forget what was reported in other tests.
        """
        super().setUp()
        self.patch(gathering, "_reported", set())

    def test_staying(self):
        """
        Such things are told apart from what is kept, with the way to them.
        """
        plug = socket.socket()
        self.addCleanup(plug.close)
        self.session["kept"] = 1
        self.session["waiting"] = [1, {"d": Deferred()}]
        self.session.plug = plug
        self.session.getComponent(ISocket).held = plug
        self.session.setComponent(ICartless, Mine())
        gathered = self.gather()
        self.assertEqual(list(self.parts().values()), [1])
        self.assertEqual(
            gathered.staying(),
            [
                ("sessionNamespaces['waiting'][1]['d']", Deferred),
                ("session.plug", socket.socket),
                (f"the component for {__name__}.ISocket.held", socket.socket),
                (f"the component for {__name__}.ICartless", Mine),
            ],
        )

    def test_reportedOnce(self):
        """
        Each class is reported once, not each session.
        """
        for _ in range(3):
            session = self.session.site.makeSession()
            session.mine, session.other = Mine(), Mine()
            session["d"] = Deferred()
            self.successResultOf(session.save())
        self.assertEqual(self.logs("stays in this process"), 2)
        self.assertEqual(self.logs("session.mine stays in this process"), 1)
        self.assertEqual(self.logs("declared with txsessions.keep()"), 2)

    def test_allOfIt(self):
        """
        All that stays because of one value is named, and that value.
        """
        self.session["cart"] = {"tea": 1, "wait": [Deferred()]}
        self.successResultOf(self.session.save())
        said = (
            "sessionNamespaces['cart'], all of it, because of ['wait'][0], "
            "stays in this process"
        )
        self.assertEqual(self.logs(said), 1)

    def test_others(self):
        """
        What can be kept beside it is.
        """
        self.session.mine = Mine()
        self.session["a"] = 1
        self.successResultOf(self.session.save())
        other = self.load(self.another(), self.session)
        self.assertEqual(other["a"], 1)
        self.assertFalse(hasattr(other, "mine"))

    def test_alone(self):
        """
        A session that holds nothing else is stored too.
        """
        self.session.mine = Mine()
        self.successResultOf(self.session.save())
        self.assertTrue(self.record(self.session))

    def test_byName(self):
        """
        So does what the program put into the adapter cache by a name.
        """
        self.session._adapterCache["some.name"] = Mine()
        self.assertEqual(
            self.gather().staying(), [("the component for some.name", Mine)]
        )

    def test_here(self):
        """
        In this process it stays what it is.
        """
        mine = self.session.mine = Mine()
        self.successResultOf(self.session.save())
        self.clock.advance(300)
        found = self.load(self.session.site, self.session)
        self.assertIs(found, self.session)
        self.assertIs(found.mine, mine)


class ICartless(Interface):
    """
    Nobody declared a class for that.
    """


class AliasTests(GatherCase):
    """
    One component for two interfaces.
    """

    def test_once(self):
        """
        It is written once.
        """
        component = self.session.getComponent(ISocket)
        component.held = "x" * 1000
        self.session.setComponent(ICartless, component)
        sizes = sorted(map(len, self.gather().parts.values()))
        self.assertLess(sizes[0], 100)
        self.assertEqual(len(sizes), 2)

    def test_fresh(self):
        """
        One that is as its adapter makes it is written for neither.
        """
        component = self.session.getComponent(ISocket)
        self.session.setComponent(ICartless, component)
        self.assertEqual(self.gather().parts, {})
