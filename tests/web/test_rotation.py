"""
New ids: at sign-in the old one dies, and only the response to the request that
asked for it carries the new one.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, change, count
from txsessions.errors import ConfigurationError, ResponseStarted, SessionGone


def signIn(request):
    """
    A page that signs the visitor in.
    """
    session = change(request)
    session.rotate(request)
    return b"in %d" % session["count"]


class RotationCase(WebCase):
    """
    A site with a counter, a sign-in and a reader.
    """

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        root = Resource()
        root.putChild(b"count", Page(count))
        root.putChild(b"in", Page(signIn))
        root.putChild(b"look", Page(self.look))
        self.root = root
        self.serve(root)

    def look(self, request):
        """
        A page that reads.
        """
        return b"%d" % request.getSession().sessionNamespaces.get("count", 0)

    def page(self, render):
        """
        Serve one more page, as C{/page}.
        """
        self.root.putChild(b"page", Page(render))

    def visitor(self):
        """
        A client with a session.
        """
        client = self.client()
        client.fetch("/count")
        return client


class FixationTests(RotationCase):
    """
    Ids that somebody else knows.
    """

    def test_fixation(self):
        """
        An id that an attacker put into the victim's browser is dead when the
        victim has signed in; what was in the session has moved.
        """
        attacker = self.visitor()
        victim = self.client(jar=None)
        known = attacker.sent()[0].decode()
        answer = victim.fetch("/in", headers=(f"Cookie: {known}",), cookies=False)
        self.assertEqual(answer.body, b"in 2")
        self.assertTrue(answer.sets)
        self.assertNotIn(answer.cookie.value, known)
        self.assertEqual(attacker.fetch("/look").body, b"0")
        self.assertEqual(victim.fetch("/look").body, b"2")

    def test_oldIdElsewhere(self):
        """
        The old id is dead in other processes too, and gets an empty session
        and no cookie for a minute; then it is an unknown one.
        """
        there = self.serveElsewhere(self.root)
        client = self.visitor()
        old = client.sent()[0].decode()
        client.fetch("/in")
        for site in (self.site, there):
            late = self.client(site=site)
            answer = late.fetch("/count", headers=(f"Cookie: {old}",))
            self.assertEqual(answer.body, b"count 1")
            self.assertIsNone(answer.cookie)
        self.assertEqual(self.stored(), 1)
        self.clock.advance(61)
        for site in (self.site, there):
            late = self.client(site=site)
            answer = late.fetch("/count", headers=(f"Cookie: {old}",))
            self.assertTrue(answer.sets)

    def test_newIdElsewhere(self):
        """
        The new id is good in other processes as soon as the client has it.
        """
        there = self.serveElsewhere(self.root)
        client = self.visitor()
        client.fetch("/in")
        other = self.client(site=there, jar=client.jar)
        self.assertEqual(other.fetch("/look").body, b"2")

    def test_namesAreKept(self):
        """
        The object stays the same one, with its new uid, in C{site.sessions}.
        """
        found = []

        def page(request):
            session = request.getSession()
            before = session.uid
            session.rotate(request)
            found.append((session, before, session.uid))
            self.assertIs(request.getSession(), session)
            return b""

        self.page(page)
        self.visitor().fetch("/page")
        session, before, after = found[0]
        self.assertNotEqual(before, after)
        self.assertIs(self.site.sessions[after], session)
        self.assertNotIn(before, self.site.sessions)


class CookieTests(RotationCase):
    """
    Which response carries the new cookie.
    """

    def test_held(self):
        """
        The reply waits for the store.
        """
        client = self.visitor()
        self.store.hold()
        client.send("/in")
        self.assertEqual(self.store.names(), ["rename"])
        self.assertTrue(client.silent)
        self.store.release()
        self.assertTrue(client.answer().sets)

    def test_twice(self):
        """
        Two rotations in one request make one cookie and one live id.
        """

        def page(request):
            session = change(request)
            session.rotate(request)
            session.rotate(request)
            return b""

        self.page(page)
        client = self.visitor()
        answer = client.fetch("/page")
        self.assertTrue(answer.sets)
        self.assertEqual(len(answer.all("set-cookie")), 1)
        self.assertEqual(list(self.site.sessions), [answer.cookie.value.encode()])
        self.assertEqual(self.stored(), 1)
        self.assertEqual(client.fetch("/look").body, b"2")

    def test_newSession(self):
        """
        A session that was made in this request has one cookie, with the last
        uid, and is stored once.
        """
        client = self.client()
        answer = client.fetch("/in")
        self.assertEqual(len(answer.all("set-cookie")), 1)
        self.assertEqual(list(self.site.sessions), [answer.cookie.value.encode()])
        self.assertNotIn("rename", self.store.calls)
        self.assertEqual(client.fetch("/look").body, b"1")

    def test_onlyTheOneThatAsked(self):
        """
        A long poll that came with the old id and answers later does not hand
        out the new one; nor does one that was rendered before.
        """
        waiting = []

        def page(request):
            request.getSession()
            waiting.append(request)
            return NOT_DONE_YET

        self.page(page)
        client = self.visitor()
        poll = self.client(jar=client.jar)
        poll.send("/page")
        client.fetch("/in")
        change(waiting[0])
        waiting[0].write(b"polled")
        waiting[0].finish()
        answer = poll.answer()
        self.assertEqual(answer.body, b"polled")
        self.assertIsNone(answer.cookie)
        self.assertEqual(client.fetch("/look").body, b"3")

    def test_heldBesides(self):
        """
        A reply that is held when another request rotates carries no cookie.
        """
        client = self.visitor()
        other = self.client(jar=client.jar)
        self.store.hold()
        client.send("/count")
        other.send("/in")
        self.store.pass_()
        self.assertIsNone(client.answer().cookie)
        self.assertTrue(other.answer().sets)
        self.assertEqual(other.fetch("/look").body, b"3")

    def waiting(self):
        """
        Two requests of one session, of which neither has changed it yet.
        """
        requests = []

        def page(request):
            request.getSession()
            requests.append(request)
            return NOT_DONE_YET

        self.page(page)
        client = self.visitor()
        clients = client, self.client(jar=client.jar)
        for each in clients:
            each.send("/page")
        return clients, requests

    def test_twoRequests(self):
        """
        Where two requests rotate, only the first one hands out an id; the other, who
        may have been sent by somebody else, is told that its own is dead.
        """
        clients, requests = self.waiting()
        self.store.hold()
        outcomes = []
        for request in requests:
            outcomes.append(request.getSession().rotate(request))
            request.finish()
        self.assertEqual(self.store.names(), ["rename"])
        for each in clients:
            self.assertTrue(each.silent)
        self.store.pass_()
        self.successResultOf(outcomes[0])
        self.failureResultOf(outcomes[1], SessionGone)
        first, second = [each.answer().cookie for each in clients]
        self.assertTrue(first.value)
        self.assertIsNone(second)
        there = self.client(site=self.serveElsewhere(self.root), jar=clients[0].jar)
        self.assertEqual(there.fetch("/look").body, b"1")

    def changedWhileHeld(self, **values):
        """
        A client whose reply is held for a rotation while the application gives the
        session one more uid by hand.

        @param values: What it puts into the session then.
        """
        clients, requests = self.waiting()
        request, session = requests[0], requests[0].getSession()
        self.store.hold()
        session.rotate(request)
        request.finish()
        session.uid = self.site._mkuid()
        session.sessionNamespaces.update(values)
        self.store.release(1)
        if not values:
            self.assertEqual(self.store.names(), ["rename"])
            self.assertTrue(clients[0].silent)
        return clients[0]

    def test_unsavableWhileHeld(self):
        """
        If what is in the session by then cannot be kept, that is answered, once.
        """
        self.expects500 = True
        answer = self.changedWhileHeld(value="\ud800").answer()
        self.assertEqual(answer.code, 500)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_changedWhileHeld(self):
        """
        No reply tells an id that the store does not have.
        """
        client = self.changedWhileHeld()
        self.store.pass_()
        self.assertTrue(client.answer().sets)
        there = self.client(site=self.serveElsewhere(self.root), jar=client.jar)
        self.assertEqual(there.fetch("/look").body, b"1")

    def test_changedWhileHeldOutage(self):
        """
        Where the store fails in between, nobody is told of the id that it does not
        have.
        """
        client = self.changedWhileHeld()
        self.store.fail(OUTAGE)
        self.assertEqual(client.answer().code, 503)

    def test_loadedTogether(self):
        """
        Of two requests that one answer of the store lets go on, the second comes too
        late where the first rotates.
        """
        self.store.sharedWithOthers = True
        client = self.visitor()
        others = [self.client(jar=client.jar) for _ in range(3)]
        self.store.hold("load")
        for other, path in zip(others, ("/look", "/in", "/count"), strict=True):
            other.send(path)
        self.assertEqual(self.store.names(), ["load"])
        self.store.pass_()
        before, first, second = [each.answer() for each in others]
        self.assertEqual(before.body, b"1")
        self.assertEqual((first.body, first.sets), (b"in 2", True))
        self.assertEqual((second.body, second.cookie), (b"count 1", None))

    def taken(self):
        """
        A visitor of another process, and what its uid was drawn from, which is
        to be drawn here once more.
        """
        there = self.serveElsewhere(self.root)
        first = self.client(site=there)
        first.fetch("/count")
        return first, bytes.fromhex(first.sent()[0].decode().partition("=")[2])

    def drawing(self, *draws):
        """
        Have this drawn next.
        """
        left, entropy = list(draws), self.site._entropy
        self.site._entropy = lambda size: left.pop(0) if left else entropy(size)
        return left

    def checkBoth(self, first, second, answer, count):
        """
        Each has its own session.
        """
        self.assertNotEqual(answer.cookie.value, first.sent()[0].decode()[4:])
        self.assertEqual(len(answer.all("set-cookie")), 1)
        self.assertEqual(first.fetch("/look").body, b"1")
        self.assertEqual(second.fetch("/look").body, b"%d" % count)
        self.assertEqual(self.stored(), 2)

    def test_collision(self):
        """
        A uid that is taken is drawn anew, and the cookie says the one that
        holds.
        """
        first, taken = self.taken()
        second = self.visitor()
        left = self.drawing(taken)
        answer = second.fetch("/in")
        self.assertEqual(left, [])
        self.assertEqual(answer.body, b"in 2")
        self.checkBoth(first, second, answer, 2)

    def test_insertCollision(self):
        """
        The same at the insert.
        """
        first, taken = self.taken()
        left = self.drawing(taken)
        second = self.client()
        answer = second.fetch("/count")
        self.assertEqual(left, [])
        self.assertEqual(answer.body, b"count 1")
        self.checkBoth(first, second, answer, 1)

    def test_repetition(self):
        """
        A source of chance that repeats itself in this process is noticed before
        the store is asked.
        """
        client = self.visitor()
        own = bytes.fromhex(client.sent()[0].decode().partition("=")[2])
        self.drawing(own)
        other = self.client()
        self.assertTrue(other.fetch("/count").sets)
        self.drawing(*[own] * 10)
        self.assertEqual(self.client().fetch("/count").code, 503)
        self.assertEqual(client.fetch("/look").body, b"1")


class RefusedTests(RotationCase):
    """
    Rotations that cannot be.
    """

    def test_afterHeaders(self):
        """
        When the response has started it raises, and nothing has changed; held
        bytes count as sent.
        """
        raised = []

        def page(request):
            session = change(request)
            before = session.uid
            request.write(b"one")
            raised.append(self.assertRaises(ResponseStarted, session.rotate, request))
            self.assertEqual(session.uid, before)
            request.finish()
            return NOT_DONE_YET

        self.page(page)
        client = self.visitor()
        self.store.hold()
        client.send("/page")
        self.store.pass_()
        self.assertIsNone(client.answer().cookie)
        self.assertEqual(len(raised), 1)
        self.assertNotIn("rename", self.store.calls)
        self.assertEqual(client.fetch("/look").body, b"2")

    def test_otherRequest(self):
        """
        The request must be the one that uses the session.
        """
        kept = []

        def page(request):
            if kept:
                self.assertRaises(ConfigurationError, kept[0].rotate, request)
                self.assertRaises(ConfigurationError, kept[0].rotate, object())
            else:
                kept.append(request.getSession())
            return b""

        self.page(page)
        self.visitor().fetch("/page")
        self.client().fetch("/page")

    def test_storeFails(self):
        """
        A rotation that fails is a 503 without a cookie, and the store says what has
        become of the old id: it goes on, not signed in, if the store did not hear of
        the new one, else it is refused.
        """
        client = self.visitor()
        old = client.sent()[0].decode()
        for done in (False, True):
            self.store.hold()
            client.send("/in")
            self.store.fail(OUTAGE, done=done)
            self.store.pass_()
            answer = client.answer()
            self.assertEqual(answer.code, 503)
            self.assertEqual(client.sent()[0].decode(), old)
            found = client.fetch("/look")
            self.assertEqual(found.body, b"0" if done else b"1")
            self.assertFalse(found.sets)

    def test_ended(self):
        """
        A session that has ended cannot be brought back by rotating it.
        """

        def page(request):
            session = request.getSession()
            session.expire()
            session.rotate(request)
            return b""

        self.page(page)
        client = self.visitor()
        answer = client.fetch("/page")
        self.assertFalse(answer.sets)
        self.assertEqual(self.stored(), 0)


__all__ = ["RotationCase", "signIn"]
