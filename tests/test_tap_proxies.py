"""
Tests of C{twistd web --session-trusted-proxy}: what the command line says of proxies.
"""

from __future__ import annotations

from io import BytesIO
from ipaddress import ip_network

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from tests.test_tap import factoriesOf, parse, parseUnder
from txsessions import tap


class ProxyOptionTests(SynchronousTestCase):
    """
    The options about proxies.
    """

    def test_none(self):
        """
        Nobody is trusted unless named.
        """
        cookies = parse("--sessions").settings.cookies
        self.assertEqual(cookies.trustedProxies, ())

    def test_several(self):
        """
        Proxies are named one by one, and what they speak with once.
        """
        cookies = parse(
            "--sessions",
            "--session-trusted-proxy=127.0.0.1",
            "--session-trusted-proxy=fd00::/8",
            "--session-trusted-proxy=unix",
            "--session-proxy-header=forwarded",
        ).settings.cookies
        self.assertEqual(
            cookies.trustedProxies,
            (ip_network("127.0.0.1"), ip_network("fd00::/8"), "unix"),
        )
        self.assertEqual(cookies.proxyHeader, "forwarded")
        cookies = parse("--sessions", "--session-trusted-proxy=unix").settings.cookies
        self.assertEqual(cookies.proxyHeader, "x-forwarded")

    def test_arrives(self):
        """
        The site that is served trusts them.
        """
        options = parse("--session-store=memory:", "--session-trusted-proxy=unix")
        (site,) = factoriesOf(tap.makeService(options))
        self.assertTrue(site._proxies)
        self.assertIn("Unix sockets", site._proxies.inWords())

    def test_wrong(self):
        """
        What is wrong is answered by one line that says what is right.
        """
        trusted = "--session-trusted-proxy="
        for arguments, expected in [
            (
                [trusted + "nginx"],
                "--session-trusted-proxy must be an IP address, a ne",
            ),
            ([trusted + "10.0.0.1/8"], "or unix; found '10.0.0.1/8'"),
            ([trusted], "found ''"),
            ([trusted + "::/0"], "that is not everybody's, or unix; found '::/0'"),
            ([trusted + "::1", trusted + "::g"], "found '::g'"),
            (
                ["--session-proxy-header=proxy"],
                "--session-proxy-header needs --session-trusted-proxy as well",
            ),
            (
                [trusted + "::1", "--session-proxy-header=X-Real-IP"],
                "must be x-forwarded, forwarded or proxy; found 'X-Real-IP'",
            ),
            ([trusted + "unix", "--personal"], "has no effect with --personal"),
        ]:
            error = self.assertRaises(usage.UsageError, parse, "--sessions", *arguments)
            self.assertIn(expected, str(error))
            self.assertNotIn("\n", str(error))
        error = self.assertRaises(usage.UsageError, parse, trusted + "::1")
        self.assertEqual(str(error), "--session-trusted-proxy needs --sessions as well")
        error = self.assertRaises(
            SystemExit, parseUnder, [], "--sessions", trusted + "x"
        )
        self.assertTrue(error.code.startswith("web: --session-trusted-proxy must be"))

    def test_help(self):
        """
        The help teaches, on lines without holes.
        """
        said = " ".join(str(tap.Options()).split())
        self.assertIn("or unix for whoever comes by a Unix socket: it is belie", said)
        self.assertIn("May be given several times. [default: nobody]", said)
        self.assertNotIn("unix for   ", str(tap.Options()))

    def test_shellCompletion(self):
        """
        Shells complete both, one of them again and again.
        """
        options = tap.Options()
        options._shellCompFile = BytesIO()
        self.assertRaises(
            SystemExit, options.parseOptions, ["--s", "--_shell-completion", "zsh:1"]
        )
        completion = options._shellCompFile.getvalue().decode()
        self.assertIn("(x-forwarded forwarded proxy)", completion)
        self.assertRegex(completion, r"\n'?\*'?--session-trusted-proxy=\[")
        self.assertIn("(127.0.0.1 ::1 unix)", completion)
