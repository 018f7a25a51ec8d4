"""
Tests of L{txsessions.live.events}: what happens to sessions, and who hears of it.
"""

from __future__ import annotations

from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.live.sites import NOW, Listener, LiveCase
from txsessions.live.events import LEVELS, Announcer, EventKind, SessionEvent


class Deaf:
    """
    A listener that raises.
    """

    def sessionEvent(self, event):
        """
        See L{txsessions.interfaces.ISessionListener.sessionEvent}.
        """
        raise ZeroDivisionError


class AnnouncerTests(SynchronousTestCase):
    """
    L{Announcer}.
    """

    def setUp(self):
        """
        Listen to the log.
        """
        self.announcer = Announcer()
        self.logged = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def test_told(self):
        """
        An event goes to the log, to the counts, and to each listener.
        """
        listeners = [Listener(), Listener()]
        for listener in listeners:
            self.announcer.add(listener)
        self.announcer.tell(EventKind.ENDED, "aa00", 5.0, "expire", 1.0)
        event = SessionEvent(
            kind=EventKind.ENDED, tag="aa00", at=5.0, reason="expire", createdAt=1.0
        )
        for listener in listeners:
            self.assertEqual(listener.events, [event])
        self.assertEqual(self.announcer.counts["ended"], 1)
        (logged,) = self.logged
        self.assertEqual(
            (logged["tag"], logged["kind"], logged["reason"], logged["log_level"]),
            ("aa00", "ended", "expire", LogLevel.info),
        )

    def test_levels(self):
        """
        Each kind has its count, and its level in the log.
        """
        self.assertEqual(set(LEVELS), set(EventKind))
        for kind in EventKind:
            self.announcer.tell(kind, "", 0.0)
            self.assertEqual(self.logged.pop()["log_level"], LEVELS[kind])
        self.assertEqual(set(self.announcer.counts.values()), {1})

    def test_raising(self):
        """
        A listener that raises disturbs nobody.
        """
        listener = Listener()
        for one in (Deaf(), listener):
            self.announcer.add(one)
        self.announcer.tell(EventKind.CREATED, "aa00", 0.0)
        self.assertEqual(listener.told(), ["created"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_removed(self):
        """
        A listener that was removed hears no more; one may go while it hears.
        """

        class Leaving(Listener):
            """
            Goes when it hears something.
            """

            def sessionEvent(leaving, event):
                """
                See L{txsessions.interfaces.ISessionListener.sessionEvent}.
                """
                super().sessionEvent(event)
                self.announcer.remove(leaving)

        leaving, staying = Leaving(), Listener()
        self.announcer.add(leaving)
        self.announcer.add(staying)
        for _ in range(2):
            self.announcer.tell(EventKind.CREATED, "aa00", 0.0)
        self.assertEqual(len(leaving.events), 1)
        self.assertEqual(len(staying.events), 2)
        self.announcer.remove(staying)
        self.assertFalse(self.announcer.hasListeners)


class SiteTests(LiveCase):
    """
    The events of a site.
    """

    def test_making(self):
        """
        What a program without a store makes by hand is counted and told, and no
        line in the log.
        """
        logged = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        site = self.site(None)
        announcer = site._live.announcer
        session = site.makeSession()
        (event,) = self.heard.events
        said = event.kind, event.tag, event.createdAt
        self.assertEqual(said, (EventKind.CREATED, session.tag, session._createdAt))
        announcer.remove(self.heard)
        site.makeSession()
        self.assertEqual(announcer.counts["created"], 2)
        self.assertEqual(logged, [])

    def test_life(self):
        """
        The turns of a session's life are told, with a store and without.
        """
        for store in (self.store, None):
            site = self.site(store)
            session = self.saved(site, a=1)
            site._live.rotate(session)
            session.expire()
            late = self.saved(site, a=1)
            late.sessionTimeout = 10
            late.save()
            self.clock.advance(10)
            self.assertEqual(
                self.heard.told(),
                ["created", "rotated", "ended expire", "created", "expired idle"],
            )
            counts = site._live.announcer.counts
            self.assertEqual(
                {kind: count for kind, count in counts.items() if count},
                {"created": 2, "rotated": 1, "ended": 1, "expired": 1},
            )

    def test_tags(self):
        """
        They name the session by its tag, and say when it was made.
        """
        site = self.site(None)
        session = site.makeSession()
        tag = session.tag
        self.clock.advance(5)
        session.expire()
        made, ended = self.heard.events
        self.assertEqual((made.tag, made.at, made.createdAt), (tag, NOW, NOW))
        self.assertEqual((ended.tag, ended.at, ended.createdAt), (tag, NOW + 5, NOW))

    def test_byARequest(self):
        """
        A session that a request made is told of when it is kept, once, and not
        if it is not.
        """
        site = self.site(None)
        for keep in (True, False):
            site._live.isMaking = True
            session = site.makeSession()
            site._live.isMaking = False
            self.assertEqual(self.heard.told(), [])
            if keep:
                for _ in range(2):
                    self.successResultOf(session.save())
                self.assertEqual(self.heard.told(), ["created"])
            session.expire()
            self.assertEqual(self.heard.told(), ["ended expire"] if keep else [])

    def test_removeListener(self):
        """
        A site tells a listener nothing more that was removed.
        """
        site = self.site(None)
        site.removeSessionListener(self.heard)
        site.makeSession()
        self.assertEqual(self.heard.told(), [])
