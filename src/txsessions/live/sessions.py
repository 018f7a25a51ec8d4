"""
What C{site.sessions} is.

Owns the rule that a session cannot be taken out of it without ending; leaving
memory is another thing.
"""

from __future__ import annotations

from typing import Any

from txsessions.live.session import ENDED, Session


class Sessions(dict[bytes, Session]):
    """
    What C{site.sessions} is: a dict, out of which a session cannot be taken
    without ending it.
    """

    def __delitem__(self, uid: bytes) -> None:
        session = self.get(uid)
        super().__delitem__(uid)
        if session is not None:
            _removedByHand(session)

    def pop(self, uid: bytes, *default: Any) -> Any:
        """
        See C{dict.pop}.
        """
        session = super().pop(uid, *default)
        if isinstance(session, Session):
            _removedByHand(session)
        return session

    def popitem(self) -> tuple[bytes, Session]:
        """
        See C{dict.popitem}.
        """
        uid, session = super().popitem()
        _removedByHand(session)
        return uid, session

    def clear(self) -> None:
        """
        See C{dict.clear}.
        """
        sessions = list(self.values())
        super().clear()
        for session in sessions:
            _removedByHand(session)

    def leave(self, uid: bytes) -> None:
        """
        Take a session out without ending it.
        """
        super().pop(uid, None)


def _removedByHand(session: Any) -> None:
    """
    Somebody took a session out of C{site.sessions} himself, as the C{expire} of
    stock Twisted does, which runs the callbacks too.
    """
    if isinstance(session, Session) and session._phase < ENDED:
        table = session._table()
        session._close()
        if table is not None:
            _ = table.ended(session, "expire")


__all__ = ["Sessions"]
