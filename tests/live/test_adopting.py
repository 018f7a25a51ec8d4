"""
Tests of L{txsessions.live.adopting}: taking over what others made of a session.
"""

from __future__ import annotations

from twisted.python.components import registerAdapter
from twisted.web import server
from zope.interface import Interface

from tests.live.sites import NOW, LiveCase
from txsessions.live.adopting import usedAt
from txsessions.live.flight import MAX_TRIES


class ITally(Interface):
    """
    A component that merges itself.
    """


class Tally:
    """
    Its adapter.
    """

    def __init__(self, session):
        self.count = 0

    @staticmethod
    def mergeState(base, mine, theirs):
        """
        Add what both have added.
        """
        if mine["count"] == 666:
            raise ZeroDivisionError
        was = 0 if base is None else base["count"]
        return {"count": mine["count"] + theirs["count"] - was}


registerAdapter(Tally, server.Session, ITally)


class MergeTests(LiveCase):
    """
    Two processes change one session.
    """

    def setUp(self):
        """
        Have both hold it.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.live.makeSession()
        self.session.sessionNamespaces.update(
            a=1, b=1, cart={"x": 1, "y": 1}, tags={"red"}, list=[1]
        )
        self.session.user = "maja"
        ITally(self.session).count = 5
        self.successResultOf(self.session.save())
        self.process = self.another()
        self.other = self.load(self.process, self.session)
        self.heard.told()

    def both(self):
        """
        Save what both changed, the other process first.

        @return: What was told.
        """
        self.successResultOf(self.other.save())
        self.successResultOf(self.session.save())
        self.successResultOf(self.live.loadSession(self.session._uid))
        third = self.load(self.another(), self.session)
        self.assertEqual(third.sessionNamespaces, self.session.sessionNamespaces)
        self.assertEqual(third.__dict__, self.session.__dict__)
        self.assertEqual(ITally(third).count, ITally(self.session).count)
        return self.heard.told()

    def test_different(self):
        """
        Changes of different parts are both kept, in place.
        """
        cart = self.session["cart"]
        self.other["a"] = 2
        self.other["cart"]["x"] = 2
        self.other.user = "willi"
        self.session["b"] = 3
        self.session["cart"]["y"] = 3
        self.session.age = 5
        self.assertEqual(self.both(), [])
        self.assertIs(self.session["cart"], cart)
        self.assertEqual(cart, {"x": 2, "y": 3})
        self.assertEqual(self.session["a"], 2)
        self.assertEqual(self.session["b"], 3)
        self.assertEqual((self.session.user, self.session.age), ("willi", 5))

    def test_sets(self):
        """
        What both did to a set is done.
        """
        self.other["tags"] |= {"blue"}
        self.session["tags"] ^= {"red", "green"}
        self.assertEqual(self.both(), [])
        self.assertEqual(self.session["tags"], {"blue", "green"})

    def test_component(self):
        """
        A component merges its own state.
        """
        tally = ITally(self.session)
        ITally(self.other).count += 10
        tally.count += 100
        self.assertEqual(self.both(), [])
        self.assertEqual(tally.count, 115)

    def test_componentFails(self):
        """
        If it fails to, the later state is taken, and that is told and logged.
        """
        ITally(self.other).count += 10
        ITally(self.session).count = 666
        self.assertEqual(self.both(), ["conflict changed on both sides"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_same(self):
        """
        Of what was changed on both sides the later is taken, and each such part
        is told.
        """
        self.other["a"] = 2
        self.session["a"] = 3
        self.other["list"].append(2)
        self.session["list"].append(3)
        self.other["cart"]["x"] = 2
        self.session["cart"]["x"] = 3
        told = self.both()
        self.assertEqual(told, ["conflict changed on both sides"] * 3)
        self.assertEqual(self.session["a"], 3)
        self.assertEqual(self.session["list"], [1, 3])
        self.assertEqual(self.session["cart"], {"x": 3, "y": 1})

    def test_equal(self):
        """
        The same change on both sides is no conflict, unless both may have
        counted something.
        """
        self.other["a"] = self.session["a"] = "same"
        self.assertEqual(self.both(), [])
        self.assertEqual(self.session["a"], "same")
        self.other["b"] += 1
        self.session["b"] += 1
        self.assertEqual(self.both(), ["conflict changed on both sides"])

    def test_deletion(self):
        """
        A deletion holds; against a change it is a conflict.
        """
        del self.other["a"], self.other.user
        del self.session["b"]
        self.assertEqual(self.both(), [])
        self.assertNotIn("a", self.session)
        self.assertNotIn("b", self.session)
        self.assertFalse(hasattr(self.session, "user"))
        del self.other["list"]
        self.session["list"].append(5)
        self.successResultOf(self.other.save())
        self.successResultOf(self.session.save())
        self.assertEqual(self.heard.told(), ["conflict changed on both sides"])
        self.assertEqual(self.session["list"], [1, 5])

    def test_limits(self):
        """
        A limit that only the other changed is taken over, and one that was
        changed here is kept and saved.
        """
        self.clock.advance(20)
        self.other.sessionTimeout = 50
        self.successResultOf(self.other.save())
        self.clock.advance(10)
        self.session["a"] = 2
        self.both()
        self.assertEqual(self.session.sessionTimeout, 50)
        self.assertEqual(self.session.lastModified, NOW + 20)
        self.assertEqual(self.session._expireCall.getTime(), NOW + 70)
        self.other.sessionTimeout = 60
        self.session.sessionTimeout = 70
        self.both()
        self.assertEqual(self.session.sessionTimeout, 70)
        third = self.load(self.another(), self.session)
        self.assertEqual(third.sessionTimeout, 70)
        self.other.sessionLifetime = 1000
        self.both()
        self.assertEqual(self.session.sessionLifetime, 1000)

    def test_uses(self):
        """
        A use in the other process counts here, and none goes back.
        """
        self.clock.advance(20)
        self.other.touch()
        self.other["a"] = 2
        self.session["b"] = 2
        self.both()
        self.assertEqual(self.session.lastModified, NOW + 20)
        self.assertEqual(self.session._expireCall.getTime(), NOW + 920)
        self.clock.advance(10)
        self.session.touch()
        self.other["a"] = 3
        self.both()
        self.assertEqual(self.session.lastModified, NOW + 30)

    def test_bounded(self):
        """
        A write that is refused over and over is given up, and the object with
        it.
        """
        calls = []

        def interfere(record, expected, now, replace=self.inner.replace):
            calls.append(record)
            self.other["a"] = 1000 + len(calls)
            self.inner.replace = replace
            self.successResultOf(self.other.save())
            self.inner.replace = interfere
            return replace(record, expected, now)

        self.inner.replace = interfere
        self.session["b"] = 2
        failure = self.failureResultOf(self.session.save())
        self.assertEqual(failure.type.__name__, "SessionConflict")
        self.assertEqual(len(calls), MAX_TRIES + 1)
        self.assertNotIn(self.session._uid, self.live.sessions)
        self.assertEqual(len(self.flushLoggedErrors()), 0)


class UsedAtTests(LiveCase):
    """
    L{usedAt}.
    """

    def test_usedAt(self):
        """
        The last use is that which the store was told of, while the session is
        alive by it; else the last of which it need not have been told.
        """
        self.assertEqual(usedAt(1000.0, 900.0, 1899.9), 1000.0)
        self.assertEqual(usedAt(1000.0, 900.0, 1900.0), 1060.0)
        self.assertEqual(usedAt(1000.0, 15.0, 1015.0), 1001.0)
