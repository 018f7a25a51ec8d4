"""
Tests of L{txsessions.live.watching}: the end of a session that is in memory here, by
another process.
"""

from __future__ import annotations

from tests.live.sites import Holds, LiveCase
from txsessions.errors import StoreUnavailable
from txsessions.live.watching import AT_ONCE
from txsessions.live.watching import WATCH_INTERVAL as INTERVAL


class WatchingTests(LiveCase):
    """
    A session that a request holds, as a page that streams does, in one process.
    """

    def setUp(self):
        """
        Have a session with a callback in one process, and in memory in another.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.held = Holds(self.session)
        self.ran = []
        self.process = self.another()
        self.other = self.load(self.process, self.session)
        self.heard.told()

    def note(self):
        """
        Be called at the end.
        """
        self.ran.append(self.clock.seconds())

    def endElsewhere(self):
        """
        End it in the other process.

        @return: When that was.
        """
        self.successResultOf(self.load(self.process, self.session).expire())
        return self.clock.seconds()

    def test_endedElsewhere(self):
        """
        Within ten seconds the callbacks are run, once, and it has ended here too.
        """
        self.session.notifyOnExpire(self.note)
        self.advance(130, 10)
        self.assertEqual(self.ran, [])
        ended = self.endElsewhere()
        self.advance(200, 1)
        (ran,) = self.ran
        self.assertLessEqual(ran, ended + INTERVAL)
        self.assertEqual(dict(self.live.sessions), {})
        self.assertEqual(self.heard.told(), ["ended elsewhere"])

    def test_registeredBefore(self):
        """
        So it is where the callback was there before the store had the session.
        """
        session = self.live.makeSession()
        Holds(session)
        session.notifyOnExpire(self.note)
        self.advance(100, 10)
        session["a"] = 1
        self.successResultOf(session.save())
        self.session = session
        ended = self.endElsewhere()
        self.advance(200, 1)
        (ran,) = self.ran
        self.assertLessEqual(ran, ended + INTERVAL)

    def test_backInMemory(self):
        """
        So it is where the callbacks have waited while the session was in the store
        only.
        """
        self.session.notifyOnExpire(self.note)
        self.held.release()
        self.advance(70, 10)
        self.assertEqual(dict(self.live.sessions), {})
        self.session = self.load(self.live, self.session)
        Holds(self.session)
        self.advance(70, 10)
        ended = self.endElsewhere()
        self.advance(200, 1)
        (ran,) = self.ran
        self.assertLessEqual(ran, ended + INTERVAL)

    def test_asks(self):
        """
        The store is asked each ten seconds, for no more than the version; not at all
        where nobody waits for the end, or nobody else has changed anything.
        """
        del self.store.calls[:]
        self.advance(300, 10)
        self.assertNotIn("load", self.store.calls)
        self.session.notifyOnExpire(self.note)
        self.session.notifyOnExpire(self.note)
        self.advance(300, 10)
        self.assertEqual(self.store.calls.count("load"), 300 // INTERVAL)
        self.store.sharedWithOthers = False
        self.load(self.live, self.session)
        del self.store.calls[:]
        self.advance(240, 10)
        self.assertNotIn("load", self.store.calls)

    def test_howOften(self):
        """
        The site says how often; not more than once a second, and as often as a touch
        is written, at least.
        """
        self.live.watchInterval = 0
        self.session.notifyOnExpire(self.note)
        del self.store.calls[:]
        self.advance(300, 1)
        self.assertEqual(self.store.calls.count("load"), 300)
        self.live.watchInterval = 1000
        del self.store.calls[:]
        self.advance(300, 1)
        self.assertLessEqual(self.store.calls.count("load"), 300 // 60 + 1)
        self.assertGreaterEqual(self.store.calls.count("load"), 300 // 60)

    def test_changedElsewhere(self):
        """
        What another process changes is read once, and no end.
        """
        asked = []
        load = self.inner.load

        def noted(key, now, known=None):
            asked.append(known)
            return load(key, now, known)

        self.session.notifyOnExpire(self.note)
        self.other["a"] = 2
        self.successResultOf(self.other.save())
        self.inner.load = noted
        self.advance(3 * INTERVAL, INTERVAL)
        self.assertEqual(asked, [1, 2, 2])
        self.assertEqual(self.ran, [])
        self.assertEqual(self.session["a"], 1)

    def test_changes(self):
        """
        A store that can tell whether others have changed anything is asked once after
        they have, and not again until they do.
        """
        self.session.notifyOnExpire(self.note)
        said = 1
        self.store.changes = lambda: said
        del self.store.calls[:]
        self.advance(5 * INTERVAL, INTERVAL)
        self.assertEqual(self.store.calls.count("load"), 1)
        said = 2
        self.store.down = StoreUnavailable("down")
        self.advance(2 * INTERVAL, INTERVAL)
        self.store.down = None
        self.advance(5 * INTERVAL, INTERVAL)
        self.assertEqual(self.store.calls.count("load"), 4)
        ended = self.endElsewhere()
        said = 3
        self.advance(INTERVAL, 1)
        (ran,) = self.ran
        self.assertLessEqual(ran, ended + INTERVAL)

    def test_bound(self):
        """
        A store that is slow is asked about so many sessions at a time; those that had
        to wait are asked about soon.
        """
        watched = [self.saved(self.live, a=1) for _ in range(AT_ONCE + 50)]
        for session in watched:
            Holds(session)
            session.notifyOnExpire(self.note)
        self.store.hold("load")
        self.advance(2 * INTERVAL, 1)
        self.assertEqual(len(self.store.pending), AT_ONCE)
        for session in watched:
            self.successResultOf(self.inner.delete(session._entry.key))
        self.store.pass_()
        self.assertEqual(len(self.ran), AT_ONCE)
        self.advance(2, 1)
        self.assertEqual(len(self.ran), len(watched))

    def test_takenBack(self):
        """
        Where the callbacks were taken away nobody asks any more.
        """
        self.session.notifyOnExpire(self.note)
        del self.session.expireCallbacks[:]
        self.advance(120, 10)
        del self.store.calls[:]
        self.advance(240, 10)
        self.assertNotIn("load", self.store.calls)

    def test_unknown(self):
        """
        A store that cannot tell ends nothing, and is asked again; that is nothing
        to tell of each time.
        """
        self.session.notifyOnExpire(self.note)
        ended = self.endElsewhere()
        self.store.down = StoreUnavailable("down")
        self.advance(2 * INTERVAL, INTERVAL / 4)
        self.assertEqual(self.ran, [])
        told = self.heard.told()
        self.store.down = None
        self.advance(INTERVAL, INTERVAL / 4)
        self.assertEqual(len(self.ran), 1)
        self.assertGreater(self.ran[0], ended)
        # The sweeper's own attempts.
        self.assertLessEqual(len(told), 2)

    def test_lateAnswer(self):
        """
        An answer that comes when the session has another id, or has ended, says
        nothing about it.
        """
        self.session.notifyOnExpire(self.note)
        for end in (False, True):
            self.store.hold("load")
            self.advance(INTERVAL)
            self.store.holding = frozenset()
            self.assertEqual(self.store.names(), ["load"])
            if end:
                self.successResultOf(self.session.expire())
                self.assertEqual(len(self.ran), 1)
            else:
                self.successResultOf(self.live._live.rotate(self.session))
            self.store.pass_()
            self.assertEqual(len(self.ran), end)

    def test_ends(self):
        """
        Nothing is asked after the end, and no timer is left.
        """
        self.session.notifyOnExpire(self.note)
        self.successResultOf(self.session.expire())
        del self.store.calls[:]
        self.advance(240, 10)
        self.assertNotIn("load", self.store.calls)
        self.successResultOf(self.process.closed())
        self.successResultOf(self.live.closed())
        self.assertEqual(self.scheduled(), [])

    def test_closing(self):
        """
        When the process ends callbacks are not run, and no timer is left.
        """
        self.session.notifyOnExpire(self.note)
        self.successResultOf(self.process.closed())
        self.successResultOf(self.live.closed())
        self.assertEqual(self.ran, [])
        self.assertEqual(self.scheduled(), [])


class OnceTests(LiveCase):
    """
    Several processes that have the same session in memory when it runs out.
    """

    def setUp(self):
        """
        Have three of them.
        """
        super().setUp()
        self.sites = [self.site(), self.another(), self.another()]
        self.heards = [self.heard, self.sites[1].heard, self.sites[2].heard]
        self.ran = []

    def together(self, **limits):
        """
        Have all hold a session with these limits, each with a callback.
        """
        self.session = session = self.saved(self.sites[0], a=1)
        for name, value in limits.items():
            setattr(session, name, value)
        self.successResultOf(session.save())
        held = [session, *(self.load(site, session) for site in self.sites[1:])]
        for number, each in enumerate(held):
            Holds(each)
            each.notifyOnExpire(lambda number=number: self.ran.append(number))
        for heard in self.heards:
            heard.told()

    def told(self):
        """
        What all processes have told, but for what is only about themselves.
        """
        told = [each for heard in self.heards for each in heard.told()]
        return [each for each in told if each != "ended elsewhere"]

    def test_lifetime(self):
        """
        One process tells, and the callbacks of each are run at once.
        """
        self.together(sessionLifetime=100)
        self.advance(100, 10)
        self.assertEqual(sorted(self.ran), [0, 1, 2])
        self.assertEqual(self.told(), ["expired lifetime"])
        self.assertIs(self.record(self.session), None)
        self.advance(300, 10)
        self.assertEqual(self.told(), [])

    def test_idle(self):
        """
        So it is with the other limit, also where all ask the store at once, and
        hear from it that nobody has touched the session.
        """
        self.together(sessionTimeout=30)
        stores = [site._live.store for site in self.sites]
        for store in stores:
            store.hold("load", "delete")
        self.clock.advance(30)
        for _ in range(4):
            for store in stores:
                store.release()
        for store in stores:
            store.pass_()
        self.assertEqual(sorted(self.ran), [0, 1, 2])
        self.assertEqual(self.told(), ["expired idle"])
        self.advance(300, 10)
        self.assertEqual(self.told(), [])
        self.assertIs(self.record(self.session), None)

    def test_unknown(self):
        """
        Where the deletion's outcome is unknown, it is told: rather twice than never.
        """
        self.together(sessionTimeout=30)
        for site in self.sites[1:]:
            self.successResultOf(site.closed())
        self.store.sharedWithOthers = True
        self.store.hold("delete")
        self.clock.advance(30)
        self.assertEqual(self.told(), [])
        self.store.fail(StoreUnavailable("late"), done=True)
        self.assertEqual(self.told(), ["expired idle"])
        self.store.pass_()
        self.advance(300, 10)
        self.assertEqual(self.told(), [])

    def test_swept(self):
        """
        One that is swept while it is in memory is told once, with what was in it.
        """
        self.together()
        for site in self.sites:
            for session in site.sessions.values():
                session._expireCall.cancel()
        self.advance(1300, 10)
        self.assertEqual(sorted(self.ran), [0, 1, 2])
        self.assertEqual(self.told(), ["expired idle"])

    def test_ownExpire(self):
        """
        So it is where an application has an C{expire} of its own.
        """
        from txsessions import Session

        class Own(Session):
            def expire(self):
                return super().expire()

        for site in self.sites:
            site.sessionFactory = Own
        self.together(sessionLifetime=100)
        self.advance(100, 10)
        self.assertEqual(sorted(self.ran), [0, 1, 2])
        self.assertEqual(self.told(), ["expired lifetime"])
