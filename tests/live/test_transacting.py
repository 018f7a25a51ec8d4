"""
Tests of L{txsessions.live.transacting}: changes that are exact.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python import threadable
from zope.interface import implementer

from tests.live.sites import Holds, ICart, IOther, LiveCase
from txsessions import keep
from txsessions.errors import (
    CannotBeKept,
    ConfigurationError,
    SessionConflict,
    SessionStale,
    SessionTooLarge,
    StoreUnavailable,
    WrongThread,
)
from txsessions.live.flight import MAX_TRIES
from txsessions.live.transacting import LAST_PAUSE, MAX_QUEUED


@implementer(ICart)
class Cart:
    """
    A component.
    """

    def __init__(self, session=None):
        self.items = []


class Counting:
    """
    A function for transactions that counts, and waits in the middle if told to.

    @ivar seen: The sessions that it was given.
    @ivar waits: What it waits for, one after another.
    """

    def __init__(self, waits=0):
        self.waits = [Deferred() for _ in range(waits)]
        self.seen = []

    async def __call__(self, session):
        """
        Count.
        """
        number = session.sessionNamespaces.get("count", 0)
        self.seen.append(session)
        if len(self.seen) <= len(self.waits):
            await self.waits[len(self.seen) - 1]
        session["count"] = number + 1
        return number + 1


class TransactCase(LiveCase):
    """
    Has a session in the store, and another process.
    """

    def setUp(self):
        """
        Make them.
        """
        super().setUp()
        keep(ICart, Cart)
        self.here = self.site()
        self.session = self.saved(self.here, count=0)
        self.uid = self.session._uid
        self.there = self.another()
        del self.store.calls[:]

    def transact(self, function, site=None, **options):
        """
        Run a transaction.
        """
        return (site or self.here).transact(self.uid, function, **options)

    def change(self, site, **values):
        """
        Change the session in a process, as a request does.
        """
        session = self.load(site, self.session)
        session.sessionNamespaces.update(values)
        self.successResultOf(session.save())

    def stored(self):
        """
        What the store has.
        """
        other = self.load(self.another(), self.session)
        return other.sessionNamespaces


class ResultTests(TransactCase):
    """
    What a function may return, and what comes of it.
    """

    def test_kinds(self):
        """
        It may return a value, a Deferred or a coroutine.
        """
        waits = Deferred()

        def value(session):
            session["count"] += 1
            return "value"

        def deferred(session):
            session["count"] += 1
            return waits

        done = self.transact(value)
        self.assertIsInstance(done, Deferred)
        self.assertEqual(self.successResultOf(done), "value")
        done = self.transact(deferred)
        self.assertNoResult(done)
        self.assertEqual(self.stored()["count"], 1)
        waits.callback("deferred")
        self.assertEqual(self.successResultOf(done), "deferred")
        self.assertEqual(self.successResultOf(self.transact(Counting())), 3)
        self.assertEqual(self.stored(), {"count": 3})

    def test_seen(self):
        """
        What was committed is seen by the requests that hold the session, in the
        same objects.
        """
        session = self.session
        session["cart"] = {"a": [1]}
        session.setComponent(ICart, Cart())
        self.successResultOf(session.save())
        cart, component = session["cart"], session.getComponent(ICart)

        def fill(own):
            self.assertIsNot(own, session)
            own["cart"]["a"].append(2)
            own.getComponent(ICart).items.append(3)
            own.theme = "dark"
            self.assertEqual((cart, component.items), ({"a": [1]}, []))

        self.successResultOf(self.transact(fill))
        self.assertIs(session["cart"], cart)
        self.assertEqual(cart, {"a": [1, 2]})
        self.assertIs(session.getComponent(ICart), component)
        self.assertEqual((component.items, session.theme), ([3], "dark"))
        self.assertEqual(self.stored()["cart"], cart)

    def test_nothing(self):
        """
        A function that changes nothing costs one load.
        """
        self.assertEqual(self.successResultOf(self.transact(list)), ["count"])
        self.assertEqual(self.calls(), ["load"])

    def test_raises(self):
        """
        Where it raises nothing is saved, nor seen by anybody.
        """

        def broken(session):
            session["count"] = 5
            raise ZeroDivisionError

        async def brokenLater(session):
            broken(session)

        for function in (broken, brokenLater):
            self.failureResultOf(self.transact(function), ZeroDivisionError)
        self.assertEqual(self.session["count"], 0)
        self.assertEqual(self.stored()["count"], 0)
        self.assertEqual(self.successResultOf(self.transact(Counting())), 1)

    def test_unsaved(self):
        """
        What requests have changed and not saved yet is saved before, so that the
        function sees it, also for a session that the store does not have.
        """
        self.session["count"] = 7
        self.assertEqual(self.successResultOf(self.transact(Counting())), 8)
        self.session = self.here.makeSession()
        self.session["count"] = 1
        self.uid = self.session._uid
        self.assertEqual(self.successResultOf(self.transact(Counting())), 2)
        self.assertEqual(self.stored(), {"count": 2})

    def test_limits(self):
        """
        The limits and times of the session are as they were, and may be changed.
        """
        self.clock.advance(100)

        def shorten(session):
            self.assertEqual(session.lastModified, self.session.lastModified)
            self.assertEqual(session._createdAt, self.session._createdAt)
            self.assertEqual(session.tag, self.session.tag)
            self.assertFalse(session.isNew)
            session.sessionTimeout = 300

        self.successResultOf(self.transact(shorten))
        self.assertEqual(self.session.sessionTimeout, 300)
        self.assertEqual(self.load(self.another(), self.session).sessionTimeout, 300)

    def test_unread(self):
        """
        A part whose class is not known here is carried along.
        """
        record = self.record(self.session)
        state = self.here._live.loader.open(record)
        self.session.setComponent(IOther, Cart())
        self.successResultOf(self.session.save())
        parts = self.here._live.loader.open(self.record(self.session)).parts
        self.assertGreater(len(parts), len(state.parts))
        self.successResultOf(self.transact(Counting(), self.there))
        after = self.there._live.loader.open(self.record(self.session)).parts
        self.assertEqual(set(after), set(parts))

    def test_unkeepable(self):
        """
        What cannot be kept is an error, and so is too much.
        """
        for value, error in (
            (object(), CannotBeKept),
            (b"x" * 100_000, SessionTooLarge),
        ):

            def put(session, value=value):
                session["bad"] = value

            self.failureResultOf(self.transact(put), error)
        self.assertNotIn("bad", self.session)
        self.assertNotIn("bad", self.stored())
        self.assertEqual(self.session._phase, 1)

    def test_misused(self):
        """
        In a function there is no saving and no other id.  What keeps the session
        that it was given can do nothing with it afterwards.
        """
        kept = []

        def function(session):
            kept.append(session)
            self.failureResultOf(session.save(), ConfigurationError)
            self.assertRaises(ConfigurationError, session.rotate, Holds(session))
            session.touch()
            session["a"] = 1

        self.successResultOf(self.transact(function))
        self.assertRaises(SessionStale, kept[0].save)
        self.assertRaises(SessionStale, kept[0].touch)
        self.assertEqual(self.here.sessions[self.uid], self.session)

    def test_thread(self):
        """
        It is for the reactor's thread.
        """
        self.patch(threadable, "ioThread", -1)
        self.assertRaises(WrongThread, self.transact, list)


class ConflictTests(TransactCase):
    """
    Others who change the session while the function runs.
    """

    def test_otherProcess(self):
        """
        If another process has saved something the function is called again, on
        that.
        """
        counting = Counting(1)
        done = self.transact(counting)
        self.change(self.there, count=10, other=1)
        counting.waits[0].callback(None)
        self.assertNoResult(done)
        self.clock.advance(LAST_PAUSE)
        self.assertEqual(self.successResultOf(done), 11)
        self.assertEqual(len(counting.seen), 2)
        self.assertEqual(self.stored(), {"count": 11, "other": 1})
        self.assertEqual(self.heard.told(), ["created"])

    def test_ownRequest(self):
        """
        So it is if a request of this process has.
        """
        counting = Counting(1)
        done = self.transact(counting)
        self.session["count"] = 10
        self.successResultOf(self.session.save())
        counting.waits[0].callback(None)
        self.clock.advance(LAST_PAUSE)
        self.assertEqual(self.successResultOf(done), 11)
        self.assertEqual(self.stored()["count"], 11)

    def test_ownRequestLater(self):
        """
        What a request has changed and saves later is merged with what was
        committed: what both changed is told as a conflict.
        """
        counting = Counting(1)
        done = self.transact(counting)
        self.session["other"] = 1
        counting.waits[0].callback(None)
        self.successResultOf(done)
        self.assertEqual(self.session.sessionNamespaces, {"count": 1, "other": 1})
        self.assertEqual(self.stored(), {"count": 1})
        self.successResultOf(self.session.save())
        self.assertEqual(self.stored(), {"count": 1, "other": 1})
        self.heard.told()
        counting = Counting(1)
        done = self.transact(counting)
        self.session["count"] = 50
        counting.waits[0].callback(None)
        self.successResultOf(done)
        self.assertEqual(self.heard.told(), ["conflict changed on both sides"])

    def test_writeUnderWay(self):
        """
        A write of a request that is under way when the transaction is committed
        is merged with it.
        """
        counting = Counting(1)
        done = self.transact(counting)
        self.store.hold("replace")
        self.session["other"] = 1
        saved = self.session.save()
        counting.waits[0].callback(None)
        self.assertEqual(self.store.names(), ["replace", "replace"])
        self.store.pending.reverse()
        self.store.release()
        self.successResultOf(done)
        self.store.pass_()
        self.successResultOf(saved)
        self.assertEqual(self.stored(), {"count": 1, "other": 1})
        self.assertEqual(self.session.sessionNamespaces, {"count": 1, "other": 1})

    def test_answersOutOfOrder(self):
        """
        If the answer to a write from before the commit comes after it, the next
        request does not take the older state for the store's.
        """
        self.store.sharedWithOthers = False
        self.store.hold("replace")
        self.store.late = True
        self.session["other"] = 1
        saved = self.session.save()
        self.patch(self.here._live, "save", lambda session: saved and _done())
        record = self.record(self.session)
        entry = self.session._entry
        counting = Counting()
        entry_version = entry.version
        entry.version, entry.parts = record.version, entry.flight.parts
        done = self.transact(counting)
        entry.version = entry_version
        self.store.pending.reverse()
        self.store.release()
        self.successResultOf(done)
        self.successResultOf(saved)
        self.store.pass_()
        self.assertIs(self.here._live.loader.find(self.uid), None)
        self.assertIs(self.load(self.here, self.session), self.session)
        self.assertEqual(self.session.sessionNamespaces, {"count": 1, "other": 1})

    def test_overtaken(self):
        """
        What others have made of it since, and a request has loaded already, is not
        undone by the answer to the commit.
        """
        self.store.late = True
        self.store.hold("replace")
        done = self.transact(Counting())
        self.change(self.there, other=1)
        self.assertIs(self.load(self.here, self.session), self.session)
        self.assertEqual(self.session.sessionNamespaces, {"count": 1, "other": 1})
        version = self.session._entry.version
        self.store.release()
        self.assertEqual(self.successResultOf(done), 1)
        self.assertEqual(self.session.sessionNamespaces, {"count": 1, "other": 1})
        self.assertEqual(self.session._entry.version, version)

    def test_departed(self):
        """
        A session that left memory meanwhile sees it too when it comes back.
        """
        self.store.sharedWithOthers = False
        counting = Counting(1)
        done = self.transact(counting, deadline=1000)
        self.clock.advance(70)
        self.assertNotIn(self.uid, self.here.sessions)
        counting.waits[0].callback(None)
        self.successResultOf(done)
        self.session.touch()
        self.assertIn(self.uid, self.here.sessions)
        self.assertEqual(self.session["count"], 1)

    def test_always(self):
        """
        If others are faster each time the caller hears so, in the end, and the
        pauses are as long as chance says.
        """
        pauses = []
        chances = [b"\x80\0\0\0", b"\xff" * 4]

        def entropy(size):
            self.assertEqual(size, 4)
            return chances[len(pauses) % 2]

        self.here._entropy = entropy
        numbers = iter(range(1000))

        def slow(session):
            self.change(self.there, other=next(numbers))
            session["count"] += 1

        done = self.transact(slow, deadline=1e6)
        while not done.called:
            (pause,) = (c for c in self.clock.getDelayedCalls() if "_try" in str(c))
            pauses.append(pause.getTime() - self.clock.seconds())
            self.clock.advance(pauses[-1])
            # The clock is as exact as a float that holds seconds since 1970.
            self.ring()
        self.failureResultOf(done, SessionConflict)
        self.assertEqual(len(pauses), MAX_TRIES - 1)
        for number, most in enumerate((0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.25)):
            expected = most if number % 2 else most / 2
            self.assertAlmostEqual(pauses[number], expected, places=4)
        self.assertAlmostEqual(max(pauses), LAST_PAUSE, places=4)
        self.assertEqual(self.stored()["count"], 0)

    def test_turns(self):
        """
        Transactions of one process on one session take turns, also where they
        wait in the middle; those on others do not wait for them.
        """
        first, second = Counting(1), Counting(1)
        done = [self.transact(first), self.transact(second)]
        self.assertEqual((len(first.seen), len(second.seen)), (1, 0))
        other = self.saved(self.here, count=5)
        self.assertEqual(
            self.successResultOf(self.here.transact(other._uid, Counting())), 6
        )
        first.waits[0].callback(None)
        self.assertEqual(self.successResultOf(done[0]), 1)
        second.waits[0].callback(None)
        self.assertEqual(self.successResultOf(done[1]), 2)
        self.assertEqual(self.here._live.transactions._lines, {})

    def test_many(self):
        """
        As many as may wait are dealt with, each exactly, though all of them could
        be in one turn; more are refused.
        """
        first = Counting(1)
        done = [self.transact(first)]
        done += [self.transact(Counting()) for _ in range(MAX_QUEUED)]
        refused = self.transact(Counting())
        self.failureResultOf(refused, StoreUnavailable)
        first.waits[0].callback(None)
        numbers = [self.successResultOf(each) for each in done]
        self.assertEqual(numbers, list(range(1, MAX_QUEUED + 2)))
        self.assertEqual(self.stored()["count"], MAX_QUEUED + 1)

    def test_oneAfterAnother(self):
        """
        A program that does one after the other can do so as often as it likes.
        """

        async def loop():
            number = 0
            for _ in range(1500):
                number = await self.transact(Counting())
            return number

        loops = [Deferred.fromCoroutine(loop()) for _ in range(2)]
        last = [self.successResultOf(each) for each in loops]
        self.assertEqual(max(last), 3000)

    def test_twoProcesses(self):
        """
        Two processes that take their turns in any way lose nothing.
        """
        for order in ((0, 1), (1, 0)):
            functions = Counting(1), Counting(1)
            sites = self.here, self.there
            done = [self.transact(f, s) for f, s in zip(functions, sites, strict=True)]
            for number in order:
                functions[number].waits[0].callback(None)
            self.clock.advance(LAST_PAUSE)
            for each in done:
                self.successResultOf(each)
        self.assertEqual(self.stored()["count"], 4)


def _done():
    """
    A Deferred that has fired.
    """
    done = Deferred()
    done.callback(None)
    return done


__all__ = ["ConflictTests", "Counting", "ResultTests", "TransactCase"]
