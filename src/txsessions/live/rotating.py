"""
Uids that were rotated away.

Owns the memory of them, for as long as a store marks them: a request that was
sent with the old cookie gets neither the session nor a new cookie.
"""

from __future__ import annotations

from collections import OrderedDict

from txsessions.interfaces import ROTATION_MARKER


class Rotated:
    """
    The uids that were rotated away in the last minute.

    @ivar at: When each was, the oldest first; somewhat older ones may be left.
    """

    def __init__(self) -> None:
        self.at: OrderedDict[bytes, float] = OrderedDict()

    def note(self, uid: bytes, now: float) -> None:
        """
        A uid was just rotated away.
        """
        self.at[uid] = now
        self.at.move_to_end(uid)
        while next(iter(self.at.values())) + ROTATION_MARKER <= now:
            self.at.popitem(last=False)

    def has(self, uid: bytes, now: float) -> bool:
        """
        Whether a uid was rotated away less than a minute ago.
        """
        at = self.at.get(uid)
        return at is not None and at + ROTATION_MARKER > now


__all__ = ["Rotated"]
