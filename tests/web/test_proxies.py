"""
Whole requests by way of proxies: whose word is taken, and what becomes of it.
"""

from __future__ import annotations

import copy
import pickle

import twisted.internet
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.web import server
from twisted.web.resource import Resource
from twisted.web.vhost import VHostMonsterResource
from zope.interface import providedBy

from tests.web.pages import Page, count, look
from tests.web.proxying import (
    FORWARDED,
    HTTP,
    HTTPS,
    ORDINARY,
    PROXY,
    STRANGER,
    ProxyCase,
    describe,
    peer,
)
from tests.web.test_http2 import H2Client, Patient
from txsessions import CookiePolicy, Request, Site
from txsessions.web.proxied import ProxiedRequest


class WhoTests(ProxyCase):
    """
    Who is believed.
    """

    def test_trusted(self):
        """
        A trusted proxy that says https: the secure cookie is set, and read again.
        """
        self.serve(count, cookies=ORDINARY)
        client = self.come(behindProxy=True)
        cookie = client.fetch(headers=HTTPS).cookie
        self.assertEqual(cookie.name, "__Host-sid")
        self.assertIn("Secure", cookie.attributes)
        self.assertEqual(client.fetch(headers=HTTPS).body, b"count 2")
        self.assertEqual(self.warned("Secure"), 0)

    def test_stranger(self):
        """
        Anybody else who says so gets the cookie of plain HTTP.
        """
        for policy in (None, ORDINARY, FORWARDED):
            self.serve(count, cookies=policy)
            for headers in (HTTPS, ("Forwarded: for=1.1.1.1;proto=https",)):
                client = self.come(STRANGER, site=self.sites[-1])
                self.assertEqual(client.fetch(headers=headers).cookie.name, "sid")

    def test_hostCookieOfStrangers(self):
        """
        Nobody uses a C{__Host-} cookie over plain HTTP by a header.
        """
        self.serve(look, cookies=ORDINARY)
        made = self.serve(count, cookies=ORDINARY)
        proxied = self.come(behindProxy=True, site=made)
        proxied.fetch(headers=HTTPS)
        uid = self.uids[-1].decode()
        cookie = f"Cookie: __Host-sid={uid}"
        for host, headers, body in (
            (PROXY, HTTPS, b"count 1"),
            (PROXY, HTTP, b"count 0"),
            (PROXY, (), b"count 0"),
            (STRANGER, HTTPS, b"count 0"),
            (None, HTTPS, b"count 0"),
        ):
            client = self.come(host)
            answer = client.fetch(headers=(*headers, cookie))
            self.assertEqual(answer.body, body, (host, headers))

    def test_otherScheme(self):
        """
        A14: an id of one scheme is refused in the cookie of the other.
        """
        self.serve(look, cookies=ORDINARY)
        made = self.serve(count, cookies=ORDINARY)
        uids = {}
        for headers in (HTTPS, HTTP):
            self.come(site=made, behindProxy=headers is HTTPS).fetch(headers=headers)
            uids[headers] = self.uids[-1].decode()
        for headers, name, other in (
            (HTTPS, "__Host-sid", uids[HTTP]),
            (HTTP, "sid", uids[HTTPS]),
        ):
            refused = self.counted("refused")
            answer = self.come().fetch(headers=(*headers, f"Cookie: {name}={other}"))
            self.assertEqual(answer.body, b"count 0")
            self.assertEqual(self.counted("refused"), refused + 1)

    def test_unix(self):
        """
        C{unix} is whoever comes by a Unix socket, and nobody else.
        """
        self.serve(describe, cookies=CookiePolicy(trustedProxies=["unix"]))
        via = (*HTTPS, f"X-Forwarded-For: {STRANGER}")
        self.assertEqual(
            self.described(*via, host=None),
            f"https {STRANGER} https://example.org/",
        )
        self.assertTrue(self.described(*via).startswith(f"http {PROXY} "))

    def test_mapped(self):
        """
        IPv4 is IPv4, also on a socket of both kinds and in a policy of IPv6.
        """
        for policy in (ORDINARY, CookiePolicy(trustedProxies=["::ffff:10.0.0.0/104"])):
            site = self.serve(describe, cookies=policy)
            for host in (PROXY, f"::ffff:{PROXY}"):
                said = self.described(*HTTPS, host=host, site=site)
                self.assertTrue(said.startswith(f"https {PROXY} "), said)

    def test_noHeader(self):
        """
        Where a proxy says nothing, it is as the connection is.
        """
        self.serve(describe, cookies=ORDINARY)
        self.assertTrue(self.described().startswith(f"http {PROXY} "))
        said = self.described(secure=True)
        self.assertEqual(said, f"https {PROXY} https://example.org/")

    def test_plainClientOverTLS(self):
        """
        A client of plain HTTP stays one if its proxy speaks TLS with the site.
        """
        self.serve(count, cookies=ORDINARY)
        client = self.come(secure=True)
        self.assertEqual(client.fetch(headers=HTTP).cookie.name, "sid")


