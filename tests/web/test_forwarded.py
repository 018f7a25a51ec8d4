"""
Tests of L{txsessions.web.forwarded}: what proxies say, and who is believed.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from txsessions.web.forwarded import (
    ADDRESS_LIMIT,
    MAX_HOPS,
    Networks,
    Origin,
    addressOf,
    addressOfPeer,
    followForwarded,
    followXForwarded,
    parseForwarded,
    readScheme,
)

TRUSTED = [ip_network(n) for n in ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8")]
NETWORKS = Networks(TRUSTED)
NEAREST = ip_address("10.0.0.1")

PROXIES = ["10.0.0.2", "10.255.255.255", "192.0.2.7", "fd00::1", "::ffff:10.0.0.3"]
CLIENTS = ["203.0.113.5", "192.0.2.8", "11.0.0.0", "2001:db8::5", "::ffff:8.8.8.8"]
RUBBISH = [
    "",
    "unknown",
    "_hidden",
    "10.0.0",
    "1.2.3.4.5",
    "::g",
    "x" * 100,
    "10.0.0.2 ",
]

anything = st.lists(st.binary(max_size=80), max_size=4)
hops = st.lists(st.sampled_from([*PROXIES, *CLIENTS, *RUBBISH[:-1]]), max_size=8)


def known(text):
    """
    Read an address as plainly as can be; L{None} if it is none.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def isTrusted(address):
    """
    Look through the networks.
    """
    return any(address in network for network in TRUSTED)


def believed(entries):
    """
    Find the client as plainly as can be.

    @param entries: The addresses that the proxies wrote, in order.
    @return: Its address, and the index of the entry that is the last to be looked
        at; L{None} where there is none.
    """
    client, last = NEAREST, None
    for index in range(len(entries) - 1, -1, -1):
        last, address = index, known(entries[index])
        if address is None:
            break
        client = address
        if not isTrusted(address):
            break
    return client, last


def quoted(text):
    """
    Write a node as C{Forwarded} wants it.
    """
    return f'for="[{text}]"' if ":" in text else f'for="{text}"'


class AddressTests(SynchronousTestCase):
    """
    Tests of L{addressOf} and L{addressOfPeer}.
    """

    def test_good(self):
        """
        Addresses are read with a port and without, in brackets and without.
        """
        for text, address in (
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("192.0.2.1:_port", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:65535", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:c000:201]:1", "192.0.2.1"),
        ):
            self.assertEqual(addressOf(text.encode()), ip_address(address), text)

    def test_bad(self):
        """
        What is none is none: names, obfuscation, other bases, zones, spaces.
        """
        for text in (
            *RUBBISH,
            "localhost",
            "192.0.2.1:",
            "192.0.2.1:123456",
            "192.0.2.1:80:80",
            "192.0.2.01",
            "0x7f.0.0.1",
            "2130706433",
            "127.1",
            "192.0.2.256",
            "192.0.2.1/32",
            "[192.0.2.1]",
            "[::1",
            "::1]",
            "[::1]80",
            "[]",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "192.0.2.1\n",
            " 192.0.2.1",
            "١٩٢.0.2.1",
            "1.1.1.1,2.2.2.2",
            "[" + ":" * ADDRESS_LIMIT + "]",
        ):
            self.assertIsNone(addressOf(text.encode()), text)

    def test_peers(self):
        """
        The other end of a connection has an address, but for Unix sockets.
        """
        for peer, address in (
            (IPv4Address("TCP", "192.0.2.1", 80), "192.0.2.1"),
            (IPv6Address("TCP", "2001:db8::1", 80), "2001:db8::1"),
            (IPv6Address("TCP", "::ffff:192.0.2.1", 80), "192.0.2.1"),
            (IPv6Address("TCP", "fe80::1%eth0", 80), "fe80::1"),
        ):
            self.assertEqual(addressOfPeer(peer), ip_address(address))
        for peer in (
            UNIXAddress(b"/run/site"),
            UNIXAddress(None),
            None,
            IPv4Address("TCP", "somebody", 80),
            IPv4Address("TCP", "\N{SNOWMAN}", 80),
            IPv4Address("TCP", b"192.0.2.1", 80),
        ):
            self.assertIsNone(addressOfPeer(peer))


