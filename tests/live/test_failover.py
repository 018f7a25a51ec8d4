"""
Tests of what L{txsessions.live.tombstones} does where a store has lost ends of sessions:
another server took over that had not heard of them yet.
"""

from __future__ import annotations

import copy

from zope.interface import implementer

from tests.live.sites import NOW, LiveCase
from tests.slowstore import SlowStore
from txsessions.core.signin import SignIn
from txsessions.errors import StoreUnavailable
from txsessions.interfaces import IReconnectingStore
from txsessions.live import principals, tombstones
from txsessions.live.tombstones import AT_ONCE, REMEMBERED
from txsessions.stores._reconnecting import Reconnecting


@implementer(IReconnectingStore)
class TwoServers(Reconnecting, SlowStore):
    """
    A store with a replica that hears of changes when it is told to.
    """

    def replicate(self) -> None:
        """
        The replica gets all that there is.
        """
        self.replica = copy.deepcopy(self.inner)

    def failOver(self) -> None:
        """
        The replica takes over, with what it has.
        """
        self.inner = self.replica
        self._tellConnected()


class FailoverCase(LiveCase):
    """
    Has a site on such a store.
    """

    def setUp(self):
        """
        Make them.
        """
        super().setUp()
        self.store = TwoServers(self.inner)
        self.live = self.site()
        self.stones = self.live._live.tombstones
        self.handles = 0

    def signedIn(self, site, name):
        """
        A live session that the store has, on which somebody is signed in.
        """
        self.handles += 1
        session = site.makeSession()
        session._signIn = SignIn(name, 1, NOW, b"%016d" % self.handles)
        self.successResultOf(session.save())
        return session

    def logout(self, *sessions):
        """
        Log out; the store says that it is done.
        """
        for session in sessions:
            self.successResultOf(session.expire())

    def failOver(self):
        """
        The replica takes over.
        """
        self.store.failOver()
        self.inner = self.store.inner

    def loads(self):
        """
        How often the store was asked for a session.
        """
        return self.store.calls.count("load")

    def deletes(self):
        """
        How often it was told that one has ended.
        """
        calls = self.store.calls
        return calls.count("delete") + calls.count("endSession")


