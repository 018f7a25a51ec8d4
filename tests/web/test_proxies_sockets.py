"""
Proxies over real sockets: the PROXY protocol of Twisted's own C{haproxy} endpoint,
Unix sockets, and TLS on either side.
"""

from __future__ import annotations

import socket
import struct

from twisted.internet import reactor
from twisted.internet.endpoints import (
    UNIXClientEndpoint,
    clientFromString,
    connectProtocol,
    serverFromString,
    wrapClientTLS,
)
from twisted.protocols.haproxy import proxyEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests._serving import makeFolder
from tests.web.pages import Page, change
from tests.web.sockets import SocketCase, Speaker, selfSigned
from tests.web.test_sockets import asynchronous
from txsessions import CookiePolicy, Site

CLIENT, PLACE = "203.0.113.5", "198.51.100.1"
V1 = f"PROXY TCP4 {CLIENT} {PLACE} 4711 443\r\n".encode()
UNKNOWN = b"PROXY UNKNOWN \r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SSL_TLV = b"\x20" + struct.pack("!HBI", 5, 1, 0)
"""C{PP2_TYPE_SSL}: the client uses TLS, and its certificate was verified."""


def v2(more=b"", command=0x21, host=CLIENT):
    """
    Write version 2 of the PROXY protocol.

    @param more: What follows the addresses.
    """
    addresses = socket.inet_aton(host) + socket.inet_aton(PLACE)
    said = addresses + struct.pack("!HH", 4711, 443) + more
    return SIGNATURE + bytes([command, 0x11]) + struct.pack("!H", len(said)) + said


def describe(request):
    """
    A page that counts, and says how its request came.
    """
    change(request)
    address = request.getClientAddress()
    return (
        f"{request.isSecure()} {request.clientHost()} {getattr(address, 'host', None)} "
        f"{request.prePathURL().decode()}"
    ).encode()


class EndpointCase(SocketCase):
    """
    A site on an endpoint, as operators write them.
    """

    async def listen(self, endpoint, page=describe, **policy):
        """
        Serve.

        @param endpoint: What to listen on, or its description.
        """
        site = Site(Page(page), cookies=CookiePolicy(**policy))
        if isinstance(endpoint, str):
            endpoint = serverFromString(reactor, endpoint)
        self.port = await endpoint.listen(self.wrapped(site))
        self.addCleanup(self.port.stopListening)
        self.addCleanup(site.closed)

    def wrapped(self, site):
        """
        The factory that the endpoint gets.
        """
        return site

    async def converse(self, *sent, headers=b"", endpoint=None):
        """
        Connect, send a request, and read to the end.

        @param sent: What goes before the request.
        @return: The cookie that is set, and the body; L{None} if nothing came.
        """
        if endpoint is None:
            port = self.port.getHost().port
            endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{port}")
        client = await connectProtocol(endpoint, Speaker())
        for part in sent:
            client.transport.write(part)
            await self.turns(2)
        client.transport.write(
            b"GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n"
            + headers
            + b"\r\n"
        )
        await client.ended
        if not client.received:
            return None
        head, _, body = client.received.partition(b"\r\n\r\n")
        (cookie,) = (
            line.partition(b": ")[2].split(b";")
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"set-cookie: ")
        )
        name = cookie[0].partition(b"=")[0].decode()
        flag = "Secure" if b" Secure" in cookie else "plain"
        return f"{name} {flag} {body.decode()}"


class ProxyProtocolTests(EndpointCase):
    """
    The PROXY protocol.
    """

    @asynchronous
    async def test_addresses(self):
        """
        Both versions tell the client's address; what has none is of the proxy
        itself, such as its question whether the server is well.
        """
        await self.listen(
            "haproxy:tcp:0:interface=127.0.0.1",
            trustedProxies=["127.0.0.1"],
            proxyHeader="proxy",
        )
        said = f"sid plain False {CLIENT} {CLIENT} http://example.org:443/"
        for sent in (V1, v2(), v2(SSL_TLV)):
            self.assertEqual(await self.converse(sent), said, sent)
        for sent in (UNKNOWN, v2(command=0x20)):
            found = await self.converse(sent)
            self.assertIn("sid plain False 127.0.0.1 127.0.0.1 http:", found)

    @asynchronous
    async def test_allIsTLS(self):
        """
        The protocol does not tell of TLS, as Twisted reads it; where all is TLS,
        C{secure="always"} says so, and URLs are right.
        """
        await self.listen(
            "haproxy:tcp:0:interface=127.0.0.1",
            trustedProxies=["127.0.0.1"],
            proxyHeader="proxy",
            secure="always",
        )
        for sent in (V1, v2(), v2(SSL_TLV)):
            self.assertEqual(
                await self.converse(sent),
                f"__Host-sid Secure True {CLIENT} {CLIENT} https://example.org/",
            )

    @asynchronous
    async def test_alwaysAlone(self):
        """
        The cookie is C{Secure} also where no proxy is named.
        """
        await self.listen("haproxy:tcp:0:interface=127.0.0.1", secure="always")
        found = await self.converse(V1)
        self.assertTrue(found.startswith(f"__Host-sid Secure False {CLIENT} "), found)

    @asynchronous
    async def test_others(self):
        """
        Nobody but the proxies may connect, so nobody else is heard.
        """
        endpoint = "haproxy:tcp:0:interface=127.0.0.1"
        trusted = {"trustedProxies": ["10.0.0.1", "unix"], "proxyHeader": "proxy"}
        for listening, sent in ((endpoint, V1), (endpoint[8:], b"")):
            await self.listen(listening, **trusted)
            self.assertIsNone(await self.converse(*([sent] if sent else [])))

    @asynchronous
    async def test_headersOfClients(self):
        """
        The headers of a client that came by the PROXY protocol are the client's.
        """
        headers = b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 1.1.1.1\r\n"
        for header in ("x-forwarded", "proxy"):
            await self.listen(
                "haproxy:tcp:0:interface=127.0.0.1",
                trustedProxies=["127.0.0.1"],
                proxyHeader=header,
            )
            for sent in (V1, v2()):
                found = await self.converse(sent, headers=headers)
                self.assertIn(f"sid plain False {CLIENT} {CLIENT} ", found)
        # The proxy itself asks, and is trusted; but not in this.
        found = await self.converse(UNKNOWN, headers=headers)
        self.assertIn("sid plain False 127.0.0.1 127.0.0.1 ", found)

    @asynchronous
    async def test_noAddress(self):
        """
        An address that is none is not one of a Unix socket.
        """
        await self.listen("haproxy:tcp:0:interface=127.0.0.1", trustedProxies=["unix"])
        found = await self.converse(
            V1.replace(CLIENT.encode(), b"unix"), headers=HeaderTests.HEADERS
        )
        self.assertIn("sid plain False None unix ", found)

    @asynchronous
    async def test_behindAnother(self):
        """
        A proxy may be the client of another that speaks the PROXY protocol.
        """
        await self.listen(
            "haproxy:tcp:0:interface=127.0.0.1", trustedProxies=["192.0.2.7"]
        )
        headers = b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 1.1.1.1\r\n"
        for sent in (V1.replace(CLIENT.encode(), b"192.0.2.7"), v2(host="192.0.2.7")):
            self.assertEqual(
                await self.converse(sent, headers=headers),
                "__Host-sid Secure True 1.1.1.1 192.0.2.7 https://example.org/",
            )


