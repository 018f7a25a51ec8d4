"""
Tests of L{txsessions.live.loading}: for whom an answer of the store counts.

The store's answers are on their way here for as long as a test likes: what they say
was so when the question came.
"""

from __future__ import annotations

from unittest import mock

from tests.live.sites import LiveCase
from txsessions.errors import SessionUnavailable, StoreUnavailable
from txsessions.live.phases import ENDED


class AnswerCase(LiveCase):
    """
    Two processes on one store, and a session that both may know.  The answers to
    the second process are late.
    """

    def setUp(self):
        """
        Make them.
        """
        super().setUp()
        self.here = self.site()
        self.session = self.saved(self.here, user="me")
        self.uid = self.session._uid
        self.there = self.another()
        self.slow = self.there._live.store
        self.slow.late = True

    def hold(self, *names):
        """
        From now on the answers to these calls of the second process are late.
        """
        del self.slow.calls[:]
        self.slow.hold(*names or ("load",))

    def signOut(self):
        """
        End the session in the first process, which acknowledges it.
        """
        self.successResultOf(self.session.expire())

    def change(self, **values):
        """
        Change the session in the first process, which acknowledges it.
        """
        self.session.sessionNamespaces.update(values)
        self.successResultOf(self.session.save())


class JoinTests(AnswerCase):
    """
    Who comes while a load is under way.
    """

    def test_signedOut(self):
        """
        A load that was sent before a logout was acknowledged says nothing to a
        request that came after it, be the session live there or not.
        """
        for isLive in (False, True):
            self.session = self.saved(self.here, user="me")
            self.uid = self.session._uid
            if isLive:
                self.load(self.there, self.session)
            self.hold()
            before = self.there.loadSession(self.uid)
            self.signOut()
            after = self.there.loadSession(self.uid)
            self.slow.release()
            self.assertNoResult(after)
            served = self.successResultOf(before)
            self.assertEqual(served["user"], "me")
            self.slow.release()
            self.assertIs(self.successResultOf(after), None)
            self.assertEqual(self.slow.calls, ["load", "load"])
            self.assertEqual(served._phase, ENDED)
            self.slow.pass_()

    def test_changed(self):
        """
        Nor does one from before a change.
        """
        for isLive in (False, True):
            if isLive:
                self.load(self.there, self.session)
            self.hold()
            before = self.there.loadSession(self.uid)
            self.change(number=isLive + 1)
            after = self.there.loadSession(self.uid)
            self.slow.release()
            self.assertEqual(
                self.successResultOf(before).sessionNamespaces.get("number"),
                1 if isLive else None,
            )
            self.slow.release()
            self.assertEqual(self.successResultOf(after)["number"], isLive + 1)
            self.slow.pass_()

    def test_rotated(self):
        """
        Nor does one from before the session got another uid.
        """
        for isLive in (False, True):
            self.session = self.saved(self.here, user="me")
            self.uid = self.session._uid
            if isLive:
                self.load(self.there, self.session)
            self.hold()
            self.there.loadSession(self.uid)
            self.successResultOf(self.here._live.rotate(self.session))
            after = self.there.loadSession(self.uid)
            self.slow.release()
            self.slow.release()
            self.assertIs(self.successResultOf(after), None)
            self.slow.pass_()

    def test_two(self):
        """
        Two loads of one session are under way or waiting at most: all who come
        later share the second, and the third is asked when that is answered.
        """
        self.hold()
        first = self.there.loadSession(self.uid)
        second = [self.there.loadSession(self.uid) for _ in range(5)]
        self.assertEqual(self.slow.calls, ["load"])
        self.slow.release()
        found = {id(self.successResultOf(first))}
        self.assertEqual(self.slow.calls, ["load"] * 2)
        third = [self.there.loadSession(self.uid) for _ in range(5)]
        self.assertEqual(self.slow.calls, ["load"] * 2)
        self.slow.release()
        found.update(id(self.successResultOf(done)) for done in second)
        for done in third:
            self.assertNoResult(done)
        self.assertEqual(self.slow.calls, ["load"] * 3)
        self.slow.pass_()
        found.update(id(self.successResultOf(done)) for done in third)
        self.assertEqual(len(found), 1)
        loader = self.there._live.loader
        self.assertEqual((loader.asked, loader.next), ({}, {}))

    def test_others(self):
        """
        Loads of other sessions do not wait for it.
        """
        other = self.saved(self.here, user="you")
        self.hold()
        self.there.loadSession(self.uid)
        found = self.there.loadSession(other._uid)
        self.assertEqual(self.slow.calls, ["load"] * 2)
        self.slow.pass_()
        self.assertEqual(self.successResultOf(found)["user"], "you")

    def test_whileTold(self):
        """
        Who comes while others are told the answer waits for the next one too.
        """
        self.hold()
        late = []

        def another(_):
            self.signOut()
            late.append(self.there.loadSession(self.uid))

        self.there.loadSession(self.uid).addCallback(another)
        joined = self.there.loadSession(self.uid)
        self.slow.release()
        self.assertEqual(self.slow.calls, ["load"] * 2)
        self.slow.release()
        for done in (joined, *late):
            self.assertIs(self.successResultOf(done), None)
        self.assertEqual(self.slow.pending, [])

    def test_failed(self):
        """
        A failure is one for all who wait, so that nobody waits for two deadlines
        in a row; then the store is asked again.
        """
        self.hold()
        waiting = [self.there.loadSession(self.uid) for _ in range(3)]
        self.slow.fail(StoreUnavailable("down"))
        for done in waiting:
            self.failureResultOf(done, SessionUnavailable)
        self.assertEqual(self.slow.calls, ["load"])
        self.slow.pass_()
        self.assertEqual(self.load(self.there, self.session)["user"], "me")

    def test_raises(self):
        """
        So is a store that raises, which it should not.
        """

        def load(*args):
            raise ZeroDivisionError

        with mock.patch.object(self.slow, "load", load):
            self.failureResultOf(self.there.loadSession(self.uid), SessionUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.load(self.there, self.session)["user"], "me")