class WhichHeaderTests(ProxyCase):
    """
    Which headers are read.
    """

    def test_neverMixed(self):
        """
        The header that was not chosen is not looked at, whatever it says.
        """
        forwarded = "Forwarded: for=1.1.1.1;proto="
        xForwarded = "X-Forwarded-For: 2.2.2.2", "X-Forwarded-Proto: "
        for policy, headers, said in (
            (ORDINARY, (forwarded + "https",), f"http {PROXY}"),
            (FORWARDED, (xForwarded[0], xForwarded[1] + "https"), f"http {PROXY}"),
            (
                ORDINARY,
                (forwarded + "https", xForwarded[0], xForwarded[1] + "http"),
                "http 2.2.2.2",
            ),
            (
                FORWARDED,
                (forwarded + "http", xForwarded[0], xForwarded[1] + "https"),
                "http 1.1.1.1",
            ),
            (
                FORWARDED,
                (forwarded + "https", xForwarded[0], xForwarded[1] + "http"),
                "https 1.1.1.1",
            ),
            (
                ORDINARY,
                ("X_Forwarded_Proto: https", "X-Forwarded-Host: evil.example"),
                f"http {PROXY} http://example.org/",
            ),
        ):
            site = self.serve(describe, cookies=policy)
            found = self.described(*headers, site=site)
            self.assertTrue(found.startswith(said), (headers, found))

    def test_doubtful(self):
        """
        What is contradictory or rubbish is plain HTTP.
        """
        self.serve(count, cookies=ORDINARY)
        for headers in (
            ("X-Forwarded-Proto: https, http",),
            ("X-Forwarded-Proto: http, https",),
            ("X-Forwarded-Proto: https", "X-Forwarded-Proto: http"),
            ("X-Forwarded-Proto: https;",),
            ("X-Forwarded-Proto: " + "https" * 1000,),
        ):
            for secure in (False, True):
                client = self.come(secure=secure)
                answer = client.fetch(headers=headers)
                self.assertEqual(answer.cookie.name, "sid", headers)

    def test_forwarded(self):
        """
        The walk is that of C{Forwarded}.
        """
        self.serve(describe, cookies=FORWARDED)
        header = (
            "Forwarded: for=1.1.1.1;proto=http,"
            'for="[2001:db8::5]:99";proto=https;host=example.org, for=10.0.0.1'
        )
        self.assertTrue(self.described(header).startswith("https 2001:db8::5 "))
        header = "Forwarded: for=_hidden;proto=https"
        self.assertTrue(self.described(header).startswith(f"https {PROXY} "))


