"""
Tests of L{txsessions.live.lifecycle}: from the opening of a store to its closing.
"""

from __future__ import annotations

import gc
import itertools
import weakref

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource

from tests.live.sites import KEYS, LiveCase
from txsessions import Site
from txsessions.errors import (
    ConfigurationError,
    KeyFileError,
    SessionUnavailable,
    StoreCorrupt,
    StoreUnavailable,
)
from txsessions.live.lifecycle import DRAIN, PATIENCE
from txsessions.stores.memory import MemoryStore


class Reactor(Clock):
    """
    A clock with a shutdown.
    """

    def __init__(self):
        super().__init__()
        self.triggers = []

    def addSystemEventTrigger(self, *trigger):
        """
        See C{IReactorCore.addSystemEventTrigger}.
        """
        self.triggers.append(trigger)
        return trigger

    def removeSystemEventTrigger(self, trigger):
        """
        See C{IReactorCore.removeSystemEventTrigger}.
        """
        self.triggers.remove(trigger)

    def shutDown(self):
        """
        What happens before the reactor stops.
        """
        return [function() for _, _, function in list(self.triggers)]


class LifecycleCase(LiveCase):
    """
    Counts what the store hears.
    """

    def setUp(self):
        """
        Listen.
        """
        super().setUp()
        close = self.store.close
        self.closed = 0

        def counted():
            self.closed += 1
            return close()

        self.store.close = counted

    def isOpen(self, site):
        """
        Whether sessions can be had.
        """
        loaded = site.loadSession(b"ab" * 32)
        return not isinstance(
            getattr(loaded.addErrback(lambda failure: failure.value), "result", None),
            SessionUnavailable,
        )


class OpeningTests(LifecycleCase):
    """
    Opening a store.
    """

    def test_start(self):
        """
        The store is opened when the site starts, once, and the log says what it
        is.
        """
        site = self.site(start=False)
        self.assertEqual(self.store.calls, [])
        site.startFactory()
        self.assertEqual(self.store.calls, ["open"])
        self.assertEqual(self.logs(self.store.durability), 1)
        site.stopFactory()

    def test_retried(self):
        """
        A store that cannot be opened is tried again after ever longer times;
        loads fail at once meanwhile, and work when it is open.
        """
        self.store.down = StoreUnavailable("no disk")
        site = self.site()
        opens = [self.clock.seconds()]
        while len(opens) < 9:
            self.clock.advance(0.5)
            if self.store.calls.count("open") > len(opens):
                opens.append(self.clock.seconds())
            self.assertFalse(self.isOpen(site))
        gaps = [b - a for a, b in itertools.pairwise(opens)]
        self.assertEqual(gaps, [1, 2, 4, 8, 16, 30, 30, 30])
        self.assertEqual(self.logs("cannot be opened: no disk"), 9)
        self.store.down = None
        self.clock.advance(30)
        self.assertTrue(self.isOpen(site))
        self.assertEqual(site._live.lifecycle.openFailure, None)
        self.advance(120, 60)
        self.assertEqual(self.store.calls.count("claimExpired"), 2)

    def test_corrupt(self):
        """
        So is one that is damaged: somebody may mend it.
        """
        self.store.down = StoreCorrupt("damaged")
        site = self.site()
        self.assertFalse(self.isOpen(site))
        self.store.down = None
        self.clock.advance(1)
        self.assertTrue(self.isOpen(site))

    def test_delayIsReset(self):
        """
        After a success the times begin anew.
        """
        self.store.down = StoreUnavailable("no disk")
        site = self.site()
        self.advance(20, 1)
        self.store.down = None
        self.advance(20, 1)
        site.stopFactory()
        self.store.down = StoreUnavailable("no disk")
        before = self.store.calls.count("open")
        site.startFactory()
        self.clock.advance(1)
        self.assertEqual(self.store.calls.count("open"), before + 2)

    def test_patience(self):
        """
        Nobody waits longer than two seconds for a store that is being opened.
        """
        self.store.hold("open")
        site = self.site()
        load = site.loadSession(b"ab" * 32)
        self.clock.advance(PATIENCE - 0.1)
        self.assertNoResult(load)
        late = site.loadSession(b"cd" * 32)
        self.clock.advance(0.1)
        self.failureResultOf(load, SessionUnavailable)
        self.assertNoResult(late)
        self.store.pass_()
        self.assertIs(self.successResultOf(late), None)
        self.assertTrue(self.isOpen(site))
        self.assertEqual(PATIENCE, 2)

    def test_neverStarted(self):
        """
        A site that was never started opens its store when a session is asked
        for, and tries again when one is asked for again.
        """
        self.store.down = StoreUnavailable("no disk")
        site = self.site(start=False)
        self.assertFalse(self.isOpen(site))
        self.assertEqual(self.store.calls, ["open"])
        self.assertEqual(self.scheduled(), [])
        self.store.down = None
        self.assertTrue(self.isOpen(site))
        self.assertEqual(self.saved(site, a=1)._entry.version, 1)
        self.assertEqual(self.store.calls.count("claimExpired"), 0)
        self.successResultOf(site.closed())
        self.assertEqual(self.closed, 1)

    def test_noKeys(self):
        """
        Without keys the site does not start, and nothing is left behind.
        """
        site = self.site(start=False, keys=self.mktemp())
        self.assertRaises(KeyFileError, site.startFactory)
        self.assertEqual(self.store.calls, [])
        self.assertFalse(self.isOpen(site))
        self.assertEqual(self.scheduled(), [])
        self.assertRaises(KeyFileError, site.startFactory)

    def test_keysLater(self):
        """
        If the keys can no longer be had when the opening is tried again, that
        is tried again too.
        """
        self.store.down = StoreUnavailable("no disk")
        site = self.site()
        lifecycle = site._live.lifecycle

        def gone():
            raise KeyFileError("the key file is gone")

        ring, lifecycle._ring = lifecycle._ring, gone
        self.clock.advance(1)
        self.assertEqual(self.logs("the key file is gone"), 1)
        self.store.down = None
        lifecycle._ring = ring
        self.clock.advance(2)
        self.assertTrue(self.isOpen(site))

    def test_foreignStore(self):
        """
        A store that machines may share needs keys from outside.
        """
        error = self.assertRaises(
            ConfigurationError, Site, Resource(), reactor=self.clock, store=self.store
        )
        self.assertIn("keys=", str(error))


