"""
What happens to sessions, told to the log and to listeners.

Owns the kinds of events and how they are told.  An event names a session by its
tag; it never holds a uid.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.logger import Logger, LogLevel

if TYPE_CHECKING:
    from txsessions.core.signin import SignIn
    from txsessions.interfaces import ISessionListener
    from txsessions.live.laststate import LastState
    from txsessions.live.session import Session

_log = Logger(namespace="txsessions")


class EventKind(enum.Enum):
    """
    The turns in the life of a session.
    """

    CREATED = "created"
    ROTATED = "rotated"
    SIGNED_IN = "signed-in"
    PRINCIPAL_ENDED = "principal-ended"
    EVERYBODY_ENDED = "everybody-ended"
    ENDED = "ended"
    EXPIRED = "expired"
    REFUSED = "refused"
    REPLAYED = "replayed"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"


EVICTED = "evicted"
"""The reason for an end of which the log says little: floods are not to fill it."""

CREATED = EventKind.CREATED.value

LEVELS = {
    EventKind.CREATED: LogLevel.debug,
    EventKind.ROTATED: LogLevel.info,
    EventKind.SIGNED_IN: LogLevel.info,
    EventKind.PRINCIPAL_ENDED: LogLevel.info,
    EventKind.EVERYBODY_ENDED: LogLevel.info,
    EventKind.ENDED: LogLevel.info,
    EventKind.EXPIRED: LogLevel.debug,
    EventKind.REFUSED: LogLevel.info,
    EventKind.REPLAYED: LogLevel.warn,
    EventKind.CONFLICT: LogLevel.warn,
    EventKind.UNAVAILABLE: LogLevel.warn,
}
"""How loud each kind is in the log."""


@frozen(kw_only=True)
class SessionEvent:
    """
    Something happened to a session.

    @ivar kind: What.
    @ivar tag: Which session, or the empty string where it is none in particular.
    @ivar at: When, in seconds since the epoch.
    @ivar reason: Why: for L{EventKind.ENDED} C{"expire"} (the application ended
        it), C{"logout"}, C{"login"} (another took its place at a sign-in),
        C{"replayed"} (see there), C{"principal"} or C{"everybody"} (all of somebody's
        or all signed-in ones were ended, where there is no store), C{"elsewhere"} (in
        the store), C{"pinned"} (too many had to stay in memory) or C{"evicted"} (there were too many anonymous ones); for
        L{EventKind.EXPIRED} C{"idle"} or C{"lifetime"}; for
        L{EventKind.REFUSED} C{"duplicate"}, C{"malformed"}, C{"scheme"},
        C{"damaged"}, C{"future"}, C{"csrf"} (a request that may be forged),
        C{"limit"} (the principal had too many), C{"password"} (a wrong one, or a name
        that nobody has), C{"guesses"} (too many of them), C{"network 192.0.2.0/24"}
        (it had no budget left for new sessions; once a window); for
        L{EventKind.PRINCIPAL_ENDED} how many sessions there were; else what went wrong.
    @ivar createdAt: When the session was made, where that is known.
    @ivar touchedAt: When it was last used, for L{EventKind.ENDED} and
        L{EventKind.EXPIRED} and where that is known.
    @ivar state: What was in it, for these and where that is known: plain data, as
        it was last saved, see L{LastState<txsessions.live.laststate.LastState>}.
        Costs nothing until it is looked at.
    @ivar principal: Who is or was signed in, for L{EventKind.SIGNED_IN},
        L{EventKind.PRINCIPAL_ENDED} (all sessions of somebody were ended),
        L{EventKind.REPLAYED}, L{EventKind.ENDED} and L{EventKind.EXPIRED} and where
        that is known.  It is for listeners only: no log and no looks show it.
    @ivar level: How sure that was.
    @ivar address: For L{EventKind.REPLAYED} (somebody came with an old id after its
        time, while another uses the session): where from, if the site keeps clients.
    """

    kind: EventKind
    tag: str
    at: float
    reason: str = ""
    createdAt: float | None = None
    touchedAt: float | None = None
    state: LastState | None = field(default=None, repr=False, eq=False)
    principal: str | None = field(default=None, repr=False)
    level: int | None = None
    address: str | None = field(default=None, repr=False)


class Announcer:
    """
    Tells events to the log, to those who count, and to listeners.

    @ivar counts: How often each kind has happened, by its value.
    @ivar hasListeners: Whether anybody has asked to be told.
    """

    def __init__(self) -> None:
        self._listeners: list[ISessionListener] = []
        self.hasListeners = False
        self.counts = {kind.value: 0 for kind in EventKind}

    def add(self, listener: ISessionListener) -> None:
        """
        Tell C{listener} too, from now on.
        """
        self._listeners.append(listener)
        self.hasListeners = True

    def remove(self, listener: ISessionListener) -> None:
        """
        Tell C{listener} nothing more.
        """
        self._listeners.remove(listener)
        self.hasListeners = bool(self._listeners)

    def tell(
        self,
        kind: EventKind,
        tag: str,
        at: float,
        reason: str = "",
        createdAt: float | None = None,
        touchedAt: float | None = None,
        state: LastState | None = None,
        signIn: SignIn | None = None,
        principal: str | None = None,
        address: str | None = None,
    ) -> None:
        """
        Something happened; the arguments are those of L{SessionEvent}.
        """
        self.counts[kind.value] += 1
        details: dict[str, Any] = {"kind": kind.value, "tag": tag, "reason": reason}
        _log.emit(
            LogLevel.debug if reason == EVICTED else LEVELS[kind],
            f"session {'{tag} ' if tag else ''}{{kind}}{': {reason}' if reason else ''}",
            **details,
        )
        if self._listeners:
            self._tellListeners(
                SessionEvent(
                    kind=kind,
                    tag=tag,
                    at=at,
                    reason=reason,
                    createdAt=createdAt,
                    touchedAt=touchedAt,
                    state=state,
                    principal=principal if signIn is None else signIn.principal,
                    level=None if signIn is None else signIn.level,
                    address=address,
                )
            )

    def tellOfMaking(self, session: Session) -> None:
        """
        A program without a store made a session by itself, and it has been counted:
        that is as little remarkable as it is in stock Twisted, and no line in the log.
        """
        kind, tag, at = EventKind.CREATED, session._tag(), session._createdAt
        self._tellListeners(SessionEvent(kind=kind, tag=tag, at=at, createdAt=at))

    def _tellListeners(self, event: SessionEvent) -> None:
        """
        Tell an event to each listener, undisturbed by the others; also if one wants the
        program to end: what is being told of has to go on.
        """
        for listener in list(self._listeners):
            try:
                listener.sessionEvent(event)
            except BaseException:
                _log.failure("a session listener raised")


__all__ = ["EVICTED", "Announcer", "EventKind", "SessionEvent"]
