"""
The cheap question: has anybody else changed the database?

Owns the telling apart of other processes' commits from our own.  SQLite counts
changes for each connection as that connection sees them: the reading one sees all,
the writing one all but its own.  So where the first has moved and the second has
not, the change was ours.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from txsessions.stores._sqlite_rows import Execute
    from txsessions.stores._sqlite_writer import Writer

_VERSION = "PRAGMA data_version"


class Changes:
    """
    Counts the changes of others.
    """

    def __init__(self, ask: Execute, writer: Writer, count: int) -> None:
        """
        @param ask: Asks the connection for reading.
        @param writer: Who writes for this process.
        @param count: Where to begin: a number never given out before.
        """
        self._ask = ask
        self._writer = writer
        self._count = count
        self._accounted: int | None = None
        self._writers: tuple[int, int] | None = None
        writer.onIdle = self._account
        writer.onBegin = self._begun

    def count(self) -> int | None:
        """
        How often others have changed something, as far as can be told now:
        L{None} while a commit of ours has just ended that may be what is seen.
        """
        writer = self._writer
        if writer.holdsOthersOff:
            # All that came before was accounted for when this began.
            return self._count
        found: int = self._ask(_VERSION).fetchone()[0]
        if found != self._accounted:
            if writer.isBusy:
                return None
            self._account()
        return self._count

    def _begun(self) -> None:
        """
        A transaction of ours has begun: account for all that came before it.
        What is seen from now on, until others may write again, is ours.
        """
        if self._ask(_VERSION).fetchone()[0] != self._accounted:
            self._account()

    def _account(self) -> None:
        """
        Nothing of ours is being committed: see whose the changes are.

        The reading connection is asked first, so that what comes between the
        two questions is counted at least once.
        """
        try:
            found: int = self._ask(_VERSION).fetchone()[0]
            version = self._writer.dataVersion()
        except sqlite3.Error:
            # It is asked again before anybody relies on it.
            self._accounted = None
            return
        if version is None or version != self._writers:
            self._writers = version
            self._count += 1
        self._accounted = found


__all__ = ["Changes"]
