"""
The stores: one engine per file, and the addresses that name them.

A store keeps sealed records under keys that are hashes.  Nothing here knows a uid,
a cookie, an encryption key or how a payload is encoded.
"""

from txsessions.stores.address import openStore
from txsessions.stores.memory import MemoryStore
from txsessions.stores.sqlite import SQLiteStore

__all__ = ["MemoryStore", "SQLiteStore", "openStore"]
