"""
The request takes shorter ways than Twisted's where nobody can tell: whatever a program
has put in the way is still called, and sees what it would see of Twisted's.
"""

from __future__ import annotations

import copy
import gc
import weakref

from twisted.spread.jelly import jelly
from twisted.web import http, server
from twisted.web.http_headers import Headers
from twisted.web.server import NOT_DONE_YET, UnsupportedMethod
from twisted.web.test.requesthelper import DummyChannel

from tests.web.again import AgainCase, count
from tests.web.pages import OUTAGE
from txsessions.web.request import Request


class Logging(server.Request):
    """
    Something for requests that an application has, and puts behind ours.
    """

    def render(self, resrc):
        """
        See C{Request.render}.
        """
        self.setHeader(b"X-Rendered", b"1")
        super().render(resrc)

    def write(self, data):
        """
        See C{Request.write}.
        """
        super().write(data.upper())

    def parseCookies(self):
        """
        See C{Request.parseCookies}.
        """
        super().parseCookies()
        self.received_cookies[b"more"] = b"2"


class RenderTests(AgainCase):
    """
    How what a resource returns gets to the client.
    """

    def test_behind(self):
        """
        What comes after ours in the order of a class is called.
        """

        class Both(Request, Logging):
            """
            Ours first.
            """

        def page(request):
            return b"visit " + count(request) + b" " + request.getCookie(b"more")

        self.serve(page, requestFactory=Both)
        answer = self.client().fetch()
        self.assertEqual((answer.body, answer.get("X-Rendered")), (b"VISIT 1 2", "1"))

    def test_behindTwo(self):
        """
        So is what comes after that, and is not its base.
        """

        class Marking(server.Request):
            """
            Something more that an application has.
            """

            def process(self):
                """
                See C{Request.process}.
                """
                self.setHeader(b"X-Processed", b"1")
                super().process()

        class All(Request, Logging, Marking):
            """
            Ours first.
            """

        self.serve(count, requestFactory=All)
        answer = self.client().fetch()
        self.assertEqual(
            (answer.get("X-Rendered"), answer.get("X-Processed")), ("1", "1")
        )

    def test_behindLater(self):
        """
        So it is where the resource has nothing to return yet.
        """

        class Both(Request, Logging):
            """
            Ours first.
            """

        def page(request):
            request.write(count(request))
            request.finish()
            return NOT_DONE_YET

        self.serve(page, requestFactory=Both)
        self.assertEqual(self.client().fetch().get("X-Rendered"), "1")

    def test_replaced(self):
        """
        A method of Twisted's that is replaced later is replaced for ours.
        """
        called = []
        self.serve(count)
        client = self.client()
        for name in ("process", "render", "write", "finish"):
            theirs = getattr(server.Request, name)

            def replacement(request, *args, name=name, theirs=theirs):
                called.append(name)
                return theirs(request, *args)

            self.patch(server.Request, name, replacement)
        self.assertEqual(client.fetch().body, b"1")
        self.assertEqual(called, ["process", "render", "write", "finish"])

    def test_replacedForTheNext(self):
        """
        What is looked for once a connection, the next one finds.
        """
        called = []
        self.serve(count)
        for name in ("parseCookies", "setHeader"):
            theirs = getattr(server.Request, name)

            def replacement(request, *args, name=name, theirs=theirs):
                called.append(name)
                return theirs(request, *args)

            self.patch(server.Request, name, replacement)
        self.assertEqual(self.client().fetch().body, b"1")
        self.assertEqual(called[0], "parseCookies")
        self.assertIn("setHeader", called)

    def test_replacedInAClass(self):
        """
        So it is with a class of the application's.
        """

        class Own(server.Request):
            """
            A class that knows Twisted's only.
            """

        self.serve(count, requestFactory=Own)
        client = self.client()
        client.fetch()

        def process(request):
            request.setHeader(b"X-Replaced", b"1")
            server.Request.process(request)

        Own.process = process
        self.assertEqual(client.fetch().get("X-Replaced"), "1")

    def test_setHeader(self):
        """
        How long the body is is said by the C{setHeader} of the class.
        """
        said = []

        class Own(Request):
            """
            A class that looks at the headers.
            """

            def setHeader(self, name, value):
                """
                See C{Request.setHeader}.
                """
                said.append((name.lower(), value))
                super().setHeader(name, value)

        self.serve(count, requestFactory=Own)
        self.assertEqual(self.client().fetch().get("Content-Length"), "1")
        self.assertIn((b"content-length", b"1"), said)

    def test_bodies(self):
        """
        What is no bytes is answered as Twisted does, and what is a subclass of them.
        """

        class Text(bytes):
            """
            Bytes that are more.
            """

            __slots__ = ()

        self.expects500 = True
        for body, code in ((Text(b"text"), 200), (bytearray(b"text"), 500)):

            def page(request, body=body):
                count(request)
                return body

            client = self.client(site=self.serve(page))
            answer = client.fetch()
            self.assertEqual(answer.code, code)
            self.assertEqual(
                "Request did not return bytes" in str(answer.body), code == 500
            )
            length = answer.get("Content-Length")
            self.assertEqual(length, str(len(answer.body)))
            answer = client.fetch("/", "HEAD")
            self.assertEqual((answer.code, answer.body), (code, b""))
            if code == http.OK:
                self.assertEqual((length, answer.get("Content-Length")), ("4", "4"))

    def test_fakedHead(self):
        """
        To fake C{HEAD} a resource is rendered twice, and what is no other method once.
        """
        rendered = []

        def page(request):
            rendered.append(request.method)
            if request.method != b"GET":
                raise UnsupportedMethod([b"GET"])
            return count(request)

        self.serve(page)
        client = self.client()
        self.assertEqual(client.fetch("/", "HEAD").get("Content-Length"), "1")
        self.assertEqual(rendered, [b"HEAD", b"GET"])
        answer = client.fetch("/", "POST")
        self.assertEqual((answer.code, answer.get("Allow")), (405, "GET"))
        self.assertEqual(client.fetch("/", "BREW").code, 501)
        self.assertEqual(rendered, [b"HEAD", b"GET", b"POST", b"BREW"])

    def test_letGo(self):
        """
        A request whose method is not supported is let go without the collector.
        """
        seen = []

        def page(request):
            seen.append(weakref.ref(request))
            raise UnsupportedMethod([b"GET"])

        self.serve(page)
        client = self.client()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.assertEqual(client.fetch("/", "POST").code, 405)
        client.leave()
        self.turn()
        self.assertEqual([request() for request in seen], [None])


