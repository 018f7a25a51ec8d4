"""
Tests for L{txsessions.core.seal}.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.test_keyring import SECRETS, key
from txsessions.core import seal
from txsessions.core.forks import FORKS
from txsessions.core.keyring import KeyRing, RootKey
from txsessions.core.seal import MAX_SEALED, OVERHEAD, Sealer
from txsessions.core.xaes import Xaes
from txsessions.errors import RecordDamaged, SessionTooLarge, UnknownKey

KEY = bytes(range(100, 132))
OTHER = bytes(range(101, 133))
TAG = KEY[:8].hex()
TEXT = bytes(range(256)) + b"the rest of a state" * 3


def counted(start: int = 0) -> Callable[[int], bytes]:
    """
    Make a source of entropy that never repeats itself.
    """
    drawn = start

    def entropy(count: int) -> bytes:
        """
        Count on.
        """
        nonlocal drawn
        drawn += 1
        return drawn.to_bytes(count, "big")

    return entropy


def sealer(
    *numbers: int, site: bytes = b"shop", revoked: tuple[int, ...] = ()
) -> Sealer:
    """
    Make a sealer with keys, the first of which is active.
    """
    first, *others = map(key, numbers)
    ring = KeyRing(
        active=first,
        others=tuple(others),
        revoked=frozenset(key(number).id for number in revoked),
    )
    return Sealer(ring, site)


class OpenTests(SynchronousTestCase):
    """
    What is sealed can be opened where it belongs, and nowhere else.
    """

    def damaged(self, by: Sealer, storeKey: bytes, version: int, data: bytes) -> None:
        """
        Check that a payload is refused as damaged, by the tag of its record.
        """
        error = self.assertRaises(RecordDamaged, by.open, storeKey, version, data)
        self.assertEqual(error.tag, storeKey[:8].hex())

    def test_form(self) -> None:
        """
        The form never changes: stored sessions would be lost.
        """
        by = Sealer(KeyRing(active=key(0)), b"shop", counted())
        payload = by.seal(KEY, 7, TEXT)
        nonce = (1).to_bytes(12, "big") + (2).to_bytes(12, "big")
        head = b"\x01" + key(0).id
        aad = head + bytes([0] * 7 + [4]) + b"shop" + KEY + bytes([0] * 7 + [7])
        xaes = Xaes(key(0).derive(b"record"))
        self.assertEqual(payload, head + nonce + xaes.seal(nonce, TEXT, aad))
        self.assertEqual(len(payload), len(TEXT) + OVERHEAD)

    @settings(deadline=None)
    @given(
        st.binary(min_size=32, max_size=32),
        st.integers(min_value=0, max_value=2**64 - 1),
        st.binary(max_size=400),
    )
    def test_roundTrip(self, storeKey: bytes, version: int, text: bytes) -> None:
        """
        Another process with the same key opens it.
        """
        payload = sealer(0).seal(storeKey, version, text)
        self.assertEqual(sealer(0).open(storeKey, version, payload), text)

    def test_everyBit(self) -> None:
        """
        Every single bit that is changed in a record is noticed: a changed key
        id is an unknown key, anything else a broken seal.
        """
        by = sealer(0)
        payload = by.seal(KEY, 1, TEXT[: 300 - OVERHEAD])
        self.assertEqual(len(payload), 300)
        for bit in range(300 * 8):
            flipped = bytearray(payload)
            flipped[bit // 8] ^= 1 << bit % 8
            if 1 <= bit // 8 < 9:
                self.assertRaises(UnknownKey, by.open, KEY, 1, bytes(flipped))
            else:
                self.damaged(by, KEY, 1, bytes(flipped))
        self.assertEqual(by.open(KEY, 1, payload), TEXT[: 300 - OVERHEAD])

    def test_everyLength(self) -> None:
        """
        A record that was cut or made longer is refused, whatever the length.
        """
        by = sealer(0)
        payload = by.seal(KEY, 1, TEXT[: 300 - OVERHEAD])
        for length in range(300):
            self.damaged(by, KEY, 1, payload[:length])
        for more in range(1, 65):
            self.damaged(by, KEY, 1, payload + bytes(more))
            self.damaged(by, KEY, 1, payload + os.urandom(more))
            self.damaged(by, KEY, 1, bytes(more) + payload)

    def test_swapped(self) -> None:
        """
        Two records that change places are refused both.
        """
        by = sealer(0)
        one, two = by.seal(KEY, 1, b"one"), by.seal(OTHER, 1, b"two")
        self.damaged(by, KEY, 1, two)
        self.damaged(by, OTHER, 1, one)

    def test_version(self) -> None:
        """
        An older state under a newer version is refused, and the other way
        round, and under versions that none has.
        """
        by = sealer(0)
        payload = by.seal(KEY, 5, TEXT)
        for version in (0, 4, 6, 5 + 2**32, 2**64 - 1, 2**64, -1):
            self.damaged(by, KEY, version, payload)

    def test_site(self) -> None:
        """
        A record of one site is refused by another, however their names are cut.
        """
        payload = sealer(0, site=b"shop").seal(KEY, 1, TEXT)
        for site in (b"", b"Shop", b"shop2", b"sho", b"shop" + KEY):
            self.damaged(sealer(0, site=site), KEY, 1, payload)
        # Site and key that together are the same bytes.
        payload = sealer(0, site=b"shop" + KEY[:1]).seal(KEY[1:] + b"x", 1, TEXT)
        self.damaged(sealer(0, site=b"shop"), KEY, 1, payload)

    def test_format(self) -> None:
        """
        Another first byte is refused, also where the seal would hold.
        """
        by = sealer(0)
        for byte in (b"\x00", b"\x02", b"\xff"):
            with mock.patch.object(seal, "FORMAT", byte):
                other = sealer(0)
                payload = other.seal(KEY, 1, TEXT)
                self.assertEqual(other.open(KEY, 1, payload), TEXT)
            self.damaged(by, KEY, 1, payload)

    def test_planted(self) -> None:
        """
        What was never sealed is refused.
        """
        by = sealer(0)
        for data in (b"", b'{"user": "admin"}', b"\x80\x04K\x01.", bytes(300)):
            self.damaged(by, KEY, 1, data)
        self.damaged(by, KEY, 1, b"\x01" + key(0).id + bytes(40))
        self.damaged(by, KEY, 1, b"\x01" + key(0).id + TEXT)

    @settings(deadline=None, max_examples=50)
    @given(st.binary(max_size=400))
    def test_anything(self, data: bytes) -> None:
        """
        Random bytes are refused, also behind a good beginning.
        """
        by = sealer(0)
        self.assertRaises((RecordDamaged, UnknownKey), by.open, KEY, 1, data)
        self.damaged(by, KEY, 1, b"\x01" + key(0).id + data)

    def test_size(self) -> None:
        """
        What could not be opened is not sealed, and what is longer is not even
        looked at.
        """
        by = sealer(0)
        largest = bytes(65536)
        payload = by.seal(KEY, 1, largest)
        self.assertEqual(len(payload), MAX_SEALED)
        self.assertEqual(by.open(KEY, 1, payload), largest)
        error = self.assertRaises(SessionTooLarge, by.seal, KEY, 1, largest + b"x")
        self.assertEqual((error.tag, error.size, error.limit), (TAG, 65537, 65536))
        with mock.patch.object(Xaes, "open", side_effect=AssertionError):
            self.damaged(by, KEY, 1, payload + b"x")

    def test_storeKey(self) -> None:
        """
        A store key of another length is a mistake of the program.
        """
        for storeKey in (b"", KEY[:31], KEY + b"x", KEY.hex().encode()):
            self.assertRaises(ValueError, sealer(0).seal, storeKey, 1, TEXT)


class KeysTests(SynchronousTestCase):
    """
    Records and the keys in force.
    """

    def test_rotation(self) -> None:
        """
        Records under a key that is not active any more, or not yet, are opened;
        the active key alone seals.
        """
        old = sealer(0).seal(KEY, 1, b"old")
        coming = sealer(2).seal(KEY, 1, b"next")
        by = sealer(1, 0, 2)
        self.assertEqual(by.open(KEY, 1, old), b"old")
        self.assertEqual(by.open(KEY, 1, coming), b"next")
        for version in range(100):
            payload = by.seal(KEY, version, b"new")
            self.assertEqual(payload[1:9], key(1).id)

    def test_unknown(self) -> None:
        """
        A key that is not in the ring is a broken deployment, and is named.
        """
        payload = sealer(0).seal(KEY, 1, TEXT)
        error = self.assertRaises(UnknownKey, sealer(1).open, KEY, 1, payload)
        self.assertEqual(error.keyId, key(0).id.hex())

    def test_revoked(self) -> None:
        """
        What a revoked key sealed is damaged, not an outage.
        """
        payload = sealer(0).seal(KEY, 1, TEXT)
        error = self.assertRaises(
            RecordDamaged, sealer(1, revoked=(0,)).open, KEY, 1, payload
        )
        self.assertEqual(error.tag, TAG)
        self.assertIn("revoked", str(error))

    def test_wrongKeyUnderId(self) -> None:
        """
        Another key under the same id opens nothing.
        """
        payload = sealer(0).seal(KEY, 1, TEXT)
        impostor = RootKey(secret=SECRETS[1])
        object.__setattr__(impostor, "id", key(0).id)
        by = Sealer(KeyRing(active=impostor), b"shop")
        self.assertRaises(RecordDamaged, by.open, KEY, 1, payload)

    def test_noKeyShown(self) -> None:
        """
        Neither representations nor errors show a key.
        """
        by = sealer(0)
        shown = repr(by) + repr(vars(by))
        error = self.assertRaises(RecordDamaged, by.open, KEY, 2, by.seal(KEY, 1, b""))
        shown += repr(error) + str(error)
        for secret in (SECRETS[0], key(0).derive(b"record")):
            self.assertNotIn(repr(secret)[2:-1], shown)
            self.assertNotIn(secret.hex(), shown)
        self.assertNotIn(KEY.hex(), shown)


class NonceTests(SynchronousTestCase):
    """
    No nonce is used twice.
    """

    def nonces(self, by: Sealer, count: int) -> list[bytes]:
        """
        The nonces of some messages.
        """
        return [by.seal(KEY, 1, b"")[9:33] for _ in range(count)]

    def test_different(self) -> None:
        """
        Each message has its own, also among sealers with the same key, and the
        system is the source.
        """
        seen = self.nonces(sealer(0), 20_000) + self.nonces(sealer(0), 20_000)
        self.assertEqual(len(set(seen)), 40_000)
        self.assertEqual(len({nonce[12:] for nonce in seen}), 40_000)
        self.assertEqual(len({nonce[:12] for nonce in seen}), 2)
        with mock.patch.object(Sealer, "_draw", side_effect=NotImplementedError):
            self.assertRaises(NotImplementedError, sealer(0).seal, KEY, 1, b"")
        self.assertIs(sealer(0)._entropy, os.urandom)

    def test_prefix(self) -> None:
        """
        The first half stays for as many messages as is said.
        """
        with mock.patch.object(seal, "MESSAGES_PER_PREFIX", 3):
            seen = self.nonces(sealer(0), 9)
        prefixes = [nonce[:12] for nonce in seen]
        self.assertEqual(len(set(prefixes)), 3)
        for number in range(9):
            self.assertEqual(prefixes[number], prefixes[number // 3 * 3])

    def test_prefixFails(self) -> None:
        """
        Where the first half cannot be drawn anew, the one before is not used again.
        """
        given = iter((b"a" * 12, b"b" * 12, b"", b"", b"c" * 12, b"d" * 12))
        by = Sealer(KeyRing(active=key(0)), b"shop", lambda count: next(given))
        with mock.patch.object(seal, "MESSAGES_PER_PREFIX", 1):
            seen = self.nonces(by, 1)
            for _ in range(2):
                self.assertRaises(ValueError, by.seal, KEY, 1, b"")
            seen += self.nonces(by, 1)
        self.assertEqual(seen, [b"a" * 12 + b"b" * 12, b"c" * 12 + b"d" * 12])

    def test_fork(self) -> None:
        """
        After a fork the child draws the first half anew.
        """
        by = sealer(0)
        before = self.nonces(by, 2)
        with mock.patch.object(FORKS, "count", FORKS.count + 1):
            child = self.nonces(by, 2)
        after = self.nonces(by, 1)
        prefixes = [nonce[:12] for nonce in before + child + after]
        payload = by.seal(KEY, 1, TEXT)
        self.assertEqual(sealer(0).open(KEY, 1, payload), TEXT)
        self.assertEqual(prefixes[0], prefixes[1])
        self.assertEqual(prefixes[2], prefixes[3])
        self.assertEqual(len(set(prefixes)), 3)

    def test_realFork(self) -> None:
        """
        A child that really was forked seals under another nonce.
        """
        by = sealer(0)
        parent = self.nonces(by, 1)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(writing, by.seal(KEY, 1, b"")[9:33])
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as opened:
            nonce = opened.read()
        os.waitpid(child, 0)
        self.assertEqual(len(nonce), 24)
        self.assertNotEqual(nonce[:12], parent[0][:12])

    def test_poorEntropy(self) -> None:
        """
        A source that gives too little seals nothing, and what it raises is
        passed on.
        """
        by = Sealer(KeyRing(active=key(0)), b"shop", lambda count: bytes(count - 1))
        error = self.assertRaises(ValueError, by.seal, KEY, 1, b"")
        self.assertIn("12 bytes and gave 11", str(error))
        counts = iter((0, 0, 0, 1, 0))
        by = Sealer(
            KeyRing(active=key(0)),
            b"shop",
            lambda count: os.urandom(count - next(counts)),
        )
        self.nonces(by, 2)
        error = self.assertRaises(ValueError, by.seal, KEY, 1, b"")
        self.assertIn("12 bytes and gave 11", str(error))
        self.nonces(by, 1)

        def broken(count: int) -> bytes:
            """
            Fail.
            """
            raise OSError(count)

        by = Sealer(KeyRing(active=key(0)), b"shop", broken)
        self.assertRaises(OSError, by.seal, KEY, 1, b"")
