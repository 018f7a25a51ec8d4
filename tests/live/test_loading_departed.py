"""
Tests of L{txsessions.live.loading}, of sessions that have left memory.
"""

from __future__ import annotations

import gc

from tests.live.sites import NOW, LiveCase
from txsessions.live.phases import ENDED


class DepartedTests(LiveCase):
    """
    A session that has left memory while somebody still has the object.
    """

    def setUp(self):
        """
        Let it leave.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.process = self.another()
        self.session.notifyOnExpire(lambda: self.ended.append(1))
        self.ended = []
        self.clock.advance(61)
        self.assertEqual(dict(self.live.sessions), {})

    def test_same(self):
        """
        It is taken again, with its callbacks.
        """
        self.assertIs(self.load(self.live, self.session), self.session)
        self.session.expire()
        self.assertEqual(self.ended, [1])
        self.clock.advance(2000)
        self.assertEqual(self.ended, [1])

    def test_changed(self):
        """
        If it was changed elsewhere it is brought up to that.
        """
        other = self.load(self.process, self.session)
        other["a"] = 2
        self.successResultOf(other.save())
        self.assertIs(self.load(self.live, self.session), self.session)
        self.assertEqual(self.session["a"], 2)

    def test_freed(self):
        """
        If nobody has it, it is made anew, with its callbacks.
        """
        uid, self.session = self.session._uid, None
        gc.collect()
        session = self.successResultOf(self.live.loadSession(uid))
        self.assertEqual(session["a"], 1)
        session.expire()
        self.assertEqual(self.ended, [1])

    def test_gone(self):
        """
        If it was ended elsewhere its callbacks are run when that is seen, be
        the object still there or not.
        """
        other = self.load(self.process, self.session)
        other.expire()
        self.assertIs(self.load(self.live, self.session), None)
        self.assertEqual(self.ended, [1])
        self.assertEqual(self.live._live.parked, {})

    def test_goneAndFreed(self):
        """
        The same without the object.
        """
        uid = self.session._uid
        self.load(self.process, self.session).expire()
        self.session = None
        gc.collect()
        self.assertIs(self.successResultOf(self.live.loadSession(uid)), None)
        self.assertEqual(self.ended, [1])

    def test_rotated(self):
        """
        If it was given another uid elsewhere nothing has ended yet.
        """
        uid = self.session._uid
        other = self.load(self.process, self.session)
        self.successResultOf(self.process._live.rotate(other))
        self.session = None
        gc.collect()
        self.assertIs(self.successResultOf(self.live.loadSession(uid)), None)
        self.assertEqual(self.ended, [])

    def test_used(self):
        """
        If somebody uses it, it is live again.
        """
        self.session.touch()
        self.assertIs(self.live.getSession(self.session._uid), self.session)
        self.assertIsNot(self.session._expireCall, None)
        self.assertEqual(self.record(self.session).touchedAt, NOW + 61)
        self.clock.advance(899)
        self.clock.advance(2)

    def test_saved(self):
        """
        If somebody changes and saves it, that is in the store.
        """
        self.session["a"] = 5
        self.successResultOf(self.session.save())
        self.assertEqual(self.load(self.another(), self.session)["a"], 5)
        self.assertEqual(self.live._live.byKey, {})

    def test_expired(self):
        """
        If somebody ends it, it is gone.
        """
        self.successResultOf(self.session.expire())
        self.assertEqual(self.ended, [1])
        self.assertIs(self.load(self.live, self.session), None)
        self.assertIs(self.record(self.session), None)

    def test_outlived(self):
        """
        If its time is up it is not taken again.
        """
        self.clock.rightNow += 850
        self.assertIs(self.load(self.live, self.session), None)
        self.assertEqual(self.session._phase, ENDED)