class BeforeTests(AgainCase):
    """
    What has been written before the sessions are there.
    """

    def test_tooLate(self):
        """
        A class that writes before it goes on has begun the response: no cookie is set,
        and nothing takes the place of what is out.
        """

        class Hasty(Request):
            """
            Writes first.
            """

            def process(self):
                """
                See C{Request.process}.
                """
                if self.uri == b"/hasty":
                    self.write(b"first ")
                super().process()

        self.serve(count, requestFactory=Hasty)
        client = self.client()
        client.fetch()
        self.store.down = OUTAGE
        client.send("/hasty")
        self.turn(3)
        rest = client.rest()
        self.assertIn(b"first ", rest)
        self.assertNotIn(b"Retry-After", rest)
        self.assertEqual(rest.count(b"HTTP/1.1"), 1)
        self.assertTrue(client.wire.aborted)


class CookieTests(AgainCase):
    """
    The cookies are parsed when somebody asks.
    """

    def fetched(self, page, factory=Request, header="a=1; b=2; a=3"):
        """
        Fetch a page with some cookies.
        """
        self.serve(page, requestFactory=factory)
        client = self.client(site=self.sites[-1])
        return client.fetch(headers=(f"Cookie: {header}",)).body

    def test_parsed(self):
        """
        They are what Twisted finds, and can be changed.
        """
        seen = []

        def page(request):
            seen.append((dict(request.received_cookies), request.getCookie(b"a")))
            request.received_cookies[b"c"] = b"4"
            seen.append((request.getCookie(b"c"), request.getCookie(b"b")))
            del request.received_cookies[b"b"]
            seen.append((request.getCookie(b"c"), request.getCookie(b"b")))
            return b""

        self.fetched(page)
        self.assertEqual(
            seen, [({b"a": b"3", b"b": b"2"}, b"3"), (b"4", b"2"), (b"4", None)]
        )

    def test_headerTakenOut(self):
        """
        Who takes the header out, as before a request is passed on, has them all the same;
        who adds some adds none to those that came.
        """

        def page(request):
            request.requestHeaders.addRawHeader(b"Cookie", b"c=4")
            return b"%r" % (request.getCookie(b"c"),)

        def other(request):
            request.requestHeaders.removeHeader(b"cookie")
            return request.getCookie(b"b") or b"none"

        self.assertEqual(self.fetched(page), b"None")
        self.assertEqual(self.fetched(other), b"2")

    def test_takenBefore(self):
        """
        Who has the dictionary already finds them in it.
        """

        class Early(Request):
            """
            Has the cookies under another name too.
            """

            def __init__(self, *args, **kwargs):
                """
                See C{Request}.
                """
                super().__init__(*args, **kwargs)
                self.jar = self.received_cookies

        class Given(Request):
            """
            Has a dictionary of its own.
            """

            def __init__(self, *args, **kwargs):
                """
                See C{Request}.
                """
                super().__init__(*args, **kwargs)
                self.jar = self.received_cookies = {b"z": b"9"}

        def page(request):
            return b"".join(sorted(request.jar))

        self.assertEqual(self.fetched(page, Early), b"ab")
        self.assertEqual(self.fetched(page, Given), b"abz")

    def test_ownPlace(self):
        """
        A class may have another place for them.
        """

        class Plain(Request):
            """
            With a default.
            """

            received_cookies = {}  # noqa: RUF012 - as programs do

        class Hidden(Request):
            """
            With a property.
            """

            @property
            def received_cookies(self):
                """
                See C{Request.received_cookies}.
                """
                return self.jar

            @received_cookies.setter
            def received_cookies(self, cookies):
                self.jar = cookies

        for factory in (Plain, Hidden):
            self.assertEqual(
                self.fetched(lambda request: request.getCookie(b"b") or b"", factory),
                b"2",
            )
            seen = []

            def page(request, seen=seen):
                seen.append(request.getStateToCopyFor(None))
                return b""

            self.fetched(page, factory)

    def test_ownParsing(self):
        """
        A class may parse them in its own way, or once more.
        """

        class Own(Request):
            """
            Finds others.
            """

            def parseCookies(self):
                """
                See C{Request.parseCookies}.
                """
                super().parseCookies()
                self.received_cookies[b"mine"] = b"5"

        class Twice(Request):
            """
            Throws them away.
            """

            def parseCookies(self):
                """
                See C{Request.parseCookies}.
                """
                super().parseCookies()
                self.received_cookies = {}

        def page(request):
            return b"".join(sorted(request.received_cookies))

        self.assertEqual(self.fetched(page, Own), b"abmine")
        self.assertEqual(self.fetched(page, Twice), b"")

    def test_function(self):
        """
        A function that makes requests of Twisted's makes them with cookies.
        """
        made = []

        def make(channel, *args, **kwargs):
            made.append(server.Request(channel, *args, **kwargs))
            made[-1].received_cookies[b"early"] = b"1"
            return made[-1]

        def page(request):
            return b"".join(sorted(request.received_cookies))

        self.assertEqual(self.fetched(page, make), b"abearly")

    def test_many(self):
        """
        Several headers are parsed, empty ones too.
        """

        def page(request):
            return b"%d" % len(request.received_cookies)

        self.serve(page)
        headers = ("Cookie: ", "Cookie: a=1;; =;x", "Cookie: b=2")
        self.assertEqual(self.client().fetch(headers=headers).body, b"3")
        self.assertEqual(self.client().fetch().body, b"0")

    def test_twice(self):
        """
        Parsed once more, they are added to.
        """
        channel = DummyChannel()
        channel.site = self.serve(count)
        request = Request(channel)
        for line in (b"a=1", b"b=2"):
            request.requestHeaders.setRawHeaders(b"Cookie", [line])
            request.parseCookies()
        self.assertEqual(request.received_cookies, {b"a": b"1", b"b": b"2"})

    def test_copies(self):
        """
        They are sent elsewhere with the request, read or not, and what holds them here
        is not.
        """
        for factory in (server.Request, Request):
            channel = DummyChannel()
            channel.site = self.serve(count)
            request = factory(channel)
            request.__class__ = Request
            request.site = channel.site
            request.gotLength(0)
            request.transport = None
            request.requestHeaders.addRawHeader(b"Cookie", b"a=1")
            request.client = request.host = DummyChannel().getPeer()
            state = request.getStateToCopyFor(None)
            self.assertEqual(state["received_cookies"], {})
            request.parseCookies()
            state = request.getStateToCopyFor(None)
            self.assertEqual(state["received_cookies"], {b"a": b"1"})
            self.assertFalse([name for name in state if name.startswith("_cookies")])
            jelly(state["received_cookies"])
            self.assertEqual(copy.copy(request).getCookie(b"a"), b"1")


