"""
Old ids, when the client has the new one: they read for a while, and then their use is
told.
"""

from __future__ import annotations

from twisted.logger import formatEvent
from twisted.web.server import NOT_DONE_YET

from tests.web.pages import OUTAGE, count
from tests.web.renewing import GRACE, INTERVAL, WATCH, RenewalCase
from txsessions import Renewal
from txsessions.errors import SessionGone
from txsessions.live.events import EventKind


class ReadingTests(RenewalCase):
    """
    After that, for the grace.
    """

    def test_reads(self):
        """
        The old id sees the session as it is, gets no cookie, and no id.
        """
        client, old = self.renewed("/count", "/in")
        client.fetch("/count")
        uids = []

        def page(request):
            uids.append(request.getSession().uid.decode())
            return b""

        self.page(page)
        for _ in range(3):
            answer = self.asked(old)
            self.assertEqual((answer.code, answer.body), (200, b"ann 1 2"))
            self.assertIsNone(answer.cookie)
        self.asked(old, path="/page")
        self.assertIn(uids[0], old)
        self.clock.advance(GRACE - 1)
        self.assertEqual(self.asked(old).body, b"ann 1 2")
        self.assertEqual(self.told(), [])

    def test_changes(self):
        """
        What it changes is not saved: a page is asked for again, and a form is not
        accepted, without anything that the page said.
        """
        client, old = self.renewed("/count")

        def page(request):
            request.setHeader(b"X-Page", b"said")
            request.addCookie(b"theirs", b"1")
            return count(request)

        self.page(page)
        for method, code in (
            ("GET", 307),
            ("HEAD", 307),
            ("POST", 409),
            ("PUT", 409),
            ("DELETE", 409),
        ):
            late = self.client()
            answer = late.fetch(
                "/page?a=1", method, headers=(f"Cookie: {old}",), cookies=False
            )
            self.assertEqual(answer.code, code, method)
            self.assertIsNone(answer.get("X-Page"))
            self.assertEqual(answer.all("set-cookie"), [])
            self.assertEqual(answer.get("cache-control"), "no-store")
            if code == 307:
                self.assertEqual(answer.get("location"), "./page?a=1")
        self.assertEqual(self.seen(client), b"nobody 0 1")

    def test_changesLate(self):
        """
        What it changes when the answer has begun cuts that short, and is not saved.
        """
        client, old = self.renewed("/count")
        late = self.client()
        late.send("/wait", headers=(f"Cookie: {old}",), cookies=False)
        request, session = self.waiting.pop()
        request.write(b"one")
        session["count"] = 9
        request.finish()
        self.clock.advance(0)
        self.assertTrue(late.wire.aborted)
        self.assertEqual(self.seen(client), b"nobody 0 1")

    def test_changesBehindATurn(self):
        """
        What it changes before it has answered is not saved either.
        """
        client, old = self.renewed("/count")
        late = self.client()
        late.send("/wait", "POST", headers=(f"Cookie: {old}",), cookies=False)
        request, session = self.waiting.pop()
        session["count"] = 9
        self.failureResultOf(session.save(), SessionGone)
        self.finish(request, b"done")
        self.assertEqual(late.answer().code, 409)
        self.assertEqual(self.seen(client), b"nobody 0 1")

    def test_mayNotRotate(self):
        """
        It may not give the session another id, nor end the principal's others.
        """
        outcomes = []

        def page(request):
            session = request.getSession()
            what = request.args[b"what"][0].decode()
            outcomes.append(getattr(session, what)(request))
            return b""

        self.page(page)
        client, old = self.renewed("/in")
        answer = self.asked(old, path="/page?what=rotate")
        self.failureResultOf(outcomes.pop(), SessionGone)
        self.assertEqual((answer.code, answer.cookie), (200, None))
        answer = self.asked(old, path="/page?what=endOthers")
        self.failureResultOf(outcomes.pop(), SessionGone)
        self.assertEqual((answer.code, answer.cookie), (307, None))
        self.assertEqual(self.seen(client), b"ann 1 0")

    def test_mayNotSignIn(self):
        """
        Who signs in with it does so on a session of his own.
        """
        client, old = self.renewed("/count")
        late = self.client()
        answer = late.fetch("/in?who=bob", headers=(f"Cookie: {old}",), cookies=False)
        self.assertTrue(answer.sets)
        self.assertEqual(self.seen(late), b"bob 1 0")
        self.assertEqual(self.seen(client), b"nobody 0 1")

    def test_logout(self):
        """
        A logout by it ends the session, at once and for good; so does C{expire}.
        """
        for path in ("/out", "/page"):
            self.page(lambda request: request.getSession().expire() and b"bye")
            client, old = self.renewed("/in")
            held = self.twin(client)
            held.send("/wait")
            request, session = self.waiting.pop()
            ends = []
            session.notifyOnExpire(lambda ends=ends: ends.append(1))
            answer = self.asked(old, path=path)
            self.assertTrue(answer.deletes)
            self.assertEqual(ends, [1])
            self.finish(request, b"held")
            held.answer()
            self.assertEqual(self.stored(), 0)
            self.assertEqual(self.seen(client), b"nobody 0 0")
            self.assertEqual(self.asked(old).body, b"nobody 0 0")

    def test_closes(self):
        """
        What it has closed with the session is closed when that ends.
        """

        def page(request):
            request.getSession().closes(request)
            request.write(b"data")
            return NOT_DONE_YET

        self.page(page)
        client, old = self.renewed("/in")
        late = self.client()
        late.send("/page", headers=(f"Cookie: {old}",), cookies=False)
        client.fetch("/out")
        self.clock.advance(0)
        self.assertTrue(late.wire.aborted)


