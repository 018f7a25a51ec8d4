"""
Sessions are loaded before the page is rendered, and a store that cannot be asked
is never taken for one that has no such session.
"""

from __future__ import annotations

from twisted.logger import formatEvent
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, count, look
from txsessions.errors import SessionUnavailable


class LoadingCase(WebCase):
    """
    A session that one process made and another one loads.
    """

    def start(self, page=look, **how):
        """
        Make a session in one process and serve a page in another.

        @return: A client of the second.
        """
        self.serve(count)
        jar = self.client().fetch, self.clients[-1].jar
        jar[0]()
        self.there = self.serveElsewhere(page, **how)
        self.slow = self.there.slow
        return self.client(site=self.there, jar=jar[1])


class LoadingTests(LoadingCase):
    """
    A store that takes time.
    """

    def test_beforeRender(self):
        """
        The page is rendered when the session is there, with what is in it.
        """
        rendered = []

        def page(request):
            rendered.append(request)
            return look(request)

        client = self.start(page)
        self.slow.hold("load")
        client.send()
        self.turn(3)
        self.assertEqual((rendered, self.slow.names()), ([], ["load"]))
        self.slow.release()
        self.assertEqual(client.answer().body, b"count 1")

    def test_traversal(self):
        """
        The session is there during traversal already.
        """

        class Root(Resource):
            def getChild(self, path, request):
                text = look(request)
                return Page(lambda _: text)

        client = self.start(Root())
        self.slow.hold("load")
        client.send("/a")
        self.slow.release()
        self.assertEqual(client.answer().body, b"count 1")

    def test_withoutCookie(self):
        """
        A request without a cookie of ours does not reach the store.
        """
        self.serve(look)
        for headers in (
            (),
            ("Cookie: other=1; third=2",),
            ("Cookie: sid=short",),
            ("Cookie2: sid=" + "ab" * 32,),
            ("X-Session: sid=" + "ab" * 32, "Authorization: sid=" + "ab" * 32),
        ):
            client = self.client()
            self.assertEqual(client.fetch(headers=headers).body, b"count 0")
            path = "/?sid=" + "ab" * 32
            self.assertEqual(client.fetch(path, headers=headers).body, b"count 0")
        self.assertEqual(self.store.calls, ["open"])

    def test_liveAndFresh(self):
        """
        A session that is live, and that nobody else can have changed, is not
        loaded.
        """
        self.serve(look)
        root = Resource()
        root.putChild(b"count", Page(count))
        root.putChild(b"look", Page(look))
        self.site.resource = root
        client = self.client()
        client.fetch("/count")
        client.fetch("/look")
        before = len(self.store.calls)
        self.assertEqual(client.fetch("/look").body, b"count 1")
        self.assertEqual(len(self.store.calls), before)

    def test_neverAdopted(self):
        """
        An id that the client made up is not taken.
        """
        self.serve(count)
        client = self.client()
        madeUp = "0123456789abcdef" * 4
        answer = client.fetch(headers=(f"Cookie: sid={madeUp}",))
        self.assertTrue(answer.sets)
        self.assertNotEqual(answer.cookie.value, madeUp)
        self.assertNotIn(madeUp.encode(), self.site.sessions)

    def test_bothNames(self):
        """
        Both cookies are looked up, since a resource may yet say how the request
        came; the page waits for both.
        """
        client = self.start()
        self.slow.hold("load")
        other = "fedcba9876543210" * 4
        client.send(headers=(f"Cookie: __Host-sid={other}",))
        self.assertEqual(self.slow.names(), ["load", "load"])
        self.slow.release(1)
        self.assertTrue(client.silent)
        self.slow.release()
        self.assertEqual(client.answer().body, b"count 1")

    def test_sharedLoad(self):
        """
        Requests that come with one id while it is loaded share one load more, and
        all have the same object.
        """
        seen = []

        def page(request):
            seen.append(request.getSession())
            return look(request)

        client = self.start(page)
        others = [self.client(site=self.there, jar=client.jar) for _ in range(3)]
        self.slow.hold("load")
        for one in (client, *others):
            one.send()
        self.assertEqual(self.slow.names(), ["load"])
        self.slow.release()
        self.assertEqual(client.answer().body, b"count 1")
        self.assertEqual(self.slow.names(), ["load"])
        self.slow.release()
        for one in others:
            self.assertEqual(one.answer().body, b"count 1")
        self.assertEqual(len(set(map(id, seen))), 1)

    def test_expiredRecord(self):
        """
        A record past its deadline is absent, though nobody has swept it: a new
        session is made, with another id.
        """
        client = self.start()
        old = client.sent()
        self.clock.advance(961)
        client = self.client(site=self.there, jar=client.jar)
        answer = client.fetch()
        self.assertEqual(answer.body, b"count 0")
        self.assertEqual(client.sent(), old, "a dead id's cookie is left alone")

    def test_rendersRaising(self):
        """
        A page that raises after the load is a 500, and the connection goes on.
        """
        self.expects500 = True

        def page(request):
            if request.args:
                return 1 / 0
            return look(request)

        client = self.start(page)
        self.slow.hold("load")
        client.send("/?raise=1")
        self.slow.release()
        self.assertEqual(client.answer().code, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        client.send()
        self.slow.release()
        self.assertEqual(client.answer().body, b"count 1")

    def test_errorBeyondThePage(self):
        """
        What goes wrong outside of any page, as in the writing of the access
        log, closes the connection, as it does in plain Twisted.
        """

        def formatLine(when, request):
            return 1 / 0

        client = self.start(logFormatter=formatLine)
        self.slow.hold("load")
        client.send()
        self.slow.release()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertTrue(client.wire.disconnecting or not client.wire.connected)

    def test_errorInTheNextRequest(self):
        """
        Releasing one reply runs the next pipelined request: if that breaks the
        channel, the first answer is out and the connection closed.
        """

        class Broken(Exception):
            """
            The request factory's.
            """

        client = self.start(count)
        make = self.there.requestFactory
        made = []

        def factory(*args, **kwargs):
            made.append(1)
            if len(made) > 1:
                raise Broken
            return make(*args, **kwargs)

        self.there.requestFactory = factory
        client = self.client(site=self.there, jar=client.jar)
        self.slow.hold()
        client.sendBytes(client.render() + client.render())
        self.slow.release()
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 1)
        self.assertEqual(client.answer().body, b"count 2")
        self.assertTrue(client.wire.disconnecting)