class HeaderTests(AgainCase):
    """
    Headers that are not Twisted's own.
    """

    def test_own(self):
        """
        A held reply has the headers that a class of its own tells, however it is made.
        """

        class Ordered(Headers):
            """
            Headers that know their request, and tell their names in capitals.
            """

            def __init__(self, request):
                """
                @param request: Whose.
                """
                super().__init__()
                self.request = request

            def getAllRawHeaders(self):
                """
                See C{Headers.getAllRawHeaders}.
                """
                for name, values in super().getAllRawHeaders():
                    yield name.upper(), [*values]
                yield b"X-CODE", [b"%d" % self.request.code]

        def page(request):
            request.responseHeaders = Ordered(request)
            return count(request)

        self.serve(page)
        client = self.client()
        self.store.hold()
        client.send()
        self.store.pass_()
        rest = client.rest()
        self.assertIn(b"X-CODE: 200\r\n", rest)
        self.assertIn(b"SET-COOKIE: sid=", rest)
        self.assertIn(b"CACHE-CONTROL: no-store", rest)
        self.assertTrue(rest.endswith(b"\r\n\r\n1"), rest)

    def test_changedWhileHeld(self):
        """
        What is done to the headers while a reply is held comes too late.
        """

        def page(request):
            request.setHeader(b"X-One", b"1")
            count(request)
            request.write(b"body")
            request.responseHeaders.getRawHeaders(b"X-One").append(b"2")
            request.setHeader(b"X-Two", b"2")
            request.addCookie(b"late", b"1")
            request.finish()
            return NOT_DONE_YET

        self.serve(page)
        client = self.client()
        self.store.hold()
        client.send()
        self.store.pass_()
        answer = client.answer()
        self.assertEqual((answer.all("X-One"), answer.all("X-Two")), (["1"], []))
        self.assertEqual(len(answer.all("Set-Cookie")), 1)
