"""
New ids in time: when a response carries one, where an old one leads until the client
has the new one, and what it is good for afterwards.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, change, count
from tests.web.renewing import GRACE, INTERVAL, WATCH, RenewalCase
from txsessions import CookiePolicy, Renewal
from txsessions.errors import ConfigurationError
from txsessions.live.events import EventKind


class RuleTests(WebCase):
    """
    What a site can say.
    """

    def test_off(self):
        """
        A site that says nothing renews nothing.
        """
        site = self.serve(count, timeout=None)
        self.assertIsNone(site.renewal)
        client = self.client()
        client.fetch("/")
        for _ in range(20):
            self.clock.advance(600)
            self.assertFalse(client.fetch("/").sets)
        self.assertNotIn("rename", self.store.calls)
        self.assertNotIn("follow", self.store.calls)

    def test_set(self):
        """
        It is one for all sites on a store, and can be taken back.
        """
        site, rule = self.serve(count), Renewal(interval=10, grace=5)
        site.renewal = rule
        self.assertIs(site.renewal, rule)
        self.assertIs(self.serve(count).renewal, rule)
        client = self.client()
        client.fetch("/")
        site.renewal = None
        self.clock.advance(10)
        self.assertFalse(client.fetch("/").sets)

    def test_refused(self):
        """
        What is no rule, or needs a store, is refused.
        """
        site = self.serve(count)
        with self.assertRaises(ConfigurationError):
            site.renewal = 900
        bare = self.serve(count, store=None)
        with self.assertRaises(ConfigurationError):
            bare.renewal = Renewal()
        self.assertIsNone(bare.renewal)
        bare.renewal = None


class IntervalTests(RenewalCase):
    """
    When an id is renewed.
    """

    def test_interval(self):
        """
        The first page after the interval that uses the session gets a new id, by one
        rename, and the session stays what it is; the next one confirms it, once.
        """
        client = self.visitor()
        first = self.cookieOf(client)
        self.clock.advance(INTERVAL - 1)
        self.assertFalse(client.fetch("/look").sets)
        self.names()
        self.clock.advance(1)
        answer = client.fetch("/look")
        self.assertTrue(answer.sets)
        self.assertEqual(len(answer.all("set-cookie")), 1)
        self.assertEqual(answer.body, b"nobody 0 1")
        self.assertEqual(self.names(), ["rename"])
        self.assertNotEqual(self.cookieOf(client), first)
        self.assertEqual(client.fetch("/look").body, b"nobody 0 1")
        self.assertEqual(self.names(), ["replace"])
        for _ in range(3):
            self.assertFalse(client.fetch("/look").sets)
        self.assertEqual(self.names(), [])
        self.assertEqual(self.stored(), 1)
        self.assertEqual([e.reason for e in self.told(EventKind.ROTATED)], ["renewal"])

    def test_againAndAgain(self):
        """
        So it goes on, each interval since the last time.
        """
        client = self.visitor()
        seen = {self.cookieOf(client)}
        for turn in range(10):
            self.clock.advance(INTERVAL - 1)
            self.assertFalse(client.fetch("/look").sets)
            self.clock.advance(1)
            self.assertTrue(client.fetch("/look").sets)
            self.assertFalse(client.fetch("/look").sets)
            seen.add(self.cookieOf(client))
            self.assertEqual(len(seen), turn + 2)
        self.assertEqual(self.seen(client), b"nobody 0 1")
        self.assertEqual(self.told(), [])

    def test_withChanges(self):
        """
        What the page changes is in the same write.
        """
        client, _ = self.due()
        self.names()
        answer = client.fetch("/count")
        self.assertEqual((answer.body, answer.sets), (b"count 2", True))
        self.assertEqual(self.names(), ["rename"])
        there = self.serveElsewhere(self.root)
        other = self.client(site=there, jar=client.jar)
        self.assertEqual(other.fetch("/look").body, b"nobody 0 2")

    def test_notUsed(self):
        """
        A page that does not use the session renews nothing.
        """
        self.page(lambda request: b"static")
        client, _ = self.due()
        self.assertFalse(client.fetch("/page").sets)
        self.assertTrue(client.fetch("/look").sets)

    def test_signedIn(self):
        """
        Who is signed in stays so, with his handle; a sign-in, and C{rotate}, begin
        the interval anew.
        """
        client = self.visitor("/in")
        [before] = self.successResultOf(self.site.sessionsOf("ann"))
        self.clock.advance(INTERVAL)
        self.assertTrue(client.fetch("/look").sets)
        self.assertEqual(client.fetch("/look").body, b"ann 1 0")
        [after] = self.successResultOf(self.site.sessionsOf("ann"))
        self.assertEqual(after.handle, before.handle)
        self.assertEqual(after.signedInAt, before.signedInAt)
        self.clock.advance(INTERVAL - 1)
        client.fetch("/in")
        self.page(lambda request: bool(request.getSession().rotate(request)) * b"")
        for path in ("/look", "/page", "/look"):
            self.clock.advance(INTERVAL - 1)
            self.assertEqual(client.fetch(path).sets, path == "/page")

    def test_absoluteLimit(self):
        """
        A new id does not make a session live longer.
        """
        began = self.clock.seconds()
        client = self.visitor()
        lifetime = 43200
        while self.clock.seconds() + INTERVAL < began + lifetime:
            self.clock.advance(INTERVAL)
            self.assertEqual(client.fetch("/look").body, b"nobody 0 1")
        self.clock.advance(began + lifetime - self.clock.seconds())
        self.assertEqual(client.fetch("/look").body, b"nobody 0 0")

    def test_idleLimit(self):
        """
        Nor does it keep one alive that nobody uses.
        """
        client, _ = self.renewed()
        self.clock.advance(1000)
        self.assertEqual(client.fetch("/look").body, b"nobody 0 0")

    def test_forms(self):
        """
        The tokens of forms that are open stay good, also where the id is renewed
        twice; a sign-in still makes them void.
        """
        client = self.visitor("/count")
        tokens = [client.fetch("/form").body.decode()]

        def accepted(token):
            header = (f"X-CSRF-Token: {token}", "Origin: http://example.org")
            return client.fetch("/form", "POST", headers=header).code == 200

        for _ in range(2):
            self.clock.advance(INTERVAL)
            self.assertTrue(client.fetch("/look").sets)
            tokens.append(client.fetch("/form").body.decode())
            self.assertEqual([accepted(each) for each in tokens], [True] * len(tokens))
        client.fetch("/in")
        self.assertEqual([accepted(each) for each in tokens], [False] * 3)

    def test_stream(self):
        """
        A page that streams carries it at its first byte, and goes on.
        """
        requests = []

        def page(request):
            change(request)
            request.write(b"one ")
            requests.append(request)
            return NOT_DONE_YET

        self.page(page)
        client, _ = self.due()
        client.send("/page")
        change(requests[0])
        requests[0].write(b"two")
        requests[0].finish()
        answer = client.answer()
        self.assertEqual((answer.body, answer.sets), (b"one two", True))
        self.assertEqual(client.fetch("/look").body, b"nobody 0 3")

    def test_noChance(self):
        """
        Where no chance is to be had the page is answered, and it is tried again.
        """
        client, _ = self.due()
        entropy = self.site._entropy

        def none(size):
            raise OSError("no chance")

        self.site._entropy = none
        answer = client.fetch("/look")
        self.assertEqual((answer.code, answer.cookie), (200, None))
        self.site._entropy = entropy
        self.assertTrue(client.fetch("/look").sets)

    def test_programs(self):
        """
        A program that sends its id by C{Authorization} keeps it; browsers of the same
        site do not.
        """
        self.tellsIds = True
        self.page(lambda request: change(request).uid)
        site = self.serve(self.root, cookies=CookiePolicy(bearer=True))
        program = self.client(site=site)
        uid = program.fetch("/page", headers=("Authorization: Session",)).body
        header = f"Authorization: Session {uid.decode()}"
        browser = self.visitor(site=site)
        for turn in range(1, 4):
            self.clock.advance(INTERVAL)
            answer = program.fetch("/look", headers=(header,), cookies=False)
            self.assertEqual((answer.body, answer.cookie), (b"nobody 0 1", None))
            self.assertNotIn("rename", self.names(), turn)
            self.assertTrue(browser.fetch("/look").sets)
            browser.fetch("/look")
            self.names()

    def test_transaction(self):
        """
        While a transaction is under way on it a session keeps its id.
        """
        waiting = []

        def page(request):
            async def work(session):
                from twisted.internet.defer import Deferred

                waiting.append(Deferred())
                await waiting[0]
                session["count"] = 10

            uid = request.getSession().uid
            done = self.site.transact(uid, work)
            done.addCallback(lambda _: (request.write(b"done"), request.finish()))
            return NOT_DONE_YET

        self.page(page)
        client, _ = self.due()
        other = self.client(jar=client.jar)
        other.send("/page")
        self.assertFalse(client.fetch("/look").sets)
        waiting[0].callback(None)
        self.assertEqual(other.answer().body, b"done")
        self.assertEqual(client.fetch("/look").body, b"nobody 0 10")


class LedTests(RenewalCase):
    """
    Until somebody has come with the new id.
    """

    def test_lostReply(self):
        """
        A client that never heard of the new id is told it once more, by the same
        request that works as ever; also long after the grace, and again and again.
        """
        client, old = self.due("/count")
        client.send("/look")
        for passed in (0, 1, GRACE, 400, 400):
            self.clock.advance(passed)
            answer = self.asked(old, path="/count")
            self.assertTrue(answer.sets, passed)
        self.assertEqual(answer.body, b"count 6")
        self.assertEqual(self.seen(client), b"nobody 0 6")
        self.assertEqual(self.stored(), 1)
        self.assertEqual(self.told(), [])
        self.assertEqual(len(self.told(EventKind.ROTATED)), 1)

    def test_lostForGood(self):
        """
        The old id leads there for no longer than C{watch}, and the minute for which a
        process remembers what it was asked for.
        """
        client, _ = self.due("/in")
        self.twin(client).fetch("/look")
        for _ in range(2):
            self.clock.advance(WATCH / 2 - 1)
            self.assertEqual(self.seen(self.twin(client)), b"ann 1 0")
        self.clock.advance(GRACE + 2)
        self.assertEqual(client.fetch("/look").body, b"nobody 0 0")

    def test_parallel(self):
        """
        Of the requests of one page the first gets the new id, the others that came
        before the store has it too, and all of them the same.
        """
        client, old = self.due()
        others = [self.twin(client) for _ in range(3)]
        # An answer from before the rename would say that there is none.
        self.store.sharedWithOthers = True
        self.store.hold("rename", "load", "follow")
        client.send("/look")
        self.store.release()
        for other in others:
            other.send("/count")
        self.assertEqual(self.store.names(), ["rename"])
        self.assertTrue(all(each.silent for each in (client, *others)))
        self.store.pass_()
        answers = [each.answer() for each in (client, *others)]
        self.assertEqual(len({answer.cookie.value for answer in answers}), 1)
        self.assertEqual(answers[-1].body, b"count 4")
        self.assertEqual(self.stored(), 1)
        self.assertEqual(client.fetch("/look").body, b"nobody 0 4")
        self.assertNotEqual(self.cookieOf(client), old)

    def test_beganBefore(self):
        """
        A request that was there before hands out no id, goes on with the session, and
        may sign somebody in, as long as nobody has come with the new one.
        """
        for path, hasCookie in (("/look", True), (None, False)):
            client, _ = self.due()
            poll = self.twin(client)
            poll.send("/wait")
            request, session = self.waiting.pop()
            client.fetch("/look")
            if path is None:
                client.fetch("/look")
            session["count"] = 7
            done = session.login(request, "ann")
            self.finish(request, b"in")
            answer = poll.answer()
            self.assertTrue(answer.sets)
            self.successResultOf(done)
            kept = b"ann 1 7" if hasCookie else b"ann 1 0"
            self.assertEqual(self.seen(poll), kept)

    def test_signsIn(self):
        """
        Who comes with the old id may sign in on the session, whose ids before are
        dead then.
        """
        client, old = self.renewed(confirmed=False)
        late = self.client()
        answer = late.fetch("/in", headers=(f"Cookie: {old}",), cookies=False)
        self.assertTrue(answer.sets)
        self.assertEqual(answer.body, b"ann 1 1")
        self.assertEqual(self.seen(late), b"ann 1 1")
        for cookie in (old, self.cookieOf(client)):
            answer = self.asked(cookie)
            self.assertEqual((answer.body, answer.cookie), (b"nobody 0 0", None))
        self.clock.advance(GRACE + 1)
        for cookie in (old, self.cookieOf(client)):
            self.assertEqual(self.asked(cookie).body, b"nobody 0 0")
        self.assertEqual(self.told(), [])

    def test_signsInBesides(self):
        """
        A reply that is held with a new id says nothing of it where somebody has signed
        in meanwhile.
        """
        client, _ = self.due()
        other = self.twin(client)
        self.store.hold()
        client.send("/look")
        other.send("/in")
        self.store.pass_()
        self.assertIsNone(client.answer().cookie)
        self.assertTrue(other.answer().sets)
        self.assertEqual(self.seen(other), b"ann 1 1")

    def test_logout(self):
        """
        Who comes with the old id may sign out, and the session has ended.
        """
        client, old = self.renewed("/in", confirmed=False)
        self.assertTrue(self.asked(old, path="/out").deletes)
        self.assertEqual(self.seen(client), b"nobody 0 0")
        self.assertEqual(self.stored(), 0)

    def test_outage(self):
        """
        Where it is unknown whether the store has the new id the page fails, and the
        old one leads on, whatever the store did.
        """
        for done in (False, True):
            client, old = self.due()
            self.store.hold()
            client.send("/count")
            self.store.fail(OUTAGE, done=done)
            self.store.pass_()
            self.assertEqual(client.answer().code, 503)
            self.assertEqual(self.cookieOf(client), old)
            answer = client.fetch("/look")
            self.assertEqual(answer.body, b"nobody 0 2" if done else b"nobody 0 1")
            self.assertTrue(answer.sets)
            self.assertFalse(client.fetch("/look").sets)

    def test_outageWhileLed(self):
        """
        Where the store cannot say where an old id leads the page fails, and nobody
        loses his session.
        """
        there = self.serveElsewhere(self.root)
        client, old = self.renewed(confirmed=False)
        for name in ("load", "follow", "load"):
            there.slow.hold(name)
            late = self.client(site=there)
            late.send("/look", headers=(f"Cookie: {old}",), cookies=False)
            self.assertEqual(there.slow.names(), [name])
            there.slow.fail(OUTAGE)
            self.assertEqual(late.answer().code, 503, name)
            there.slow.pass_()
        self.assertEqual(self.asked(old, site=there).body, b"nobody 0 1")
        self.assertEqual(client.fetch("/look").body, b"nobody 0 1")