class NetworksTests(SynchronousTestCase):
    """
    Tests of L{Networks}.
    """

    @settings(deadline=None)
    @given(
        st.lists(st.tuples(st.ip_addresses(), st.integers(1, 128)), max_size=5),
        st.lists(st.ip_addresses(), max_size=5),
    )
    def test_likeIpaddress(self, sizes, addresses):
        """
        An address is in it if it is in one of the networks.
        """
        networks = [
            ip_network((address, min(size, address.max_prefixlen)), strict=False)
            for address, size in sizes
        ]
        found = Networks(networks)
        edges = [edge for n in networks for edge in (n[0], n[-1])]
        for address in [*addresses, *edges, *(a for a, _ in sizes)]:
            expected = any(address in network for network in networks)
            self.assertEqual(address in found, expected)


class SchemeTests(SynchronousTestCase):
    """
    Tests of L{readScheme}.
    """

    def test_all(self):
        """
        It is TLS where all agree that it is; else plain HTTP, with the reason.
        """
        for values, secure in (
            ([], None),
            ([b""], None),
            ([b"https"], True),
            ([b" HTTPS\t"], True),
            ([b"wss"], True),
            ([b"https, https"], True),
            ([b"https", b"https"], True),
            ([b"http"], False),
            ([b"ws"], False),
        ):
            self.assertEqual(readScheme(values), (secure, None), values)
        for values in ([b"https,http"], [b"http, https"], [b"https", b"http"]):
            self.assertEqual(readScheme(values), (False, "says both http and https"))
        for value in (b"https,", b"httpss", b"https https", b'"https"', b"on", b"\xff"):
            self.assertEqual(readScheme([value])[0], False, value)
            self.assertIn("neither", readScheme([value])[1])


