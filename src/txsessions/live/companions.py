"""
What stands beside a session while it is in this memory, and is no part of it.

Owns what is called when a session leaves memory, be it that it ends or that the store
has it alone from now on.  Such things pin nothing, are not watched over and cost a
session without them nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from txsessions.live.callbacks import runCallbacks

if TYPE_CHECKING:
    from txsessions.live.session import Session


class Companions(dict[int, dict[object, Callable[[], object]]]):
    """
    What stands beside the sessions of a live table.
    """

    def of(self, session: Session) -> dict[object, Callable[[], object]]:
        """
        What stands beside a session, by whose it is.  Each is called once, when the
        session leaves memory.

        @param session: One that is in memory.
        """
        # By identity: an application's class may compare in a way of its own.
        return self.setdefault(id(session), {})

    def left(self, session: Session) -> None:
        """
        A session has left memory.
        """
        companions = self.pop(id(session), None)
        if companions is not None:
            runCallbacks(list(companions.values()))


__all__ = ["Companions"]
