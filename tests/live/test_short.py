"""
Tests of L{txsessions.core.telling}: stores that tell without a Deferred, and those
that do not.
"""

from __future__ import annotations

from functools import wraps
from unittest import mock

from twisted.internet.defer import Deferred, succeed
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure

from tests.live import test_flight, test_loading_answers
from tests.live.sites import LiveCase, Waits
from tests.slowstore import PlainSlowStore, SlowStore
from txsessions import openStore
from txsessions.core.record import UNCHANGED
from txsessions.core.telling import SHORT, shortBy
from txsessions.errors import SessionGone, SessionUnavailable, StoreUnavailable
from txsessions.interfaces import ISessionStore
from txsessions.live.questions import Question
from txsessions.stores._sqlite_flight import Operation, fire
from txsessions.stores.memory import MemoryStore
from txsessions.stores.postgresql import PostgreSQLStore
from txsessions.stores.redis import RedisStore
from txsessions.stores.sqlite import SQLiteStore


class PlainAnswerTests(test_loading_answers.JoinTests):
    """
    The same with a store that knows Deferreds alone.
    """

    kind = PlainSlowStore


class PlainMeanwhileTests(test_loading_answers.MeanwhileTests):
    """
    The same with a store that knows Deferreds alone.
    """

    kind = PlainSlowStore


class PlainFlightTests(test_flight.FlightTests):
    """
    The same with a store that knows Deferreds alone.
    """

    kind = PlainSlowStore


class PlainLateRequestTests(test_flight.LateRequestTests):
    """
    The same with a store that knows Deferreds alone.
    """

    kind = PlainSlowStore


class WayTests(LiveCase):
    """
    Which way is taken.
    """

    def ways(self, store):
        """
        Save, load and change a session by another process's way to the store.

        @return: It, as it is there.
        """
        session = self.saved(self.site(), a=1)
        self.store.sharedWithOthers = store.sharedWithOthers = True
        store.close = lambda: succeed(None)
        there = self.site(store)
        found = self.load(there, session)
        found["a"] = 2
        self.successResultOf(found.save())
        self.assertEqual(self.record(session).version, 2)
        return found

    def test_short(self):
        """
        A verb that can tell is not asked for a Deferred.
        """
        test, told = self, []

        class Telling(SlowStore):
            def _load(self, whom, *args):
                told.append("load")
                SlowStore._load(self, whom, *args)

            @shortBy(_load)
            def load(self, *args):
                test.fail("asked for a Deferred")

            def _replace(self, whom, *args):
                told.append("replace")
                SlowStore._replace(self, whom, *args)

            @shortBy(_replace)
            def replace(self, *args):
                test.fail("asked for a Deferred")

        self.ways(Telling(self.inner))
        self.assertEqual(set(told), {"load", "replace"})

    def test_overridden(self):
        """
        A subclass that has a verb of its own is asked by that.
        """
        store = PlainSlowStore(self.inner)
        store._load = store._replace = lambda *args: self.fail("gone around")
        self.ways(store)
        self.assertIn("load", store.calls)
        self.assertIn("replace", store.calls)

    def test_standIn(self):
        """
        So is a store for whose verb something else stands.
        """
        store = SlowStore(self.inner)
        store._load = store._replace = lambda *args: self.fail("gone around")
        store.load = lambda *args: store._call("load", *args)
        store.replace = lambda *args: store._call("replace", *args)
        self.ways(store)
        self.assertIn("load", store.calls)
        self.assertIn("replace", store.calls)

    def test_wrapped(self):
        """
        So is one whose verbs are wrapped, though wrappers take over what is noted at
        the functions inside, or have everything that they are asked for.
        """
        asked = []

        def counted(verb):
            @wraps(verb)
            def call(*args):
                asked.append(verb.__name__)
                return verb(*args)

            return call

        class Counted(SlowStore):
            load = counted(SlowStore.load)
            replace = counted(SlowStore.replace)

        self.ways(Counted(self.inner))
        self.assertEqual(set(asked), {"load", "replace"})
        asked.clear()
        store = SlowStore(self.inner)
        store.load, store.replace = counted(store.load), counted(store.replace)
        self.ways(store)
        self.assertEqual(set(asked), {"load", "replace"})
        store = SlowStore(self.inner)
        store.load = mock.Mock(wraps=store.load)
        store.replace = mock.MagicMock(wraps=store.replace)
        self.ways(store)
        self.assertTrue(store.load.called and store.replace.called)

    def test_proxied(self):
        """
        One that hands out the methods of a store inside has that asked.
        """

        class Proxy(proxyForInterface(ISessionStore)):
            sharedWithOthers = True

        inside = SlowStore(self.inner)
        inside.sharedWithOthers = True
        self.ways(Proxy(inside))
        self.assertIn("load", inside.calls)
        self.assertIn("replace", inside.calls)

    def test_ours(self):
        """
        The stores that have something to wait for tell, and the one in memory, which is
        the model for others, does not.
        """
        for kind in (SQLiteStore, RedisStore, PostgreSQLStore):
            self.assertIs(SHORT[kind.load], kind._load)
            self.assertIs(SHORT[kind.replace], kind._replace)
        self.assertNotIn(MemoryStore.load, SHORT)

    def test_alike(self):
        """
        Who asks for a Deferred gets what is told.
        """
        path = self.mktemp()
        store = openStore(f"sqlite:{path}")
        failed = self.failureResultOf(store.load(b"k" * 32, 1.0), StoreUnavailable)
        told: Deferred[object] = Deferred()
        SHORT[type(store).load](store, told, b"k" * 32, 1.0)
        also = self.failureResultOf(told, StoreUnavailable)
        self.assertEqual(str(failed.value), str(also.value))


