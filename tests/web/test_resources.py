"""
Resources of Twisted's and of others, unchanged, on a site whose sessions are kept.
"""

from __future__ import annotations

import gzip
import io

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from twisted.web import http
from twisted.web.iweb import IRequest
from twisted.web.proxy import ReverseProxyResource
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory
from twisted.web.static import ASISProcessor
from twisted.web.util import DeferredResource
from twisted.web.vhost import NameVirtualHost, VHostMonsterResource
from zope.interface.verify import verifyObject

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, change, count
from tests.web.test_hold import HeldCase
from txsessions import Site


class RequestTests(WebCase):
    """
    The request itself.
    """

    def test_interface(self):
        """
        It is an IRequest, held or not.
        """
        found = []

        def page(request):
            found.append(verifyObject(IRequest, request))
            change(request)
            request.write(b"one")
            found.append(verifyObject(IRequest, request))
            return b""

        self.serve(page)
        self.store.hold()
        client = self.client()
        client.send()
        self.store.pass_()
        self.assertEqual(found, [True, True])
        self.assertIsNone(client.rest().partition(b"one")[2].strip(b"0\r\n") or None)

    def test_channelWhileHeld(self):
        """
        What else a page asks its channel, it is told while the reply is held.
        """
        found = []

        def page(request):
            change(request)
            before = (
                request.isSecure(),
                request.channel.getPeer(),
                request.channel.getHost(),
                request.channel.site,
                request.channel.transport,
            )
            request.write(b"one")
            after = (
                request.isSecure(),
                request.channel.getPeer(),
                request.channel.getHost(),
                request.channel.site,
                request.channel.transport,
            )
            found.append((before, after))
            request.finish()
            return NOT_DONE_YET

        self.serve(page)
        self.store.hold()
        client = self.client(secure=True)
        client.send()
        self.store.pass_()
        self.assertEqual(client.answer().body, b"one")
        self.assertEqual(found[0][0], found[0][1])
        self.assertTrue(found[0][0][0])

    def test_sessionProperty(self):
        """
        C{request.session} is the session in use, if there is one.
        """
        found = []

        def page(request):
            found.append(request.session)
            found.append(request.getSession())
            found.append(request.session)
            return b""

        self.serve(page)
        self.client().fetch()
        self.assertIsNone(found[0])
        self.assertIs(found[1], found[2])


