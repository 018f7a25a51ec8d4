"""
The writes under way, and the end of a process.

Owns the count of them, and that nothing is lost when a process ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txsessions.errors import SessionError
from txsessions.live.phases import ENDED
from txsessions.live.waiting import NOBODY

if TYPE_CHECKING:
    from txsessions.live.table import LiveTable

_log = Logger(namespace="txsessions")


class Writes:
    """
    The writes of a live table that are under way.

    @ivar underWay: How many there are.
    @ivar waiting: Who waits for the last of them.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self.underWay = 0
        self.waiting: list[Deferred[None]] = []

    def oneEnded(self) -> None:
        """
        One write fewer is under way.
        """
        self.underWay -= 1
        if not self.underWay and self.waiting:
            waiting, self.waiting = self.waiting, []
            for done in waiting:
                done.callback(None)

    def drain(self) -> Deferred[None]:
        """
        Save what has changed in any live session, delete what has yet to be
        deleted, and wait for all writes.
        """
        table = self._table
        for session in list(table.sessions.values()):
            entry = session._entry
            if entry is None or session._phase >= ENDED or entry.isEmpty():
                continue
            try:
                entry.settle(NOBODY)
            except SessionError as error:
                _log.error("a session cannot be saved: {error}", error=str(error))
            except BaseException:
                _log.failure("a session cannot be saved")
        deleted = table.tombstones.bury(list(table.tombstones))
        buried: Deferred[None] = deleted.addBoth(lambda _: None)
        if not self.underWay:
            return buried
        done: Deferred[None] = Deferred()
        self.waiting.append(done)
        return done.addCallback(lambda _: buried)


__all__ = ["Writes"]
