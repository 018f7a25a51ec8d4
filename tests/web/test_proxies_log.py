"""
What the log is told of proxies: whom a site trusts, and what may be wrong.
"""

from __future__ import annotations

from tests.web.pages import change, count, look
from tests.web.proxying import (
    FORWARDED,
    HTTP,
    HTTPS,
    ORDINARY,
    PROXY,
    STRANGER,
    ProxyCase,
)
from txsessions import CookiePolicy


class LogTests(ProxyCase):
    """
    What the log is told.
    """

    def test_start(self):
        """
        At the start it is told who is trusted, where anybody is.
        """
        self.serve(look)
        self.assertEqual(self.warned("believed"), 0)
        trusted = [PROXY, "fd00::/8", "unix"]
        self.serve(look, cookies=CookiePolicy(trustedProxies=trusted))
        self.assertEqual(
            self.warned(
                "X-Forwarded-For and X-Forwarded-Proto are believed from 10.0.0.1/32, "
                "fd00::/8, Unix sockets, and from nobody else"
            ),
            1,
        )
        self.serve(look, cookies=FORWARDED)
        self.assertEqual(self.warned("Forwarded are believed"), 0)
        self.assertEqual(self.warned("Forwarded is believed from 10.0.0.1/32"), 1)
        policy = CookiePolicy(trustedProxies=trusted, proxyHeader="proxy")
        self.serve(look, cookies=policy)
        self.assertEqual(self.warned("only proxies connect, with the PROXY proto"), 1)

    def told(self, policy, *requests, page=change, **how):
        """
        Have some requests, and find what the log was told of them.

        @param requests: For each from where it comes, and its headers.
        """
        before = len(self.logged)
        site = self.serve(lambda request: page(request) and b"", cookies=policy)
        for host, *headers in requests:
            https = {"behindProxy": HTTPS[0] in headers and policy is not None}
            self.come(host, site=site, **(how or https)).fetch(headers=headers)
        told = [event.get("what") for event in self.logged[before:]]
        return [what for what in told if what]

    def test_untrusted(self):
        """
        Once a site: that a session cookie has no C{Secure} though the request says
        that it came by a proxy.
        """
        told = self.told(None, *[(PROXY, *HTTPS)] * 3, (STRANGER, *HTTPS))
        (said,) = told
        self.assertEqual(
            said,
            "X-Forwarded-Proto came from 10.0.0.1, which is no trusted proxy of this "
            "site",
        )
        for policy, host, header in (
            (None, None, "X-Forwarded-Proto: https"),
            (None, PROXY, "X-Forwarded-For: 1.1.1.1"),
            (None, PROXY, "Forwarded: for=1.1.1.1"),
            (None, PROXY, "Forwarded: for=1.1.1.1;proto=https"),
            (ORDINARY, STRANGER, "X-Forwarded-Proto: https"),
        ):
            (said,) = self.told(policy, (host, header))
            self.assertTrue(said.startswith(header.partition(":")[0]), said)
            self.assertIn(host or "unix", said)

    def test_trusted(self):
        """
        That a trusted proxy does not say what it should, or says it in two ways.
        """
        for policy, headers, expected in (
            (ORDINARY, (), "does not say in X-Forwarded-Proto whether"),
            (
                ORDINARY,
                ("Forwarded: proto=https",),
                "does not say in X-Forwarded-Proto",
            ),
            (FORWARDED, HTTPS, "does not say in Forwarded whether"),
            (
                ORDINARY,
                ("X-Forwarded-Proto: https, http",),
                "X-Forwarded-Proto, from a trusted proxy, says both http and https",
            ),
            (FORWARDED, ("Forwarded: https",), "is not of the form that RFC 7239"),
        ):
            (said,) = self.told(policy, (PROXY, *headers))
            self.assertIn(expected, said)

    def test_nothingToSay(self):
        """
        Nothing where the cookie is right, or where none is given out.
        """
        for policy, request in (
            (None, (PROXY,)),
            (None, (PROXY, *HTTP)),
            (None, (PROXY, "Forwarded: for=1.1.1.1;proto=http")),
            (ORDINARY, (PROXY, *HTTP)),
            (ORDINARY, (PROXY, *HTTPS)),
            (CookiePolicy(secure="always"), (PROXY, *HTTPS)),
            (CookiePolicy(secure="never"), (PROXY, "X-Forwarded-For: 1.1.1.1")),
            (CookiePolicy(secure="never", trustedProxies=[PROXY]), (PROXY,)),
        ):
            self.assertEqual(self.told(policy, request), [], request)
        self.assertEqual(self.told(None, (PROXY, *HTTPS), secure=True), [])

        def insecure(request):
            request.getSession(forceNotSecure=True)["a"] = 1
            return True

        request = (PROXY, *HTTPS)
        self.assertEqual(self.told(None, request, page=insecure, secure=True), [])
        self.assertEqual(self.told(None, request, page=bool), [])
        blank = self.told(None, request, page=lambda request: request.getSession())
        self.assertEqual(blank, [])

    def test_advice(self):
        """
        It says what to do, and repeats nothing of what the client wrote.
        """
        self.serve(count)
        headers = ("X-Forwarded-Proto: https\x01evil", "X-Forwarded-For: evil")
        self.come(f"::ffff:{PROXY}").fetch(headers=headers)
        self.assertEqual(self.warned("CookiePolicy(trustedProxies=['10.0.0.1'])"), 1)
        self.assertEqual(self.warned("--session-trusted-proxy 10.0.0.1. "), 1)
        self.assertEqual(self.warned("evil"), 0)
