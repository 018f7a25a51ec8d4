"""
Tests of what code of the program's, and what should never be, may do where sessions are
told of, saved, loaded and ended: even where it wants the program to end, which Twisted's
reactor does not heed either, nobody is left waiting, and a logout is stored.
"""

from __future__ import annotations

from unittest import mock

from twisted.logger import globalLogPublisher
from zope.interface import implementer

from tests.live.sites import LiveCase, Waits
from tests.slowstore import SlowStore
from txsessions import Session
from txsessions.core.record import UNCHANGED
from txsessions.errors import SessionGone, StoreUnavailable
from txsessions.interfaces import ISessionListener
from txsessions.live import entry, flight
from txsessions.live.phases import ENDED

KINDS = (RuntimeError, SystemExit, KeyboardInterrupt, GeneratorExit)


@implementer(ISessionListener)
class Raising:
    """
    A listener that raises.

    @ivar kind: What.
    """

    kind = RuntimeError

    def sessionEvent(self, event):
        """
        See L{ISessionListener.sessionEvent}.
        """
        raise self.kind("never")


class Wrong(Waits):
    """
    Raises when it is told.
    """

    def sessionSaved(self):
        """
        See L{txsessions.live.waiting.Waiter}.
        """
        raise SystemExit

    sessionGone = sessionSaved

    def saveFailed(self, failure):
        """
        See L{txsessions.live.waiting.Waiter}.
        """
        raise SystemExit


class Telling:
    """
    Tells what a store is asked, when it is told to.

    @ivar error: What went wrong; L{None}, if nothing.
    @ivar atOnce: Whether it tells when it is asked.
    @ivar raises: What it raises then.
    """

    def __init__(self, error, *, atOnce=False, raises=None):
        self.error = error
        self.atOnce = atOnce
        self.raises = raises
        self.told = None

    def __call__(self, store, told, *args):
        """
        Be asked.
        """
        self.told = told
        if self.raises is not None:
            raise self.raises("never")
        if self.atOnce:
            self.tell()

    def tell(self):
        """
        Tell.
        """
        if self.error is None:
            self.told.callback(None)
        else:
            self.told.errback(self.error)


class Fragile(Session):
    """
    A program's class, of which at times none can be made.
    """

    kind = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.kind is not None:
            raise self.kind("never")


class ListenerTests(LiveCase):
    """
    Listeners that raise.
    """

    def setUp(self):
        """
        Have one who raises, and one who is told after him.
        """
        super().setUp()
        self.live = self.site()
        self.raising = Raising()
        self.live.removeSessionListener(self.heard)
        self.live.addSessionListener(self.raising)
        self.live.addSessionListener(self.heard)

    def test_created(self):
        """
        A new session is saved, who waits for that is told, and so is the next listener.
        """
        for kind in KINDS:
            self.raising.kind = kind
            session = self.saved(self.live, a=1)
            self.assertEqual(self.heard.told(), ["created"])
            self.assertIsNotNone(self.record(session))
            self.assertEqual(self.live._live.writes.underWay, 0)
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)

    def test_ended(self):
        """
        A logout is stored, and the next listener told.
        """
        for kind in KINDS:
            self.raising.kind = kind
            session = self.saved(self.live, a=1)
            self.successResultOf(session.expire())
            self.assertEqual(self.heard.told(), ["created", "ended expire"])
            self.assertIsNone(self.record(session))
            self.assertEqual(len(self.flushLoggedErrors(kind)), 2)


class LoadingTests(LiveCase):
    """
    What raises while a session is loaded.
    """

    def test_itsClass(self):
        """
        Where no session of the program's class can be made, who asks is told, and whoever
        comes next asks again.
        """
        session = self.saved(self.site(), a=1)
        other = self.another()
        other.sessionFactory = Fragile
        for kind in KINDS:
            self.patch(Fragile, "kind", kind)
            failed = other._live.loader.fetch(session._uid)
            self.failureResultOf(failed, StoreUnavailable)
            self.assertEqual(other._live.loader.asked, {})
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
        self.patch(Fragile, "kind", None)
        found = self.load(other, session)
        self.assertEqual(found.sessionNamespaces, {"a": 1})

    def test_theStore(self):
        """
        So it is with what a store raises that should not.
        """
        live = self.site()
        self.store.sharedWithOthers = True
        session, loader = self.saved(live, a=1), live._live.loader
        for kind in KINDS:
            with mock.patch.object(self.store, "changes", side_effect=kind("never")):
                failed = loader.fetch(session._uid)
            self.failureResultOf(failed, StoreUnavailable)
            self.assertEqual(loader.asked, {})
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
        self.assertIs(self.load(live, session), session)


