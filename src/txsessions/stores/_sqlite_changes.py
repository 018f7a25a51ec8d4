"""
The cheap question: has anybody else changed the database?

Owns the telling apart of other processes' commits from our own.  SQLite counts
changes for each connection as that connection sees them: the reading one sees all,
the writing one all but its own.  So where the first has moved and the second has
not, the change was ours.  As long as a glance at what all connections share shows
that nothing was committed at all, or nothing since a commit of ours, neither is asked.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from txsessions.stores._sqlite_errors import ENGINE_ERRORS

if TYPE_CHECKING:
    from txsessions.stores._sqlite_glance import IGlance
    from txsessions.stores._sqlite_rows import Execute
    from txsessions.stores._sqlite_writer import Writer

_VERSION = "PRAGMA data_version"


class Changes:
    """
    Counts the changes of others.

    @ivar glance: Shows whether anything was committed, where that can be seen.
    @ivar shown: What it showed when L{total} was true, if that is still known.
    @ivar total: How often others have changed something, as far as was told.
    """

    def __init__(
        self, ask: Execute, writer: Writer, count: int, glance: IGlance | None = None
    ) -> None:
        """
        @param ask: Asks the connection for reading.
        @param writer: Who writes for this process.
        @param count: Where to begin: a number never given out before.
        @param glance: Shows whether anything was committed, where that can be seen.
        """
        self.glance = glance
        self.shown: bytes | None = None
        self._ask = ask
        self._writer = writer
        self.total = count
        self._accounted: int | None = None
        self._writers: tuple[int, int] | None = None
        writer.onBegin = self._askWriter
        writer.onGive = self._settle
        writer.onCommit = self._committed

    def count(self) -> int | None:
        """
        How often others have changed something, as far as can be told now:
        L{None} while a commit of ours has just ended that may be what is seen.
        """
        glance = self.glance
        shown = None if glance is None else glance.raw
        writer = self._writer
        if writer.begunHere and writer.holdsOthersOff:
            # All that came before was accounted for when this began.
            return self.total
        found: int = self._ask(_VERSION).fetchone()[0]
        if found != self._accounted:
            if writer.isBusy:
                return None
            self._account(found)
        # What comes after the glance is seen by the next one.
        self.shown = shown
        return self.total

    def forget(self) -> None:
        """
        The database is being closed: look at it no more.
        """
        self.glance = None

    def another(self) -> None:
        """
        Count one of ours that is to be taken for another's.
        """
        self.total += 1

    def _account(self, found: int) -> None:
        """
        Nothing of ours is being committed: see whose the changes are.

        @param found: What the reading connection said: it is asked first, so that
            what comes between the two questions is counted at least once.
        """
        self._askWriter()
        self._accounted = found

    def _askWriter(self) -> None:
        """
        Count what others have committed: the writing connection is ours.  Inside
        a transaction that is all there is, until they may write again.
        """
        version = self._writer.dataVersion()
        if version is None or version != self._writers:
            self._writers = version
            self.total += 1

    def _committed(self) -> None:
        """
        In the thread: what all connections share is as our commit has left it, if
        nobody else has made another since L{_askWriter}, as a program may that does
        not know the gate.
        """
        glance = self.glance
        if glance is not None:
            # What comes after the glance is seen by the next one.
            shown = glance.raw
            with contextlib.suppress(*ENGINE_ERRORS):
                if self._writer.dataVersion() == self._writers:
                    self.shown = shown

    def _settle(self) -> None:
        """
        The thread will have the writing connection: ask it while that can be done.
        """
        with contextlib.suppress(*ENGINE_ERRORS):
            found: int = self._ask(_VERSION).fetchone()[0]
            if found != self._accounted:
                self._account(found)


__all__ = ["Changes"]
