"""
Tests for L{txsessions.core.keyring}.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.keyring import (
    EXAMPLE_KEY,
    KEY_BYTES,
    KeyRing,
    RootKey,
    faultOf,
)
from txsessions.errors import ConfigurationError


def key(number: int) -> RootKey:
    """
    Make a key that looks like a random one, always the same for a number.
    """
    return RootKey(secret=SECRETS[number])


def _secret(number: int) -> bytes:
    """
    Stretch a number to 32 bytes.
    """
    return HKDF(SHA256(), KEY_BYTES, None, b"test").derive(bytes([number]))


SECRETS = [_secret(number) for number in range(8)]

UNFIT = {
    "31 bytes long": SECRETS[0][:31],
    "33 bytes long": SECRETS[0] + b"\x9c",
    " 0 bytes long": b"",
    "all zeros": bytes(32),
    "example": EXAMPLE_KEY,
    "fewer than 8": b"k" * 32,
    "than 8 different": b"\xff\x00\x12\x34\x56\x78\x9a" * 4 + b"\xff" * 4,
    "text": b"correct horse battery staple.. \n",
    "guessed": b"0123456789abcdef0123456789abcdef",
}
"""Bytes that are no key, by what is said of them."""


class FaultTests(SynchronousTestCase):
    """
    What makes bytes unfit for a key.
    """

    def test_unfit(self) -> None:
        """
        Each fault is named.
        """
        for words, secret in UNFIT.items():
            self.assertIn(words, faultOf(secret) or "", words)

    def test_fit(self) -> None:
        """
        Random bytes are fit, also with one byte beyond text, and with eight
        different bytes.
        """
        for secret in SECRETS:
            self.assertIsNone(faultOf(secret))
        for _ in range(1000):
            self.assertIsNone(faultOf(os.urandom(32)))
        self.assertIsNone(faultOf(b"correct horse battery staple..\xe9\n"))
        self.assertIsNone(faultOf(bytes(range(0x80, 0x88)) * 4))


class RootKeyTests(SynchronousTestCase):
    """
    What a root key gives.
    """

    def test_refused(self) -> None:
        """
        Unfit bytes make no key, and the error does not show them.
        """
        for words, secret in UNFIT.items():
            error = self.assertRaises(ConfigurationError, RootKey, secret=secret)
            self.assertIn(words, str(error))
            self.assertNotIn("horse", str(error))
            self.assertNotIn("kk", str(error))

    def test_derived(self) -> None:
        """
        The derivations never change: stored sessions would be lost.
        """
        for info, length, found in (
            (b"txsessions key id", 8, key(0).id),
            (b"txsessions purpose record", 32, key(0).derive(b"record")),
            (b"txsessions purpose csrf", 32, key(0).derive(b"csrf")),
        ):
            hkdf = HKDF(algorithm=SHA256(), length=length, salt=None, info=info)
            self.assertEqual(hkdf.derive(SECRETS[0]), found)

    def test_different(self) -> None:
        """
        Each purpose and each key gives something else.
        """
        purposes = (b"record", b"csrf", b"index", b"key id", b"")
        derived = {key(number).derive(p) for p in purposes for number in range(4)}
        self.assertEqual(len(derived), 20)
        self.assertFalse(any(one.startswith(key(0).id) for one in derived))

    def test_shown(self) -> None:
        """
        Its representation shows the id, and not the secret.
        """
        self.assertEqual(repr(key(0)), f"RootKey(id={key(0).id.hex()})")


class KeyRingTests(SynchronousTestCase):
    """
    Which keys are in force.
    """

    def test_get(self) -> None:
        """
        Active and others are found by their ids, the active one stands first.
        """
        ring = KeyRing(
            active=key(0), others=(key(1), key(2)), revoked=frozenset({key(3).id})
        )
        for number in range(3):
            self.assertEqual(ring.get(key(number).id), key(number))
        self.assertIsNone(ring.get(key(3).id))
        self.assertIsNone(ring.get(b""))
        self.assertEqual(ring.keys, (key(0), key(1), key(2)))

    def test_twice(self) -> None:
        """
        No key is there twice, and none is both in force and revoked.
        """
        for others, revoked in (
            ((key(0),), frozenset()),
            ((key(1), key(1)), frozenset()),
            ((key(1),), frozenset({key(1).id})),
            ((), frozenset({key(0).id})),
        ):
            self.assertRaises(
                ConfigurationError,
                KeyRing,
                active=key(0),
                others=others,
                revoked=revoked,
            )

    def test_random(self) -> None:
        """
        A new ring has one key, made of the entropy given.
        """
        asked = []

        def entropy(count: int) -> bytes:
            """
            Give the same each time, and note how much was asked for.
            """
            asked.append(count)
            return SECRETS[5]

        ring = KeyRing.random(entropy)
        self.assertEqual(ring, KeyRing(active=key(5)))
        self.assertEqual(asked, [32])
        self.assertRaises(ConfigurationError, KeyRing.random, bytes)

    def test_shown(self) -> None:
        """
        Its representation shows no secret.
        """
        ring = KeyRing(active=key(0), others=(key(1),))
        for secret in SECRETS[:2]:
            self.assertNotIn(repr(secret)[2:-1], repr(ring))
            self.assertNotIn(secret.hex(), repr(ring))
