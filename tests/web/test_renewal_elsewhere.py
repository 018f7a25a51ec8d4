"""
New ids in time where several processes share the sessions: each goes on with what
another has renewed, and each knows the old ids.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.slowstore import SlowStore
from tests.web.pages import OUTAGE
from tests.web.renewing import GRACE, INTERVAL, WATCH, ElsewhereCase
from txsessions import Renewal
from txsessions.core.keyring import KeyRing, RootKey
from txsessions.errors import SessionGone, TransactionTooLong
from txsessions.live.events import EventKind


class LedElsewhereTests(ElsewhereCase):
    """
    Old ids, in another process than that which has renewed them.
    """

    def test_led(self):
        """
        Whoever comes with the old one is told the same new one there too.
        """
        client, old = self.renewed(confirmed=False)
        answer = self.asked(old, site=self.there, path="/count")
        self.assertEqual((answer.body, answer.sets), (b"count 2", True))
        self.assertEqual(f"sid={answer.cookie.value}", self.cookieOf(client))
        self.assertEqual(client.fetch("/look").body, b"nobody 0 2")

    def test_confirmedThere(self):
        """
        It is confirmed in whatever process, for all of them.
        """
        client, old = self.renewed("/count", confirmed=False)
        self.assertEqual(self.seen(self.twin(client, site=self.there)), b"nobody 0 1")
        for site in (self.site, self.there):
            answer = self.asked(old, site=site)
            self.assertEqual((answer.body, answer.cookie), (b"nobody 0 1", None))
            answer = self.asked(old, site=site, path="/count")
            self.assertEqual(answer.code, 307)
        self.clock.advance(GRACE)
        for site in (self.there, self.site):
            self.assertEqual(self.asked(old, site=site).body, b"nobody 0 0")
        self.assertEqual(len({event.tag for event in self.told()}), 1)
        self.assertEqual(self.seen(client), b"nobody 0 1")

    def test_confirmedMeanwhile(self):
        """
        A page that began before somebody came with the new id gives it out no more
        when it is known that somebody has.
        """
        client, old = self.renewed("/count", confirmed=False)
        led = self.client(site=self.there)
        led.send("/wait", headers=(f"Cookie: {old}",), cookies=False)
        request, session = self.waiting.pop()
        client.fetch("/look")
        self.assertEqual(self.asked(old, site=self.there).body, b"nobody 0 1")
        session["count"] = 5
        self.finish(request, b"led")
        answer = led.answer()
        self.assertEqual((answer.body, answer.cookie), (b"led", None))
        self.assertEqual(client.fetch("/look").body, b"nobody 0 5")

    def test_logoutThere(self):
        """
        A logout by an old id ends the session for all of them.
        """
        for confirmed in (False, True):
            client, old = self.renewed("/in", confirmed=confirmed)
            self.assertTrue(self.asked(old, site=self.there, path="/out").deletes)
            self.assertEqual(self.seen(client), b"nobody 0 0")
            self.assertEqual(self.stored(), 0)

    def test_restart(self):
        """
        A process that has just begun knows all of that.
        """
        _, first = self.renewed("/in", confirmed=False)
        reads, second = self.renewed("/in")
        for site in list(self.sites):
            site.stopFactory()
        again = self.serveElsewhere(self.root)
        self.assertTrue(self.asked(first, site=again).sets)
        answer = self.asked(second, site=again)
        self.assertEqual((answer.body, answer.cookie), (b"ann 1 0", None))
        self.clock.advance(GRACE)
        self.assertTrue(self.asked(first, site=again).sets)
        self.assertEqual(self.asked(second, site=again).body, b"nobody 0 0")
        self.assertEqual(len(self.told()), 1)
        self.assertEqual(self.seen(self.twin(reads, site=again)), b"ann 1 0")

    def test_keysChange(self):
        """
        While keys are changed a process leads on with the one that another has used,
        and renews with its own.
        """
        first, second = (RootKey(secret=self.site._entropy(32)) for _ in range(2))
        before = KeyRing(active=first, others=(second,))
        after = KeyRing(active=second, others=(first,))
        sites = [
            self.serve(self.root, store=SlowStore(self.store.inner), keys=ring)
            for ring in (before, after, before)
        ]
        for site in sites:
            self.stores.append(site._live.store)
            site._live.store.sharedWithOthers = True
        client = self.visitor("/in", site=sites[0])
        olds = []
        for here, there in ((0, 1), (1, 2), (2, 1)):
            self.clock.advance(INTERVAL)
            olds.append(self.cookieOf(client))
            lost = self.twin(client, site=sites[here])
            self.assertTrue(lost.fetch("/look").sets)
            led = self.twin(client, site=sites[there])
            self.assertTrue(led.fetch("/look").sets)
            self.assertEqual(self.cookieOf(led), self.cookieOf(lost))
            self.assertEqual(led.fetch("/look").body, b"ann 1 0")
            client = led
        self.assertEqual(self.told(), [])
        for old in olds[:2]:
            self.asked(old, site=sites[0])
        self.assertEqual(len(self.told()), 2)

    def test_endedMeanwhile(self):
        """
        An id whose session has ended leads nowhere.
        """
        client, old = self.renewed("/in")
        client.fetch("/out")
        for passed, sets in ((0, False), (59, False), (62, True)):
            self.clock.advance(passed)
            answer = self.asked(old, site=self.there, path="/count")
            self.assertEqual((answer.body, answer.sets), (b"count 1", sets), passed)
        self.assertEqual(self.told(), [])

    def test_ranOut(self):
        """
        Nor does one whose session has run out, whose visitor never heard of the new
        one: he gets a cookie.
        """
        for site in (self.site, self.there):
            _, old = self.renewed(confirmed=False)
            self.clock.advance(1000)
            answer = self.asked(old, site=site, path="/count")
            self.assertEqual((answer.body, answer.sets), (b"count 1", True))

    def test_turnedOff(self):
        """
        Where there is no renewal any more an old id is as good as any that was given
        up: for a minute it gets no cookie.
        """
        _, old = self.renewed(confirmed=False)
        for site in self.sites:
            site.renewal = None
        for passed, sets in ((0, False), (59, False), (1, True)):
            self.clock.advance(passed)
            for site in self.sites:
                answer = self.asked(old, site=site, path="/count")
                self.assertEqual((answer.body, answer.sets), (b"count 1", sets))


class HeldElsewhereTests(ElsewhereCase):
    """
    Sessions that are in the memory of another process when they are renewed.
    """

    def test_bothAtOnce(self):
        """
        Where two processes renew an id at once one of them does, and the other goes on
        with the new one; nothing that the pages changed is lost, and no page fails.
        """
        client, other, request, session = self.heldThere()
        session["there"] = 1
        self.store.hold("rename")
        client.send("/count")
        self.finish(request, b"polled")
        answer = other.answer()
        self.assertEqual((answer.code, answer.body), (200, b"polled"))
        self.store.pass_()
        first, second = client.answer(), answer
        self.assertEqual(first.body, b"count 2")
        self.assertEqual(first.cookie.value, second.cookie.value)
        self.assertEqual(self.seen(client), b"nobody 0 2")
        self.assertEqual(session["there"], 1)
        self.assertEqual(self.stored(), 1)
        self.assertEqual(len(self.told(EventKind.ROTATED)), 1)
        self.assertEqual(self.told(EventKind.ENDED), [])

    def test_writtenLate(self):
        """
        What a page changes that was there before is saved under the new id; it hands
        that out as long as nobody has come with it.
        """
        for confirmed in (False, True):
            client, other, request, session = self.heldThere("/count")
            self.assertTrue(client.fetch("/look").sets)
            if confirmed:
                client.fetch("/look")
            session["count"] = 5
            self.finish(request, b"polled")
            answer = other.answer()
            self.assertEqual((answer.code, answer.body), (200, b"polled"))
            self.assertEqual(answer.sets, not confirmed)
            if answer.sets:
                self.assertIn(answer.cookie.value, self.cookieOf(client))
            self.assertEqual(client.fetch("/look").body, b"nobody 0 5")
            self.assertEqual(self.told(EventKind.ENDED), [])

    def test_oneObject(self):
        """
        Whoever comes there, by the old or the new id, gets the object that is there.
        """
        for byNew in (False, True):
            client, other, request, session = self.heldThere("/count")
            late = self.twin(client, site=self.there)
            self.assertTrue(client.fetch("/look").sets)
            if byNew:
                late = self.twin(client, site=self.there)
            answer = late.fetch("/count")
            self.assertEqual((answer.body, answer.sets), (b"count 2", not byNew))
            self.assertEqual(session["count"], 2)
            self.assertIs(self.there.sessions[session.uid], session)
            session["count"] = 7
            self.finish(request, b"polled")
            self.assertEqual(other.answer().code, 200)
            self.assertEqual(client.fetch("/look").body, b"nobody 0 7")

    def test_longAgo(self):
        """
        So it is where the old id comes there only much later.
        """
        client, other, request, session = self.heldThere("/count")
        late = self.twin(client, site=self.there)
        self.assertTrue(client.fetch("/look").sets)
        self.clock.advance(200)
        answer = late.fetch("/count")
        self.assertEqual((answer.body, answer.sets), (b"count 2", True))
        self.assertEqual(session["count"], 2)
        self.finish(request, b"polled")
        self.assertEqual(other.answer().code, 200)
        self.assertEqual(client.fetch("/look").body, b"nobody 0 2")
        self.assertEqual(self.told(EventKind.ENDED), [])

    def test_answersOutOfOrder(self):
        """
        Nor are there two where the store's answer for the old id, from before the
        renewal, comes later than that for the new one.
        """
        client, _ = self.due("/count")
        slow = self.there.slow
        slow.late = True
        slow.hold("load")
        first = self.twin(client, site=self.there)
        first.send("/look")
        client.fetch("/look")
        second = self.twin(client, site=self.there)
        second.send("/count")
        slow.pending.reverse()
        slow.pass_()
        self.assertEqual(second.answer().body, b"count 2")
        answer = first.answer()
        self.assertEqual((answer.body, answer.cookie), (b"nobody 0 2", None))
        self.assertEqual(len(self.there.sessions), 1)

    def test_touched(self):
        """
        A use outside of a request is no reason to end it.
        """
        client, other, request, session = self.heldThere("/count")
        self.assertTrue(client.fetch("/look").sets)
        self.clock.advance(100)
        session.touch()
        self.finish(request, b"polled")
        self.assertEqual(other.answer().body, b"polled")
        session.touch()
        self.clock.advance(100)
        session.touch()
        self.clock.advance(700)
        self.assertEqual(client.fetch("/look").body, b"nobody 0 1")

    def test_touchedInARequest(self):
        """
        Nor is one of which the store is told while a request has it.
        """
        client, other, request, session = self.heldThere("/count")
        self.assertTrue(client.fetch("/look").sets)
        self.names(self.there.slow)
        self.clock.advance(100)
        session.touch()
        self.successResultOf(session.save())
        self.assertEqual(self.names(self.there.slow), ["touch"])
        self.assertIn(session.uid.decode(), self.cookieOf(client))
        self.assertIs(self.there.sessions[session.uid], session)
        self.finish(request, b"polled")
        self.assertEqual(other.answer().body, b"polled")

    def test_touchedLate(self):
        """
        Nor is one that has the new id by the time when the store refuses a touch under
        the old one.
        """
        client, other, request, session = self.heldThere("/count")
        self.clock.advance(100)
        self.there.slow.hold("touch")
        session.touch()
        self.successResultOf(session.save())
        self.assertTrue(client.fetch("/look").sets)
        late = self.twin(client, site=self.there)
        self.assertEqual(late.fetch("/look").body, b"nobody 0 1")
        self.assertEqual(self.there.slow.names(), ["touch"])
        self.there.slow.pass_()
        session["count"] = 5
        self.finish(request, b"polled")
        other.answer()
        self.assertEqual(self.told(EventKind.ENDED), [])
        self.assertEqual(client.fetch("/look").body, b"nobody 0 5")

    def test_twoSteps(self):
        """
        A process that has missed a new id goes on with the one after it.
        """
        client, other, request, session = self.heldThere("/count")
        for _ in range(2):
            self.assertTrue(client.fetch("/look").sets)
            client.fetch("/look")
            self.clock.advance(INTERVAL)
        session["count"] = 5
        self.finish(request, b"polled")
        answer = other.answer()
        self.assertEqual((answer.body, answer.cookie), (b"polled", None))
        self.assertEqual(client.fetch("/look").body, b"nobody 0 5")

    def test_signsIn(self):
        """
        Somebody who signs in there does so on the session, unless the client has the
        new id: then on one of his own.
        """
        for confirmed in (False, True):
            client, other, request, session = self.heldThere("/count")
            self.assertTrue(client.fetch("/look").sets)
            if confirmed:
                client.fetch("/look")
            done = session.login(request, "ann")
            self.finish(request, b"in")
            self.assertTrue(other.answer().sets)
            self.successResultOf(done)
            self.assertEqual(self.seen(other), b"ann 1 %d" % (not confirmed))
            before = b"nobody 0 %d" % confirmed
            self.assertEqual(self.seen(client), before)

    def test_rotatedOnPurpose(self):
        """
        Where the id was changed on purpose meanwhile, the session there has ended, as
        ever.
        """
        client, other, request, session = self.heldThere("/count")
        self.assertTrue(client.fetch("/look").sets)
        client.fetch("/in")
        session["count"] = 5
        self.failureResultOf(session.save(), SessionGone)
        self.finish(request, b"polled")
        self.assertEqual(other.answer().code, 200)
        self.assertEqual(self.seen(client), b"ann 1 1")

    def test_ended(self):
        """
        Where the session has ended meanwhile it stays so.
        """
        client, other, request, session = self.heldThere("/count")
        self.assertTrue(client.fetch("/look").sets)
        client.fetch("/out")
        session["count"] = 5
        self.finish(request, b"polled")
        self.assertEqual(other.answer().code, 200)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.seen(client), b"nobody 0 0")

    def test_outage(self):
        """
        Where the store cannot say what has become of it the page fails, and nothing is
        lost but what it changed.
        """
        client, other, request, session = self.heldThere("/count")
        self.assertTrue(client.fetch("/look").sets)
        session["count"] = 5
        self.there.slow.hold("follow")
        self.finish(request, b"polled")
        self.assertTrue(other.silent)
        self.there.slow.fail(OUTAGE)
        self.there.slow.pass_()
        self.assertEqual(other.answer().code, 503)
        self.assertEqual(client.fetch("/look").body, b"nobody 0 1")

    def test_endedWhileAsked(self):
        """
        A session that ends while the store is asked has ended.
        """
        client, other, request, session = self.heldThere("/count")
        self.assertTrue(client.fetch("/look").sets)
        session["count"] = 5
        self.there.slow.hold("follow")
        self.finish(request, b"polled")
        session.expire()
        self.there.slow.pass_()
        self.assertEqual(other.answer().code, 200)
        self.assertEqual(self.stored(), 0)

    def test_askedTwice(self):
        """
        Of two that ask at once the second finds it done.
        """
        client, other, request, session = self.heldThere("/count")
        third, again, _ = self.poll(client)
        self.assertTrue(client.fetch("/look").sets)
        self.there.slow.hold("follow")
        session["count"] = 5
        self.finish(request, b"polled")
        session["more"] = 1
        self.finish(again, b"again")
        self.there.slow.pass_()
        self.assertEqual([each.answer().code for each in (other, third)], [200, 200])
        self.assertEqual(client.fetch("/look").body, b"nobody 0 5")

    def test_nobodysMeanwhile(self):
        """
        While the store is asked what has become of it nobody is given it by the old id:
        somebody may have changed that on purpose, or signed out.
        """
        for path in ("/in?level=2", "/out"):
            client = self.visitor("/in", site=self.there)
            old = [self.twin(client, site=self.there) for _ in range(2)]
            self.assertEqual(self.seen(client), b"ann 1 0")
            other = self.twin(client, site=self.site)
            self.assertEqual(other.fetch(path).code, 200)
            self.there.slow.hold("follow")
            for each in old:
                each.send("/look")
            self.assertEqual([each.silent for each in old], [True, True])
            self.there.slow.pass_()
            self.assertEqual({each.answer().body for each in old}, {b"nobody 0 0"})

    def test_nobodysOfTwoAnswers(self):
        """
        The same for who has come meanwhile, and for whom the store is asked again.
        """
        client = self.visitor("/in", site=self.there)
        old = [self.twin(client, site=self.there) for _ in range(2)]
        self.there.slow.hold("load", "follow")
        for each in old:
            each.send("/look")
        self.assertEqual(self.twin(client).fetch("/in?level=2").code, 200)
        self.there.slow.hold("follow")
        self.there.slow.release(1)
        self.assertEqual([each.silent for each in old], [True, True])
        self.there.slow.pass_()
        self.assertEqual({each.answer().body for each in old}, {b"nobody 0 0"})


class TransactionElsewhereTests(ElsewhereCase):
    """
    Transactions on a session that another process renews.
    """

    def transact(self, uid):
        """
        Begin one there.

        @return: What it waits for, how often it was begun, and its outcome.
        """
        gate, begun = Deferred(), []

        async def work(session):
            begun.append(session["count"])
            if not gate.called:
                await gate
            session["count"] += 10
            return session["count"]

        return gate, begun, self.there.transact(uid, work)

    def test_underWay(self):
        """
        It begins again, with what the session is by then.
        """
        client, other, request, session = self.heldThere("/count")
        gate, begun, outcome = self.transact(session.uid)
        self.assertTrue(client.fetch("/count").sets)
        gate.callback(None)
        self.assertEqual(self.successResultOf(outcome), 12)
        self.assertEqual(begun, [1, 2])
        self.assertEqual(session["count"], 12)
        self.finish(request, b"polled")
        other.answer()
        self.assertEqual(client.fetch("/look").body, b"nobody 0 12")

    def test_byTheOld(self):
        """
        One that is begun by an id which is an old one meanwhile finds the session, as
        long as nobody has come with the new one.
        """
        for confirmed in (False, True):
            client, _, _, session = self.heldThere("/count")
            uid = session.uid
            self.assertTrue(client.fetch("/look").sets)
            if confirmed:
                client.fetch("/look")
            gate, _, outcome = self.transact(uid)
            gate.callback(None)
            if confirmed:
                self.failureResultOf(outcome, SessionGone)
            else:
                self.assertEqual(self.successResultOf(outcome), 11)
            count = b"nobody 0 %d" % (1 if confirmed else 11)
            self.assertEqual(client.fetch("/look").body, count)

    def test_rotatedOnPurpose(self):
        """
        It does not follow where the id was changed on purpose, nor to an end.
        """
        for path in ("/in", "/out"):
            client, _, _, session = self.heldThere("/count")
            gate, _, outcome = self.transact(session.uid)
            client.fetch("/look")
            client.fetch(path)
            gate.callback(None)
            self.failureResultOf(outcome, SessionGone)

    def test_signedInMeanwhile(self):
        """
        Nor where somebody has signed in on it in this process.
        """
        _, other, request, session = self.heldThere("/count")
        gate, begun, outcome = self.transact(session.uid)
        session.login(request, "ann")
        self.finish(request, b"in")
        self.assertTrue(other.answer().sets)
        gate.callback(None)
        self.failureResultOf(outcome, SessionGone)
        self.assertEqual(begun, [1])
        self.assertEqual(self.seen(other), b"ann 1 1")

    def test_tooLate(self):
        """
        One that has taken too long meanwhile is over.
        """
        client, _, _, session = self.heldThere("/count")
        gate, begun, outcome = self.transact(session.uid)
        client.fetch("/look")
        self.there.slow.hold("follow")
        gate.callback(None)
        self.clock.advance(11)
        self.failureResultOf(outcome, TransactionTooLong)
        self.there.slow.pass_()
        self.assertEqual(begun, [1])


class EndsElsewhereTests(ElsewhereCase):
    """
    A site that ends the session when an old id is used.
    """

    rule = Renewal(interval=INTERVAL, grace=GRACE, watch=WATCH, ends=True)

    def test_ends(self):
        """
        It ends for all of them, also where it is not in memory.
        """
        client, old = self.renewed("/in")
        self.clock.advance(GRACE)
        self.asked(old, site=self.there)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(client.fetch("/look").body, b"nobody 0 0")
        self.assertEqual(len(self.told()), 1)
