"""
A reply waits until the store has acknowledged the session, whatever kind of reply
it is, and comes out as Twisted would have written it.
"""

from __future__ import annotations

from twisted.web.http import NOT_MODIFIED
from twisted.web.resource import NoResource, Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import Data

from tests.web.oracle import WebCase
from tests.web.pages import GetPage, Page, change, count


class HeldCase(WebCase):
    """
    Serves one page and compares what is held with what plain Twisted sends.
    """

    def held(self, client, method="GET", path="/", **how):
        """
        Send a request, see that nothing is answered before the store has, and
        give the answer.
        """
        self.store.hold()
        client.send(path, method, **how)
        self.assertEqual(len(self.store.pending), 1, self.store.names())
        self.turn(3)
        self.assertTrue(client.silent, "answered too early")
        self.store.release()
        self.turn(3)
        answer = client.answer()
        self.assertEqual(self.store.pending, [])
        self.store.pass_()
        return answer


class MethodTests(HeldCase):
    """
    Replies to the methods of HTTP.
    """

    def test_get(self):
        """
        The reply to the first request waits for the insert and carries the
        cookie; that to the second waits for the change and carries none.
        """
        self.serve(count)
        client = self.client()
        answer = self.held(client)
        self.assertEqual((answer.code, answer.body), (200, b"count 1"))
        self.assertTrue(answer.sets)
        answer = self.held(client)
        self.assertEqual((answer.code, answer.body), (200, b"count 2"))
        self.assertIsNone(answer.cookie)
        self.assertEqual(self.store.calls.count("insert"), 1)
        self.assertEqual(self.store.calls.count("replace"), 1)

    def test_unchangedIsNotHeld(self):
        """
        A reply whose session has not changed waits for nothing.
        """
        self.serve(
            lambda request: (
                b"%d" % len(request.getSession().sessionNamespaces)
                if request.args
                else count(request)
            )
        )
        client = self.client()
        client.fetch()
        self.store.hold()
        self.assertEqual(client.fetch("/?look=1").body, b"1")
        self.assertEqual(self.store.pending, [])

    def test_withoutSessionIsNotHeld(self):
        """
        A page that does not use the session is answered while the store is
        busy with the same client's.
        """
        root = Resource()
        root.putChild(b"", Page(count))
        root.putChild(b"plain", Data(b"plain", "text/plain"))
        self.serve(root)
        client = self.client()
        client.fetch()
        self.store.hold()
        client.send()
        self.assertTrue(client.silent)
        other = self.client(jar=client.jar)
        self.assertEqual(other.fetch("/plain").body, b"plain")
        self.store.release()
        self.assertEqual(client.answer().body, b"count 2")

    def test_head(self):
        """
        A page that knows HEAD answers without a body.
        """
        self.serve(count)
        answer = self.held(self.client(), "HEAD")
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(answer.get("content-length"), "7")
        self.assertTrue(answer.sets)

    def test_fakedHead(self):
        """
        Twisted fakes HEAD with GET: the length is told and no body sent.
        """
        self.serve(GetPage(count))
        client = self.client()
        answer = self.held(client, "HEAD")
        self.assertEqual(answer.get("content-length"), "7")
        self.assertTrue(answer.sets)
        # The connection is still in step.
        self.assertEqual(self.held(client).body, b"count 2")

    def test_fakedHeadOfAWriter(self):
        """
        A page that writes piece by piece under a faked HEAD sends nothing, so
        that its session does not come too late.
        """

        def render(request):
            session = change(request)
            request.write(b"one ")
            session.rotate(request)
            request.write(b"two")
            return b""

        self.serve(GetPage(render))
        client = self.client()
        answer = self.held(client, "HEAD")
        self.assertEqual(answer.body, b"")
        self.assertTrue(answer.sets)
        self.assertEqual(client.rest(), b"")

    def test_post(self):
        """
        A form reaches the page before the reply is held.
        """

        def render(request):
            session = request.getSession()
            session["name"] = request.args[b"name"][0]
            return session["name"]

        self.serve(GetPage(render))
        answer = self.held(
            self.client(),
            "POST",
            headers=("Content-Type: application/x-www-form-urlencoded",),
            body=b"name=Ada",
        )
        self.assertEqual(answer.body, b"Ada")

    def test_continue(self):
        """
        100 Continue is sent at once, also on a connection whose reply is held
        later.
        """
        self.serve(count)
        client = self.client()
        self.store.hold()
        request = client.render("/", "PUT", headers=("Expect: 100-continue",))
        head = request.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n")
        client.sendBytes(head)
        self.assertEqual(client.wire.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendBytes(b"abc")
        self.assertEqual(client.wire.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.store.release()
        self.assertEqual(client.answer().body, b"count 1")

    def test_chunkedUpload(self):
        """
        A chunked body is read before the page is rendered, and a cookie in its
        trailer is nobody's.
        """

        def render(request):
            change(request)
            return request.content.read()

        self.serve(render)
        client = self.client()
        request = client.render("/", "POST", headers=("Transfer-Encoding: chunked",))
        client.sendBytes(
            request
            + b"3\r\nabc\r\n2\r\nde\r\n0\r\nCookie: sid="
            + b"ab" * 32
            + b"\r\n\r\n"
        )
        answer = client.answer()
        self.assertEqual(answer.body, b"abcde")
        self.assertEqual(self.counted("refused"), 0)
        self.assertNotIn("load", self.store.calls)


class KindTests(HeldCase):
    """
    Replies of other kinds than a page.
    """

    def test_redirect(self):
        """
        A redirect is held, also one that the page finishes itself.
        """

        def render(request):
            change(request)
            request.redirect(b"/next")
            if request.args:
                request.finish()
                return NOT_DONE_YET
            return b""

        self.serve(render)
        for path in ("/", "/?finish=1"):
            answer = self.held(self.client(), path=path)
            self.assertEqual((answer.code, answer.get("location")), (302, "/next"))
            self.assertTrue(answer.sets)
            self.assertEqual(answer.get("cache-control"), "no-store")

    def test_notModified(self):
        """
        304 has no body, though the page returns one, and the next reply on the
        connection is in step.
        """

        def render(request):
            change(request)
            if request.setETag(b'"one"'):
                return b""
            return b"body"

        self.serve(render)
        client = self.client()
        for _ in range(2):
            answer = self.held(client, headers=('If-None-Match: "one"',))
            self.assertEqual((answer.code, answer.body), (304, b""))
        self.assertEqual(self.held(client).body, b"body")

    def test_bodyFor304And204(self):
        """
        Bodies that may not be are not sent.
        """

        def render(request):
            change(request)
            request.setResponseCode(int(request.args[b"code"][0]))
            request.write(b"must not be seen")
            request.finish()
            return NOT_DONE_YET

        self.serve(render)
        client = self.client()
        for code in (NOT_MODIFIED, 204):
            answer = self.held(client, path=f"/?code={code}")
            self.assertEqual((answer.code, answer.body), (code, b""))
            self.assertEqual(client.rest(), b"")

    def test_finishWithoutWrite(self):
        """
        C{finish()} alone is an answer too.
        """

        def render(request):
            change(request)
            request.finish()
            return NOT_DONE_YET

        self.serve(render)
        answer = self.held(self.client())
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertTrue(answer.sets)

    def test_notDoneYet(self):
        """
        A page that answers later is held then; what it changed before is saved
        at once.
        """
        waiting = []

        def render(request):
            change(request)
            waiting.append(request)
            return NOT_DONE_YET

        self.serve(render)
        client = self.client()
        self.store.hold()
        client.send()
        self.assertEqual(self.store.names(), ["insert"])
        waiting[0].write(b"later")
        waiting[0].finish()
        self.assertTrue(client.silent)
        self.assertEqual(self.store.names(), ["insert"])
        self.store.release()
        answer = client.answer()
        self.assertEqual(answer.body, b"later")
        self.assertTrue(answer.sets)

    def test_secondFinishWhileHeld(self):
        """
        Frameworks finish what is finished already: as long as it is held, that
        is silently ignored.
        """
        requests = []

        def render(request):
            requests.append(request)
            change(request)
            request.write(b"once")
            request.finish()
            request.finish()
            return NOT_DONE_YET

        self.serve(render)
        client = self.client()
        self.store.hold()
        client.send()
        done = requests[0].notifyFinish()
        self.assertNoResult(done)
        self.assertTrue(requests[0].finished)
        requests[0].finish()
        self.assertRaises(RuntimeError, requests[0].write, b"more")
        self.store.release()
        self.successResultOf(done)
        self.assertEqual(client.answer().body, b"once")
        self.assertEqual(self.flushWarnings(), [])

    def test_writeOfWrongType(self):
        """
        What is not bytes raises where it is written, as the transport would.
        """
        raised = []

        def render(request):
            change(request)
            request.write(b"first ")
            try:
                request.channel.write("text")
            except TypeError as error:
                raised.append(error)
            try:
                request.channel.writeSequence([b"x", 1])
            except TypeError as error:
                raised.append(error)
            return b""

        self.serve(render)
        self.held(self.client())
        self.assertEqual(len(raised), 2)

    def test_transportIsNotHeld(self):
        """
        What a page writes to the transport itself, past its own response, is not
        held: it goes out at once, and before what is.
        """

        def page(request):
            change(request)
            request.write(b"held")
            request.transport.write(b"at once")
            request.finish()
            return NOT_DONE_YET

        self.serve(page)
        client = self.client()
        self.store.hold()
        client.send()
        self.assertEqual(client.rest(), b"at once")
        self.store.release()
        self.assertEqual(client.answer().body, b"held")

    def test_headersFreeze(self):
        """
        Headers freeze at the first write, held or not.
        """

        def render(request):
            change(request)
            request.setHeader(b"X-One", b"before")
            request.write(b"body")
            request.setHeader(b"X-One", b"after")
            request.setResponseCode(404)
            request.addCookie("late", "1")
            request.finish()
            return NOT_DONE_YET

        self.serve(render)
        answer = self.held(self.client())
        self.assertEqual((answer.code, answer.get("x-one")), (200, "before"))
        self.assertEqual(len(answer.all("set-cookie")), 1)

    def test_notFoundAndStar(self):
        """
        404 below a page that changes the session is held; C{OPTIONS *} has no
        session and is not.
        """

        class Root(Resource):
            def getChild(self, path, request):
                change(request)
                return NoResource()

        self.serve(Root())
        client = self.client()
        answer = self.held(client, path="/missing")
        self.assertEqual(answer.code, 404)
        self.assertTrue(answer.sets)
        self.store.hold()
        self.assertEqual(client.fetch("*", "OPTIONS").code, 200)
        self.assertEqual(client.fetch("*", "GET").code, 405)

    def test_methodErrors(self):
        """
        405 and 501 are held like others when the session was changed on the way.
        """

        class PostPage(Resource):
            isLeaf = True

            def render_POST(self, request):
                return b""

        class Root(Resource):
            def getChild(self, path, request):
                change(request)
                return PostPage()

        self.serve(Root())
        client = self.client()
        answer = self.held(client, "GET")
        self.assertEqual(answer.code, 405)
        self.assertIn("POST", answer.get("allow"))
        answer = self.held(client, "BREW")
        self.assertEqual(answer.code, 501)

    def test_notBytes(self):
        """
        A page that returns something else is a 500, with what it changed
        before.
        """
        self.expects500 = True

        def render(request):
            change(request)
            return "text"

        self.serve(render)
        answer = self.held(self.client())
        self.assertEqual(answer.code, 500)
        self.assertTrue(answer.sets)
        self.assertEqual(self.stored(), 1)

    def test_loseConnectionWhileHeld(self):
        """
        C{request.loseConnection()} closes after the held bytes have gone out.
        """

        def render(request):
            change(request)
            request.setHeader(b"Content-Length", b"100")
            request.write(b"some")
            request.loseConnection()
            return NOT_DONE_YET

        self.serve(render)
        client = self.client()
        self.store.hold()
        client.send()
        self.assertFalse(client.wire.disconnecting)
        self.store.release()
        self.assertTrue(client.wire.disconnecting)
        self.assertTrue(client.rest().endswith(b"\r\n\r\nsome"))


__all__ = ["HeldCase"]