class ClosingTests(LifecycleCase):
    """
    Closing a store.
    """

    def test_stop(self):
        """
        It is closed when the site stops; no timer is left.
        """
        site = self.site()
        self.saved(site, a=1)
        site.stopFactory()
        self.assertEqual(self.closed, 1)
        self.assertEqual(self.scheduled(), [])
        self.assertEqual(dict(site.sessions), {})
        self.assertFalse(self.isOpen(site))
        self.assertEqual(self.store.calls.count("open"), 1)

    def test_savesEverything(self):
        """
        Before that, everything that nobody has saved yet is saved: new
        sessions, changed ones, and ones under way.
        """
        site = self.site()
        new, empty = site.makeSession(), site.makeSession()
        new["a"] = 1
        changed, writing = self.saved(site, a=1), self.saved(site, a=1)
        changed["a"] = 2
        self.store.hold("replace")
        writing["a"] = 2
        writing.save()
        writing["a"] = 3
        done = site.closed()
        self.assertNoResult(done)
        self.assertEqual(self.closed, 0)
        self.store.pass_()
        self.successResultOf(done)
        self.assertEqual(self.closed, 1)
        process = self.another()
        found = [self.load(process, s) for s in (new, changed, writing, empty)]
        self.assertEqual([s and s["a"] for s in found], [1, 2, 3, None])

    def test_oneCannotBeSaved(self):
        """
        One that cannot be saved does not stop the others.
        """
        site = self.site()
        bad, good = self.saved(site, a=1), self.saved(site, a=1)
        bad["a"] = "\ud800"
        good["a"] = 2
        self.successResultOf(site.closed())
        self.assertEqual(self.logs("cannot be saved"), 1)
        self.assertEqual(self.load(self.another(), good)["a"], 2)

    def test_bounded(self):
        """
        The end does not wait for ever for a store that hangs.
        """
        site = self.site()
        session = self.saved(site, a=1)
        self.store.hold("replace")
        session["a"] = 2
        session.save()
        self.store.close = Deferred
        done = site.closed()
        for patience in (DRAIN, DRAIN):
            self.clock.advance(patience - 1)
            self.assertNoResult(done)
            self.clock.advance(1)
        self.successResultOf(done)
        self.assertEqual(self.logs(f"has not closed in {DRAIN} s, and is left"), 1)
        self.store.pass_()

    def test_closeFails(self):
        """
        A store that cannot be closed is logged, and that is all.
        """
        site = self.site()
        self.store.close = lambda: 1 / 0
        self.successResultOf(site.closed())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_requestsMeanwhile(self):
        """
        While everything is being saved loads work; after that they fail at
        once, and the store is not opened by them.
        """
        site = self.site()
        session = self.saved(site, a=1)
        self.store.hold("replace")
        session["a"] = 2
        done = site.closed()
        second = site.closed()
        self.assertTrue(self.isOpen(site))
        self.store.pass_()
        self.successResultOf(done)
        self.successResultOf(second)
        self.assertFalse(self.isOpen(site))
        self.successResultOf(site.closed())
        self.assertEqual(self.store.calls.count("open"), 1)
        self.assertEqual(self.closed, 1)

    def test_whileItIsBeingOpened(self):
        """
        A site that stops while its store is being opened closes it, whenever it
        has been opened, and nobody waits in vain.
        """
        self.store.hold("open")
        site = self.site()
        load = site.loadSession(b"ab" * 32)
        done = site.closed()
        self.successResultOf(done)
        self.failureResultOf(load, SessionUnavailable)
        self.store.pass_()
        self.assertFalse(site._live.lifecycle.isOpen)
        self.assertEqual(self.closed, 2)
        self.assertEqual(self.scheduled(), [])

    def test_openedWhileClosing(self):
        """
        The same if it is opened while it is being closed.
        """
        for works in (True, False):
            self.store.hold("open")
            site = self.site(siteName=b"%d" % works)
            sessions = [site.makeSession(), site.makeSession()]
            for session in sessions:
                session["a"] = 1
            sessions[0].save()
            done = site.closed()
            self.assertNoResult(done)
            if works:
                self.store.pass_()
            else:
                self.store.fail(StoreUnavailable("no"))
            self.successResultOf(done)
            self.assertFalse(site._live.lifecycle.isOpen)
            self.assertEqual(self.scheduled(), [])
            stored = [bool(self.record(session, site)) for session in sessions]
            self.assertEqual(stored, [works, works])

    def test_whileItIsRetried(self):
        """
        A site that stops while its store cannot be opened gives up.
        """
        self.store.down = StoreUnavailable("no disk")
        site = self.site()
        site.stopFactory()
        self.assertEqual(self.scheduled(), [])

    def test_again(self):
        """
        It can be started again, and its sessions are there, the very objects if
        somebody still has them.
        """
        site = self.site()
        session = self.saved(site, a=1)
        session["a"] = 2
        for stop in (site.stopFactory, site.closed):
            stop()
            self.assertFalse(self.isOpen(site))
            site.startFactory()
            self.assertIs(self.load(site, session), session)
            self.assertEqual(session["a"], 2)
            before = self.store.calls.count("claimExpired")
            self.clock.advance(60)
            self.assertEqual(self.store.calls.count("claimExpired"), before + 1)

    def test_againWhileItIsOpened(self):
        """
        If it is closed and started again while the store is slow to open, it is
        open in the end, whichever opening that is.
        """
        self.store.hold("open")
        site = self.site()
        self.successResultOf(site.closed())
        site.startFactory()
        self.assertEqual(self.store.names(), ["open", "open"])
        self.store.release(1)
        self.assertTrue(site._live.lifecycle.isOpen)
        self.store.pass_()
        self.assertTrue(self.isOpen(site))
        self.assertEqual(self.closed, 1)

    def test_usedAfterwards(self):
        """
        An object that somebody still uses after the end is of no consequence.
        """
        site = self.site()
        empty, session = site.makeSession(), self.saved(site, a=1)
        site.stopFactory()
        self.clock.advance(100)
        empty.touch()
        self.assertNotIn(empty._uid, site.sessions)
        session["a"] = 2
        self.failureResultOf(session.save(), StoreUnavailable)

    def test_againWhileClosing(self):
        """
        If it is started again while it is being closed, it is opened again
        after that.
        """
        site = self.site()
        session = self.saved(site, a=1)
        session["a"] = 2
        self.store.hold("replace")
        site.stopFactory()
        site.startFactory()
        self.store.pass_()
        self.assertTrue(site._live.lifecycle.isOpen)
        self.assertEqual(self.closed, 1)
        self.assertTrue(self.isOpen(site))
        self.assertEqual(self.load(site, session)["a"], 2)

    def test_withoutAStore(self):
        """
        A site without a store has nothing to close, and lets go of its
        sessions when it is told to.
        """
        site = self.site(None)
        session = site.makeSession()
        ran = []
        session.notifyOnExpire(lambda: ran.append(1))
        site.stopFactory()
        self.assertIs(site.getSession(session._uid), session)
        site.startFactory()
        self.successResultOf(site.closed())
        self.assertEqual(dict(site.sessions), {})
        self.assertEqual(self.timers(), 0)
        self.assertEqual(ran, [])


