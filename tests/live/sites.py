"""
Sites whose sessions are looked at from inside, without HTTP.

Owns what the tests of the live sessions share: a clock, a store that can be held,
processes that share it, and a look at all that is logged and told.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import SimpleNamespace

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.logger import eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from zope.interface import Interface, implementer

from tests.slowstore import SlowStore
from txsessions import Site
from txsessions.core.keyring import KeyRing
from txsessions.core.telling import SHORT, shortBy
from txsessions.core.uid import storeKeyOf
from txsessions.interfaces import ISessionListener
from txsessions.live.deadlines import deadlinesOf
from txsessions.stores.memory import MemoryStore

NOW = 1_700_000_000.0
"""When the tests begin."""

KEYS = KeyRing.random(lambda size: bytes(range(100, 100 + size)))
OTHER_KEYS = KeyRing.random(lambda size: bytes(range(200, 200 + size)))


class ICart(Interface):
    """
    What a component is asked for by.
    """


class IOther(Interface):
    """
    Another one.
    """


@implementer(ISessionListener)
class Listener:
    """
    Remembers what it hears.
    """

    def __init__(self):
        self.events = []

    def sessionEvent(self, event):
        """
        See L{ISessionListener.sessionEvent}.
        """
        self.events.append(event)

    def told(self):
        """
        The kinds of what was told since this was last asked, with the reasons.
        """
        told = [f"{event.kind.value} {event.reason}".strip() for event in self.events]
        del self.events[:]
        return told


class Waits:
    """
    Waits for a session to be saved.
    """

    def __init__(self):
        self.heard = []

    def sessionSaved(self):
        """
        See L{txsessions.live.waiting.Waiter}.
        """
        self.heard.append("saved")

    def sessionGone(self):
        """
        See L{txsessions.live.waiting.Waiter}.
        """
        self.heard.append("gone")

    def saveFailed(self, failure):
        """
        See L{txsessions.live.waiting.Waiter}.
        """
        self.heard.append(failure.type.__name__)


class Holds:
    """
    Stands for a request that holds a session.
    """

    def __init__(self, session):
        self.session = session
        self.exchange = SimpleNamespace(request=self)
        session._visits = {**(session._visits or {}), self.held: None}

    def held(self):
        """
        What a weak reference says.
        """
        return self

    def sessionEnded(self):
        """
        See L{txsessions.web.visit.Visit.sessionEnded}.
        """

    def release(self):
        """
        The request is over.
        """
        visits = self.session._visits
        if visits is not None and self.held in visits:
            del visits[self.held]
            if not visits:
                self.session._visits = None
                if self.session._entry is not None:
                    self.session._entry.released()


class LiveCase(SynchronousTestCase):
    """
    Has sites on one store, each as in a process of its own.

    @ivar clock: Their reactor.
    @ivar inner: The store.
    @ivar store: The first process's way to it.
    @ivar logged: The log, with all that its events hold.
    @cvar kind: Of what kind the ways to the store are.
    """

    kind = SlowStore

    def setUp(self):
        """
        Make the store.
        """
        self.clock = Clock()
        self.clock.advance(NOW)
        self.inner = MemoryStore()
        self.store = self.kind(self.inner)
        self.heard = Listener()
        self.logged = []
        self.drawn = set()
        globalLogPublisher.addObserver(self._note)
        self.addCleanup(self._nothingShown)

    def _note(self, event):
        """
        Remember what was logged.
        """
        self.logged.append(eventAsText(event) + repr(event))

    def _nothingShown(self):
        """
        No uid was logged.
        """
        globalLogPublisher.removeObserver(self._note)
        text = "".join(self.logged)
        shown = [uid for uid in self.drawn if uid in text]
        self.assertEqual(shown, [])

    def logs(self, part):
        """
        How often something was logged.
        """
        return sum(part in line for line in self.logged)

    def site(self, store=..., start=True, **options):
        """
        Make a site, and start it.

        @param store: A store; the one of all tests, if not given.
        """
        if store is ...:
            store = self.store
        if store is not None:
            options.setdefault("keys", KEYS)
        site = Site(Resource(), reactor=self.clock, store=store, **options)
        site.log = lambda request: None
        draw = site._mkuid

        def drawn():
            uid = draw()
            self.drawn.add(uid.decode("ascii"))
            return uid

        site._mkuid = site._live.draw = drawn
        site.addSessionListener(self.heard)
        if start:
            site.startFactory()
            self.addCleanup(site.stopFactory)
        return site

    def another(self, **options):
        """
        Make another process on the same store.
        """
        self.store.sharedWithOthers = True
        store = self.kind(self.inner)
        store.sharedWithOthers = True
        # The others go on with the store.
        store.close = lambda: succeed(None)
        site = self.site(store, **options)
        site.removeSessionListener(self.heard)
        site.heard = Listener()
        site.addSessionListener(site.heard)
        return site

    def saved(self, site, **namespaces):
        """
        A live session that the store has.
        """
        session = site.makeSession()
        session.sessionNamespaces.update(namespaces)
        self.successResultOf(session.save())
        return session

    def load(self, site, session):
        """
        Load a session by its uid, in whatever process.
        """
        return self.successResultOf(site.loadSession(session._uid))

    def restart(self, site, session):
        """
        Let a process end and another begin.

        @return: The session there.
        """
        self.successResultOf(site.closed())
        return self.load(self.another(), session)

    def telling(self, name, tell):
        """
        Let a verb of the store tell like this, by the short way.
        """
        asked = shortBy(tell)(lambda *args: self.fail("asked"))
        self.addCleanup(SHORT.pop, asked)
        self.patch(SlowStore, name, asked)

    def calls(self):
        """
        What the first process has asked of the store, but for the sweeper.
        """
        return [name for name in self.store.calls if name != "claimExpired"]

    def record(self, session, site=None):
        """
        What the store has of a session.
        """
        name = b"" if site is None else site._live.siteName
        slot = self.inner._slots.get(storeKeyOf(name, session._uid))
        return None if slot is None else slot.record

    def advance(self, seconds, step=None):
        """
        Let time pass, at once or in steps.
        """
        for _ in range(1 if step is None else int(seconds / step)):
            self.clock.advance(seconds if step is None else step)

    def ring(self):
        """
        Let everything happen that is due now.
        """
        while any(
            call.getTime() <= self.clock.seconds()
            for call in self.clock.getDelayedCalls()
        ):
            self.clock.advance(0)

    def scheduled(self):
        """
        The calls that the reactor has yet to make, but for Twisted's own.
        """
        calls = map(str, self.clock.getDelayedCalls())
        return [call for call in calls if "_updateLogDateTime" not in call]

    def timers(self):
        """
        How many things are watched until their deadline.
        """
        return deadlinesOf(self.clock).entries()


def living(kind) -> Iterator[object]:
    """
    The instances of a class that are not garbage.
    """
    gc.collect()
    return [item for item in gc.get_objects() if type(item) is kind]


__all__ = [
    "KEYS",
    "NOW",
    "OTHER_KEYS",
    "Holds",
    "ICart",
    "IOther",
    "Listener",
    "LiveCase",
    "Waits",
    "living",
]
