"""
Tests of L{txsessions.live.entry}: how one live session is saved.
"""

from __future__ import annotations

from tests.live.sites import NOW, Holds, LiveCase, Waits
from txsessions.errors import (
    CannotBeKept,
    SessionGone,
    SessionStale,
    SessionTooLarge,
    StoreUnavailable,
)
from txsessions.live.phases import ENDED, STALE, STORED
from txsessions.live.touching import ASK_AGAIN


class SettleTests(LiveCase):
    """
    L{txsessions.live.entry.Entry.settle}.
    """

    def setUp(self):
        """
        Have a session that the store has.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.entry = self.session._entry
        del self.store.calls[:]

    def settle(self):
        """
        Settle.

        @return: Whether there is nothing to wait for, and the waiter.
        """
        waiter = Waits()
        return self.entry.settle(waiter), waiter

    def test_unchanged(self):
        """
        An unchanged session is never written.
        """
        for _ in range(3):
            self.assertTrue(self.settle()[0])
        self.assertEqual(self.store.calls, [])

    def test_changed(self):
        """
        A changed one is written, and whoever settled hears of it.
        """
        self.store.hold()
        self.session["a"] = 2
        done, waiter = self.settle()
        self.assertFalse(done)
        self.assertEqual(waiter.heard, [])
        self.store.release()
        self.assertEqual(waiter.heard, ["saved"])
        self.assertTrue(self.settle()[0])
        self.assertEqual(self.store.calls, ["replace"])

    def test_joins(self):
        """
        Who settles while what he sees is being written joins that write.
        """
        self.store.hold()
        self.session["a"] = 2
        waiters = [self.settle()[1] for _ in range(3)]
        self.assertEqual(self.store.names(), ["replace"])
        self.store.release()
        self.assertEqual([waiter.heard for waiter in waiters], [["saved"]] * 3)
        self.assertEqual(self.store.calls, ["replace"])

    def test_second(self):
        """
        Who sees more waits for another write, which is one for all of them.
        """
        self.store.hold()
        self.session["a"] = 2
        first = self.settle()[1]
        self.session["a"] = 3
        second = self.settle()[1]
        self.session["a"] = 4
        third = self.settle()[1]
        self.assertEqual(self.store.names(), ["replace"])
        self.store.release()
        self.assertEqual(first.heard, ["saved"])
        self.assertEqual(second.heard + third.heard, [])
        self.assertEqual(self.store.names(), ["replace"])
        self.store.release()
        self.assertEqual(second.heard + third.heard, ["saved", "saved"])
        self.assertEqual(self.store.calls, ["replace", "replace"])
        self.assertEqual(self.record(self.session).version, 3)

    def test_changedBack(self):
        """
        What was changed back while it was written is written again.
        """
        self.store.hold()
        self.session["a"] = 2
        self.settle()
        self.session["a"] = 1
        second = self.settle()[1]
        self.store.release()
        self.assertEqual(second.heard, [])
        self.store.release()
        self.assertEqual(second.heard, ["saved"])
        self.store.holding = frozenset()
        self.assertEqual(self.load(self.another(), self.session)["a"], 1)

    def test_alreadyWritten(self):
        """
        Who waited for a second write that is not needed any more hears at once.
        """
        self.store.hold()
        self.session["a"] = 2
        self.settle()
        self.session["a"] = 3
        second = self.settle()[1]
        self.session["a"] = 2
        self.store.release()
        self.assertEqual(second.heard, ["saved"])
        self.assertEqual(self.store.names(), [])

    def test_limitsWhileWriting(self):
        """
        A limit that was changed meanwhile is written, too.
        """
        self.store.hold()
        self.session["a"] = 2
        self.settle()
        self.session.sessionTimeout = 100
        second = self.settle()[1]
        self.store.pass_()
        self.assertEqual(second.heard, ["saved"])
        self.assertEqual(self.record(self.session).expiresAt, NOW + 100 + 100 / 15)

    def test_tooLarge(self):
        """
        One byte more than may be is an error, and nothing is written; the store
        has the old value.
        """
        size = 65_536 - 100
        for extra in range(200):
            session = self.saved(self.live, a=1)
            session["a"] = "x" * (size + extra)
            try:
                session._entry.settle(Waits())
            except SessionTooLarge as error:
                self.assertEqual((error.size, error.limit), (65_537, 65_536))
                self.assertEqual(error.tag, session.tag)
                break
        else:
            self.fail("it was never too large")
        self.assertEqual(self.load(self.another(), session)["a"], 1)
        for factor in (1, 10):
            session = self.saved(self.live, a=1)
            session["a"] = "x" * (65_536 * factor)
            self.assertRaises(SessionTooLarge, session._entry.settle, Waits())
            self.assertEqual(self.load(self.another(), session)["a"], 1)

    def test_grows(self):
        """
        A session that grows for ever is stopped, by its size or the number of
        its keys; what it had before is kept.
        """
        for add, limit in (
            (lambda session, n: session.sessionNamespaces.update({n: n}), 1000),
            (lambda session, n: session["d"].update({n: n}), 1000),
            (lambda session, n: session["l"].append("x" * 500), 130),
        ):
            session = self.saved(self.live, d={}, l=[])
            count = 0
            try:
                while count < 1200:
                    add(session, count)
                    session._entry.settle(Waits())
                    count += 1
            except (CannotBeKept, SessionTooLarge):
                self.assertLessEqual(count, limit)
                self.assertGreaterEqual(count, limit - 5)
            else:
                self.fail("it was not stopped")
            self.assertEqual(session._phase, STALE)
            self.assertTrue(self.load(self.live, session))

    def test_stale(self):
        """
        A dropped session cannot be settled.
        """
        self.entry.drop()
        self.assertRaises(SessionStale, self.entry.settle, Waits())
        self.assertNotIn(self.session._uid, self.live.sessions)
        self.assertEqual(self.timers(), 0)

    def test_staleWhileWriting(self):
        """
        If it was dropped while it was written, who waits for more hears so.
        """
        self.store.hold()
        self.session["a"] = 2
        first = self.settle()[1]
        self.session["a"] = 3
        second = self.settle()[1]
        self.session["a"] = "\ud800"
        self.assertRaises(CannotBeKept, self.entry.settle, Waits())
        self.store.pass_()
        self.assertEqual(first.heard, ["saved"])
        self.assertEqual(second.heard, ["SessionStale"])
        self.assertEqual(self.load(self.live, self.session)["a"], 2)

    def test_ended(self):
        """
        One that has ended waits for its deletion only.
        """
        self.store.hold()
        self.session.expire()
        self.session["a"] = 2
        done, waiter = self.settle()
        self.assertFalse(done)
        self.store.release()
        self.assertEqual(waiter.heard, ["gone"])
        self.assertTrue(self.settle()[0])
        self.assertEqual(self.store.calls, ["delete"])

    def test_touch(self):
        """
        A use is written once a touch interval, and nobody waits for it.
        """
        for after, calls in ((30, []), (29.9, []), (0.1, ["touch"]), (59, ["touch"])):
            self.clock.advance(after)
            holds = Holds(self.session)
            self.session.touch()
            self.store.hold()
            self.assertTrue(self.settle()[0])
            self.store.pass_()
            holds.release()
            self.assertEqual(self.calls(), calls)
        record = self.record(self.session)
        self.assertEqual(record.touchedAt, NOW + 60)
        self.assertEqual(record.expiresAt, NOW + 60 + 960)

    def test_touchTheGone(self):
        """
        A touch brings nothing back: the session ends here too, without a word
        to the store.
        """
        self.load(self.another(), self.session).expire()
        holds = Holds(self.session)
        self.clock.advance(60)
        self.session.touch()
        self.heard.told()
        self.settle()
        holds.release()
        self.assertEqual(self.calls(), ["touch"])
        self.assertEqual(self.session._phase, ENDED)
        self.assertEqual(self.heard.told(), ["ended elsewhere"])
        self.assertIs(self.record(self.session), None)

    def test_touchTheGoneLate(self):
        """
        The answer may come when the session has ended, or is being written.
        """
        holds = Holds(self.session)
        self.clock.advance(60)
        self.session.touch()
        self.store.hold("touch")
        self.settle()
        self.session.expire()
        self.store.fail(SessionGone("x"))
        self.assertEqual(self.heard.told()[-1], "ended expire")
        holds.release()

    def test_touchFails(self):
        """
        One that the store did not take is tried again the next time.
        """
        holds = Holds(self.session)
        self.clock.advance(60)
        self.session.touch()
        self.store.down = StoreUnavailable("down")
        self.heard.told()
        self.settle()
        self.assertEqual(self.heard.told(), ["unavailable down"])
        self.store.down = None
        self.settle()
        self.assertEqual(self.record(self.session).touchedAt, NOW + 60)
        holds.release()

    def test_gather(self):
        """
        An error in the state drops the object.
        """
        self.session["a"] = "\ud800"
        self.assertRaises(CannotBeKept, self.entry.settle, Waits())
        self.assertEqual(self.session._phase, STALE)
        self.assertIsNot(self.load(self.live, self.session), self.session)


class CertaintyTests(LiveCase):
    """
    Whether the store has to be asked.
    """

    def test_alone(self):
        """
        While nobody else can have changed anything it is not.
        """
        site = self.site()
        session = self.saved(site, a=1)
        del self.store.calls[:]
        for _ in range(3):
            self.assertIs(self.load(site, session), session)
            session["a"] += 1
            self.successResultOf(session.save())
        self.assertEqual(self.store.calls, ["replace"] * 3)

    def test_others(self):
        """
        Where others can, it is.
        """
        site = self.site()
        self.store.sharedWithOthers = True
        session = self.saved(site, a=1)
        del self.store.calls[:]
        self.assertIs(self.load(site, session), session)
        self.assertIs(self.load(site, session), session)
        self.assertEqual(self.store.calls, ["load", "load"])

    def test_notOpen(self):
        """
        So it is if the store is not open.
        """
        site = self.site()
        session = self.saved(site, a=1)
        self.assertTrue(session._entry.isCurrent())
        site.stopFactory()
        self.assertFalse(session._entry.isCurrent())

    def test_new(self):
        """
        What this process has made, or is writing, needs no asking.
        """
        site = self.site()
        self.store.sharedWithOthers = True
        session = site.makeSession()
        self.assertTrue(session._entry.isCurrent())
        self.store.hold()
        session["a"] = 1
        session.save()
        self.assertTrue(session._entry.isCurrent())
        self.store.pass_()
        self.assertFalse(session._entry.isCurrent())
        self.assertTrue(session._entry.isStoredAs(session._uid))
        self.assertFalse(session._entry.isStoredAs(b"1" * 64))

    def test_overdue(self):
        """
        One whose deadline is there is not to be used without asking.
        """
        site = self.site()
        session = self.saved(site, a=1)
        session.sessionTimeout = 30
        self.successResultOf(session.save())
        self.clock.rightNow += 30
        self.assertFalse(session._entry.isCurrent())


class DeadlineTests(LiveCase):
    """
    A session runs out that others may have used.
    """

    def setUp(self):
        """
        Have two processes hold it, with limits that end before it leaves memory.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.session.sessionTimeout = 30
        self.successResultOf(self.session.save())
        self.process = self.another()
        self.other = self.load(self.process, self.session)
        self.load(self.live, self.session)
        self.heard.told()

    def test_usedElsewhere(self):
        """
        One that another process has used lives on, as long as that says.
        """
        self.clock.rightNow += 20
        self.other.touch()
        self.successResultOf(self.other.save())
        self.clock.advance(10)
        self.assertEqual(self.session._phase, STORED)
        self.assertEqual(self.session.lastModified, NOW + 20)
        self.clock.advance(19.9)
        self.assertEqual(self.session._phase, STORED)
        self.clock.advance(0.1)
        self.assertEqual(self.heard.told(), ["expired idle"])
        self.assertIs(self.record(self.session), None)

    def test_notUsed(self):
        """
        One that nobody has used ends.
        """
        self.successResultOf(self.process.closed())
        self.store.hold("load")
        self.clock.advance(30)
        self.assertEqual(self.session._phase, STORED)
        self.store.release()
        self.assertEqual(self.session._phase, ENDED)
        self.assertEqual(self.heard.told(), ["expired idle"])

    def test_goneElsewhere(self):
        """
        One that another process has ended has ended.
        """
        self.other.expire()
        self.clock.advance(30)
        self.assertEqual(self.heard.told(), ["ended elsewhere"])

    def test_usedMeanwhile(self):
        """
        One that is used here while the store is asked lives on.
        """
        self.successResultOf(self.process.closed())
        self.store.hold("load")
        self.clock.advance(30)
        self.session.touch()
        self.store.pass_()
        self.assertEqual(self.session._phase, STORED)
        self.clock.advance(30)
        self.assertEqual(self.session._phase, ENDED)

    def test_requestMeanwhile(self):
        """
        A request that comes at the deadline waits for the store, and gets what
        it says.
        """
        self.store.hold("load")
        self.clock.rightNow += 30
        found = self.live.loadSession(self.session._uid)
        self.clock.advance(0)
        self.assertNoResult(found)
        self.store.pass_()
        self.assertIs(self.successResultOf(found), None)
        self.assertEqual(self.session._phase, ENDED)

    def test_cannotBeAsked(self):
        """
        While the store cannot say, nothing ends: it is asked again.
        """
        self.successResultOf(self.process.closed())
        self.session["stays"] = object()
        self.store.down = StoreUnavailable("down")
        self.clock.advance(30)
        self.assertEqual(self.session._phase, STORED)
        self.failureResultOf(self.live.loadSession(self.session._uid))
        self.assertEqual(self.session._phase, STORED)
        self.clock.advance(ASK_AGAIN)
        self.assertEqual(self.session._phase, STORED)
        self.store.down = None
        self.clock.advance(ASK_AGAIN)
        self.assertEqual(self.session._phase, ENDED)

    def test_lifetime(self):
        """
        At the absolute limit nobody need be asked.
        """
        self.session.sessionLifetime = 25
        self.store.hold("load")
        self.clock.advance(25)
        self.assertEqual(self.session._phase, ENDED)
        self.assertEqual(self.heard.told(), ["expired lifetime"])

    def test_notStored(self):
        """
        Nor if the store never had it.
        """
        session = self.live.makeSession()
        session["a"] = 1
        session.sessionTimeout = 10
        del self.store.calls[:]
        self.clock.advance(10)
        self.assertEqual(session._phase, ENDED)
        self.assertEqual(self.store.calls, [])
        self.assertEqual(self.heard.told(), [])
