"""
Tests of L{txsessions.auth._returning}: where somebody may be led.

What a browser makes of an address is told by a model of the URL standard, that knows
what browsers forgive: blanks around, tabs and line ends anywhere, backslashes.
"""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes, urlsplit

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsessions.auth._returning import MAX_RETURN, addressOf, safeReturn

NEVER = (b"/app/login", b"/app/logout")

pieces = st.sampled_from(
    [
        *"/\\.?#@:;%&=~ \t\r\n\x00\x0b\x7f",
        "//",
        "evil.example",
        "https:",
        "javascript:",
        "%2f",
        "%2F",
        "%5c",
        "%5C",
        "%252f",
        "%25",
        "%0d%0a",
        "%09",
        "%2e",
        "..",
        "app",
        "login",
        "a",
        "\N{FULLWIDTH SOLIDUS}",
    ]
)
addresses = st.lists(pieces, max_size=12).map(lambda found: "".join(found).encode())
paths = addresses.map(b"/".__add__)


def hostOf(address):
    """
    The host that a browser goes to which is on C{https://site.example/app/login}, or
    the scheme if it is another one.
    """
    text = address.decode("latin-1").strip("".join(map(chr, range(33))))
    for ignored in "\t\r\n":
        text = text.replace(ignored, "")
    text = text.partition("#")[0]
    path, mark, query = text.partition("?")
    text = path.replace("\\", "/") + mark + query
    scheme = text.partition(":")[0]
    if ":" in text and scheme[:1].isalpha() and scheme.replace("+", "").isalnum():
        return scheme
    if text.startswith("//"):
        return text.lstrip("/").partition("/")[0].partition("?")[0]
    return "site.example"


def layersOf(address):
    """
    A path, and what it is after decoding once, twice and so on.
    """
    path = address.partition(b"?")[0]
    found = [path]
    while (path := unquote_to_bytes(path)) != found[-1]:
        found.append(path)
    return found


class ModelTests(SynchronousTestCase):
    """
    The model itself.
    """

    def test_leaves(self):
        """
        It knows the ways out.
        """
        for address in (
            b"//evil.example",
            b"/\\evil.example",
            b"\\\\evil.example",
            b"/\t/evil.example",
            b" //evil.example/a",
            b"/\n/evil.example?a",
            b"https:evil.example",
            b"javascript:alert(1)",
        ):
            self.assertNotEqual(hostOf(address), "site.example", address)
        for address in (b"/a//b", b"/a?b=https://evil.example", b"a", b"?a:b"):
            self.assertEqual(hostOf(address), "site.example", address)


class SafeTests(SynchronousTestCase):
    """
    What is taken, and what not.
    """

    @settings(deadline=None, max_examples=1000)
    @given(addresses | paths)
    @example(b"/%5cevil.example")
    @example(b"/.//evil.example")
    @example(b"/%25252fevil.example")
    def test_stays(self, address):
        """
        Whatever is taken leads a browser to this site, also after somebody on the way
        has decoded it; has no control character in it, and no way up; and does not lead
        to the login page.
        """
        taken = safeReturn(address, NEVER)
        if taken is None:
            return
        self.assertEqual(taken, address)
        for layer in layersOf(address):
            self.assertEqual(hostOf(layer), "site.example")
            self.assertTrue(layer.startswith(b"/"))
            self.assertFalse({b".", b".."} & set(layer.split(b"/")))
            self.assertFalse(set(layer) & {*range(32), 127, *b"\\"})
            for never in NEVER:
                self.assertFalse((layer + b"/").startswith(never + b"/"))
        self.assertFalse(set(address) & {*range(33), *range(127, 256), *b"\\#"})
        self.assertEqual(urlsplit(address).netloc, b"")

    @settings(deadline=None)
    @given(st.lists(st.text(min_size=1), max_size=5), st.text())
    def test_ordinary(self, segments, query):
        """
        Whatever a browser asks for itself is taken: quoted names without a backslash or
        control characters in them, and any query.
        """
        plain = [
            segment
            for segment in segments
            if segment.isprintable()
            and "%" not in segment
            and not {"\\", "/", "\x7f"} & set(segment)
            and segment not in {".", ".."}
        ]
        quoted = "/" + "/".join(quote(s, "", "utf-8", "replace") for s in plain)
        address = f"{quoted}?q={quote(query, '', 'utf-8', 'replace')}".encode()
        if len(address) <= MAX_RETURN:
            self.assertEqual(safeReturn(address), address)

    def test_refused(self):
        """
        One of each kind.
        """
        for address in (
            b"",
            b"a",
            b"?a",
            b"//evil.example",
            b"///evil.example",
            b"/\\evil.example",
            b"\\/evil.example",
            b"https://evil.example/",
            b"https:/a",
            b"javascript:alert(1)",
            b"/a\r\nSet-Cookie: a=b",
            b"/\t/evil.example",
            b" /a",
            b"/a b",
            b"/%2fevil.example",
            b"/%2Fevil.example",
            b"/%5cevil.example",
            b"/%252fevil.example",
            b"/%0d%0aa",
            b"/a#b",
            b"/\xc3\xa9",
            b"/a/../b",
            b"/./a",
            b"/%2e%2e/a",
            b"/%" + b"25" * 5 + b"41",
            b"/" + b"a" * MAX_RETURN,
            b"/app/login",
            b"/app/login/",
            b"/app/login?next=/",
            b"/app/log%69n",
            b"/app/logout",
        ):
            self.assertIsNone(safeReturn(address, NEVER), address)

    def test_taken(self):
        """
        One of each kind.
        """
        for address in (
            b"/",
            b"/app/",
            b"/app/loginx",
            b"/login",
            b"/a//b",
            b"/a;b@c:d",
            b"/a?next=https://evil.example",
            b"/a?b=%0d%0a%5c",
            b"/caf%C3%A9",
            b"/100%25",
            b"/" + b"a" * (MAX_RETURN - 1),
        ):
            self.assertEqual(safeReturn(address, NEVER), address)


class AddressTests(SynchronousTestCase):
    """
    Where a guard is.
    """

    def test_written(self):
        """
        A path of its segments, quoted.
        """
        self.assertEqual(addressOf([]), b"/")
        self.assertEqual(addressOf([b"a", b"b c", b"\xe9/?"]), b"/a/b%20c/%E9%2F%3F/")

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=5) | st.just(b""), max_size=4))
    def test_here(self, segments):
        """
        It is never another host.
        """
        address = addressOf(segments)
        self.assertEqual(hostOf(address), "site.example")
        self.assertTrue(address.endswith(b"/"))
        self.assertFalse(address.startswith(b"//"))
