"""
Tests of what code of the program's, and what should never be, may do where sessions are
told of, saved, loaded and ended: even where it wants the program to end, which Twisted's
reactor does not heed either, nobody is left waiting, and a logout is stored.
"""

from __future__ import annotations

from unittest import mock

from zope.interface import implementer

from tests.live.sites import LiveCase, Waits
from txsessions import Session
from txsessions.errors import StoreUnavailable
from txsessions.interfaces import ISessionListener
from txsessions.live import entry, flight

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
        Where even that cannot be logged, the write is over: the site can be closed.
        """
        for error in (None, StoreUnavailable("gone")):
            session = self.session = self.saved(self.live, a=1)
            self.store.hold("replace")
            self.settle(2)
            wrong = mock.patch.multiple(
                flight.Flight, _note=mock.DEFAULT, _refused=mock.DEFAULT
            )
            logging = mock.patch.object(flight._log, "failure", side_effect=OSError)
            with wrong as methods, logging:
                for method in methods.values():
                    method.side_effect = RecursionError
                told = session._entry.flight
                self.store.pending.clear()
                args = [None] if error is None else [error]
                tell = told.callback if error is None else told.errback
                self.assertRaises(OSError, tell, *args)
            self.store.pass_()
            self.assertEqual(self.live._live.writes.underWay, 0)
        self.successResultOf(self.live.closed())


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
