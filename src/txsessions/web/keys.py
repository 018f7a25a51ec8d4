"""
Which keys a site seals its sessions with.

Owns the choice: what the program gave, the key file beside a database, or a
random key where nothing outlives the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from txsessions.core.keyfile import readKeyFile, readOrCreateKeyFile
from txsessions.core.keyring import KeyRing
from txsessions.errors import ConfigurationError
from txsessions.stores.memory import MemoryStore

if TYPE_CHECKING:
    from txsessions.interfaces import ISessionStore

SUFFIX = ".key"
"""What the key file beside a database is called after it."""


_ofMemory: WeakKeyDictionary[MemoryStore, KeyRing] = WeakKeyDictionary()
"""The random keys of stores in memory, which may be closed and opened again."""


def mustHaveKeys(store: ISessionStore) -> bool:
    """
    Whether the keys have to be given: the store is shared by machines, and has no
    place of its own for them.
    """
    return not isinstance(store, MemoryStore) and getattr(store, "path", None) is None


def keySource(
    store: ISessionStore,
    keys: KeyRing | str | os.PathLike[str] | None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Callable[[], KeyRing]:
    """
    Choose where the keys come from.  They are read when the store is opened.

    @param keys: The keys, the path of a key file, or L{None} to choose.
    @raise ConfigurationError: The store is shared by machines, so that a key of
        this process's own would shut the others out.
    """
    if isinstance(keys, KeyRing):
        ring = keys
        return lambda: ring
    if keys is not None:
        path = os.fspath(keys)
        return lambda: readKeyFile(path)
    if isinstance(store, MemoryStore):
        memory = store
        return lambda: _ofMemory.setdefault(memory, KeyRing.random(entropy))
    if mustHaveKeys(store):
        raise ConfigurationError(
            f"{store.address} may be shared by many processes, which need the same "
            "keys: give the path of a key file, Site(..., keys='sessions.key'), which "
            "python -m txsessions.keys new sessions.key makes, once"
        )
    database: Any = store.path  # type: ignore[attr-defined]
    file = os.fspath(database) + SUFFIX

    def beside() -> KeyRing:
        return readOrCreateKeyFile(file, mayCreate=not os.path.exists(database))

    return beside


__all__ = ["SUFFIX", "keySource", "mustHaveKeys"]
