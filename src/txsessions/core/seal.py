"""
The seal: what makes a stored session unreadable, and unusable once altered.

Owns the form of a sealed payload, and what each one is bound to: the site, the
store key and the version of its record.  Knows no store, no uid, and nothing of
what is sealed.

The form
========

One byte, 1; the id of the root key, 8 bytes; the nonce, 24 bytes; the
ciphertext and its tag of 16 bytes, made with XAES-256-GCM.  Byte and id are
authenticated, and with them the site's name, the store key and the version,
which stand in the record.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NoReturn

from attrs import frozen

from txsessions.core.forks import FORKS
from txsessions.core.keyring import KEY_ID_BYTES, KeyRing, RootKey
from txsessions.core.plain import MAX_PAYLOAD
from txsessions.core.record import tagOf
from txsessions.core.xaes import (
    NONCE_BYTES,
    PREFIX_BYTES,
    TAG_BYTES,
    InvalidTag,
    Xaes,
)
from txsessions.errors import RecordDamaged, SessionTooLarge, UnknownKey

FORMAT: Final = b"\x01"
"""The first byte of a payload."""

STORE_KEY_BYTES: Final = 32
"""How long a store key is, in bytes."""

OVERHEAD: Final = len(FORMAT) + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES
"""How much longer than the plaintext a payload is, in bytes."""

MAX_SEALED: Final = MAX_PAYLOAD + OVERHEAD
"""How long a payload may be, in bytes."""

MESSAGES_PER_PREFIX: Final = 2**20
"""After how many messages the first half of the nonce is drawn anew."""

_NONCE_AT: Final = len(FORMAT) + KEY_ID_BYTES
_SEALED_AT: Final = _NONCE_AT + NONCE_BYTES
_VERSION_BYTES: Final = 8


_FRESH_BYTES: Final = NONCE_BYTES - PREFIX_BYTES


@frozen
class _Key:
    """
    What one root key seals and opens with.

    @ivar head: What its payloads begin with.
    @ivar bound: What its associated data begin with.
    """

    xaes: Xaes
    head: bytes
    bound: bytes


class Sealer:
    """
    Seals and opens the records of one site.
    """

    def __init__(
        self,
        ring: KeyRing,
        siteName: bytes,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """
        Make ready.

        @param ring: The keys; the active one seals.
        @param siteName: Whose records these are.
        @param entropy: Gives as many unpredictable bytes as it is asked for.
        """
        self._revoked = ring.revoked
        self._keys = {key.id: _prepare(key, siteName) for key in ring.keys}
        self._active = active = self._keys[ring.active.id]
        self._bound = active.bound
        self._entropy = entropy
        self._left = 0
        self._fork = -1
        self._start = b""
        self._encrypt: Callable[[bytes, bytes, bytes], bytes]

    def seal(self, key: bytes, version: int, plaintext: bytes) -> bytes:
        """
        Seal a state under the active key.

        @param key: The store key of its record, 32 bytes.
        @param version: The version of its record.
        @param plaintext: The packed state.
        @raise SessionTooLarge: It is longer than L{open} would take.
        """
        if len(key) != STORE_KEY_BYTES:
            raise ValueError(
                f"a store key is {STORE_KEY_BYTES} bytes long, not {len(key)}"
            )
        if len(plaintext) > MAX_PAYLOAD:
            raise SessionTooLarge(tagOf(key), len(plaintext), MAX_PAYLOAD)
        left = self._left
        if left < 1 or self._fork != FORKS.count:
            left = self._drawPrefix()
        self._left = left - 1
        # What an object has, and not its class, is called faster so.
        entropy, encrypt = self._entropy, self._encrypt
        fresh = entropy(_FRESH_BYTES)
        if len(fresh) != _FRESH_BYTES:
            _refuseEntropy(_FRESH_BYTES, fresh)
        aad = self._bound + key + version.to_bytes(_VERSION_BYTES, "big")
        return self._start + fresh + encrypt(fresh, plaintext, aad)

    def open(self, key: bytes, version: int, payload: bytes) -> bytes:
        """
        Open what L{seal} sealed.

        @param key: The store key under which the record was found.
        @param version: The version that the record is said to have.
        @return: The packed state.
        @raise RecordDamaged: It was not sealed so, or under a revoked key.
        @raise UnknownKey: It was sealed under a key that is not in the ring.
        """
        if not OVERHEAD <= len(payload) <= MAX_SEALED or payload[:1] != FORMAT:
            raise RecordDamaged(tagOf(key))
        keyId = payload[1:_NONCE_AT]
        found = self._keys.get(keyId)
        if found is None:
            if keyId in self._revoked:
                raise RecordDamaged(
                    tagOf(key), "the record was sealed under a key that is revoked"
                )
            raise UnknownKey(keyId.hex())
        try:
            return found.xaes.open(
                payload[_NONCE_AT:_SEALED_AT],
                payload[_SEALED_AT:],
                found.bound + key + version.to_bytes(_VERSION_BYTES, "big"),
            )
        except (InvalidTag, OverflowError):
            raise RecordDamaged(tagOf(key)) from None

    def _drawPrefix(self) -> int:
        """
        Draw the first half of the nonces of the next messages: it stays for a while,
        since a key has to be derived for each.  The second half is new each time.

        @return: For how many messages it stays.
        """
        # After a fork, parent and child must not go on with the same one.
        fork = FORKS.count
        prefix = self._draw(PREFIX_BYTES)
        active = self._active
        self._start = active.head + prefix
        self._encrypt = active.xaes.gcmFor(prefix).encrypt
        self._fork = fork
        return MESSAGES_PER_PREFIX

    def _draw(self, count: int) -> bytes:
        """
        Draw bytes, and refuse fewer than were asked for.
        """
        drawn = self._entropy(count)
        if len(drawn) != count:
            _refuseEntropy(count, drawn)
        return drawn


def _refuseEntropy(count: int, drawn: bytes) -> NoReturn:
    """
    Refuse what a source of entropy gave.

    @raise ValueError: Always.
    """
    raise ValueError(
        f"the source of entropy was asked for {count} bytes and gave "
        f"{len(drawn)}: nothing can be sealed with it"
    )


def keyIdOf(payload: bytes) -> bytes | None:
    """
    Say under which key a payload was sealed, by what it says itself.

    @return: L{None} if it was not sealed here.
    """
    if payload[:1] != FORMAT or len(payload) < OVERHEAD:
        return None
    return payload[1:_NONCE_AT]


def _prepare(key: RootKey, siteName: bytes) -> _Key:
    """
    Derive what a root key seals and opens with.
    """
    head = FORMAT + key.id
    bound = head + len(siteName).to_bytes(8, "big") + siteName
    return _Key(Xaes(key.derive(b"record")), head, bound)


__all__ = [
    "FORMAT",
    "MAX_SEALED",
    "MESSAGES_PER_PREFIX",
    "OVERHEAD",
    "STORE_KEY_BYTES",
    "Sealer",
    "keyIdOf",
]