class MeanwhileTests(AnswerCase):
    """
    What this process did itself while an answer was on its way.
    """

    def test_rotatedHere(self):
        """
        An answer that knows nothing of it does not bring the old uid back, be the
        new one stored already or not.
        """
        for isLate in (False, True):
            other = self.load(self.there, self.session)
            old = other._uid
            self.hold("load", *(("rename",) if isLate else ()))
            found = self.there.loadSession(old)
            rotated = self.there._live.rotate(other)
            self.slow.release(1)
            self.assertIs(self.successResultOf(found), None)
            self.slow.pass_()
            self.successResultOf(rotated)
            self.assertEqual(list(self.there.sessions), [other._uid])
            self.assertIs(self.load(self.there, other), other)
            self.session = other

    def test_rotatedBeforeTheNext(self):
        """
        Nor does the next load, which is asked for the old uid while the new one is
        on its way.
        """
        self.slow.late = False
        self.hold("load", "rename")
        table = self.there._live
        first = self.there.loadSession(self.uid).addCallback(table.rotate)
        second = self.there.loadSession(self.uid)
        self.slow.release(1)
        self.assertEqual(self.slow.names(), ["rename", "load"])
        self.slow.pending.reverse()
        self.slow.pass_()
        self.assertIs(self.successResultOf(second), None)
        self.successResultOf(first)
        self.assertEqual(len(self.there.sessions), 1)
        self.assertNotIn(self.uid, self.there.sessions)

    def test_newUid(self):
        """
        So it is where the application has set another uid.
        """
        other = self.load(self.there, self.session)
        self.hold()
        found = self.there.loadSession(self.uid)
        other.uid = b"ab" * 32
        self.slow.pass_()
        self.assertIs(self.successResultOf(found), None)
        self.assertNotIn(self.uid, self.there.sessions)

    def test_written(self):
        """
        An answer from before a write that was acknowledged since does not undo
        what was written: the store is asked once more.
        """
        other = self.load(self.there, self.session)
        self.change(theirs=1)
        self.hold()
        found = self.there.loadSession(self.uid)
        other["mine"] = 1
        self.successResultOf(other.save())
        self.assertEqual(other["theirs"], 1)
        self.slow.release()
        self.assertNoResult(found)
        self.assertEqual(other["mine"], 1)
        self.slow.pass_()
        self.assertIs(self.successResultOf(found), other)
        self.assertEqual(
            other.sessionNamespaces, {"user": "me", "theirs": 1, "mine": 1}
        )

    def test_storeWentBack(self):
        """
        What a store has after it lost some writes is taken as it is.
        """
        record = self.record(self.session)
        other = self.load(self.there, self.session)
        other["mine"] = 1
        self.successResultOf(other.save())
        self.inner._slots[record.key].record = record
        self.assertIs(self.load(self.there, self.session), other)
        self.assertEqual(other.sessionNamespaces, {"user": "me"})

    def test_storeWentBackMeanwhile(self):
        """
        So it is if it lost them while it was asked: then it is asked once more, and no
        more than that.
        """
        record = self.record(self.session)
        other = self.load(self.there, self.session)
        self.change(theirs=1)
        self.hold()
        found = self.there.loadSession(self.uid)
        other["mine"] = 1
        self.successResultOf(other.save())
        self.inner._slots[record.key].record = record
        for _ in range(2):
            self.assertNoResult(found)
            self.slow.release()
        self.assertIs(self.successResultOf(found), other)
        self.assertEqual(self.slow.calls.count("load"), 2)
        self.assertEqual(other.sessionNamespaces, {"user": "me"})


__all__ = ["JoinTests", "MeanwhileTests"]
