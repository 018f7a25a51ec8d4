"""
Tests of L{txsessions.live.closing}: connections that are closed when their session
ends.
"""

from __future__ import annotations

import gc

from tests.live.sites import LiveCase
from txsessions import Session
from txsessions.errors import ConfigurationError, SessionGone, SessionStale
from txsessions.live.callbacks import MAX_CALLBACKS
from txsessions.live.watching import WATCH_INTERVAL


class Transport:
    """
    A connection.

    @ivar said: What has been asked of it.
    """

    def __init__(self, broken=False):
        self.broken = broken
        self.said = []

    def loseConnection(self):
        """
        See C{ITransport}.
        """
        self.said.append("lose")
        if self.broken:
            raise RuntimeError("it has been closed")

    def abortConnection(self):
        """
        See C{ITransport}.
        """
        self.said.append("abort")


class Wrapped:
    """
    A protocol that is its own transport, as that of a WebSocket.
    """

    def __init__(self):
        self.transport = Transport()

    def loseConnection(self):
        """
        Fail.
        """
        raise RuntimeError("it has been closed")


class ClosingTests(LiveCase):
    """
    Sessions to which connections belong.
    """

    def setUp(self):
        """
        Make one.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)

    def test_closed(self):
        """
        It is closed once, with the other callbacks and in their order.
        """
        transport = Transport()
        self.session.notifyOnExpire(lambda: transport.said.append("before"))
        self.session.closes(transport)
        self.session.notifyOnExpire(lambda: transport.said.append("after"))
        self.session.expire()
        self.session.expire()
        self.assertEqual(transport.said, ["before", "lose", "after"])

    def test_broken(self):
        """
        One that cannot be closed is cut, itself or what it is on.
        """
        transport, wrapped = Transport(broken=True), Wrapped()
        self.session.closes(transport)
        self.session.closes(wrapped)
        self.session.expire()
        self.assertEqual(transport.said, ["lose", "abort"])
        self.assertEqual(wrapped.transport.said, ["abort"])

    def test_forgotten(self):
        """
        It is not kept alive, and is forgotten when it is gone: nobody asks the store
        for nobody's sake, be the session in memory or not.
        """
        for seconds in (10, 200):
            self.store.sharedWithOthers = True
            session = self.load(self.live, self.session)
            kept, gone = Transport(), Transport()
            session.closes(kept)
            session.closes(gone)
            del gone
            gc.collect()
            self.advance(seconds, 10)
            session = self.load(self.live, self.session)
            self.assertEqual(len(session.expireCallbacks), 1)
            del kept
            gc.collect()
            self.advance(seconds, 10)
            del self.store.calls[:]
            self.advance(60, 10)
            self.assertNotIn("load", self.store.calls)
        self.assertEqual(self.live._live.parked, {})

    def test_forgottenParked(self):
        """
        So it is where it goes when the session has left memory.
        """
        self.store.sharedWithOthers = True
        transport = Transport()
        self.session.closes(transport)
        self.advance(100, 10)
        self.assertEqual(dict(self.live.sessions), {})
        self.assertEqual(len(self.live._live.parked), 1)
        del transport
        gc.collect()
        self.advance(WATCH_INTERVAL)
        self.assertEqual(self.live._live.parked, {})

    def test_parked(self):
        """
        It is closed where the session has left memory.
        """
        process, transport = self.another(), Transport()
        self.session.closes(transport)
        self.advance(70, 10)
        self.assertEqual(dict(self.live.sessions), {})
        self.successResultOf(self.load(process, self.session).expire())
        self.advance(WATCH_INTERVAL, 1)
        self.assertEqual(transport.said, ["lose"])

    def test_parkedWaits(self):
        """
        So it is where too much is being asked at the time.
        """
        process, transport = self.another(), Transport()
        self.session.closes(transport)
        self.advance(70, 10)
        self.successResultOf(self.load(process, self.session).expire())
        self.live._live.watching._underWay = 100
        del self.store.calls[:]
        self.advance(2 * WATCH_INTERVAL, 1)
        self.assertNotIn("load", self.store.calls)
        self.live._live.watching._underWay = 0
        self.advance(2, 1)
        self.assertEqual(transport.said, ["lose"])

    def test_tooMany(self):
        """
        Of too many the oldest is closed, also where the rest are callbacks.
        """
        transports = [Transport() for _ in range(MAX_CALLBACKS + 3)]
        for transport in transports:
            self.session.closes(transport)
        closed = [t for t in transports if t.said]
        self.assertEqual(closed, transports[:3])
        self.assertEqual(self.logs("oldest connection is closed"), 3)
        session = self.saved(self.live, a=1)
        for _ in range(MAX_CALLBACKS):
            session.notifyOnExpire(list)
        first, second = Transport(), Transport()
        session.closes(first)
        self.assertEqual(first.said, [])
        session.closes(second)
        session.expire()
        self.assertEqual((first.said, second.said), (["lose"], ["lose"]))

    def test_neither(self):
        """
        What is no connection is refused, before it is too late to say so.
        """
        for thing in (None, object(), b"", 7, [].append):
            with self.assertRaises(ConfigurationError):
                self.session.closes(thing)
        self.assertEqual(self.session.expireCallbacks, [])

    def test_over(self):
        """
        So is one of a session that has ended or was dropped.
        """
        self.session.expire()
        with self.assertRaises(SessionGone):
            self.session.closes(Transport())
        session = self.saved(self.live, a=1)
        session._entry.drop()
        with self.assertRaises(SessionStale):
            session.closes(Transport())

    def test_noSite(self):
        """
        A session that belongs to no site closes what belongs to it.
        """
        session, transport = Session(None, b"uid", self.clock), Transport()
        session.closes(transport)
        session.expire()
        self.assertEqual(transport.said, ["lose"])

    def test_touched(self):
        """
        That a session is touched while a request holds it and streams reaches the
        store, though the response does not settle.
        """
        from tests.live.sites import Holds

        transport = Transport()
        self.session.closes(transport)
        Holds(self.session)
        for _ in range(10):
            self.advance(890, 10)
            self.session.touch()
        self.assertEqual(transport.said, [])
        self.session.a = lambda: None
        self.live._live.pins._strict = True
        self.advance(890, 10)
        self.assertEqual(self.logs("a session cannot be saved"), 1)