class XForwardedTests(SynchronousTestCase):
    """
    Tests of L{followXForwarded}.
    """

    def follow(self, *lines, schemes=()):
        """
        Follow.
        """
        return followXForwarded(
            NETWORKS, NEAREST, [line.encode() for line in lines], schemes
        )

    def test_some(self):
        """
        The first from the right that is not trusted is the client.
        """
        for lines, client in (
            ((), "10.0.0.1"),
            (("",), "10.0.0.1"),
            (("203.0.113.5",), "203.0.113.5"),
            (("1.1.1.1, 203.0.113.5",), "203.0.113.5"),
            (("1.1.1.1, 203.0.113.5, 10.0.0.2",), "203.0.113.5"),
            (("1.1.1.1", "203.0.113.5", "10.0.0.2"), "203.0.113.5"),
            (("10.9.9.9, 203.0.113.5,10.0.0.2 ,\t192.0.2.7",), "203.0.113.5"),
            (("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
            (("203.0.113.5, unknown, 10.0.0.2",), "10.0.0.2"),
            (("203.0.113.5, unknown",), "10.0.0.1"),
            (("203.0.113.5,",), "10.0.0.1"),
            (("203.0.113.5:4711, [fd00::2]:1",), "203.0.113.5"),
            (("::ffff:203.0.113.5, ::ffff:10.0.0.4",), "203.0.113.5"),
        ):
            origin = self.follow(*lines)
            self.assertEqual(origin, Origin(ip_address(client), None), lines)

    def test_tooMany(self):
        """
        A chain that is too long ends where it is too long.
        """
        proxies = ["10.0.0.2"] * (MAX_HOPS - 1)
        line = ", ".join(["203.0.113.5", *proxies])
        self.assertEqual(self.follow(line).address, ip_address("203.0.113.5"))
        line = ", ".join(["203.0.113.5", *proxies, "10.0.0.9", "10.0.0.9"])
        self.assertEqual(self.follow(line).address, ip_address("10.0.0.2"))

    @settings(deadline=None)
    @given(hops, st.integers(0, 8))
    def test_neverBeyond(self, entries, cut):
        """
        The walk ends with the first hop that is not trusted, however the chain is
        spread over lines.
        """
        lines = [", ".join(part) for part in (entries[:cut], entries[cut:]) if part]
        self.assertEqual(self.follow(*lines).address, believed(entries)[0])

    @settings(deadline=None)
    @given(hops, st.sampled_from(CLIENTS), st.lists(st.sampled_from(PROXIES)), anything)
    def test_madeUp(self, madeUp, client, proxies, schemes):
        """
        Whatever a client sends, the address is the one that the outermost proxy saw.
        """
        line = ", ".join([*madeUp, client, *proxies[:20]])
        self.assertEqual(self.follow(line, schemes=schemes).address, known(client))

    @settings(deadline=None)
    @given(anything, anything)
    def test_anything(self, addresses, schemes):
        """
        Nothing raises, and what is found was written there.
        """
        origin = followXForwarded(NETWORKS, NEAREST, addresses, schemes)
        self.assertIn(origin.secure, (None, False, True))
        if origin.address != NEAREST:
            self.assertTrue(addresses)
        self.assertIsNone(followXForwarded(NETWORKS, None, [], schemes).address)


class ForwardedTests(SynchronousTestCase):
    """
    Tests of L{followForwarded} and L{parseForwarded}.
    """

    def follow(self, *lines):
        """
        Follow.
        """
        return followForwarded(NETWORKS, NEAREST, [line.encode() for line in lines])

    def test_grammar(self):
        """
        Lines are read as RFC 7239 writes them, its own examples too.
        """
        for line, elements in (
            (b"", []),
            (b" ,\t, ", []),
            (b'for="_gazonk"', [{b"for": b"_gazonk"}]),
            (
                b'For="[2001:db8:cafe::17]:4711"',
                [{b"for": b"[2001:db8:cafe::17]:4711"}],
            ),
            (
                b"for=192.0.2.60;proto=http;by=203.0.113.43",
                [{b"for": b"192.0.2.60", b"proto": b"http", b"by": b"203.0.113.43"}],
            ),
            (b"for=a, for=b", [{b"for": b"a"}, {b"for": b"b"}]),
            (b"for=a ; proto=https;", [{b"for": b"a", b"proto": b"https"}]),
            (b"for=192.0.2.60:80", [{b"for": b"192.0.2.60:80"}]),
            (b'x="a,b;for=c\\"\\\\"', [{b"x": b'a,b;for=c"\\'}]),
        ):
            self.assertEqual(parseForwarded(line), elements, line)
        for line in (
            b"for",
            b"for=",
            b"=a",
            b"for =a",
            b"for= a",
            b'for="a',
            b'for="a\\"',
            b'for="a"b',
            b'for=a"b"',
            b"for=a for=b",
            b"for=a;for=b",
            b"for=a;FOR=b",
            b"for=a=b",
            b"f\xf6r=a",
            b"for=a\0",
        ):
            self.assertIsNone(parseForwarded(line), line)

    def test_some(self):
        """
        The client and its scheme are what the outermost trusted proxy wrote.
        """
        for lines, client, secure in (
            ((), "10.0.0.1", None),
            (("",), "10.0.0.1", None),
            (("for=203.0.113.5;proto=https",), "203.0.113.5", True),
            (("for=203.0.113.5;proto=http",), "203.0.113.5", False),
            (("for=203.0.113.5",), "203.0.113.5", None),
            (
                ("for=203.0.113.5;proto=https, for=10.0.0.2;proto=http",),
                "203.0.113.5",
                True,
            ),
            (
                ("for=1.1.1.1;proto=https, for=203.0.113.5;proto=http",),
                "203.0.113.5",
                False,
            ),
            (("for=1.1.1.1;proto=https, for=203.0.113.5",), "203.0.113.5", None),
            (
                ("for=1.1.1.1;proto=https", "for=203.0.113.5;proto=http"),
                "203.0.113.5",
                False,
            ),
            (("for=1.1.1.1, for=unknown;proto=https",), "10.0.0.1", True),
            (("for=1.1.1.1, for=_x, for=10.0.0.2",), "10.0.0.2", None),
            (("for=1.1.1.1, proto=https",), "10.0.0.1", True),
            (('for="', "for=203.0.113.5;proto=https"), "203.0.113.5", True),
        ):
            origin = self.follow(*lines)
            expected = Origin(ip_address(client), secure)
            self.assertEqual(origin, expected, lines)

    def test_malformed(self):
        """
        A line that cannot be read is believed in nothing, whatever is in it.
        """
        for line in (
            'for="1.1.1.1, for=203.0.113.5;proto=https',
            "for=203.0.113.5;for=1.1.1.1;proto=https",
            "proto=https;proto=http",
            "https",
        ):
            origin = self.follow(line)
            self.assertEqual((origin.address, origin.secure), (NEAREST, False), line)
            self.assertIn("RFC 7239", origin.doubt)
        origin = self.follow("for=203.0.113.5;proto=quic")
        self.assertEqual(origin.secure, False)
        self.assertIn("neither", origin.doubt)

    def test_tooMany(self):
        """
        A chain that is too long is believed in nothing beyond.
        """
        origin = self.follow(", ".join(["for=10.0.0.2;proto=https"] * MAX_HOPS))
        self.assertEqual(origin, Origin(ip_address("10.0.0.2"), True))
        line = ", ".join(["for=1.1.1.1;proto=https"] + ["for=10.0.0.2"] * MAX_HOPS)
        origin = self.follow(line)
        self.assertEqual((str(origin.address), origin.secure), ("10.0.0.2", False))
        self.assertIn("more than 32", origin.doubt)

    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([*PROXIES, *CLIENTS, "unknown", "_hidden"]),
                st.sampled_from(["http", "https", None]),
            ),
            max_size=6,
        ),
        st.integers(0, 6),
    )
    def test_neverBeyond(self, entries, cut):
        """
        The walk ends with the first hop that is not trusted, and the scheme is of
        that element.
        """
        elements = [
            quoted(hop) + (f";proto={scheme}" if scheme else "")
            for hop, scheme in entries
        ]
        lines = [", ".join(part) for part in (elements[:cut], elements[cut:]) if part]
        client, last = believed([hop for hop, _ in entries])
        scheme = None if last is None else entries[last][1]
        secure = None if scheme is None else scheme == "https"
        self.assertEqual(self.follow(*lines), Origin(client, secure))

    @settings(deadline=None)
    @given(st.text('for=";,\\ \t10.:[]pts', max_size=60), st.sampled_from(CLIENTS))
    def test_madeUp(self, madeUp, client):
        """
        Whatever stands to the left in the line to which a proxy adds, what it adds
        is believed, or nothing is.
        """
        line = f"{madeUp}, {quoted(client)};proto=http"
        origin = followForwarded(NETWORKS, NEAREST, [line.encode()])
        self.assertIn(origin.address, (known(client), NEAREST))
        self.assertEqual(origin.secure, False)

    @settings(deadline=None)
    @given(anything)
    def test_anything(self, lines):
        """
        Nothing raises.
        """
        origin = followForwarded(NETWORKS, NEAREST, lines)
        self.assertIn(origin.secure, (None, False, True))

    def test_linear(self):
        """
        Headers as long as can be are read, in as many steps as they have bytes.
        """
        size = 16_384
        for piece in (
            b",",
            b";",
            b" ",
            b'"',
            b"for=",
            b'for="',
            b"a=\\",
            b"a=1;",
            b"a=1,",
        ):
            line = piece * (size // len(piece))
            followForwarded(NETWORKS, NEAREST, [line, line])
            followXForwarded(NETWORKS, NEAREST, [line, line], [line])