class PassedThroughTests(EndpointCase):
    """
    TLS that a proxy does not end.
    """

    def wrapped(self, site):
        """
        TLS, which follows the PROXY protocol.
        """
        server, self.trusting = selfSigned()
        return TLSMemoryBIOFactory(server, False, site)

    @asynchronous
    async def test_tlsWithin(self):
        """
        The address is what the PROXY protocol said, and the cookie C{Secure}.
        """
        plain = serverFromString(reactor, "tcp:0:interface=127.0.0.1")
        await self.listen(
            proxyEndpoint(plain), trustedProxies=["127.0.0.1"], proxyHeader="proxy"
        )
        port = self.port.getHost().port
        server = clientFromString(reactor, f"tcp:127.0.0.1:{port}")
        endpoint = wrapClientTLS(self.trusting, Prefixed(server, V1))
        self.assertEqual(
            await self.converse(endpoint=endpoint),
            f"__Host-sid Secure True {CLIENT} {CLIENT} https://example.org/",
        )


class Prefixed:
    """
    An endpoint on which something goes before what a client sends.
    """

    def __init__(self, endpoint, prefix):
        self.endpoint = endpoint
        self.prefix = prefix

    def connect(self, factory):
        """
        See C{IStreamClientEndpoint}.
        """
        build = factory.buildProtocol

        def built(address):
            protocol = build(address)
            connected = protocol.makeConnection

            def makeConnection(transport):
                transport.write(self.prefix)
                connected(transport)

            protocol.makeConnection = makeConnection
            return protocol

        factory.buildProtocol = built
        return self.endpoint.connect(factory)


class HeaderTests(EndpointCase):
    """
    Headers, over sockets of several kinds.
    """

    HEADERS = (
        b"X-Forwarded-Proto: https\r\n"
        b"X-Forwarded-For: 1.1.1.1, 203.0.113.5\r\n"
        b"Forwarded: for=2.2.2.2;proto=http\r\n"
    )

    @asynchronous
    async def test_tcp(self):
        """
        A proxy on this machine.
        """
        await self.listen("tcp:0:interface=127.0.0.1", trustedProxies=["127.0.0.1"])
        self.assertEqual(
            await self.converse(headers=self.HEADERS),
            f"__Host-sid Secure True {CLIENT} 127.0.0.1 https://example.org/",
        )

    @asynchronous
    async def test_tcpOfOthers(self):
        """
        Somebody else on this machine.
        """
        await self.listen("tcp:0:interface=127.0.0.1", trustedProxies=["unix", "::1"])
        found = await self.converse(headers=self.HEADERS)
        self.assertTrue(found.startswith("sid plain False 127.0.0.1 127.0.0.1 http:"))

    @asynchronous
    async def test_bothKinds(self):
        """
        IPv4 on a socket for IPv6, where an address is a mapped one.
        """
        await self.listen(r"tcp6:0:interface=\:\:", trustedProxies=["127.0.0.1"])
        found = await self.converse(headers=self.HEADERS)
        self.assertTrue(found.startswith(f"__Host-sid Secure True {CLIENT} "), found)

    @asynchronous
    async def test_unix(self):
        """
        A proxy on a Unix socket, trusted and not.
        """

        def short(request):
            # Twisted's prePathURL wants a port.
            change(request)
            return b"%a %a" % (request.isSecure(), request.clientHost())

        for trusted, page, said in (
            (["unix"], short, f"__Host-sid Secure True '{CLIENT}'"),
            (["unix"], describe, f"__Host-sid Secure True {CLIENT} None https://exam"),
            (["127.0.0.1"], short, "sid plain False None"),
        ):
            path = f"{makeFolder(self)}/site"
            await self.listen(f"unix:{path}", page, trustedProxies=trusted)
            endpoint = UNIXClientEndpoint(reactor, path)
            found = await self.converse(headers=self.HEADERS, endpoint=endpoint)
            self.assertEqual(found[: len(said)], said)
