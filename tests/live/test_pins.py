"""
Tests of L{txsessions.live.pins}: sessions that have to stay in this process.
"""

from __future__ import annotations

from tests.live.sites import LiveCase
from txsessions.errors import CannotBeKept
from txsessions.live import gathering, pins
from txsessions.live.phases import STALE


class Avatar:
    """
    Something that cannot be kept.
    """


class PinTests(LiveCase):
    """
    What cannot be kept pins its session.
    """

    def setUp(self):
        """
        Forget what was reported.
        """
        super().setUp()
        self.patch(gathering, "_reported", set())
        self.live = self.site()

    def pinned(self, **namespaces):
        """
        A session with such a thing.
        """
        session = self.live.makeSession()
        session.avatar = Avatar()
        session.sessionNamespaces.update(namespaces)
        self.successResultOf(session.save())
        return session

    def test_stays(self):
        """
        Such a session stays until its time is up, and ends then.
        """
        session = self.pinned(a=1)
        avatar = session.avatar
        for _ in range(5):
            self.clock.advance(100)
            self.assertIs(self.load(self.live, session), session)
            self.assertIs(session.avatar, avatar)
        self.heard.told()
        self.clock.advance(400)
        self.assertNotIn(session._uid, self.live.sessions)
        self.assertEqual(self.heard.told(), ["expired idle"])
        self.assertEqual(len(self.live._live.pins), 0)
        self.assertEqual(self.logs("stays in this process"), 1)

    def test_letGo(self):
        """
        Without it, it may leave again.
        """
        session = self.pinned(a=1)
        self.assertEqual(len(self.live._live.pins), 1)
        del session.avatar
        self.successResultOf(session.save())
        self.assertEqual(len(self.live._live.pins), 0)
        self.clock.advance(61)
        session.touch()
        self.clock.advance(61)
        self.assertNotIn(session._uid, self.live.sessions)

    def test_tooMany(self):
        """
        When there are too many the longest unused ends, and that is told.
        """
        self.patch(pins, "MAX_PINNED", 3)
        sessions = [self.pinned(a=1) for _ in range(3)]
        self.successResultOf(sessions[0].save())
        self.heard.told()
        sessions.append(self.pinned(a=1))
        self.assertEqual(self.heard.told(), ["ended pinned", "created"])
        live = [session._uid in self.live.sessions for session in sessions]
        self.assertEqual(live, [True, False, True, True])
        self.assertIs(self.record(sessions[1]), None)
        self.assertEqual(len(self.live._live.pins), 3)

    def test_thousand(self):
        """
        There may be a thousand; making room for one more looks at one only.
        """
        self.assertEqual(pins.MAX_PINNED, 1000)
        table = self.live._live
        for _ in range(1005):
            self.pinned()
        self.assertEqual(len(table.pins), 1000)
        self.assertEqual(len(self.live.sessions), 1000)

    def test_callbacksPinNothing(self):
        """
        Expiry callbacks are no reason to stay.
        """
        session = self.saved(self.live, a=1)
        session.notifyOnExpire(lambda: None)
        self.clock.advance(61)
        self.assertNotIn(session._uid, self.live.sessions)

    def test_strict(self):
        """
        A strict site makes it an error, which says where it is.
        """
        site = self.site(siteName=b"strict", strict=True)
        session = site.makeSession()
        session.avatar = {"deep": [Avatar()]}
        failure = self.failureResultOf(session.save(), CannotBeKept)
        self.assertIn("session.avatar['deep'][0]", str(failure.value))
        self.assertIn("txsessions.keep()", str(failure.value))
        self.assertEqual(session._phase, STALE)
        self.assertEqual(len(site._live.pins), 0)

    def test_withoutAStore(self):
        """
        Without a store nothing has to be kept.
        """
        session = self.site(None, strict=True).makeSession()
        session.avatar = Avatar()
        self.successResultOf(session.save())
        self.assertEqual(self.logs("stays in this process"), 0)
