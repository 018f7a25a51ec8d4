"""
Sessions that a request can only read.

Owns what somebody gets who comes with an old uid while it is still good for that: a
session of its own, with what the store has acknowledged.  What is changed in it is
noticed and never saved; its end is that of the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txsessions.errors import SessionGone
from txsessions.live import gathering
from txsessions.live.drafting import makeDraft
from txsessions.live.ending import Removed
from txsessions.live.entry import Entry
from txsessions.live.phases import ENDED

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from txsessions.live.session import Session
    from txsessions.live.waiting import Waiter


class ReadingEntry(Entry):
    """
    The account of such a session.

    @ivar live: That of the session.
    """

    __slots__ = ("live",)

    live: Entry

    def settle(self, waiter: Waiter, tries: int = 0) -> bool:
        """
        See whether anything has changed, or wait for the end.

        @raise SessionGone: It has: by this uid it cannot be.
        """
        if self.session._phase >= ENDED:
            return self.live.settle(waiter, tries)
        parts = gathering.gather(self.session, self.parts).parts
        if parts != self.parts or self.terms != self.storedTerms:
            raise SessionGone(self.tag, "the session has a new id by now")
        return True

    def end(self, removed: Removed = None, *, marks: bool = False) -> Deferred[None]:
        """
        End the session.
        """
        # They are those of the session, which runs them.
        self.session.expireCallbacks = []
        return self.live.session._end("logout")

    def touched(self) -> None:
        """
        Who only reads does not keep it alive.
        """

    def released(self) -> None:
        """
        The request is over.  If it waits for the end of the session, that is asked for.
        """
        self.live.table.watching.begin(self.live)


def makeReading(session: Session, uid: bytes) -> Session:
    """
    Make a session for reading of a live one that is stored.

    @param uid: The uid that it was asked for by, which it has.
    """
    live = session._entry
    assert live is not None
    entry = makeDraft(live, uid, ReadingEntry)
    entry.live = live
    entry.session.expireCallbacks = session.expireCallbacks
    return entry.session


__all__ = ["ReadingEntry", "makeReading"]
