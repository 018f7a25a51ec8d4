"""
Tests of L{txsessions.live.unread}: a logout is final also where the store does not answer
and nobody knows whose session it is.
"""

from __future__ import annotations

from twisted.internet.error import AlreadyCalled
from twisted.web.server import NOT_DONE_YET

from tests.slowstore import SlowStore
from tests.web.leaving import LeavingCase
from tests.web.pages import OUTAGE
from tests.web.signing import tell
from txsessions import CookiePolicy, Session
from txsessions.errors import SessionUnavailable
from txsessions.live.lifecycle import FIRST_RETRY
from txsessions.live.resting import LINGER


class UnreadTests(LeavingCase):
    """
    Where it cannot be known.
    """

    def test_final(self):
        """
        The answer is 503 and deletes the cookie; the id is dead here from then on, also
        when the store is back, which then hears of it.
        """
        client = self.away()
        twin = self.twin(client)
        self.store.down = OUTAGE
        answer = self.assertLeft(client, "/leave?clear=cache")
        self.assertEqual(answer.get("clear-site-data"), '"cache"')
        self.assertEqual(answer.get("cache-control"), "no-store")
        self.assertEqual(client.sent(), [])
        self.store.down = None
        self.assertEqual(self.stored(), 1)
        answer = twin.fetch("/count")
        self.assertEqual((answer.body, answer.cookie), (b"count 1", None))
        self.assertEqual(self.ends(), [])
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.ends(), [("logout", None)])
        self.assertEqual(self.seen(twin), b"nobody 0 0")
        self.goBy(LINGER)
        self.assertEqual(self.seen(twin), b"nobody 0 0")
        self.assertEqual(self.calls(), 2)

    def test_signInAfterwards(self):
        """
        Whoever signs in when the store is back is in, and stays so.
        """
        client = self.away()
        self.store.down = OUTAGE
        self.assertLeft(client)
        self.store.down = None
        self.assertEqual(client.fetch("/in?who=bob").body, b"bob 1 0")
        self.clock.advance(2)
        self.assertEqual(self.seen(client), b"bob 1 0")

    def test_backAtOnce(self):
        """
        Where the store answers again by then, the response waits for it, and is the
        page's own.
        """
        for fails in (False, True):
            client = self.away()
            self.store.down = OUTAGE
            self.store.hold("delete")
            client.send("/leave")
            self.assertTrue(client.silent)
            self.store.down = None
            if fails:
                self.store.fail(OUTAGE)
            self.store.pass_()
            answer = client.answer()
            self.assertEqual(answer.code, 503 if fails else 200)
            self.assertTrue(answer.deletes)
            self.clock.advance(2)
            self.assertEqual(self.stored(), 0)

    def test_inMemory(self):
        """
        A session that is in memory, of which the store has to be asked what has become
        of it, ends at once and as a whole: requests that hold it bring nothing back.
        """
        client = self.uncertain()
        self.store.down = None
        session = next(iter(self.site.sessions.values()))
        other = self.twin(client)
        other.send("/wait")
        request, held = self.waiting.pop()
        self.assertIs(held, session)
        ended = []
        session.notifyOnExpire(lambda: ended.append(True))
        self.store.down = OUTAGE
        self.assertLeft(client)
        self.assertEqual(ended, [True])
        self.assertEqual(self.ends(), [("logout", "ann")])
        self.assertEqual(dict(self.site.sessions), {})
        self.store.down = None
        held["late"] = 1
        request.finish()
        answer = other.answer()
        self.assertEqual(answer.code, 503)
        self.assertFalse(answer.sets)
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.ends(), [("logout", "ann")])
        self.assertEqual(self.seen(other), b"nobody 0 0")

    def test_kept(self):
        """
        The same if it has left memory, and somebody has the object still.
        """
        client = self.visitor("/in")
        session = next(iter(self.site.sessions.values()))
        self.goBy(LINGER)
        self.store.down = OUTAGE
        self.assertLeft(self.again(client))
        self.assertEqual(self.ends(), [("logout", "ann")])
        self.assertRaises(AlreadyCalled, session.touch)
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)

    def test_callbacks(self):
        """
        What waits for the end of a session that has left memory is called.
        """
        ended = []

        def page(request):
            request.getSession().notifyOnExpire(lambda: ended.append(True))
            return b""

        self.page(page)
        client = self.visitor("/in", "/page")
        self.goBy(LINGER)
        self.store.down = OUTAGE
        self.assertLeft(self.again(client))
        self.assertEqual(ended, [True])

    def test_loading(self):
        """
        A request whose session is being loaded then does not get it.
        """
        requests = []
        self.page(lambda request: requests.append(request) or NOT_DONE_YET)
        client = self.away()
        other = self.twin(client)
        self.store.down = OUTAGE
        client.send("/page")
        self.store.down = None
        self.store.hold("load", "delete")
        other.send("/look")
        requests[0].logout()
        requests[0].finish()
        self.assertEqual(self.store.names(), ["load", "delete"])
        self.store.release(1)
        self.assertEqual(other.answer().body, b"nobody 0 0")
        self.store.pass_()
        self.assertEqual(client.answer().code, 200)
        self.assertEqual(self.stored(), 0)

    def test_thenASession(self):
        """
        A session that is asked for afterwards is a new one, and does not hide that it
        failed.
        """
        sessions = []

        def page(request):
            self.assertRaises(SessionUnavailable, request.getSession)
            request.logout()
            session = request.getSession()
            sessions.append(session)
            session["flash"] = "bye"
            return tell(session)

        self.page(page)
        client = self.away()
        self.store.down = OUTAGE
        answer = self.assertLeft(client, "/page")
        self.assertNotIn(b"bye", answer.body)
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)
        self.assertIs(type(sessions[0]), Session)

    def test_again(self):
        """
        Who asks for it once more, by the same id, is told the truth: it is certain when
        the store has heard of it.
        """
        client = self.away()
        twin = self.twin(client)
        self.store.down = OUTAGE
        self.assertLeft(client)
        self.assertLeft(self.twin(twin))
        self.goBy(LINGER)
        self.assertLeft(self.twin(twin))
        self.assertEqual(len(self.site._live.tombstones), 1)
        self.store.down = None
        self.assertEqual(self.twin(twin).fetch("/leave").code, 200)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.ends(), [("logout", None)])
        self.assertEqual(self.twin(twin).fetch("/leave").code, 200)
        self.clock.advance(2)
        self.assertEqual(self.ends(), [("logout", None)])

    def test_againOfARead(self):
        """
        The same after a logout of a session that could be read.
        """
        client = self.visitor("/in")
        twin = self.twin(client)
        self.store.down = OUTAGE
        self.assertLeft(client, "/out")
        self.assertLeft(twin)
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.ends(), [("logout", "ann")])

    def test_madeUp(self):
        """
        An id that somebody made up ends nothing, and is no end of a session.
        """
        self.store.down = OUTAGE
        for number in range(3):
            self.asked(f"sid={number:064x}", path="/leave")
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(len(self.site._live.tombstones), 0)
        self.assertEqual(self.ends(), [])

    def test_otherPages(self):
        """
        A logout by one id does nothing to another.
        """
        client, other = self.away(), self.away()
        self.store.down = OUTAGE
        self.assertLeft(self.again(client))
        self.assertEqual(self.twin(other).fetch("/look").code, 503)
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.seen(other), b"ann 1 0")
        self.assertEqual(self.stored(), 1)

    def test_started(self):
        """
        Where the response has begun, no complete answer stands for it.
        """

        def page(request):
            request.write(b"begun")
            self.clock.callLater(1, request.logout)
            self.clock.callLater(2, request.finish)
            return NOT_DONE_YET

        self.page(page)
        client = self.away()
        self.store.down = OUTAGE
        client.send("/page")
        self.assertIn(b"begun", client.rest())
        self.clock.advance(1)
        self.clock.advance(1)
        self.clock.advance(0)
        self.assertTrue(client.wire.aborted)
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)

    def test_clientLeaves(self):
        """
        If the client has left meanwhile, it ends all the same.
        """
        requests = []
        self.page(lambda request: requests.append(request) or NOT_DONE_YET)
        client = self.away()
        twin = self.twin(client)
        self.store.down = OUTAGE
        client.send("/page")
        client.leave()
        requests[0].logout()
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.seen(twin), b"nobody 0 0")

    def test_ownExpire(self):
        """
        A session's class of the application's own has no part in the end of what
        cannot be read.
        """

        class Theirs(Session):
            """
            One that needs what is in it.
            """

            def expire(self):
                """
                Do something first.
                """
                self.sessionNamespaces["count"] += 1
                return super().expire()

        self.site.sessionFactory = Theirs
        client = self.away()
        self.store.down = OUTAGE
        self.assertLeft(client)
        self.store.down = None
        self.clock.advance(2)
        self.assertEqual(self.stored(), 0)


