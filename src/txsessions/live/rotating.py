"""
Uids that were rotated away, or whose session was ended.

Owns the memory of them, for as long as a store marks them: a request that was
sent with the old cookie gets neither the session nor a new cookie, which might take
the place of one that the browser has got meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from txsessions.core.record import ROTATED, Answer
from txsessions.core.renewal import Chain, Trail
from txsessions.interfaces import END_MARKER, ROTATION_MARKER

if TYPE_CHECKING:
    from txsessions.live.entry import Entry
    from txsessions.live.renewing import Renewing
    from txsessions.live.session import Session

TRAIL = "txsessions.trail"
"""
Under which name it is kept among the attributes what renewals there were: no
application can have an attribute of that name by accident.
"""


class Rotated:
    """
    The uids that were rotated away in the last minute, or ended in the last seconds.

    @ivar at: When each was rotated away, or would have been to be forgotten when it
        shall; somewhat older ones may be left.
    @ivar former: Those of which the store has told that they were rotated away longer
        ago; in L{at} is when it was asked.
    @ivar chain: Makes uids of others; there once the store is open.
    @ivar renewing: What gives sessions new uids in time, if the site wants that.
    """

    chain: Chain
    renewing: Renewing | None = None

    def __init__(self) -> None:
        self.at: OrderedDict[bytes, float] = OrderedDict()
        self.former: set[bytes] = set()

    def note(self, uid: bytes, now: float) -> None:
        """
        A uid was just rotated away.
        """
        self.former.discard(uid)
        self.at[uid] = now
        self.at.move_to_end(uid)
        while next(iter(self.at.values())) + ROTATION_MARKER <= now:
            old, _ = self.at.popitem(last=False)
            self.former.discard(old)

    def noteElsewhere(self, uid: bytes, now: float, answer: Answer) -> None:
        """
        The store says that a uid was rotated away.  What was so longer ago is of use
        only for those whom it leads to its session.

        @param answer: L{ROTATED} or L{FORMER}.
        """
        if answer is ROTATED:
            self.note(uid, now)
        elif self.renewing is not None:
            self.note(uid, now)
            self.former.add(uid)

    def forget(self, uid: bytes) -> None:
        """
        It may be good again.
        """
        self.at.pop(uid, None)
        self.former.discard(uid)

    def lost(self, entry: Entry) -> None:
        """
        The store does not have a live session any more under the key that is known
        here.
        """
        if self.renewing is None:
            entry.endedElsewhere()
        else:
            self.renewing.pursue(entry, entry.storedKey)

    def noteEnd(self, uid: bytes, now: float) -> None:
        """
        A session was just ended by somebody who asked for it, or the store says that
        one was some seconds ago.  One that was rotated away stays so for longer.
        """
        if not self.has(uid, now):
            self.note(uid, now - ROTATION_MARKER + END_MARKER)

    def has(self, uid: bytes | None, now: float) -> bool:
        """
        Whether it is one of these.
        """
        at = None if uid is None else self.at.get(uid)
        return at is not None and at + ROTATION_MARKER > now


def beginTrail(session: Session, now: float) -> None:
    """
    The uid of a session is changed on purpose: no way leads from those before to the
    new one.
    """
    if TRAIL in session.__dict__:
        session.__dict__[TRAIL] = Trail((), now, isConfirmed=True).kept


__all__ = ["TRAIL", "Rotated", "beginTrail"]
