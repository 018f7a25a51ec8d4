"""
Principals as a store knows them: by a keyed hash.

Owns how a principal's name becomes what a record and the index of a store hold.  Who
can read a store, and has no key, can tell that two sessions belong to one principal,
but not to whom, and cannot try names.  All hashes of a site begin with the same bytes,
by which a store ends the sessions of everybody there.

Each root key gives another hash.  A sign-in takes the one of the active key, and the
record keeps it until the next sign-in; so who looks for the sessions of a principal
has to look under the hashes of all keys.
"""

from __future__ import annotations

import hmac
from typing import Final

from txsessions.core.keyring import KeyRing
from txsessions.core.record import PREFIX_BYTES

HANDLE_BYTES: Final = 16
"""How long the handle of a signed-in session is, in bytes."""

_HASH_BYTES: Final = 32
_LENGTH_BYTES: Final = 8


class PrincipalHashes:
    """
    The hashes of the principals of one site.

    @ivar prefixes: What they begin with, the new ones first.
    """

    def __init__(self, ring: KeyRing, siteName: bytes) -> None:
        """
        @param ring: The keys.
        @param siteName: Whose principals they are: the same name is somebody else
            on another site.
        """
        self._site = len(siteName).to_bytes(_LENGTH_BYTES, "big") + siteName
        everybody = [key.derive(b"everybody") for key in ring.keys]
        self.prefixes = [
            hmac.digest(key, self._site, "sha256")[:PREFIX_BYTES] for key in everybody
        ]
        index = [key.derive(b"index") for key in ring.keys]
        self._keys = list(zip(index, self.prefixes, strict=True))

    def new(self, principal: str) -> bytes:
        """
        The hash that a sign-in is kept under.

        @param principal: What the application calls the principal; no lone
            surrogates.
        @return: 32 bytes.
        """
        return self._hash(*self._keys[0], principal)

    def all(self, principal: str) -> list[bytes]:
        """
        The hashes under which there may be sign-ins, the new one first.
        """
        return [self._hash(*key, principal) for key in self._keys]

    def has(self, principal: str, found: bytes | None) -> bool:
        """
        Whether a hash that was found is one of a principal's.
        """
        return found is not None and any(
            hmac.compare_digest(self._hash(*key, principal), found)
            for key in self._keys
        )

    def _hash(self, key: bytes, prefix: bytes, principal: str) -> bytes:
        """
        Hash a name, with HMAC-SHA256 cut short to what the prefix leaves (RFC 2104,
        section 5).
        """
        # A lone surrogate is in no name that somebody has signed in by: nobody is found.
        name = principal.encode("utf-8", "surrogatepass")
        return (prefix + hmac.digest(key, self._site + name, "sha256"))[:_HASH_BYTES]


__all__ = ["HANDLE_BYTES", "PrincipalHashes"]