class ProcessTests(LeavingCase):
    """
    What other processes see of it, and what is left when this one ends.
    """

    def test_elsewhere(self):
        """
        Another process that reaches the store takes the id until the store has heard of
        it; from then on a late request gets no cookie there either.
        """
        there = self.serveElsewhere(self.root)
        client = self.away()
        twin = self.twin(client, site=there)
        self.store.down = OUTAGE
        self.assertLeft(client)
        self.assertEqual(self.seen(twin), b"ann 1 0")
        self.store.down = None
        self.clock.advance(2)
        answer = twin.fetch("/count")
        self.assertEqual((answer.body, answer.cookie), (b"count 1", None))

    def test_cleanEnd(self):
        """
        At a clean end the store is told, if it is back by then.
        """
        client = self.away()
        self.store.down = OUTAGE
        self.assertLeft(client)
        self.store.down = None
        self.site.stopFactory()
        self.successResultOf(self.site.closed())
        self.successResultOf(self.store.inner.open())
        self.assertEqual(self.stored(), 0)

    def test_endInTheOutage(self):
        """
        If it is not, the id lives on in the next process.
        """
        client = self.away()
        twin = self.twin(client)
        self.store.down = OUTAGE
        self.assertLeft(client)
        self.site.stopFactory()
        self.successResultOf(self.site.closed())
        there = self.serveElsewhere(self.root)
        self.assertEqual(self.seen(self.twin(twin, site=there)), b"ann 1 0")

    def test_neverOpened(self):
        """
        A process whose store could never be opened keeps it in mind until it can.
        """
        client = self.away()
        twin = self.twin(client)
        slow = SlowStore(self.store.inner)
        slow.down = OUTAGE
        self.stores.append(slow)
        there = self.serve(self.root, store=slow, keys=self.keys)
        self.assertLeft(self.client(jar=client.jar, site=there))
        self.assertEqual(slow.calls.count("open"), 1)
        slow.down = None
        self.clock.advance(FIRST_RETRY)
        self.clock.advance(0)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.seen(self.twin(twin, site=there)), b"nobody 0 0")


