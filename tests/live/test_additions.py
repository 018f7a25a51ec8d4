"""
Tests of L{txsessions.live.additions}: what a session has beyond Twisted's.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.web import server

from tests.live.sites import LiveCase
from txsessions import Session
from txsessions.core.record import tagOf
from txsessions.errors import (
    CannotBeKept,
    ConfigurationError,
    ResponseStarted,
    SessionGone,
    SessionStale,
    SessionTooLarge,
    StoreUnavailable,
)
from txsessions.live.additions import Offered
from txsessions.live.callbacks import MAX_CALLBACKS

NAMES = (
    "authenticatedAt",
    "csrfToken",
    "flash",
    "isNew",
    "level",
    "login",
    "logout",
    "principal",
    "requireFresh",
    "rotate",
    "save",
    "tag",
    "takeFlashes",
)


class Request:
    """
    What a request does when a session gets a new uid.
    """

    started = False

    def __init__(self):
        self.rotated = []

    def _sessionRotates(self, session):
        """
        See L{txsessions.web.request.SessionRequest._sessionRotates}.
        """
        if self.started:
            raise ResponseStarted
        self.rotated.append(session)
        return True


class Taken(server.Session):
    """
    A class that uses all the names itself.
    """

    tag = "mine"
    principal = level = authenticatedAt = None

    def save(self):
        """
        Its own.
        """
        raise AssertionError

    rotate = login = logout = requireFresh = save

    @property
    def isNew(self):
        """
        Its own.
        """
        raise AssertionError


class NameTests(LiveCase):
    """
    The new names.
    """

    def test_tag(self):
        """
        The tag is made of the store key; a session without a site has none.
        """
        session = self.saved(self.site(), a=1)
        self.assertEqual(session.tag, tagOf(self.record(session).key))
        self.assertEqual(Session(None, b"0", Clock()).tag, "")
        self.assertIsInstance(Session.tag, Offered)
        self.assertIn("hexadecimal", Session.tag.__doc__)

    def test_tagCannotBeFound(self):
        """
        It says nothing about the uid, and sites have different ones.
        """
        session = self.site().makeSession()
        other = self.site(siteName=b"other").makeSession()
        other.uid = session.uid
        self.assertNotEqual(session.tag, other.tag)
        self.assertNotIn(session.tag.encode(), session.uid)

    def test_isNew(self):
        """
        A session that was made by hand or loaded is not new.
        """
        session = self.saved(self.site(), a=1)
        self.assertIs(session.isNew, False)
        self.assertIs(self.load(self.another(), session).isNew, False)

    def test_giveWay(self):
        """
        An application's own attributes of the same names are its own, and kept
        like any other; nothing of ours stumbles over them.
        """
        site = self.site()
        session = site.makeSession()
        for name in NAMES:
            setattr(session, name, f"mine: {name}")
        session["a"] = 1
        Session.save(session)
        repr(session)
        for _ in range(MAX_CALLBACKS + 1):
            session.notifyOnExpire(lambda: None)
        process = self.another()
        other = self.load(process, session)
        for name in NAMES:
            self.assertEqual(getattr(other, name), f"mine: {name}")
        other["b"] = object()
        self.assertTrue(Session.save(other).called)
        other["b"] = "\ud800"
        self.failureResultOf(Session.save(other), CannotBeKept)
        self.assertRaises(SessionStale, Session.save, other)
        self.successResultOf(Session.rotate(session, Request()))
        self.successResultOf(session.expire())

    def test_giveWayInClasses(self):
        """
        So it is with a class that has them.
        """
        site = self.site()
        site.sessionFactory = Taken
        session = site.makeSession()
        session["a"] = 1
        self.assertEqual(session.tag, "mine")
        self.assertRegex(repr(session), "^<Taken [0-9a-f]{16}>$")
        self.clock.advance(61)
        self.assertEqual(dict(site.sessions), {})
        process = self.another()
        process.sessionFactory = Taken
        other = self.load(process, session)
        self.assertEqual(other["a"], 1)
        self.successResultOf(other.expire())

    def test_subscription(self):
        """
        C{session["name"]} is short for its namespaces.
        """
        session = self.site().makeSession()
        self.assertNotIn("a", session)
        session["a"] = 1
        session["b"] = 2
        self.assertEqual(session.sessionNamespaces, {"a": 1, "b": 2})
        self.assertIn("a", session)
        self.assertEqual(list(session), ["a", "b"])
        del session["b"]
        self.assertEqual(session["a"], 1)
        self.assertRaises(KeyError, lambda: session["b"])
        self.assertTrue(session)


class SaveTests(LiveCase):
    """
    C{session.save()}.
    """

    def test_outside(self):
        """
        What code changes outside a request is saved, and only what it changed.
        """
        site = self.site()
        session = site.makeSession()
        session["cart"] = {"pears": [1, {"deep": {"deeper": 2}}]}
        self.successResultOf(session.save())
        self.assertEqual(self.store.calls, ["open", "insert"])
        self.successResultOf(session.save())
        self.assertEqual(self.store.calls, ["open", "insert"])
        session["cart"]["pears"][1]["deep"]["deeper"] = 3
        self.successResultOf(session.save())
        self.assertEqual(self.store.calls, ["open", "insert", "replace"])
        other = self.load(self.another(), session)
        self.assertEqual(other["cart"], {"pears": [1, {"deep": {"deeper": 3}}]})

    def test_empty(self):
        """
        An empty session is saved if that is asked for.
        """
        session = self.site().makeSession()
        self.successResultOf(session.save())
        self.assertTrue(self.record(session))

    def test_waits(self):
        """
        It fires when the store has acknowledged.
        """
        session = self.site().makeSession()
        session["a"] = 1
        self.store.hold()
        saved = session.save()
        self.assertNoResult(saved)
        self.store.release()
        self.successResultOf(saved)

    def test_ignored(self):
        """
        What comes of it may be ignored, whatever it is.
        """
        session = self.site().makeSession()
        session["a"] = "\ud800"
        session.save()
        self.flushLoggedErrors(AssertionError)

    def test_ended(self):
        """
        A session that has ended cannot be saved.
        """
        session = self.saved(self.site(), a=1)
        session.expire()
        session["a"] = 2
        self.failureResultOf(session.save(), SessionGone)
        self.assertIs(self.record(session), None)

    def test_endsMeanwhile(self):
        """
        Nor one that ends before it is saved.
        """
        session = self.saved(self.site(), a=1)
        self.store.hold()
        session["a"] = 2
        first = session.save()
        session["a"] = 3
        second = session.save()
        session.expire()
        self.store.pass_()
        self.successResultOf(first)
        self.failureResultOf(second, SessionGone)
        self.assertIs(self.record(session), None)

    def test_cannotBeKept(self):
        """
        State that cannot be kept fails it, and drops the object: the store has
        what it had.
        """
        site = self.site()
        for bad, error in (
            ("\ud800", CannotBeKept),
            ("x" * 70_000, SessionTooLarge),
        ):
            session = self.saved(site, a=1)
            session["a"] = bad
            failure = self.failureResultOf(session.save(), error)
            self.assertNotIn(session._uid.decode(), str(failure))
            self.assertRaises(SessionStale, session.save)
            self.assertRaises(SessionStale, session.rotate, Request())
            self.assertRaises(SessionStale, session.touch)
            self.assertNotIn(session._uid, site.sessions)
            again = self.load(site, session)
            self.assertIsNot(again, session)
            self.assertEqual(again["a"], 1)

    def test_unavailable(self):
        """
        A store that does not answer fails it, and drops the object.
        """
        site = self.site()
        session = self.saved(site, a=1)
        self.store.down = StoreUnavailable("it is down")
        session["a"] = 2
        self.heard.told()
        self.failureResultOf(session.save(), StoreUnavailable)
        self.assertEqual(self.heard.told(), ["unavailable it is down"])
        self.assertRaises(SessionStale, session.save)
        self.store.down = None
        self.assertEqual(self.load(site, session)["a"], 1)

    def test_withoutAStore(self):
        """
        Without a store or a site there is nothing to do.
        """
        session = self.site(None).makeSession()
        self.successResultOf(session.save())
        self.successResultOf(Session(None, b"0", Clock()).save())


class RotateTests(LiveCase):
    """
    C{session.rotate(request)}.
    """

    def test_rotate(self):
        """
        The session has a new uid and the same state, and the old uid is dead.
        """
        site = self.site()
        session = self.saved(site, a=1)
        old, record = session._uid, self.record(session)
        request = Request()
        self.heard.told()
        self.successResultOf(session.rotate(request))
        self.assertEqual(request.rotated, [session])
        self.assertNotEqual(session._uid, old)
        self.assertEqual(self.heard.told(), ["rotated"])
        for process in (site, self.another()):
            self.assertIs(self.successResultOf(process.loadSession(old)), None)
            self.assertEqual(self.load(process, session)["a"], 1)
        self.assertIs(self.record(session).createdAt, record.createdAt)
        self.assertIs(site._live.isRotated(old), True)

    def test_twice(self):
        """
        Twice at once leaves one uid.
        """
        site = self.site()
        session = self.saved(site, a=1)
        uids = [session._uid]
        self.store.hold()
        done = []
        for _ in range(2):
            done.append(session.rotate(Request()))
            uids.append(session._uid)
        self.store.pass_()
        for one in done:
            self.successResultOf(one)
        process = self.another()
        found = [self.successResultOf(process.loadSession(uid)) for uid in uids]
        self.assertEqual([bool(one) for one in found], [False, False, True])
        live = [slot for slot in self.inner._slots.values() if slot.record]
        self.assertEqual(len(live), 1)

    def test_whileItIsBeingStored(self):
        """
        A session that is on its way to the store gets there under one uid only.
        """
        site = self.site()
        session = site.makeSession()
        session["a"] = 1
        self.store.hold()
        saved = session.save()
        rotated = session.rotate(Request())
        self.assertNoResult(rotated)
        self.store.pass_()
        self.successResultOf(saved)
        self.successResultOf(rotated)
        self.assertEqual(self.store.calls[1:], ["insert", "rename"])
        self.assertEqual(self.load(self.another(), session)["a"], 1)

    def test_new(self):
        """
        One that the store does not have just gets another uid.
        """
        session = self.site().makeSession()
        old = session._uid
        self.successResultOf(session.rotate(Request()))
        self.assertNotEqual(session._uid, old)
        self.assertEqual(self.store.calls, ["open"])

    def test_withoutAStore(self):
        """
        Without a store it works too.
        """
        site = self.site(None)
        session = site.makeSession()
        old = session._uid
        self.successResultOf(session.rotate(Request()))
        self.assertNotIn(old, site.sessions)
        self.assertIs(site.getSession(session._uid), session)
        self.assertIn("rotated", self.heard.told())
        self.assertTrue(site._live.isRotated(old))
        self.clock.advance(60)
        self.assertFalse(site._live.isRotated(old))

    def test_started(self):
        """
        Once the headers are out nothing changes.
        """
        session = self.saved(self.site(), a=1)
        old = session._uid
        request = Request()
        request.started = True
        self.assertRaises(ResponseStarted, session.rotate, request)
        self.assertEqual(session._uid, old)
        self.assertEqual(self.store.calls, ["open", "insert"])

    def test_wrongRequest(self):
        """
        It takes a request and a session of ours.
        """
        session = self.site().makeSession()
        self.assertRaises(ConfigurationError, session.rotate, object())
        alone = Session(None, b"0", Clock())
        self.assertRaises(ConfigurationError, alone.rotate, Request())

    def test_ended(self):
        """
        A session that has ended gets no uid, and no cookie.
        """
        session = self.saved(self.site(), a=1)
        session.expire()
        request = Request()
        self.failureResultOf(session.rotate(request), SessionGone)
        self.assertEqual(request.rotated, [])

    def test_collision(self):
        """
        A uid that the store has already is not taken: another one is drawn.
        """
        site = self.site()
        other = self.saved(self.another(), a="other")
        session = self.saved(site, a=1)
        taken = bytes.fromhex(other._uid.decode())
        entropy = [taken, taken, bytes(range(32))]
        site._entropy = lambda size: entropy.pop(0)
        self.successResultOf(session.rotate(Request()))
        self.assertEqual(entropy, [])
        self.assertEqual(session._uid, bytes(range(32)).hex().encode())
        process = self.another()
        self.assertEqual(self.load(process, other)["a"], "other")
        self.assertEqual(self.load(process, session)["a"], 1)
