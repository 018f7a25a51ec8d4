"""
Who is signed in where: the memory store's index, and the epochs.

Owns what is known of principals: under which keys their sessions are, alive or not,
and since which sign-in they count.  Knows no clock and no record's payload.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from txsessions.core.record import PREFIX_BYTES, Record


class Principals:
    """
    See the module.
    """

    def __init__(self) -> None:
        self._keys: dict[bytes, dict[bytes, bytes]] = {}
        self._epochs: dict[bytes, int] = {}
        self._everybody: dict[bytes, int] = {}

    def epochOf(self, record: Record) -> int:
        """
        The epoch below which a record of this principal has ended: its own and that of
        its prefix together, for both only rise.
        """
        principal = record.principal
        if principal is None:
            return 0
        everybody = self._everybody.get(principal[:PREFIX_BYTES], 0)
        return self._epochs.get(principal, 0) + everybody

    def keysOf(self, principal: bytes) -> Collection[bytes]:
        """
        The keys of all its records, alive or not.
        """
        return list(self._keys.get(principal, {}).values())

    def keyOf(self, principal: bytes, handle: bytes) -> bytes | None:
        """
        The key of the record of that handle.
        """
        return self._keys.get(principal, {}).get(handle)

    def add(self, record: Record) -> None:
        """
        A record is there.
        """
        if record.principal is not None:
            keys = self._keys.setdefault(record.principal, {})
            keys[record.handle or b""] = record.key

    def remove(self, record: Record) -> None:
        """
        A record is gone: with the last one of its principal goes the epoch.
        """
        if record.principal is None:
            return
        keys = self._keys.get(record.principal, {})
        if keys.get(record.handle or b"") == record.key:
            del keys[record.handle or b""]
        if not keys:
            self._keys.pop(record.principal, None)
            self._epochs.pop(record.principal, None)

    def raiseEpoch(self, principal: bytes) -> None:
        """
        End all its records.
        """
        if principal in self._keys:
            self._epochs[principal] = self._epochs.get(principal, 0) + 1

    def raiseEverybody(self, prefix: bytes) -> None:
        """
        End all records of principals that begin with this.
        """
        self._everybody[prefix] = self._everybody.get(prefix, 0) + 1

    def remembers(self, principal: bytes) -> bool:
        """
        Is anything known of it?
        """
        return principal in self._keys or principal in self._epochs

    def misfits(self, records: Iterable[Record]) -> int:
        """
        Count what does not fit these, which are all that there are.
        """
        entries = {
            (principal, handle, key)
            for principal, keys in self._keys.items()
            for handle, key in keys.items()
        }
        signedIn = {
            (record.principal, record.handle or b"", record.key)
            for record in records
            if record.principal is not None
        }
        return len(entries ^ signedIn)


__all__ = ["Principals"]