class BearerTests(LeavingCase):
    """
    Programs.
    """

    policy = CookiePolicy(bearer=True)
    tellsIds = True

    def program(self, path, uid=""):
        """
        The answer to a program.
        """
        headers = (f"Authorization: Session {uid}".strip(),)
        answer = self.client().fetch(path, headers=headers)
        self.assertEqual(answer.all("set-cookie"), [])
        return answer

    def test_program(self):
        """
        A program signs out by its header, in an outage too, and a cookie that came
        along has nothing to do with it.
        """

        def enter(request):
            session = request.getSession()
            session["more"] = 1
            return session.uid

        self.page(enter)
        client = self.visitor("/in")
        uids = [self.program("/page").body.decode() for _ in range(2)]
        self.goBy(LINGER)
        self.assertEqual(self.program("/leave", uids[0]).code, 200)
        self.assertEqual(self.stored(), 2)
        self.store.down = OUTAGE
        headers = (f"Authorization: Session {uids[1]}",)
        answer = self.twin(client).fetch("/leave", headers=headers)
        self.assertEqual((answer.code, answer.cookie), (503, None))
        self.assertEqual(self.program("/leave", uids[1]).code, 503)
        self.assertEqual(self.program("/leave").code, 200)
        self.store.down = None
        self.assertEqual(self.program("/look", uids[1]).body, b"nobody 0 0")
        self.clock.advance(2)
        self.assertEqual(self.stored(), 1)
        self.assertEqual(self.seen(client), b"ann 1 0")
        self.assertEqual(self.program("/leave", uids[1]).code, 200)
