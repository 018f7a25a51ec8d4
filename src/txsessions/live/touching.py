"""
What a store hears of the use of a session, and what is asked when there was none.

Owns the writing of touches, and the question whether somebody elsewhere has used a
session that nobody here has.  Knows neither HTTP nor how a session is saved.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from txsessions.core.lifetime import storedDeadline, touchInterval
from txsessions.errors import SessionError, SessionGone
from txsessions.live.phases import ENDED
from txsessions.live.waiting import NOBODY

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.entry import Entry

_log = Logger(namespace="txsessions")

ASK_AGAIN = 60.0
"""Seconds after which a store is asked again that could not say whether a session
has run out."""


def tellOfUse(entry: Entry, terms: tuple[Any, ...]) -> None:
    """
    Tell the store of the last use.  Nobody waits for it: the deadline that is stored
    has room for one touch that was lost.

    @param terms: See L{Entry.terms}.
    """
    session, table = entry.session, entry.table
    entry.touchedAt = touchedAt = session.lastModified
    deadline = storedDeadline(session._createdAt, touchedAt, terms[0], terms[1])
    now, touch = table.seconds(), table.store.touch
    done = maybeDeferred(touch, entry.key, touchedAt, deadline, now)
    _ = done.addErrback(partial(_refused, entry))


def usedOutside(entry: Entry) -> None:
    """
    The session was used outside a request.  Nobody else settles then, so that what
    changed is saved when the store is to hear of the use, or when the session leaves
    memory.
    """
    session = entry.session
    unsaid = session.lastModified - entry.touchedAt
    if entry.storedKey is None or unsaid < touchInterval(session.sessionTimeout):
        return
    try:
        entry.settle(NOBODY)
    except SessionError as error:
        _log.error("a session cannot be saved: {error}", error=str(error))


def _refused(entry: Entry, failure: Failure) -> None:
    """
    A touch never brings anything back.
    """
    if failure.check(SessionGone):
        if entry.session._phase < ENDED and entry.flight is None:
            entry.table.rotated.lost(entry)
        return
    entry.touchedAt = 0.0
    entry.table.broken(failure, entry)


def askElsewhere(entry: Entry) -> None:
    """
    See whether somebody elsewhere has used a session that has run out here.
    """
    done = entry.table.loader.fetch(entry.session._uid)
    _ = done.addBoth(partial(_answered, entry))


def _answered(entry: Entry, _: object) -> None:
    """
    The store has said what it knows, or cannot be asked: that ends nothing.
    """
    session = entry.session
    if session._phase < ENDED and session._due is None:
        now, deadline = session._clock.seconds(), session._deadline()
        session._watchUntil(deadline if deadline > now else now + ASK_AGAIN)


__all__ = ["ASK_AGAIN", "askElsewhere", "tellOfUse", "usedOutside"]