class SchemeTests(LoadingCase):
    """
    Ids that come by the wrong cookie.
    """

    def test_otherScheme(self):
        """
        An id of the insecure cookie in the secure one, and the other way round,
        is refused and told.
        """
        self.serve(count)
        for secure, name in ((True, "sid"), (False, "__Host-sid")):
            client = self.client(secure=secure)
            value = client.fetch().cookie.value
            thief = self.client(secure=not secure)
            answer = thief.fetch(headers=(f"Cookie: {name}={value}",))
            self.assertEqual(answer.body, b"count 1")
            self.assertNotEqual(answer.cookie.value, value)
        self.assertEqual(self.counted("refused"), 2)

    def test_ownCookieOfTheOtherScheme(self):
        """
        Over HTTPS the insecure cookie is not looked at for the session, and
        over HTTP the secure one is not.
        """
        self.serve(count)
        for secure, name in ((True, "__Host-sid"), (False, "sid")):
            client = self.client(secure=secure)
            value = client.fetch().cookie.value
            thief = self.client(secure=not secure)
            answer = thief.fetch(headers=(f"Cookie: {name}={value}",))
            self.assertEqual(answer.body, b"count 1")

    def test_twoValues(self):
        """
        Two values of our name are no session, and told.
        """
        self.serve(count)
        client = self.client()
        value = client.fetch().cookie.value
        answer = client.fetch(headers=("Cookie: sid=" + "0123456789abcdef" * 4,))
        self.assertEqual(answer.body, b"count 1")
        self.assertNotEqual(answer.cookie.value, value)
        self.assertEqual(self.counted("refused"), 1)

    def test_controls(self):
        """
        Control characters in names and values are no session's and no error, and none
        gets into the log, by which a line of it could be made up.
        """
        self.serve(count)
        client = self.client()
        value = client.fetch().cookie.value
        for octet in [*range(1, 9), *range(11, 13), *range(14, 32), 0, 0x7F, 0x85]:
            sign = chr(octet)
            for header in (
                f"sid={value}{sign}",
                f"sid={sign}{value}",
                f"sid={value[:9]}{sign}{value[9:]}",
                f"s{sign}id={value}",
                f"a{sign}=1; b={sign}sid; sid={value}x{sign}y",
            ):
                thief = self.client()
                answer = thief.fetch(headers=(f"Cookie: {header}",), cookies=False)
                # NUL is refused by Twisted since 24.10.
                if octet or answer.code != 400:
                    self.assertEqual(answer.body, b"count 1", header)
        said = "".join(formatEvent(event) for event in self.logged)
        self.assertEqual({sign for sign in said if not sign.isprintable()}, set())


