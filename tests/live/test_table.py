"""
Tests of L{txsessions.live.table}: what a process holds.
"""

from __future__ import annotations

from tests.live.sites import NOW, Holds, LiveCase
from txsessions.errors import SessionUnavailable
from txsessions.live.phases import ENDED, NEW, STORED


class MintTests(LiveCase):
    """
    Drawing uids.
    """

    def test_repeated(self):
        """
        A uid that a live session has, or had a moment ago, is not given twice.
        """
        site = self.site()
        first = self.saved(site, a=1)
        old = first._uid
        site._live.rotate(first)
        taken = [old, first._uid, b"cd" * 32]
        site._live.draw = lambda: taken.pop(0)
        self.assertEqual(site._live.mint(site._live.draw), b"cd" * 32)

    def test_alwaysRepeated(self):
        """
        A source that only repeats itself is an outage, and the owner of the uid
        is not disturbed.
        """
        site = self.site()
        session = self.saved(site, a=1)
        site._mkuid = lambda: session._uid
        self.assertRaises(SessionUnavailable, site.makeSession)
        self.assertIs(site.getSession(session._uid), session)
        self.assertEqual(self.logs("repeats itself"), 1)

    def test_raising(self):
        """
        So is one that raises: there is no other.
        """
        site = self.site()

        def dry(size):
            raise OSError("no entropy")

        site._entropy = dry
        self.assertRaises(SessionUnavailable, site.makeSession)
        self.assertEqual(dict(site.sessions), {})
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_source(self):
        """
        Each has 256 bits of the site's own entropy.
        """
        site = self.site()
        asked = []

        def entropy(size):
            asked.append(size)
            return bytes([len(asked)]) * size

        site._entropy = entropy
        self.assertEqual(site.makeSession()._uid, b"01" * 32)
        self.assertEqual(asked, [32])
        self.assertEqual(site.counter, 1)


class ReceiveTests(LiveCase):
    """
    Sessions that a site has made.
    """

    def test_byHand(self):
        """
        One made by hand is not new, and is kept if it is told to.
        """
        site = self.site()
        session = site.makeSession()
        self.assertEqual(session._phase, NEW)
        self.assertFalse(session._isNew)
        self.assertIs(session._scheme, None)
        self.assertEqual(self.calls(), ["open"])

    def test_withoutAStore(self):
        """
        Without a store it is kept from the start.
        """
        session = self.site(None).makeSession()
        self.assertEqual(session._phase, STORED)
        self.assertIs(session._entry, None)

    def test_byARequest(self):
        """
        One made by a request is new, and knows its cookie.
        """
        for store in (self.store, None):
            site = self.site(store)
            site._live.isMaking = True
            session = site.makeSession()
            site._live.isMaking = False
            site._live.receive(session, (True, b"sid"))
            self.assertTrue(session._isNew)
            self.assertEqual(session._phase, NEW)
            self.assertEqual(session._scheme, (True, b"sid"))

    def test_dismiss(self):
        """
        One that is dismissed leaves nothing behind, not even a word.
        """
        for store in (self.store, None):
            site = self.site(store)
            site._live.isMaking = True
            session = site.makeSession()
            site._live.isMaking = False
            site._live.dismiss(session)
            self.assertEqual(session._phase, ENDED)
            self.assertEqual(dict(site.sessions), {})
            self.assertEqual(self.timers(), 0)
            self.assertEqual(self.heard.told(), [])
            self.assertEqual(self.calls(), ["open"])


class LiveTests(LiveCase):
    """
    Which sessions are live.
    """

    def test_byKey(self):
        """
        Those that the store has are found by their keys, and only they.
        """
        site = self.site()
        table = site._live
        empty = site.makeSession()
        self.assertEqual(table.byKey, {})
        session = self.saved(site, a=1)
        self.assertEqual(table.byKey, {self.record(session).key: session._entry})
        self.successResultOf(table.rotate(session))
        self.assertEqual(table.byKey, {self.record(session).key: session._entry})
        session.expire()
        empty.expire()
        self.assertEqual(table.byKey, {})

    def test_overdue(self):
        """
        One whose time is up is not live any more, though no timer has rung.
        """
        site = self.site(None)
        session = site.makeSession()
        self.clock.rightNow += 900
        self.assertRaises(KeyError, site.getSession, session._uid)
        self.assertEqual(session._phase, ENDED)
        self.assertEqual(self.heard.told(), ["created", "expired idle"])

    def test_nothingLeft(self):
        """
        Thousands that are made and dropped leave nothing behind.
        """
        for store in (self.store, None):
            site = self.site(store)
            before = len(self.clock.getDelayedCalls())
            for _ in range(2000):
                session = site.makeSession()
                session["a"] = 1
                session.expire()
            table = site._live
            self.assertEqual(dict(site.sessions), {})
            self.assertEqual(len(self.clock.getDelayedCalls()), before)
            self.assertEqual(self.timers(), 0)
            self.assertEqual(len(table.resting._order), 0)
            self.assertEqual(table.byKey, {})
            self.assertEqual(len(table.tombstones), 0)
            self.logged.clear()
            self.heard.told()

    def test_whoEndsIt(self):
        """
        A request that ends a session is told so; with others beside it, or if it
        ran out, none is by mistake.
        """

        class Ending(Holds):
            """
            Remembers that it was told.
            """

            told = 0

            def sessionEnded(self):
                """
                See L{txsessions.web.visit.Visit.sessionEnded}.
                """
                self.told += 1

        site = self.site()
        for current, expected in ((None, [0, 0]), (0, [1, 0]), (1, [0, 1])):
            session = self.saved(site, a=1)
            holds = [Ending(session), Ending(session)]
            site._live.current = None if current is None else holds[current]
            session.expire()
            self.assertEqual([hold.told for hold in holds], expected)
        site._live.current = None
        session = self.saved(site, a=1)
        hold = Ending(session)
        session.expire()
        self.assertEqual(hold.told, 1)
        session = self.saved(site, a=1)
        hold = Ending(session)
        session.sessionTimeout = 10
        self.clock.advance(10)
        self.assertEqual((session._phase, hold.told), (ENDED, 0))

    def test_seconds(self):
        """
        The time is the reactor's.
        """
        self.assertEqual(self.site()._live.seconds(), NOW)
