"""
HTTP/2: streams that are held, reset, refused and pulled.
"""

from __future__ import annotations

import gc

import twisted.internet
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from twisted.python.filepath import FilePath
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.browsing import NOW, TICK, Wire
from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, change, count
from tests.web.rfc6265 import Browser
from tests.web.test_producers import CONTENT, Watched
from txsessions import CookiePolicy, CSRFProtected


class Stream:
    """
    What has come on one stream.
    """

    def __init__(self):
        self.headers = {}
        self.body = b""
        self.ended = self.wasReset = False

    @property
    def code(self):
        """
        The status, or L{None} if there is none yet.
        """
        found = self.headers.get(b":status")
        return None if found is None else int(found[0])

    def all(self, name):
        """
        All values of a header.
        """
        return self.headers.get(name, [])


class H2Client:
    """
    A client that speaks HTTP/2 over a wire in memory.
    """

    def __init__(self, case, site=None, *, window=None):
        self.case = case
        self.jar = Browser(now=NOW)
        self.wire = Wire(case.clock, secure=True)
        self.wire.negotiatedProtocol = b"h2"
        self.protocol = (site or case.site).buildProtocol(None)
        self.wire.protocol = self.protocol
        self.protocol.makeConnection(self.wire)
        self.connection = H2Connection(
            H2Configuration(client_side=True, header_encoding=None)
        )
        self.streams = {}
        self.connection.initiate_connection()
        if window is not None:
            from h2.settings import SettingCodes

            self.connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.flush()

    def flush(self):
        """
        Send what is to be sent.
        """
        data = self.connection.data_to_send()
        if data:
            self.protocol.dataReceived(data)

    def send(self, path="/", method=b"GET", cookies=(), more=()):
        """
        Send a request.

        @param more: More headers.
        @return: The stream's number.
        """
        number = self.connection.get_next_available_stream_id()
        headers = [
            (b":method", method),
            (b":scheme", b"https"),
            (b":authority", b"example.org"),
            (b":path", path.encode()),
        ]
        crumbs = cookies or self.jar.send(host="example.org", path="/", https=True)
        headers += [*more, *((b"cookie", crumb) for crumb in crumbs)]
        self.streams[number] = Stream()
        self.connection.send_headers(number, headers, end_stream=True)
        self.flush()
        return number

    def reset(self, number):
        """
        Reset a stream.
        """
        self.connection.reset_stream(number)
        self.flush()

    def receive(self, *, acknowledge=True):
        """
        Read all that has come, while the reactor turns.
        """
        for _ in range(60):
            self.case.clock.advance(TICK)
            data = self.wire.value()
            self.wire.clear()
            for event in self.connection.receive_data(data):
                self._happened(event, acknowledge)
            self.flush()

    def _happened(self, event, acknowledge):
        """
        Note an event.
        """
        if isinstance(event, WindowUpdated):
            return
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, ResponseReceived):
            for name, value in event.headers:
                stream.headers.setdefault(name, []).append(value)
            for value in stream.all(b"set-cookie"):
                self.jar.receive(value, host="example.org", path="/", https=True)
        elif isinstance(event, DataReceived):
            stream.body += event.data
            if acknowledge:
                self.connection.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
        elif isinstance(event, StreamEnded):
            stream.ended = True
        elif isinstance(event, StreamReset):
            stream.wasReset = True

    def leave(self):
        """
        Close the connection.
        """
        self.wire.lose()


class Patient:
    """
    A reactor on which time passes between one turn and the next: Twisted looks
    again and again at a stream whose window is used up.
    """

    def __init__(self, clock):
        self.seconds = clock.seconds
        self.clock = clock

    def callLater(self, delay, function, *args):
        """
        See C{IReactorTime}.
        """
        return self.clock.callLater(max(delay, TICK), function, *args)


