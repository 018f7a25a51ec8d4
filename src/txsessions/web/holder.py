"""
Who holds a session: as long as somebody does, it stays in memory.

Owns how a request takes a session and lets go of it.  Knows neither cookies nor what is
said of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from txsessions.core.shapes import Shaped

if TYPE_CHECKING:
    from txsessions.live.session import Session

HELD_ON: Any = object()
"""In the place of who was signed in when a request let go: it still holds on."""

MANY = 64
"""From how many requests with one session on those are looked for, whenever there are
twice as many, of which nobody will hear that they are over."""


class Holder(Shaped):
    """
    What a request holds a session by.

    @ivar exchange: The request's dealings with all of its sessions.
    @ivar session: The session: the one that came, then the one in use.
    @ivar acquired: Whether the application has asked for it.
    @ivar left: Who was signed in when this request let go of it, or L{HELD_ON}.
    @ivar _found: What the session finds this by: itself or a reference.
    """

    exchange: Any

    # What is seldom changed is the class's until it is.
    session: Session | None = None
    acquired: bool = False
    left: Any = HELD_ON
    _found: Callable[[], Any] | None = None

    def __call__(self) -> Holder:
        """
        Be found, as by a reference.
        """
        return self

    def take(self, session: Session | None) -> None:
        """
        This is the session that came, as far as the store knows; hold it.
        """
        self.session = session
        if session is not None:
            found: Callable[[], Any] = self
            if self.exchange.turnIsOver:
                found = self._found = ref(self)
            visits = session._visits
            if visits is None:
                session._visits = {found: None}
            else:
                visits[found] = None
                if len(visits) >= MANY and not len(visits) & (len(visits) - 1):
                    _forgetTheDead(visits)

    def loosen(self) -> None:
        """
        Hold the session only for as long as somebody has this: a request that became a
        WebSocket never says that it is over.
        """
        visits = None if self.session is None else self.session._visits
        if visits is not None and self in visits:
            del visits[self]
            self._found = found = ref(self)
            visits[found] = None

    def leave(self) -> None:
        """
        Hold the session no more.
        """
        session = self.session
        if session is None:
            return
        self.left = session._signIn
        if session._isNew and self.acquired:
            session._isNew = False
        visits = session._visits
        if visits is None:
            return
        try:
            del visits[self._found or self]
        except KeyError:
            return
        if not visits:
            session._visits = None
            entry = session._entry
            if entry is not None:
                entry.released()


def _forgetTheDead(visits: dict[Callable[[], Any], None]) -> None:
    """
    Forget who holds a session and is not there any more.
    """
    for found in list(visits):
        if found() is None:
            del visits[found]


__all__ = ["HELD_ON", "MANY", "Holder"]
