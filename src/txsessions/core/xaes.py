"""
XAES-256-GCM: AES-256-GCM with a nonce of 192 bits, long enough to be random.

Owns the construction that C2SP publishes as XAES-256-GCM.  The first half of
the nonce makes a key (NIST SP 800-108r1 with CMAC), the second half is the
nonce of AES-GCM under that key.  Knows nothing of what is sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

KEY_BYTES: Final = 32
"""How long a key is, in bytes."""

NONCE_BYTES: Final = 24
"""How long a nonce is, in bytes."""

PREFIX_BYTES: Final = 12
"""How much of the nonce the derived key depends on, in bytes."""

TAG_BYTES: Final = 16
"""How much longer than the plaintext the sealed text is, in bytes."""

CACHED_PREFIXES: Final = 64
"""How many derived keys are kept at hand, for each key."""


class Xaes:
    """
    One key.  What is derived for the last nonce prefixes is kept, so that
    sealing many messages under one prefix costs no more than AES-GCM does.
    """

    def __init__(self, key: bytes) -> None:
        """
        Make ready.

        @param key: 32 bytes.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(
                f"XAES-256-GCM takes a key of {KEY_BYTES} bytes, not {len(key)}"
            )
        self._gcmFor = lru_cache(CACHED_PREFIXES)(_derivation(key))

    def gcmFor(self, prefix: bytes) -> AESGCM:
        """
        What seals and opens under the first half of a nonce, for who has many
        messages for it: it takes the second half.

        @param prefix: 12 bytes.
        """
        return self._gcmFor(prefix)

    def seal(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """
        Encrypt and authenticate.

        @param nonce: 24 bytes, never used twice under one key.
        @param aad: What is authenticated with it, but not encrypted.
        @return: The ciphertext, then the tag of 16 bytes.
        """
        _checkNonce(nonce)
        gcm = self._gcmFor(nonce[:PREFIX_BYTES])
        return gcm.encrypt(nonce[PREFIX_BYTES:], plaintext, aad)

    def open(self, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
        """
        Check and decrypt what L{seal} made.

        @raise InvalidTag: It was not made with this key, this nonce and this
            associated data, or is not as it was made.
        """
        _checkNonce(nonce)
        gcm = self._gcmFor(nonce[:PREFIX_BYTES])
        return gcm.decrypt(nonce[PREFIX_BYTES:], sealed, aad)


def _checkNonce(nonce: bytes) -> None:
    """
    Refuse a nonce of another length.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(
            f"XAES-256-GCM takes a nonce of {NONCE_BYTES} bytes, not {len(nonce)}"
        )


def _derivation(key: bytes) -> Callable[[bytes], AESGCM]:
    """
    Make the function from a nonce's prefix to the AES-GCM of its key.
    """
    # In ECB mode each block stands alone, which is AES itself.
    block = Cipher(AES(key), ECB()).encryptor()  # noqa: S305
    zero = int.from_bytes(block.update(bytes(16)), "big")
    # The first subkey of CMAC: doubled in GF(2**128).
    doubled = (zero << 1) ^ (0x87 if zero >> 127 else 0)
    subkey = doubled & (2**128 - 1)

    def derive(prefix: bytes) -> AESGCM:
        """
        Compute the CMAC of counter, label X, zero and prefix, twice.
        """
        tail = b"X\x00" + prefix
        halves = b"".join(
            (int.from_bytes(counter + tail, "big") ^ subkey).to_bytes(16, "big")
            for counter in (b"\x00\x01", b"\x00\x02")
        )
        return AESGCM(block.update(halves))

    return derive


__all__ = [
    "CACHED_PREFIXES",
    "KEY_BYTES",
    "NONCE_BYTES",
    "PREFIX_BYTES",
    "TAG_BYTES",
    "InvalidTag",
    "Xaes",
]
