"""
Tests of L{txsessions.live.transacting}: sessions that end, stores that do not answer,
and sites that have none.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from tests.live.sites import LiveCase
from tests.live.test_transacting import Counting, TransactCase
from txsessions.errors import (
    SessionConflict,
    SessionGone,
    StoreUnavailable,
    TransactionTooLong,
)
from txsessions.live.phases import ENDED


class EndTests(TransactCase):
    """
    Sessions that end, and stores that do not answer.
    """

    def test_unknown(self):
        """
        There is no session of that uid.
        """
        for uid in (b"ab" * 32, b"", b"A" * 64):
            self.failureResultOf(self.here.transact(uid, list), SessionGone)
        self.assertEqual(self.calls(), ["load"])

    def test_goneMeanwhile(self):
        """
        A session that ended elsewhere while the function ran is not brought back,
        and ends here.
        """
        counting = Counting(1)
        done = self.transact(counting)
        self.successResultOf(self.load(self.there, self.session).expire())
        counting.waits[0].callback(None)
        self.failureResultOf(done, SessionGone)
        self.assertIs(self.record(self.session), None)
        self.assertEqual(self.session._phase, ENDED)
        self.assertEqual(self.heard.told(), ["created", "ended elsewhere"])

    def test_endedMeanwhile(self):
        """
        So it is with one that a request of this process ended.
        """
        counting = Counting(1)
        done = self.transact(counting)
        self.successResultOf(self.session.expire())
        counting.waits[0].callback(None)
        self.failureResultOf(done, SessionGone)
        self.assertIs(self.record(self.session), None)
        self.assertEqual(self.heard.told(), ["created", "ended expire"])

    def test_endedWhileCommitted(self):
        """
        A logout that comes while it is committed is final.
        """
        self.store.hold("replace")
        done = self.transact(Counting())
        self.successResultOf(self.session.expire())
        self.store.pass_()
        self.failureResultOf(done, SessionGone)
        self.assertIs(self.record(self.session), None)

    def test_rotatedMeanwhile(self):
        """
        One that has another uid by then is another for who named it by the old.
        """
        counting = Counting(1)
        done = self.transact(counting)
        self.successResultOf(self.here._live.rotate(self.session))
        counting.waits[0].callback(None)
        self.failureResultOf(done, SessionGone)
        self.assertIs(self.load(self.here, self.session), self.session)
        self.assertEqual(self.session["count"], 0)

    def test_expire(self):
        """
        The function may end the session.
        """

        def leave(session):
            session["count"] = 9
            session.expire()
            return "bye"

        self.store.hold("delete")
        done = self.transact(leave)
        self.assertNoResult(done)
        self.assertEqual(self.session._phase, ENDED)
        self.store.pass_()
        self.assertEqual(self.successResultOf(done), "bye")
        self.assertIs(self.record(self.session), None)
        self.assertEqual(self.heard.told(), ["created", "ended expire"])

    def test_unavailable(self):
        """
        If the store does not answer the caller hears so; what was committed is
        unknown then, so that the next request asks.
        """
        for done in (False, True):
            self.store.sharedWithOthers = False
            self.store.hold("replace")
            found = self.transact(Counting())
            self.store.fail(StoreUnavailable("down"), done=done)
            self.failureResultOf(found, StoreUnavailable)
            self.store.pass_()
            self.assertIs(self.here._live.loader.find(self.uid), None)
            self.assertIs(self.load(self.here, self.session), self.session)
            self.assertEqual(self.session["count"], int(done))
        self.store.hold("load")
        found = self.transact(Counting())
        self.store.fail(StoreUnavailable("down"))
        self.failureResultOf(found, StoreUnavailable)

    def test_tooLong(self):
        """
        What takes too long is given up, and what waited for it goes on.
        """
        counting = Counting(1)
        cancelled = []
        counting.waits[0] = Deferred(cancelled.append)
        done = self.transact(counting, deadline=5)
        following = self.transact(Counting(), deadline=20)
        self.clock.advance(5)
        self.failureResultOf(done, TransactionTooLong)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.successResultOf(following), 1)

    def test_deaf(self):
        """
        Nothing is saved of a function that goes on all the same.
        """
        goesOn = Deferred()

        async def deaf(session):
            try:
                await Deferred()
            except CancelledError:
                await goesOn
            session["count"] = 99

        done = self.transact(deaf, deadline=5)
        self.clock.advance(5)
        self.failureResultOf(done, TransactionTooLong)
        goesOn.callback(None)
        self.assertEqual(self.stored()["count"], 0)

    def test_nested(self):
        """
        One in another on the same session waits for it, and it for the first:
        both end in time.
        """

        async def nested(session):
            await self.transact(Counting())

        done = self.transact(nested, deadline=5)
        self.clock.advance(5)
        self.failureResultOf(done, TransactionTooLong)
        self.assertEqual(self.here._live.transactions._lines, {})

    def test_tooLongToCommit(self):
        """
        What the store has been given counts as the store says; a conflict is then
        not tried again.
        """
        for isFaster in (False, True):
            self.store.hold("replace")
            done = self.transact(Counting(), deadline=1)
            self.clock.advance(2)
            self.assertNoResult(done)
            if isFaster:
                self.change(self.there, other=1)
            self.store.pass_()
            if isFaster:
                self.failureResultOf(done, SessionConflict)
            else:
                self.assertEqual(self.successResultOf(done), 1)
        self.assertEqual(self.stored(), {"count": 1, "other": 1})

    def test_cancelled(self):
        """
        The caller may give it up, before its turn, while the function runs, or
        while the store is at it.
        """
        first = Counting(1)
        running, waiting = self.transact(first), self.transact(Counting())
        waiting.cancel()
        running.cancel()
        for done in (running, waiting):
            self.failureResultOf(done, CancelledError)
        self.assertEqual(self.stored()["count"], 0)
        self.store.hold("replace")
        done = self.transact(Counting())
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.store.pass_()
        self.assertEqual(self.session["count"], 1)
        self.assertEqual(self.here._live.transactions._lines, {})

    def test_closed(self):
        """
        When the store is closed what has not been given to it fails, and nothing
        is left behind.
        """
        done = [self.transact(Counting(1)), self.transact(Counting())]
        self.successResultOf(self.here.closed())
        for each in done:
            self.failureResultOf(each, StoreUnavailable)
        self.assertEqual(self.here._live.transactions._lines, {})

    def test_closedWhileCommitting(self):
        """
        The closing waits for what has been given to it.
        """
        self.store.hold("replace")
        done = self.transact(Counting())
        closed = self.here.closed()
        self.assertNoResult(closed)
        self.store.pass_()
        self.assertEqual(self.successResultOf(done), 1)
        self.successResultOf(closed)

    def test_pausedAtTheEnd(self):
        """
        One that is about to be tried again is not any more.
        """
        counting = Counting(1)
        done = self.transact(counting)
        self.change(self.there, count=10)
        counting.waits[0].callback(None)
        self.successResultOf(self.here.closed())
        self.failureResultOf(done, StoreUnavailable)
        self.assertFalse([call for call in self.scheduled() if "_try" in call])


class WithoutStoreTests(LiveCase):
    """
    A site whose sessions live and end with the process.
    """

    def setUp(self):
        """
        Make a site and a session.
        """
        super().setUp()
        self.plain = self.site(None)
        self.session = self.plain.makeSession()
        self.session["count"] = 0

    def test_turns(self):
        """
        Transactions take turns on the session itself.
        """
        first, second = Counting(1), Counting(1)
        uid = self.session.uid
        done = [self.plain.transact(uid, function) for function in (first, second)]
        self.assertEqual((first.seen, second.seen), ([self.session], []))
        first.waits[0].callback(None)
        second.waits[0].callback(None)
        self.assertEqual([self.successResultOf(each) for each in done], [1, 2])
        self.assertEqual(self.session["count"], 2)

    def test_gone(self):
        """
        One that has ended, or that time is up for, is gone.
        """
        uid = self.session.uid
        self.session.expire()
        self.failureResultOf(self.plain.transact(uid, Counting()), SessionGone)
        late = self.plain.makeSession()
        self.clock.rightNow += 901
        self.failureResultOf(self.plain.transact(late.uid, Counting()), SessionGone)

    def test_closed(self):
        """
        Nothing is left behind by one that waits.
        """
        done = self.plain.transact(self.session.uid, Counting(1))
        self.successResultOf(self.plain.closed())
        self.failureResultOf(done, StoreUnavailable)


__all__ = ["EndTests", "WithoutStoreTests"]
