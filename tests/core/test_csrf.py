"""
Tests of L{txsessions.core.csrf}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core import csrf

UID = b"0123456789abcdef" * 4
SECRET = csrf.secretOf(UID)

pads = st.binary(min_size=csrf.SECRET_BYTES, max_size=csrf.SECRET_BYTES)


class TokenTests(SynchronousTestCase):
    """
    Tokens.
    """

    def test_secret(self):
        """
        A secret is as long as it should be, and another one for another uid.
        """
        self.assertEqual(len(SECRET), csrf.SECRET_BYTES)
        self.assertEqual(SECRET, csrf.secretOf(UID))
        self.assertNotEqual(SECRET, csrf.secretOf(UID[::-1]))
        self.assertNotIn(SECRET.hex().encode(), UID)

    @settings(deadline=None)
    @given(secret=pads, pad=pads)
    def test_back(self, secret, pad):
        """
        A token is known again, whatever the secret and the pad are.
        """
        token = csrf.mask(secret, pad).encode("ascii")
        self.assertEqual(len(token), csrf.TOKEN_LENGTH)
        self.assertTrue(csrf.isTokenOf(secret, token))

    @settings(deadline=None)
    @given(pad=pads, other=pads)
    def test_masked(self, pad, other):
        """
        Under two pads a secret looks different in both halves, so that neither is
        the same in two pages.
        """
        half = csrf.TOKEN_LENGTH // 2
        one, two = csrf.mask(SECRET, pad), csrf.mask(SECRET, other)
        self.assertEqual(one[:half] == two[:half], pad == other)
        self.assertEqual(one[half:] == two[half:], pad == other)

    @settings(deadline=None)
    @given(secret=pads, other=pads, pad=pads)
    def test_others(self, secret, other, pad):
        """
        A token of another secret is none.
        """
        token = csrf.mask(other, pad).encode("ascii")
        self.assertEqual(csrf.isTokenOf(secret, token), secret == other)

    @settings(deadline=None)
    @given(token=st.binary(max_size=100))
    def test_anything(self, token):
        """
        Whatever comes is looked at without an error.
        """
        self.assertFalse(csrf.isTokenOf(SECRET, token))

    def test_changed(self):
        """
        A token of which any character is another one is none; nor is a longer or a
        shorter one.
        """
        token = csrf.mask(SECRET, bytes(range(csrf.SECRET_BYTES))).encode("ascii")
        for at in range(csrf.TOKEN_LENGTH):
            other = b"A" if token[at : at + 1] != b"A" else b"B"
            changed = token[:at] + other + token[at + 1 :]
            self.assertFalse(csrf.isTokenOf(SECRET, changed))
        for wrong in (b"", token[:-1], token + b"A", token + b"\n", token * 1000):
            self.assertFalse(csrf.isTokenOf(SECRET, wrong))
        self.assertFalse(csrf.isTokenOf(SECRET, SECRET))


class OriginTests(SynchronousTestCase):
    """
    Origins.
    """

    def test_read(self):
        """
        A scheme's own port is left out, and letters are small ones.
        """
        for value, origin in [
            (b"https://example.org", (b"https", b"example.org")),
            (b"https://Example.ORG:443", (b"https", b"example.org")),
            (b"http://example.org:80", (b"http", b"example.org")),
            (b"http://example.org:443", (b"http", b"example.org:443")),
            (b"http://[::1]:8080", (b"http", b"[::1]:8080")),
        ]:
            self.assertEqual(csrf.readOrigin(value), origin)

    def test_none(self):
        """
        What is no origin of a web page is none.
        """
        for value in (
            b"",
            b"null",
            b"example.org",
            b"https://",
            b"ftp://example.org",
            b"file://",
            b"https://example.org/",
            b"https://eve@example.org",
            b"https://:443",
            b"https://example.org:",
            b"http://example.org:80:80",
            b"http://[::1",
            b"http://::1",
            b"https://example.org https://example.com",
            b"https://example.org\n",
            b"\xff",
        ):
            self.assertIsNone(csrf.readOrigin(value), value)

    def test_own(self):
        """
        The host, its port and, if that is known, the scheme have to be the same.
        """
        for origin, host, secure, own in [
            (b"https://example.org", b"example.org", True, True),
            (b"https://example.org", b"EXAMPLE.org:443", True, True),
            (b"https://example.org:8443", b"example.org:8443", True, True),
            (b"https://example.org:8443", b"example.org", True, False),
            (b"https://example.org", b"www.example.org", True, False),
            (b"https://www.example.org", b"example.org", True, False),
            (b"https://example.org.evil.com", b"example.org", True, False),
            (b"http://example.org", b"example.org", True, False),
            (b"http://example.org", b"example.org", False, True),
            (b"https://example.org", b"example.org", False, True),
            (b"http://example.org", b"example.org:80", False, True),
            (b"http://example.org:8080", b"example.org:80", False, False),
            (b"http://example.org", None, False, False),
        ]:
            read = csrf.readOrigin(origin)
            self.assertEqual(
                csrf.isOwnOrigin(read, host, secure=secure), own, (origin, host)
            )
