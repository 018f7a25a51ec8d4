"""
Tests of L{txsessions.live.checking}: can sessions be kept now?
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from tests.live.sites import LiveCase
from txsessions import StoreCheck
from txsessions.core.seal import FORMAT
from txsessions.errors import StoreUnavailable
from txsessions.live.checking import FRESH, PROBE, PROBE_LIFE
from txsessions.live.sweeper import INTERVAL


class CheckCase(LiveCase):
    """
    Has a site.
    """

    def setUp(self):
        """
        Make it.
        """
        super().setUp()
        self.here = self.site()
        del self.store.calls[:]

    def check(self, site=None):
        """
        Look, and find something at once.
        """
        return self.successResultOf((site or self.here).checkStore())


class CheckTests(CheckCase):
    """
    C{site.checkStore()}.
    """

    def test_good(self):
        """
        A store that works has kept a record for a moment, and nothing is left.
        """
        self.saved(self.here)
        before = dict(self.inner._slots)
        del self.store.calls[:]
        check = self.check()
        self.assertIsInstance(check, StoreCheck)
        self.assertEqual(
            (check.isGood, check.reachable, check.writable, check.readable, check.why),
            (True, True, True, True, ""),
        )
        self.assertEqual(check.address, self.inner.address)
        self.assertEqual(check.durability, self.inner.durability)
        self.assertEqual(self.store.calls, ["insert", "load", "delete"])
        self.assertEqual(self.inner._slots, before)
        self.assertEqual(self.heard.told(), ["created"])

    def test_seconds(self):
        """
        It tells how long each took.
        """
        self.store.hold("insert", "load", "delete")
        done = self.here.checkStore()
        for seconds in (0.5, 0.25, 1.0):
            self.clock.advance(seconds)
            self.store.release()
        check = self.successResultOf(done)
        self.assertAlmostEqual(check.writeSeconds, 1.5, places=5)
        self.assertAlmostEqual(check.readSeconds, 0.25, places=5)
        self.assertEqual(check.openSeconds, 0)

    def test_keys(self):
        """
        Each probe has a key of its own, from the site's source of chance.
        """
        drawn = []

        def entropy(size):
            drawn.append(bytes([len(drawn)]) * size)
            return drawn[-1]

        self.here._entropy = entropy
        self.store.hold("delete")
        for number in range(2):
            self.here.checkStore()
            self.assertIn(drawn[2 * number], self.inner._slots)
        self.store.pass_()
        self.assertEqual(self.inner._slots, {})

    def test_notWritable(self):
        """
        A store that takes nothing may be read all the same.
        """
        self.store.hold("insert")
        done = self.here.checkStore()
        self.store.fail(StoreUnavailable("the disk is full"))
        check = self.successResultOf(done)
        self.assertEqual(
            (check.isGood, check.reachable, check.writable, check.readable),
            (False, True, False, True),
        )
        self.assertEqual(check.why, "it cannot be written: the disk is full")

    def test_unknown(self):
        """
        What may have been taken is removed.
        """
        self.store.hold("insert")
        done = self.here.checkStore()
        self.store.fail(StoreUnavailable("late"), done=True)
        self.assertFalse(self.successResultOf(done).writable)
        self.assertEqual(self.inner._slots, {})

    def test_notReadable(self):
        """
        A store that cannot be read, or that gives back something else, is told of.
        """
        self.store.hold("load")
        done = self.here.checkStore()
        self.store.fail(StoreUnavailable("broken"))
        check = self.successResultOf(done)
        self.assertEqual((check.writable, check.readable), (True, False))
        self.assertEqual(check.why, "it cannot be read: broken")
        self.assertEqual(self.inner._slots, {})
        self.store.pass_()
        self.patch(self.store, "load", lambda *args: succeed(None))
        check = self.check()
        self.assertFalse(check.readable)
        self.assertIn("did not give back", check.why)

    def test_notRemovable(self):
        """
        A probe that could not be removed runs out, and no sweeper takes it for a
        session.
        """
        self.store.hold("delete")
        done = self.here.checkStore()
        self.store.fail(StoreUnavailable("broken"))
        check = self.successResultOf(done)
        self.assertEqual((check.writable, check.readable), (False, True))
        self.assertEqual(check.why, "nothing can be removed from it: broken")
        self.store.pass_()
        count = self.store.countSessions
        self.clock.advance(PROBE_LIFE)
        self.assertEqual(self.successResultOf(count(self.clock.seconds())), 0)
        self.assertEqual(len(self.inner._slots), 1)
        self.heard.told()
        self.clock.advance(INTERVAL)
        self.assertEqual(self.inner._slots, {})
        self.assertEqual(self.heard.told(), [])
        self.assertFalse(PROBE.startswith(FORMAT))

    def test_down(self):
        """
        One that does nothing is told of, and nothing is raised.
        """
        self.store.down = StoreUnavailable("down")
        check = self.check()
        self.assertEqual(
            (check.reachable, check.writable, check.readable), (True, False, False)
        )
        self.assertEqual(
            check.why, "it cannot be written: down; it cannot be read: down"
        )

    def test_unexpected(self):
        """
        What a store should not raise is logged, and not shown.
        """
        self.store.down = ZeroDivisionError("a secret")
        check = self.check()
        self.assertFalse(check.isGood)
        self.assertIn("ZeroDivisionError", check.why)
        self.assertNotIn("secret", check.why)
        self.assertTrue(self.logs("a secret"))

    def test_chanceFails(self):
        """
        Without chance there is no probe.
        """

        def entropy(size):
            raise OSError("no entropy")

        self.here._entropy = entropy
        check = self.check()
        self.assertFalse(check.isGood)
        self.assertIn("no probe could be made", check.why)

    def test_notOpen(self):
        """
        While the store has not been opened it says why.
        """
        self.store.hold("open")
        site = self.site(siteName=b"late")
        done = site.checkStore()
        self.clock.advance(1)
        self.store.fail(StoreUnavailable("no such place"))
        check = self.successResultOf(done)
        self.assertEqual(
            (check.reachable, check.why, check.openSeconds), (False, "no such place", 1)
        )
        self.assertIs(check.writeSeconds, None)
        # It will be tried again, and is not now.
        self.assertEqual(self.check(site).why, "no such place")
        self.store.pass_()
        self.clock.advance(1)
        self.assertTrue(self.check(site).isGood)

    def test_takesLong(self):
        """
        It does not wait for an opening for long.
        """
        self.store.hold("open")
        done = self.site(siteName=b"late").checkStore()
        self.clock.advance(2)
        check = self.successResultOf(done)
        self.assertIn("takes long to open", check.why)

    def test_closed(self):
        """
        A store that was closed is out of reach.
        """
        self.successResultOf(self.here.closed())
        check = self.check()
        self.assertFalse(check.reachable)
        self.assertIn("has been closed", check.why)

    def test_withoutStore(self):
        """
        Where there is no store all is well.
        """
        check = self.check(self.site(None))
        self.assertTrue(check.isGood)
        self.assertIn("end with this process", check.durability)


class RecentTests(CheckCase):
    """
    Many who ask.
    """

    def recent(self):
        """
        Ask as one of many.
        """
        found = self.here._live.checks.recent(self.here._entropy)
        self.assertIsInstance(found, Deferred)
        return found

    def test_shared(self):
        """
        Those who ask while somebody looks share what he finds.
        """
        self.store.hold("insert")
        done = [self.recent() for _ in range(5)]
        self.assertEqual(self.store.calls, ["insert"])
        self.store.pass_()
        found = {id(self.successResultOf(each)) for each in done}
        self.assertEqual(len(found), 1)
        self.assertEqual(self.store.calls, ["insert", "load", "delete"])

    def test_rate(self):
        """
        There is one look a second at most, also where it finds nothing good, and
        whatever becomes of the clock.
        """
        for down in (None, StoreUnavailable("down")):
            self.store.down = down
            for ahead, calls in ((FRESH, 1), (FRESH / 2, 0), (FRESH / 2, 1), (-10, 1)):
                self.clock.rightNow += ahead
                del self.store.calls[:]
                for _ in range(3):
                    self.successResultOf(self.recent())
                self.assertEqual(self.store.calls.count("insert"), calls)


__all__ = ["CheckTests", "RecentTests"]
