"""
Tests of how L{txsessions.live.gathering} knows, without encoding anything, that a
session is what it was: nothing that has changed may be missed for it.
"""

from __future__ import annotations

from tests.live.sites import LiveCase, Waits
from txsessions.core.codec import decodeValue
from txsessions.live import gathering


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


class Ordered(dict):
    """
    A class of dicts that may say what it likes of its values.
    """
