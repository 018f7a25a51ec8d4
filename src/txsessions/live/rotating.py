"""
Uids that were rotated away, or whose session was ended.

Owns the memory of them, for as long as a store marks them: a request that was
sent with the old cookie gets neither the session nor a new cookie, which might take
the place of one that the browser has got meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txsessions.core.recent import Recent
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

    @ivar at: All of them.
    @ivar former: Those of which the store has told that they were rotated away longer
        ago; when it was asked counts.
    @ivar chain: Makes uids of others; there once the store is open.
    @ivar renewing: What gives sessions new uids in time, if the site wants that.
    """

    chain: Chain
    renewing: Renewing | None = None

    def __init__(self) -> None:
        self.at = Recent(ROTATION_MARKER)
        self.former = Recent(ROTATION_MARKER)

    def note(self, uid: bytes, now: float) -> None:
        """
        A uid was just rotated away.
        """
        self.former.forget(uid)
        self.at.note(uid, now)

    def noteSignIn(self, uid: bytes, new: bytes, now: float) -> None:
        """
        Who came by a uid has signed in, and has a new one: whatever it led to, it does
        no more.
        """
        self.note(uid, now)
        if self.renewing is not None:
            self.renewing._note(uid, new)

    def noteElsewhere(self, uid: bytes, now: float, answer: Answer) -> None:
        """
        The store says that a uid was rotated away.  What was so longer ago is of use
        only for those whom it leads to its session.

        @param answer: L{ROTATED} or C{FORMER}.
        """
        if answer is ROTATED:
            self.note(uid, now)
        elif self.renewing is not None:
            self.note(uid, now)
            self.former.note(uid, now)

    def forget(self, uid: bytes) -> None:
        """
        It may be good again.
        """
        self.at.forget(uid)
        self.former.forget(uid)

    def lost(self, entry: Entry) -> None:
        """
        The store does not have a live session any more under the key that is known
        here.
        """
        if self.renewing is None:
            entry.endedElsewhere()
        else:
            self.renewing.pursue(entry, entry.storedKey)

    def found(self, session: Session | None) -> Session | None:
        """
        A session that is live under one of these uids, if somebody may have it: one that
        the store has lost may have ended, or be somebody else's by now.
        """
        renewing = self.renewing
        if session is None or renewing is None or not renewing.isLost(session._entry):
            return session
        return None

    def noteEnd(self, uid: bytes, now: float) -> None:
        """
        A session was just ended by somebody who asked for it, or the store says that
        one was some seconds ago.  One that was rotated away stays so for longer.
        """
        if not self.has(uid, now):
            self.at.note(uid, now, age=ROTATION_MARKER - END_MARKER)

    def has(self, uid: bytes | None, now: float) -> bool:
        """
        Whether it is one of these.
        """
        return uid is not None and self.at.has(uid, now)


def beginTrail(session: Session, now: float) -> None:
    """
    The uid of a session is changed on purpose: no way leads from those before to the
    new one.
    """
    if TRAIL in session.__dict__:
        session.__dict__[TRAIL] = Trail((), now, isConfirmed=True).kept


__all__ = ["TRAIL", "Rotated", "beginTrail"]