class UnexpectedTests(LiveCase):
    """
    What should never be.
    """

    def setUp(self):
        """
        Have a session that the store has.
        """
        super().setUp()
        self.live = self.site()
        self.store.sharedWithOthers = True
        self.session = self.saved(self.live, a=1)

    def raising(self, name):
        """
        Let a verb raise what no store should.
        """

        def tell(store, told, *args):
            raise RuntimeError("never")

        self.telling(name, tell)

    def test_loadRaises(self):
        """
        A load that raises is one that failed.
        """
        self.raising("load")
        failed = self.live.loadSession(self.session._uid)
        self.failureResultOf(failed, SessionUnavailable)
        self.assertEqual(self.live._live.loader.asked, {})
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_changesRaises(self):
        """
        So is one before which the store cannot even say whether there are changes:
        whoever comes next asks again.
        """

        def wrong():
            raise RuntimeError("never")

        loader = self.live._live.loader
        with mock.patch.object(self.store, "changes", wrong):
            failed = loader.fetch(self.session._uid)
        self.failureResultOf(failed, StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        found = self.successResultOf(loader.fetch(self.session._uid))
        self.assertIs(found, self.session)

    def test_replaceRaises(self):
        """
        A write that raises is one of which nobody knows what became.
        """
        self.raising("replace")
        self.session["a"] = 2
        waiter = Waits()
        self.assertFalse(self.session._entry.settle(waiter))
        self.assertEqual(waiter.heard, ["RuntimeError"])
        self.assertEqual(self.live._live.writes.underWay, 0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_whoAskedRaises(self):
        """
        A store's connection outlives those who raise when they are told, even if they
        want the program to end; the operator hears of it.
        """
        loader = self.live._live.loader
        for kind in (RuntimeError, SystemExit):

            def wrong(answer, kind=kind):
                raise kind("never")

            uid, gone = self.session._uid, Failure(StoreUnavailable("gone"))
            for method, answer in (("callback", UNCHANGED), ("errback", gone)):
                question = Question(loader, uid, b"key", [wrong], self.session)
                getattr(question, method)(answer)
                self.assertEqual(len(self.flushLoggedErrors(kind)), 1)

    def test_whoWaitsRaises(self):
        """
        So it is with those who wait for a write; and the site can be closed.
        """

        class Wrong(Waits):
            def sessionSaved(self):
                raise kind("never")

            def saveFailed(self, failure):
                raise kind("never")

        for error in (None, StoreUnavailable("gone")):
            for kind in (RuntimeError, SystemExit):
                session = self.saved(self.live, a=1)
                session["a"] = 2
                self.store.hold("replace")
                session._entry.settle(Wrong())
                if error is None:
                    self.store.release()
                else:
                    self.store.fail(error)
                self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
                self.assertEqual(self.live._live.writes.underWay, 0)
        self.store.pass_()
        self.successResultOf(self.live.closed())

    def test_oneWhoAskedRaises(self):
        """
        Those who asked with it are answered all the same, and so are those who came
        later.
        """
        loader, uid = self.live._live.loader, self.session._uid

        def wrong(answer):
            raise SystemExit

        for error in (None, StoreUnavailable("gone")):
            heard = []
            self.store.hold("load")
            for _ in range(2):
                # The first is asked at once, and all others together after that.
                loader.ask(uid, wrong)
                loader.ask(uid, heard.append)
            if error is None:
                self.store.release()
                self.store.release()
                self.assertEqual(heard, [self.session, self.session])
            else:
                self.store.fail(error)
                self.assertEqual([told.value for told in heard], [error, error])
            self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 2)
            self.assertEqual((loader.asked, loader.next), ({}, {}))

    def test_oneWhoWaitsRaises(self):
        """
        So it is with those who wait for one write, and for the one after it.
        """

        class Wrong(Waits):
            def sessionSaved(self):
                raise SystemExit

            sessionGone = sessionSaved

            def saveFailed(self, failure):
                raise SystemExit

        for error in (None, StoreUnavailable("gone"), SessionGone()):
            session = self.saved(self.live, a=1)
            self.store.hold("replace")
            waiters = []
            for count in (2, 2, 3, 3):
                session["a"] = count
                waiters += [Wrong(), Waits()]
                for waiter in waiters[-2:]:
                    session._entry.settle(waiter)
            if error is None:
                self.store.release()
                self.store.release()
            else:
                self.store.fail(error)
            heard = {None: ["saved"], SessionGone: ["gone"]}
            told = heard.get(error and type(error), ["StoreUnavailable"])
            self.assertEqual([each.heard for each in waiters[1::2]], [told] * 4)
            self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 4)

    def test_oneOfSeveralRaises(self):
        """
        Those whose writes were committed with it are told all the same.
        """

        class Wrong(Waits):
            def sessionSaved(self):
                raise SystemExit

        sessions = [self.saved(self.live, a=1) for _ in range(2)]
        waiters = [Wrong(), Waits()]
        flown = []
        self.telling("replace", lambda store, told, *args: flown.append(told))
        for session, waiter in zip(sessions, waiters, strict=True):
            session["a"] = 2
            session._entry.settle(waiter)
        fire([Operation(None, (), 0, False, False, 0.0, told) for told in flown])
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
        self.assertEqual(waiters[1].heard, ["saved"])


__all__ = [
    "PlainAnswerTests",
    "PlainFlightTests",
    "PlainLateRequestTests",
    "PlainMeanwhileTests",
    "UnexpectedTests",
    "WayTests",
]