class OutageTests(LoadingCase):
    """
    A store that is down while a session is to be loaded.
    """

    def test_pagesWithoutSession(self):
        """
        Pages that do not use the session go on working.
        """
        client = self.start(lambda request: b"plain")
        self.slow.down = OUTAGE
        answer = client.fetch()
        self.assertEqual((answer.code, answer.body), (200, b"plain"))
        self.assertIsNone(answer.cookie)

    def test_pagesWithSession(self):
        """
        Others answer 503; when the store is back, so is the session.
        """
        client = self.start(count)
        self.slow.down = OUTAGE
        answer = client.fetch()
        self.assertEqual(answer.code, 503)
        self.assertNotIn(b"Traceback", answer.body)
        self.slow.down = None
        self.assertEqual(client.fetch().body, b"count 2")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_answersLater(self):
        """
        The same where the store has kept the client waiting first.
        """
        client = self.start(count)
        self.slow.hold("load")
        client.send()
        self.slow.fail(OUTAGE)
        self.assertEqual(client.answer().code, 503)

    def test_caught(self):
        """
        A page may catch the error and do without; it is still one that depends
        on the cookie.
        """

        def page(request):
            try:
                return look(request)
            except SessionUnavailable:
                return b"without"

        client = self.start(page)
        self.slow.down = OUTAGE
        answer = client.fetch()
        self.assertEqual((answer.code, answer.body), (200, b"without"))
        self.assertIsNone(answer.cookie)
        self.assertEqual(answer.get("vary"), "Cookie")
        self.assertIsNone(client.fetch().cookie)

    def test_raisedLater(self):
        """
        A page that asks for the session in the background, and gives the error
        to C{processingFailed}, answers 503 too.
        """
        requests = []

        def page(request):
            requests.append(request)
            return NOT_DONE_YET

        client = self.start(page)
        self.slow.down = OUTAGE
        client.send()
        error = self.assertRaises(SessionUnavailable, requests[0].getSession)
        self.assertEqual(error.retryAfter, 2)
        requests[0].processingFailed(Failure(error))
        self.assertEqual(client.answer().code, 503)

    def test_unexpectedError(self):
        """
        A store with a bug is out of order too; its error is logged.
        """
        client = self.start(count)
        self.slow.down = ZeroDivisionError("bug")
        self.assertEqual(client.fetch().code, 503)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_newVisitor(self):
        """
        A visitor without a cookie reads pages as long as nothing is to be kept;
        else the answer is 503, without a cookie.
        """
        root = Resource()
        root.putChild(b"count", Page(count))
        root.putChild(b"look", Page(look))
        self.serve(root)
        self.store.down = OUTAGE
        client = self.client()
        self.assertEqual(client.fetch("/look").code, 200)
        self.assertEqual(client.fetch("/count").code, 503)
        self.store.down = None
        self.assertEqual(client.fetch("/count").body, b"count 1")

    def test_entropyFails(self):
        """
        Without chance there are no ids, and no way around that.
        """
        self.serve(count)

        def broken(size):
            raise OSError("no entropy")

        self.site._entropy = broken
        self.assertEqual(self.client().fetch().code, 503)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.stored(), 0)


class OpeningTests(LoadingCase):
    """
    A store that is not open yet.
    """

    def setUp(self):
        """
        Opening takes time.
        """
        super().setUp()
        self.store.hold("open")

    def test_waits(self):
        """
        Requests wait for it: those that load, and those that save.
        """
        self.serve(count)
        old, new = self.client(), self.client()
        old.send(headers=("Cookie: sid=" + "0123456789abcdef" * 4,))
        new.send()
        self.assertTrue(old.silent)
        self.assertTrue(new.silent)
        self.store.pass_()
        self.assertEqual(old.answer().body, b"count 1")
        self.assertEqual(new.answer().body, b"count 1")
        self.assertEqual(self.stored(), 2)

    def test_pagesWithoutSession(self):
        """
        Pages without a session do not.
        """
        self.serve(lambda request: b"plain")
        self.assertEqual(self.client().fetch().body, b"plain")

    def test_takesTooLong(self):
        """
        They do not wait for ever.
        """
        self.serve(count)
        old, new = self.client(), self.client()
        old.send(headers=("Cookie: sid=" + "0123456789abcdef" * 4,))
        new.send()
        self.clock.advance(1.9)
        self.assertTrue(old.silent)
        self.clock.advance(0.2)
        self.assertEqual(old.answer().code, 503)
        self.assertEqual(new.answer().code, 503)

    def test_cannotBeOpened(self):
        """
        A store that cannot be opened is tried again, and heals by itself.
        """
        self.serve(count)
        client = self.client()
        self.store.holding = frozenset()
        self.store.fail(OUTAGE)
        self.assertEqual(client.fetch().code, 503)
        self.clock.advance(1)
        self.assertEqual(client.fetch().body, b"count 1")


__all__ = ["LoadingCase"]