class SavedCase(LiveCase):
    """
    Has a session that the store has.
    """

    def setUp(self):
        """
        Have a session that the store has.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)


class SavingTests(SavedCase):
    """
    What raises while a session is saved.
    """

    def settle(self, value, waiter=None):
        """
        Change the session and wait for that.
        """
        self.session.sessionNamespaces["a"] = value
        waiter = waiter or Waits()
        self.assertFalse(self.session._entry.settle(waiter))
        return waiter

    def test_theNextOne(self):
        """
        Where it cannot be seen any more what is to be saved, all who wait are told, and
        the next change is saved.
        """
        self.store.hold("replace")
        first, *later = [self.settle(value) for value in (2, 3, 3)]
        with mock.patch.object(entry, "plainParts", side_effect=MemoryError):
            self.store.release()
        self.assertEqual(first.heard, ["saved"])
        self.assertEqual([each.heard for each in later], [["MemoryError"]] * 2)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 2)
        self.store.pass_()
        self.assertEqual(self.settle(4).heard, ["saved"])
        self.assertEqual(self.live._live.writes.underWay, 0)

    def test_noting(self):
        """
        Where it cannot be noted what was saved, all are told that it was, those who came
        later too.
        """
        self.store.hold("replace")
        first, later = self.settle(2), self.settle(3)
        with mock.patch.object(flight.Flight, "_note", side_effect=MemoryError):
            self.store.release()
        self.assertEqual(first.heard, ["saved"])
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
        self.store.pass_()
        self.assertEqual(later.heard, ["saved"])
        self.assertEqual(self.live._live.writes.underWay, 0)

    def test_notEvenLogged(self):
        """
        Where even that cannot be logged, the write is over, once: the site can be closed.
        """
        self.patch(flight._log, "failure", mock.Mock(side_effect=OSError))
        for name, error in (("_note", None), ("_refused", StoreUnavailable("gone"))):
            for atOnce in (False, True):
                self.session = self.saved(self.live, a=1)
                told = Telling(error, atOnce=atOnce)
                self.telling("replace", told)
                with mock.patch.object(flight.Flight, name, side_effect=RecursionError):
                    self.settle(2)
                    if not atOnce:
                        self.assertRaises(OSError, told.tell)
                self.assertEqual(self.live._live.writes.underWay, 0)
        self.successResultOf(self.live.closed())

    def test_storeGoesOn(self):
        """
        A store that raises when it is called, and answers all the same, has answered
        once: the session is dropped, and read again.
        """
        for kind in KINDS:
            session = self.session = self.saved(self.live, a=1)
            told = Telling(None, raises=kind)
            self.telling("replace", told)
            waiter = self.settle(2)
            told.tell()
            self.assertEqual(waiter.heard, [kind.__name__])
            self.assertEqual(self.live._live.writes.underWay, 0)
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
            again = self.load(self.live, session)
            self.assertEqual(again.sessionNamespaces, {"a": 1})
        self.successResultOf(self.live.closed())

    def test_questionGoesOn(self):
        """
        So it is with a question.
        """
        self.store.sharedWithOthers = True
        loader = self.live._live.loader
        for kind in KINDS:
            told, heard = Telling(None, raises=kind), []
            self.telling("load", told)
            loader.ask(self.session._uid, heard.append)
            told.tell()
            self.assertEqual([each.type for each in heard], [StoreUnavailable])
            self.assertEqual(loader.asked, {})
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)

    def test_raisesAtOnce(self):
        """
        A store that raises has failed: who waits for a new session, or one with a new
        id, is told.
        """
        for kind in KINDS:
            for name in ("insert", "rename", "touch"):
                session = self.session = self.live.makeSession()
                waiter = Waits()
                if name != "insert":
                    session = self.session = self.saved(self.live, a=1)
                if name == "rename":
                    self.live._live.renew(session)
                self.advance(500 if name == "touch" else 0)
                with mock.patch.object(SlowStore, name, side_effect=kind("never")):
                    session.sessionNamespaces["a"] = 1
                    session.touch()
                    isSaved = session._entry.settle(waiter)
                self.assertEqual(isSaved, name == "touch")
                heard = [] if name == "touch" else [kind.__name__]
                self.assertEqual(waiter.heard, heard)
                self.assertEqual(self.live._live.writes.underWay, 0)
                # The store is told of a use again until it takes that.
                times = 2 if name == "touch" else 1
                self.assertEqual(len(self.flushLoggedErrors(kind)), times)
        self.successResultOf(self.live.closed())

    def test_merging(self):
        """
        Where what the program merges by wants the program to end, who waits is told, and
        the session read again.
        """
        for kind in KINDS[1:]:
            session = self.session = self.saved(self.live, a=1)
            other = self.load(self.another(), session)
            other.sessionNamespaces["b"] = 1
            self.successResultOf(other.save())
            with mock.patch.object(flight, "adopt", side_effect=kind("never")):
                waiter = self.settle(2)
            self.assertEqual(waiter.heard, [kind.__name__])
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
            again = self.load(self.live, session)
            self.assertEqual(again.sessionNamespaces, {"a": 1, "b": 1})

    def test_nameless(self):
        """
        An error that cannot say what it is is told of like any other.
        """

        class Nameless(StoreUnavailable):
            def __str__(self):
                raise RuntimeError("no name")

        self.store.sharedWithOthers = True
        self.store.hold("replace", "load")
        waiter = self.settle(2)
        failed = self.live._live.loader.fetch(self.session._uid)
        self.store.fail(Nameless())
        self.assertEqual(waiter.heard, ["Nameless"])
        self.failureResultOf(failed, Nameless)
        self.assertEqual(self.live._live.loader.asked, {})

    def test_observer(self):
        """
        One who observes the log, and raises what ends programs, keeps nobody waiting.
        """
        self.store.sharedWithOthers = True
        self.store.hold("replace", "load")
        waiter = self.settle(2)
        failed = self.live._live.loader.fetch(self.session._uid)

        def wrong(event):
            if event.get("kind") == "unavailable":
                raise SystemExit

        globalLogPublisher.addObserver(wrong)
        self.addCleanup(globalLogPublisher.removeObserver, wrong)
        self.store.fail(StoreUnavailable("gone"))
        self.assertEqual(waiter.heard, ["StoreUnavailable"])
        self.failureResultOf(failed, StoreUnavailable)
        self.assertEqual(self.live._live.loader.asked, {})

    def test_nobodyListens(self):
        """
        Those who wait are told once each, also where one of them raises and an observer
        of the log does so too.
        """

        def wrong(event):
            if "log_failure" in event:
                raise SystemExit

        globalLogPublisher.addObserver(wrong)
        self.addCleanup(globalLogPublisher.removeObserver, wrong)
        for error, heard in ((None, "saved"), (SessionGone(), "gone")):
            self.session = self.saved(self.live, a=1)
            self.store.hold("replace")
            waiters = [self.settle(2, waiter) for waiter in (Wrong(), Waits(), Waits())]
            if error is None:
                self.store.release()
            else:
                self.store.fail(error)
            self.assertEqual([each.heard for each in waiters], [[], [heard], [heard]])
            self.assertEqual(self.live._live.writes.underWay, 0)
            self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
            self.store.pass_()

    def test_transaction(self):
        """
        A store that raises where a transaction is saved has failed: it is told so, and
        the site can be closed.
        """

        def add(session):
            session.sessionNamespaces["a"] += 1

        for kind in KINDS:
            wrong = mock.patch.object(SlowStore, "replace", side_effect=kind("never"))
            with wrong as replace:
                done = self.live.transact(self.session._uid, add)
                self.failureResultOf(done)
            self.assertEqual(replace.call_count, 1)
            self.assertEqual(self.live._live.writes.underWay, 0)
            self.flushLoggedErrors(kind)
        self.successResultOf(self.live.closed())

    def test_closing(self):
        """
        A session that cannot be taken apart does not keep the others from being saved
        when the site closes.
        """
        other = self.saved(self.live, a=1)
        for session in (self.session, other):
            session.sessionNamespaces["a"] = 2
        real = entry.plainParts

        def parts(session):
            if session is self.session:
                raise SystemExit
            return real(session)

        with mock.patch.object(entry, "plainParts", parts):
            self.successResultOf(self.live.closed())
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)
        again = self.load(self.another(), other)
        self.assertEqual(again.sessionNamespaces, {"a": 2})


class EndingTests(SavedCase):
    """
    What raises while a session is ended.
    """

    def test_telling(self):
        """
        Where nobody can be told of a logout, it is stored all the same.
        """
        announcer = self.live._live.announcer
        with mock.patch.object(announcer, "tell", side_effect=MemoryError):
            self.assertRaises(MemoryError, self.session.expire)
        self.assertIsNone(self.record(self.session))

    def test_lateWaiter(self):
        """
        One who waits for an end that has failed already, and raises when he is told,
        does not keep others from being told.
        """
        self.store.hold("delete")
        gone = self.session.expire()
        self.store.fail(StoreUnavailable("gone"))
        self.failureResultOf(gone, StoreUnavailable)
        waiters = [Wrong(), Waits()]
        for waiter in waiters:
            self.assertFalse(self.session._entry.settle(waiter))
        self.assertEqual(waiters[1].heard, ["StoreUnavailable"])
        self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def test_telledCallbacks(self):
        """
        Those who wanted to know of the end are told then, too.
        """
        told = []
        self.session.notifyOnExpire(lambda: told.append("expired"))
        announcer = self.live._live.announcer
        with mock.patch.object(announcer, "tell", side_effect=MemoryError):
            self.assertRaises(MemoryError, self.session.expire)
        self.assertEqual(told, ["expired"])

    def test_deleteRaises(self):
        """
        A store that raises where it is to delete has failed: who waits is told, and the
        logout stands here and is carried out later.
        """
        for kind in KINDS:
            session = self.saved(self.live, a=1)
            with mock.patch.object(self.store, "delete", side_effect=kind("never")):
                gone = session.expire()
                self.failureResultOf(gone, kind)
            self.assertIsNone(self.load(self.live, session))
            self.assertIsNotNone(self.record(session))
            self.advance(31)
            self.assertIsNone(self.record(session))

    def test_lapsed(self):
        """
        Where nobody can be told that a session has run out, who waits for its end is
        told all the same.
        """
        gone, waiter = self.session._entry.ending.gone, Waits()
        self.store.hold("delete")
        wrong = mock.Mock(side_effect=MemoryError)
        done = self.session._entry.end(wrong)
        self.session._phase = ENDED
        self.assertFalse(self.session._entry.settle(waiter))
        self.store.release()
        self.successResultOf(done)
        self.successResultOf(gone())
        self.assertEqual(waiter.heard, ["gone"])
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)


class OpeningTests(LiveCase):
    """
    What raises while a store is opened.
    """

    def test_openRaises(self):
        """
        It is tried again.
        """
        for kind in KINDS:
            with mock.patch.object(self.store, "open", side_effect=kind("never")):
                live = self.site()
                self.assertFalse(live._live.lifecycle.isOpen)
                self.advance(1)
            self.advance(5)
            self.assertTrue(live._live.lifecycle.isOpen)
            self.successResultOf(live.closed())

    def test_noDeferred(self):
        """
        A store may be written with coroutines, and one that answers nothing at all is
        one that has no such session.
        """
        live = self.site()
        self.store.sharedWithOthers = True
        session, loader = self.saved(live, a=1), live._live.loader

        async def load(key, now, known=None):
            return UNCHANGED

        with mock.patch.object(self.store, "load", load):
            self.assertIs(self.load(live, session), session)
        with mock.patch.object(self.store, "load", return_value=None):
            self.assertIsNone(self.successResultOf(loader.fetch(session._uid)))
        self.assertEqual(loader.asked, {})


class SweepingTests(LiveCase):
    """
    What raises while a store is swept.
    """

    def test_claimRaises(self):
        """
        The next sweep tries again.
        """
        live = self.site()
        session = self.saved(live, a=1)
        for kind in KINDS:
            with mock.patch.object(self.store, "claimExpired", side_effect=kind("no")):
                self.advance(61)
            self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
        self.assertIsNotNone(self.record(session))
        self.advance(2000)
        self.assertIsNone(self.record(session))
