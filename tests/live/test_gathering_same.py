"""
Tests of how L{txsessions.live.gathering} knows, without encoding anything, that a
session is what it was: nothing that has changed may be missed for it.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.live.sites import ICart, LiveCase, Waits
from txsessions.core.codec import decodeValue
from txsessions.core.lifetime import touchInterval
from txsessions.core.plain import SCALARS
from txsessions.errors import CannotBeKept
from txsessions.live import gathering


class Text(str):
    """
    A class of text that is not kept.
    """

    __slots__ = ()


KEYS = st.one_of(
    st.sampled_from(["a", "b", "c", ""]),
    st.sampled_from([1, True, None, b"a", Text("a"), ("a", 1), "\ud800"]),
)
VALUES = st.one_of(
    st.sampled_from(
        [0, 0.0, -0.0, True, False, 1, 1.0, None, 2**64, 2**64 - 1, "\ud800"]
    ),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.sampled_from([Text("a"), [], [1], {"a": 1}, (1,), {1}]),
)


class SameTests(LiveCase):
    """
    L{txsessions.live.gathering.areSame}, as L{Entry.settle} uses it.
    """

    def setUp(self):
        """
        Have a session that the store has, and that was looked at once since.
        """
        super().setUp()
        self.live = self.site()

    def looked(self, **values):
        """
        Make a session of these values, of which the objects are known if they can be.
        """
        self.session = self.saved(self.live, **values)
        self.entry = self.session._entry
        self.assertTrue(self.entry.settle(Waits()))
        del self.store.calls[:]

    def assertWritten(self, calls=("replace",)):
        """
        Settle, and see what the store was told.
        """
        self.entry.settle(Waits())
        self.assertEqual(self.store.calls, list(calls))
        self.assertEqual(
            self.entry.parts, gathering.gather(self.session, self.entry.parts).parts
        )

    def test_same(self):
        """
        A session of the same objects is not encoded.
        """
        self.looked(a=1, b="x" * 300, c=None, d=1.5, e=b"b", f=True)
        self.session.user = "maja"
        self.assertWritten()
        self.assertTrue(self.entry.settle(Waits()))
        self.assertIs(self.entry.gather(), self.entry.parts)

    def test_other(self):
        """
        Another value is written, also one that only equals the one before.
        """
        for before, after in [
            (1, 2),
            (1, True),
            (1, 1.0),
            (0.0, -0.0),
            ("a", b"a"),
            (None, 0),
        ]:
            self.looked(a=before, b="b")
            self.session["a"] = after
            self.assertWritten()
            stored = self.record(self.session)
            state = self.live._live.loader.open(stored)
            kept = decodeValue(state.parts[gathering.namespacePart("a")])
            self.assertEqual((type(kept), repr(kept)), (type(after), repr(after)))

    def test_equal(self):
        """
        Another object that is written alike is encoded, found to be alike, and not
        written.
        """
        self.looked(a="x" * 300)
        self.session["a"] = "".join(["x" * 299, "x"])
        self.assertIsNot(self.entry.gather(), self.entry.parts)
        self.assertWritten([])

    def test_within(self):
        """
        What changes within is seen, wherever it is.
        """
        self.looked(a=1, b=[{"c": 1}])
        self.session["b"][0]["c"] = 2
        self.assertWritten()
        self.assertTrue(self.entry.settle(Waits()))
        self.session["b"][0]["c"] = 3
        self.assertWritten(["replace", "replace"])

    def test_attribute(self):
        """
        So it is in an attribute.
        """
        self.looked(a=1)
        self.session.user = ["maja"]
        self.assertWritten()
        self.assertTrue(self.entry.settle(Waits()))
        self.session.user.append("bee")
        self.assertWritten(["replace", "replace"])

    def test_elsewhere(self):
        """
        A key that has become an attribute is another part.
        """
        value = "maja"
        self.looked(user=value)
        del self.session["user"]
        self.session.user = value
        self.assertWritten()

    def test_moreAndLess(self):
        """
        A key more is seen, and one less.
        """
        self.looked(a=1)
        self.session["b"] = None
        self.assertWritten()
        self.assertTrue(self.entry.settle(Waits()))
        del self.session["b"]
        self.assertWritten(["replace", "replace"])

    def test_swapped(self):
        """
        Two keys that have changed places with their values are the same state, two
        that have exchanged their values are another.
        """
        self.looked(a="1", b="2")
        self.session["a"] = self.session.sessionNamespaces.pop("a")
        self.assertWritten([])
        self.session["a"], self.session["b"] = self.session["b"], self.session["a"]
        self.assertWritten()

    def test_refreshed(self):
        """
        What another process has made of the session is compared with that, though here
        the objects are those of before.
        """
        self.looked(a=1, b="b")
        before = self.entry.parts
        self.entry.parts = {**before, gathering.namespacePart("a"): b"\x02"}
        self.assertIsNot(self.entry.gather(), self.entry.parts)
        self.assertEqual(self.entry.gather(), before)

    def test_dictOfAnotherClass(self):
        """
        What another class of dict says may be another thing each time: it is encoded.
        """
        self.looked(a=1)
        self.session.sessionNamespaces = Ordered(a=1)
        self.assertTrue(self.entry.settle(Waits()))
        self.assertEqual(self.entry._objects, [])

    def test_attributeGone(self):
        """
        An attribute more is seen where there was none, and one less.
        """
        self.looked(a=1)
        self.session.user = "maja"
        self.assertWritten()
        self.assertTrue(self.entry.settle(Waits()))
        self.assertTrue(self.entry._objects)
        del self.session.user
        self.assertWritten(["replace", "replace"])

    def test_component(self):
        """
        A component is seen that is there beside the objects of before.
        """
        self.looked(a=1)
        self.session.setComponent(ICart, 1)
        self.assertWritten()

    def test_ended(self):
        """
        Who settles a session that has ended waits for its end.
        """
        self.looked(a=1)
        self.store.hold()
        done = self.session.expire()
        waits = Waits()
        self.assertFalse(self.entry.settle(waits))
        self.assertEqual(waits.heard, [])
        self.store.pass_()
        self.successResultOf(done)
        self.assertEqual(waits.heard, ["gone"])

    def test_changedBack(self):
        """
        Who settles while something else is written waits for what he sees.
        """
        self.looked(a=(one := "one"))
        self.store.hold()
        self.session["a"] = "two"
        first, second = Waits(), Waits()
        self.assertFalse(self.entry.settle(first))
        self.session["a"] = one
        self.assertFalse(self.entry.settle(second))
        self.store.pass_()
        self.assertEqual((first.heard, second.heard), (["saved"], ["saved"]))
        self.assertEqual(self.store.calls, ["replace", "replace"])

    def test_terms(self):
        """
        What is kept beside the parts is looked at too; what the class says when the
        store is to hear of the use.
        """
        self.looked(a=1)
        self.session.sessionLifetime = 5000
        self.assertWritten()
        self.assertTrue(self.entry.settle(Waits()))
        Short = type("Short", (type(self.session),), {"sessionTimeout": 900})
        self.session.__class__ = Short
        self.assertTrue(self.entry.settle(Waits()))
        Short.sessionTimeout = 500
        self.clock.advance(touchInterval(900))
        self.session.touch()
        self.entry.settle(Waits())
        self.assertEqual(self.store.calls.count("replace"), 2)

    def test_termsElsewhere(self):
        """
        So it is after another process has changed that, and only that.
        """
        self.looked(a=1)
        there = self.load(self.another(), self.session)
        there.sessionLifetime = 5000
        self.successResultOf(there.save())
        self.assertIs(self.load(self.live, self.session), self.session)
        self.assertEqual(self.session.sessionLifetime, 5000)
        self.assertWritten(["load"])
        self.assertWritten(["load"])
        self.session.sessionLifetime = 6000
        self.assertWritten(["load", "replace"])

    def test_renamed(self):
        """
        A new uid is told to the store.
        """
        self.looked(a=1)
        self.successResultOf(self.live._live.rotate(self.session))
        self.assertEqual(self.store.calls, ["rename"])

    def test_renamedByHand(self):
        """
        So is one that the application has given.
        """
        self.looked(a=1)
        self.session.uid = b"0" * 63 + b"1"
        self.assertEqual(self.entry.terms[0], 900)
        self.entry.settle(Waits())
        self.assertEqual(self.store.calls, ["rename"])

    def test_touch(self):
        """
        The store hears of the use of one that is the same.
        """
        self.looked(a=1)
        self.clock.advance(59)
        self.session.touch()
        self.assertTrue(self.entry.settle(Waits()))
        self.assertEqual(self.calls(), [])
        self.clock.advance(1)
        self.session.lastModified = self.clock.seconds()
        self.assertTrue(self.entry.settle(Waits()))
        self.assertEqual(self.calls(), ["touch"])
        self.assertTrue(self.entry.settle(Waits()))
        self.assertEqual(self.calls(), ["touch"])


class PlainTests(LiveCase):
    """
    L{gathering.plainParts}: what L{gathering.gather} says, sooner.
    """

    def setUp(self):
        """
        Have a session, and no name seen.
        """
        super().setUp()
        names = {}
        self.patch(gathering, "_partNames", names)
        self.patch(gathering, "_partNamed", names.__getitem__)
        self.session = self.site().makeSession()

    @settings(deadline=None)
    @given(st.dictionaries(KEYS, VALUES, max_size=5))
    def test_alike(self, names):
        """
        It says the same, or nothing.
        """
        self.session.sessionNamespaces = names
        try:
            parts = gathering.gather(self.session, {}).parts
        except CannotBeKept:
            parts = None
        found = gathering.plainParts(self.session)
        if found is not None:
            self.assertEqual(found, parts)
            self.assertEqual(list(found), list(parts))
        elif all(type(key) is str for key in names) and parts is not None:
            self.assertTrue(
                any(
                    type(value) not in SCALARS or value == 2**64
                    for value in names.values()
                )
            )

    def test_new(self):
        """
        A key that was never seen takes more, once.
        """
        self.session["a"] = 1
        self.assertIs(gathering.plainParts(self.session), None)
        parts = gathering.gather(self.session, {}).parts
        self.assertEqual(gathering.plainParts(self.session), parts)

    def test_more(self):
        """
        So does whatever else there is in a session.
        """
        self.session["a"] = 1
        gathering.gather(self.session, {})
        self.assertEqual(len(gathering.plainParts(self.session)), 1)
        self.session.user = "maja"
        self.assertIs(gathering.plainParts(self.session), None)
        del self.session.user
        self.session.setComponent(ICart, 1)
        self.assertIs(gathering.plainParts(self.session), None)
        self.session.unsetComponent(ICart)
        self.assertIsNot(gathering.plainParts(self.session), None)
        self.session._dormant = {b"cname": b"1"}
        self.assertIs(gathering.plainParts(self.session), None)
        self.session._dormant = None
        self.session.sessionNamespaces = Ordered(a=1)
        self.assertIs(gathering.plainParts(self.session), None)


class Ordered(dict):
    """
    A class of dicts that may say what it likes of its values.
    """
