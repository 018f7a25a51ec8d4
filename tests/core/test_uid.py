"""
Tests for L{txsessions.core.uid}.
"""

from __future__ import annotations

import hashlib
import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.uid import (
    ENTROPY_BYTES,
    UID_LENGTH,
    isUid,
    mintUid,
    storeKeyOf,
)

GOOD = b"0123456789abcdef" * 4


class MintTests(SynchronousTestCase):
    """
    How a uid comes about.
    """

    def test_form(self) -> None:
        """
        A uid is what the entropy was, in hexadecimal.
        """
        asked = []

        def entropy(count: int) -> bytes:
            """
            Give what looks like entropy, and note how much was asked for.
            """
            asked.append(count)
            return bytes(range(32))

        uid = mintUid(entropy)
        self.assertEqual(uid, bytes(range(32)).hex().encode())
        self.assertEqual(len(uid), UID_LENGTH)
        self.assertEqual(asked, [ENTROPY_BYTES])
        self.assertTrue(isUid(uid))

    def test_different(self) -> None:
        """
        No two are alike when the entropy is real.
        """
        self.assertEqual(len({mintUid(os.urandom) for _ in range(1000)}), 1000)

    def test_wrongAmount(self) -> None:
        """
        Less or more entropy than was asked for is refused, and so is what is no
        bytes; the error does not show any of it.
        """
        for drawn in (b"", b"q" * 31, b"q" * 33, "q" * 32, None):
            error = self.assertRaises(ValueError, mintUid, lambda _, d=drawn: d)
            self.assertIn("asked for 32 bytes", str(error))
            self.assertNotIn("qq", str(error))

    def test_brokenSource(self) -> None:
        """
        A source that gives nothing but zeros or ones is refused.
        """
        for drawn in (bytes(32), b"\xff" * 32):
            error = self.assertRaises(ValueError, mintUid, lambda _, d=drawn: d)
            self.assertIn("broken", str(error))

    def test_raisingSource(self) -> None:
        """
        What the source raises is passed on; there is nothing to fall back to.
        """

        def entropy(count: int) -> bytes:
            """
            Fail as a system without entropy does.
            """
            raise NotImplementedError(count)

        self.assertRaises(NotImplementedError, mintUid, entropy)


class FormTests(SynchronousTestCase):
    """
    What is taken for a uid.
    """

    def test_good(self) -> None:
        """
        64 lower-case hexadecimal digits are.
        """
        self.assertTrue(isUid(GOOD))

    def test_hostile(self) -> None:
        """
        Nothing that a client may try instead is.
        """
        for value in (
            b"",
            b"0" * 64,
            b"f" * 64,
            GOOD[:-1],
            GOOD + b"0",
            GOOD[:32],
            GOOD.upper(),
            b"A" + GOOD[1:],
            GOOD + b"\n",
            b"\n" + GOOD[1:],
            GOOD[:-1] + b"\n",
            b" " + GOOD[1:],
            b"\x00" + GOOD[1:],
            b"g" + GOOD[1:],
            "\uff10".encode() * 21 + b"0",
            "\u0430".encode() * 32,
            "\u200f".encode() + GOOD[:61],
            b"' OR 1=1--".ljust(64),
            b"'" * 64,
            b"%" * 64,
            b"_" * 64,
            b"x'); DROP TABLE sessions; --",
            b"../" * 21 + b"a",
            b"..%2f" * 12 + b"aaaa",
            b"*",
            b"[a-f0-9]*",
            b"\r\nFLUSHALL\r\n",
            b"{tag}",
            b"+" + GOOD[1:],
            b"0x" + GOOD[2:],
        ):
            self.assertFalse(isUid(value), value)

    def test_noBytes(self) -> None:
        """
        What is no bytes is no uid, and no error.
        """
        for value in (GOOD.decode(), None, 5, bytearray(GOOD)):
            self.assertFalse(isUid(value))  # type: ignore[arg-type]

    @settings(deadline=None)
    @given(st.binary(max_size=80))
    def test_anyBytes(self, value: bytes) -> None:
        """
        Random bytes are a uid only if they have the form of one.
        """
        wellFormed = len(value) == 64 and set(value) <= set(b"0123456789abcdef")
        self.assertEqual(
            isUid(value), wellFormed and value not in (b"0" * 64, b"f" * 64)
        )

    @settings(deadline=None)
    @given(st.binary(min_size=32, max_size=32))
    def test_minted(self, drawn: bytes) -> None:
        """
        What is minted is a uid, unless it is refused.
        """
        try:
            uid = mintUid(lambda _: drawn)
        except ValueError:
            self.assertIn(drawn, (bytes(32), b"\xff" * 32))
        else:
            self.assertTrue(isUid(uid))


class StoreKeyTests(SynchronousTestCase):
    """
    What a store knows a session by.
    """

    def test_known(self) -> None:
        """
        The derivation never changes: stored sessions would be lost.
        """
        domain = b"txsessions store key 1"
        expected = hashlib.sha256(
            bytes([0] * 7 + [len(domain)])
            + domain
            + bytes([0] * 7 + [4])
            + b"shop"
            + bytes([0] * 7 + [64])
            + GOOD
        ).digest()
        self.assertEqual(storeKeyOf(b"shop", GOOD), expected)
        self.assertEqual(len(expected), 32)

    def test_collidingSites(self) -> None:
        """
        Names that run together, or look alike, give different keys.
        """
        pairs = [
            (b"a", b"bc"),
            (b"ab", b"c"),
            (b"abc", b""),
            (b"", b"abc"),
            ("é".encode(), b"x"),
            ("e\u0301".encode(), b"x"),
            (b"Shop", b"x"),
            (b"shop", b"x"),
        ]
        self.assertEqual(len({storeKeyOf(*pair) for pair in pairs}), len(pairs))

    @settings(deadline=None)
    @given(st.binary(), st.binary(), st.binary(), st.binary())
    def test_injective(self, site: bytes, uid: bytes, other: bytes, id2: bytes) -> None:
        """
        Different pairs give different keys, equal pairs equal ones.
        """
        self.assertEqual(
            storeKeyOf(site, uid) == storeKeyOf(other, id2),
            (site, uid) == (other, id2),
        )

    def test_notTheUid(self) -> None:
        """
        The key presented as a cookie leads to another key.
        """
        key = storeKeyOf(b"", GOOD)
        self.assertNotEqual(storeKeyOf(b"", key.hex().encode()), key)
        self.assertNotIn(bytes.fromhex(GOOD.decode()), key)
