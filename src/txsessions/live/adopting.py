"""
Taking over what others made of a session.

Owns how a newer record gets into a live session: in place, merged with what was
changed here and is not saved yet.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.lifetime import lifetimeOf, touchInterval
from txsessions.core.merge import mergeParts
from txsessions.live import applying
from txsessions.live.events import EventKind
from txsessions.live.flashes import noticeTakenTwice

if TYPE_CHECKING:
    from txsessions.core.record import Record
    from txsessions.core.state import State
    from txsessions.live.entry import Entry
    from txsessions.live.session import Session

_log = Logger(namespace="txsessions")


def adopt(entry: Entry, record: Record) -> None:
    """
    Take over a newer record.

    @raise RecordDamaged: It cannot be used.
    @raise UnknownKey: It is sealed under a key that is not here.
    """
    state = entry.table.loader.unseal(record)
    session = entry.session
    mine = entry.gather()
    theirs = dict(state.parts)
    changedHere = entry.terms[:-1] != entry.storedTerms[:-1]
    _, keeps = entry.movedFrom or (b"", True)
    # Of a session whose place was taken nothing is taken over, see txsessions.live.signin.
    base = entry.parts if keeps else theirs
    merged = mergeParts(base, mine, theirs, partial(applying.mergerFor, session))
    noticeTakenTwice(session, entry.parts, mine, theirs)
    applying.apply(session, merged.parts, mine)
    for _, error in merged.failures:
        _log.failure(
            "merging two changes of session {tag} failed; the later one was taken",
            failure=Failure(error),
            tag=entry.tag,
        )
    for _ in merged.conflicts:
        entry.table.tell(EventKind.CONFLICT, entry, reason="changed on both sides")
    entry.parts = theirs
    entry.storedTerms = (
        state.idle,
        state.lifetime,
        state.secure,
        state.cookieName,
        state.signIn,
    )
    entry.version = record.version
    if keeps and not changedHere:
        setLimits(session, state)
    _noticeTouch(entry, record.touchedAt)


def setLimits(session: Session, state: State) -> None:
    """
    Give a session the limits that it was stored with.
    """
    # They do not count from now, as a change by the application would.
    due, session._due = session._due, None
    if session.sessionTimeout != state.idle:
        session.sessionTimeout = state.idle
    if lifetimeOf(state.idle, session.sessionLifetime) != state.lifetime:
        session.sessionLifetime = state.lifetime
    session._due = due
    session._reschedule()


def usedAt(touchedAt: float, idle: float, now: float) -> float:
    """
    Say when a session was last used that other processes may have used.

    A store need not have been told of the last use.  While the session is alive
    by that, it is so here.

    @param touchedAt: The last use that the store was told of.
    """
    return touchedAt if now < touchedAt + idle else touchedAt + touchInterval(idle)


def _noticeTouch(entry: Entry, touchedAt: float) -> None:
    """
    The store knows of a touch, maybe by another process.
    """
    session = entry.session
    entry.touchedAt = max(entry.touchedAt, touchedAt)
    if touchedAt > session.lastModified:
        now = session._clock.seconds()
        session.lastModified = usedAt(touchedAt, session.sessionTimeout, now)
        session._reschedule()


__all__ = ["adopt", "setLimits", "usedAt"]
