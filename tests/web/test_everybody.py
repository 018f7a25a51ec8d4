"""
The end of everybody's sessions.
"""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET

from tests.slowstore import SlowStore
from tests.web.pages import OUTAGE
from tests.web.test_principals import Heard, PrincipalCase
from txsessions import SignInLimit
from txsessions.core.keyring import KeyRing, RootKey
from txsessions.errors import StoreUnavailable
from txsessions.live import principals
from txsessions.live.events import EventKind
from txsessions.live.watching import AT_ONCE, WATCH_INTERVAL


class EverybodyTests(PrincipalCase):
    """
    With a store.
    """

    def everybody(self, site=None):
        """
        End them.
        """
        done = (site or self.site).endEverybody()
        self.assertIsNone(self.successResultOf(done))

    def test_all(self):
        """
        All who are signed in are out, in every process and at once, and nobody else
        notices; whoever signs in afterwards is in.
        """
        names = ("ann", "bob", "carl")
        clients = [self.enter(who, site) for who in names for site in self.sites]
        visitor, heard = self.visitor(), Heard()
        self.site.addSessionListener(heard)
        self.everybody()
        self.assertEqual(self.who(*clients), ["nobody"] * 6)
        self.assertEqual(visitor.fetch("/count").body, b"count 2")
        self.assertEqual([self.handles(who) for who in names], [[]] * 3)
        self.assertEqual(self.who(self.enter(), self.enter("bob")), ["ann", "bob"])
        told = [e for e in heard.events if e.kind is EventKind.EVERYBODY_ENDED]
        self.assertEqual([(e.tag, e.principal) for e in told], [("", None)])
        ended = [e.reason for e in heard.events if e.kind is EventKind.ENDED]
        self.assertEqual(ended, ["elsewhere"] * 3)

    def test_notAsked(self):
        """
        However many are in memory, ending them is one call of the store, and for those
        of whose end nobody wants to hear none follows.
        """
        for _ in range(20):
            self.enter()
        del self.store.calls[:]
        self.everybody()
        self.clock.advance(0)
        self.assertEqual(self.store.calls, ["endEverybody"])

    def hearing(self, count):
        """
        Browsers on which somebody is signed in, whose pages hear of the end.

        @return: Who has heard: the numbers.
        """
        ends = []

        def page(request):
            number = int(request.args[b"number"][0])
            request.getSession().notifyOnExpire(lambda: ends.append(number))
            return b""

        self.page(page)
        for number in range(count):
            self.enter(f"user{number}").fetch(f"/page?number={number}")
        return ends

    def test_callbacks(self):
        """
        Who waits for the end of a session here learns of it without a request, and at
        once; elsewhere when the store is asked the next time.
        """
        for site, wait in ((self.site, 0), (self.there, WATCH_INTERVAL)):
            ends = self.hearing(3)
            self.everybody(site)
            if wait:
                self.clock.advance(wait - 0.1)
                self.assertLess(len(ends), 3)
            self.clock.advance(min(wait, 0.1))
            self.assertEqual(sorted(ends), [0, 1, 2])

    def test_manyCallbacks(self):
        """
        Where they are many the store is asked about a bounded number at a time, and the
        reactor is not held up.
        """
        count = 2 * AT_ONCE + 50
        ends = self.hearing(count)
        self.store.hold("load")
        self.everybody()
        watches, now = self.site._live.watching._watches.values(), self.clock.seconds()
        self.assertEqual(sum(watch._due <= now for watch in watches), AT_ONCE)
        (*_, last) = watches
        self.site._live.leave(last.entry.session)
        self.turn(9)
        self.assertEqual(len(self.store.pending), AT_ONCE)
        self.store.pass_()
        for _ in range(9):
            self.clock.advance(0.5)
        self.assertEqual(sorted(ends), list(range(count - 1)))
        self.assertIsNone(last._due, "what has left memory is not looked after")

    def test_streams(self):
        """
        Streams that belong to a session are cut with it, in both processes, and that of
        a visitor goes on.
        """

        def page(request):
            request.getSession().closes(request)
            request.write(b"begin")
            return NOT_DONE_YET

        self.page(page)
        browsers = [self.enter(), self.enter("bob"), self.visitor()]
        streams = []
        for site in self.sites:
            for browser in browsers:
                stream = self.client(jar=browser.jar, site=site)
                stream.send("/page")
                streams.append(stream)
        self.everybody()
        self.clock.advance(0)
        cut = [each.wire.aborted for each in streams]
        self.assertEqual(cut, [True, True, False, False, False, False])
        self.clock.advance(WATCH_INTERVAL)
        cut = [each.wire.aborted for each in streams]
        self.assertEqual(cut, [True, True, False] * 2)
        for stream in streams:
            stream.leave()

    def test_running(self):
        """
        A request that runs meanwhile brings nothing back, in either process.
        """
        for site in self.sites:
            client = self.enter(site=site)
            client.send("/wait")
            request, session = self.waiting.pop()
            self.everybody(self.there)
            session["more"] = 1
            self.finish(request)
            self.assertFalse(client.answer().sets)
            self.assertEqual(self.who(client), ["nobody"])
            self.assertEqual(self.handles(), [])

    def test_justMade(self):
        """
        A sign-in that the store had before the end, and of which its process hears only
        afterwards, does not live on there.
        """
        for shared in (True, False):
            client = self.client()
            self.store.late = True
            self.store.hold("insert")
            client.send("/in")
            self.store.sharedWithOthers = shared
            self.everybody(self.there)
            self.store.pass_()
            client.answer()
            self.assertEqual(self.who(client), ["nobody"])

    def test_outage(self):
        """
        A store that fails is told of, nothing is called done, and it may be called
        again, whether the store had done it or not.
        """
        heard = Heard()
        self.site.addSessionListener(heard)
        for done in (False, True):
            client, ends = self.enter(), self.hearing(1)
            self.store.hold("endEverybody")
            ended = self.site.endEverybody()
            self.assertNoResult(ended)
            self.store.fail(OUTAGE, done=done)
            self.failureResultOf(ended, StoreUnavailable)
            self.clock.advance(0)
            self.assertEqual(ends, [])
            kinds = [each.kind for each in heard.events]
            self.assertNotIn(EventKind.EVERYBODY_ENDED, kinds)
            self.store.pass_()
            self.everybody()
            self.clock.advance(0)
            self.assertEqual(self.who(client), ["nobody"])
            self.assertEqual(ends, [0])
            del heard.events[:]

    def process(self, holding=(), **how):
        """
        A site of one more process, by another configuration.

        @param holding: What its store is not to answer yet.
        """
        slow = SlowStore(self.store.inner)
        slow.holding = frozenset(holding)
        slow.sharedWithOthers = True
        self.stores.append(slow)
        site = self.serve(self.root, store=slow, **{"keys": self.keys, **how})
        site.slow = slow
        return site

    def test_keys(self):
        """
        While keys change those end who signed in under any of them; if the store fails
        in between, it is not done.
        """
        more = RootKey(secret=os.urandom(32))
        ring = KeyRing(active=more, others=(self.keys.active,))
        after = self.process(keys=ring)
        for failing in (True, False):
            clients = [self.enter(), self.enter("bob", site=after)]
            self.assertEqual(len(self.handles(site=after)), 1)
            after.slow.hold("endEverybody")
            ended = after.endEverybody()
            after.slow.release(1)
            self.assertEqual(after.slow.names(), ["endEverybody"])
            self.assertNoResult(ended)
            if failing:
                after.slow.fail(OUTAGE)
                self.failureResultOf(ended, StoreUnavailable)
            after.slow.pass_()
            if failing:
                self.everybody(after)
            self.assertEqual(self.who(*clients), ["nobody"] * 2)

    def test_anotherSite(self):
        """
        Sites of other names on the same store are left alone.
        """
        other = self.process(siteName=b"other")
        client, theirs = self.enter(), self.enter(site=other)
        self.everybody()
        self.assertEqual(self.who(client, theirs), ["nobody", "ann"])
        client = self.enter()
        self.everybody(other)
        self.assertEqual(self.who(client, theirs), ["ann", "nobody"])

    def test_otherCalls(self):
        """
        Beside it the other calls do what they do: those who have ended count for no
        limit, are ended no more, are erased, and fit.
        """
        for site in self.sites:
            site.signInLimit = SignInLimit(most=1, refuses=True)
        for turn in range(3):
            client = self.enter()
            self.assertEqual(self.who(client), ["ann"])
            self.everybody(self.sites[turn % 2])
            ended = self.site.endPrincipal("ann")
            self.assertEqual(self.successResultOf(ended), 0)
        last = self.enter()
        misfits = self.site.verifyPrincipals()
        self.assertEqual(self.successResultOf(misfits), 0)
        self.assertEqual(self.who(last), ["ann"])
        erased = self.site.erasePrincipal("ann")
        self.assertEqual(self.successResultOf(erased), 4)
        client = self.enter()
        self.everybody()
        self.assertEqual(self.who(client, last), ["nobody"] * 2)

    def test_newIds(self):
        """
        An id that was given up leads to nothing either, nor does the one that took its
        place.
        """
        client = self.enter()
        before = self.twin(client)
        client.fetch("/in?level=2")
        after = self.twin(client, site=self.there)
        self.everybody(self.there)
        self.assertEqual(self.who(before, client, after), ["nobody"] * 3)

    def test_notOpenYet(self):
        """
        A process that has just begun waits for its store.
        """
        client = self.enter()
        site = self.process(holding=["open"])
        ended = site.endEverybody()
        self.assertNoResult(ended)
        self.assertEqual(self.who(client), ["ann"])
        site.slow.pass_()
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(self.who(client), ["nobody"])