class WrapperTests(HeldCase):
    """
    Resources that stand before others.
    """

    def test_gzipAtTheRoot(self):
        """
        An encoder at the root sees the body once, and the reply is held.
        """
        self.serve(EncodingResourceWrapper(Page(count), [GzipEncoderFactory()]))
        client = self.client()
        answer = self.held(client, headers=("Accept-Encoding: gzip",))
        self.assertEqual(answer.get("content-encoding"), "gzip")
        self.assertEqual(gzip.decompress(answer.body), b"count 1")
        answer = self.held(client)
        self.assertEqual(answer.body, b"count 2")

    def test_deferredResource(self):
        """
        A DeferredResource that has its resource later.
        """
        found = Deferred()
        self.serve(DeferredResource(found))
        client = self.client()
        self.store.hold()
        client.send()
        found.callback(Page(count))
        self.assertEqual(self.store.names(), ["insert"])
        self.assertTrue(client.silent)
        self.store.release()
        self.assertEqual(client.answer().body, b"count 1")

    def test_deferredResourceOutage(self):
        """
        An outage that is noticed there is a 503.
        """

        class Late(Resource):
            def getChild(self, path, request):
                found = Deferred()
                self.found = found
                return DeferredResource(found)

        root = Late()
        self.serve(Page(count))
        jar = self.client().jar
        self.clients[0].fetch()
        there = self.serveElsewhere(root)
        there.slow.down = OUTAGE
        client = self.client(site=there, jar=jar)
        client.send("/late")
        root.found.callback(Page(count))
        self.assertEqual(client.answer().code, 503)
        self.flushLoggedErrors()

    def test_nameVirtualHost(self):
        """
        Hosts of one site have the sessions of that site.
        """
        hosts = NameVirtualHost()
        hosts.addHost(b"example.org", Page(count))
        self.serve(hosts)
        client = self.client()
        self.held(client)
        self.assertEqual(self.held(client).body, b"count 2")

    def test_vhostMonster(self):
        """
        Behind a proxy that says how the client came, the session is the one of
        that scheme, though it was not known when the cookies were read.
        """
        root = Resource()
        root.putChild(b"vhost", VHostMonsterResource())
        root.putChild(b"count", Page(count))
        self.serve(root)
        client = self.client(behindProxy=True)
        answer = client.fetch("/vhost/https/example.org/count")
        self.assertEqual(answer.cookie.name, "__Host-sid")
        there = self.serveElsewhere(root)
        there.slow.hold("load")
        client = self.client(site=there, behindProxy=True, jar=client.jar)
        client.send("/vhost/https/example.org/count")
        self.assertEqual(there.slow.names(), ["load"])
        there.slow.pass_()
        self.assertEqual(client.answer().body, b"count 2")
        answer = client.fetch("/vhost/http/example.org/count")
        self.assertEqual((answer.body, answer.cookie.name), (b"count 1", "sid"))

    def test_nestedSites(self):
        """
        A site within a site: the sessions are those of the outer one, which
        the request came to.
        """
        within = Resource()
        within.putChild(b"", Page(count))
        inner = Site(within, reactor=self.clock)
        root = Resource()
        root.putChild(b"inner", inner)
        root.putChild(b"outer", Page(count))
        self.serve(root)
        client = self.client()
        self.held(client, path="/inner/")
        self.assertEqual(self.held(client, path="/outer").body, b"count 2")
        self.assertEqual(self.held(client, path="/inner/").body, b"count 3")
        self.assertEqual(dict(inner.sessions), {})
        self.assertEqual(self.stored(), 1)

    def test_asis(self):
        """
        A file with its own headers, which says that the response has started:
        it is held all the same, and a failed save is a 503.
        """
        path = FilePath(self.mktemp())
        path.setContent(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        class Asis(Resource):
            isLeaf = True

            def render(self, request):
                change(request)
                return ASISProcessor(path.path).render(request)

        self.serve(Asis())
        client = self.client()
        self.store.hold()
        client.send()
        self.turn(5)
        self.assertTrue(client.silent)
        self.store.fail(OUTAGE)
        self.turn(5)
        self.assertEqual(client.answer().code, 503)
        client.send()
        self.turn(5)
        self.assertTrue(client.silent)
        self.store.release()
        self.turn(5)
        self.assertTrue(client.rest().endswith(b"\r\n\r\nhi"))

    def test_reverseProxy(self):
        """
        A reverse proxy's answer is held like any other.
        """
        reactor = MemoryReactorClock()
        proxy = ReverseProxyResource("10.0.0.2", 80, b"/", reactor)

        class Front(Resource):
            isLeaf = True

            def render(self, request):
                change(request)
                return proxy.render(request)

        self.serve(Front())
        client = self.client()
        self.store.hold()
        client.send()
        factory = reactor.tcpClients[0][2]
        backend = factory.buildProtocol(None)
        transport = StringTransport()
        backend.makeConnection(transport)
        self.assertTrue(transport.value().startswith(b"GET / HTTP/1.0"))
        backend.dataReceived(
            b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\nSet-Cookie: b=1\r\n\r\nback"
        )
        self.assertTrue(client.silent)
        self.store.release()
        answer = client.answer()
        self.assertEqual(answer.body, b"back")
        self.assertEqual(len(answer.all("set-cookie")), 2)
        self.assertIn("b=1", answer.all("set-cookie"))


class LogTests(WebCase):
    """
    The access log.
    """

    def lines(self, formatter, page=count, headers=(), *, fails=False):
        """
        Serve one request and give its lines.
        """
        site = self.serve(page, logFormatter=formatter)
        site.logFile = io.StringIO()
        client = self.client(site=site)
        self.store.hold()
        client.send(headers=headers)
        self.assertEqual(site.logFile.getvalue(), "", "logged before it is sent")
        if fails:
            self.store.fail(OUTAGE)
        self.store.pass_()
        self.size = len(client.answer().body)
        return site.logFile.getvalue().splitlines()

    def test_combined(self):
        """
        One line, with the status and size of what was sent.
        """
        (line,) = self.lines(http.combinedLogFormatter)
        self.assertIn('"GET / HTTP/1.1" 200 7 ', line)
        (line,) = self.lines(http.combinedLogFormatter, fails=True)
        self.assertIn(f'"GET / HTTP/1.1" 503 {self.size} ', line)

    def test_proxied(self):
        """
        The same with the formatter for sites behind a proxy.
        """
        (line,) = self.lines(
            http.proxiedLogFormatter,
            headers=("X-Forwarded-For: 203.0.113.9",),
            fails=True,
        )
        self.assertTrue(line.startswith('"203.0.113.9" '))
        self.assertIn(f" 503 {self.size} ", line)


class ErrorReportTests(WebCase):
    """
    Pages of ours say nothing of the request.
    """

    def test_nothingReflected(self):
        """
        The 503 page holds nothing that came with the request, nor do its
        headers.
        """
        self.serve(count)
        self.store.down = OUTAGE
        client = self.client()
        answer = client.fetch(
            "/?<script>alert(1)</script>=1", headers=("X-Evil: <script>",)
        )
        self.assertEqual(answer.code, 503)
        self.assertNotIn(b"script", answer.body)
        self.assertNotIn("script", str(answer.headers))

    def test_tracebacksHoldNoUid(self):
        """
        A Failure with captured variables does not show the uid.
        """
        shown = []

        def page(request):
            session = change(request)
            try:
                raise ValueError(session, request, request.site)
            except ValueError:
                failure = Failure(captureVars=True)
                shown.append(failure.getTraceback(detail="verbose"))
            return b""

        self.serve(page)
        self.client().fetch()
        self.assertTrue(self.uids)
        for uid in self.uids:
            # The cookie line of the response is the one place where it stands.
            self.assertNotIn(uid.decode(), repr(self.site) + repr(shown[0][:200]))
