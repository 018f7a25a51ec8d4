"""
Tests of L{txsessions.live.sessions}: what C{site.sessions} is.
"""

from __future__ import annotations

import pickle

from twisted.internet.task import Clock
from twisted.web.resource import Resource

from tests.live.sites import KEYS, LiveCase
from txsessions import Session, Site
from txsessions.errors import ConfigurationError
from txsessions.live.phases import ENDED
from txsessions.stores.memory import MemoryStore


class RemovalTests(LiveCase):
    """
    A session that is taken out of C{site.sessions} by hand has ended.
    """

    def each(self):
        """
        A session of a site with a store, and one without.
        """
        for store in (self.store, None):
            site = self.site(store)
            session = self.saved(site, a=1)
            self.heard.told()
            self.ran = []
            session.notifyOnExpire(lambda: self.ran.append(1))
            yield site, session
            self.assertEqual(session._phase, ENDED)
            self.assertEqual(dict(site.sessions), {})
            self.assertEqual(self.heard.told(), ["ended expire"])
            self.assertEqual(self.ran, [1])
            self.assertIs(self.record(session), None)
            self.assertIs(self.load(site, session), None)
            self.successResultOf(session.expire())
            self.assertEqual(self.ran, [1])
            self.assertEqual(self.timers(), 0)

    def test_del(self):
        """
        By C{del}.
        """
        for site, session in self.each():
            del site.sessions[session._uid]

    def test_pop(self):
        """
        By C{pop}.
        """
        for site, session in self.each():
            self.assertIs(site.sessions.pop(session._uid), session)

    def test_popDefault(self):
        """
        By C{pop} with a default.
        """
        for site, session in self.each():
            self.assertIs(site.sessions.pop(session._uid, None), session)
            self.assertIs(site.sessions.pop(session._uid, 5), 5)

    def test_popitem(self):
        """
        By C{popitem}.
        """
        for site, session in self.each():
            self.assertEqual(site.sessions.popitem(), (session._uid, session))

    def test_clear(self):
        """
        By C{clear}.
        """
        for site, _ in self.each():
            site.sessions.clear()

    def test_clearAll(self):
        """
        That ends all of them.
        """
        site = self.site()
        sessions = [self.saved(site, a=1) for _ in range(5)]
        site.sessions.clear()
        self.assertEqual({session._phase for session in sessions}, {ENDED})

    def test_replaced(self):
        """
        By another session in its place.
        """
        for site, session in self.each():
            other = Session(site, session._uid)
            site.sessions[session._uid] = other
            self.assertIs(site.sessions[session._uid], other)
            site._live.leave(other)


class DictTests(LiveCase):
    """
    It is a dict, and does not show its keys.
    """

    def test_errors(self):
        """
        No error shows a uid.
        """
        sessions = self.site().sessions
        uid = b"ab" * 32

        def delete():
            del sessions[uid]

        for use in (lambda: sessions[uid], lambda: sessions.pop(uid), delete):
            error = self.assertRaises(KeyError, use)
            self.assertEqual(error.args, ("no live session has this uid",))

    def test_repr(self):
        """
        Nor does it itself.
        """
        site = self.site()
        session = site.makeSession()
        self.assertNotIn(session._uid.decode(), repr(site.sessions))

    def test_dict(self):
        """
        Otherwise it is a dict.
        """
        site = self.site()
        session = site.makeSession()
        sessions = site.sessions
        self.assertEqual(sessions, {session._uid: session})
        self.assertEqual(len(sessions), 1)
        self.assertIn(session._uid, sessions)
        self.assertEqual(list(sessions.values()), [session])
        self.assertIs(sessions.get(b"x"), None)
        sessions[session._uid] = session
        self.assertNotEqual(session._phase, ENDED)

    def test_strangers(self):
        """
        What is no session can be put into it and taken out, as tests of
        applications do.
        """
        sessions = self.site().sessions
        sessions[b"x"] = "stranger"
        self.assertEqual(sessions.pop(b"x"), "stranger")


class PickleTests(LiveCase):
    """
    A pickle of a site.
    """

    def test_drops(self):
        """
        Its sessions do not go with it; the copy works, with sessions of its
        own.
        """
        site = Site(Resource(), reactor=Clock(), siteName=b"shop")
        session = site.makeSession()
        uid = session.uid
        session._expireCall.cancel()
        data = pickle.dumps(site)
        self.assertNotIn(uid, data)
        copy = pickle.loads(data)
        self.assertEqual(copy.sessions, {})
        session = copy.makeSession()
        self.assertIs(copy.getSession(session._uid), session)
        self.assertIs(copy._live.sessions, copy.sessions)
        self.assertEqual(copy._live.siteName, b"shop")
        self.assertRaises(KeyError, copy.getSession, uid)

    def test_store(self):
        """
        Nor do its keys: the copy has its store by the address, and there is
        none if it was given as an object, or the keys were.
        """
        path = self.mktemp()
        site = Site(Resource(), reactor=Clock(), store=f"sqlite:{path}")
        copy = pickle.loads(pickle.dumps(site))
        self.assertIn(path, copy._live.store.address)
        for options in (
            {"store": MemoryStore()},
            {"store": f"sqlite:{path}", "keys": KEYS},
        ):
            site = Site(Resource(), reactor=Clock(), **options)
            self.assertEqual(site.__getstate__()["sessions"], {})
            data = pickle.dumps(site)
            self.assertNotIn(KEYS.active.secret, data)
            error = self.assertRaises(ConfigurationError, pickle.loads, data)
            self.assertIn("address", str(error))