class ReplayedTests(RenewalCase):
    """
    After the grace.
    """

    def test_told(self):
        """
        The use of the old id is told, once, with the session's tag and who is signed
        in; the request is one with an unknown id, and the session goes on.
        """
        client, old = self.renewed("/in")
        self.clock.advance(GRACE)
        answer = self.asked(old)
        self.assertEqual(answer.body, b"nobody 0 0")
        late = self.client()
        answer = late.fetch("/count", headers=(f"Cookie: {old}",), cookies=False)
        self.assertTrue(answer.sets)
        self.assertEqual(late.fetch("/count").body, b"count 2")
        [event] = self.told()
        [session] = [each for each in self.site.sessions.values() if each.principal]
        self.assertEqual(event.tag, session.tag)
        self.assertEqual((event.principal, event.level), ("ann", 1))
        self.assertIsNone(event.address)
        self.assertNotIn("ann", repr(event))
        self.assertEqual(self.counted("replayed"), 1)
        self.assertTrue(self.warned(f"session {session.tag} replayed"))
        self.assertEqual(self.seen(client), b"ann 1 0")

    def test_address(self):
        """
        Where the site keeps clients it is told where from, to listeners only.
        """
        self.site.keepsClients = True
        _, old = self.renewed()
        self.clock.advance(GRACE)
        self.asked(old)
        [event] = self.told()
        self.assertEqual(event.address, "192.168.1.1")
        self.assertNotIn("192.168", repr(event))
        text = f"session {event.tag} replayed"
        said = [each for each in self.logged if text in (formatEvent(each) or "")]
        self.assertEqual([str(each).count("192.168") for each in said], [0])

    def test_twoBefore(self):
        """
        So is that of an id before the last one, whether or not the last is confirmed.
        """
        client, old = self.renewed()
        self.clock.advance(INTERVAL)
        self.assertTrue(client.fetch("/look").sets)
        self.asked(old)
        self.assertEqual(len(self.told()), 1)
        self.assertEqual(client.fetch("/look").body, b"nobody 0 1")

    def test_watch(self):
        """
        When the store has forgotten the old id it is unknown.
        """
        client, old = self.renewed()
        for _ in range(6):
            self.clock.advance(INTERVAL)
            client.fetch("/look")
            client.fetch("/look")
        self.assertTrue(self.asked(old, path="/count").sets)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.seen(client), b"nobody 0 1")

    def test_signedInMeanwhile(self):
        """
        An id from before a sign-in tells nothing: that one was ended on purpose.
        """
        client, old = self.renewed()
        client.fetch("/in")
        for passed in (0, GRACE - 1, 2, INTERVAL):
            self.clock.advance(passed)
            self.assertEqual(self.asked(old).body, b"nobody 0 0")
        self.assertEqual(self.told(), [])
        self.assertTrue(self.asked(old, path="/count").sets)

    def test_forgotten(self):
        """
        An id that was forgotten, since the client never came with the new one, leads
        nowhere when somebody has signed in by it.
        """
        self.patch(self.site.sessionFactory, "sessionTimeout", 3 * WATCH)
        client, old = self.renewed("/count", confirmed=False)
        self.clock.advance(WATCH)
        self.assertEqual(self.asked(old).body, b"nobody 0 0")
        self.assertEqual(self.asked(old, path="/in").body, b"ann 1 0")
        answer = self.asked(old, path="/count")
        self.assertEqual((answer.body, answer.cookie), (b"count 1", None))
        self.assertEqual(self.seen(client), b"nobody 0 1")

    def test_signingIn(self):
        """
        While somebody signs in, whoever comes with the id from before is not given
        another, which would take the place of the new one.
        """
        client = self.visitor()
        old = self.cookieOf(client)
        self.store.hold("rename")
        client.send("/in")
        late = self.client()
        late.send("/count", headers=(f"Cookie: {old}",), cookies=False)
        self.store.pass_()
        answer = late.answer()
        self.assertEqual((answer.body, answer.cookie), (b"count 1", None))
        self.assertTrue(client.answer().sets)
        self.assertEqual(self.seen(client), b"ann 1 1")

    def test_made(self):
        """
        An id that somebody made up is not told.
        """
        self.renewed()
        self.clock.advance(GRACE)
        self.asked("sid=" + "ab" * 32)
        self.assertEqual(self.told(), [])

    def test_setBack(self):
        """
        A clock that is set back by more than the grace does not make it longer.
        """
        client, old = self.renewed("/in")
        self.clock.rightNow -= GRACE - 1
        self.assertEqual(self.asked(old).body, b"ann 1 0")
        self.clock.rightNow -= 2
        self.assertEqual(self.asked(old).body, b"nobody 0 0")
        self.assertEqual(len(self.told()), 1)
        self.assertEqual(self.seen(client), b"ann 1 0")