class FailoverTests(FailoverCase):
    """
    Sessions that were logged out of.
    """

    def test_deletedAgain(self):
        """
        One that is back is refused at once, without asking, and deleted; all other
        sessions go on, and it is told.
        """
        session, other = self.saved(self.live, a=1), self.saved(self.live, a=2)
        self.store.replicate()
        self.logout(session)
        self.assertIs(self.record(session), None)
        self.failOver()
        self.assertTrue(self.record(session))
        before = self.loads()
        self.assertIs(self.load(self.live, session), None)
        self.assertEqual(self.loads(), before)
        self.assertEqual(len(self.stones), 1)
        self.ring()
        self.assertIs(self.record(session), None)
        self.assertEqual(len(self.stones), 0)
        self.assertIs(self.load(self.live, session), None)
        self.assertIs(self.load(self.another(), session), None)
        self.assertTrue(self.load(self.live, other))
        self.assertEqual(self.logs("1 sessions that had ended were back"), 1)

    def test_requestsMeanwhile(self):
        """
        None gets in while the store takes its time, nor while it fails again, whatever
        it was asked before.
        """
        session = self.saved(self.live, a=1)
        self.store.replicate()
        self.store.hold("load")
        self.logout(session)
        early = self.live.loadSession(session._uid)
        self.failOver()
        self.store.release()
        self.assertIs(self.successResultOf(early), None)
        self.store.hold("delete")
        self.ring()
        self.assertEqual(self.store.names(), ["delete"])
        before = self.loads()
        for _ in range(3):
            self.assertIs(self.load(self.live, session), None)
        self.store.fail(StoreUnavailable("down"))
        self.assertIs(self.load(self.live, session), None)
        self.assertEqual(self.loads(), before)
        self.store.pass_()
        self.clock.advance(2)
        self.assertIs(self.record(session), None)
        self.assertEqual(len(self.stones), 0)

    def test_nothingLost(self):
        """
        Where nothing was lost that costs one call for each, once for each connection,
        for ten minutes.
        """
        self.logout(*[self.saved(self.live, a=1) for _ in range(3)])
        self.assertEqual(self.deletes(), 3)
        for passed, calls in ((300, 3), (299, 3), (1, 0), (0, 0)):
            before = self.deletes()
            self.clock.advance(passed)
            self.store.replicate()
            self.failOver()
            self.ring()
            self.clock.advance(0)
            self.assertEqual(self.deletes() - before, calls, passed)
        self.assertEqual((REMEMBERED, len(self.stones)), (600.0, 0))
        self.assertEqual(self.logs("had ended were back"), 0)

    def test_lostTwice(self):
        """
        What had to be deleted again counts from then.
        """
        session = self.saved(self.live, a=1)
        self.store.replicate()
        self.logout(session)
        for _ in range(3):
            self.clock.advance(REMEMBERED - 1)
            lost = copy.deepcopy(self.store.replica)
            self.failOver()
            self.ring()
            self.assertIs(self.record(session), None)
            self.store.replica = lost

    def test_bounded(self):
        """
        So many are remembered, the latest, and deleted a bounded number at a time.
        """
        self.patch(self.stones._done, "_most", 2 * AT_ONCE + 5)
        sessions = [self.saved(self.live, a=1) for _ in range(2 * AT_ONCE + 8)]
        self.store.replicate()
        self.logout(*sessions)
        self.failOver()
        self.store.hold("delete")
        self.clock.advance(0)
        self.assertEqual(self.store.releaseInTurns(self.clock), [AT_ONCE, AT_ONCE, 5])
        left = [bool(self.record(session)) for session in sessions]
        self.assertEqual(left, [True] * 3 + [False] * (2 * AT_ONCE + 5))
        self.assertEqual(self.logs("205 sessions that had ended were back"), 1)

    def test_failsMeanwhile(self):
        """
        What could not be told is not put off by a wait of before.
        """
        session = self.saved(self.live, a=1)
        self.store.replicate()
        self.store.down = StoreUnavailable("down")
        self.failureResultOf(session.expire(), StoreUnavailable)
        self.clock.advance(20)
        self.store.down = None
        self.failOver()
        self.clock.advance(0)
        self.assertIs(self.record(session), None)

    def test_newKeyLost(self):
        """
        Where the store has lost also that a session got new keys, it has it under an
        old one: that has ended too.
        """
        session = self.saved(self.live, a=1)
        uids = [session._uid]
        self.store.replicate()
        for _ in range(2):
            self.successResultOf(self.live._live.rotate(session))
            uids.append(session._uid)
        self.clock.advance(100)
        self.logout(session)
        self.failOver()
        self.assertTrue(self.successResultOf(self.another().loadSession(uids[0])))
        for uid in uids:
            self.assertIs(self.successResultOf(self.live.loadSession(uid)), None)
        self.ring()
        for uid in uids:
            loaded = self.another().loadSession(uid)
            self.assertIs(self.successResultOf(loaded), None)

    def test_keysBounded(self):
        """
        So many of their old keys are known.
        """
        self.patch(tombstones, "MAX_REMEMBERED", 2)
        for _ in range(3):
            self.successResultOf(self.live._live.rotate(self.saved(self.live, a=1)))
        self.assertEqual(len(self.stones._former), 2)

    def test_goesOnElsewhere(self):
        """
        What another process has made of it before it was deleted again has ended too,
        by whatever marker it is found.
        """
        session = self.saved(self.live, a=1)
        self.store.replicate()
        self.logout(session)
        self.failOver()
        there = self.another()
        back = self.load(there, session)
        self.successResultOf(there._live.rotate(back))
        self.ring()
        self.clock.advance(100)
        self.assertIs(self.load(there, back), None)

    def test_made(self):
        """
        An id that somebody made up, and logged out by while the store was down, is not
        remembered, and pushes out nobody.
        """
        key = bytes(32)
        self.stones.expect(key)
        self.assertFalse(self.successResultOf(self.stones.bury([key], marks=True)))
        self.assertEqual(len(self.stones._done), 0)

    def test_opensAgain(self):
        """
        A site that is stopped, and started on the replica, does so too.
        """
        session = self.saved(self.live, a=1)
        self.store.replicate()
        self.logout(session)
        self.successResultOf(self.live.closed())
        self.store.failOver()
        self.inner = self.store.inner
        self.live.startFactory()
        self.ring()
        self.assertIs(self.record(session), None)

    def test_otherStores(self):
        """
        Where a store has no other server, nothing is remembered.
        """
        live = self.site(SlowStore(self.inner))
        session = self.signedIn(live, "ann")
        self.successResultOf(live._live.rotate(session))
        self.successResultOf(session.expire())
        self.signedIn(live, "ann")
        calls = live._live.store.calls
        self.assertEqual(self.successResultOf(live.endPrincipal("ann")), 1)
        self.assertNotIn("sessionsOf", calls)
        stones = live._live.tombstones
        self.assertEqual((len(stones._done), len(stones._former)), (0, 0))


