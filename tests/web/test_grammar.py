"""
Tests of L{txsessions.web.grammar}: what each single option may be.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import ConfigurationError
from txsessions.web.policy import MAX_AGE_LIMIT, CookiePolicy

UID = b"0123456789abcdef" * 4


def refused(case: SynchronousTestCase, says: str, **options: Any) -> None:
    """
    Check that options are refused, with words that name the culprit.
    """
    error = case.assertRaises(ConfigurationError, CookiePolicy, **options)
    case.assertTrue(str(error).startswith("CookiePolicy: "), str(error))
    case.assertIn(says, str(error))
    case.assertIn("must be", str(error))
    case.assertIn("found", str(error))


class OptionTests(SynchronousTestCase):
    """
    Tests of the values of single options.
    """

    def test_injection(self) -> None:
        """
        H5: options that could end an attribute or a header are refused.
        """
        for bad in ("\r", "\n", "\r\nX: y", ";", "; Secure", "\0", "\x7f", "é", "\t"):
            for place in (f"a{bad}", f"{bad}a", f"a{bad}a"):
                refused(self, "secureName", secureName=place)
                refused(self, "insecureName", insecureName=place)
                refused(self, "path", path="/" + place)
                refused(self, "domain", domain=place)
                if bad != "é":
                    refused(self, "secureName", secureName=place.encode())

    def test_names(self) -> None:
        """
        Names are tokens, as text or bytes; the error shows what was given.
        """
        policy = CookiePolicy(secureName="a!#$%&'*+-.^_`|~Z9", insecureName=b"b")
        self.assertEqual(policy.secureName, b"a!#$%&'*+-.^_`|~Z9")
        self.assertEqual(policy.nameFor(False), b"b")
        for bad in ("", " ", "a b", "a=b", "a,b", 'a"b', "a(b", "a/b", "a[b]", "a@b"):
            refused(self, "secureName", secureName=bad)
            refused(self, "insecureName", insecureName=bad.encode())
        for wrong in (None, 1, ["a"], bytearray(b"a")):
            refused(self, "secureName", secureName=wrong)
        refused(self, r"caf\\xe9", insecureName="café")

    def test_maxAge(self) -> None:
        """
        C{Max-Age} is from one second to 400 days, in whole seconds.
        """
        for good in (1, MAX_AGE_LIMIT):
            value = CookiePolicy(maxAge=good).render(UID, True)
            self.assertIn(b"; Max-Age=%d; " % good, value)
        for bad in (0, -1, MAX_AGE_LIMIT + 1, 1.5, float("nan"), True, "60"):
            refused(self, "maxAge", maxAge=bad)
        self.assertEqual(MAX_AGE_LIMIT, 34_560_000)

    def test_domain(self) -> None:
        """
        A domain is a host name without decoration.
        """
        label = "a" * 63
        name = "__Secure-sid"
        for good in ("example.org", "xn--bcher-kva.example", "localhost", "3.example"):
            CookiePolicy(domain=good, secureName=name)
        CookiePolicy(domain=".".join([label] * 3), secureName=name)
        for bad in (
            "",
            ".example.org",
            "example.org.",
            "a..b",
            "-a.example",
            "a-.example",
            "a_b.example",
            "example.org:80",
            "https://example.org",
            "*.example.org",
            "[::1]",
            label + "a.org",
            ".".join([label] * 4),
            b"example.org",
            1,
        ):
            refused(self, "domain", domain=bad, secureName=name)

    def test_path(self) -> None:
        """
        A path is as it stands in a URL, and short enough for browsers.
        """
        name = "__Secure-sid"
        for good in ("/", "/a/b", "/a%20b", "/~a!$&'()*+,=:@", "/" + "a" * 1023):
            CookiePolicy(path=good, secureName=name)
        for bad in ("", "a", "/a b", "/" + "a" * 1024, b"/", None, "\\/"):
            refused(self, "path", path=bad, secureName=name)

    def test_trustedProxies(self) -> None:
        """
        Addresses and networks are parsed; all else is refused.
        """
        policy = CookiePolicy(
            trustedProxies=["127.0.0.1", "10.0.0.0/8", "::1", ip_network("fc00::/7")]
        )
        self.assertEqual(
            policy.trustedProxies,
            tuple(
                map(ip_network, ("127.0.0.1/32", "10.0.0.0/8", "::1/128", "fc00::/7"))
            ),
        )
        self.assertEqual(CookiePolicy().trustedProxies, ())
        for bad in (
            "127.0.0.1",
            b"::1",
            1,
            None,
            ["localhost"],
            ["10.0.0.1/8"],
            [""],
            [1],
            [b"\x7f\0\0\x01"],
            ["1.2.3.4", None],
        ):
            refused(self, "trustedProxies", trustedProxies=bad)
        refused(self, "found '::1'", trustedProxies="::1")

    def test_proxiesWithoutAddress(self) -> None:
        """
        C{unix} is whoever comes by a Unix socket.
        """
        policy = CookiePolicy(trustedProxies=["unix", "::1"])
        self.assertEqual(policy.trustedProxies, ("unix", ip_network("::1")))
        for bad in ("Unix", "unix:/run/nginx", "unix:"):
            refused(self, "'unix'", trustedProxies=[bad])

    def test_mappedProxies(self) -> None:
        """
        IPv4 in IPv6 is IPv4, if all of the network is.
        """
        for given, network in (
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::fffe:0:0/95", "::fffe:0:0/95"),
            ("::fffe:0:0/96", "::fffe:0:0/96"),
        ):
            policy = CookiePolicy(trustedProxies=[given])
            self.assertEqual(policy.trustedProxies, (ip_network(network),))

    def test_everybody(self) -> None:
        """
        Everybody is no proxy.
        """
        for bad in ("0.0.0.0/0", "::/0", "::ffff:0:0/96", ip_network("::/0")):
            refused(self, "less than everybody", trustedProxies=["127.0.0.1", bad])

    def test_proxyHeader(self) -> None:
        """
        What proxies speak with is one of three, and of no use without one.
        """
        for good in ("x-forwarded", "forwarded", "proxy"):
            policy = CookiePolicy(trustedProxies=["::1"], proxyHeader=good)
            self.assertEqual(policy.proxyHeader, good)
        for bad in ("X-Forwarded-For", "", None, b"proxy"):
            refused(self, "proxyHeader", trustedProxies=["::1"], proxyHeader=bad)
        for alone in ("forwarded", "proxy"):
            refused(self, "trustedProxies must be given", proxyHeader=alone)