class SharedTests(LifecycleCase):
    """
    Two sites on one store and name share a table.
    """

    def test_shared(self):
        """
        A session of one is live in the other.
        """
        one, two = self.site(), self.site()
        session = one.makeSession()
        self.assertIs(one.sessions, two.sessions)
        self.assertIs(two.getSession(session._uid), session)
        self.assertEqual(self.store.calls, ["open"])

    def test_startedWhileTrying(self):
        """
        One that starts while the store of both cannot be opened waits with the
        other.
        """
        self.store.down = StoreUnavailable("no disk")
        self.site()
        two = self.site()
        self.assertEqual(self.store.calls, ["open"])
        self.store.down = None
        self.clock.advance(1)
        self.assertTrue(self.isOpen(two))
        self.assertEqual(self.store.calls.count("open"), 2)

    def test_closedWithTheLast(self):
        """
        The store is closed with the last of them.
        """
        one, two = self.site(), self.site()
        one.stopFactory()
        self.assertEqual(self.closed, 0)
        self.assertTrue(self.isOpen(two))
        two.stopFactory()
        self.assertEqual(self.closed, 1)

    def test_otherName(self):
        """
        Under another name, or on another store, they share nothing.
        """
        one, two = self.site(), self.site(siteName=b"two")
        three, four = self.site(MemoryStore()), self.site(MemoryStore())
        tables = {id(site.sessions) for site in (one, two, three, four)}
        self.assertEqual(len(tables), 4)
        none = {id(self.site(None).sessions) for _ in range(1)}
        self.assertFalse(tables & none)

    def test_freed(self):
        """
        The table goes with its sites.
        """
        store = MemoryStore()
        site = Site(Resource(), reactor=self.clock, store=store, keys=KEYS)
        held = weakref.ref(site._live)
        del site
        gc.collect()
        self.assertIs(held(), None)
        held = weakref.ref(store)
        del store
        gc.collect()
        self.assertIs(held(), None)

    def test_memoryKeys(self):
        """
        What a store in memory holds can be read by the next site on it, though
        its key is one of chance.
        """
        store = MemoryStore()
        site = Site(Resource(), reactor=self.clock, store=store)
        site.startFactory()
        session = self.saved(site, a=1)
        uid = session._uid
        site.stopFactory()
        site.startFactory()
        self.assertEqual(self.load(site, session)["a"], 1)
        site.stopFactory()
        del site, session
        gc.collect()
        site = Site(Resource(), reactor=self.clock, store=store)
        self.assertEqual(self.successResultOf(site.loadSession(uid))["a"], 1)
        other = Site(Resource(), reactor=self.clock, store=MemoryStore())
        other.startFactory()
        self.assertNotEqual(
            other._live.sealer.seal(b"k" * 32, 1, b"")[:9],
            site._live.sealer.seal(b"k" * 32, 1, b"")[:9],
        )


class ShutdownTests(LifecycleCase):
    """
    The end of the reactor.
    """

    def setUp(self):
        """
        Have a reactor that can end.
        """
        super().setUp()
        self.clock = Reactor()
        self.clock.advance(1e9)

    def test_shutdown(self):
        """
        Before the reactor stops everything is saved and the store closed.
        """
        site = self.site()
        session = site.makeSession()
        session["a"] = 1
        self.store.hold("insert")
        (done,) = self.clock.shutDown()
        self.assertNoResult(done)
        self.store.pass_()
        self.successResultOf(done)
        self.assertEqual(self.closed, 1)
        self.assertTrue(self.record(session))
        self.assertFalse(self.isOpen(site))
        self.assertEqual(self.store.calls.count("open"), 1)

    def test_stoppedBefore(self):
        """
        A site that has stopped does not keep the reactor.
        """
        site = self.site()
        self.assertEqual(len(self.clock.triggers), 1)
        site.stopFactory()
        self.assertEqual(self.clock.triggers, [])
        site.startFactory()
        self.assertEqual(len(self.clock.triggers), 1)
