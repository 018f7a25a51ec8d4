"""
What C{site.sessions} is.

Owns the rule that a session cannot be taken out of it without ending; leaving
memory is another thing.
"""

from __future__ import annotations

from typing import Any

from txsessions.live.session import Session

_ABSENT = "no live session has this uid"


class Sessions(dict[bytes, Session]):
    """
    What C{site.sessions} is: a dict, out of which a session cannot be taken
    without ending it.  Its keys are secrets, so neither what it looks like nor
    its errors show any.
    """

    def __repr__(self) -> str:
        return f"<{len(self)} sessions>"

    # A traceback may show what variables hold: hence del uid.

    def __missing__(self, uid: bytes) -> Session:
        del uid
        raise KeyError(_ABSENT)

    def __setitem__(self, uid: bytes, session: Session) -> None:
        before = self.get(uid)
        dict.__setitem__(self, uid, session)
        if before is not None and before is not session:
            _removedByHand(before)

    def __delitem__(self, uid: bytes) -> None:
        if uid not in self:
            del uid
            raise KeyError(_ABSENT)
        session = super().pop(uid)
        _removedByHand(session)

    def pop(self, uid: bytes, *default: Any) -> Any:
        """
        See C{dict.pop}.
        """
        if uid not in self:
            if default:
                return default[0]
            del uid
            raise KeyError(_ABSENT)
        session = super().pop(uid)
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

    def leave(self, session: Session) -> None:
        """
        Take a session out without ending it.
        """
        if self.get(session._uid) is session:
            super().pop(session._uid)


def _removedByHand(session: Any) -> None:
    """
    Somebody took a session out of C{site.sessions} himself, as the C{expire} of
    stock Twisted does.
    """
    if isinstance(session, Session):
        _ = session._end("expire")


__all__ = ["Sessions"]
