"""
The stores that are measured, and the servers that some of them need.

Owns their addresses.  A server of a database is started with the site, beside its
process: its own processor time is in none of the figures.
"""

from __future__ import annotations

import atexit
from typing import Any

from txsessions.core.keyfile import createKeyFile


def addressOf(kind: str, folder: str) -> str:
    """
    Make ready what a kind of store needs.

    @param kind: One of L{benchmarks.alternatives.STORES}.
    @param folder: Where a database in a file goes.
    @return: The store's address.
    """
    if kind == "memory-store":
        return "memory:"
    server: Any
    if kind == "redis":
        from tests.stores import valkeys

        server = valkeys.Server()
    elif kind == "postgresql":
        from tests.stores import postgres_servers

        server = postgres_servers.Server("fsync=on")
    else:
        durability = "normal" if kind == "sqlite-normal" else "full"
        return f"sqlite:{folder}/sessions.sqlite?durability={durability}"
    atexit.register(server.stop)
    address: str = server.address
    return address


def keysOf(kind: str, folder: str) -> str | None:
    """
    Make the keys that a kind of store has to be given.

    @return: The path of a key file, or L{None} where the store brings its own.
    """
    if kind not in {"redis", "postgresql"}:
        return None
    path = f"{folder}/keys"
    createKeyFile(path)
    return path


__all__ = ["addressOf", "keysOf"]
