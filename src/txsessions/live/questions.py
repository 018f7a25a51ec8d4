"""
What a store is asked about one session.

Owns what has to be known of a question when its answer comes, and whether that answer
still counts.  Who asks, and what becomes of the answer, is the business of
L{txsessions.live.loading}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from txsessions.core.record import UNCHANGED, Record, tagOf

if TYPE_CHECKING:
    from txsessions.live.session import Session

Answered = Callable[[Any], object]
"""Is given the session, or L{None}, or a C{Failure} of a C{StoreError}."""


class Question(Struct, eq=False):
    """
    What the store is asked about one session.  Each load makes one, so it is of a kind
    that is made in C.

    @ivar uid: The session's.
    @ivar key: Its store key.
    @ivar waiting: Who waits for the answer.
    @ivar live: The session, if it is in memory.
    @ivar known: The version that is in memory.
    @ivar seen: What C{store.changes()} said before.
    """

    uid: bytes
    key: bytes
    waiting: list[Answered]
    live: Session | None = None
    known: int | None = None
    seen: int | None = None

    def __repr__(self) -> str:
        """
        Do not show the uid.
        """
        return f"<Question about {tagOf(self.key)}>"

    def isOutdatedBy(self, answer: object) -> bool:
        """
        Whether it has to be asked again: what is in memory has changed since in a
        way that the answer does not tell of.
        """
        live = self.live
        if live is None:
            return False
        if answer is UNCHANGED:
            return live._hasOutlived()
        # Was a write of ours acknowledged, of which the answer knows nothing?
        return (
            isinstance(answer, Record)
            and self.known is not None
            and live._entry is not None
            and answer.version < live._entry.version != self.known
        )


__all__ = ["Answered", "Question"]
