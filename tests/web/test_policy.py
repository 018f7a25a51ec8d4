"""
Tests of L{txsessions.web.policy}: every byte of C{Set-Cookie}, and the options
that do not go together.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from http.cookiejar import CookieJar
from itertools import product
from pathlib import Path
from typing import Any
from urllib.request import Request as ClientRequest

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.test.requesthelper import DummyChannel

from tests.web.rfc6265 import Browser, parse
from tests.web.test_grammar import refused
from txsessions.errors import ConfigurationError
from txsessions.web.cookie import readCookie
from txsessions.web.policy import MAX_AGE_LIMIT, SET_COOKIE_LIMIT, CookiePolicy

UID = b"0123456789abcdef" * 4
EPOCH = b"Expires=Thu, 01 Jan 1970 00:00:00 GMT"
GOLDEN = Path(__file__).with_name("set_cookies.golden")


def everyOptionSet() -> Iterator[dict[str, Any]]:
    """
    All combinations of the options that show in the header.
    """
    for sameSite, maxAge, domain, path, partitioned, secure in product(
        ("lax", "strict", "none"),
        (None, 1209600),
        (None, "example.org"),
        ("/", "/app"),
        (False, True),
        ("auto", "always", "never"),
    ):
        shared = domain is not None or path != "/"
        yield {
            "secureName": "__Secure-sid" if shared else "__Host-sid",
            "sameSite": sameSite,
            "maxAge": maxAge,
            "domain": domain,
            "path": path,
            "partitioned": partitioned,
            "secure": secure,
        }


def goldenLines() -> Iterator[str]:
    """
    Say what every option set gives.  Write the file anew, and read what has
    changed in it, with::

        python -c "from tests.web.test_policy import *; writeGolden()"
    """
    for options in everyOptionSet():
        yield " ".join(f"{key}={value}" for key, value in options.items())
        try:
            policy = CookiePolicy(**options)
        except ConfigurationError:
            yield "    refused"
            continue
        for secure in sorted({policy.isSecure(False), policy.isSecure(True)}):
            for value in (policy.render(UID, secure), policy.renderDeletion(secure)):
                yield "    " + value.replace(UID, b"<uid>").decode("ascii")


def writeGolden() -> None:
    """
    Write the golden file anew: see L{goldenLines}.
    """
    GOLDEN.write_text("\n".join(goldenLines()) + "\n")


class BytesTests(SynchronousTestCase):
    """
    Tests of the bytes that go out.
    """

    def test_default(self) -> None:
        """
        H1, H3: the defaults are the hardened cookie, byte for byte.
        """
        policy = CookiePolicy()
        self.assertEqual(
            policy.render(UID, True),
            b"__Host-sid=" + UID + b"; Path=/; Secure; HttpOnly; SameSite=Lax",
        )
        self.assertEqual(
            policy.render(UID, False),
            b"sid=" + UID + b"; Path=/; HttpOnly; SameSite=Lax",
        )
        self.assertEqual(
            policy.renderDeletion(True),
            b"__Host-sid=; Path=/; Max-Age=0; " + EPOCH + b"; Secure; HttpOnly; "
            b"SameSite=Lax",
        )
        self.assertEqual(
            policy.renderDeletion(False),
            b"sid=; Path=/; Max-Age=0; " + EPOCH + b"; HttpOnly; SameSite=Lax",
        )

    def test_order(self) -> None:
        """
        All attributes together stand in their one order.
        """
        policy = CookiePolicy(
            secureName=b"__Secure-id",
            sameSite="none",
            maxAge=60,
            domain="example.org",
            path="/a%20b",
            partitioned=True,
            secure="always",
        )
        self.assertEqual(
            policy.render(UID, True),
            b"__Secure-id=" + UID + b"; Path=/a%20b; Domain=example.org; Max-Age=60; "
            b"Secure; HttpOnly; SameSite=None; Partitioned",
        )
        self.assertEqual(
            policy.renderDeletion(True),
            b"__Secure-id=; Path=/a%20b; Domain=example.org; Max-Age=0; "
            + EPOCH
            + b"; Secure; HttpOnly; SameSite=None; Partitioned",
        )

    def test_golden(self) -> None:
        """
        H1: the bytes for every option set are those of the golden file.
        """
        expected = GOLDEN.read_text().splitlines()
        found = list(goldenLines())
        for line, (one, other) in enumerate(zip(expected, found, strict=False), 1):
            self.assertEqual(one, other, f"line {line} of {GOLDEN.name}")
        self.assertEqual(len(expected), len(found))

    def test_everySetIsStored(self) -> None:
        """
        H1, L6: what every option set gives follows the grammar, is stored by a
        browser, comes back as the uid, and is gone after its deletion.
        """
        stored = 0
        for options in everyOptionSet():
            try:
                policy = CookiePolicy(**options)
            except ConfigurationError:
                continue
            for secure in {policy.isSecure(False), policy.isSecure(True)}:
                checkRoundTrip(self, policy, secure)
                stored += 1
        self.assertEqual(stored, 96)

    def test_cookieJar(self) -> None:
        """
        L6: the standard library's cookie jar, another judge, takes the cookie
        and forgets it.
        """
        for policy in (
            CookiePolicy(),
            CookiePolicy(secureName="__Secure-s", domain="example.org"),
        ):
            jar = CookieJar()
            request = ClientRequest("https://www.example.org/a/b")
            self.jarReceives(jar, request, policy.render(UID, True))
            self.assertEqual([cookie.value for cookie in jar], [UID.decode()])
            self.jarReceives(jar, request, policy.renderDeletion(True))
            self.assertEqual(list(jar), [])

    def jarReceives(self, jar: CookieJar, request: ClientRequest, value: bytes) -> None:
        """
        Give a C{Set-Cookie} value to a cookie jar.
        """

        class Response:
            """
            As much of a response as a cookie jar looks at.
            """

            def info(self) -> Message:
                """
                The headers.
                """
                message = Message()
                message["Set-Cookie"] = value.decode("ascii")
                return message

        jar.extract_cookies(Response(), request)  # type: ignore[arg-type]

    def test_notAUid(self) -> None:
        """
        H5: nothing but a uid is rendered, and what is refused is not shown.
        """
        for uid in (b"", b"x\r\nSet-Cookie: a=1", UID + b";", UID.upper(), b"0" * 64):
            error = self.assertRaises(ValueError, CookiePolicy().render, uid, True)
            self.assertNotIn(repr(uid)[2:-1] or "b''", str(error))

    @settings(deadline=None)
    @given(
        options=st.fixed_dictionaries(
            {},
            optional={
                "secureName": st.sampled_from(
                    [
                        "__Host-a",
                        "__HOST-a",
                        "__Secure-a",
                        "__Http-a",
                        "__Host-Http-a",
                        "a",
                    ]
                )
                | st.text(st.characters(max_codepoint=0xFF), max_size=12),
                "insecureName": st.sampled_from(
                    ["a", "A", "__host-b", "b", "__secure-b"]
                )
                | st.text(st.characters(max_codepoint=0xFF), max_size=12),
                "sameSite": st.sampled_from(["lax", "strict", "none", "Lax", ""]),
                "maxAge": st.none() | st.integers(-1, MAX_AGE_LIMIT + 1),
                "domain": st.none()
                | st.sampled_from(["example.org", "ORG", "www.example.org"])
                | st.text("a1-._ ;é", max_size=8),
                "path": st.text('/a%;\r\n "é', max_size=4).map("/".__add__),
                "partitioned": st.booleans(),
                "secure": st.sampled_from(["auto", "always", "never"]),
                "perSitePath": st.booleans(),
            },
        ),
        secure=st.booleans(),
        sitepath=st.lists(st.binary(max_size=200), max_size=3),
    )
    def test_anything(
        self, options: dict[str, Any], secure: bool, sitepath: list[bytes]
    ) -> None:
        """
        Whatever the options, they are refused or make a clean cookie that a
        browser stores, sends back and forgets.
        """
        try:
            policy = CookiePolicy(**options)
        except ConfigurationError:
            return
        host = policy.domain or "www.example.org"
        checkRoundTrip(self, policy, policy.isSecure(secure), host, sitepath)


def checkRoundTrip(
    case: SynchronousTestCase,
    policy: CookiePolicy,
    secure: bool,
    host: str = "www.example.org",
    sitepath: list[bytes] | None = None,
) -> None:
    """
    Check one cookie of a policy with the independent parser and browser.
    """
    sitepath = sitepath or []
    host = host.lower()
    name = policy.nameFor(secure, sitepath)
    given = policy.render(UID, secure, sitepath)
    deletion = policy.renderDeletion(secure, sitepath)
    parsed, gone = parse(given), parse(deletion)
    case.assertEqual((parsed.name, parsed.value), (name.decode(), UID.decode()))
    case.assertEqual((gone.name, gone.value), (name.decode(), ""))
    case.assertIn("HttpOnly", parsed.attributes)
    case.assertEqual("Secure" in parsed.attributes, secure)
    for attribute in (
        "Path",
        "Domain",
        "Secure",
        "HttpOnly",
        "SameSite",
        "Partitioned",
    ):
        case.assertEqual(
            parsed.attributes.get(attribute, "absent"),
            gone.attributes.get(attribute, "absent"),
        )
    browser = Browser()
    where: dict[str, Any] = {"host": host, "path": policy.path, "https": secure}
    browser.receive(given, **where)
    case.assertEqual(readCookie(browser.send(**where), name), UID)
    browser.receive(deletion, **where)
    case.assertEqual(browser.send(**where), [])
    case.assertEqual(browser.cookies, {})


class TogetherTests(SynchronousTestCase):
    """
    Tests of what options allow together.
    """

    def test_namesDiffer(self) -> None:
        """
        The two names differ by more than case, unless only one is ever used.
        """
        for secureName, insecureName in (("sid", "sid"), ("SID", "sid")):
            names: dict[str, Any] = {
                "secureName": secureName,
                "insecureName": insecureName,
            }
            refused(self, "insecureName", **names)
            CookiePolicy(secure="always", **names)
            CookiePolicy(secure="never", **names)

    def test_prefixes(self) -> None:
        """
        H2: names with a prefix are held to its promise, in any case, where the
        name is used at all.
        """
        for prefix in ("__Host-", "__Secure-", "__Http-", "__Host-Http-", "__hOsT-"):
            refused(self, "insecureName", insecureName=prefix + "sid")
            refused(self, "insecureName", insecureName=prefix + "sid", secure="never")
            CookiePolicy(insecureName=prefix + "a", secure="always")
            CookiePolicy(secureName=prefix + "a")
            bound = "host" in prefix.lower()
            elsewhere: list[dict[str, Any]] = [{"domain": "a.example"}, {"path": "/a"}]
            for options in elsewhere:
                if bound:
                    refused(self, "secureName", secureName=prefix + "a", **options)
                else:
                    CookiePolicy(secureName=prefix + "a", **options)
                CookiePolicy(secure="never", **options)
        CookiePolicy(insecureName="__Hostess")

    def test_sameSiteNone(self) -> None:
        """
        H2: C{SameSite=None} is refused unless every cookie is secure.
        """
        for secure in ("auto", "never"):
            refused(self, "sameSite='none'", sameSite="none", secure=secure)
        CookiePolicy(sameSite="none", secure="always")
        for bad in ("None", "LAX", "", None, 0, ["lax"]):
            refused(self, "'lax' or 'strict' or 'none'", sameSite=bad, secure="always")

    def test_partitioned(self) -> None:
        """
        C{Partitioned} is refused unless every cookie is secure.
        """
        for secure in ("auto", "never"):
            refused(self, "partitioned", partitioned=True, secure=secure)
        CookiePolicy(partitioned=True, secure="always")
        for bad in (1, 0, None, "yes"):
            refused(self, "partitioned", partitioned=bad, secure="always")
            refused(self, "perSitePath", perSitePath=bad)

    def test_secure(self) -> None:
        """
        C{auto} does as the request; the others have one cookie, whatever is
        asked for, so that no caller can make C{Secure} get lost.
        """
        auto = CookiePolicy()
        self.assertEqual([auto.isSecure(False), auto.isSecure(True)], [False, True])
        for word, result in (("always", True), ("never", False)):
            policy = CookiePolicy(secure=word)  # type: ignore[arg-type]
            self.assertEqual(
                [policy.isSecure(False), policy.isSecure(True)], [result, result]
            )
            self.assertEqual(policy.nameFor(False), policy.nameFor(True))
            self.assertEqual(policy.render(UID, False), policy.render(UID, True))
            self.assertEqual(policy.renderDeletion(False), policy.renderDeletion(True))
            self.assertEqual(b"; Secure" in policy.render(UID, False), result)
        for bad in ("Auto", True, None):
            refused(self, "'auto' or 'always' or 'never'", secure=bad)

    def test_length(self) -> None:
        """
        H4: the longest header that a policy can write is below 4096 bytes, and
        one byte more is refused.
        """
        others: list[dict[str, Any]] = [{}, {"maxAge": 60}, {"perSitePath": True}]
        for options in others:
            for secure in (True, False):
                which = "secureName" if secure else "insecureName"
                size = self.longestName(which, options)
                policy = CookiePolicy(**{**options, which: "n" * size})
                sitepath = [b"s" * 256] if policy.perSitePath else []
                longest = max(
                    len(policy.render(UID, secure, sitepath, MAX_AGE_LIMIT)),
                    len(policy.render(UID, secure, sitepath)),
                    len(policy.renderDeletion(secure, sitepath)),
                )
                self.assertEqual(longest, SET_COOKIE_LIMIT - 1)
                refused(
                    self,
                    f"{which}, domain and path",
                    **{which: "n" * (size + 1)},
                    **options,
                )

    def longestName(self, which: str, options: dict[str, Any]) -> int:
        """
        Find the length of the longest name that is accepted, by halving.
        """
        low, high = 1, SET_COOKIE_LIMIT
        while high - low > 1:
            middle = (low + high) // 2
            try:
                CookiePolicy(**{**options, which: "n" * middle})
            except ConfigurationError:
                high = middle
            else:
                low = middle
        return low

    def test_value(self) -> None:
        """
        A policy is a value: frozen, comparable, hashable, and changed by making
        another, with all checks.
        """
        one, same = CookiePolicy(), CookiePolicy(secureName=b"__Host-sid")
        self.assertEqual(one, same)
        self.assertEqual(hash(one), hash(same))
        self.assertNotEqual(one, CookiePolicy(maxAge=1))
        self.assertRaises(
            attrs.exceptions.FrozenInstanceError, setattr, one, "path", "/"
        )
        remembering = attrs.evolve(one, maxAge=60)
        self.assertIn(b"Max-Age=60", remembering.render(UID, True))
        self.assertRaises(ConfigurationError, attrs.evolve, one, maxAge=0)
        self.assertNotIn("_cookies", repr(one))


class TwistedNamesTests(SynchronousTestCase):
    """
    Tests of L{CookiePolicy.twisted} and of names for each site.
    """

    def twistedCookie(self, secure: bool, sitepath: list[bytes]) -> bytes:
        """
        Have Twisted's own request set its session cookie.
        """
        request = Request(DummyChannel(), False)
        request.site = Site(Resource())
        vars(request)["sitepath"] = sitepath
        if secure:
            request._forceSSL = 1
        session = request.getSession()
        self.addCleanup(session.expire)
        return request.cookies[0].replace(session.uid, UID)

    def test_asTwisted(self) -> None:
        """
        The names are the builtin's, the path and C{Secure} too; C{HttpOnly} and
        C{SameSite} are ours.
        """
        policy = CookiePolicy.twisted()
        for secure in (False, True):
            for sitepath in ([], [b"a"], [b"users", b"b-1.c"], [b"", b""]):
                ours = parse(policy.render(UID, secure, sitepath))
                theirs = parse(self.twistedCookie(secure, sitepath))
                self.assertEqual(ours.name, theirs.name)
                self.assertEqual(ours.attributes["Path"], theirs.attributes["Path"])
                self.assertEqual("Secure" in ours.attributes, secure)
                self.assertEqual("Secure" in theirs.attributes, secure)
                self.assertTrue(
                    policy.renderDeletion(secure, sitepath).startswith(
                        policy.nameFor(secure, sitepath) + b"=; Path=/; Max-Age=0; "
                    )
                )

    def test_sitePathOnlyIfAskedFor(self) -> None:
        """
        Other policies have one name for all sites.
        """
        policy = CookiePolicy()
        self.assertEqual(policy.nameFor(True, [b"a"]), b"__Host-sid")
        self.assertEqual(policy.render(UID, True, [b"a"]), policy.render(UID, True))

    def test_sitePathFromUrl(self) -> None:
        """
        H5: whatever a URL can bring into a site path, the name is a token that
        the reader finds again; different paths that are short have different
        names, and long ones are bounded.
        """
        policy = CookiePolicy.twisted()
        hostile = [b"a b", b"a;b", b"a\r\nb", b"a=b", b"a%20b", b"\xff", b"a,b", b"\0"]
        hostile += [b"a" * 257, b"a" * 16384, b";" * 86, b"b" * 16384]
        names = {policy.nameFor(True, [segment]) for segment in hostile}
        self.assertEqual(len(names), len(hostile))
        for segment in hostile:
            name = policy.nameFor(True, [segment])
            self.assertLess(len(name), 300)
            self.assertEqual(readCookie([name + b"=" + UID], name), UID)
            self.assertEqual(
                parse(policy.render(UID, True, [segment])).name, name.decode()
            )
        self.assertEqual(
            policy.nameFor(False, [b"a b", b"%"]), b"TWISTED_SESSION_a%20b_%25"
        )
