"""
Tests for L{txsessions.core.xaes}, with the vectors that C2SP publishes.
"""

from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core import xaes
from txsessions.core.xaes import InvalidTag, Xaes

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"

ACCUMULATED = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
"""What comes of ten thousand random messages."""


class VectorTests(SynchronousTestCase):
    """
    The construction is the one that C2SP describes.
    """

    def test_subkeyAsItIs(self) -> None:
        """
        A key for which the first bit of the CMAC subkey's origin is not set.
        """
        key = Xaes(b"\x01" * 32)
        sealed = key.seal(NONCE, b"XAES-256-GCM", b"")
        self.assertEqual(
            sealed.hex(), "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"
        )
        self.assertEqual(key.open(NONCE, sealed, b""), b"XAES-256-GCM")

    def test_subkeyReduced(self) -> None:
        """
        A key for which it is, with associated data.
        """
        key = Xaes(b"\x03" * 32)
        aad = b"c2sp.org/XAES-256-GCM"
        sealed = key.seal(NONCE, b"XAES-256-GCM", aad)
        self.assertEqual(
            sealed.hex(), "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"
        )
        self.assertEqual(key.open(NONCE, sealed, aad), b"XAES-256-GCM")

    def test_accumulated(self) -> None:
        """
        Ten thousand messages of random keys, nonces, lengths and associated
        data, as SHAKE128 draws them.
        """
        longest = 32 + 24 + 1 + 255 + 1 + 255
        drawn = memoryview(hashlib.shake_128().digest(10_000 * longest))
        at = 0

        def take(count: int) -> bytes:
            """
            Take what comes next.
            """
            nonlocal at
            at += count
            return bytes(drawn[at - count : at])

        digest = hashlib.shake_128()
        for _ in range(10_000):
            key = Xaes(take(32))
            nonce = take(24)
            plaintext = take(take(1)[0])
            aad = take(take(1)[0])
            sealed = key.seal(nonce, plaintext, aad)
            self.assertEqual(key.open(nonce, sealed, aad), plaintext)
            digest.update(sealed)
        self.assertEqual(digest.hexdigest(32), ACCUMULATED)


class UseTests(SynchronousTestCase):
    """
    What L{Xaes} takes, and what it refuses.
    """

    @settings(deadline=None)
    @given(
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=24, max_size=24),
        st.binary(max_size=300),
        st.binary(max_size=40),
    )
    def test_roundTrip(
        self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes
    ) -> None:
        """
        What was sealed can be opened by another one with the same key, and is
        longer by the tag.
        """
        sealed = Xaes(key).seal(nonce, plaintext, aad)
        self.assertEqual(len(sealed), len(plaintext) + xaes.TAG_BYTES)
        self.assertEqual(Xaes(key).open(nonce, sealed, aad), plaintext)

    def test_refused(self) -> None:
        """
        Another key, nonce, text or associated data opens nothing.
        """
        key = Xaes(b"\x01" * 32)
        sealed = key.seal(NONCE, b"text", b"aad")
        for nonce, text, aad in (
            (b"B" + NONCE[1:], sealed, b"aad"),
            (NONCE[:-1] + b"Y", sealed, b"aad"),
            (NONCE, sealed[:-1], b"aad"),
            (NONCE, sealed[:15], b"aad"),
            (NONCE, b"", b"aad"),
            (NONCE, sealed + b"\0", b"aad"),
            (NONCE, sealed, b"aae"),
            (NONCE, sealed, b""),
        ):
            self.assertRaises(InvalidTag, key.open, nonce, text, aad)
        other = Xaes(b"\x02" * 32)
        self.assertRaises(InvalidTag, other.open, NONCE, sealed, b"aad")

    def test_lengths(self) -> None:
        """
        Keys and nonces have one length, and the error does not show them.
        """
        for key in (b"", b"k" * 16, b"k" * 31, b"k" * 33):
            error = self.assertRaises(ValueError, Xaes, key)
            self.assertIn(f"not {len(key)}", str(error))
            self.assertNotIn("kk", str(error))
        key = Xaes(b"\x01" * 32)
        for nonce in (b"", b"n" * 12, b"n" * 23, b"n" * 25):
            self.assertRaises(ValueError, key.seal, nonce, b"", b"")
            self.assertRaises(ValueError, key.open, nonce, bytes(16), b"")

    def test_cache(self) -> None:
        """
        The keys of the last prefixes are kept, of more they are derived anew.
        """
        key = Xaes(b"\x01" * 32)
        for _ in range(2):
            for number in range(xaes.CACHED_PREFIXES + 10):
                nonce = number.to_bytes(12, "big") + bytes(12)
                sealed = key.seal(nonce, b"text", b"")
                self.assertEqual(key.open(nonce, sealed, b""), b"text")
        kept = key._gcmFor.cache_info()
        self.assertEqual(kept.currsize, xaes.CACHED_PREFIXES)
        # Opening found what sealing had derived.
        self.assertEqual(kept.hits, 2 * (xaes.CACHED_PREFIXES + 10))

    def test_noKeyShown(self) -> None:
        """
        Its representation does not show the key.
        """
        secret = b"\x01secret key\x02" * 3
        self.assertNotIn("secret", repr(Xaes(secret[:32])))
        self.assertNotIn("secret", repr(vars(Xaes(secret[:32]))))
