"""
Sessions that are to end and cannot be read.

Owns what a logout takes hold of while the store does not answer: the session itself, if
it is in memory, else one of which no more is known than the uid.  Knows no HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from txsessions.core.uid import storeKeyOf
from txsessions.live.entry import Entry
from txsessions.live.phases import ENDED, STORED
from txsessions.live.renewing import Verdict
from txsessions.live.session import Session

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from txsessions.live.ending import Removed
    from txsessions.live.table import LiveTable


class UnreadEntry(Entry):
    """
    The account of a session of which nobody knows whether the store has it.
    """

    __slots__ = ()

    def end(self, removed: Removed = None, *, marks: bool = False) -> Deferred[None]:
        """
        See L{Entry.end}.  That it has ended is told when the store says that there was
        one.
        """
        table, self.isKnown = self.table, True
        table.rotated.noteEnd(self.session._uid, table.seconds())
        table.tombstones.expect(self.key)
        return super().end(removed, marks=True)


def isBuried(table: LiveTable, uid: bytes) -> bool:
    """
    Whether a session has ended here, of which the store has yet to hear: also under the
    uid that was made of this one.
    """
    stones, renewing = table.tombstones, table.rotated.renewing
    if not len(stones):
        return False
    became = None if renewing is None else renewing.becameOf(uid)
    keys = (storeKeyOf(table.siteName, each) for each in (uid, became) if each)
    return any(key in stones for key in keys)


def findUnread(site: Any, uid: bytes, scheme: tuple[bool, bytes]) -> Session | None:
    """
    Find what there is to be ended of a session that cannot be read.

    @param uid: The uid that somebody came by.
    @param scheme: Whether it came by the secure cookie, and the cookie's name.
    @return: L{None} if it is known here that there is nothing: the uid is an old one,
        and no longer good for a logout.
    """
    table: LiveTable = site._live
    live = table.sessions.get(uid)
    if live is None:
        live = table.resting.departed.get(uid)
    if live is not None and live._phase < ENDED:
        return live
    if not isBuried(table, uid):
        renewing = table.rotated.renewing
        known = None if renewing is None else renewing.recall(uid)
        if known is not None:
            verdict, live = known
            return live if verdict in {Verdict.LED, Verdict.READS} else None
    session = Session(site, uid)
    session._scheme, session._phase = scheme, STORED
    session._entry = UnreadEntry(table, session)
    return session


__all__ = ["UnreadEntry", "findUnread", "isBuried"]