class BriefTests(RenewalCase):
    """
    A site that lets old ids read for a few seconds only.
    """

    rule = Renewal(interval=20, grace=5, watch=WATCH)

    def test_aMinute(self):
        """
        From the grace to the end of the minute the use of the old id is told, and a
        request with it gets no new cookie, as with any id that was given up.
        """
        client = self.visitor("/in")
        old = self.cookieOf(client)
        self.clock.advance(20)
        self.assertTrue(client.fetch("/look").sets)
        self.clock.advance(100)
        self.assertFalse(client.fetch("/look").sets)
        for passed, sets in ((5, False), (54, False), (1, True)):
            self.clock.advance(passed)
            answer = self.asked(old, path="/count")
            self.assertEqual((answer.body, answer.sets), (b"count 1", sets), passed)
            self.assertEqual(len(self.told()), 1)
        self.assertEqual(self.seen(client), b"ann 1 0")

    def test_manySteps(self):
        """
        The minute is that of the id, whatever has become of those after it.
        """
        client = self.visitor("/in")
        first = self.cookieOf(client)
        for passed in (0, 20, 40, 60):
            self.clock.advance(20)
            self.assertTrue(client.fetch("/look").sets)
            self.assertFalse(client.fetch("/look").sets)
            if passed:
                answer = self.asked(first, path="/count")
                self.assertEqual(answer.sets, passed == 60, passed)

    def test_ends(self):
        """
        So it is where that ends the session.
        """
        self.site.renewal = Renewal(interval=20, grace=5, watch=WATCH, ends=True)
        client = self.visitor("/in")
        old = self.cookieOf(client)
        self.clock.advance(20)
        self.assertTrue(client.fetch("/look").sets)
        self.assertFalse(client.fetch("/look").sets)
        for passed, sets in ((5, False), (54, False), (61, True)):
            self.clock.advance(passed)
            self.assertEqual(self.asked(old, path="/count").sets, sets, passed)
        self.assertEqual(self.seen(client), b"nobody 0 0")


class EndsTests(RenewalCase):
    """
    A site that ends the session then.
    """

    rule = Renewal(interval=INTERVAL, grace=GRACE, watch=WATCH, ends=True)

    def test_ends(self):
        """
        The session has ended when the answer is there, whoever has it; the visitor gets
        the next one with its cookie at once.
        """
        client, old = self.renewed("/in")
        self.asked(old)
        self.assertEqual(self.seen(client), b"ann 1 0")
        self.clock.advance(GRACE)
        self.asked(old)
        self.assertEqual(len(self.told()), 1)
        [ended] = self.told(EventKind.ENDED)
        self.assertEqual((ended.reason, ended.principal), ("replayed", "ann"))
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.seen(client), b"nobody 0 0")
        self.assertTrue(client.fetch("/count").sets)

    def test_afterALostReply(self):
        """
        The grace is for what is under way when somebody first comes with the new id,
        also long after the renewal: of two requests that a browser sent at once the
        second is no replay because the first was answered and followed by another.
        """
        client, old = self.due("/in")
        self.twin(client).fetch("/look")
        self.clock.advance(GRACE + 1)
        self.assertTrue(client.fetch("/look").sets)
        self.assertFalse(client.fetch("/look").sets)
        self.clock.advance(GRACE - 1)
        answer = self.asked(old)
        self.assertEqual((answer.body, answer.cookie), (b"ann 1 0", None))
        self.assertEqual(self.told(), [])
        self.clock.advance(1)
        self.asked(old)
        self.assertEqual(len(self.told()), 1)
        self.assertEqual(self.seen(client), b"nobody 0 0")

    def test_outage(self):
        """
        Where the store cannot be told now, the session has ended here all the same.
        """
        client, old = self.renewed("/in")
        self.clock.advance(GRACE)
        self.store.hold("delete")
        late = self.client()
        late.send("/look", headers=(f"Cookie: {old}",), cookies=False)
        self.store.fail(OUTAGE)
        self.assertEqual(late.answer().body, b"nobody 0 0")
        self.assertEqual(self.seen(client), b"nobody 0 0")
        self.store.pass_()
        self.clock.advance(60)
        self.assertEqual(self.stored(), 0)