class WithoutAStoreTests(PrincipalCase):
    """
    A site whose sessions live in this process.
    """

    def begin(self):
        """
        Serve without a store.
        """
        self.serve(self.root, store=None)

    def test_all(self):
        """
        Those of this process end, and visitors stay.
        """
        clients, visitor = [self.enter(), self.enter("bob")], self.visitor()
        heard = Heard()
        self.site.addSessionListener(heard)
        self.assertIsNone(self.successResultOf(self.site.endEverybody()))
        self.assertEqual(self.who(*clients), ["nobody"] * 2)
        self.assertEqual(visitor.fetch("/count").body, b"count 2")
        self.assertEqual(self.who(self.enter()), ["ann"])
        told = [(e.kind.value, e.reason) for e in heard.events[:3]]
        ended = ("ended", "everybody")
        self.assertEqual(told, [ended, ended, ("everybody-ended", "")])

    def test_inTurns(self):
        """
        Many end in several turns of the reactor; whoever signs in meanwhile stays in.
        """
        turns = []

        def later(reactor, delay):
            self.assertIs(reactor, self.clock)
            turns.append(Deferred())
            return turns[-1]

        self.patch(principals, "AT_ONCE", -1)
        self.patch(principals, "deferLater", later)
        clients = [self.enter(f"user{number}") for number in range(5)]
        done = self.site.endEverybody()
        turns[0].callback(None)
        self.assertNoResult(done)
        self.assertEqual(self.who(*clients[:3]), ["nobody", "nobody", "user2"])
        clients[4].fetch("/in?who=user4&level=2")
        late = self.enter("late")
        for number in (1, 2, 3):
            turns[number].callback(None)
        self.assertIsNone(self.successResultOf(done))
        found = self.who(*clients, late)
        self.assertEqual(found, ["nobody"] * 4 + ["user4", "late"])
