"""
What a store is asked about one session.

Owns what has to be known of a question when its answer comes, whether that answer
still counts, and the answer that most get: nothing has changed.  Who asks, and what
becomes of any other answer, is the business of L{txsessions.live.loading}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsessions.core.record import UNCHANGED, Record, tagOf

if TYPE_CHECKING:
    from txsessions.live.loading import Loader
    from txsessions.live.session import Session

_log = Logger()

Answered = Callable[[Any], object]
"""Is given the session, or L{None}, or a C{Failure} of a C{StoreError}."""


class Question(Struct, eq=False):
    """
    What the store is asked about one session.  Each load makes one, so it is of a kind
    that is made in C; and the store tells it the answer: see
    L{Told<txsessions.core.telling.Told>}.

    @ivar loader: Who asks.
    @ivar uid: The session's.
    @ivar key: Its store key.
    @ivar waiting: Who waits for the answer; nobody, once it was given.
    @ivar live: The session, if it is in memory.
    @ivar known: The version that is in memory.
    @ivar seen: What C{store.changes()} said before.
    """

    loader: Loader
    uid: bytes
    key: bytes
    waiting: list[Answered]
    live: Session | None = None
    known: int | None = None
    seen: int | None = None
    called: bool = False

    def __repr__(self) -> str:
        """
        Do not show the uid.
        """
        return f"<Question about {tagOf(self.key)}>"

    def callback(self, answer: Any) -> None:
        """
        The store has answered.
        """
        waiting = self.waiting
        if not waiting or self.called:
            # A store that raised, and goes on all the same.
            return
        live, loader = self.live, self.loader
        table = loader.table
        try:
            if (
                answer is UNCHANGED
                and live is not None
                and (entry := live._entry) is not None
                and (due := live._due) is not None
                and live._clock.seconds() < due
                and table.sessions.get(self.uid) is live
                and not table.rotated.at.noted
            ):
                # As by far most are: of all that the loader would look at, nothing has
                # happened.  What is in the table has not ended.
                session: Any = live
                if entry.flight is None:
                    entry.seen = self.seen
            else:
                session = loader.judge(answer, self)
                if session is self:
                    # It was asked again, or could not be answered.
                    return
            loader.asked.pop(self.uid, None)
            # No uid in a variable here: a traceback of the application may show it.
            for answered in waiting:
                if session is not None and session._uid != self.uid:
                    # Whoever was answered before gave it another id: this one is dead.
                    session = None
                try:
                    answered(session)
                except BaseException:
                    # What tellAll does, without a step for each.
                    _log.failure("A request for a session met an unexpected error")
            waiting.clear()
            if loader.next:
                loader.sendNext(self.uid)
        except BaseException:
            # As a Deferred does: the store has others to tell.
            _log.failure("A store's answer about a session met an unexpected error")

    def errback(self, error: Any) -> None:
        """
        The store could not answer.
        """
        if self.called or not self.waiting:
            return
        self.called = True
        failure = error if isinstance(error, Failure) else Failure(error)
        try:
            self.loader.notLoaded(failure, self)
        except BaseException:
            _log.failure("A store's failure about a session met an unexpected error")

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
