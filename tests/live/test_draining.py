"""
Tests of L{txsessions.live.draining}: the writes under way, and the end of a process.
"""

from __future__ import annotations

from tests.live.sites import LiveCase
from txsessions.errors import StoreUnavailable


class DrainTests(LiveCase):
    """
    L{txsessions.live.draining.Writes}.
    """

    def setUp(self):
        """
        Have a session that the store has.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.writes = self.live._live.writes

    def test_nothing(self):
        """
        With nothing to save there is nothing to wait for.
        """
        del self.store.calls[:]
        self.live.makeSession()
        self.successResultOf(self.writes.drain())
        self.assertEqual(self.store.calls, [])

    def test_waits(self):
        """
        It waits for what was begun before, for what it saves itself, and for
        what comes of these.
        """
        self.store.hold()
        self.session["a"] = 2
        self.session.save()
        self.session["a"] = 3
        done, second = self.writes.drain(), self.writes.drain()
        for _ in range(2):
            self.assertNoResult(done)
            self.store.release()
        self.successResultOf(done)
        self.successResultOf(second)
        self.store.holding = frozenset()
        self.assertEqual(self.load(self.another(), self.session)["a"], 3)

    def test_deletions(self):
        """
        It waits for deletions, and tries those again that failed.
        """
        self.store.down = StoreUnavailable("down")
        self.session.expire()
        self.store.down = None
        self.store.hold("delete")
        done = self.writes.drain()
        self.assertNoResult(done)
        self.store.pass_()
        self.successResultOf(done)
        self.assertIs(self.record(self.session), None)

    def test_fails(self):
        """
        What fails is over, too.
        """
        self.session["a"] = 2
        self.store.hold()
        done = self.writes.drain()
        self.store.fail(StoreUnavailable("down"))
        self.successResultOf(done)
        self.store.pass_()