class HTTP2Tests(WebCase):
    """
    Streams of one connection.
    """

    def setUp(self):
        """
        HTTP/2 takes its timers from the one reactor.
        """
        super().setUp()
        from twisted.internet import reactor  # noqa: F401 - so that there is one

        self.patch(twisted.internet, "reactor", Patient(self.clock))

    def h2(self, **how):
        """
        Connect a client.
        """
        client = H2Client(self, **how)
        self.clients.append(client)
        return client

    def test_threeStreams(self):
        """
        Three streams of one session are held and released together, without
        loss; a fourth that has no session is not held.
        """
        root = Resource()
        root.putChild(b"", Page(count))
        root.putChild(b"plain", Page(lambda request: b"plain"))
        self.serve(root)
        client = self.h2()
        client.send()
        client.receive()
        self.store.hold()
        numbers = [client.send() for _ in range(3)]
        plain = client.send("/plain")
        client.receive()
        self.assertEqual(
            [client.streams[number].code for number in numbers], [None] * 3
        )
        self.assertEqual(client.streams[plain].body, b"plain")
        self.store.pass_()
        client.receive()
        self.assertEqual(
            [client.streams[number].body for number in numbers],
            [b"count 2", b"count 3", b"count 4"],
        )
        self.assertTrue(all(client.streams[number].ended for number in numbers))

    def test_forged(self):
        """
        What another site sends is refused, and a token is heard.
        """

        def render(request):
            if request.method == b"POST":
                return count(request)
            return request.getSession().csrfToken.encode("ascii")

        self.serve(CSRFProtected(Page(render)))
        client = self.h2()
        shown = client.send()
        client.receive()
        token = (b"x-csrf-token", client.streams[shown].body)
        codes = []
        for more in (
            (),
            (token,),
            (token, (b"origin", b"https://example.org")),
            (token, (b"origin", b"https://evil.example")),
            (token, (b"sec-fetch-site", b"cross-site")),
        ):
            number = client.send(method=b"POST", more=more)
            client.receive()
            codes.append(client.streams[number].code)
        self.assertEqual(codes, [403, 200, 200, 403, 403])

    def test_cookie(self):
        """
        The cookie is the secure one, and comes back in crumbs.
        """
        self.serve(count)
        client = self.h2()
        first = client.send()
        client.receive()
        (cookie,) = client.streams[first].all(b"set-cookie")
        self.assertTrue(cookie.startswith(b"__Host-sid="))
        pair = cookie.partition(b";")[0]
        second = client.send(cookies=(b"a=1", pair, b"b=2"))
        client.receive()
        self.assertEqual(client.streams[second].body, b"count 2")
        third = client.send(cookies=(pair, b"__Host-sid=" + b"0123456789abcdef" * 4))
        client.receive()
        self.assertEqual(client.streams[third].body, b"count 1")

    def test_manyCrumbs(self):
        """
        As many crumbs as a header may have do not hide the cookie, nor one that was
        planted at their end; more than that ends the connection, and nothing else.
        """
        self.serve(count)
        client = self.h2()
        first = client.send()
        client.receive()
        pair = client.streams[first].all(b"set-cookie")[0].partition(b";")[0]
        planted = b"__Host-sid=" + b"0123456789abcdef" * 4
        crumbs = [b"c%d=1" % number for number in range(1300)]
        for cookies, told in (
            ((pair, *crumbs), b"count 2"),
            ((*crumbs, pair), b"count 3"),
            ((*crumbs, pair, *crumbs[:1], pair), b"count 4"),
            ((pair, *crumbs, planted), b"count 1"),
        ):
            number = client.send(cookies=cookies)
            client.receive()
            self.assertEqual(client.streams[number].body, told)
        client.send(cookies=(pair, *crumbs * 9))
        self.assertFalse(client.wire.connected and not client.wire.disconnecting)
        other = self.h2()
        number = other.send(cookies=(pair,))
        other.receive()
        self.assertEqual(other.streams[number].body, b"count 5")

    def test_resetWhileHeld(self):
        """
        A stream that is reset while it is held is forgotten; the save goes on,
        and so do the others.
        """
        self.serve(count)
        client = self.h2()
        client.send()
        client.receive()
        self.store.hold()
        first, second = client.send(), client.send()
        client.reset(first)
        self.store.pass_()
        client.receive()
        self.assertIsNone(client.streams[first].code)
        self.assertEqual(client.streams[second].body, b"count 3")

    def test_idleTimeout(self):
        """
        The idle timeout of a connection goes on while streams are held, so it
        is the store's deadline that ends the waiting.  A connection that times
        out loses its answers and no changes.
        """
        self.serve(count)
        client = self.h2()
        client.send()
        client.receive()
        self.store.hold()
        number = client.send()
        self.clock.advance(70)
        self.assertTrue(client.wire.disconnecting)
        client.leave()
        self.store.pass_()
        self.assertIsNone(client.streams[number].code)
        again = self.h2()
        again.jar = client.jar
        number = again.send()
        again.receive()
        self.assertEqual(again.streams[number].body, b"count 3")

    def test_timedOutAndUnsaved(self):
        """
        Where the answer that the store has failed cannot be sent, since the connection
        has timed out and not gone yet, those who wait for the same save hear of it.
        """
        self.serve(count)
        client, other = self.h2(), self.h2()
        client.send()
        client.receive()
        other.jar = client.jar
        self.store.hold()
        number = client.send()
        self.clock.advance(50)
        waiting = other.send()
        self.clock.advance(20)
        self.assertTrue(client.wire.disconnecting)
        self.store.fail(OUTAGE)
        other.receive()
        self.assertIsNone(client.streams[number].code)
        self.assertEqual(other.streams[waiting].code, 503)
        # It is Twisted's own Deferred that says it a second time.
        gc.collect()
        self.assertTrue(self.flushLoggedErrors(ProtocolError))

    def test_resetWhileLoading(self):
        """
        A stream that is reset while its session is loaded is not rendered: to
        reset it is to call it off.  Nor does it hold the session, even if somebody keeps
        the request.
        """
        rendered = []

        def page(request):
            rendered.append(request.path)
            return count(request)

        self.serve(page)
        client = self.h2()
        client.send()
        client.receive()
        self.store.sharedWithOthers = True
        self.store.hold("load")
        first, second = client.send("/first"), client.send("/second")
        kept = client.protocol._channel.streams[first]._request
        client.reset(first)
        self.store.pass_()
        client.receive()
        self.assertEqual(rendered, [b"/", b"/second"])
        self.assertEqual(client.streams[second].body, b"count 2")
        (session,) = self.site.sessions.values()
        self.assertFalse(session._entry.isHeld())
        self.assertTrue(kept._disconnected)

    def test_unavailable(self):
        """
        A failed save is a 503 on its stream alone.
        """
        self.serve(count)
        client = self.h2()
        self.store.hold()
        first = client.send()
        client.receive()
        self.store.fail(OUTAGE)
        self.store.pass_()
        client.receive()
        stream = client.streams[first]
        self.assertEqual((stream.code, stream.ended), (503, True))
        self.assertEqual(stream.all(b"retry-after"), [b"2"])
        self.assertEqual(stream.all(b"set-cookie"), [])
        self.assertIn(b"Unavailable", stream.body)
        second = client.send()
        client.receive()
        self.assertEqual(client.streams[second].body, b"count 1")

    def test_abort(self):
        """
        A save that fails when bytes are out resets its stream alone, and the
        page hears of it.
        """
        waiting, ends = [], []

        def page(request):
            if request.path == b"/wait":
                waiting.append((request, change(request)))
                request.notifyFinish().addBoth(ends.append)
                request.write(b"one")
                return NOT_DONE_YET
            return count(request)

        self.serve(page)
        client = self.h2()
        first = client.send("/wait")
        client.receive()
        self.assertEqual(client.streams[first].body, b"one")
        request, session = waiting[0]
        session["more"] = 1
        self.store.hold()
        request.finish()
        client.receive()
        self.assertFalse(client.streams[first].ended)
        self.store.fail(OUTAGE)
        self.store.pass_()
        client.receive()
        self.assertTrue(client.streams[first].wasReset)
        self.assertEqual(len(ends), 1)
        ends[0].trap(Exception)
        second = client.send()
        client.receive()
        self.assertEqual(client.streams[second].code, 200)

    def file(self, **how):
        """
        Serve a file.
        """
        path = FilePath(self.mktemp())
        path.setContent(CONTENT)
        self.watched = Watched(path.path)
        self.serve(Page(self.watched.render))
        return self.h2(**how)

    def test_pulledFile(self):
        """
        A file is not read while it is held, and comes whole afterwards, though
        it is larger than the window.
        """
        client = self.file()
        self.store.hold()
        number = client.send()
        client.receive()
        self.assertLessEqual(self.watched.opened.tell(), len(CONTENT) // 4)
        self.store.release()
        client.receive()
        stream = client.streams[number]
        self.assertEqual((stream.code, stream.ended), (200, True))
        self.assertEqual(stream.body, CONTENT)
        self.assertTrue(self.watched.opened.closed)

    def test_slowReader(self):
        """
        Flow control holds it back.
        """
        client = self.file()
        self.store.hold()
        number = client.send()
        self.store.release()
        client.receive(acknowledge=False)
        stream = client.streams[number]
        self.assertEqual(len(stream.body), 65535)
        self.assertLess(self.watched.opened.tell(), len(CONTENT))
        client.connection.acknowledge_received_data(65535, number)
        client.flush()
        client.receive()
        self.assertEqual(stream.body, CONTENT)

    def test_pulledFileFails(self):
        """
        A failed save of a file's page stops the file.
        """
        client = self.file()
        self.store.hold()
        number = client.send()
        client.receive()
        self.store.fail(OUTAGE)
        client.receive()
        self.assertEqual(client.streams[number].code, 503)
        self.assertTrue(self.watched.opened.closed)
        self.assertEqual(self.watched.stopped, 1)

    def test_pulledFileFailsAtTheEnd(self):
        """
        One that fails when most of it is out resets the stream.
        """
        for atOnce in (True, False):
            client = self.file()
            sessions = []
            self.watched.when = lambda request, to=sessions: to.append(change(request))
            number = client.send()
            client.receive(acknowledge=False)
            sessions[0]["more"] = 1
            if atOnce:
                self.store.down = OUTAGE
            else:
                self.store.hold()
            client.connection.acknowledge_received_data(65535, number)
            client.flush()
            client.receive()
            if not atOnce:
                self.assertEqual(self.store.names(), ["replace"])
                self.store.fail(OUTAGE)
            client.receive()
            stream = client.streams[number]
            self.assertTrue(stream.wasReset)
            self.assertLess(len(stream.body), len(CONTENT))
            self.assertTrue(self.watched.opened.closed)
            self.store.down = None
            self.store.pass_()
            self.site = None

    def test_lostWhileLoading(self):
        """
        A request whose client leaves while the store is asked does not hold the session
        for ever, whether another cookie might have come or not.
        """
        for secure in ("always", "auto"):
            site = self.serve(count, cookies=CookiePolicy(secure=secure))
            client = self.h2(site=site)
            client.send()
            client.receive()
            self.store.sharedWithOthers = True
            self.store.hold("load")
            client.send()
            self.assertEqual(self.store.names(), ["load"])
            client.leave()
            self.store.pass_()
            self.assertTrue(site.sessions)
            held = [each._entry.isHeld() for each in site.sessions.values()]
            self.assertNotIn(True, held)

    def test_connectionLost(self):
        """
        A connection that is lost while streams are held loses nothing of what
        they changed.
        """
        self.serve(count)
        client = self.h2()
        client.send()
        client.receive()
        self.store.hold()
        for _ in range(3):
            client.send()
        client.leave()
        self.store.pass_()
        again = self.h2()
        again.jar = client.jar
        number = again.send()
        again.receive()
        self.assertEqual(again.streams[number].body, b"count 5")
