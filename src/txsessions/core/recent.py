"""
What has happened lately, by key.

Owns for how long that is remembered.  Knows no clock: who asks says what time it is.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf


class Recent:
    """
    Keys that were noted in the last seconds; somewhat older ones may be left.  A clock
    that is set back takes them all along, so that none is remembered for longer.

    @ivar noted: All of them, and when: for who asks often whether there are any.
    """

    __slots__ = ("_most", "_now", "_span", "noted")

    def __init__(self, span: float, most: float = inf) -> None:
        """
        @param span: For how long a key is remembered, in seconds.
        @param most: How many are; those noted the longest ago are forgotten first.
        """
        self._span = span
        self._most = most
        self.noted: OrderedDict[bytes, float] = OrderedDict()
        self._now = 0.0

    def __len__(self) -> int:
        return len(self.noted)

    def __contains__(self, key: bytes) -> bool:
        return key in self.noted

    def note(self, key: bytes, now: float, age: float = 0.0) -> None:
        """
        Remember a key.

        @param age: How many seconds sooner it shall be forgotten.
        """
        self._see(now)
        self.noted[key] = now - age
        self.noted.move_to_end(key)
        while self.noted and next(iter(self.noted.values())) + self._span <= now:
            self.noted.popitem(last=False)
        while len(self.noted) > self._most:
            self.noted.popitem(last=False)

    def has(self, key: bytes, now: float) -> bool:
        """
        Whether it is remembered.
        """
        if key not in self.noted:
            return False
        self._see(now)
        return self.noted[key] + self._span > now

    def keys(self, now: float) -> list[bytes]:
        """
        Those that are remembered.
        """
        self._see(now)
        return [key for key, at in self.noted.items() if at + self._span > now]

    def forget(self, key: bytes) -> None:
        """
        Remember it no more.
        """
        self.noted.pop(key, None)

    def _see(self, now: float) -> None:
        """
        Notice what the clock does.
        """
        if now < self._now:
            for key in self.noted:
                self.noted[key] -= self._now - now
        self._now = now


__all__ = ["Recent"]
