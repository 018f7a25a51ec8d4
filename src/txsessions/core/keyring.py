"""
Keys: the roots that everything secret is derived from, and which of them are in
force.

Owns what a root key is, what makes one unfit, and how the keys for each purpose
come from it.  Knows no file (L{txsessions.core.keyfile}) and no record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import field, frozen
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from txsessions.errors import ConfigurationError

KEY_BYTES: Final = 32
"""How long a root key is, and every key derived from it, in bytes."""

KEY_ID_BYTES: Final = 8
"""How long the id of a key is, in bytes."""

EXAMPLE_KEY: Final = bytes(range(KEY_BYTES))
"""The key in the documentation, which everybody knows."""

_MIN_DISTINCT: Final = 8

_PRINTABLE = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n")


def faultOf(secret: bytes) -> str | None:
    """
    Say what makes these bytes unfit for a key, without showing any.

    A key that a generator made has none of these faults: for the likeliest of
    them the odds are one in 2**45.

    @return: What was found, for people, or L{None}.
    """
    if len(secret) != KEY_BYTES:
        return f"it is {len(secret)} bytes long, not {KEY_BYTES}"
    if not any(secret):
        return "it is all zeros"
    if secret == EXAMPLE_KEY:
        return "it is the example of the documentation"
    if len(set(secret)) < _MIN_DISTINCT:
        return f"it has fewer than {_MIN_DISTINCT} different bytes"
    if _PRINTABLE.issuperset(secret):
        return "it is text, which can be guessed; it must be random bytes"
    return None


def _checkSecret(_instance: object, _attribute: object, secret: bytes) -> None:
    """
    Refuse a key that is unfit.
    """
    fault = faultOf(secret)
    if fault is not None:
        raise ConfigurationError(
            f"a root key cannot be used: {fault}; "
            "take 32 bytes from the system's random source"
        )


@frozen(kw_only=True)
class RootKey:
    """
    A secret of 32 bytes, from which the key for each purpose is derived.

    @ivar secret: The secret.
    @ivar id: Eight bytes that name it, and do not help to find it.
    """

    secret: bytes = field(repr=False, validator=_checkSecret)
    id: bytes = field(init=False, repr=bytes.hex)

    def __attrs_post_init__(self) -> None:
        """
        Derive the id.
        """
        name = _hkdf(self.secret, b"txsessions key id", KEY_ID_BYTES)
        object.__setattr__(self, "id", name)

    def derive(self, purpose: bytes) -> bytes:
        """
        Derive the key for a purpose, with HKDF-SHA256 (RFC 5869).

        @param purpose: Such as C{b"record"}.
        @return: 32 bytes.
        """
        return _hkdf(self.secret, b"txsessions purpose " + purpose, KEY_BYTES)


def _hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """
    Derive bytes from a secret.
    """
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)


@frozen(kw_only=True)
class KeyRing:
    """
    The keys in force.

    @ivar active: The one that seals.
    @ivar others: More that open: older ones, and the next one.
    @ivar revoked: The ids of keys that open nothing any more: what they sealed
        counts as damaged, while a key that is merely missing is an outage.
    """

    active: RootKey
    others: tuple[RootKey, ...] = ()
    revoked: frozenset[bytes] = frozenset()
    _byId: dict[bytes, RootKey] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """
        Refuse a key that is there twice.
        """
        byId = {key.id: key for key in self.keys}
        if len(byId) != len(self.keys) or not self.revoked.isdisjoint(byId):
            raise ConfigurationError("a key ring has the same key twice")
        object.__setattr__(self, "_byId", byId)

    def get(self, keyId: bytes) -> RootKey | None:
        """
        Find a key by its id.
        """
        return self._byId.get(keyId)

    @property
    def keys(self) -> tuple[RootKey, ...]:
        """
        The keys that open, the active one first.
        """
        return (self.active, *self.others)

    @classmethod
    def random(cls, entropy: Callable[[int], bytes]) -> KeyRing:
        """
        Make a ring of one new key.

        @param entropy: Gives as many unpredictable bytes as it is asked for,
            such as L{os.urandom}.
        """
        return cls(active=RootKey(secret=entropy(KEY_BYTES)))


__all__ = [
    "EXAMPLE_KEY",
    "KEY_BYTES",
    "KEY_ID_BYTES",
    "KeyRing",
    "RootKey",
    "faultOf",
]