class PrincipalTests(FailoverCase):
    """
    Sessions that were ended by who is signed in.
    """

    def setUp(self):
        """
        Have two sessions of Ann, of another process, and one of Bob.
        """
        super().setUp()
        self.there = self.another()
        self.anns = [self.signedIn(self.there, "ann") for _ in range(2)]
        self.bob = self.signedIn(self.there, "bob")
        self.store.replicate()

    def isBack(self, session):
        """
        Whether a new process finds a session.
        """
        return self.load(self.another(), session) is not None

    def test_handle(self):
        """
        One that was ended by its handle is refused and ended again, whatever key it
        has got meanwhile.
        """
        lost, other = self.anns
        handle = lost._signIn.handle.hex()
        self.assertTrue(self.successResultOf(self.live.endSession("ann", handle)))
        self.failOver()
        self.assertTrue(self.isBack(lost))
        self.assertIs(self.load(self.live, lost), None)
        elsewhere = self.another()
        back = self.load(elsewhere, lost)
        self.successResultOf(elsewhere._live.rotate(back))
        self.assertIs(self.load(self.live, back), None)
        self.assertTrue(self.load(self.live, other))
        self.ring()
        self.assertEqual(len(self.stones), 0)
        for session, isThere in ((lost, False), (back, False), (other, True)):
            self.assertEqual(self.isBack(session), isThere)

    def test_answeredLate(self):
        """
        It is refused also where the store looked before it was ended again, and says so
        afterwards.
        """
        lost = self.anns[0]
        handle = lost._signIn.handle.hex()
        self.assertTrue(self.successResultOf(self.live.endSession("ann", handle)))
        self.failOver()
        self.store.late = True
        self.store.hold("load")
        asked = self.live.loadSession(lost._uid)
        self.ring()
        self.assertEqual(self.store.names(), ["load"])
        self.assertEqual(len(self.stones), 0)
        self.store.release()
        self.assertIs(self.successResultOf(asked), None)

    def test_unknownHandle(self):
        """
        One that there is not is not remembered.
        """
        for handle in ("00" * 16, "no handle"):
            ended = self.live.endSession("ann", handle)
            self.assertFalse(self.successResultOf(ended))
        self.assertEqual(len(self.stones._done), 0)

    def test_principal(self):
        """
        Where all of somebody's have ended, those that there were are ended again, and
        none of which he or she has signed in since.
        """
        self.assertEqual(self.successResultOf(self.live.endPrincipal("ann")), 2)
        self.failOver()
        since = self.signedIn(self.another(), "ann")
        for session in self.anns:
            self.assertTrue(self.isBack(session))
            self.assertIs(self.load(self.live, session), None)
        self.ring()
        for session in self.anns:
            self.assertFalse(self.isBack(session))
        self.assertTrue(self.isBack(since))
        self.assertTrue(self.isBack(self.bob))

    def test_but(self):
        """
        The one that was to stay stays.
        """
        mine, other = self.load(self.live, self.anns[0]), self.anns[1]
        ended = self.live._live.principals.end("ann", mine)
        self.assertEqual(self.successResultOf(ended), 1)
        self.failOver()
        self.ring()
        self.assertTrue(self.isBack(mine))
        self.assertFalse(self.isBack(other))

    def test_many(self):
        """
        So many of one are remembered, page by page.
        """
        self.patch(principals, "PAGE", 2)
        self.patch(principals, "MAX_REMEMBERED", 5)
        for _ in range(5):
            self.signedIn(self.there, "ann")
        self.assertEqual(self.successResultOf(self.live.endPrincipal("ann")), 7)
        self.assertEqual(len(self.stones._done), 5)
        self.assertEqual(self.store.calls.count("sessionsOf"), 3)

    def test_cannotTell(self):
        """
        Where the store cannot tell which there are, they end all the same.
        """
        self.store.hold("sessionsOf")
        ended = self.live.endPrincipal("ann")
        self.store.fail(StoreUnavailable("down"))
        self.assertEqual(self.successResultOf(ended), 2)
        self.assertEqual(len(self.stones._done), 0)