class ClientHostTests(ProxyCase):
    """
    Tests of L{Request.clientHost}.
    """

    def test_walk(self):
        """
        It is the first hop from the right that is not trusted.
        """
        self.serve(
            lambda request: f"{request.clientHost()}".encode(),
            cookies=CookiePolicy(trustedProxies=["10.0.0.0/8"]),
        )
        for header, host in (
            (f"1.1.1.1, {STRANGER}, 10.2.2.2", STRANGER),
            (f"1.1.1.1, {STRANGER}", STRANGER),
            ("unknown, 10.2.2.2", "10.2.2.2"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
            ("<script>", PROXY),
        ):
            self.assertEqual(self.described(f"X-Forwarded-For: {header}"), host)
        spoofed = "X-Forwarded-For: 1.1.1.1"
        self.assertEqual(self.described(spoofed, host=STRANGER), STRANGER)

    def test_withoutProxies(self):
        """
        Where none is trusted it is that of the connection; a Unix socket's has
        none.
        """
        self.serve(lambda request: f"{request.clientHost()}".encode())
        spoofed = "X-Forwarded-For: 1.1.1.1", *HTTPS
        self.assertEqual(self.described(*spoofed), PROXY)
        self.assertEqual(self.described(*spoofed, host=f"::ffff:{PROXY}"), PROXY)
        self.assertEqual(self.described(*spoofed, host=None), "None")

    def test_unknownOnUnix(self):
        """
        A client of whom nobody tells the address has none.
        """
        self.serve(describe, cookies=CookiePolicy(trustedProxies=["unix"]))
        for headers in (), ("X-Forwarded-For: unknown",):
            said = self.described(*headers, host=None)
            self.assertEqual(said, "http None http://example.org/")

    def test_getClientAddress(self):
        """
        Twisted's own is still the connection's.
        """
        seen = []

        def page(request):
            seen.append((request.getClientAddress(), request.client))
            return b""

        self.serve(page, cookies=ORDINARY)
        self.described(*HTTPS, f"X-Forwarded-For: {STRANGER}")
        self.assertEqual(seen, [(peer(PROXY), peer(PROXY))])


class URLTests(ProxyCase):
    """
    The URLs that a page builds.
    """

    def test_prePathURL(self):
        """
        They are what the client sees: the scheme that the proxy says, and the host
        and the port that the client asked for.
        """
        self.serve(describe, cookies=ORDINARY)
        for headers, host, url in (
            (HTTPS, "example.org", "https://example.org/"),
            (HTTPS, "example.org:8443", "https://example.org:8443/"),
            (HTTPS, "example.org:443", "https://example.org/"),
            (HTTP, "example.org", "http://example.org/"),
            (HTTP, "example.org:80", "http://example.org/"),
            (HTTPS, "example.org:0", "https://example.org/"),
            (HTTPS, "example.org:99999", "https://example.org/"),
            ((), "example.org", "http://example.org/"),
        ):
            client = self.come()
            request = client.render(headers=headers)
            client.sendBytes(request.replace(b"example.org", host.encode()))
            answer = client.answer()
            self.assertEqual(answer.body.decode().split()[2], url)

    def test_stranger(self):
        """
        Nobody else changes them.
        """
        self.serve(describe, cookies=ORDINARY)
        said = self.described(*HTTPS, host=STRANGER)
        self.assertEqual(said.split()[2], "http://example.org:8080/")

    def test_noHost(self):
        """
        Without a C{Host} header it is the socket's.
        """
        for address, url in (
            (IPv4Address("TCP", "10.0.0.9", 8080), "https://10.0.0.9/"),
            (IPv6Address("TCP", "fd00::9", 8080), "https://fd00::9/"),
            (UNIXAddress(b"/run/site"), "https://localhost/"),
        ):
            trusted = CookiePolicy(trustedProxies=[PROXY, "unix"])
            site = self.serve(describe, cookies=trusted)
            client = self.come(site=site)
            client.wire.hostAddr = address
            request = client.render(headers=HTTPS, version="HTTP/1.0")
            client.sendBytes(request.replace(b"Host: example.org\r\n", b""))
            self.assertEqual(client.answer().body.decode().split()[2], url)

    def test_setHost(self):
        """
        An application that knows better is heeded, as is one whose proxy says it in
        the URL.
        """

        def knows(request):
            request.setHost(b"www.example.net", 443, ssl=1)
            return describe(request)

        root = Resource()
        root.putChild(b"vhost", VHostMonsterResource())
        root.putChild(b"", Page(describe))
        root.putChild(b"knows", Page(knows))
        self.serve(root, cookies=ORDINARY)
        for path in "/vhost/https/www.example.net/", "/knows":
            answer = self.come().fetch(path, headers=HTTP)
            self.assertTrue(answer.body.startswith(b"https "), answer.body)


class ClassesTests(ProxyCase):
    """
    Requests of other classes.
    """

    def test_own(self):
        """
        Classes of requests of an application's own, and functions that make them,
        are told how they came, and keep what they are.
        """

        class Theirs(server.Request):
            """
            One of Twisted's.
            """

        class Ours(Request):
            """
            One of ours.
            """

            def process(self):
                """
                See C{Request.process}.
                """
                assert self.isSecure()
                super().process()

        for factory in (
            server.Request,
            Request,
            Theirs,
            Ours,
            lambda *args: Theirs(*args),  # noqa: PLW0108 - a function, not a class
        ):
            site = self.serve(count, requestFactory=factory, cookies=ORDINARY)
            client = self.come(site=site, behindProxy=True)
            self.assertEqual(client.fetch(headers=HTTPS).cookie.name, "__Host-sid")
            self.assertEqual(client.fetch(headers=HTTPS).body, b"count 2")
            made = client.protocol._channel.requestFactory
            self.assertEqual(list(providedBy(made)), list(providedBy(factory)))

    def test_ownClientHost(self):
        """
        A method of that name that an application has is kept.
        """

        class Theirs(server.Request):
            """
            One of Twisted's.
            """

            def clientHost(self):
                """
                Their own.
                """
                return "theirs"

        for policy in (None, ORDINARY):
            site = self.serve(describe, requestFactory=Theirs, cookies=policy)
            self.assertIn("theirs", self.described(*HTTPS, site=site))

    def test_nothingWithout(self):
        """
        Where no proxy is trusted, requests are as they were.
        """
        site = self.serve(count)
        made = self.client(site=site).protocol._channel.requestFactory
        self.assertIs(made, Request)
        site = self.serve(count, cookies=ORDINARY)
        made = self.client(site=site).protocol._channel.requestFactory
        self.assertTrue(issubclass(made, ProxiedRequest))

    def test_copiedSite(self):
        """
        A copy of a site trusts whom the site trusts.
        """
        site = Site(Page(describe), store=None, cookies=ORDINARY, reactor=None)
        for made in (
            pickle.loads(pickle.dumps(site._proxies)),
            copy.copy(site._proxies),
        ):
            self.assertTrue(made.trusts(peer(PROXY)))
            self.assertFalse(made.trusts(peer(STRANGER)))

    def test_loadedOnTheWay(self):
        """
        What a proxy said is still so when the session had to be asked for.
        """
        self.serve(count, cookies=ORDINARY)
        client = self.come(behindProxy=True)
        client.fetch(headers=HTTPS)
        there = self.serveElsewhere(count, cookies=ORDINARY)
        there.slow.hold("load")
        client = self.come(behindProxy=True, site=there, jar=client.jar)
        client.send(headers=HTTPS)
        there.slow.pass_()
        self.assertEqual(client.answer().body, b"count 2")


class HTTP2Tests(ProxyCase):
    """
    Proxies that speak HTTP/2.
    """

    def test_streams(self):
        """
        The same is so over HTTP/2, stream by stream, where the proxy's own connection
        is TLS.
        """
        # HTTP/2 takes its timers from the one reactor.
        self.patch(twisted.internet, "reactor", Patient(self.clock))
        self.serve(describe, cookies=ORDINARY)
        for host, scheme, said in (
            (PROXY, b"http", b"http 2.2.2.2 http://example.org/"),
            (PROXY, b"https", b"https 2.2.2.2 https://example.org/"),
            (STRANGER, b"http", b"https 203.0.113.5 https://example.org:8080/"),
        ):
            client = H2Client(self)
            self.clients.append(client)
            client.wire.peerAddr = peer(host)
            client.wire.hostAddr = IPv4Address("TCP", "10.0.0.9", 8080)
            address = (b"x-forwarded-for", b"1.1.1.1, 2.2.2.2")
            first = client.send(more=[address, (b"x-forwarded-proto", scheme)])
            second = client.send(more=[address])
            client.receive()
            self.assertEqual(client.streams[first].body, said)
            self.assertTrue(client.streams[second].body.startswith(b"https "))
