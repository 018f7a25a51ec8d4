"""
Logout is final: the reply waits for the deletion, no other request brings the
session back, and only the logout itself deletes the cookie.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import WebCase
from tests.web.pages import Page, change, count


def logOut(request):
    """
    A page that logs out.
    """
    request.getSession().expire()
    return b"out"


class LogoutCase(WebCase):
    """
    A site with a counter, a reader and a logout.
    """

    how: dict = {}  # noqa: RUF012 - what Site is given

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        root = self.root = Resource()
        root.putChild(b"count", Page(count))
        root.putChild(b"out", Page(logOut))
        root.putChild(b"look", Page(self.look))
        root.putChild(b"wait", Page(self.wait))
        self.waiting = []
        self.serve(root, **self.how)

    def look(self, request):
        """
        A page that reads.
        """
        return b"%d" % request.getSession().sessionNamespaces.get("count", 0)

    def wait(self, request):
        """
        A page that has the session and answers later.
        """
        request.getSession()
        self.waiting.append(request)
        return NOT_DONE_YET

    def page(self, render):
        """
        Serve one more page, as C{/page}.
        """
        self.root.putChild(b"page", Page(render))

    def visitor(self, **how):
        """
        A client with a session.
        """
        client = self.client(**how)
        client.fetch("/count")
        return client

    def twin(self, client):
        """
        The same browser's second connection, with the cookies as they are now.
        """
        value = client.sent()[0].decode()
        twin = self.client()
        twin.jar.receive(
            value.encode() + b"; Path=/", host="example.org", path="/", https=False
        )
        return twin


class OwnAnswerTests(LogoutCase):
    """
    The response to the logout.
    """

    def test_held(self):
        """
        It waits until the record is gone, and deletes the cookie.
        """
        client = self.visitor()
        twin = self.twin(client)
        self.store.hold()
        client.send("/out")
        self.assertEqual(self.store.names(), ["delete"])
        self.assertTrue(client.silent)
        # Here it is gone at once.
        self.assertEqual(twin.fetch("/look").body, b"0")
        self.store.release()
        answer = client.answer()
        self.assertEqual(answer.body, b"out")
        self.assertTrue(answer.deletes)
        self.assertEqual(client.sent(), [])
        self.assertEqual(self.stored(), 0)
        self.assertEqual(twin.fetch("/look").body, b"0")

    def test_deferred(self):
        """
        A page may wait for the end itself.
        """
        ends = []

        def page(request):
            done = request.getSession().expire()
            self.assertIsInstance(done, Deferred)
            done.addCallback(ends.append)

            def finish(_):
                request.write(b"out")
                request.finish()

            done.addCallback(finish)
            return NOT_DONE_YET

        self.page(page)
        client = self.visitor()
        self.store.hold()
        client.send("/page")
        self.assertEqual(ends, [])
        self.store.release()
        self.assertEqual(ends, [None])
        self.assertTrue(client.answer().deletes)

    def test_twice(self):
        """
        Twice is once.
        """

        def page(request):
            session = request.getSession()
            session.expire()
            session.expire()
            return b"out"

        self.page(page)
        client = self.visitor()
        self.assertTrue(client.fetch("/page").deletes)
        self.assertEqual(self.store.calls.count("delete"), 1)

    def test_thenNew(self):
        """
        A session asked for afterwards is a new one with its own cookie; the
        reply still waits for the end of the old.
        """
        seen = []

        def page(request):
            first = request.getSession()
            first.expire()
            second = request.getSession()
            seen.append((first, second))
            second["flash"] = "You are logged out."
            return b"out"

        self.page(page)
        client = self.visitor()
        self.store.hold("delete")
        client.send("/page")
        self.assertTrue(client.silent)
        self.store.pass_()
        answer = client.answer()
        self.assertTrue(answer.sets)
        self.assertEqual(len(answer.all("set-cookie")), 1)
        self.assertIsNot(*seen[0])
        self.assertEqual(self.stored(), 1)

    def test_thenEmpty(self):
        """
        If nothing is put into the new one, the cookie is deleted.
        """

        def page(request):
            request.getSession().expire()
            request.getSession()
            return b"out"

        self.page(page)
        client = self.visitor()
        self.store.hold()
        client.send("/page")
        self.assertTrue(client.silent)
        self.store.pass_()
        answer = client.answer()
        self.assertTrue(answer.deletes)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(dict(self.site.sessions), {})

    def test_sessionsDict(self):
        """
        Code that ends a session by C{site.sessions}, as old code does, ends it
        here too.
        """

        def page(request):
            session = request.getSession()
            del request.site.sessions[session.uid]
            return b"out"

        self.page(page)
        client = self.visitor()
        self.store.hold()
        client.send("/page")
        self.assertEqual(self.store.names(), ["delete"])
        self.assertTrue(client.silent)
        self.store.pass_()
        client.answer()
        self.assertEqual(self.stored(), 0)

    def test_nobody(self):
        """
        Without a session, or with a dead id, a logout makes nothing and sets
        nothing, however often.
        """
        client = self.visitor()
        dead = self.twin(client)
        client.fetch("/out")
        nobody = self.client()
        calls = len(self.store.calls)
        for _ in range(300):
            answer = nobody.fetch("/out")
            self.assertEqual((answer.code, answer.cookie), (200, None))
        self.assertEqual(len(self.store.calls), calls)
        for _ in range(300):
            answer = dead.fetch("/out")
            self.assertEqual((answer.code, answer.cookie), (200, None))
        self.assertEqual(self.stored(), 0)
        self.assertEqual(dict(self.site.sessions), {})


class OtherAnswersTests(LogoutCase):
    """
    Requests that run beside the logout.
    """

    def test_lateChange(self):
        """
        One that was loaded before, and changes and answers after the logout,
        brings nothing back and sets no cookie.
        """
        client = self.visitor()
        twin = self.twin(client)
        twin.send("/wait")
        client.fetch("/out")
        session = self.waiting[0].getSession
        self.waiting[0].write(b"late")
        self.waiting[0].finish()
        answer = twin.answer()
        self.assertEqual(answer.body, b"late")
        self.assertIsNone(answer.cookie)
        self.assertEqual(self.stored(), 0)
        self.assertIsNotNone(session)

    def test_lateChangeOfAKeptObject(self):
        """
        The same with the object itself changed.
        """
        kept = []

        def page(request):
            kept.append((request, request.getSession()))
            return NOT_DONE_YET

        self.page(page)
        client = self.visitor()
        twin = self.twin(client)
        twin.send("/page")
        client.fetch("/out")
        request, session = kept[0]
        session["count"] = 100
        session.save()
        request.finish()
        self.assertIsNone(twin.answer().cookie)
        self.assertEqual(self.stored(), 0)

    def test_elsewhere(self):
        """
        The same where the logout was another process's: the change is refused
        by the store, which is no failure.
        """
        there = self.serveElsewhere(self.root)
        client = self.visitor()
        twin = self.twin(client)
        kept = []

        def page(request):
            kept.append((request, change(request)))
            return NOT_DONE_YET

        self.page(page)
        twin.send("/page")
        out = self.client(site=there, jar=client.jar)
        self.assertTrue(out.fetch("/out").deletes)
        request, session = kept[0]
        session["count"] = 100
        request.write(b"late")
        request.finish()
        answer = twin.answer()
        self.assertEqual(answer.body, b"late")
        self.assertIsNone(answer.cookie)
        self.assertEqual(self.stored(), 0)
        self.assertEqual(twin.fetch("/look").body, b"0")

    def test_loadedElsewhere(self):
        """
        A request that comes to another process after a logout was answered is not
        served on the strength of what the store said to one that came before.
        """
        client = self.visitor()
        there = self.serveElsewhere(self.root)
        there.slow.late = True
        jars = [self.twin(client).jar for _ in range(2)]
        early, late = (self.client(site=there, jar=jar) for jar in jars)
        there.slow.hold("load")
        early.send("/look")
        self.assertTrue(client.fetch("/out").deletes)
        late.send("/look")
        there.slow.pass_()
        self.assertEqual(early.answer().body, b"1")
        self.assertEqual(late.answer().body, b"0")

    def test_elsewhereTouch(self):
        """
        A touch that comes too late brings nothing back either.
        """
        there = self.serveElsewhere(self.root)
        client = self.visitor()
        twin = self.twin(client)
        twin.send("/wait")
        self.client(site=there, jar=client.jar).fetch("/out")
        self.clock.advance(100)
        self.waiting[0].getSession().touch()
        self.waiting[0].finish()
        self.assertIsNone(twin.answer().cookie)
        self.assertEqual(self.stored(), 0)

    def test_heldReply(self):
        """
        A reply that is held when the session ends goes out without a cookie,
        when the end is certain.
        """
        client = self.client()
        self.store.hold()
        client.send("/count")
        uid = next(iter(self.site.sessions))
        self.site.sessions[uid].expire()
        self.store.release()
        self.assertEqual(self.store.names(), ["delete"])
        self.assertTrue(client.silent)
        self.store.pass_()
        answer = client.answer()
        self.assertEqual(answer.body, b"count 1")
        self.assertIsNone(answer.cookie)
        self.assertIsNone(answer.get("cache-control"))
        self.assertEqual(self.stored(), 0)

    def test_adminEndsIt(self):
        """
        A session that another visitor's request ends is not deleted from its
        own browser by a response that runs beside: it could overwrite a login.
        """
        client = self.visitor()
        client.send("/wait")
        victim = self.waiting[0].getSession()

        def page(request):
            victim.expire()
            return b"ended"

        self.page(page)
        self.client().fetch("/page")
        self.waiting[0].finish()
        self.assertIsNone(client.answer().cookie)

    def test_idleWhileHeld(self):
        """
        One that runs out by itself is not deleted either.
        """
        client = self.visitor()
        client.send("/wait")
        self.clock.advance(1000)
        self.waiting[0].finish()
        self.assertIsNone(client.answer().cookie)

    def test_expiredInTheStore(self):
        """
        A record that runs out between load and save is gone; nothing partial
        is written.
        """
        there = self.serveElsewhere(self.root)
        kept = []

        def page(request):
            kept.append((request, change(request)))
            return NOT_DONE_YET

        self.page(page)
        client = self.visitor()
        there.slow.hold("replace")
        other = self.client(site=there, jar=client.jar)
        other.send("/page")
        self.assertEqual(there.slow.names(), ["replace"])
        self.clock.advance(961)
        there.slow.pass_()
        kept[0][0].finish()
        self.assertIsNone(other.answer().cookie)
        self.assertEqual(self.stored(), 0)

    def test_overtaken(self):
        """
        A response that sets the cookie and is overtaken by the logout leaves a
        cookie that points to a dead id: the next request is a stranger's.
        """
        client = self.client()
        self.store.hold("insert")
        client.send("/count")
        self.store.pass_()
        late = client.answer()
        self.assertTrue(late.sets)
        client.fetch("/out")
        client.jar.receive(
            late.all("set-cookie")[0].encode(),
            host="example.org",
            path="/",
            https=False,
        )
        self.assertEqual(client.fetch("/look").body, b"0")


__all__ = ["LogoutCase", "logOut"]
